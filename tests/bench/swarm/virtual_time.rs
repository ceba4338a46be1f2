//! The same scenario in the simulator, at the rate that the lab's links really have.

use crate::outcome::{Run, median};
use crate::plan::Plan;
use serde::Serialize;
use simulator::scenario::{HostId, Scenario};

/// Completions in both worlds, each the middle of its runs: the first laptop's, the second's and so on.
#[derive(Clone, Debug, Serialize)]
pub struct VirtualTime {
    /// How many rng_seeds.
    pub rng_seeds: u64,
    /// In the lab, in seconds, until held.
    pub lab_s: Vec<f64>,
    /// In the simulator, in seconds, until applied, which costs nothing there.
    pub simulated_s: Vec<f64>,
    /// How much later the lab's last one is, in percent of the simulator's.
    pub last_later_percent: f64,
}

/// Simulates the plan's scenario and lays its completions beside those of the runs; of the last release.
pub fn run(plan: &Plan, runs: &[Run], rng_seeds: u64) -> VirtualTime {
    let share = median(runs.iter().map(|run| run.link_share).collect()).unwrap_or(1.0);
    let scenario = at_rate(plan.scenario, share);
    let published = scenario.releases.last().map_or(0, |release| release.at.0);
    let steady: Vec<HostId> = plan.steady().map(|host| host.id).collect();
    let simulated = (1..=rng_seeds).map(|rng_seed| {
        let outcome = simulator::run(&scenario, rng_seed);
        let hosts = outcome.hosts.iter().filter(|host| steady.contains(&host.host));
        hosts.filter_map(|host| Some((host.applied_at?.0 - published) as f64 / 1e6)).collect()
    });
    let held = runs.iter().filter_map(|run| run.releases.last());
    let held =
        held.map(|release| steady.iter().filter_map(|host| release.held_s.get(&host.to_string()).copied()).collect());
    let (lab_s, simulated_s) = (middle_curve(held.collect()), middle_curve(simulated.collect()));
    let last = |curve: &[f64]| curve.last().copied().unwrap_or(f64::NAN);
    let last_later_percent = 100.0 * (last(&lab_s) / last(&simulated_s) - 1.0);
    VirtualTime { rng_seeds, lab_s, simulated_s, last_later_percent }
}

/// A scenario whose links carry a share of what it says.
fn at_rate(scenario: &Scenario, share: f64) -> Scenario {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, scaled by about one")]
    let real = |bits_per_s: &mut u64| *bits_per_s = (*bits_per_s as f64 * share) as u64;
    let mut scenario = scenario.clone();
    let seed = &mut scenario.seed;
    [&mut seed.up_bits_per_s, &mut seed.down_bits_per_s].into_iter().for_each(real);
    for laptop in &mut scenario.laptops {
        [&mut laptop.up_bits_per_s, &mut laptop.down_bits_per_s].into_iter().for_each(real);
    }
    scenario
}

/// Of several curves the middle at each place, for as many places as all have.
fn middle_curve(mut curves: Vec<Vec<f64>>) -> Vec<f64> {
    curves.iter_mut().for_each(|curve| curve.sort_by(f64::total_cmp));
    let places = curves.iter().map(Vec::len).min().unwrap_or(0);
    (0..places).filter_map(|place| median(curves.iter().map(|curve| curve[place]).collect())).collect()
}
