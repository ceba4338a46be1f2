//! The very same protocol code in virtual time: hosts that run [`protocol::node::Node`], a network, disks
//! and a publisher, all in one event queue, so that a scenario and an rng_seed have one outcome.
//!
//! ```
//! # let text = include_str!("../scenarios/tiny.toml");
//! let scenario = simulator::scenario::Scenario::parse(text, "tiny.toml").unwrap();
//! let outcome = simulator::run(&scenario, 7);
//! assert!(outcome.violations.is_empty());
//! assert!(outcome.hosts[1..].iter().all(|host| host.applied.as_deref() == Some("1.0")));
//! ```
//!
//! Modules in reading order:
//!
//! 1. what is asked: [`scenario`] and what goes wrong in it, [`fault`], with quantities from [`units`];
//!    [`chaos`] draws both from the rng_seed, and [`adversaries`] classrooms under attack;
//! 2. the world: [`queue`] (what happens when), [`link`] and [`maxmin`] (two models of the hosts' access),
//!    [`network`] (who reaches whom), [`disk`], [`workload`] (the publisher);
//! 3. [`host`], a node with what a driver keeps for it, or an [`adversary`], and [`sim`], the engine that drives all
//!    hosts;
//! 4. what comes out: [`trace`], [`check`], [`bounds`], [`traffic`], [`outcome`]; [`sweep`] sums up many runs, [`report`]
//!    writes to files.
//!
//! Time is integer microseconds; nothing here reads a clock, starts a thread or depends on the order of a
//! hash map; and only `main.rs` and [`report`] touch files.

pub mod adversaries;
pub mod adversary;
pub mod bounds;
pub mod chaos;
pub mod check;
pub mod disk;
pub mod fault;
pub mod host;
pub mod link;
pub mod maxmin;
pub mod network;
pub mod outcome;
pub mod queue;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod sweep;
pub mod trace;
pub mod traffic;
pub mod units;
pub mod workload;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod histories;

use outcome::Outcome;
use scenario::Scenario;
use std::io;

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario, rng_seed: u64) -> Outcome {
    sim::Sim::new(scenario, rng_seed, None).run().expect("no text is written, so none can fail to be")
}

/// Runs a scenario to its end, and writes every input and output of every host to `text`.
///
/// # Errors
/// If `text` cannot be written.
pub fn run_traced(scenario: &Scenario, rng_seed: u64, text: &mut dyn io::Write) -> io::Result<Outcome> {
    sim::Sim::new(scenario, rng_seed, Some(text)).run()
}
