//! The two directions of a host's access to the network: the model `queue`.
//!
//! Store and forward. Bulk parcels (chunks) are served one after another, first come, first served, each for
//! its bytes at the link's rate. Control messages do not wait behind them: as packets of a small flow do
//! on a fair link, they are served at once, one after another, and what they take is made up for before the next
//! parcel, so that no byte is carried for nothing. Both together never exceed the link's rate.

use protocol::time::{Span, Time};
use std::collections::VecDeque;

/// What a host sends goes through here. What waits can be withdrawn.
pub struct Uplink<T> {
    bits_per_s: u64,
    control_free_at: Time,
    /// Parcels with their length in bytes; the first is under way.
    parcels: VecDeque<(u64, T)>,
    /// What control messages took since the first parcel started.
    owed: Span,
}

impl<T> Uplink<T> {
    /// An idle link of this rate in bits a second.
    pub fn new(bits_per_s: u64) -> Self {
        Self { bits_per_s, control_free_at: Time::default(), parcels: VecDeque::new(), owed: Span::default() }
    }

    /// Carries a control message of so many bytes. Returns when it has passed.
    pub fn control(&mut self, bytes: u64, now: Time) -> Time {
        let span = carrying(bytes, self.bits_per_s);
        self.control_free_at = now.max(self.control_free_at) + span;
        if !self.parcels.is_empty() {
            self.owed = Span(self.owed.0 + span.0);
        }
        self.control_free_at
    }

    /// Queues a parcel of so many bytes. Returns when it ends and [`Uplink::passed`] is to be asked, if none was queued
    /// before.
    pub fn push(&mut self, parcel: T, bytes: u64, now: Time) -> Option<Time> {
        self.parcels.push_back((bytes, parcel));
        (self.parcels.len() == 1).then(|| self.control_free_at.max(now) + carrying(bytes, self.bits_per_s))
    }

    /// The parcel under way has passed; the next one, if there is one, ends at the time beside it.
    ///
    /// # Panics
    /// If nothing is queued: then nothing was promised.
    pub fn passed(&mut self, now: Time) -> (T, Option<Time>) {
        let (_, parcel) = self.parcels.pop_front().expect("an end is promised only for a queued parcel");
        let free_at = now + std::mem::take(&mut self.owed);
        match self.parcels.front() {
            Some((bytes, _)) => (parcel, Some(free_at + carrying(*bytes, self.bits_per_s))),
            None => {
                self.control_free_at = self.control_free_at.max(free_at);
                (parcel, None)
            }
        }
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
        self.owed = Span::default();
        self.control_free_at = Time::default();
        self.parcels.drain(..).map(|(_, parcel)| parcel).collect()
    }

    /// What is queued or under way.
    pub fn parcels(&self) -> impl Iterator<Item = &T> {
        self.parcels.iter().map(|(_, parcel)| parcel)
    }
}

/// What a host is sent goes through here. Nothing is withdrawn, so the end of each parcel is known when it comes.
pub struct Downlink {
    bits_per_s: u64,
    control_free_at: Time,
    parcels_free_at: Time,
    /// What control messages took since the last parcel.
    owed: Span,
}

impl Downlink {
    /// An idle link of this rate in bits a second.
    pub fn new(bits_per_s: u64) -> Self {
        Self { bits_per_s, control_free_at: Time::default(), parcels_free_at: Time::default(), owed: Span::default() }
    }

    /// Carries a control message that has passed by now unless others were before it. Returns when it has passed.
    pub fn control(&mut self, bytes: u64, now: Time) -> Time {
        let span = carrying(bytes, self.bits_per_s);
        self.control_free_at = now.max(self.control_free_at + span);
        self.owed = Span(self.owed.0 + span.0);
        self.control_free_at
    }

    /// Carries a parcel that has passed by now unless others were before it. Returns when it has passed.
    pub fn parcel(&mut self, bytes: u64, now: Time) -> Time {
        let owed = std::mem::take(&mut self.owed);
        self.parcels_free_at = now.max(self.parcels_free_at + owed + carrying(bytes, self.bits_per_s));
        self.parcels_free_at
    }

    /// The host went down, and nothing that was promised counts.
    pub fn clear(&mut self) {
        *self = Self::new(self.bits_per_s);
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
        let mut link = Uplink::new(8 * MBIT); // 1 byte in 1 microsecond
        assert_eq!(link.push("a", 100, Time(0)), Some(Time(100)));
        assert_eq!(link.push("b", 50, Time(10)), None);
        assert_eq!(link.passed(Time(100)), ("a", Some(Time(150))));
        assert_eq!(link.passed(Time(150)), ("b", None));
    }

    #[test]
    fn a_control_message_overtakes_a_parcel_and_takes_its_time_from_the_next() {
        let mut link = Uplink::new(8 * MBIT);
        link.push("a", 100, Time(0));
        link.push("b", 100, Time(0));
        assert_eq!(link.control(30, Time(50)), Time(80));
        assert_eq!(link.control(5, Time(60)), Time(85));
        assert_eq!(link.passed(Time(100)), ("a", Some(Time(235))));
        assert_eq!(link.control(20, Time(230)), Time(250));
        assert_eq!(link.passed(Time(235)), ("b", None));
        assert_eq!(link.push("c", 100, Time(240)), Some(Time(355)));
    }

    #[test]
    fn what_finds_the_downlink_free_has_passed_when_it_should_and_others_wait_for_each_other() {
        let mut link = Downlink::new(8 * MBIT);
        assert_eq!([40, 70, 80].map(|now| link.control(30, Time(now))), [Time(40), Time(70), Time(100)]);
        let mut link = Downlink::new(8 * MBIT);
        assert_eq!([100, 300, 310].map(|now| link.parcel(100, Time(now))), [Time(100), Time(300), Time(400)]);
    }

    #[test]
    fn a_downlink_makes_up_for_control_messages_before_the_next_parcel() {
        let mut link = Downlink::new(8 * MBIT);
        link.parcel(100, Time(100));
        assert_eq!(link.control(30, Time(150)), Time(150));
        assert_eq!(link.parcel(100, Time(200)), Time(230));
        assert_eq!(link.parcel(100, Time(500)), Time(500));
    }

    #[test]
    fn a_parcel_starts_behind_control_messages() {
        let mut link = Uplink::new(8 * MBIT);
        link.control(30, Time(0));
        assert_eq!(link.push("a", 100, Time(10)), Some(Time(130)));
    }

    #[test]
    fn what_is_withdrawn_is_not_what_is_under_way() {
        let mut link = Uplink::new(8 * MBIT);
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
