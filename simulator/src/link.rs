//! One direction of a host's access to the network: the model `queue`.
//!
//! Store and forward. Bulk parcels (chunks) are served one after another, first come, first served, each for
//! its bytes at the link's rate. Control messages do not wait behind them: as packets of a small flow do
//! on a fair link, they are served at once, one after another, and what they take is added to the parcel
//! under way, so that no byte is carried for nothing. Both together never exceed the link's rate.

use protocol::time::{Span, Time};
use std::collections::VecDeque;

/// One direction of a host's access link.
pub struct Link<T> {
    bits_per_s: u64,
    control_free_at: Time,
    /// Parcels with their length in bytes; the first is under way.
    parcels: VecDeque<(u64, T)>,
    /// What control messages took since the first parcel was promised.
    taken: Span,
}

/// What became of the parcel under way at the moment for which its end was promised.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// Control messages came between: ask again at this time.
    Later(Time),
    /// It has passed; the next one, if there is one, ends at the time beside it.
    Passed(T, Option<Time>),
}

impl<T> Link<T> {
    /// An idle link of this rate in bits a second.
    pub fn new(bits_per_s: u64) -> Self {
        Self { bits_per_s, control_free_at: Time::default(), parcels: VecDeque::new(), taken: Span::default() }
    }

    /// Carries a control message of so many bytes. Returns when it has passed.
    pub fn control(&mut self, bytes: u64, now: Time) -> Time {
        self.control_passing(bytes, now + self.carrying(bytes))
    }

    /// Carries a control message of so many bytes that has passed by now unless others were before it. Returns when
    /// it has passed.
    pub fn control_passing(&mut self, bytes: u64, now: Time) -> Time {
        let span = self.carrying(bytes);
        self.control_free_at = now.max(self.control_free_at + span);
        if !self.parcels.is_empty() {
            self.taken = Span(self.taken.0 + span.0);
        }
        self.control_free_at
    }

    /// How long the link is busy with so many bytes.
    pub fn carrying(&self, bytes: u64) -> Span {
        carrying(bytes, self.bits_per_s)
    }

    /// Queues a parcel of so many bytes. Returns when to ask [`Link::passed`], if none was queued before.
    pub fn push(&mut self, parcel: T, bytes: u64, now: Time) -> Option<Time> {
        self.parcels.push_back((bytes, parcel));
        (self.parcels.len() == 1).then(|| self.start(bytes, now))
    }

    /// The promised moment has come.
    ///
    /// # Panics
    /// If nothing is queued: then nothing was promised.
    pub fn passed(&mut self, now: Time) -> Progress<T> {
        let taken = std::mem::take(&mut self.taken);
        if taken > Span::default() {
            return Progress::Later(now + taken);
        }
        let (_, parcel) = self.parcels.pop_front().expect("an end is promised only for a queued parcel");
        let next = self.parcels.front().map(|(bytes, _)| *bytes).map(|bytes| self.start(bytes, now));
        Progress::Passed(parcel, next)
    }

    /// Takes out what is queued and not under way, and for which `unwanted` says so.
    pub fn withdraw(&mut self, unwanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut withdrawn = Vec::new();
        let under_way = self.parcels.pop_front();
        for (bytes, parcel) in std::mem::take(&mut self.parcels) {
            if unwanted(&parcel) {
                withdrawn.push(parcel);
            } else {
                self.parcels.push_back((bytes, parcel));
            }
        }
        if let Some(first) = under_way {
            self.parcels.push_front(first);
        }
        withdrawn
    }

    /// The host went down: all is lost, and nothing that was promised counts.
    pub fn clear(&mut self) -> Vec<T> {
        self.taken = Span::default();
        self.control_free_at = Time::default();
        self.parcels.drain(..).map(|(_, parcel)| parcel).collect()
    }

    /// What is queued or under way.
    pub fn parcels(&self) -> impl Iterator<Item = &T> {
        self.parcels.iter().map(|(_, parcel)| parcel)
    }

    fn start(&mut self, bytes: u64, now: Time) -> Time {
        self.taken = Span::default();
        self.control_free_at.max(now) + self.carrying(bytes)
    }
}

/// How long a link of this rate is busy with so many bytes, rounded up.
pub fn carrying(bytes: u64, bits_per_s: u64) -> Span {
    let micros = (u128::from(bytes) * 8_000_000).div_ceil(u128::from(bits_per_s.max(1)));
    Span(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: u64 = 1_000_000;

    #[test]
    fn parcels_wait_for_each_other() {
        let mut link = Link::new(8 * MBIT); // 1 byte in 1 microsecond
        assert_eq!(link.push("a", 100, Time(0)), Some(Time(100)));
        assert_eq!(link.push("b", 50, Time(10)), None);
        assert_eq!(link.passed(Time(100)), Progress::Passed("a", Some(Time(150))));
        assert_eq!(link.passed(Time(150)), Progress::Passed("b", None));
    }

    #[test]
    fn a_control_message_overtakes_a_parcel_and_takes_its_time_from_it() {
        let mut link = Link::new(8 * MBIT);
        link.push("a", 100, Time(0));
        assert_eq!(link.control(30, Time(50)), Time(80));
        assert_eq!(link.control(5, Time(60)), Time(85));
        assert_eq!(link.passed(Time(100)), Progress::Later(Time(135)));
        assert_eq!(link.passed(Time(135)), Progress::Passed("a", None));
    }

    #[test]
    fn a_control_message_that_was_alone_has_passed_when_it_should_and_others_wait_for_each_other() {
        let mut link: Link<()> = Link::new(8 * MBIT);
        assert_eq!(link.control_passing(30, Time(40)), Time(40));
        assert_eq!(link.control_passing(30, Time(70)), Time(70));
        assert_eq!(link.control_passing(30, Time(80)), Time(100));
    }

    #[test]
    fn a_parcel_starts_behind_control_messages() {
        let mut link = Link::new(8 * MBIT);
        link.control(30, Time(0));
        assert_eq!(link.push("a", 100, Time(10)), Some(Time(130)));
    }

    #[test]
    fn what_is_withdrawn_is_not_what_is_under_way() {
        let mut link = Link::new(8 * MBIT);
        for name in ["a", "b", "a"] {
            link.push(name, 10, Time(0));
        }
        assert_eq!(link.withdraw(|name| *name == "a"), ["a"]);
        assert_eq!(link.parcels().copied().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_slow_link_is_not_faster_by_rounding() {
        assert_eq!(carrying(1, 3 * MBIT), Span(3)); // 2.67 microseconds
        assert_eq!(carrying(0, MBIT), Span(0));
        assert_eq!(carrying(u64::MAX, 1), Span(u64::MAX));
    }
}
