//! What peers have asked of this node, and whose turn it is. Bytes move in the driver: a grant tells
//! it to read and send one chunk, and it reports when that chunk has left.

use super::by_peer::ByPeer;
use crate::id::{ManifestId, PeerId};
use crate::limits::{CREDIT_CHUNKS_MAX, UPLOADS_PER_PEER_MAX, WANTS_QUEUED_MAX};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One chunk to read and send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who receives it.
    pub to: PeerId,
    /// The release it belongs to.
    pub release: ManifestId,
    /// Its index in that release's chunk list.
    pub index: u32,
}

/// How a seed spends the credit that peers give it.
pub trait Chooser {
    /// A chunk of the release for this peer, or nothing for now.
    fn choose(&mut self, peer: PeerId, release: ManifestId) -> Option<u32>;
    /// A chunk goes to this peer because it named it.
    fn named(&mut self, peer: PeerId, release: ManifestId, index: u32);
    /// Whether this peer says that it holds the chunk.
    fn claims(&self, peer: PeerId, release: ManifestId, index: u32) -> bool;
    /// How likely this peer is to keep a chunk to itself, in fifths: the less, the sooner its turn.
    fn keeps_fifths(&self, peer: PeerId) -> u32;
}

/// The queue of one peer.
#[derive(Debug, Default)]
struct Queue {
    wants: VecDeque<(ManifestId, u32)>,
    credit: BTreeMap<ManifestId, u32>,
    granted: usize,
    /// Whether it stands in the line for turns.
    in_line: bool,
    /// Whether its credit can be spent, as far as was tried.
    spendable: bool,
}

/// All that was asked of this node and not yet sent.
#[derive(Debug)]
pub struct Uploads {
    queues: ByPeer<Queue>,
    /// Grants that the driver can have under way at once.
    slots: usize,
    granted: usize,
    /// Peers that may have something to be sent, in the order of their turns.
    line: VecDeque<PeerId>,
    /// Peers with credit for which there was nothing to choose.
    parked: BTreeSet<PeerId>,
}

impl Uploads {
    /// No queue; at most `slots` grants under way.
    pub fn new(slots: usize) -> Self {
        Self { queues: ByPeer::default(), slots, granted: 0, line: VecDeque::new(), parked: BTreeSet::new() }
    }

    /// A peer asks for chunks by name. Returns false if it has asked for more than is lawful.
    pub fn want(&mut self, peer: PeerId, release: ManifestId, indexes: &[u32]) -> bool {
        let queue = self.queues.get_or_insert_with(peer, Queue::default);
        let fits = queue.wants.len() + indexes.len() <= WANTS_QUEUED_MAX;
        if fits {
            // A peer asks for a chunk or two at a time, of each of two dozen peers.
            queue.wants.reserve_exact(indexes.len());
            queue.wants.extend(indexes.iter().map(|index| (release, *index)));
            queue.line_up(peer, &mut self.line);
        }
        fits
    }

    /// A peer accepts so many more chunks of this node's choice.
    pub fn credit(&mut self, peer: PeerId, release: ManifestId, chunks: u32) {
        let queue = self.queues.get_or_insert_with(peer, Queue::default);
        let credit = queue.credit.entry(release).or_default();
        *credit = credit.saturating_add(chunks).min(CREDIT_CHUNKS_MAX);
        queue.spendable = true;
        queue.line_up(peer, &mut self.line);
    }

    /// There is something to choose again.
    pub fn unpark(&mut self) {
        for peer in std::mem::take(&mut self.parked) {
            if let Some(queue) = self.queues.get_mut(peer) {
                queue.spendable = true;
                queue.line_up(peer, &mut self.line);
            }
        }
    }

    /// A peer no longer wants these.
    pub fn cancel(&mut self, peer: PeerId, release: ManifestId, indexes: &[u32]) {
        if let Some(queue) = self.queues.get_mut(peer) {
            queue.wants.retain(|want| want.0 != release || !indexes.contains(&want.1));
        }
    }

    /// Nothing of this release is served any more.
    pub fn forget(&mut self, release: ManifestId) {
        for queue in self.queues.values_mut() {
            queue.wants.retain(|want| want.0 != release);
            queue.credit.remove(&release);
        }
    }

    /// A peer is gone, with all that it asked for.
    pub fn peer_left(&mut self, peer: PeerId) {
        if let Some(queue) = self.queues.remove(peer) {
            self.granted -= queue.granted;
            self.line.retain(|waits| *waits != peer);
            self.parked.remove(&peer);
        }
    }

    /// The driver has sent a granted chunk, or failed to.
    pub fn done(&mut self, peer: PeerId) {
        if let Some(queue) = self.queues.get_mut(peer) {
            queue.granted -= 1;
            self.granted -= 1;
            queue.line_up(peer, &mut self.line);
        }
    }

    /// Whether there may be a grant as soon as somebody asks for one.
    pub fn waits(&self) -> bool {
        self.granted < self.slots && !self.line.is_empty()
    }

    /// The next grant while slots are free, turn by turn.
    pub fn grant(&mut self, chooser: &mut impl Chooser) -> Option<Grant> {
        while self.granted < self.slots
            && let Some(peer) = self.next_in_line(chooser)
        {
            let Some(queue) = self.queues.get_mut(peer) else { continue };
            queue.in_line = false;
            let (next, chosen) = queue.next(peer, chooser);
            if queue.spendable && !chosen {
                queue.spendable = false;
                self.parked.insert(peer);
            }
            if let Some((release, index)) = next {
                queue.granted += 1;
                self.granted += 1;
                queue.line_up(peer, &mut self.line);
                return Some(Grant { to: peer, release, index });
            }
        }
        None
    }

    /// The first in line of those that keep the least to themselves; those that name chunks come after them, and
    /// whoever names what it claims to hold comes last: one of the two is not true.
    fn next_in_line(&mut self, chooser: &impl Chooser) -> Option<PeerId> {
        let mut best: Option<((bool, bool, u32), usize)> = None;
        for (at, peer) in self.line.iter().enumerate() {
            let Some(queue) = self.queues.get(*peer) else { continue };
            let named = queue.wants.front().filter(|_| !queue.spendable);
            let boasts = named.is_some_and(|(release, index)| chooser.claims(*peer, *release, *index));
            let kept = (named.is_some(), boasts, chooser.keeps_fifths(*peer));
            if best.is_none_or(|(least, _)| kept < least) {
                best = Some((kept, at));
            }
            if !boasts && kept.2 == 0 {
                break;
            }
        }
        self.line.remove(best?.1)
    }
}

impl Queue {
    /// Takes a place in the line, unless it has one, nothing is left to be sent, or enough is under way: then
    /// [`Uploads::done`] comes back to it.
    fn line_up(&mut self, peer: PeerId, line: &mut VecDeque<PeerId>) {
        if !self.in_line && self.granted < UPLOADS_PER_PEER_MAX && (self.spendable || !self.wants.is_empty()) {
            self.in_line = true;
            line.push_back(peer);
        }
    }

    /// What this peer gets next: first what its credit allows, then what it named. A device names chunks to a
    /// seed only if others do not give them; one that was named and now chosen is sent once. Also returns whether
    /// credit was spent.
    fn next(&mut self, peer: PeerId, chooser: &mut impl Chooser) -> (Option<(ManifestId, u32)>, bool) {
        let credit = self.credit.iter_mut().filter(|(_, credit)| self.spendable && **credit > 0);
        for (release, credit) in credit {
            if let Some(index) = chooser.choose(peer, *release) {
                *credit -= 1;
                self.wants.retain(|want| *want != (*release, index));
                return (Some((*release, index)), true);
            }
        }
        let named = self.wants.pop_front();
        if let Some((release, index)) = named {
            chooser.named(peer, release, index);
        }
        (named, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: ManifestId = ManifestId([9; 32]);

    impl Uploads {
        /// All grants that can be had now.
        fn grants(&mut self, chooser: &mut impl Chooser) -> Vec<Grant> {
            std::iter::from_fn(|| self.grant(chooser)).collect()
        }

        /// Who gets a chunk, one after another.
        fn turns(&mut self, chooser: &mut impl Chooser) -> Vec<u64> {
            let mut turns = Vec::new();
            while let Some(grant) = self.grants(chooser).first() {
                turns.push(grant.to.0);
                self.done(grant.to);
            }
            turns
        }
    }

    /// Chooses these, and knows who keeps how much, and who claims what.
    #[derive(Default)]
    struct Choices(Vec<u32>, BTreeMap<PeerId, u32>, BTreeSet<(PeerId, u32)>);

    impl Chooser for Choices {
        fn choose(&mut self, _: PeerId, _: ManifestId) -> Option<u32> {
            self.0.pop()
        }

        fn named(&mut self, _: PeerId, _: ManifestId, _: u32) {}

        fn claims(&self, peer: PeerId, _: ManifestId, index: u32) -> bool {
            self.2.contains(&(peer, index))
        }

        fn keeps_fifths(&self, peer: PeerId) -> u32 {
            self.1.get(&peer).copied().unwrap_or(0)
        }
    }

    #[test]
    fn turns_go_round_and_a_slow_peer_holds_only_its_own_slots() {
        let mut uploads = Uploads::new(100);
        assert!(uploads.want(PeerId(1), RELEASE, &[0; 50]));
        assert!(uploads.want(PeerId(2), RELEASE, &[0; 50]));
        let order: Vec<u64> = uploads.grants(&mut Choices::default()).iter().map(|grant| grant.to.0).collect();
        let expected: Vec<u64> = [1, 2].into_iter().cycle().take(2 * UPLOADS_PER_PEER_MAX).collect();
        assert_eq!(order, expected);
        uploads.done(PeerId(2));
        let next = uploads.grants(&mut Choices::default());
        assert_eq!(next.iter().map(|grant| grant.to).collect::<Vec<_>>(), [PeerId(2)]);
    }

    #[test]
    fn slots_bound_all_grants_and_come_back_when_a_peer_leaves() {
        let mut uploads = Uploads::new(1);
        uploads.want(PeerId(1), RELEASE, &[7]);
        uploads.want(PeerId(2), RELEASE, &[8]);
        assert_eq!(uploads.grants(&mut Choices::default()).len(), 1);
        assert_eq!(uploads.grants(&mut Choices::default()), []);
        uploads.peer_left(PeerId(1));
        assert_eq!(uploads.grants(&mut Choices::default()), [Grant { to: PeerId(2), release: RELEASE, index: 8 }]);
    }

    #[test]
    fn a_peer_that_asks_for_more_than_a_queue_holds_is_told_so() {
        let mut uploads = Uploads::new(1);
        assert!(!uploads.want(PeerId(1), RELEASE, &vec![0; WANTS_QUEUED_MAX + 1]));
    }

    #[test]
    fn credit_is_spent_on_what_the_seed_chooses_and_waits_when_it_chooses_nothing() {
        let mut uploads = Uploads::new(10);
        uploads.credit(PeerId(1), RELEASE, 2);
        assert_eq!(uploads.grants(&mut Choices::default()), []);
        let mut choices = Choices(vec![6, 5, 4], BTreeMap::new(), BTreeSet::new());
        assert_eq!(uploads.grants(&mut choices), [], "nobody said that there is something to choose");
        uploads.unpark();
        let grants = uploads.grants(&mut choices);
        assert_eq!(grants.iter().map(|grant| grant.index).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn whoever_keeps_less_to_itself_comes_first() {
        let mut uploads = Uploads::new(1);
        let mut choices =
            Choices(vec![3, 2, 1], [(PeerId(1), 5), (PeerId(2), 2), (PeerId(3), 2)].into(), BTreeSet::new());
        (1..=3).for_each(|peer| uploads.credit(PeerId(peer), RELEASE, 1));
        assert_eq!(uploads.turns(&mut choices), [2, 3, 1]);
    }

    #[test]
    fn whoever_asks_for_what_it_claims_to_hold_comes_last() {
        let mut uploads = Uploads::new(1);
        let mut choices = Choices { 2: [(PeerId(1), 7)].into(), ..Choices::default() };
        (1..=3).for_each(|peer| assert!(uploads.want(PeerId(peer), RELEASE, &[7])));
        assert_eq!(uploads.turns(&mut choices), [2, 3, 1]);
    }

    #[test]
    fn a_chunk_that_was_named_and_then_chosen_is_sent_once() {
        let mut uploads = Uploads::new(10);
        uploads.credit(PeerId(1), RELEASE, 1);
        assert!(uploads.want(PeerId(1), RELEASE, &[5, 6]));
        let mut choices = Choices(vec![6], BTreeMap::new(), BTreeSet::new());
        assert_eq!(uploads.grants(&mut choices).iter().map(|grant| grant.index).collect::<Vec<_>>(), [6, 5]);
    }
}
