//! How fast this node may send and fetch chunks: within the caps that a person set, not at all in quiet hours, and
//! out of the way of whatever else this host does on the network.
//!
//! Two signals tell the last. Who else is there: bytes that the host's network interface carried and that were not
//! this node's. And whether there is room for both: how long packets wait in queues, beyond the best that was seen.
//! Somebody else and queues that grow: the node goes down to a small share at once. Somebody else and no queues: it
//! feels its way up. Nobody else: no limit, unless a device's own uploads fill a slow uplink, so that what it asks
//! and acknowledges waits behind them; then it sends a little less than the uplink carries.
//! See docs/decisions/0007-out-of-the-way-of-a-lesson.md.

use super::bucket::Bucket;
use crate::limits::CHUNK_BYTES_MAX;
use crate::time::{Span, Time};

/// Others are noticed from this rate on: a poor voice call.
const NOTICED_BYTES_PER_S: u64 = 8 * 1024;
/// Others are noticed from this part of all that is carried on, below which lie the headers that were not counted
/// and what was counted a moment too late.
const NOTICED_PART: u64 = 16;
/// Fewer samples on end may be the end of a queue that was counted when it was filled, or two hosts that meet.
const NOTICED_SAMPLES: u32 = 3;
/// For so long after others were noticed they are still thought to be there: pages are loaded one after another.
const LINGER: Span = Span::from_secs(2);
/// Packets that wait longer than this wait for others. A LAN's own jitter is less, and so is what a call can bear.
const QUEUEING_MAX: Span = Span::from_millis(4);
/// While others need the link, this part of what it carries is used.
const LEAST_PART: u64 = 25;
/// Where packets and answers wait longer than this and less is fetched than could be, the uplink is full: what this
/// node asks and acknowledges waits behind what it sends. LEDBAT (RFC 6817) allows 100 ms in one direction.
const CROWDED: Span = Span::from_millis(60);
/// The least rate while yielding: with the largest chunk on its way a peer still hears something every four seconds,
/// before it would think that this node has stalled.
const LEAST_BYTES_PER_S: u64 = CHUNK_BYTES_MAX as u64 / 4;

/// Limits that a person has set, in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Of chunks sent.
    pub upload_bytes_per_s: Option<u64>,
    /// Of chunks asked for.
    pub download_bytes_per_s: Option<u64>,
}

/// What one direction of the host's link carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// For this node, in bytes, headers included, and what was lost on the way out.
    pub own_bytes: u64,
    /// For everybody on this host, in bytes.
    pub all_bytes: u64,
}

/// What happened on the host's link since it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// How long that was.
    pub span: Span,
    /// Out of the host.
    pub up: Carried,
    /// Into the host.
    pub down: Carried,
    /// How much longer than at best packets are on their way now, to the peer where that is least; nothing while
    /// none is.
    pub queueing: Option<Span>,
}

/// The pace of one node.
#[derive(Debug)]
pub struct Pace {
    quiet: bool,
    /// The best that was fetched lately.
    fetched_best_bytes_per_s: u64,
    up: Direction,
    down: Direction,
}

#[derive(Debug, Default)]
struct Direction {
    cap_bytes_per_s: Option<u64>,
    yielding_bytes_per_s: Option<u64>,
    /// What leaves room on a slow link for this node's own words.
    fitting_bytes_per_s: Option<u64>,
    /// In so many samples on end others seemed to be there.
    suspected_samples: u32,
    noticed_until: Time,
    bucket: Bucket,
}

/// How much of what one direction carried was others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Noticed {
    Nobody,
    Some,
    Most,
}

impl Noticed {
    /// What others have in one direction counts in the `other` too, for what they are sent is acknowledged there. Not
    /// where it is little beside what goes there.
    fn across(self, carried: Carried, other: Carried) -> Self {
        let others_bytes = carried.all_bytes.saturating_sub(carried.own_bytes);
        if self == Noticed::Most && others_bytes >= other.all_bytes / NOTICED_PART { self } else { Noticed::Nobody }
    }
}

impl Pace {
    /// Within these caps, and not quiet.
    pub fn new(caps: Caps) -> Self {
        let direction = |cap_bytes_per_s| {
            let mut direction = Direction { cap_bytes_per_s, ..Direction::default() };
            direction.obey(false, Time::default());
            direction
        };
        Self {
            quiet: false,
            fetched_best_bytes_per_s: 0,
            up: direction(caps.upload_bytes_per_s),
            down: direction(caps.download_bytes_per_s),
        }
    }

    /// Quiet hours begin or end.
    pub fn be_quiet(&mut self, quiet: bool, now: Time) {
        self.quiet = quiet;
        self.up.obey(quiet, now);
        self.down.obey(quiet, now);
    }

    /// Takes in what the host's link carried, and whether this node `lacks` chunks.
    pub fn traffic(&mut self, traffic: &Traffic, lacks: bool, now: Time) {
        let queues_grow = traffic.queueing.is_none_or(|queueing| queueing > QUEUEING_MAX);
        let up = self.up.notices(traffic.up, traffic.span);
        let down = self.down.notices(traffic.down, traffic.span);
        let for_up = up.max(down.across(traffic.down, traffic.up));
        let for_down = down.max(up.across(traffic.up, traffic.down));
        for (direction, carried, others) in
            [(&mut self.up, traffic.up, for_up), (&mut self.down, traffic.down, for_down)]
        {
            direction.make_way(carried, traffic.span, others, queues_grow, now);
        }
        let fetched = per_s(traffic.down.all_bytes, traffic.span);
        self.fetched_best_bytes_per_s = fetched.max(self.fetched_best_bytes_per_s / 64 * 63);
        let waits = traffic.queueing.is_some_and(|queueing| queueing > CROWDED);
        let crowded = lacks && waits && fetched < self.fetched_best_bytes_per_s / 8 * 7;
        self.up.fit(traffic.up, traffic.span, crowded);
        [&mut self.up, &mut self.down].into_iter().for_each(|direction| direction.obey(self.quiet, now));
    }

    /// Takes in the time that has passed.
    pub fn refill(&mut self, now: Time) {
        self.up.bucket.refill(now);
        self.down.bucket.refill(now);
    }

    /// What may be sent.
    pub fn up(&mut self) -> &mut Bucket {
        &mut self.up.bucket
    }

    /// What may be asked for.
    pub fn down(&mut self) -> &mut Bucket {
        &mut self.down.bucket
    }

    /// When something held back may go, of what `sends` or `asks`.
    pub fn wakeup(&self, sends: bool, asks: bool) -> Option<Time> {
        let up = self.up.bucket.ready_at().filter(|_| sends);
        let down = self.down.bucket.ready_at().filter(|_| asks);
        up.into_iter().chain(down).min()
    }

    /// Whether it keeps out of the way of others.
    pub fn is_yielding(&self) -> bool {
        self.up.yielding_bytes_per_s.or(self.down.yielding_bytes_per_s).is_some()
    }
}

impl Direction {
    /// Who else was there for some time.
    fn notices(&mut self, carried: Carried, span: Span) -> Noticed {
        let all = per_s(carried.all_bytes, span);
        let others = all.saturating_sub(per_s(carried.own_bytes, span));
        let suspected = others >= NOTICED_BYTES_PER_S.max(all / NOTICED_PART);
        self.suspected_samples = if suspected { self.suspected_samples + 1 } else { 0 };
        match self.suspected_samples >= NOTICED_SAMPLES {
            true if others >= all / 2 => Noticed::Most,
            true => Noticed::Some,
            false => Noticed::Nobody,
        }
    }

    /// Goes slowly while others are there.
    fn make_way(&mut self, carried: Carried, span: Span, others: Noticed, queues_grow: bool, now: Time) {
        let all = per_s(carried.all_bytes, span);
        let own = per_s(carried.own_bytes, span).min(all);
        if others > Noticed::Nobody {
            self.noticed_until = now + LINGER;
        }
        let limit = self.yielding_bytes_per_s.filter(|_| now < self.noticed_until);
        let least = (all / LEAST_PART).max(LEAST_BYTES_PER_S);
        // Whoever has less than that of the link crowds nobody.
        self.yielding_bytes_per_s = if others > Noticed::Nobody && queues_grow && own >= least {
            Some((limit.unwrap_or(own) / 4).max(least))
        } else {
            limit.map(|limit| limit.saturating_add(limit / 8))
        };
    }

    /// Sends a little less than the link carried while it is `crowded`, then feels its way up, and forgets a limit that
    /// it stays far below.
    fn fit(&mut self, carried: Carried, span: Span, crowded: bool) {
        let own = per_s(carried.own_bytes.min(carried.all_bytes), span);
        let limit = self.fitting_bytes_per_s;
        self.fitting_bytes_per_s = if crowded {
            let carries = limit.map_or(own, |limit| limit.min(own));
            Some((carries - carries / 8).max(LEAST_BYTES_PER_S))
        } else {
            limit.map(|limit| limit.saturating_add(limit / 32)).filter(|limit| limit / 2 < own)
        };
    }

    fn obey(&mut self, quiet: bool, now: Time) {
        let limits = [self.cap_bytes_per_s, self.yielding_bytes_per_s, self.fitting_bytes_per_s, quiet.then_some(0)];
        self.bucket.limit(limits.into_iter().flatten().min(), now);
    }
}

fn per_s(bytes: u64, span: Span) -> u64 {
    bytes.saturating_mul(1_000_000).checked_div(span.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: Span = Span::from_millis(250);

    /// What others on the host do.
    #[derive(Clone, Copy, Debug)]
    enum Others {
        /// They take what they get, as one connection beside eight of this node's.
        Elastic,
        /// They send so many bytes a second, and no more.
        Call(u64),
        /// They are not there.
        Gone,
    }

    /// A link that both directions of a greedy node share with others. A full link makes packets wait.
    struct Link {
        bytes_per_s: u64,
        pace: Pace,
        now: Time,
    }

    impl Link {
        fn new(bytes_per_s: u64) -> Self {
            Self { bytes_per_s, pace: Pace::new(Caps::default()), now: Time(1_000_000) }
        }

        /// Lets so many seconds pass, and returns what the node had in each sample, in bytes a second.
        fn pass(&mut self, seconds: u64, others: Others) -> Vec<u64> {
            let sample = |_| {
                let limit = self.pace.up.yielding_bytes_per_s.unwrap_or(u64::MAX);
                let (own, others) = match others {
                    Others::Elastic => {
                        let own = limit.min(self.bytes_per_s / 9 * 8);
                        (own, self.bytes_per_s - own)
                    }
                    Others::Call(bytes_per_s) => (limit.min(self.bytes_per_s - bytes_per_s), bytes_per_s),
                    Others::Gone => (limit.min(self.bytes_per_s), 0),
                };
                let is_full = own + others >= self.bytes_per_s / 20 * 19;
                let queueing = Some(if is_full { Span::from_millis(20) } else { Span(300) });
                let in_sample = |rate: u64| rate * SAMPLE.0 / 1_000_000;
                let carried = Carried { own_bytes: in_sample(own), all_bytes: in_sample(own + others) };
                self.now += SAMPLE;
                self.pace.traffic(&Traffic { span: SAMPLE, up: carried, down: carried, queueing }, true, self.now);
                own
            };
            (0..seconds * 4).map(sample).collect()
        }
    }

    fn mean(rates: &[u64]) -> u64 {
        rates.iter().sum::<u64>() / rates.len() as u64
    }

    proptest! {
        #[test]
        fn a_lesson_has_the_link_within_a_second_and_a_half_and_the_mesh_has_it_back_after_it(
            bytes_per_s in 2_000_000_u64..200_000_000,
            lesson_s in 3_u64..60,
        ) {
            let mut link = Link::new(bytes_per_s);
            prop_assert_eq!(mean(&link.pass(2, Others::Gone)), bytes_per_s);
            let rates = link.pass(lesson_s, Others::Elastic);
            prop_assert!(rates[5..].iter().all(|rate| *rate <= bytes_per_s / 20), "{rates:?}");
            prop_assert!(rates.iter().all(|rate| *rate >= LEAST_BYTES_PER_S), "{rates:?}");
            link.pass(2, Others::Gone);
            prop_assert_eq!(mean(&link.pass(1, Others::Gone)), bytes_per_s);
        }

        #[test]
        fn a_call_leaves_most_of_a_link_to_the_mesh_and_is_not_kept_waiting_for_long(
            bytes_per_s in 2_000_000_u64..200_000_000,
            parts in 2_u64..12,
        ) {
            let mut link = Link::new(bytes_per_s);
            let call = Others::Call(bytes_per_s / parts);
            link.pass(20, call);
            let rates = link.pass(60, call);
            let free = bytes_per_s - bytes_per_s / parts;
            prop_assert!(mean(&rates) >= free / 3, "{} of {free}", mean(&rates));
            let full = rates.iter().filter(|rate| **rate * 20 >= free * 19).count();
            prop_assert!(full * 5 <= rates.len(), "{full} of {} samples are full", rates.len());
        }

        #[test]
        fn headers_that_were_not_counted_are_no_lesson(own_bytes in 0_u64..100_000_000, part in 17_u64..1000) {
            let mut pace = Pace::new(Caps::default());
            prop_assume!(own_bytes / part > 10_000);
            let carried = Carried { own_bytes, all_bytes: own_bytes + own_bytes / part };
            let traffic = Traffic { span: SAMPLE, up: carried, down: carried, queueing: Some(Span::from_secs(1)) };
            (0..NOTICED_SAMPLES).for_each(|_| pace.traffic(&traffic, true, Time(1_000_000)));
            prop_assert!(!pace.is_yielding());
        }
    }

    proptest! {
        #[test]
        fn a_device_with_a_slow_uplink_fetches_at_full_speed_and_sends_nearly_what_it_can(
            down_bytes_per_s in 4_000_000_u64..200_000_000,
            parts in 2_u64..20,
        ) {
            let up_bytes_per_s = down_bytes_per_s / parts;
            let mut pace = Pace::new(Caps::default());
            let (mut fetched, mut sent) = (Vec::new(), Vec::new());
            for sample in 1..=120_u64 {
                let wanted = pace.up.fitting_bytes_per_s.unwrap_or(u64::MAX);
                let is_full = wanted > up_bytes_per_s;
                let (up, down) = (wanted.min(up_bytes_per_s), down_bytes_per_s / if is_full { 3 } else { 1 });
                let in_sample = |rate: u64| rate * SAMPLE.0 / 1_000_000;
                let carried = |rate| Carried { own_bytes: in_sample(rate), all_bytes: in_sample(rate) };
                let queueing = Some(Span::from_millis(if is_full { 100 } else { 50 }));
                // Something was fetched before anybody asked this device for anything.
                let up = if sample == 1 { 0 } else { up };
                let down = if sample == 1 { down_bytes_per_s } else { down };
                let traffic = Traffic { span: SAMPLE, up: carried(up), down: carried(down), queueing };
                pace.traffic(&traffic, true, Time(sample * SAMPLE.0));
                fetched.push(down);
                sent.push(up);
            }
            prop_assert!(mean(&fetched[4..]) >= down_bytes_per_s / 4 * 3, "{fetched:?}");
            prop_assert!(mean(&sent[4..]) >= up_bytes_per_s / 4 * 3, "{sent:?}");
        }
    }

    #[test]
    fn a_full_uplink_is_left_full_where_nothing_is_lacking() {
        let full = Carried { own_bytes: 1_000_000, all_bytes: 1_000_000 };
        let queueing = Some(Span::from_millis(100));
        let is_limited = |lacks: bool| {
            let mut pace = Pace::new(Caps::default());
            // Something was fetched fast, and nothing is any more.
            for (sample, down) in (1..20).zip([full].into_iter().chain(std::iter::repeat(Carried::default()))) {
                let traffic = Traffic { span: SAMPLE, up: full, down, queueing };
                pace.traffic(&traffic, lacks, Time(sample * SAMPLE.0));
            }
            pace.wakeup(true, true).is_some()
        };
        assert_eq!([true, false].map(is_limited), [true, false]);
    }

    #[test]
    fn hosts_that_chatter_are_no_lesson_while_nothing_is_fetched() {
        let mut pace = Pace::new(Caps::default());
        let chatter = Carried { own_bytes: 2_000, all_bytes: 14_000 };
        for sample in 1..20 {
            let queueing = Some(Span::from_millis(6));
            let traffic = Traffic { span: SAMPLE, up: chatter, down: chatter, queueing };
            pace.traffic(&traffic, false, Time(sample * SAMPLE.0));
            assert!(!pace.is_yielding());
        }
    }

    #[test]
    fn hosts_that_chatter_do_not_slow_a_school_that_begins_to_send() {
        let mut pace = Pace::new(Caps::default());
        let chatter = Carried { own_bytes: 2_000, all_bytes: 14_000 };
        let sending = Carried { own_bytes: 2_500_000, all_bytes: 2_500_000 };
        for sample in 1..20 {
            let up = if sample < 5 { chatter } else { sending };
            let traffic = Traffic { span: SAMPLE, up, down: chatter, queueing: Some(Span::from_millis(6)) };
            pace.traffic(&traffic, false, Time(sample * SAMPLE.0));
            pace.refill(Time(sample * SAMPLE.0));
            assert!(pace.up().allows(), "sample {sample}");
            pace.up().spend(2_500_000);
        }
    }

    #[test]
    fn the_lowest_of_cap_lesson_and_quiet_hours_is_obeyed() {
        let mut pace = Pace::new(Caps { upload_bytes_per_s: Some(1_000_000), download_bytes_per_s: None });
        let mut now = Time::default();
        let mut sent_in_a_second = |pace: &mut Pace| {
            let mut sent = 0;
            for _ in 0..1000 {
                now += Span::from_millis(1);
                pace.refill(now);
                while sent < 10_000_000 && pace.up().allows() {
                    pace.up().spend(1000);
                    sent += 1000;
                }
            }
            sent
        };
        assert!((900_000..=1_001_000).contains(&sent_in_a_second(&mut pace)));
        let lesson = Carried { own_bytes: 250_000, all_bytes: 2_250_000 };
        let traffic = Traffic { span: SAMPLE, up: lesson, down: Carried::default(), queueing: None };
        (0..NOTICED_SAMPLES).for_each(|_| pace.traffic(&traffic, true, Time(1_000_000)));
        assert!(pace.is_yielding());
        assert!((250_000..=400_000).contains(&sent_in_a_second(&mut pace)));
        pace.be_quiet(true, Time(2_000_000));
        assert!(sent_in_a_second(&mut pace) <= 100_000, "what was left");
        assert_eq!(pace.wakeup(true, true), None, "quiet hours end by a word of the driver");
        pace.be_quiet(false, Time(3_000_000));
        assert!(pace.down().allows());
    }
}
