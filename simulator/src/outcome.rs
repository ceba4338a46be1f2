//! How a run went: by release, and by host.

use crate::bounds::{Uplink, Work, kumar_ross, mundinger_weber_weiss};
use crate::check::{Ledger, Violation};
use crate::fault::Troubles;
use crate::host::{Behaviour, Host};
use crate::scenario::{HostId, Model, Scenario, StrategyName};
use crate::traffic::Traffic;
use crate::workload::{Published, Publisher};
use protocol::bitmap::Bitmap;
use protocol::time::{Span, Time};

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// How the network was modelled.
    pub model: Model,
    /// Which rules of the swarm were at work.
    pub strategy: StrategyName,
    /// What the run's randomness came from.
    pub rng_seed: u64,
    /// The hash over all inputs and outputs, in hexadecimal.
    pub trace_hash: String,
    /// Events that happened.
    pub events: u64,
    /// When the run ended.
    pub ended_at: Time,
    /// By release, the oldest first.
    pub releases: Vec<ReleaseOutcome>,
    /// By host, the seed first.
    pub hosts: Vec<HostOutcome>,
    /// What became of all chunks that were sent.
    pub ledger: Ledger,
    /// What all hosts sent, by what it was for.
    pub traffic: Traffic,
    /// What should never have happened; empty in a good run.
    pub violations: Vec<Violation>,
}

/// How a release spread. Its time is that of the steady laptops: those that were there from the start and
/// to which nothing happened.
#[derive(Clone, Debug)]
pub struct ReleaseOutcome {
    /// Its version.
    pub version: String,
    /// From its publication until the last steady laptop had applied it; nothing if one never did.
    pub time: Option<Span>,
    /// The least time that the steady laptops could have needed: the fluid bound of Kumar and Ross over honest
    /// uplinks.
    pub bound: Span,
    /// The bound of Mundinger, Weber and Weiss, where all uplinks are equal.
    pub rounds_bound: Option<Span>,
    /// Plain bytes that only the seed had when it was published.
    pub fresh_bytes: u64,
    /// When the honest laptops together held all of it.
    pub whole_at: Option<Time>,
}

/// How a host ended, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOutcome {
    /// Who.
    pub host: HostId,
    /// Whether it treats others as it should.
    pub honest: bool,
    /// Whether it was up at the end.
    pub up: bool,
    /// The version that it had applied.
    pub applied: Option<String>,
    /// When it had applied it.
    pub applied_at: Option<Time>,
    /// Chunks of the newest release that it held durably, out of how many.
    pub chunks_held: (u32, u32),
    /// Chunks from the seed, in bytes as they crossed the wire.
    pub from_seed_bytes: u64,
    /// Chunks from laptops, likewise.
    pub from_laptops_bytes: u64,
    /// Chunks that were of no use, likewise.
    pub duplicate_bytes: u64,
    /// Chunks that were wrong, likewise.
    pub wrong_bytes: u64,
    /// Chunks sent, likewise.
    pub sent_bytes: u64,
    /// Plain bytes of chunks that were there already.
    pub reused_bytes: u64,
}

/// How far a release has spread.
#[derive(Debug)]
pub struct Spread {
    /// Chunks that honest laptops ever held durably.
    pub held: Bitmap,
    /// When these were all.
    pub whole_at: Option<Time>,
}

impl Spread {
    /// An honest laptop holds these.
    pub fn add(&mut self, indexes: &[u32], now: Time) {
        indexes.iter().for_each(|index| {
            self.held.insert(*index);
        });
        if self.held.is_full() && self.whole_at.is_none() {
            self.whole_at = Some(now);
        }
    }
}

impl Outcome {
    /// The time that all releases took together, of those that every steady laptop applied.
    pub fn time(&self) -> Span {
        Span(self.timed().filter_map(|release| release.time).map(|time| time.0).sum())
    }

    /// The fluid bound on that time.
    pub fn bound(&self) -> Span {
        Span(self.timed().map(|release| release.bound.0).sum())
    }

    /// The bound in rounds on that time, if there is one for each release.
    pub fn rounds_bound(&self) -> Option<Span> {
        self.timed().map(|release| release.rounds_bound.map(|bound| bound.0)).sum::<Option<u64>>().map(Span)
    }

    /// How often the seed sent what only it had.
    pub fn seed_copies(&self) -> f64 {
        let fresh: u64 = self.releases.iter().map(|release| release.fresh_bytes).sum();
        self.hosts[0].sent_bytes as f64 / fresh as f64
    }

    /// Of all bytes of chunks sent, those that arrived and were of no use.
    pub fn duplicate_percent(&self) -> f64 {
        percent(self.ledger.duplicate_bytes, self.ledger.sent_bytes)
    }

    /// Of all bytes of chunks that honest laptops received, those that were of no use or wrong.
    pub fn waste_percent(&self) -> f64 {
        let honest = self.hosts.iter().filter(|host| host.honest);
        let (mut wasted, mut useful) = (0, 0);
        for host in honest {
            wasted += host.duplicate_bytes + host.wrong_bytes;
            useful += host.from_seed_bytes + host.from_laptops_bytes;
        }
        percent(wasted, wasted + useful)
    }

    /// Heads and asks of the second that had the most, in percent of all that was sent in the run.
    pub fn busiest_second_percent(&self) -> f64 {
        percent(self.traffic.busiest_second().1.heads_and_asks, self.traffic.sent().total())
    }

    /// What a host sent in a second, in bytes, while nothing was left to do; nothing if the run did not go on.
    pub fn idle_bytes_per_host_s(&self) -> Option<f64> {
        let (span, sent) = self.traffic.idle(self.ended_at).filter(|(span, _)| *span > Span::default())?;
        Some(sent.total() as f64 * 1e6 / span.0 as f64 / self.hosts.len() as f64)
    }

    /// Whether every steady laptop applied every release.
    pub fn applied_everywhere(&self) -> bool {
        self.releases.iter().all(|release| release.time.is_some())
    }

    /// Whether a run failed.
    pub fn failed(&self) -> bool {
        !self.violations.is_empty()
    }

    fn timed(&self) -> impl Iterator<Item = &ReleaseOutcome> {
        self.releases.iter().filter(|release| release.time.is_some())
    }

    /// How each release spread.
    pub fn of_releases(
        scenario: &Scenario,
        troubles: &Troubles,
        publisher: &Publisher,
        hosts: &[Host],
        spreads: &[Spread],
    ) -> Vec<ReleaseOutcome> {
        let cut_off: Vec<HostId> = scenario.partitions.iter().flat_map(|partition| &partition.hosts).copied().collect();
        let steady = |host: &&Host| troubles.is_steady(host.id) && !cut_off.contains(&host.id);
        let steady: Vec<&Host> = hosts.iter().skip(1).filter(steady).collect();
        let released = publisher.published().iter().zip(spreads).enumerate();
        let of = |(at, (published, spread))| of_release(scenario, troubles, at, published, spread, &steady);
        released.map(of).collect()
    }

    /// How each host ended.
    pub fn of_hosts(publisher: &Publisher, hosts: &[Host]) -> Vec<HostOutcome> {
        let newest = publisher.published().last();
        let of_host = |host: &Host| {
            let applied = host.applied();
            let version = applied.and_then(|at| publisher.published().get(at)).map(|at| at.version.clone());
            let chunks = newest.map_or(0, |newest| newest.release.chunk_count());
            let held = newest.and_then(|newest| host.held(newest.release.id())).map_or(0, Bitmap::count);
            HostOutcome {
                host: host.id,
                honest: host.behaviour == Behaviour::Honest,
                up: host.is_up(),
                applied: version,
                applied_at: applied.and_then(|at| host.record.applied.get(&at)).copied(),
                chunks_held: (held, chunks),
                from_seed_bytes: host.record.from_seed_bytes,
                from_laptops_bytes: host.record.from_laptops_bytes,
                duplicate_bytes: host.record.ledger.duplicate_bytes,
                wrong_bytes: host.record.ledger.wrong_bytes,
                sent_bytes: host.record.ledger.sent_bytes,
                reused_bytes: host.record.reused_bytes,
            }
        };
        hosts.iter().map(of_host).collect()
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn of_release(
    scenario: &Scenario,
    troubles: &Troubles,
    at: usize,
    published: &Published,
    spread: &Spread,
    steady: &[&Host],
) -> ReleaseOutcome {
    let applied: Option<Vec<Time>> = steady.iter().map(|host| host.record.applied.get(&at).copied()).collect();
    let last = applied.and_then(|applied| applied.into_iter().max());
    let downs: Vec<u64> = scenario.each_laptop().map(|laptop| laptop.down_bits_per_s).collect();
    let missing = |host: &&Host| Some((*host.record.missing_bytes.get(&at)?, downs[host.id.0 - 1]));
    let work = Work {
        fresh_bytes: published.fresh_bytes,
        missing: steady.iter().filter_map(missing).collect(),
        seed: uplinks(HostId::SEED, scenario.seed.up_bits_per_s, troubles, published.at),
        peers: honest_uplinks(scenario, troubles, published.at),
    };
    let part_bytes = scenario.releases[at].chunk_bytes;
    let rounds = |bits_per_s| {
        let (parts, peers) = (published.fresh_bytes / part_bytes, work.missing.len() as u64);
        mundinger_weber_weiss(parts, part_bytes, peers, bits_per_s)
    };
    ReleaseOutcome {
        version: published.version.clone(),
        time: last.map(|last| last.since(published.at)),
        bound: kumar_ross(&work),
        rounds_bound: one_rate(&work).map(rounds),
        fresh_bytes: published.fresh_bytes,
        whole_at: spread.whole_at,
    }
}

/// The uplinks of the laptops that send right chunks.
fn honest_uplinks(scenario: &Scenario, troubles: &Troubles, published_at: Time) -> Vec<Uplink> {
    let laptops = scenario.each_laptop().zip(1..).map(|(laptop, number)| (HostId(number), laptop.up_bits_per_s));
    let honest = laptops.filter(|(host, _)| troubles.behaviour(*host) == Behaviour::Honest);
    honest.flat_map(|(host, up)| uplinks(host, up, troubles, published_at)).collect()
}

/// When a host's uplink serves, counted from a publication.
fn uplinks(host: HostId, up_bits_per_s: u64, troubles: &Troubles, published_at: Time) -> Vec<Uplink> {
    let bits_per_s = troubles.up_bits_per_s(host, up_bits_per_s);
    let after = |at: Span| (Time::default() + at).since(published_at);
    let powered = troubles.powered(host).into_iter().map(|(from, until)| (after(from), after(until)));
    powered.filter(|(from, until)| from < until).map(|(from, until)| Uplink { bits_per_s, from, until }).collect()
}

/// The rate of all uplinks, if they have the same.
fn one_rate(work: &Work) -> Option<u64> {
    let mut rates = work.seed.iter().chain(&work.peers).map(|uplink| uplink.bits_per_s);
    let first = rates.next()?;
    rates.all(|rate| rate == first).then_some(first)
}
