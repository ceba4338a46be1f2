//! `homeroom withdraw`.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::desk::Desk;
use anyhow::Context;
use protocol::content::name::TargetPath;
use std::path::PathBuf;

/// What `homeroom withdraw` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  homeroom withdraw stable/sugar_1.1.manifest --repo /srv/repo\nDevices that have applied it stay there until a higher version is published; no other device applies it once it hears."
)]
pub struct Arguments {
    /// The release, as `homeroom publish` called it: CHANNEL/NAME_VERSION.manifest
    release: TargetPath,
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// The keys that sign [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// Takes a release back.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { release, repo, keys } = arguments;
    let keys = keys.unwrap_or_else(|| default_keys(&repo));
    let desk = Desk::open(&repo, &keys, ask_password, now()?)?;
    desk.withdraw(&release.channel, &release.to_string()).with_context(|| format!("cannot withdraw {release}"))?;
    println!("withdrew {release}: no device that hears of it applies it any more");
    Ok(())
}
