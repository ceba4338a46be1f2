//! Trouble drawn from the rng_seed: power cuts, deaths, liars, boasters, stalls, slow peers, latecomers, partitions. It
//! ends at some moment; from then on nothing more goes wrong, and all that are up and tell no lies must finish.

use crate::fault::{Fault, Partition, Whom};
use crate::scenario::{Access, HostId, Laptops, Model, ReleasePlan, SCHEMA, Scenario, StrategyName};
use protocol::rng::Rng;
use protocol::time::Span;

/// Trouble lasts for at most this long.
const TROUBLE_MAX: Span = Span::from_secs(120);
/// A small classroom must finish within this after the last trouble: three rounds of gossip and two silences that have
/// to be noticed, where its content takes seconds.
const FINISHES_WITHIN: Span = Span::from_secs(300);
const KBIT: u64 = 1_000;

/// A small classroom with a release or more, and trouble.
pub fn history(rng_seed: u64) -> Scenario {
    let mut rng = Rng::new(&key(rng_seed), 0, "classroom");
    let mut between = |low: u64, high: u64| low + rng.below(high + 1 - low);
    let seed = Access {
        up_bits_per_s: between(1, 100) * 1_000 * KBIT,
        down_bits_per_s: between(1, 100) * 1_000 * KBIT,
        latency: Span(between(100, 40_000)),
    };
    let laptops = Laptops {
        count: usize::try_from(between(2, 8)).unwrap_or(2),
        up_bits_per_s: between(1, 50) * 1_000 * KBIT,
        down_bits_per_s: between(1, 100) * 1_000 * KBIT,
        latency: Span(between(100, 40_000)),
        disk_bytes_per_s: between(1, 100) * 1_000_000,
        disk_sync: Span(between(1_000, 200_000)),
    };
    let mut releases = Vec::new();
    let mut at = Span::default();
    for number in 0..between(1, 3) {
        let chunks = u32::try_from(between(1, 60)).unwrap_or(1);
        releases.push(ReleasePlan {
            version: format!("1.{number}"),
            at,
            chunks,
            chunk_bytes: between(1, 16) * 1024,
            files: u32::try_from(between(1, u64::from(chunks))).unwrap_or(1),
            shares_percent: if number == 0 { 0 } else { u32::try_from(between(0, 100)).unwrap_or(0) },
            release_counter: 0,
        });
        at = Span(at.0 + between(0, 40_000_000));
    }
    let model = if between(0, 1) == 0 { Model::Queue } else { Model::MaxMin };
    let mut scenario = Scenario {
        schema: SCHEMA,
        name: format!("chaos-{rng_seed}"),
        model,
        strategy: StrategyName::Ours,
        until: Span(TROUBLE_MAX.0 + FINISHES_WITHIN.0),
        idle: Span::default(),
        seed,
        laptops: vec![laptops],
        releases,
        signers: 1,
        withdrawals: Vec::new(),
        assignments: Vec::new(),
        rotations: Vec::new(),
        faults: Vec::new(),
        partitions: Vec::new(),
    };
    trouble(&mut scenario, rng_seed);
    scenario
}

/// Adds trouble to a scenario, for a third of its laptops and perhaps for the seed.
pub fn trouble(scenario: &mut Scenario, rng_seed: u64) {
    let mut rng = Rng::new(&key(rng_seed), 0, "trouble");
    let heals_at = Span(1 + rng.below(TROUBLE_MAX.0));
    let laptops = scenario.laptop_count();
    for host in (1..=laptops).map(HostId) {
        strike(scenario, host, heals_at, &mut rng);
    }
    if rng.below(3) == 0 {
        power_cuts(scenario, HostId::SEED, heals_at, &mut rng);
    }
    for _ in 0..rng.below(3) {
        let (from, until) = two_moments(heals_at, &mut rng);
        let hosts = (0..=laptops).map(HostId).filter(|_| rng.below(2) == 0).collect();
        scenario.partitions.push(Partition { hosts, from, until });
    }
}

fn strike(scenario: &mut Scenario, laptop: HostId, heals_at: Span, rng: &mut Rng) {
    let host = Whom::Host(laptop);
    let at = Span(rng.below(heals_at.0));
    let fault = match rng.below(24) {
        0 => Fault::Dies { host, at, returns: None },
        1..=3 => return power_cuts(scenario, laptop, heals_at, rng),
        4 => Fault::Lies { host },
        5 => Fault::Stalls { host },
        6 => Fault::Boasts { host, refuses: rng.below(2) == 0 },
        7 => Fault::Slow { host, up_bits_per_s: (50 + rng.below(500)) * KBIT },
        8 => Fault::Joins { host, at },
        _ => return,
    };
    scenario.faults.push(fault);
}

/// One to three power cuts one after another, the power back after each.
pub(crate) fn power_cuts(scenario: &mut Scenario, host: HostId, heals_at: Span, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        let (at, returns) = two_moments(heals_at, rng);
        scenario.faults.push(Fault::Dies { host: Whom::Host(host), at, returns: Some(returns) });
    }
}

/// Two different moments before all is well again, the earlier first. Half of them are close together and early, when
/// most is going on.
pub(crate) fn two_moments(heals_at: Span, rng: &mut Rng) -> (Span, Span) {
    let within = if rng.below(2) == 0 { heals_at.0 } else { heals_at.0.min(5_000_000) };
    let (one, other) = (rng.below(within), rng.below(within));
    (Span(one.min(other)), Span(one.max(other) + 1))
}

pub(crate) fn key(rng_seed: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&rng_seed.to_le_bytes());
    key
}
