//! Classrooms with adversaries, drawn from the rng_seed: a school, devices, and among the devices some that lie about
//! metadata. The publisher releases, takes back and replaces keys; what goes wrong beside that ends at some moment. Some
//! classrooms have a school, whose keys somebody steals.
//! The adversaries do not end, and all honest devices must come to agree nevertheless.

use crate::adversary::Attack;
use crate::chaos;
use crate::fault::{Fault, Partition, Whom};
use crate::scenario::{
    Access, AssignmentPlan, HostId, KeyRole, Laptops, Model, ReleasePlan, Rotation, SCHEMA, Scenario, StrategyName,
    Withdrawal,
};
use protocol::rng::Rng;
use protocol::time::Span;

/// The publisher is done, and power and network are well, within this long.
const TROUBLE_MAX: Span = Span::from_secs(60);
/// All honest devices agree within this after that: a file that only one of twenty peers has may cost a silence of 3
/// seconds from each other one, a rotation needs half a dozen files, and a cut has to be noticed first.
const AGREE_WITHIN: Span = Span::from_secs(300);
/// It goes on for so long after that, lest an adversary has the last word.
const GOES_ON: Span = Span::from_secs(10);
const MBIT: u64 = 1_000_000;

/// A classroom with adversaries.
pub fn history(rng_seed: u64) -> Scenario {
    let mut rng = Rng::new(&chaos::key(rng_seed), 0, "classroom with adversaries");
    let (honest, hostile) = numbers(&mut rng);
    let mut between = |low: u64, high: u64| low + rng.below(high + 1 - low);
    let latency = Span(between(100, 20_000));
    let rate = |mbit| mbit * MBIT;
    let laptops = Laptops {
        count: honest + hostile,
        up_bits_per_s: rate(between(5, 50)),
        down_bits_per_s: rate(between(5, 100)),
        latency,
        disk_bytes_per_s: 20_000_000,
        disk_sync: Span(between(1_000, 50_000)),
    };
    let seed = Access { up_bits_per_s: rate(between(5, 100)), down_bits_per_s: rate(between(5, 100)), latency };
    let mut scenario = Scenario {
        schema: SCHEMA,
        name: format!("adversaries-{rng_seed}"),
        model: Model::Queue,
        strategy: StrategyName::Ours,
        until: Span(TROUBLE_MAX.0 + AGREE_WITHIN.0),
        idle: GOES_ON,
        seed,
        laptops: vec![laptops],
        releases: Vec::new(),
        signers: usize::try_from(between(1, 3)).unwrap_or(1),
        withdrawals: Vec::new(),
        assignments: Vec::new(),
        rotations: Vec::new(),
        faults: Vec::new(),
        partitions: Vec::new(),
    };
    releases(&mut scenario, &mut rng);
    adversaries(&mut scenario, honest, hostile, &mut rng);
    withdrawals(&mut scenario, &mut rng);
    rotations(&mut scenario, &mut rng);
    trouble(&mut scenario, honest, &mut rng);
    let mut rng = Rng::new(&chaos::key(rng_seed), 0, "school among adversaries");
    if rng.below(3) == 0 {
        school(&mut scenario, &mut rng);
    }
    scenario
}

/// How many laptops are honest, and how many are not: mostly few of both, now and then a whole classroom, or ten hostile
/// ones for each honest one.
fn numbers(rng: &mut Rng) -> (usize, usize) {
    let (honest, hostile) = match rng.below(32) {
        0 => (3, 30),
        1 => (20, 4),
        _ => (3 + rng.below(5), 1 + rng.below(4)),
    };
    (usize::try_from(honest).unwrap_or(3), usize::try_from(hostile).unwrap_or(1))
}

fn releases(scenario: &mut Scenario, rng: &mut Rng) {
    let mut at = Span::default();
    for number in 0..=rng.below(3) {
        let chunks = 1 + u32::try_from(rng.below(6)).unwrap_or(0);
        scenario.releases.push(ReleasePlan {
            version: format!("1.{number}"),
            at,
            chunks,
            chunk_bytes: 1024,
            files: 1,
            shares_percent: if number == 0 { 0 } else { 50 },
            release_counter: 0,
        });
        at = Span((at.0 + rng.below(25_000_000)).min(TROUBLE_MAX.0));
    }
}

/// Who attacks and how. One sort of attack each, or of two sorts half and half.
fn adversaries(scenario: &mut Scenario, honest: usize, hostile: usize, rng: &mut Rng) {
    let mut drawn = || Attack::ALL[usize::try_from(rng.below(Attack::ALL.len() as u64)).unwrap_or(0)];
    let attacks = [drawn(), drawn()];
    for number in 1..=hostile {
        let host = Whom::Host(HostId(honest + number));
        scenario.faults.push(Fault::Attacks { host, attack: attacks[number % 2] });
        if rng.below(4) == 0 {
            scenario.faults.push(Fault::Joins { host, at: Span(rng.below(TROUBLE_MAX.0)) });
        }
    }
    if rng.below(4) == 0 {
        scenario.faults.push(Fault::Eclipsed { host: Whom::Host(HostId(1)) });
    }
}

/// Not where somebody is eclipsed: its one friend may have applied what is withdrawn, and have nothing else to give.
fn withdrawals(scenario: &mut Scenario, rng: &mut Rng) {
    if scenario.faults.iter().any(|fault| matches!(fault, Fault::Eclipsed { .. })) {
        return;
    }
    for release in &scenario.releases {
        if rng.below(5) == 0 {
            let at = Span(release.at.0 + rng.below(TROUBLE_MAX.0 - release.at.0 + 1));
            scenario.withdrawals.push(Withdrawal { version: release.version.clone(), at });
        }
    }
}

/// Keys are replaced now and then. Those that were stolen are, but for thieves who only contradict themselves: what they
/// do may also stay as it is.
fn rotations(scenario: &mut Scenario, rng: &mut Rng) {
    let all = [KeyRole::Root, KeyRole::Timestamp, KeyRole::Snapshot, KeyRole::Targets, KeyRole::Channel];
    for _ in 0..rng.below(3) {
        let keys: Vec<KeyRole> = all.into_iter().filter(|_| rng.below(3) == 0).collect();
        if !keys.is_empty() {
            scenario.rotations.push(Rotation { at: Span(rng.below(TROUBLE_MAX.0)), keys });
        }
    }
    let attacks = |fault: &Fault| match fault {
        Fault::Attacks { attack, .. } => Some(*attack),
        _ => None,
    };
    let thieves = || scenario.faults.iter().filter_map(attacks).filter(|attack| attack.has_online_keys());
    let ends_well = thieves().any(|thief| thief != Attack::Equivocate) || rng.below(2) == 0;
    if thieves().next().is_some() && ends_well {
        let mut keys = vec![KeyRole::Timestamp, KeyRole::Snapshot];
        keys.extend([KeyRole::Root, KeyRole::Targets, KeyRole::Channel].into_iter().filter(|_| rng.below(3) == 0));
        // After the last thief has come.
        scenario.rotations.push(Rotation { at: TROUBLE_MAX, keys });
    }
}

/// Power cuts of honest laptops and of the seed, and partitions.
fn trouble(scenario: &mut Scenario, honest: usize, rng: &mut Rng) {
    for host in (1..=honest).map(HostId).filter(|_| rng.below(8) == 0).collect::<Vec<_>>() {
        chaos::power_cuts(scenario, host, TROUBLE_MAX, rng);
    }
    if rng.below(6) == 0 {
        chaos::power_cuts(scenario, HostId::SEED, TROUBLE_MAX, rng);
    }
    if rng.below(4) == 0 {
        let (from, until) = chaos::two_moments(TROUBLE_MAX, rng);
        let hosts = (0..=scenario.laptop_count()).map(HostId).filter(|_| rng.below(2) == 0).collect();
        scenario.partitions.push(Partition { hosts, from, until });
    }
}

/// A school, and a thief of its keys, who assigns what he likes: older releases, what was taken back, and what nobody ever
/// published. The school has the last word. Some releases mend what nobody must go back below.
fn school(scenario: &mut Scenario, rng: &mut Rng) {
    let mut release_counter = 0;
    for release in &mut scenario.releases {
        release_counter += rng.below(2);
        release.release_counter = release_counter;
    }
    let assigns = |release: &ReleasePlan, at, forged| AssignmentPlan { version: release.version.clone(), at, forged };
    let mut assignments = vec![assigns(&scenario.releases[0], scenario.releases[0].at, false)];
    for _ in 0..rng.below(8) {
        let at = Span(rng.below(TROUBLE_MAX.0));
        let published = scenario.releases.iter().filter(|release| release.at <= at).count().max(1);
        let release = &scenario.releases[usize::try_from(rng.below(published as u64)).unwrap_or(0)];
        assignments.push(assigns(release, at, rng.below(4) == 0));
    }
    let is_listed =
        |release: &&ReleasePlan| scenario.withdrawals.iter().all(|withdrawal| withdrawal.version != release.version);
    let newest = scenario.releases.iter().rfind(is_listed).or(scenario.releases.last());
    assignments.sort_by_key(|assignment| assignment.at);
    assignments.extend(newest.map(|release| assigns(release, TROUBLE_MAX, false)));
    scenario.assignments = assignments;
}
