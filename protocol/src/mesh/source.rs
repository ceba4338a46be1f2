//! One peer as a source of chunks: what it holds, what it was asked for, how fast it delivers.

use super::Role;
use super::in_flight::InFlight;
use crate::bitmap::Bitmap;
use crate::limits::CHUNK_BYTES_AVERAGE;
use crate::time::{Span, Time};

/// A pipeline holds what the peer delivers in this span: enough to bridge a LAN round trip and a
/// disk's hiccup, short enough that little is stuck behind a peer that dies.
const PIPELINE: Span = Span::from_millis(150);
/// A pipeline of this many chunks before the rate is known.
const WINDOW_CHUNKS_UNKNOWN: u32 = 2;
/// A peer that takes longer than a pipeline for a chunk serves many others too: the next chunk is chosen late.
const WINDOW_CHUNKS_MIN: u32 = 1;
/// A pipeline never holds more than 2 MiB of average chunks, which bounds memory on both sides.
const WINDOW_CHUNKS_MAX: u32 = 32;
/// A pipeline that does not follow the rate: what BitTorrent's early clients kept requested of a peer.
const WINDOW_CHUNKS_FIXED: u32 = 5;
/// A peer that owes chunks and sends none for this long, beyond four times what its rate promised,
/// has stalled; its chunks are asked of others. A peer with 24 askers on a slow link answers each of them
/// only every few seconds; to wait costs little, because at the end what is late is hedged.
const STALL: Span = Span::from_secs(5);
/// The first wait before a stalled peer is asked again; it doubles with each further stall.
const BACKOFF: Span = Span::from_secs(2);
/// Doublings of the wait end here, so that a peer that recovers is used again within minutes.
const BACKOFF_DOUBLINGS_MAX: u32 = 5;
/// Of more news than this the whole of what the peer holds is looked through instead.
const NEWS_MAX: usize = 64;
/// The rate is sampled over spans of at least this length.
const RATE_SAMPLE: Span = Span::from_millis(50);

/// A peer's state as a source for one release.
#[derive(Debug)]
pub struct Source {
    /// What it is for.
    pub role: Role,
    /// What it says it holds.
    pub held: Bitmap,
    /// Chunks asked of it and not come yet, the longest asked first.
    pub in_flight: InFlight,
    /// Chunks that it may still send unasked (seeds only).
    pub credit: u32,
    /// Nothing that it holds can be asked but its `news`.
    pub dry: bool,
    /// While it is dry: chunks that may be asked of it since, because it gained them or another lost them.
    pub news: Vec<u32>,
    /// Whether the swarm is to look at it again.
    pub touched: bool,
    /// Whether more is asked of it the faster it delivers.
    load_aware: bool,
    last_progress: Time,
    stalls: u32,
    /// While it is left alone after a stall: until when.
    resume_at: Option<Time>,
    rate_bytes_per_s: u64,
    sample_start: Time,
    sample_bytes: u64,
}

impl Source {
    /// A peer that holds `held`, first heard of `now`.
    pub fn new(role: Role, held: Bitmap, load_aware: bool, now: Time) -> Self {
        Self {
            role,
            held,
            in_flight: InFlight::default(),
            credit: 0,
            dry: false,
            news: Vec::new(),
            touched: false,
            load_aware,
            last_progress: now,
            stalls: 0,
            resume_at: None,
            rate_bytes_per_s: 0,
            sample_start: now,
            sample_bytes: 0,
        }
    }

    /// Ends the wait after a stall once it is over. Returns whether it has ended now.
    pub fn resume(&mut self, now: Time) -> bool {
        self.resume_at.take_if(|at| *at <= now).is_some()
    }

    /// A chunk can be asked of it again, or for the first time.
    pub fn can_give(&mut self, index: u32) {
        if self.news.len() < NEWS_MAX {
            self.news.push(index);
        } else {
            self.news.clear();
            self.dry = false;
        }
    }

    /// Whether it stalled and has not delivered since; what it was asked for then may still come.
    pub fn is_late(&self) -> bool {
        self.stalls > 0
    }

    /// Whether it holds something that may be asked for, as far as was looked.
    pub fn gives(&self) -> bool {
        !self.dry || !self.news.is_empty()
    }

    /// How many more chunks may be asked of it now.
    pub fn room(&self) -> u32 {
        if self.resume_at.is_some() {
            return 0;
        }
        let window = if self.stalls > 0 { 1 } else { self.window() };
        top_up(window, u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX))
    }

    /// How many unasked chunks it should be able to send ahead.
    pub fn credit_room(&self) -> u32 {
        top_up(self.window(), self.credit)
    }

    fn window(&self) -> u32 {
        if !self.load_aware {
            return WINDOW_CHUNKS_FIXED;
        }
        if self.rate_bytes_per_s == 0 {
            return WINDOW_CHUNKS_UNKNOWN;
        }
        let bytes = self.rate_bytes_per_s.saturating_mul(PIPELINE.0) / 1_000_000;
        // Rounded up: whoever delivers more than a chunk in this span is asked for the next before it has sent one.
        let chunks = u32::try_from(bytes.div_ceil(u64::from(CHUNK_BYTES_AVERAGE))).unwrap_or(WINDOW_CHUNKS_MAX);
        chunks.clamp(WINDOW_CHUNKS_MIN, WINDOW_CHUNKS_MAX)
    }

    /// Notes that a chunk was asked of it.
    pub fn asked(&mut self, index: u32, now: Time) {
        if self.in_flight.is_empty() {
            // Time in which nothing was asked says nothing of the peer's rate.
            if now.since(self.last_progress) > RATE_SAMPLE {
                self.sample_start = now;
                self.sample_bytes = 0;
            }
            self.last_progress = now;
        }
        self.in_flight.asked(index, now);
    }

    /// Notes that it delivered a chunk of so many bytes.
    pub fn delivered(&mut self, index: u32, bytes: u32, now: Time) {
        if !self.in_flight.remove(index) {
            self.credit = self.credit.saturating_sub(1);
        }
        self.last_progress = now;
        self.stalls = 0;
        self.resume_at = None;
        self.sample_bytes += u64::from(bytes);
        let elapsed = now.since(self.sample_start);
        if elapsed >= RATE_SAMPLE {
            let sample = self.sample_bytes.saturating_mul(1_000_000) / elapsed.0;
            self.rate_bytes_per_s = u64::midpoint(self.rate_bytes_per_s, sample);
            self.sample_start = now;
            self.sample_bytes = 0;
        }
    }

    /// Notes that it sent a chunk that is of no use, which is no progress. Returns whether it owed it.
    pub fn useless(&mut self, index: u32) -> bool {
        let owed = self.in_flight.remove(index);
        if !owed {
            self.credit = self.credit.saturating_sub(1);
        }
        owed
    }

    /// When it counts as stalled if nothing arrives: never while it owes nothing.
    pub fn stalls_at(&self) -> Option<Time> {
        if self.in_flight.is_empty() {
            return None;
        }
        let owed_bytes = self.in_flight.len() as u64 * u64::from(CHUNK_BYTES_AVERAGE);
        let promised = owed_bytes.saturating_mul(1_000_000).checked_div(self.rate_bytes_per_s).unwrap_or(0);
        // A rate that has decayed to almost nothing must not buy an endless wait.
        let promised = Span(promised.min(STALL.0));
        Some(self.last_progress + STALL + promised.times(4))
    }

    /// Gives up on what it owes, and waits before asking it again. Returns what it owed.
    pub fn stalled(&mut self, now: Time) -> Vec<u32> {
        let wait = BACKOFF.times(1 << self.stalls.min(BACKOFF_DOUBLINGS_MAX));
        self.stalls += 1;
        self.resume_at = Some(now + wait);
        self.in_flight.take()
    }

    /// When a stalled peer may be asked again, if it is waiting.
    pub fn resumes_at(&self) -> Option<Time> {
        self.resume_at
    }
}

/// What to add to a pipeline of which so much is left: a quarter or more at a time, so that a fast peer is not asked
/// for each chunk alone.
fn top_up(window: u32, left: u32) -> u32 {
    let room = window.saturating_sub(left);
    if room * 4 < window { 0 } else { room }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK_BYTES: u32 = CHUNK_BYTES_AVERAGE;

    fn source() -> Source {
        Source::new(Role::Device, Bitmap::full(1000), true, Time::default())
    }

    /// Delivers a chunk every `gap` for a second, keeping one in flight, and returns the time after.
    fn deliver_for_a_second(source: &mut Source, gap: Span) -> Time {
        let mut now = Time::default();
        for index in 0.. {
            source.asked(index, now);
            now += gap;
            source.delivered(index, CHUNK_BYTES, now);
            if now >= Time(1_000_000) {
                break;
            }
        }
        now
    }

    #[test]
    fn a_fast_peer_gets_a_deep_pipeline_and_a_slow_one_a_shallow_one() {
        let mut fast = source();
        deliver_for_a_second(&mut fast, Span::from_millis(5));
        assert!((28..=30).contains(&fast.room()), "150 ms at one chunk in 5 ms");
        let mut slow = source();
        deliver_for_a_second(&mut slow, Span::from_millis(400));
        assert_eq!(slow.room(), WINDOW_CHUNKS_MIN);
    }

    #[test]
    fn a_peer_that_owes_nothing_never_stalls() {
        let mut source = source();
        assert_eq!(source.stalls_at(), None);
        source.asked(3, Time(5));
        assert_eq!(source.stalls_at(), Some(Time(5) + STALL));
        source.delivered(3, CHUNK_BYTES, Time(9));
        assert_eq!(source.stalls_at(), None);
    }

    #[test]
    fn a_peer_that_stalls_again_and_again_is_left_alone_for_longer_and_longer() {
        let mut source = source();
        let mut now = Time::default();
        let mut waits = Vec::new();
        for index in 0..8 {
            source.asked(index, now);
            assert_eq!(source.stalled(now), [index]);
            let until = source.resumes_at().unwrap();
            waits.push(until.since(now).0 / 1_000_000);
            now = until;
            source.resume(now);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn a_rate_that_has_fallen_to_nothing_buys_no_endless_wait() {
        let mut source = source();
        let mut now = deliver_for_a_second(&mut source, Span::from_millis(5));
        for index in 0..20 {
            source.asked(1_000 + index, now);
            now += Span::from_secs(100);
            source.delivered(1_000 + index, 1, now);
        }
        source.asked(7, now);
        assert!(source.stalls_at().unwrap().since(now) <= STALL.times(21));
    }
}
