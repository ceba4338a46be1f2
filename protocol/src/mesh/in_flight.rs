//! What one peer was asked for and has not sent yet: a pipeline of a chunk or two on most links, so a plain list.

use crate::time::Time;

/// Chunks that a peer owes, in the order of asking.
#[derive(Debug, Default)]
pub struct InFlight {
    chunks: Vec<(Time, u32)>,
}

impl InFlight {
    /// A chunk was asked for, once more or for the first time.
    pub fn asked(&mut self, index: u32, now: Time) {
        self.remove(index);
        self.chunks.reserve_exact(1);
        self.chunks.push((now, index));
    }

    /// Whether a chunk is owed.
    pub fn contains(&self, index: u32) -> bool {
        self.chunks.iter().any(|(_, owed)| *owed == index)
    }

    /// A chunk is owed no longer. Returns whether it was.
    pub fn remove(&mut self, index: u32) -> bool {
        let at = self.chunks.iter().position(|(_, owed)| *owed == index);
        at.map(|at| self.chunks.remove(at)).is_some()
    }

    /// Nothing is owed any longer. Returns what was.
    pub fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.chunks).into_iter().map(|(_, index)| index).collect()
    }

    /// How many are owed.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// What is owed, with the moment of asking.
    pub fn iter(&self) -> impl Iterator<Item = (Time, u32)> {
        self.chunks.iter().copied()
    }
}
