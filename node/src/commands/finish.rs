//! `homeroom finish`.

use super::key::ask_password;
use super::{default_keys, now, sign};
use crate::publisher::desk::Desk;
use crate::publisher::standing::Standing;
use anyhow::{Context, ensure};
use std::path::PathBuf;

/// What `homeroom finish` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  homeroom finish sugar-2.1.json --repo /srv/repo\nWhat too few have signed is refused, and so is what was drafted before the newest change of the same channel."
)]
pub struct Arguments {
    /// The pending change, signed by enough people
    file: PathBuf,
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// The keys that sign snapshot and timestamp [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// Puts a pending change into use.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, repo, keys } = arguments;
    let keys = keys.unwrap_or_else(|| default_keys(&repo));
    let change = sign::read(&file)?;
    let desk = Desk::open(&repo, &keys, ask_password, now()?)?;
    for part in change.parts() {
        let Standing { signed, missing, threshold } = part.standing();
        ensure!(
            signed.len() as u64 >= threshold,
            "{} was not put into use: {} of the {threshold} keys that must sign the {} metadata have signed it; let the \
             holder of key {} say: homeroom sign {} --key KEY",
            file.display(),
            signed.len(),
            part.role,
            missing.join(" or "),
            file.display(),
        );
    }
    let told: Vec<String> =
        change.parts().iter().map(|part| format!("{} metadata {}", part.role, part.signed.version)).collect();
    desk.put_out(change).with_context(|| format!("{} was not put into use", file.display()))?;
    println!("{} has {} now", repo.display(), told.join(" and "));
    Ok(())
}
