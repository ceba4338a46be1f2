//! A set of chunk indexes below a fixed length, as bits.

/// A fixed-length set of indexes, with its count kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitmap {
    words: Box<[u64]>,
    len: u32,
    count: u32,
}

impl Bitmap {
    /// The empty set below `len`.
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)].into(), len, count: 0 }
    }

    /// The set of all indexes below `len`.
    pub fn full(len: u32) -> Self {
        let mut words: Box<[u64]> = vec![u64::MAX; (len as usize).div_ceil(64)].into();
        if let Some(last) = words.last_mut().filter(|_| !len.is_multiple_of(64)) {
            *last = (1 << (len % 64)) - 1;
        }
        Self { words, len, count: len }
    }

    /// How many indexes there could be.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the set holds every index below its length.
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// How many indexes the set holds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the set holds `index`; false beyond its length.
    pub fn contains(&self, index: u32) -> bool {
        index < self.len && self.words[index as usize / 64] & (1 << (index % 64)) != 0
    }

    /// Adds `index`; returns whether it was new. An index beyond the length is ignored.
    pub fn insert(&mut self, index: u32) -> bool {
        let new = index < self.len && !self.contains(index);
        if new {
            self.words[index as usize / 64] |= 1 << (index % 64);
            self.count += 1;
        }
        new
    }

    /// Removes `index`; returns whether it was there.
    pub fn remove(&mut self, index: u32) -> bool {
        let there = self.contains(index);
        if there {
            self.words[index as usize / 64] &= !(1 << (index % 64));
            self.count -= 1;
        }
        there
    }

    /// The indexes held, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0u32..).flat_map(|(word, at)| bits(*word, at))
    }

    /// The indexes held from `start` on, ascending.
    pub fn iter_from(&self, start: u32) -> impl Iterator<Item = u32> + '_ {
        let first = start / 64;
        let rest = self.words.iter().zip(0u32..).skip(first as usize).flat_map(|(word, at)| bits(*word, at));
        rest.skip_while(move |index| *index < start)
    }

    /// The set as little-endian bytes, eight indexes a byte, lowest bit first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate((self.len as usize).div_ceil(8));
        bytes
    }

    /// The set below `len` that `bytes` tell, or nothing if they are not exactly such a set.
    pub fn from_bytes(len: u32, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != (len as usize).div_ceil(8) {
            return None;
        }
        let words: Box<[u64]> = bytes
            .chunks(8)
            .map(|part| {
                let mut word = [0; 8];
                word[..part.len()].copy_from_slice(part);
                u64::from_le_bytes(word)
            })
            .collect();
        let beyond = words.last().is_some_and(|last| !len.is_multiple_of(64) && last >> (len % 64) != 0);
        let count = words.iter().map(|word| word.count_ones()).sum();
        (!beyond).then_some(Self { words, len, count })
    }
}

/// The indexes in one word of a set, ascending.
fn bits(word: u64, at: u32) -> impl Iterator<Item = u32> {
    let words = std::iter::successors((word != 0).then_some(word), |word| {
        let rest = word & (word - 1);
        (rest != 0).then_some(rest)
    });
    words.map(move |word| at * 64 + word.trailing_zeros())
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.count, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_bitmap_behaves_like_a_set(len in 0u32..200, steps in prop::collection::vec((any::<bool>(), 0u32..210), 0..300)) {
            let mut bitmap = Bitmap::new(len);
            let mut model = BTreeSet::new();
            for (insert, index) in steps {
                if insert {
                    prop_assert_eq!(bitmap.insert(index), index < len && model.insert(index));
                } else {
                    prop_assert_eq!(bitmap.remove(index), model.remove(&index));
                }
            }
            prop_assert_eq!(bitmap.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(bitmap.iter_from(70).collect::<Vec<_>>(), model.range(70..).copied().collect::<Vec<_>>());
            prop_assert_eq!(bitmap.count() as usize, model.len());
            prop_assert_eq!(Bitmap::from_bytes(len, &bitmap.to_bytes()), Some(bitmap));
            let mut all = Bitmap::new(len);
            (0..len).for_each(|index| assert!(all.insert(index)));
            prop_assert_eq!(Bitmap::full(len), all);
        }
    }

    #[test]
    fn bytes_with_bits_beyond_the_length_are_refused() {
        assert_eq!(Bitmap::from_bytes(3, &[0b1000]), None);
        assert_eq!(Bitmap::from_bytes(3, &[0b0111, 0]), None);
        assert_eq!(Bitmap::from_bytes(3, &[0b0111]), Some(Bitmap::full(3)));
    }
}
