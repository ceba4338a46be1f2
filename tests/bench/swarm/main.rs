//! `swarm`: a scenario with real nodes, on hosts with shaped links, measured beside what theory allows.
//!
//! Modules in reading order: [`plan`] (what a scenario means here), [`room`] (the files), [`member`] (one running
//! node), [`hostile`] (a peer that lies or stalls), [`lesson`] (one run), [`iperf`] (the rate that links really
//! have), [`outcome`] (how a run went), [`virtual_time`] (the same in the simulator), [`rival`] (other people's
//! programs), [`table`] (for people).

mod hostile;
mod iperf;
mod lesson;
mod member;
mod outcome;
mod plan;
mod rival;
mod room;
mod table;
mod virtual_time;

use anyhow::Context;
use clap::{Parser, Subcommand};
use member::Heard;
use outcome::Report;
use plan::Plan;
use rival::Rival;
use room::Room;
use simulator::scenario::Scenario;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

/// Programs that a run calls, each with the package that has it.
const NEEDED: [(&str, &str); 4] = [("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("iperf3", "iperf3")];

/// Runs a scenario with real nodes in a network of namespaces. Needs root and the release build of `homeroom`.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  cargo build --release --workspace
  target/release/swarm simulator/scenarios/lab-8.toml --runs 5
  target/release/swarm simulator/scenarios/lab-8.toml --compare-sim 5
  target/release/swarm simulator/scenarios/lab-half-dead.toml --steady-only
  target/release/swarm simulator/scenarios/lab-8.toml --beside aria2,libtorrent,nginx,rsync

The bound is that of Kumar and Ross at the rate that iperf3 measures in the same run. Rates of 10 Gbit/s and more
are left unshaped."
)]
struct Cli {
    /// The scenario, as homeroom-sim reads it
    #[arg(required = true)]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Args)]
struct Options {
    /// How often to run it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
    /// Leave what the nodes said, and curve.csv, in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Put repository and homes on the disk, instead of a tmpfs
    #[arg(long)]
    disk: bool,
    /// Let the switch lose so many of a thousand frames
    #[arg(long, value_name = "PERMILLE", default_value_t = 0)]
    lose: u32,
    /// Leave out the laptops to which the scenario does something
    #[arg(long)]
    steady_only: bool,
    /// Have iperf3 run between two laptops while the release spreads, and tell what it keeps of its rate alone
    #[arg(long)]
    foreground: bool,
    /// Once all is applied, count for so many seconds what idle nodes send
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
    /// Run the scenario in virtual time too, at the measured rate, with so many rng_seeds
    #[arg(long, value_name = "RNG_SEEDS", value_parser = clap::value_parser!(u64).range(1..))]
    compare_sim: Option<u64>,
    /// Let these programs bring the same file to the same laptops afterwards, one after the other
    #[arg(long, value_name = "PROGRAMS", value_delimiter = ',')]
    beside: Vec<Rival>,
}

#[derive(Subcommand)]
enum Verb {
    /// Be a hostile peer (a run starts it for those of a scenario)
    #[command(hide = true)]
    Hostile(hostile::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match (cli.verb, cli.scenario) {
        (Some(Verb::Hostile(arguments)), _) => hostile::run(&arguments),
        (None, Some(scenario)) => measure(&scenario, &cli.options),
        (None, None) => Err(anyhow::anyhow!("no scenario is named")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(file: &Path, options: &Options) -> anyhow::Result<()> {
    check_machine(&options.beside)?;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let scenario = Scenario::parse(&text, &file.display().to_string())?;
    let plan = Plan::of(&scenario, options.steady_only, options.lose)?;
    for key in plan.not_honoured() {
        eprintln!("swarm: not honoured here: {key}");
    }
    let (tell, heard) = mpsc::channel();
    let interrupted = tell.clone();
    // Nobody may be listening any more.
    node::interrupt::at_first(move || drop(interrupted.send(Heard::Interrupted)))?;
    let room = Room::new(options.disk)?;
    room.make_trees(&plan)?;
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        let mut lesson = lesson::Lesson::start(&plan, &room, (tell.clone(), &heard))?;
        let run = lesson.teach(options.foreground, options.idle);
        if let Some(keep) = &options.keep {
            room.keep_logs(&keep.join(format!("run-{number}")))?;
        }
        let run = run?;
        if !options.json {
            table::run(number, &run);
        }
        runs.push(run);
    }
    let virtual_time = options.compare_sim.map(|rng_seeds| virtual_time::run(&plan, &runs, rng_seeds));
    let share = outcome::median(runs.iter().map(|run| run.link_share).collect()).unwrap_or(1.0);
    let beside: anyhow::Result<Vec<_>> =
        options.beside.iter().map(|rival| rival::race(*rival, (&plan, share), &room, (&tell, &heard))).collect();
    let report = Report::new(&plan, options.disk, runs, virtual_time, beside?);
    if let Some(keep) = &options.keep {
        let path = keep.join("curve.csv");
        std::fs::write(&path, report.curve()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        table::summary(&report);
    }
    anyhow::ensure!(report.median_ratio.is_some(), "in some run a laptop never held the release");
    Ok(())
}

/// Says what is missing, all at once.
fn check_machine(beside: &[Rival]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("the rights of root".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (program, package) in NEEDED.iter().chain(beside.iter().flat_map(|rival| rival::needs(*rival))) {
        if !std::env::split_paths(&path).any(|directory| directory.join(program).is_file()) {
            missing.push(format!("{program} (package {package})"));
        }
    }
    if let Err(error) = room::homeroom() {
        missing.push(format!("{error:#}"));
    }
    anyhow::ensure!(missing.is_empty(), "this is missing: {}", missing.join("; "));
    Ok(())
}
