//! `homeroom-sim`: runs a scenario, many times if asked, or a run again.

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use protocol::time::Span;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use simulator::outcome::{Outcome, ReleaseOutcome};
use simulator::report::{self, Asked};
use simulator::scenario::{HostId, Scenario, StrategyName};
use simulator::sweep::{Row, Sweep};
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

/// Runs Homeroom's protocol in virtual time.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  homeroom-sim run simulator/scenarios/classroom.toml --rng-seed 7 --out /tmp/classroom
  homeroom-sim run simulator/scenarios/s4-30.toml --rng-seeds 1..30 --out /tmp/s4-30
  homeroom-sim replay /tmp/classroom
  homeroom-sim chaos --histories 1000
  homeroom-sim adversaries --histories 1000

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
    /// Run a scenario: once, writing run.json and hosts.csv, or once for each of many rng_seeds, writing runs.csv
    Run(RunArgs),
    /// Run again what a folder tells of, and compare
    Replay {
        /// The folder that a run has left
        dir: PathBuf,
    },
    /// Run many small classrooms in which much goes wrong, each drawn from its number; all must come to a good end
    Chaos(HistoriesArgs),
    /// Run many small classrooms with adversaries among the laptops, each drawn from its number; all must come to agree
    Adversaries(HistoriesArgs),
}

#[derive(Args)]
struct HistoriesArgs {
    /// How many, on all cores
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    histories: u64,
    /// The number of the first, which is its rng_seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Write every input and output of every host of the first that fails, or of the only one, to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Args)]
struct RunArgs {
    /// The scenario
    file: PathBuf,
    /// What all randomness comes from: the same number gives the same run
    #[arg(long, value_name = "N", required_unless_present = "rng_seeds")]
    rng_seed: Option<u64>,
    /// One run for each, on all cores
    #[arg(long, value_name = "FIRST..LAST", value_parser = rng_seeds, conflicts_with_all = ["rng_seed", "trace", "log_host"])]
    rng_seeds: Option<RangeInclusive<u64>>,
    /// The folder for what comes out
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also write every input and output of every host to trace.txt (large)
    #[arg(long)]
    trace: bool,
    /// The same, of one host only
    #[arg(long, value_name = "HOST", conflicts_with = "trace")]
    log_host: Option<HostId>,
    /// Which rules of the swarm are at work, instead of what the scenario says: ours, naive, super-seeding, load-aware
    #[arg(long, value_name = "NAME", value_parser = strategy)]
    strategy: Option<StrategyName>,
    /// Add trouble that the rng_seed draws: power cuts, liars, partitions and more, for two minutes at most
    #[arg(long)]
    chaos: bool,
    /// Give up after this much virtual time, instead of when the scenario says
    #[arg(long, value_name = "SECONDS")]
    until: Option<u64>,
    /// Tell it in JSON
    #[arg(long)]
    json: bool,
}

/// What glibc looks for when a program starts, and what makes it ask for huge pages: a run looks at thousands of hosts
/// in turn, and without them it waits for the page table at every one.
const HUGE_PAGES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// A reader that leaves, or a full disk behind standard output, is no bug.
fn end_where_nothing_can_be_printed() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(why) = panic.payload_as_str().filter(|why| why.starts_with("failed printing to stdout")) {
            eprintln!("homeroom-sim: {why}");
            std::process::exit(2);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_where_nothing_can_be_printed();
    let cli = Cli::parse();
    if std::env::var_os(HUGE_PAGES.0).is_none() {
        // Returns only if it fails; then it goes on as it is.
        let _ = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).env(HUGE_PAGES.0, HUGE_PAGES.1).exec();
    }
    let done = match cli.verb {
        Verb::Run(args) => match args.rng_seeds.clone() {
            Some(rng_seeds) => sweep(&args, rng_seeds),
            None => run(&args),
        },
        Verb::Replay { dir } => replay(&dir),
        Verb::Chaos(args) => histories("chaos", simulator::chaos::history, &args),
        Verb::Adversaries(args) => histories("adversaries", simulator::adversaries::history, &args),
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

fn run(args: &RunArgs) -> anyhow::Result<bool> {
    let rng_seed = args.rng_seed.context("no rng_seed is given")?;
    let text = report::read_text(&args.file)?;
    let scenario = args.scenario_of(&read_scenario(&text, &args.file, args.until())?, rng_seed);
    report::begin(&args.out, &text)?;
    let outcome = if args.trace || args.log_host.is_some() {
        let path = args.out.join("trace.txt");
        let traced = run_traced(&scenario, rng_seed, &path, args.log_host);
        traced.with_context(|| format!("cannot write {}", path.display()))?
    } else {
        simulator::run(&scenario, rng_seed)
    };
    report::finish(&args.out, &outcome, &args.asked())?;
    if args.json {
        println!("{:#}", report::run_json(&outcome, &args.asked()));
    } else {
        tell(&outcome);
    }
    outcome.violations.iter().for_each(|violation| eprintln!("{violation}"));
    if outcome.failed() {
        eprintln!("to see it again: {} --trace", args.again(rng_seed));
    }
    Ok(!outcome.failed())
}

fn sweep(args: &RunArgs, rng_seeds: RangeInclusive<u64>) -> anyhow::Result<bool> {
    let text = report::read_text(&args.file)?;
    let scenario = read_scenario(&text, &args.file, args.until())?;
    report::begin(&args.out, &text)?;
    let rows =
        in_parallel(rng_seeds, |rng_seed| Row::of(&simulator::run(&args.scenario_of(&scenario, rng_seed), rng_seed)));
    let sweep = Sweep { rows };
    report::finish_sweep(&args.out, &sweep)?;
    if args.json {
        println!("{:#}", sweep.json());
    } else {
        let strategy = args.strategy.unwrap_or(scenario.strategy);
        println!("{} runs of {}, model {}, strategy {strategy}", sweep.rows.len(), scenario.name, scenario.model);
        print!("{}", sweep.table());
    }
    for row in sweep.failed() {
        row.violations.iter().for_each(|violation| eprintln!("rng_seed {}: {violation}", row.rng_seed));
        eprintln!("to see it again: {} --trace", args.again(row.rng_seed));
    }
    Ok(sweep.failed().next().is_none())
}

fn replay(dir: &Path) -> anyhow::Result<bool> {
    let (text, before) = report::read(dir)?;
    let mut scenario = read_scenario(&text, &dir.join("scenario.toml"), before.asked.until_us.map(Span))?;
    scenario.strategy = before.asked.strategy.unwrap_or(scenario.strategy);
    if before.asked.chaos {
        simulator::chaos::trouble(&mut scenario, before.rng_seed);
    }
    let outcome = simulator::run(&scenario, before.rng_seed);
    let same = outcome.trace_hash == before.trace_hash;
    if same {
        println!("the same again: {}", outcome.trace_hash);
    } else {
        println!("another run: {} before, {} now", before.trace_hash, outcome.trace_hash);
    }
    Ok(same)
}

fn histories(verb: &str, history: fn(u64) -> Scenario, args: &HistoriesArgs) -> anyhow::Result<bool> {
    let HistoriesArgs { histories, first, trace } = args;
    let last = first.checked_add(histories - 1).filter(|last| *last < u64::MAX);
    let last = last.context("there are not so many rng_seeds from --first on; name a lower one")?;
    let failed = in_parallel(*first..=last, |rng_seed| {
        let outcome = simulator::run(&history(rng_seed), rng_seed);
        outcome.failed().then_some(outcome)
    });
    let failed: Vec<Outcome> = failed.into_iter().flatten().collect();
    for outcome in &failed {
        let rng_seed = outcome.rng_seed;
        outcome.violations.iter().for_each(|violation| eprintln!("history {rng_seed}: {violation}"));
        eprintln!("to see it again: homeroom-sim {verb} --first {rng_seed} --histories 1 --trace trace.txt");
    }
    if let Some(path) = trace {
        let rng_seed = failed.first().map_or(*first, |outcome| outcome.rng_seed);
        run_traced(&history(rng_seed), rng_seed, path, None)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{histories} histories from {first} on, {} of them failed", failed.len());
    Ok(failed.is_empty())
}

impl RunArgs {
    /// What is run for an rng_seed.
    fn scenario_of(&self, scenario: &Scenario, rng_seed: u64) -> Scenario {
        let mut scenario = scenario.clone();
        scenario.strategy = self.strategy.unwrap_or(scenario.strategy);
        if self.chaos {
            simulator::chaos::trouble(&mut scenario, rng_seed);
        }
        scenario
    }

    fn asked(&self) -> Asked {
        Asked { until_us: self.until().map(|until| until.0), strategy: self.strategy, chaos: self.chaos }
    }

    fn until(&self) -> Option<Span> {
        self.until.map(Span::from_secs)
    }

    /// The command that repeats one run.
    fn again(&self, rng_seed: u64) -> String {
        let until = self.until.map(|until| format!(" --until {until}")).unwrap_or_default();
        let (file, out) = (self.file.display(), self.out.display());
        let strategy = self.strategy.map(|strategy| format!(" --strategy {strategy}")).unwrap_or_default();
        let chaos = if self.chaos { " --chaos" } else { "" };
        format!("homeroom-sim run {file} --rng-seed {rng_seed} --out {out}{until}{strategy}{chaos}")
    }
}

/// What comes of each number, in order; as many at a time as there are cores.
fn in_parallel<T: Send>(numbers: RangeInclusive<u64>, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (next, last) = (AtomicU64::new(*numbers.start()), *numbers.end());
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..cores {
            let (done, next, work) = (done.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > last || done.send((number, work(number))).is_err() {
                        break;
                    }
                }
            });
        }
    });
    drop(done);
    let mut results: Vec<(u64, T)> = results.into_iter().collect();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn rng_seeds(text: &str) -> anyhow::Result<RangeInclusive<u64>> {
    let (first, last) = text.split_once("..").context("two numbers are needed, such as 1..30")?;
    let (first, last) = (first.parse()?, last.parse()?);
    if first > last || last == u64::MAX {
        bail!("the last must not be less than the first, nor without bound");
    }
    Ok(first..=last)
}

fn strategy(name: &str) -> Result<StrategyName, serde::de::value::Error> {
    StrategyName::deserialize(name.into_deserializer())
}

fn read_scenario(text: &str, file: &Path, until: Option<Span>) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::parse(text, &file.display().to_string())?;
    scenario.until = until.unwrap_or(scenario.until);
    Ok(scenario)
}

#[expect(clippy::disallowed_types, reason = "the command line is where files are")]
fn run_traced(scenario: &Scenario, rng_seed: u64, path: &Path, only: Option<HostId>) -> io::Result<Outcome> {
    let name = only.map(|host| host.to_string());
    let mut text = OneHost { file: BufWriter::new(std::fs::File::create(path)?), name };
    let outcome = simulator::run_traced(scenario, rng_seed, &mut text)?;
    text.flush()?;
    Ok(outcome)
}

/// Lets through only what the trace tells of one host, if one is named. The trace writes a line at a time: the
/// moment, the host and what it is about.
struct OneHost<W> {
    file: W,
    name: Option<String>,
}

impl<W: Write> Write for OneHost<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let of = line.split(|byte| *byte == b' ').nth(1);
        if self.name.as_ref().is_none_or(|name| of == Some(name.as_bytes())) {
            self.file.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn tell(outcome: &Outcome) {
    println!("model {}, strategy {}, rng_seed {}", outcome.model, outcome.strategy, outcome.rng_seed);
    outcome.releases.iter().for_each(tell_release);
    let (copies, duplicate, waste) = (outcome.seed_copies(), outcome.duplicate_percent(), outcome.waste_percent());
    println!("the seed sent {copies:.2} copies; {duplicate:.2} % of what was sent was not needed");
    println!("{waste:.2} % of what the honest received was not needed or wrong");
    tell_traffic(outcome);
    println!("trace {}", outcome.trace_hash);
}

fn tell_traffic(outcome: &Outcome) {
    let sent = outcome.traffic.sent();
    let percent = |bytes: u64| 100.0 * bytes as f64 / sent.total().max(1) as f64;
    let (talk, documents) = (percent(sent.heads_and_asks), percent(sent.documents));
    println!(
        "of all bytes, heads and asks are {talk:.3} %, and {:.3} % in the busiest second; documents {documents:.2} %; \
         talk of chunks {:.2} %",
        outcome.busiest_second_percent(),
        percent(sent.chunk_talk)
    );
    if let Some(bytes) = outcome.idle_bytes_per_host_s() {
        println!("idle, a host sends {bytes:.1} bytes a second");
    }
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
