//! `homeroom refresh`.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::desk::Desk;
use std::path::PathBuf;

/// What `homeroom refresh` is told.
#[derive(clap::Args)]
#[command(after_help = "Example, once a day:\n  homeroom refresh /srv/repo")]
pub struct Arguments {
    /// The repository
    repo: PathBuf,
    /// The keys that sign [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// Signs anew that what a repository lists is the newest.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { repo, keys } = arguments;
    let keys = keys.unwrap_or_else(|| default_keys(&repo));
    let head = Desk::open(&repo, &keys, ask_password, now()?)?.refresh()?;
    println!(
        "{} says anew that what it lists is the newest: version {} of its metadata",
        repo.display(),
        head.timestamp
    );
    Ok(())
}
