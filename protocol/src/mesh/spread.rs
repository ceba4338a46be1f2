//! How a seed spends the credit that devices give it: on chunks that no device holds and none was
//! just sent, so that the school sends each chunk about once, whatever the devices know of each other
//! (super-seeding). How near to once it comes stands in `docs/performance.md`.

use super::Picker;
use crate::bitmap::Bitmap;
use crate::id::PeerId;
use crate::rng::Rng;
use crate::time::{Span, Time};
use std::collections::BTreeMap;

/// A chunk that was sent counts as a copy for this long before its receiver announces it: enough to
/// write and sync it on a slow disk. After that it is sent to somebody else.
const PROMISE: Span = Span::from_secs(10);

/// Which chunks of one release are out, announced or promised.
#[derive(Debug)]
pub struct Spread {
    picker: Picker,
    promises: BTreeMap<u32, Promise>,
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
        Self { picker, promises: BTreeMap::new() }
    }

    /// A chunk that nobody holds and nobody was promised; from now on `to` is.
    pub fn choose(&mut self, to: PeerId, now: Time, rng: &mut Rng) -> Option<u32> {
        let index = self.picker.pick_unheld(rng)?;
        self.promises.insert(index, Promise { to, expires: now + PROMISE });
        self.picker.gain(index);
        Some(index)
    }

    /// A device announced the chunk.
    pub fn gain(&mut self, index: u32) {
        if self.promises.remove(&index).is_none() {
            self.picker.gain(index);
        }
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
        self.release(|promise| promise.to == peer);
    }

    /// Takes back promises that were never announced.
    pub fn expire(&mut self, now: Time) {
        self.release(|promise| promise.expires <= now);
    }

    /// When the next promise expires.
    pub fn wakeup(&self) -> Option<Time> {
        self.promises.values().map(|promise| promise.expires).min()
    }

    fn release(&mut self, broken: impl Fn(&Promise) -> bool) {
        let Self { picker, promises } = self;
        promises.retain(|index, promise| {
            let keep = !broken(promise);
            if !keep {
                picker.lose(*index);
            }
            keep
        });
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
