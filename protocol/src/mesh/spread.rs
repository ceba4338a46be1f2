//! How a seed spends the credit that devices give it: on chunks that no device holds and none was just sent, so
//! that the school sends each chunk about once, whatever the devices know of each other (super-seeding). How
//! near to once it comes stands in `docs/performance.md`.
//!
//! A chunk that goes out once is entrusted to its receiver until another device announces it too. Whoever passes
//! chunks on fast gets the next one sooner, and whoever keeps them to itself, whether its uplink is slow or it
//! lies, gets few. What was kept for long is entrusted to another once nothing else is left. What the seed
//! never sent, and only some claim to hold, is sent all the same: they may have it from an older release, or boast.

use super::picker::Picker;
use crate::bitmap::Bitmap;
use crate::id::PeerId;
use crate::rng::Rng;
use crate::time::{Span, Time};
use std::collections::{BTreeMap, VecDeque};

/// A chunk that was sent counts as a copy for this long before its receiver announces it: enough to
/// write and sync it on a slow disk. After that it is sent to somebody else.
const PROMISE: Span = Span::from_secs(10);
/// A chunk that its receiver announced, and nobody else within this time, is given to another as well. A device
/// with 24 askers on a slow link passes a chunk on within three seconds.
const KEPT_FOR_LONG: Span = Span::from_secs(5);

/// Entries of the queues that no longer count, beyond as many as those that do.
const SETTLED_MAX: usize = 64;

/// Which chunks of one release are out, announced or promised.
#[derive(Debug)]
pub struct Spread {
    picker: Picker,
    /// Held here, and never sent to anybody, as far as is known.
    unsent: Bitmap,
    /// By chunk, who was sent it and is still the only one.
    entrusted: BTreeMap<u32, Trust>,
    receivers: BTreeMap<PeerId, Receiver>,
    /// All that was entrusted in the order of sending, with what was passed on or taken back meanwhile.
    order: VecDeque<(Time, u32)>,
    /// The same, as far as it may still expire unannounced.
    promises: VecDeque<(Time, u32)>,
    /// When somebody was left with nothing to choose last, and how many devices there were.
    exhausted: Option<(Time, usize)>,
}

/// A device that was given chunks.
#[derive(Clone, Copy, Debug, Default)]
struct Receiver {
    given: u32,
    /// Of these, how many are entrusted to it now.
    kept: u32,
}

#[derive(Debug)]
struct Trust {
    to: PeerId,
    sent: Time,
    announced: bool,
}

impl Spread {
    /// Nothing is out yet of the chunks that the seed holds.
    pub fn new(held: &Bitmap) -> Self {
        let mut picker = Picker::new(held.len());
        held.iter().for_each(|index| picker.open(index));
        Self {
            picker,
            unsent: held.clone(),
            entrusted: BTreeMap::new(),
            receivers: BTreeMap::new(),
            order: VecDeque::new(),
            promises: VecDeque::new(),
            exhausted: None,
        }
    }

    /// A chunk that nobody holds and nobody was promised; or else one that `lacks` allows and few of so many
    /// `devices` claim, or that another keeps to itself. From now on it is entrusted to `to`.
    pub fn choose(
        &mut self,
        to: PeerId,
        devices: usize,
        lacks: impl Fn(u32) -> bool,
        now: Time,
        rng: &mut Rng,
    ) -> Option<u32> {
        let fresh = self.picker.pick_unheld(rng).or_else(|| self.claimed_by_few(devices, &lacks, rng));
        let index = if let Some(index) = fresh {
            self.picker.gain(index);
            index
        } else if let Some(kept) = self.kept_for_long(to, lacks, now) {
            kept
        } else {
            self.exhausted = Some((now, devices));
            return None;
        };
        self.entrust(index, to, now);
        Some(index)
    }

    /// A chunk is sent because it was asked for by name; if it is the first copy, it is entrusted like others.
    pub fn named(&mut self, to: PeerId, index: u32, now: Time) {
        if self.unsent.contains(index) || (self.picker.is_open(index) && self.picker.copies(index) == 0) {
            self.picker.gain(index);
            self.entrust(index, to, now);
        }
    }

    /// How likely a device is to keep the next chunk to itself, in fifths, judged by what it was given before: by the
    /// rule of succession, so that one of which nothing is known stands between the good and the bad, and in
    /// coarse steps, so that equals take turns.
    pub fn keeps_fifths(&self, peer: PeerId) -> u32 {
        let Receiver { given, kept } = self.receivers.get(&peer).copied().unwrap_or_default();
        (kept + 2) * 5 / (given + 3)
    }

    /// Whether there may be a chunk to choose again, after there was none; told once. What many claimed of so many
    /// devices may be few of others.
    pub fn reopened(&mut self, devices: usize, now: Time) -> bool {
        let matured = self.matures_at().is_some_and(|at| at <= now);
        let reopened = |(_, before): &mut (Time, usize)| self.picker.has_unheld() || matured || *before != devices;
        self.exhausted.take_if(reopened).is_some()
    }

    /// A device announced the chunk.
    pub fn gain(&mut self, index: u32, peer: PeerId) {
        match self.entrusted.get_mut(&index) {
            // It was counted when it was sent.
            Some(trust) if trust.to == peer && !trust.announced => trust.announced = true,
            Some(_) => {
                self.settle(index);
                self.picker.gain(index);
            }
            None => self.picker.gain(index),
        }
        self.drop_settled();
    }

    /// A device that had announced the chunk is gone.
    pub fn lose(&mut self, index: u32) {
        self.picker.lose(index);
    }

    /// The seed no longer holds the chunk.
    pub fn spoilt(&mut self, index: u32) {
        self.unsent.remove(index);
        self.picker.close(index);
    }

    /// Takes back what was sent to a peer that left and that it never announced.
    pub fn peer_left(&mut self, peer: PeerId) {
        let entrusted: Vec<u32> =
            self.entrusted.iter().filter(|(_, trust)| trust.to == peer).map(|(index, _)| *index).collect();
        entrusted.into_iter().for_each(|index| self.take_back(index));
        self.receivers.remove(&peer);
        self.drop_settled();
    }

    /// Takes back what was sent and never announced.
    pub fn expire(&mut self, now: Time) {
        while let Some((sent, index)) = self.promises.front().copied().filter(|(sent, _)| *sent + PROMISE <= now) {
            self.promises.pop_front();
            if self.is_promised_since(index, sent) {
                self.take_back(index);
            }
        }
        self.drop_settled();
    }

    /// When something is taken back, or can be given to another while there is nothing else to give.
    pub fn wakeup(&self) -> Option<Time> {
        let expires_at = self.promises.front().map(|(sent, _)| *sent + PROMISE);
        expires_at.into_iter().chain(self.matures_at()).min()
    }
}

impl Spread {
    /// A chunk that was never sent and that less than two thirds of the devices claim to hold, drawn at random.
    fn claimed_by_few(&self, devices: usize, lacks: impl Fn(u32) -> bool, rng: &mut Rng) -> Option<u32> {
        let few = |index: u32| usize::from(self.picker.copies(index)) * 3 < devices * 2;
        let start = u32::try_from(rng.below(self.unsent.len().into())).unwrap_or(0);
        let candidates = self.unsent.iter_from(start).chain(self.unsent.iter().take_while(|index| *index < start));
        candidates.into_iter().find(|index| few(*index) && lacks(*index))
    }

    /// Of the chunks that others kept for long, the one that was sent first and that `to` lacks.
    fn kept_for_long(&mut self, to: PeerId, lacks: impl Fn(u32) -> bool, now: Time) -> Option<u32> {
        let long_ago = |(sent, _): &&(Time, u32)| *sent + KEPT_FOR_LONG <= now;
        let given = |(sent, index): &&(Time, u32)| {
            let trust = self.entrusted.get(index).filter(|trust| trust.sent == *sent);
            trust.is_some_and(|trust| trust.announced && trust.to != to) && lacks(*index)
        };
        let (_, index) = *self.order.iter().take_while(long_ago).find(given)?;
        self.settle(index);
        Some(index)
    }

    /// When the first chunk will have been kept for long that was not when there was nothing to choose.
    fn matures_at(&self) -> Option<Time> {
        let (exhausted_at, _) = self.exhausted?;
        let next = self.order.partition_point(|(sent, _)| *sent + KEPT_FOR_LONG <= exhausted_at);
        self.order.get(next).map(|(sent, _)| *sent + KEPT_FOR_LONG)
    }

    fn entrust(&mut self, index: u32, to: PeerId, now: Time) {
        self.unsent.remove(index);
        self.settle(index);
        self.entrusted.insert(index, Trust { to, sent: now, announced: false });
        let receiver = self.receivers.entry(to).or_default();
        receiver.given += 1;
        receiver.kept += 1;
        self.order.push_back((now, index));
        self.promises.push_back((now, index));
        self.sweep();
    }

    /// Keeps both queues from growing behind a chunk that is kept for ever, while others are refused and chosen again.
    fn sweep(&mut self) {
        let Self { order, promises, entrusted, .. } = self;
        if order.len() > 2 * entrusted.len() + SETTLED_MAX {
            let counts = |(sent, index): &(Time, u32)| entrusted.get(index).is_some_and(|trust| trust.sent == *sent);
            order.retain(counts);
            promises.retain(counts);
        }
    }

    /// A chunk is no longer entrusted to anybody.
    fn settle(&mut self, index: u32) -> Option<Trust> {
        let trust = self.entrusted.remove(&index)?;
        if let Some(receiver) = self.receivers.get_mut(&trust.to) {
            receiver.kept -= 1;
        }
        Some(trust)
    }

    /// The same; if it was never announced, it is no longer a copy, and as good as never sent.
    fn take_back(&mut self, index: u32) {
        if self.settle(index).is_some_and(|trust| !trust.announced) {
            self.picker.lose(index);
            self.unsent.insert(index);
        }
    }

    /// Keeps what still counts at the front of both queues, so that nobody is woken for what was passed on.
    fn drop_settled(&mut self) {
        while self.order.front().is_some_and(|(sent, index)| !self.is_entrusted_since(*index, *sent)) {
            self.order.pop_front();
        }
        while self.promises.front().is_some_and(|(sent, index)| !self.is_promised_since(*index, *sent)) {
            self.promises.pop_front();
        }
    }

    fn is_entrusted_since(&self, index: u32, sent: Time) -> bool {
        self.entrusted.get(&index).is_some_and(|trust| trust.sent == sent)
    }

    fn is_promised_since(&self, index: u32, sent: Time) -> bool {
        self.entrusted.get(&index).is_some_and(|trust| trust.sent == sent && !trust.announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: PeerId = PeerId(1);
    const BOB: PeerId = PeerId(2);

    fn choose_all(spread: &mut Spread, to: PeerId, now: Time) -> Vec<u32> {
        let mut rng = Rng::new(&[3; 32], 0, "test");
        let mut chosen: Vec<u32> = std::iter::from_fn(|| spread.choose(to, 2, |_| true, now, &mut rng)).collect();
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn every_chunk_goes_out_once() {
        let mut spread = Spread::new(&Bitmap::full(5));
        assert_eq!(choose_all(&mut spread, ANN, Time(0)), [0, 1, 2, 3, 4]);
        assert_eq!(choose_all(&mut spread, BOB, Time(0)), [0_u32; 0]);
    }

    #[test]
    fn a_receiver_that_dies_frees_its_chunks() {
        let mut spread = Spread::new(&Bitmap::full(3));
        choose_all(&mut spread, ANN, Time(0));
        spread.gain(1, ANN); // announced, then its holder is lost as a holder
        spread.peer_left(ANN);
        spread.lose(1);
        assert_eq!(choose_all(&mut spread, BOB, Time(0)), [0, 1, 2]);
    }

    #[test]
    fn a_chunk_that_is_never_announced_is_sent_again() {
        let mut spread = Spread::new(&Bitmap::full(2));
        choose_all(&mut spread, ANN, Time(0));
        [ANN, BOB].into_iter().for_each(|peer| spread.gain(0, peer));
        spread.expire(Time(0) + PROMISE);
        assert_eq!(choose_all(&mut spread, BOB, Time(0) + PROMISE), [1]);
    }

    #[test]
    fn a_chunk_that_was_never_announced_is_sent_again_though_a_boaster_claims_it() {
        let mut spread = Spread::new(&Bitmap::full(2));
        (0..2).for_each(|index| spread.gain(index, PeerId(9)));
        assert_eq!(choose_all(&mut spread, ANN, Time(0)), [0, 1]);
        assert_eq!(choose_all(&mut spread, BOB, Time(0)), [0_u32; 0]);
        spread.peer_left(ANN);
        assert_eq!(choose_all(&mut spread, BOB, Time(0)), [0, 1]);
    }

    #[test]
    fn boasters_are_not_believed_and_a_class_that_has_the_chunks_is() {
        let claimed = |claimers: u64| {
            let mut spread = Spread::new(&Bitmap::full(4));
            (1..=claimers).for_each(|peer| (0..4).for_each(|index| spread.gain(index, PeerId(peer))));
            spread
        };
        let mut rng = Rng::new(&[3; 32], 0, "test");
        let mut choose = |spread: &mut Spread, devices| {
            let lacks = |index: u32| index != 2;
            std::iter::from_fn(|| spread.choose(PeerId(99), devices, lacks, Time(0), &mut rng)).count()
        };
        assert_eq!([5, 6].map(|claimers| choose(&mut claimed(claimers), 9)), [3, 0]);
        // Half of the class came later.
        let mut spread = claimed(5);
        assert_eq!(choose(&mut spread, 6), 0);
        assert!(!spread.reopened(6, Time(0)) && spread.reopened(9, Time(0)));
        assert_eq!(choose(&mut spread, 9), 3);
    }

    #[test]
    fn a_chunk_is_chosen_announced_and_refused_without_end_behind_one_that_is_kept() {
        let mut spread = Spread::new(&Bitmap::full(2));
        let mut rng = Rng::new(&[3; 32], 0, "test");
        let kept = spread.choose(ANN, 2, |_| true, Time(0), &mut rng).unwrap();
        spread.gain(kept, ANN);
        for round in 1..10_000 {
            let index = spread.choose(BOB, 2, |_| true, Time(round), &mut rng).unwrap();
            spread.gain(index, BOB);
            spread.lose(index);
        }
        let longest = spread.order.len().max(spread.promises.len());
        assert!(longest <= 2 * 2 + SETTLED_MAX, "{longest}");
    }

    #[test]
    fn a_chunk_that_its_receiver_keeps_to_itself_is_given_to_another_in_the_end() {
        let mut spread = Spread::new(&Bitmap::full(3));
        choose_all(&mut spread, ANN, Time(0));
        (0..3).for_each(|index| spread.gain(index, ANN));
        spread.gain(2, BOB);
        assert_eq!((spread.keeps_fifths(ANN), spread.keeps_fifths(BOB), spread.keeps_fifths(PeerId(3))), (3, 3, 3));
        let matures_at = spread.wakeup().unwrap();
        assert!(!spread.reopened(2, Time(0)) && spread.reopened(2, matures_at));
        assert_eq!(choose_all(&mut spread, ANN, matures_at), [0_u32; 0], "it has them");
        assert_eq!(choose_all(&mut spread, BOB, matures_at), [0, 1]);
        assert!(spread.keeps_fifths(ANN) < spread.keeps_fifths(BOB), "what Ann passed on speaks for her");
    }
}
