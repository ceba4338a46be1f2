//! `homeroom init`.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::files::read_file;
use crate::publisher::founding;
use crate::repository::Repository;
use protocol::limits::ROOT_BYTES_MAX;
use std::path::PathBuf;

/// What `homeroom init` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  homeroom init /srv/repo\nmakes /srv/repo, which any web server can serve, and /srv/repo.keys, which nobody else may see.\n  homeroom init /srv/repo --root root.json\nmakes it under a root that several people signed (see: homeroom root --help); /srv/repo.keys holds the other keys already."
)]
pub struct Arguments {
    /// Where the repository will be
    repo: PathBuf,
    /// Where its keys will be, or, with --root, are [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// The first root, drafted and signed elsewhere
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Makes an empty repository and its keys.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { repo, keys, root } = arguments;
    let keys = keys.clone().unwrap_or_else(|| default_keys(repo));
    match root {
        Some(root) => {
            founding::create_under(repo, &keys, ask_password, &read_file(root, ROOT_BYTES_MAX)?, now()?)?;
            println!("made {}, under the root {}", repo.display(), root.display());
        }
        None => {
            founding::create(repo, &keys, now()?)?;
            println!(
                "made {}, and its keys in {}: keep them safe, and never serve them",
                repo.display(),
                keys.display()
            );
        }
    }
    Repository::create(repo)?;
    println!("devices enroll with {}", repo.join("metadata/1.root.json").display());
    Ok(())
}
