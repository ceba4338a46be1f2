//! What a node believes of one signer, the publisher or its school: the metadata, how it catches up with newer, and what
//! it has told its peers of that.
//!
//! Both chains are TUF repositories, judged by the same rules and gossiped in the same way. They differ in what a node
//! makes of them, and that is decided above.

use crate::id::{PeerId, Signer, Source};
use crate::limits::PEERS_MAX;
use crate::mesh::Peers;
use crate::message::{self, Message, WantMetadata};
use crate::output::Output;
use crate::refresh::Refresh;
use crate::rng::Rng;
use crate::school::School;
use crate::time::{Span, Time};
use crate::trust::envelope::stated_version;
use crate::trust::{self, Rejection, RestoreError, Role, TrustedSet};
use serde_bytes::ByteBuf;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Heads are repeated to all peers this often, lest one was lost or a peer has slept: at 24 peers
/// about 100 bytes a second.
const GOSSIP_EVERY: Span = Span::from_secs(30);

/// A school with more peers than a device has tells so many at once, and the next after this long: by then most
/// have heard from each other.
const TELL_EVERY: Span = Span::from_millis(500);

/// How evidence is named among the stored files of a chain.
const EVIDENCE: [&str; 2] = ["first.evidence", "second.evidence"];

/// One signer's metadata on one node.
#[derive(Debug)]
pub struct Chain {
    signer: Signer,
    pub(crate) trust: TrustedSet,
    pub(crate) refresh: Refresh,
    /// Two timestamps of one version, both properly signed.
    evidence: Option<message::Equivocation>,
    /// Evidence of a version that is not here yet.
    pub(crate) shown_early: Option<message::Equivocation>,
    said_head: Option<trust::Head>,
    /// Who was told `said_head`.
    told: BTreeSet<PeerId>,
    /// Whether peers that told `said_head` themselves are told it too, once: they ask nobody for documents of whom they
    /// do not know that he has the metadata. Not while it is news, when most hear it from others.
    tells_those_that_know: bool,
    gossip_at: Time,
    /// Peers that are still to be told of `said_head`: so many now, and more after that.
    untold: Vec<PeerId>,
    tell_more_at: Time,
    may_tell: usize,
}

/// What a node believes of both signers.
#[derive(Debug)]
pub struct Chains {
    /// The publisher's.
    pub publisher: Chain,
    /// The school that it belongs to, if any. Boxed, because most simulated hosts belong to none.
    pub school: Option<Box<School>>,
}

impl Chains {
    /// Those of a node that belongs to no school.
    pub fn of_publisher(trust: TrustedSet) -> Self {
        Chains { publisher: Chain::new(Signer::Publisher, trust), school: None }
    }

    /// Both, the publisher's first.
    pub fn iter(&self) -> impl Iterator<Item = &Chain> {
        [&self.publisher].into_iter().chain(self.school.as_ref().map(|school| &school.chain))
    }

    /// A signer's.
    pub fn get(&self, signer: Signer) -> Option<&Chain> {
        self.iter().find(|chain| chain.signer == signer)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, signer: Signer) -> Option<&mut Chain> {
        match signer {
            Signer::Publisher => Some(&mut self.publisher),
            Signer::School => self.school.as_mut().map(|school| &mut school.chain),
        }
    }
}

impl Chain {
    /// A chain that begins with what is trusted.
    pub fn new(signer: Signer, trust: TrustedSet) -> Self {
        Chain {
            signer,
            trust,
            refresh: Refresh::default(),
            evidence: None,
            shown_early: None,
            said_head: None,
            told: BTreeSet::new(),
            tells_those_that_know: false,
            gossip_at: Time::default(),
            untold: Vec::new(),
            tell_more_at: Time::default(),
            may_tell: 0,
        }
    }

    /// The chain that was saved in these files, each judged anew.
    pub fn restore<Bytes: AsRef<[u8]> + Clone>(
        signer: Signer,
        files: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Result<Self, RestoreError> {
        let (evidence, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(name, _)| EVIDENCE.contains(&name.as_str()));
        let mut chain = Self::new(signer, TrustedSet::restore(files)?);
        if let Some((_, second)) = evidence.iter().find(|(name, _)| name == EVIDENCE[1]) {
            chain.contradicted(second.as_ref());
        }
        Ok(chain)
    }

    /// What to save, so that `restore` comes to the same.
    pub fn files(&self) -> Vec<(String, Arc<[u8]>)> {
        let mut files = self.trust.files();
        if let Some(evidence) = self.current_evidence() {
            let both = [&evidence.first, &evidence.second];
            files.extend(EVIDENCE.iter().zip(both).map(|(name, bytes)| ((*name).to_owned(), bytes.as_slice().into())));
        }
        files
    }

    /// Whose chain it is.
    pub fn signer(&self) -> Signer {
        self.signer
    }

    /// What is believed.
    pub fn trust(&self) -> &TrustedSet {
        &self.trust
    }

    /// The version of which the signer's keys signed two timestamps, while one of them is the newest.
    pub fn equivocation(&self) -> Option<u64> {
        self.current_evidence().and_then(|evidence| stated_version(&evidence.first))
    }

    /// The evidence, while it is against the newest timestamp.
    pub(crate) fn current_evidence(&self) -> Option<&message::Equivocation> {
        let evidence = self.evidence.as_ref()?;
        let version = self.trust.timestamp_version()?;
        let (_, newest) = self.trust.metadata(&Role::Timestamp, Some(version))?;
        (newest[..] == evidence.first[..]).then_some(evidence)
    }

    /// Keeps bytes that contradict the timestamp that is trusted. Returns whether they do, and it was not known.
    pub(crate) fn contradicted(&mut self, second: &[u8]) -> bool {
        let Err(Rejection::Equivocation { version, .. }) = self.trust.offer(&Role::Timestamp, second) else {
            return false;
        };
        self.refresh.contradicted(version);
        if self.current_evidence().is_some() {
            return false;
        }
        let Some((_, first)) = self.trust.metadata(&Role::Timestamp, Some(version)) else { return false };
        self.evidence =
            Some(message::Equivocation { first: ByteBuf::from(first.to_vec()), second: ByteBuf::from(second) });
        true
    }

    /// A peer carries this repository, and is to be told the head.
    pub(crate) fn introduced(&mut self, peer: PeerId) {
        self.told.remove(&peer);
        self.untold.push(peer);
    }

    /// When something is due though nothing happened.
    pub(crate) fn wakeup(&self) -> Time {
        let tells_at = if self.untold.is_empty() { self.gossip_at } else { self.gossip_at.min(self.tell_more_at) };
        self.refresh.wakeup().map_or(tells_at, |at| tells_at.min(at))
    }

    /// Asks the next question, and tells peers what is new. Returns whether the head has changed since this was last
    /// called.
    pub(crate) fn advance(
        &mut self,
        peers: &Peers,
        now: Time,
        rng: &mut Rng,
        outputs: &mut impl Extend<Output>,
    ) -> bool {
        // What is trusted changes only with an answer, and after one nothing is settled.
        if self.refresh.is_settled(now) && self.untold.is_empty() && self.gossip_at > now {
            return false;
        }
        if let Some(request) = self.refresh.next(&self.trust, now) {
            let (role, version) = (request.role, request.version);
            outputs.extend([match request.source {
                Source::Origin => Output::ReadMetadata { signer: self.signer, role, version },
                Source::Peer(to) => Output::Send {
                    to,
                    message: Message::WantMetadata(WantMetadata { role, version }).about(self.signer),
                },
            }]);
        }
        let head = self.trust.head();
        let is_news = head != self.said_head;
        if is_news || self.gossip_at <= now {
            let jitter = Span(rng.below(GOSSIP_EVERY.0 / 2));
            self.gossip_at = now + GOSSIP_EVERY + jitter;
            self.said_head.clone_from(&head);
            self.tells_those_that_know = !is_news;
            self.told.retain(|peer| !is_news && peers.carries(*peer, self.signer));
            self.untold = peers.devices_first().filter(|peer| peers.carries(*peer, self.signer)).collect();
            // Whoever is told later has often heard it from others by then.
            rng.shuffle(&mut self.untold);
        }
        is_news
    }

    /// Tells the head to those that do not know it, so many at a time.
    pub(crate) fn tell_head(&mut self, peers: &Peers, now: Time) -> Option<Output> {
        let Some(head) = self.said_head.filter(|_| !self.untold.is_empty()) else {
            self.untold.clear();
            return None;
        };
        if self.tell_more_at <= now {
            self.tell_more_at = now + TELL_EVERY;
            self.may_tell = PEERS_MAX;
        }
        let mut to = Vec::new();
        while self.may_tell > 0
            && let Some(peer) = self.untold.pop()
        {
            let knows = self.refresh.head_of(peer) == Some(&head);
            let is_needless = knows && (!self.tells_those_that_know || self.told.contains(&peer));
            if peers.carries(peer, self.signer) && !is_needless {
                self.told.insert(peer);
                to.push(peer);
                self.may_tell -= 1;
            }
        }
        let message = Message::Head(Some(head)).about(self.signer);
        (!to.is_empty()).then_some(Output::SendAll { to, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh;
    use crate::trust::sample::Sample;

    #[test]
    fn a_peer_that_told_the_same_head_is_told_it_once_when_it_is_no_news_any_more() {
        const ANN: PeerId = PeerId(1);
        let mut chain = Chain::new(Signer::Publisher, Sample::release(1).trusted());
        let (mut peers, mut rng) = (Peers::default(), Rng::new(&[0; 32], 0, "chain"));
        peers.connected(ANN);
        assert!(peers.introduced(ANN, mesh::Role::Device));
        let mut told = Vec::new();
        let mut now = Time(1);
        for _ in 0..4 {
            chain.refresh.peer_has(ANN, chain.trust.head(), now);
            chain.advance(&peers, now, &mut rng, &mut Vec::new());
            told.push(chain.tell_head(&peers, now).is_some());
            now = chain.wakeup();
        }
        assert_eq!(told, [false, true, false, false]);
    }
}
