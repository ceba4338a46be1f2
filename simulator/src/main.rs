//! `homeroom-sim`: runs a scenario, or a run again.

use anyhow::Context;
use clap::{Parser, Subcommand};
use protocol::time::Span;
use simulator::outcome::{Outcome, ReleaseOutcome};
use simulator::report;
use simulator::scenario::Scenario;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs Homeroom's protocol in virtual time.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  homeroom-sim run simulator/scenarios/classroom.toml --rng-seed 7 --out /tmp/classroom
  homeroom-sim replay /tmp/classroom

Exit codes:
  0  all is well
  1  an invariant did not hold, a laptop was left behind, or a replay came out differently
  2  the scenario or the command line is wrong, or a file cannot be read or written"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a scenario once; writes run.json, hosts.csv and scenario.toml
    Run {
        /// The scenario
        file: PathBuf,
        /// What all randomness comes from: the same number gives the same run
        #[arg(long, value_name = "N")]
        rng_seed: u64,
        /// The folder for what comes out
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Also write every input and output of every host to trace.txt (large)
        #[arg(long)]
        trace: bool,
        /// Give up after this much virtual time, instead of when the scenario says
        #[arg(long, value_name = "SECONDS")]
        until: Option<u64>,
    },
    /// Run again what a folder tells of, and compare
    Replay {
        /// The folder that a run has left
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run { file, rng_seed, out, trace, until } => {
            run(&file, rng_seed, &out, trace, until.map(Span::from_secs))
        }
        Verb::Replay { dir } => replay(&dir),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("homeroom-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(file: &Path, rng_seed: u64, out: &Path, trace: bool, until: Option<Span>) -> anyhow::Result<bool> {
    let text = report::read_text(file)?;
    let scenario = read_scenario(&text, file, until)?;
    report::begin(out, &text)?;
    let outcome = if trace {
        let path = out.join("trace.txt");
        run_traced(&scenario, rng_seed, &path).with_context(|| format!("cannot write {}", path.display()))?
    } else {
        simulator::run(&scenario, rng_seed)
    };
    report::finish(out, &outcome, until)?;
    tell(&outcome);
    if outcome.failed() {
        let until = until.map(|until| format!(" --until {}", until.0 / 1_000_000)).unwrap_or_default();
        let (file, out) = (file.display(), out.display());
        eprintln!("to see it again: homeroom-sim run {file} --rng-seed {rng_seed} --out {out} --trace{until}");
    }
    Ok(!outcome.failed())
}

fn replay(dir: &Path) -> anyhow::Result<bool> {
    let (text, before) = report::read(dir)?;
    let scenario = read_scenario(&text, &dir.join("scenario.toml"), before.until_us.map(Span))?;
    let outcome = simulator::run(&scenario, before.rng_seed);
    let same = outcome.trace_hash == before.trace_hash;
    if same {
        println!("the same again: {}", outcome.trace_hash);
    } else {
        println!("another run: {} before, {} now", before.trace_hash, outcome.trace_hash);
    }
    Ok(same)
}

fn read_scenario(text: &str, file: &Path, until: Option<Span>) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::parse(text, &file.display().to_string())?;
    scenario.until = until.unwrap_or(scenario.until);
    Ok(scenario)
}

#[expect(clippy::disallowed_types, reason = "the command line is where files are")]
fn run_traced(scenario: &Scenario, rng_seed: u64, path: &Path) -> std::io::Result<Outcome> {
    let mut text = BufWriter::new(std::fs::File::create(path)?);
    let outcome = simulator::run_traced(scenario, rng_seed, &mut text)?;
    text.flush()?;
    Ok(outcome)
}

fn tell(outcome: &Outcome) {
    println!("model {}, rng_seed {}", outcome.model, outcome.rng_seed);
    outcome.releases.iter().for_each(tell_release);
    let wasted = 100.0 * outcome.ledger.duplicate_bytes as f64 / outcome.ledger.sent_bytes.max(1) as f64;
    println!("the seed sent {:.2} copies; {wasted:.2} % of what was sent was not needed", outcome.seed_copies());
    println!("trace {}", outcome.trace_hash);
    outcome.violations.iter().for_each(|violation| eprintln!("{violation}"));
}

fn tell_release(release: &ReleaseOutcome) {
    let seconds = |span: Span| span.0 as f64 / 1e6;
    match release.time {
        Some(time) => print!("release {}: {:.1} s", release.version, seconds(time)),
        None => print!("release {}: not on every laptop", release.version),
    }
    let bounds = [("Kumar-Ross", Some(release.bound)), ("Mundinger-Weber-Weiss", release.rounds_bound)];
    for (name, bound) in bounds.into_iter().filter_map(|(name, bound)| Some((name, bound?))) {
        print!("; {name} bound {:.1} s", seconds(bound));
        if let Some(time) = release.time {
            print!(", ratio {:.3}", report::ratio(time, bound));
        }
    }
    println!();
}
