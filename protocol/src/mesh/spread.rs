//! How a seed spends the credit that devices give it: on chunks that no device holds and none was
//! just sent, so that the school sends each chunk about once, whatever the devices know of each other
//! (super-seeding). How near to once it comes stands in `docs/performance.md`.

use super::Picker;
use crate::bitmap::Bitmap;
use crate::id::PeerId;
use crate::rng::Rng;
use crate::time::{Span, Time};
use std::collections::{BTreeMap, VecDeque};

/// A chunk that was sent counts as a copy for this long before its receiver announces it: enough to
/// write and sync it on a slow disk. After that it is sent to somebody else.
const PROMISE: Span = Span::from_secs(10);

/// Which chunks of one release are out, announced or promised.
#[derive(Debug)]
pub struct Spread {
    picker: Picker,
    /// By chunk, the promise that its receiver has not kept yet.
    promises: BTreeMap<u32, Promise>,
    /// Somebody was left with nothing to choose.
    exhausted: bool,
    /// All promises in the order in which they expire, with those that were kept or taken back meanwhile.
    expiring: VecDeque<(Time, u32)>,
}

#[derive(Debug)]
struct Promise {
    to: PeerId,
    expires: Time,
}

impl Spread {
    /// Nothing is out yet of the chunks that the seed holds.
    pub fn new(held: &Bitmap) -> Self {
        let mut picker = Picker::new(held.len());
        held.iter().for_each(|index| picker.open(index));
        Self { picker, promises: BTreeMap::new(), exhausted: false, expiring: VecDeque::new() }
    }

    /// A chunk that nobody holds and nobody was promised; from now on `to` is.
    pub fn choose(&mut self, to: PeerId, now: Time, rng: &mut Rng) -> Option<u32> {
        self.exhausted = !self.picker.has_unheld();
        let index = self.picker.pick_unheld(rng)?;
        let expires = now + PROMISE;
        self.promises.insert(index, Promise { to, expires });
        self.expiring.push_back((expires, index));
        self.picker.gain(index);
        Some(index)
    }

    /// Whether there is a chunk to choose again, after there was none; told once.
    pub fn reopened(&mut self) -> bool {
        let reopened = self.exhausted && self.picker.has_unheld();
        self.exhausted &= !reopened;
        reopened
    }

    /// A device announced the chunk.
    pub fn gain(&mut self, index: u32) {
        if self.promises.remove(&index).is_none() {
            self.picker.gain(index);
        }
        self.drop_settled();
    }

    /// A device that had announced the chunk is gone.
    pub fn lose(&mut self, index: u32) {
        self.picker.lose(index);
    }

    /// The seed no longer holds the chunk.
    pub fn spoilt(&mut self, index: u32) {
        self.picker.close(index);
    }

    /// Takes back what was promised to a peer that left.
    pub fn peer_left(&mut self, peer: PeerId) {
        let Self { picker, promises, .. } = self;
        promises.retain(|index, promise| {
            let keep = promise.to != peer;
            if !keep {
                picker.lose(*index);
            }
            keep
        });
        self.drop_settled();
    }

    /// Takes back promises that were never announced.
    pub fn expire(&mut self, now: Time) {
        while let Some((expires, index)) = self.expiring.front().copied().filter(|(expires, _)| *expires <= now) {
            self.expiring.pop_front();
            if self.is_promised(index, expires) {
                self.promises.remove(&index);
                self.picker.lose(index);
            }
        }
        self.drop_settled();
    }

    /// When the next promise expires.
    pub fn wakeup(&self) -> Option<Time> {
        self.expiring.front().map(|(expires, _)| *expires)
    }

    /// Keeps a live promise at the front, so that nobody is woken for one that was kept.
    fn drop_settled(&mut self) {
        while self.expiring.front().is_some_and(|(expires, index)| !self.is_promised(*index, *expires)) {
            self.expiring.pop_front();
        }
    }

    fn is_promised(&self, index: u32, expires: Time) -> bool {
        self.promises.get(&index).is_some_and(|promise| promise.expires == expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: PeerId = PeerId(1);
    const BOB: PeerId = PeerId(2);

    fn choose_all(spread: &mut Spread, to: PeerId, now: Time) -> Vec<u32> {
        let mut rng = Rng::new(&[3; 32], 0, "test");
        let mut chosen: Vec<u32> = std::iter::from_fn(|| spread.choose(to, now, &mut rng)).collect();
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
        spread.gain(1); // announced, then its holder is lost as a holder
        spread.peer_left(ANN);
        spread.lose(1);
        assert_eq!(choose_all(&mut spread, BOB, Time(0)), [0, 1, 2]);
    }

    #[test]
    fn a_promise_that_is_never_announced_expires() {
        let mut spread = Spread::new(&Bitmap::full(2));
        choose_all(&mut spread, ANN, Time(0));
        spread.gain(0);
        let later = spread.wakeup().unwrap();
        spread.expire(later);
        assert_eq!(choose_all(&mut spread, BOB, later), [1]);
    }
}
