//! A run on disk: `scenario.toml` (what was asked, word for word), `run.json` (how it went) and `hosts.csv` (a row a
//! host). With the first two anybody can run it again. Many runs leave `runs.csv` (a row a run) instead of the last two.

use crate::outcome::{HostOutcome, Outcome, ReleaseOutcome};
use crate::scenario::StrategyName;
use crate::sweep::Sweep;
use protocol::time::{Span, Time};
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A run's folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder fails.
    #[error("cannot {verb} {path}; look at its rights and the room on its disk")]
    File {
        /// What was tried.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `run.json` is not one.
    #[error("{path} was not written by this program; run the scenario again")]
    NoRun {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// What a run must repeat.
#[derive(Debug, Deserialize)]
pub struct Repeat {
    /// The number it started from.
    pub rng_seed: u64,
    /// What was asked beside the scenario.
    #[serde(flatten)]
    pub asked: Asked,
    /// Where it came to.
    pub trace_hash: String,
}

/// What is asked of a run beside its scenario and its rng_seed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Asked {
    /// When to give up, in microseconds, if not when the scenario says.
    pub until_us: Option<u64>,
    /// Which rules of the swarm are at work, if not those that the scenario says.
    pub strategy: Option<StrategyName>,
    /// Whether the rng_seed draws trouble too.
    #[serde(default)]
    pub chaos: bool,
}

/// Makes the folder of a run and puts the scenario there.
pub fn begin(out: &Path, scenario_text: &str) -> Result<(), ReportError> {
    fs::create_dir_all(out).map_err(|source| ReportError::File { verb: "make", path: out.to_owned(), source })?;
    write(out.join("scenario.toml"), scenario_text)
}

/// Writes down how a run went.
pub fn finish(out: &Path, outcome: &Outcome, asked: &Asked) -> Result<(), ReportError> {
    let text = serde_json::to_string_pretty(&run_json(outcome, asked)).unwrap_or_default() + "\n";
    write(out.join("run.json"), &text)?;
    write(out.join("hosts.csv"), &hosts_csv(outcome))
}

/// Writes down how many runs went.
pub fn finish_sweep(out: &Path, sweep: &Sweep) -> Result<(), ReportError> {
    write(out.join("runs.csv"), &sweep.csv())
}

/// The scenario's text and what a run of it must repeat.
pub fn read(out: &Path) -> Result<(String, Repeat), ReportError> {
    let path = out.join("run.json");
    let repeat = serde_json::from_str(&read_text(&path)?).map_err(|source| ReportError::NoRun { path, source })?;
    Ok((read_text(&out.join("scenario.toml"))?, repeat))
}

/// The text of a file.
pub fn read_text(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(|source| ReportError::File { verb: "read", path: path.to_owned(), source })
}

fn write(path: PathBuf, text: &str) -> Result<(), ReportError> {
    fs::write(&path, text).map_err(|source| ReportError::File { verb: "write", path, source })
}

/// How a run went, for programs.
pub fn run_json(outcome: &Outcome, asked: &Asked) -> serde_json::Value {
    let ledger = &outcome.ledger;
    json!({
        "schema": 1,
        "scenario": outcome.scenario,
        "model": outcome.model,
        "strategy": outcome.strategy,
        "rng_seed": outcome.rng_seed,
        "until_us": asked.until_us,
        "chaos": asked.chaos,
        "trace_hash": outcome.trace_hash,
        "events": outcome.events,
        "ended_at_s": seconds(outcome.ended_at.0),
        "time_s": seconds(outcome.time().0),
        "bound_s": seconds(outcome.bound().0),
        "ratio": ratio(outcome.time(), outcome.bound()),
        "rounds_bound_s": outcome.rounds_bound().map(|bound| seconds(bound.0)),
        "rounds_ratio": outcome.rounds_bound().map(|bound| ratio(outcome.time(), bound)),
        "seed_copies": outcome.seed_copies(),
        "duplicate_percent": outcome.duplicate_percent(),
        "waste_percent": outcome.waste_percent(),
        "bytes": {
            "sent": ledger.sent_bytes,
            "received": ledger.received_bytes,
            "duplicate": ledger.duplicate_bytes,
            "wrong": ledger.wrong_bytes,
            "lost": ledger.lost_bytes,
        },
        "traffic": traffic_json(outcome),
        "releases": outcome.releases.iter().map(release_json).collect::<Vec<_>>(),
        "violations": outcome.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn traffic_json(outcome: &Outcome) -> serde_json::Value {
    let sent = outcome.traffic.sent();
    let (second, busiest) = outcome.traffic.busiest_second();
    json!({
        "heads_and_asks_bytes": sent.heads_and_asks,
        "documents_bytes": sent.documents,
        "chunk_talk_bytes": sent.chunk_talk,
        "chunks_bytes": sent.chunks,
        "busiest_second": {
            "from_s": second,
            "heads_and_asks_bytes": busiest.heads_and_asks,
            "percent_of_run": outcome.busiest_second_percent(),
        },
        "idle_s": outcome.traffic.idle(outcome.ended_at).map(|(span, _)| seconds(span.0)),
        "idle_bytes_per_host_s": outcome.idle_bytes_per_host_s(),
    })
}

fn release_json(release: &ReleaseOutcome) -> serde_json::Value {
    json!({
        "version": release.version,
        "time_s": release.time.map(|time| seconds(time.0)),
        "bound_s": seconds(release.bound.0),
        "ratio": release.time.map(|time| ratio(time, release.bound)),
        "rounds_bound_s": release.rounds_bound.map(|bound| seconds(bound.0)),
        "rounds_ratio": release.time.zip(release.rounds_bound).map(|(time, bound)| ratio(time, bound)),
        "fresh_bytes": release.fresh_bytes,
        "whole_at_s": release.whole_at.map(|at| seconds(at.0)),
    })
}

fn hosts_csv(outcome: &Outcome) -> String {
    let mut text = "host,honest,up,applied,applied_at_s,chunks_held,chunks,from_seed_bytes,from_laptops_bytes,\
                    duplicate_bytes,wrong_bytes,sent_bytes,reused_bytes\n"
        .to_owned();
    for host in &outcome.hosts {
        let HostOutcome { host: name, honest, up, chunks_held: (held, chunks), .. } = host;
        let applied = host.applied.as_deref().unwrap_or_default();
        let applied_at = host.applied_at.map(|Time(at)| seconds(at).to_string()).unwrap_or_default();
        let bytes = [
            host.from_seed_bytes,
            host.from_laptops_bytes,
            host.duplicate_bytes,
            host.wrong_bytes,
            host.sent_bytes,
            host.reused_bytes,
        ];
        let bytes = bytes.map(|bytes| bytes.to_string()).join(",");
        writeln!(text, "{name},{honest},{up},{applied},{applied_at},{held},{chunks},{bytes}")
            .expect("a String takes any text");
    }
    text
}

/// Microseconds in seconds.
pub fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// How many times its bound a time is.
pub fn ratio(time: Span, bound: Span) -> f64 {
    time.0 as f64 / bound.0.max(1) as f64
}
