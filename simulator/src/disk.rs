//! A host's disk: it writes at a rate, and what it wrote survives a power cut only after a sync.

use crate::link::carrying;
use protocol::time::{Span, Time};

/// A disk that is synced in batches: one sync at a time covers all that was written when it began.
pub struct Disk<T> {
    bytes_per_s: u64,
    sync: Span,
    free_at: Time,
    written: Vec<T>,
    syncing: Vec<T>,
}

impl<T> Disk<T> {
    /// An idle disk that writes so many bytes a second, and takes `sync` for a sync.
    pub fn new(bytes_per_s: u64, sync: Span) -> Self {
        Self { bytes_per_s, sync, free_at: Time::default(), written: Vec::new(), syncing: Vec::new() }
    }

    /// Writes so many bytes behind all other writes. Returns when they are written.
    pub fn write(&mut self, bytes: u64, now: Time) -> Time {
        self.free_at = self.free_at.max(now) + carrying(bytes, self.bytes_per_s.saturating_mul(8));
        self.free_at
    }

    /// How long a sync takes.
    pub fn sync(&self) -> Span {
        self.sync
    }

    /// An item was written. Returns when to ask [`Disk::synced`], if a sync begins with it.
    pub fn written(&mut self, item: T, now: Time) -> Option<Time> {
        self.written.push(item);
        self.begin_sync(now)
    }

    /// The sync has ended. Returns what is durable now, and when the next sync ends if one begins.
    pub fn synced(&mut self, now: Time) -> (Vec<T>, Option<Time>) {
        let durable = std::mem::take(&mut self.syncing);
        (durable, self.begin_sync(now))
    }

    /// Forgets all that was not durable.
    pub fn power_cut(&mut self) {
        self.written.clear();
        self.syncing.clear();
        self.free_at = Time::default();
    }

    fn begin_sync(&mut self, now: Time) -> Option<Time> {
        (self.syncing.is_empty() && !self.written.is_empty()).then(|| {
            self.syncing = std::mem::take(&mut self.written);
            now + self.sync
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_during_a_sync_waits_for_the_next() {
        let mut disk = Disk::new(1_000_000, Span(10));
        assert_eq!(disk.written("a", Time(0)), Some(Time(10)));
        assert_eq!(disk.written("b", Time(4)), None);
        assert_eq!(disk.written("c", Time(9)), None);
        assert_eq!(disk.synced(Time(10)), (vec!["a"], Some(Time(20))));
        assert_eq!(disk.synced(Time(20)), (vec!["b", "c"], None));
    }

    #[test]
    fn writes_queue_at_the_rate_of_the_disk() {
        let mut disk: Disk<()> = Disk::new(1_000_000, Span(10));
        assert_eq!(disk.write(100, Time(0)), Time(100));
        assert_eq!(disk.write(50, Time(20)), Time(150));
    }

    #[test]
    fn power_fails_before_the_sync() {
        let mut disk = Disk::new(1_000_000, Span(10));
        disk.written("a", Time(0));
        disk.written("b", Time(1));
        disk.power_cut();
        assert_eq!(disk.synced(Time(10)), (vec![], None));
    }
}
