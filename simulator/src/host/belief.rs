//! What a host believes of the publisher's metadata and of its school's, and what it applies by that, as the checks see
//! it.

use super::{Effect, Host, Said, Scene, Task};
use crate::check::{Check, Rule};
use crate::scenario::HostId;
use protocol::bitmap::Bitmap;
use protocol::chain::{Chain, Chains};
use protocol::id::{ManifestId, PeerId, Signer};
use protocol::input::Input;
use protocol::message::Message;
use protocol::node::Node;
use protocol::school::{ALL, School};
use protocol::trust::stated_time::Nonce;
use protocol::trust::{Head, Role, TrustedSet};

impl Host {
    /// What it believes; nothing if it is off, or an adversary.
    pub fn trust(&self) -> Option<&TrustedSet> {
        self.node.as_ref().map(Node::trust)
    }

    /// The version of which it knows that the publisher's keys signed two timestamps.
    pub fn equivocation(&self) -> Option<u64> {
        self.node.as_ref()?.publisher().equivocation()
    }

    /// The newest that it has heard of its school.
    pub fn school_head(&self) -> Option<Head> {
        self.node.as_ref()?.school()?.chain.trust().head()
    }

    /// What a node believes when the host is switched on: what it saved, or the roots that a person gave it.
    pub(super) fn restored(&self, scene: &Scene) -> Chains {
        let chain = |signer, first: &TrustedSet| match self.trust_files.get(&signer) {
            Some(files) if !scene.check.is_broken(Rule::Kept) => {
                Chain::restore(signer, files.iter().cloned()).expect("the stored root is the signer's")
            }
            _ => Chain::new(signer, first.clone()),
        };
        let group = (self.id != HostId::SEED).then(|| ALL.parse().expect("the group of all is a lawful name"));
        let school = scene.school.map(|school| School::new(chain(Signer::School, school.first_trust()), group));
        Chains { publisher: chain(Signer::Publisher, scene.publisher.first_trust()), school: school.map(Box::new) }
    }

    /// The school's server states the time.
    pub(super) fn state_time(&self, to: PeerId, nonce: &Nonce, scene: &mut Scene) {
        if let Some(school) = scene.school {
            let stated = Message::Time(school.state_time(nonce, scene.now).into());
            scene.effects.push(Effect::Say(to, Said::new(stated)));
        }
    }

    /// A release was laid out and switched to.
    pub(super) fn has_applied(&mut self, release: ManifestId, scene: &mut Scene) {
        let Some(position) = scene.publisher.position(release) else { return };
        let nothing = Bitmap::new(1);
        let durable = self.places.get(release).map_or(&nothing, |place| &place.durable);
        let before = self.applied.filter(|_| scene.school.is_none());
        let release_counter = scene.publisher.published()[position].release_counter;
        scene.check.applied(scene.now, self.id, durable, before, position);
        scene.check.above_floor(scene.now, self.id, self.applied_counter, release_counter);
        if self.trust().is_some_and(|trust| trust.targets().any(|(_, target)| target.sha256 == release.0)) {
            self.applied_counter = self.applied_counter.max(release_counter);
        }
        self.applied = Some(position);
        self.record.applied.entry(position).or_insert(scene.now);
        self.drive(Input::Applied(release), scene);
        let goes_back = scene.check.is_broken(Rule::Forward) || scene.check.is_broken(Rule::Floor);
        if let Some(older) = position.checked_sub(1).filter(|_| goes_back) {
            let older = scene.publisher.published()[older].release.id();
            scene.effects.push(Effect::Later(scene.now, Task::Applied(Box::new(older))));
        }
    }

    /// Compares what the node believes with what it believed before and with what the publisher signed: whenever a
    /// version has moved, and whenever it says that something has changed.
    pub(super) fn check_belief(&mut self, changed: bool, scene: &mut Scene) {
        let Some(node) = self.node.as_ref().filter(|node| changed || self.believed.has_moved(node.trust())) else {
            return;
        };
        scene.check.believed(scene.now, self.id, &mut self.believed, node.trust(), scene.publisher.deeds());
    }

    /// Before it takes a release up: it must be listed.
    pub(super) fn check_taken(&self, release: ManifestId, scene: &mut Scene) {
        let Some(node) = &self.node else { return };
        let release = if scene.check.is_broken(Rule::Listed) { ManifestId([0; 32]) } else { release };
        scene.check.taken(scene.now, self.id, release, node.trust(), scene.publisher.deeds());
    }
}

/// What a host does not take in because it breaks a rule on purpose.
pub(super) fn is_overheard(host: HostId, input: &Input, node: &Node, check: &Check) -> bool {
    let Input::Message { message, .. } = input else { return false };
    let hides = host == HostId(1) && check.is_broken(Rule::Shown);
    match &**message {
        Message::Head(_) if check.is_broken(Rule::Alive) => true,
        Message::Head(Some(head)) if check.is_broken(Rule::Current) => head.root > 1,
        Message::Metadata(file) => hides && file.role == Role::Timestamp && node.trust().timestamp_version().is_some(),
        Message::Equivocation(_) => hides,
        _ => false,
    }
}
