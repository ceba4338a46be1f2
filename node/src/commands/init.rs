//! `homeroom init`.

use super::{default_keys, now};
use crate::publisher::metadata;
use crate::repository::Repository;
use std::path::PathBuf;

/// What `homeroom init` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  homeroom init /srv/repo\nmakes /srv/repo, which any web server can serve, and /srv/repo.keys, which nobody else may see."
)]
pub struct Arguments {
    /// Where the repository will be
    repo: PathBuf,
    /// Where its keys will be [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// Makes an empty repository and its keys.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { repo, keys } = arguments;
    let keys = keys.clone().unwrap_or_else(|| default_keys(repo));
    metadata::create(repo, &keys, now()?)?;
    Repository::create(repo)?;
    println!("made {}, and its keys in {}: keep them safe, and never serve them", repo.display(), keys.display());
    println!("devices enroll with {}", repo.join("metadata/1.root.json").display());
    Ok(())
}
