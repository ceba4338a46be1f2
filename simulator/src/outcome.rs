//! How a run went: by release, and by host.

use crate::bounds::{Work, kumar_ross};
use crate::check::{Ledger, Violation};
use crate::host::Host;
use crate::scenario::{Fault, HostId, Model, Scenario};
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
    /// The least time that the steady laptops could have needed.
    pub bound: Span,
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
        Span(self.timed().map(|(time, _)| time.0).sum())
    }

    /// The bound on that time.
    pub fn bound(&self) -> Span {
        Span(self.timed().map(|(_, bound)| bound.0).sum())
    }

    /// How often the seed sent what only it had.
    pub fn seed_copies(&self) -> f64 {
        let fresh: u64 = self.releases.iter().map(|release| release.fresh_bytes).sum();
        self.hosts[0].sent_bytes as f64 / fresh as f64
    }

    /// Whether a run failed.
    pub fn failed(&self) -> bool {
        !self.violations.is_empty()
    }

    fn timed(&self) -> impl Iterator<Item = (Span, Span)> {
        self.releases.iter().filter_map(|release| Some((release.time?, release.bound)))
    }

    /// How each release spread.
    pub fn of_releases(
        scenario: &Scenario,
        publisher: &Publisher,
        hosts: &[Host],
        spreads: &[Spread],
    ) -> Vec<ReleaseOutcome> {
        let troubled: Vec<HostId> = scenario.faults.iter().map(Fault::host).collect();
        let cut_off: Vec<HostId> = scenario.partitions.iter().flat_map(|partition| &partition.hosts).copied().collect();
        let steady = |host: &&Host| !troubled.contains(&host.id) && !cut_off.contains(&host.id);
        let steady: Vec<&Host> = hosts.iter().skip(1).filter(steady).collect();
        let released = publisher.published().iter().zip(spreads).enumerate();
        released.map(|(at, (published, spread))| of_release(scenario, at, published, spread, &steady)).collect()
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

fn of_release(
    scenario: &Scenario,
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
        seed_up_bits_per_s: scenario.seed.up_bits_per_s,
        peers_up_bits_per_s: scenario.each_laptop().map(|laptop| laptop.up_bits_per_s).sum(),
    };
    ReleaseOutcome {
        version: published.version.clone(),
        time: last.map(|last| last.since(published.at)),
        bound: kumar_ross(&work),
        fresh_bytes: published.fresh_bytes,
        whole_at: spread.whole_at,
    }
}
