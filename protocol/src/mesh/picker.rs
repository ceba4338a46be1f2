//! Rarest first, kept incrementally: chunks that may be asked for, in buckets by how many peers hold
//! them, so that a change costs O(1) and a choice costs what it skips.

use crate::rng::Rng;

/// Marks a chunk that stands in no bucket.
const CLOSED: u32 = u32::MAX;
/// A bucket with room for no more chunks than this keeps it.
const ROOM_KEPT: usize = 32;

/// Counts copies of every chunk, and picks among the open ones. A chunk is open while it is worth
/// asking for: missing here and not in flight.
#[derive(Debug)]
pub struct Picker {
    copies: Vec<u16>,
    /// By number of copies, the open chunks in no particular order.
    buckets: Vec<Vec<u32>>,
    /// Where each chunk stands in its bucket, or `CLOSED`.
    slots: Vec<u32>,
    open: u32,
}

impl Picker {
    /// A picker over `len` chunks: none open, no copies known.
    pub fn new(len: u32) -> Self {
        Self { copies: vec![0; len as usize], buckets: vec![Vec::new()], slots: vec![CLOSED; len as usize], open: 0 }
    }

    /// Makes a chunk eligible.
    pub fn open(&mut self, index: u32) {
        if !self.is_open(index) {
            self.insert(index);
        }
    }

    /// Makes a chunk ineligible.
    pub fn close(&mut self, index: u32) {
        if self.is_open(index) {
            self.remove(index);
        }
    }

    /// Whether a chunk is eligible.
    pub fn is_open(&self, index: u32) -> bool {
        self.slots[index as usize] != CLOSED
    }

    /// One more peer holds the chunk.
    pub fn gain(&mut self, index: u32) {
        self.recount(index, |copies| copies.saturating_add(1));
    }

    /// One peer fewer holds the chunk.
    pub fn lose(&mut self, index: u32) {
        self.recount(index, |copies| copies.saturating_sub(1));
    }

    /// How many chunks are open.
    pub fn open_count(&self) -> u32 {
        self.open
    }

    /// How many peers hold the chunk.
    pub fn copies(&self, index: u32) -> u16 {
        self.copies[index as usize]
    }

    /// Whether some open chunk is held by nobody that is known.
    pub fn has_unheld(&self) -> bool {
        !self.buckets[0].is_empty()
    }

    /// An open chunk that nobody is known to hold, drawn at random.
    pub fn pick_unheld(&self, rng: &mut Rng) -> Option<u32> {
        pick_from(&self.buckets[0], rng, |_| true)
    }

    /// The rarest open chunk with at least one copy that `acceptable` allows; ties are drawn at random.
    pub fn pick_rarest(&self, rng: &mut Rng, acceptable: impl Fn(u32) -> bool) -> Option<u32> {
        self.buckets.iter().skip(1).find_map(|bucket| pick_from(bucket, rng, &acceptable))
    }

    /// The same, with chunks that nobody is known to hold first of all.
    pub fn pick_unheld_or_rarest(&self, rng: &mut Rng, acceptable: impl Fn(u32) -> bool) -> Option<u32> {
        self.buckets.iter().find_map(|bucket| pick_from(bucket, rng, &acceptable))
    }

    /// Takes the rarest open chunk out of a short list, and those that are not open with it; ties are drawn at
    /// random, lest all who hear the same news ask for the same.
    pub fn take_rarest_of(&self, list: &mut Vec<u32>, rng: &mut Rng) -> Option<u32> {
        list.retain(|index| self.is_open(*index));
        let rarest = list.iter().map(|index| self.copies(*index)).min()?;
        let ties = list.iter().filter(|index| self.copies(**index) == rarest).count();
        let drawn = usize::try_from(rng.below(ties as u64)).unwrap_or(0);
        let at = (0..list.len()).filter(|at| self.copies(list[*at]) == rarest).nth(drawn)?;
        Some(list.swap_remove(at))
    }

    fn recount(&mut self, index: u32, change: impl Fn(u16) -> u16) {
        let open = self.is_open(index);
        if open {
            self.remove(index);
        }
        let copies = &mut self.copies[index as usize];
        *copies = change(*copies);
        if open {
            self.insert(index);
        }
    }

    fn insert(&mut self, index: u32) {
        let copies = usize::from(self.copies[index as usize]);
        if self.buckets.len() <= copies {
            self.buckets.resize_with(copies + 1, Vec::new);
        }
        let bucket = &mut self.buckets[copies];
        self.slots[index as usize] = u32::try_from(bucket.len()).expect("a bucket holds fewer than 2^32 chunks");
        bucket.push(index);
        self.open += 1;
    }

    fn remove(&mut self, index: u32) {
        let bucket = &mut self.buckets[usize::from(self.copies[index as usize])];
        let slot = std::mem::replace(&mut self.slots[index as usize], CLOSED);
        bucket.swap_remove(slot as usize);
        self.open -= 1;
        if let Some(moved) = bucket.get(slot as usize) {
            self.slots[*moved as usize] = slot;
        }
        // Chunks go from bucket to bucket, and would leave each as large as all of them.
        if bucket.capacity() > ROOM_KEPT && bucket.len() < bucket.capacity() / 4 {
            bucket.shrink_to(bucket.len() * 2);
        }
    }
}

/// The first acceptable chunk of a bucket, from a random place on and around.
fn pick_from(bucket: &[u32], rng: &mut Rng, acceptable: impl Fn(u32) -> bool) -> Option<u32> {
    if bucket.is_empty() {
        return None;
    }
    let start = usize::try_from(rng.below(bucket.len() as u64)).unwrap_or(0);
    bucket[start..].iter().chain(&bucket[..start]).copied().find(|index| acceptable(*index))
}

#[cfg(test)]
mod tests {
    use super::{Picker, Rng};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn the_pick_is_always_among_the_rarest_open_chunks(steps in prop::collection::vec((0u8..4, 0u32..20), 1..200)) {
            let mut picker = Picker::new(20);
            let mut copies: BTreeMap<u32, u16> = (0..20).map(|index| (index, 0)).collect();
            let mut open = BTreeSet::new();
            let mut rng = Rng::new(&[1; 32], 0, "test");
            for (step, index) in steps {
                match step {
                    0 => { picker.open(index); open.insert(index); }
                    1 => { picker.close(index); open.remove(&index); }
                    2 => { picker.gain(index); *copies.get_mut(&index).unwrap() += 1; }
                    _ => { picker.lose(index); let held = copies.get_mut(&index).unwrap(); *held = held.saturating_sub(1); }
                }
                let even = |index: u32| index.is_multiple_of(2);
                let rarest = open.iter().filter(|index| even(**index)).map(|index| copies[index]).filter(|copies| *copies > 0).min();
                prop_assert_eq!(picker.pick_rarest(&mut rng, even).map(|index| copies[&index]), rarest);
                let unheld = open.iter().any(|index| copies[index] == 0);
                prop_assert_eq!(picker.pick_unheld(&mut rng).is_some(), unheld);
            }
        }
    }
}
