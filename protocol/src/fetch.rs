//! Fetching one document, slice by slice, from one peer at a time: a manifest or chunk list is small
//! beside the content, and whole from one sender it is clear whom to blame when it does not hash to
//! its name.

use crate::id::{DocumentId, PeerId};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_SLICE_BYTES_MAX};
use crate::message::{Slice, WantDocument};
use crate::output::Document;
use crate::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A slice takes a round trip and 64 KiB; a peer that needs longer is replaced.
const SLICE_WITHIN: Span = Span::from_secs(3);
/// Until its first slice has come a peer may be dead, or not mean to answer, and all waits for this document: another is
/// asked too, and whichever answers first is the one.
const FIRST_SLICE_WITHIN: Span = Span::from_millis(250);
/// A peer that failed is asked again after this long.
const BENCH: Span = Span::from_secs(2);
/// A peer that did not have the document yet, though it has the metadata, will have it soon.
const LACKS_FOR: Span = Span::from_millis(250);
/// A school that did not tell the news itself is asked only after this long for each peer that knows the news: in a
/// large school its uplink would be busy for minutes with documents that a device's peers will have in a moment, and
/// in a small one it would not.
const SPARES_SEEDS_PER_PEER: Span = Span::from_millis(40);
/// An encoded document may exceed its plain length by this much, in bytes (zstd's frame around
/// incompressible data).
const ENCODING_OVERHEAD_BYTES: u64 = 64 * 1024;

/// A document on its way.
#[derive(Debug)]
pub struct Fetch {
    document: Document,
    base: Option<DocumentId>,
    from: Option<PeerId>,
    deadline: Time,
    began: Option<Time>,
    answer_base: Option<DocumentId>,
    received: Vec<u8>,
    benched: BTreeMap<PeerId, Time>,
    /// Who failed to give it, and when: such a peer stands behind all that did not, or before it. So whoever can be asked
    /// is, however many others keep silent.
    turns: BTreeMap<PeerId, u64>,
    failures: u64,
    /// Who was asked, and did not answer in time.
    late: BTreeSet<PeerId>,
}

/// What a slice led to.
#[derive(Debug)]
pub enum Progress {
    /// More is missing: ask for it.
    More(WantDocument),
    /// All is here, encoded against this base.
    Whole(Option<DocumentId>, Vec<u8>),
    /// Not what was asked for.
    Absurd,
}

impl Fetch {
    /// Nothing is here yet of `document`; answers may be compressed against `base`.
    pub fn new(document: Document, base: Option<DocumentId>) -> Self {
        Self {
            document,
            base,
            from: None,
            deadline: Time::default(),
            began: None,
            answer_base: None,
            received: Vec::new(),
            benched: BTreeMap::new(),
            turns: BTreeMap::new(),
            failures: 0,
            late: BTreeSet::new(),
        }
    }

    /// Who gives it, as far as one does.
    pub fn giver(&self) -> Option<PeerId> {
        self.from
    }

    /// What is being fetched.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Whether nobody is at it in time.
    pub fn needs_peer(&self, now: Time) -> bool {
        self.from.is_none() || self.deadline <= now
    }

    /// Whom to ask first or next, in order of preference, and before any for a second time; those to be spared only if
    /// there is nobody else, once the others had their time, or where some of them do not answer and the rest do not have
    /// it.
    pub fn ask(&mut self, willing: &[PeerId], spared: &[PeerId], now: Time) -> Option<(PeerId, WantDocument)> {
        if let Some(late) = self.from {
            self.bench(late, now);
            self.late.insert(late);
        }
        self.benched.retain(|_, until| *until > now);
        let spared_until = *self.began.get_or_insert(now) + SPARES_SEEDS_PER_PEER.times(willing.len() as u64);
        let in_vain = !self.late.is_empty() && willing.iter().all(|peer| self.benched.contains_key(peer));
        let their_time_is_over = willing.is_empty() || in_vain || spared_until <= now;
        let (first, then) = if their_time_is_over { (spared, willing) } else { (willing, &[][..]) };
        let may_be_asked = first.iter().chain(then).filter(|peer| !self.benched.contains_key(peer));
        let peer = *may_be_asked.min_by_key(|peer| self.turns.get(peer))?;
        self.from = Some(peer);
        self.received.clear();
        self.deadline = now + FIRST_SLICE_WITHIN;
        Some((peer, self.want(0)))
    }

    /// A slice came from a peer. Nothing if that peer was not asked, or another was faster.
    pub fn slice(&mut self, from: PeerId, slice: &Slice, now: Time) -> Option<Progress> {
        if slice.id != self.document.id() {
            return None;
        }
        if slice.offset == 0 && self.received.is_empty() && self.late.remove(&from) {
            self.from = Some(from);
        }
        if self.from != Some(from) {
            return None;
        }
        let offset = self.received.len() as u64;
        let first = offset == 0;
        // Only the last may be shorter, lest somebody holds a release up by a byte at a time.
        let full_bytes = slice.encoded_bytes.saturating_sub(offset).min(DOCUMENT_SLICE_BYTES_MAX.into());
        let lawful = slice.offset == offset
            && !slice.bytes.is_empty()
            && slice.bytes.len() as u64 == full_bytes
            && slice.encoded_bytes <= self.document.bytes().min(DOCUMENT_BYTES_MAX) + ENCODING_OVERHEAD_BYTES
            && slice.base.is_none_or(|base| Some(base) == self.base)
            && (first || slice.base == self.answer_base);
        if !lawful {
            return Some(Progress::Absurd);
        }
        self.answer_base = slice.base;
        self.received.extend_from_slice(&slice.bytes);
        self.deadline = now + SLICE_WITHIN;
        let here = self.received.len() as u64;
        Some(if here == slice.encoded_bytes {
            Progress::Whole(self.answer_base, std::mem::take(&mut self.received))
        } else {
            Progress::More(self.want(here))
        })
    }

    /// The peer that was asked failed or lied; another is asked next.
    pub fn bench(&mut self, peer: PeerId, now: Time) {
        self.leave_alone(peer, now + BENCH);
    }

    /// The peer that was asked does not have the document yet; another is asked meanwhile.
    pub fn lacks(&mut self, peer: PeerId, now: Time) {
        self.leave_alone(peer, now + LACKS_FOR);
    }

    fn leave_alone(&mut self, peer: PeerId, until: Time) {
        self.from.take_if(|from| *from == peer);
        self.benched.insert(peer, until);
        self.failures += 1;
        self.turns.insert(peer, self.failures);
    }

    /// The whole document was wrong. Returns who sent it.
    pub fn wrong(&mut self) -> Option<PeerId> {
        self.from.take()
    }

    /// A peer is gone.
    pub fn peer_left(&mut self, peer: PeerId) {
        self.from.take_if(|from| *from == peer);
        self.benched.remove(&peer);
        self.turns.remove(&peer);
        self.late.remove(&peer);
    }

    /// When the peer under way is too late, or a benched one may be asked again.
    pub fn wakeup(&self) -> Option<Time> {
        self.from.map(|_| self.deadline).or_else(|| self.benched.values().copied().min())
    }

    fn want(&self, offset: u64) -> WantDocument {
        WantDocument { id: self.document.id(), base: self.base, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ManifestId;
    use crate::listed::Listed;

    const ANN: PeerId = PeerId(1);
    const BOB: PeerId = PeerId(2);
    const NOW: Time = Time(1_000_000);
    /// The first slice of a document that has three bytes more.
    static HEAD: [u8; DOCUMENT_SLICE_BYTES_MAX as usize] = [7; DOCUMENT_SLICE_BYTES_MAX as usize];
    const TOTAL_BYTES: u64 = HEAD.len() as u64 + 3;
    const BASE: DocumentId = DocumentId::Manifest(ManifestId([2; 32]));

    fn fetch() -> Fetch {
        let path = "stable/tree_1.0.manifest".parse().unwrap();
        let listed =
            Listed { path, manifest: ManifestId([1; 32]), manifest_bytes: TOTAL_BYTES, custom: Default::default() };
        Fetch::new(Document::Manifest(listed), Some(BASE))
    }

    fn slice(offset: u64, bytes: &[u8], encoded_bytes: u64) -> Slice {
        let id = DocumentId::Manifest(ManifestId([1; 32]));
        Slice { id, base: None, encoded_bytes, offset, bytes: bytes.to_vec().into() }
    }

    #[test]
    fn a_document_comes_slice_by_slice_from_the_first_candidate() {
        let mut fetch = fetch();
        let (peer, want) = fetch.ask(&[ANN, BOB], &[], NOW).unwrap();
        assert_eq!((peer, want.offset, want.base), (ANN, 0, Some(BASE)));
        assert!(!fetch.needs_peer(NOW), "one peer at a time");
        let more = fetch.slice(ANN, &slice(0, &HEAD, TOTAL_BYTES), NOW);
        assert!(matches!(more, Some(Progress::More(WantDocument { offset: 65_536, .. }))));
        let whole = fetch.slice(ANN, &slice(HEAD.len() as u64, b"def", TOTAL_BYTES), NOW);
        assert!(matches!(whole, Some(Progress::Whole(None, bytes)) if bytes == [&HEAD[..], b"def"].concat()));
    }

    #[test]
    fn a_peer_that_is_late_is_replaced_and_what_it_sent_is_dropped() {
        let mut fetch = fetch();
        fetch.ask(&[ANN], &[], NOW);
        fetch.slice(ANN, &slice(0, &HEAD, TOTAL_BYTES), NOW);
        let late = fetch.wakeup().unwrap();
        let (peer, want) = fetch.ask(&[ANN, BOB], &[], late).unwrap();
        assert_eq!((peer, want.offset), (BOB, 0));
        assert!(fetch.slice(ANN, &slice(HEAD.len() as u64, b"def", TOTAL_BYTES), late).is_none(), "nobody asked it");
    }

    #[test]
    fn whoever_answers_first_gives_the_document_though_it_is_late() {
        let mut fetch = fetch();
        fetch.ask(&[ANN], &[], NOW);
        let late = fetch.wakeup().unwrap();
        assert_eq!(fetch.ask(&[ANN, BOB], &[], late).unwrap().0, BOB);
        assert!(matches!(fetch.slice(ANN, &slice(0, &HEAD, TOTAL_BYTES), late), Some(Progress::More(_))));
        assert!(fetch.slice(BOB, &slice(0, &HEAD, TOTAL_BYTES), late).is_none(), "another was faster");
        assert_eq!(fetch.giver(), Some(ANN));
    }

    #[test]
    fn a_school_is_asked_soon_where_some_devices_are_silent_and_the_others_have_nothing() {
        const SCHOOL: PeerId = PeerId(3);
        let mut fetch = fetch();
        assert_eq!(fetch.ask(&[ANN, BOB], &[SCHOOL], NOW).unwrap().0, ANN);
        fetch.lacks(ANN, NOW);
        assert_eq!(fetch.ask(&[ANN, BOB], &[SCHOOL], NOW).unwrap().0, BOB);
        let late = fetch.wakeup().unwrap();
        fetch.lacks(ANN, late);
        assert_eq!(fetch.ask(&[ANN, BOB], &[SCHOOL], late).unwrap().0, SCHOOL);
        assert_eq!(late.since(NOW), FIRST_SLICE_WITHIN);
    }

    #[test]
    fn many_silent_peers_do_not_keep_the_last_one_from_being_asked() {
        let peers: Vec<PeerId> = (0..24).map(PeerId).collect();
        let (mut fetch, mut now) = (fetch(), NOW);
        for asked in &peers {
            assert_eq!(fetch.ask(&peers, &[], now).unwrap().0, *asked, "each once before any twice");
            now = fetch.wakeup().unwrap();
        }
        assert_eq!(fetch.ask(&peers, &[], now).unwrap().0, peers[0]);
    }

    #[test]
    fn a_school_is_spared_while_devices_may_have_the_document_soon() {
        const SCHOOL: PeerId = PeerId(99);
        let devices: Vec<PeerId> = (0..25).map(PeerId).collect();
        let mut fetch = fetch();
        let mut now = NOW;
        loop {
            match fetch.ask(&devices, &[SCHOOL], now) {
                Some((SCHOOL, _)) => break,
                Some((peer, _)) => fetch.lacks(peer, now),
                None => now = fetch.wakeup().unwrap(),
            }
        }
        assert_eq!(now.since(NOW), SPARES_SEEDS_PER_PEER.times(25));
        assert_eq!(super::Fetch::new(fetch.document.clone(), None).ask(&[], &[SCHOOL], NOW).unwrap().0, SCHOOL);
    }

    #[test]
    fn absurd_slices_are_called_so() {
        let bad = [
            slice(1, &HEAD, TOTAL_BYTES),
            slice(0, b"", TOTAL_BYTES),
            slice(0, &HEAD[1..], TOTAL_BYTES),
            slice(0, &HEAD, HEAD.len() as u64 - 1),
            slice(0, &HEAD, TOTAL_BYTES + 1 + ENCODING_OVERHEAD_BYTES),
            Slice { base: Some(DocumentId::Manifest(ManifestId([9; 32]))), ..slice(0, &HEAD, TOTAL_BYTES) },
        ];
        for bad in bad {
            let mut fetch = fetch();
            fetch.ask(&[ANN], &[], NOW);
            assert!(matches!(fetch.slice(ANN, &bad, NOW), Some(Progress::Absurd)));
        }
    }
}
