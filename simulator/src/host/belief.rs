//! What a host believes of the publisher's metadata, as the checks see it.

use super::{Host, Scene};
use crate::check::{Check, Rule};
use crate::scenario::HostId;
use protocol::chain::{Chain, Chains};
use protocol::id::{ManifestId, Signer};
use protocol::input::Input;
use protocol::message::Message;
use protocol::node::Node;
use protocol::trust::{Role, TrustedSet};

impl Host {
    /// What it believes; nothing if it is off, or an adversary.
    pub fn trust(&self) -> Option<&TrustedSet> {
        self.node.as_ref().map(Node::trust)
    }

    /// The version of which it knows that the publisher's keys signed two timestamps.
    pub fn equivocation(&self) -> Option<u64> {
        self.node.as_ref()?.publisher().equivocation()
    }

    /// What a node believes when the host is switched on: what it saved, or the root that a person gave it.
    pub(super) fn restored(&self, scene: &Scene) -> Chains {
        let publisher = match &self.trust_files[..] {
            files if files.is_empty() || scene.check.is_broken(Rule::Kept) => {
                Chain::new(Signer::Publisher, scene.publisher.first_trust().clone())
            }
            files => {
                Chain::restore(Signer::Publisher, files.iter().cloned()).expect("the stored root is the publisher's")
            }
        };
        Chains { publisher, school: None }
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
