//! The event queue: what will happen, in the one total order (time, sequence) that makes a run repeatable.

use protocol::time::Time;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// A slice of time is 2 to this power microseconds: a quarter of a millisecond, in which a thousand hosts have a dozen
/// events.
const SLICE_BITS: u32 = 8;

/// Events by the moment at which they happen; those of the same moment in the order of their planning. Only those of
/// the present slice of time are kept in order; later ones lie unordered in their slices, because one heap of them all
/// would not fit into a processor's cache.
pub struct Queue<E> {
    present: BinaryHeap<Planned<E>>,
    /// Slices later than the present one; none is empty.
    later: BTreeMap<u64, Vec<Planned<E>>>,
    /// The number of the present slice.
    slice: u64,
    sequence: u64,
}

struct Planned<E> {
    at: Time,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    /// Nothing will happen.
    pub fn new() -> Self {
        Self { present: BinaryHeap::new(), later: BTreeMap::new(), slice: 0, sequence: 0 }
    }

    /// Plans an event.
    pub fn push(&mut self, at: Time, event: E) {
        let planned = Planned { at, sequence: self.sequence, event };
        self.sequence += 1;
        let slice = at.0 >> SLICE_BITS;
        if slice <= self.slice {
            self.present.push(planned);
        } else {
            self.later.entry(slice).or_default().push(planned);
        }
    }

    /// The next event and its moment.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        if self.present.is_empty() {
            let (slice, planned) = self.later.pop_first()?;
            self.slice = slice;
            self.present.extend(planned);
        }
        self.present.pop().map(|Planned { at, event, .. }| (at, event))
    }

    /// All that is planned, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.present.iter().chain(self.later.values().flatten()).map(|planned| &planned.event)
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// What happens sooner is the greater, so that the heap has it on top.
impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Planned<E> {}

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

    #[test]
    fn what_is_planned_meanwhile_falls_into_its_place() {
        let mut queue = Queue::new();
        [9_000, 2_000, 70_000_000].into_iter().for_each(|at| queue.push(Time(at), at));
        let mut order = Vec::new();
        while let Some((at, event)) = queue.pop() {
            order.push(event);
            if order.len() == 1 {
                // At this moment, in this slice, in one between, in that of another, and far away.
                [2_000, 2_001, 5_000, 8_999, 80_000_000].into_iter().for_each(|at| queue.push(Time(at), at));
            }
            assert_eq!(at, Time(event));
        }
        assert_eq!(order, [2_000, 2_000, 2_001, 5_000, 8_999, 9_000, 70_000_000, 80_000_000]);
        assert_eq!(queue.iter().count(), 0);
    }
}
