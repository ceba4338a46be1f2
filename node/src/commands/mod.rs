//! The verbs of `homeroom`, a file each. This folder alone names clap.

mod apply;
mod channel;
mod demo;
mod desk;
mod enroll;
mod finish;
mod init;
mod join;
mod key;
mod promote;
mod publish;
mod refresh;
mod root;
mod run;
mod school;
mod sign;
mod status;
mod withdraw;

use crate::net::NetworkError;
use crate::publisher::channel::ChannelError;
use crate::publisher::files::ReadError;
use crate::repository::OpenError as RepositoryError;
use crate::school::AssignError;
use crate::store::home::OpenError as HomeError;
use crate::store::state::StateError;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

/// Update a whole classroom for the price of one download.
#[derive(Parser)]
#[command(
    name = "homeroom",
    version,
    after_help = "Exit codes:
  0  done
  1  failed; one line on standard error says why and what to do
  2  wrong usage
  3  not set up yet: no such repository or school, home not enrolled
  4  in use: home or repository held by another process, port taken
  5  the version is taken
130  interrupted (demo)

Examples:
  homeroom demo
  homeroom init /srv/repo
  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.0 --new
  homeroom run --seed --repo /srv/repo
  homeroom enroll --root 1.root.json --channel stable
  homeroom run"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// See it at work: a publisher, a school and laptops on this machine
    Demo(demo::Arguments),
    /// Make an empty repository and the keys that sign for it
    Init(init::Arguments),
    /// Make, name and encrypt the keys that sign
    #[command(subcommand)]
    Key(key::Verb),
    /// Draft, sign and rotate the root, which says whose keys count
    #[command(subcommand)]
    Root(root::Verb),
    /// Make channels, and say whose keys sign them
    #[command(subcommand)]
    Channel(channel::Verb),
    /// Publish a directory as a new release of a channel
    Publish(publish::Arguments),
    /// Give a staged release to every device
    Promote(promote::Arguments),
    /// Take a release back
    Withdraw(withdraw::Arguments),
    /// Sign a change that waits for more signatures
    Sign(sign::Arguments),
    /// Put a change into use that enough people have signed
    Finish(finish::Arguments),
    /// Say anew that what a repository lists is the newest: once a day, or before 90 days are over
    Refresh(refresh::Arguments),
    /// Say which group of a school's devices should run which release
    #[command(subcommand)]
    School(school::Verb),
    /// Fix a device's publisher and channel, once
    Enroll(enroll::Arguments),
    /// Let a device do as a school says, from then on
    Join(join::Arguments),
    /// Let a device follow its publisher alone again
    Leave(join::LeaveArguments),
    /// Run a device, or with --seed the school's server
    Run(run::Arguments),
    /// Tell where a device stands
    Status(status::Arguments),
    /// Apply the release that a device has fetched whole
    Apply(apply::Arguments),
}

/// The home of a device.
#[derive(clap::Args)]
struct HomeArgument {
    /// The device's home [default: /var/lib/homeroom for root, ~/.local/share/homeroom for others]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

impl HomeArgument {
    fn path(self) -> PathBuf {
        let user_home = || std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        self.home.unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() {
                PathBuf::from("/var/lib/homeroom")
            } else {
                user_home().join(".local/share/homeroom")
            }
        })
    }
}

/// A reader that leaves, or a full disk behind standard output, is no bug.
fn end_where_nothing_can_be_printed() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(why) = panic.payload_as_str().filter(|why| why.starts_with("failed printing to stdout")) {
            eprintln!("homeroom: {why}");
            std::process::exit(1);
        }
        usual(panic);
    }));
}

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    end_where_nothing_can_be_printed();
    let verb = Arguments::parse().verb;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(log_level())
        .with_target(false)
        .without_time()
        .init();
    let result = match verb {
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Init(arguments) => init::run(&arguments),
        Verb::Key(verb) => key::run(&verb),
        Verb::Root(verb) => root::run(&verb),
        Verb::Channel(verb) => channel::run(&verb),
        Verb::Publish(arguments) => publish::run(arguments),
        Verb::Promote(arguments) => promote::run(&arguments),
        Verb::Withdraw(arguments) => withdraw::run(&arguments),
        Verb::Sign(arguments) => sign::run(&arguments),
        Verb::Finish(arguments) => finish::run(arguments),
        Verb::Refresh(arguments) => refresh::run(arguments),
        Verb::School(verb) => school::run(verb),
        Verb::Enroll(arguments) => enroll::run(arguments),
        Verb::Join(arguments) => join::run(arguments),
        Verb::Leave(arguments) => join::leave(arguments),
        Verb::Run(arguments) => run::run(arguments),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Apply(arguments) => apply::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("homeroom: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Warnings, unless `HOMEROOM_LOG` asks for more or less.
fn log_level() -> tracing::Level {
    std::env::var("HOMEROOM_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(tracing::Level::WARN)
}

/// The documented exit code of a failure.
fn exit_code(error: &anyhow::Error) -> u8 {
    const FAILED: u8 = 1;
    const NOT_SET_UP: u8 = 3;
    const IN_USE: u8 = 4;
    const VERSION_TAKEN: u8 = 5;
    const INTERRUPTED: u8 = 130;
    for cause in error.chain() {
        if let Some(HomeError::Locked(_)) = cause.downcast_ref() {
            return IN_USE;
        } else if let Some(RepositoryError::Locked(_)) = cause.downcast_ref() {
            return IN_USE;
        } else if let Some(NetworkError::Taken { .. }) = cause.downcast_ref() {
            return IN_USE;
        } else if let Some(HomeError::State(StateError::NotEnrolled(_))) = cause.downcast_ref() {
            return NOT_SET_UP;
        } else if let Some(RepositoryError::NotRepository(_)) = cause.downcast_ref() {
            return NOT_SET_UP;
        } else if let Some(ReadError::NoRepository { .. }) = cause.downcast_ref() {
            return NOT_SET_UP;
        } else if let Some(AssignError::NoSchool { .. }) = cause.downcast_ref() {
            return NOT_SET_UP;
        } else if let Some(ChannelError::Taken { .. }) = cause.downcast_ref() {
            return VERSION_TAKEN;
        } else if let Some(demo::Interrupted) = cause.downcast_ref() {
            return INTERRUPTED;
        }
    }
    FAILED
}

/// Seconds since 1970 by this machine's clock.
fn now() -> anyhow::Result<protocol::time::UnixTime> {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| anyhow::anyhow!("this machine's clock shows a time before 1970; set it first"))?;
    Ok(protocol::time::UnixTime(i64::try_from(since_1970.as_secs())?))
}

/// Where a repository's keys are unless told otherwise: beside it, never in it.
fn default_keys(repo: &std::path::Path) -> PathBuf {
    let mut name = repo.file_name().unwrap_or_default().to_owned();
    name.push(".keys");
    repo.with_file_name(name)
}
