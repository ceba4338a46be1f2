//! How fast this node may send and fetch chunks: within the caps that a person set, not at all in quiet hours, and
//! out of the way of whatever else this host does on the network.
//!
//! Two signals tell the last. Who else is there: bytes that the host's network interface carried and that were not
//! this node's. And whether there is room for both: how long packets wait in queues, beyond the best that was seen.
//! Nobody else, no limit. Somebody else and queues that grow: the node goes down to a small share at once. Somebody
//! else and no queues: it feels its way up. See docs/decisions/0007-out-of-the-way-of-a-lesson.md.

use super::bucket::Bucket;
use crate::limits::CHUNK_BYTES_MAX;
use crate::time::{Span, Time};

/// Others are noticed from this rate on: a poor voice call.
const NOTICED_BYTES_PER_S: u64 = 8 * 1024;
/// Others are noticed from this part of all that is carried on, below which lie the headers that were not counted
/// and what was counted a moment too late.
const NOTICED_PART: u64 = 16;
/// For so long after others were noticed they are still thought to be there: pages are loaded one after another.
const LINGER: Span = Span::from_secs(2);
/// Packets that wait longer than this wait for others. A LAN's own jitter is less, and so is what a call can bear.
const QUEUEING_MAX: Span = Span::from_millis(4);
/// While others need the link, this part of what it carries is used.
const LEAST_PART: u64 = 25;
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
    /// For this node, in bytes, headers included.
    pub own_bytes: u64,
    /// For all others on this host, in bytes.
    pub others_bytes: u64,
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
    up: Direction,
    down: Direction,
}

#[derive(Debug, Default)]
struct Direction {
    cap_bytes_per_s: Option<u64>,
    yielding_bytes_per_s: Option<u64>,
    noticed_until: Time,
    bucket: Bucket,
}

impl Pace {
    /// Within these caps, and not quiet.
    pub fn new(caps: Caps) -> Self {
        let direction = |cap_bytes_per_s| {
            let mut direction = Direction { cap_bytes_per_s, ..Direction::default() };
            direction.obey(false, Time::default());
            direction
        };
        Self { quiet: false, up: direction(caps.upload_bytes_per_s), down: direction(caps.download_bytes_per_s) }
    }

    /// Quiet hours begin or end.
    pub fn be_quiet(&mut self, quiet: bool, now: Time) {
        self.quiet = quiet;
        self.up.obey(quiet, now);
        self.down.obey(quiet, now);
    }

    /// Takes in what the host's link carried.
    pub fn traffic(&mut self, traffic: &Traffic, now: Time) {
        let queues_grow = traffic.queueing.is_none_or(|queueing| queueing > QUEUEING_MAX);
        for (direction, carried) in [(&mut self.up, traffic.up), (&mut self.down, traffic.down)] {
            direction.take_in(carried, traffic.span, queues_grow, now);
            direction.obey(self.quiet, now);
        }
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

    /// Whether it is quiet.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether it keeps out of the way of others.
    pub fn is_yielding(&self) -> bool {
        self.up.yielding_bytes_per_s.or(self.down.yielding_bytes_per_s).is_some()
    }
}

impl Direction {
    fn take_in(&mut self, carried: Carried, span: Span, queues_grow: bool, now: Time) {
        let per_s = |bytes: u64| bytes.saturating_mul(1_000_000).checked_div(span.0).unwrap_or(0);
        let (own, others) = (per_s(carried.own_bytes), per_s(carried.others_bytes));
        let all = own.saturating_add(others);
        if others >= NOTICED_BYTES_PER_S.max(all / NOTICED_PART) {
            self.noticed_until = now + LINGER;
        }
        if self.noticed_until <= now {
            self.yielding_bytes_per_s = None;
            return;
        }
        let rate = self.yielding_bytes_per_s.unwrap_or(own);
        let rate = if queues_grow { rate / 4 } else { rate.saturating_add(rate / 8) };
        self.yielding_bytes_per_s = Some(rate.max(all / LEAST_PART).max(LEAST_BYTES_PER_S));
    }

    fn obey(&mut self, quiet: bool, now: Time) {
        let limits = [self.cap_bytes_per_s, self.yielding_bytes_per_s, quiet.then_some(0)];
        self.bucket.limit(limits.into_iter().flatten().min(), now);
    }
}
