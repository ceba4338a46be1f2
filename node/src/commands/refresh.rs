//! `homeroom refresh`.

use super::desk::DeskArguments;
use super::now;
use crate::publisher::files::read;
use protocol::trust::Freshness;
use std::path::PathBuf;

/// What `homeroom refresh` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  homeroom refresh /srv/repo
  homeroom refresh /srv/repo --pending anew.json
The first is for once a day. The second is for when it says that something expires whose keys are elsewhere: these sign
anew.json (see: homeroom sign), and homeroom finish puts it into use.")]
pub struct Arguments {
    /// The repository
    repo: PathBuf,
    /// The keys that sign [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Write what has to be signed anew by keys that are elsewhere to this file
    #[arg(long, value_name = "FILE")]
    pending: Option<PathBuf>,
}

/// Signs anew that what a repository lists is the newest.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { repo, keys, pending } = arguments;
    let has_file = pending.is_some();
    let desk_arguments = DeskArguments::new(repo.clone(), keys, pending);
    let desk = desk_arguments.open()?;
    let (here, elsewhere) = desk.refresh()?;
    let head = desk.put_out(here)?;
    println!(
        "{} says anew that what it lists is the newest: version {} of its metadata",
        repo.display(),
        head.timestamp
    );
    if elsewhere.parts().is_empty() {
        return Ok(());
    }
    if has_file {
        return desk_arguments.settle(&desk, elsewhere).map(|_| ());
    }
    let roles: Vec<String> = elsewhere.parts().iter().map(|part| part.role.to_string()).collect();
    let todo =
        format!("the {} metadata of {} has to be signed anew; say --pending FILE", roles.join(" and "), repo.display());
    let is_stale = matches!(read(&repo)?.freshness(now()?), Freshness::Stale { .. });
    anyhow::ensure!(!is_stale, "{todo}; until then devices call it stale");
    tracing::warn!("{todo}");
    Ok(())
}
