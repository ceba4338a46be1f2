//! `homeroom run`.

use super::{HomeArgument, default_keys};
use crate::daemon::{Daemon, Options};
use crate::net::DEFAULT_PORT;
use crate::place::Place;
use crate::quiet::QuietHours;
use crate::report::Reporter;
use crate::repository::Repository;
use crate::school::Clerk;
use crate::store::home::Home;
use anyhow::Context;
use protocol::mesh::Caps;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// What `homeroom run` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  homeroom run --seed --repo /srv/repo           the school's server
  homeroom run --seed --repo /srv/repo --school /srv/school
  homeroom run                                   a device that applies what it fetches
  homeroom run --no-apply --peer 10.0.0.1:46637  a device that waits for `homeroom apply`
  homeroom run --upload-max 20Mbit --quiet-hours 08:00-13:00

A rate is a number with kbit, Mbit or Gbit (a second). Without any limit, a node that sees other traffic of its host
and packets that wait in queues goes down to a small share of the link, until the other traffic has ended.")]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
    /// Serve a repository to devices, instead of being one
    #[arg(long, requires = "repo", conflicts_with = "home")]
    seed: bool,
    /// The repository to serve
    #[arg(long, value_name = "DIR", requires = "seed")]
    repo: Option<PathBuf>,
    /// The school that says what its devices should run
    #[arg(long, value_name = "DIR", requires = "seed")]
    school: Option<PathBuf>,
    /// The keys that sign for the school, daily, that it has nothing newer [default: SCHOOL.keys]
    #[arg(long, value_name = "DIR", requires = "school")]
    school_keys: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)))]
    listen: SocketAddr,
    /// A peer to connect to, beside those that mDNS finds; can be repeated
    #[arg(long = "peer", value_name = "HOST:PORT", value_parser = host_and_port)]
    peers: Vec<String>,
    /// Do not look for peers by mDNS
    #[arg(long)]
    no_mdns: bool,
    /// Fetch releases, and leave it to `homeroom apply` to apply them
    #[arg(long)]
    no_apply: bool,
    /// Send chunks no faster than this
    #[arg(long, value_name = "RATE", value_parser = bytes_per_s)]
    upload_max: Option<u64>,
    /// Fetch chunks no faster than this
    #[arg(long, value_name = "RATE", value_parser = bytes_per_s)]
    download_max: Option<u64>,
    /// Every day between these times neither fetch nor send chunks, only news; by the local time of this machine,
    /// unless its clock is plainly wrong
    #[arg(long, value_name = "FROM-UNTIL")]
    quiet_hours: Option<QuietHours>,
    /// Tell what happens as JSON, a line each
    #[arg(long)]
    json: bool,
    /// Stop when standard input ends, so that no node outlives the program that started it
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// Runs a node until it is told to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        home,
        repo,
        school,
        school_keys,
        listen,
        peers,
        no_mdns,
        no_apply,
        upload_max,
        download_max,
        quiet_hours,
        json,
        stop_with_stdin,
        ..
    } = arguments;
    let place = match repo {
        Some(repo) => {
            let clerk = school.map(|school| {
                let keys = school_keys.unwrap_or_else(|| default_keys(&school));
                Clerk::new(school, keys)
            });
            Place::Repository(Box::new(Repository::open(&repo)?), clerk)
        }
        None => Place::Home(Box::new(Home::open(&home.path())?)),
    };
    let caps = Caps { upload_bytes_per_s: upload_max, download_bytes_per_s: download_max };
    let options = Options { listen, peers, mdns: !no_mdns, applies: !no_apply, caps, quiet_hours };
    // One thread for the loop and all connections: chunks are read, checked and written by the store's threads,
    // and what passes between tasks of one thread wakes no other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let daemon = Daemon::start(place, options, Reporter::start(json).context("cannot start")?).await?;
        daemon.run(told_to_stop(stop_with_stdin)?).await
    })
}

/// A peer as it is named: whether there is such a host turns out when it is dialled.
fn host_and_port(text: &str) -> Result<String, &'static str> {
    let named = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_named = text.rsplit_once(':').is_some_and(named);
    is_named.then(|| text.to_owned()).ok_or("a peer is a host and a port, such as 192.168.1.7:46637")
}

/// Reads a rate such as `20Mbit`.
fn bytes_per_s(text: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 3] = [("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];
    let read = |(unit, bits): &(&str, u64)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*bits);
    match UNITS.iter().find_map(read) {
        Some(bits_per_s) if bits_per_s >= 8 => Ok(bits_per_s / 8),
        _ => Err("a rate is a whole number with kbit, Mbit or Gbit, such as 20Mbit"),
    }
}

/// Ready once somebody wants this process to stop.
fn told_to_stop(with_stdin: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stdin_ends(), if with_stdin => {}
        }
    })
}

async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while stdin.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
}
