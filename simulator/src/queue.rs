//! The event queue: what will happen, in the one total order (time, sequence) that makes a run repeatable.

use protocol::time::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by the moment at which they happen; those of the same moment in the order of their planning. The
/// heap holds short keys, because it moves them about, and the events themselves lie still in slots.
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Key>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: Time,
    sequence: u64,
    slot: u32,
}

impl<E> Queue<E> {
    /// Nothing will happen.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Plans an event.
    ///
    /// # Panics
    /// If four thousand million events are planned at once.
    pub fn push(&mut self, at: Time, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("so many events do not fit in memory")
        });
        self.slots[slot as usize] = Some(event);
        self.heap.push(Reverse(Key { at, sequence: self.sequence, slot }));
        self.sequence += 1;
    }

    /// The next event and its moment.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse(Key { at, slot, .. }) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.slots[slot as usize].take()?))
    }

    /// All that is planned, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.slots.iter().flatten()
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_moment_keep_the_order_of_planning() {
        let mut queue = Queue::new();
        for (at, event) in [(5, "c"), (1, "a"), (5, "d"), (3, "b"), (5, "e")] {
            queue.push(Time(at), event);
        }
        let order: Vec<&str> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(order, ["a", "b", "c", "d", "e"]);
    }
}
