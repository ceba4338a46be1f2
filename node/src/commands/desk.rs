//! What every verb is told that changes what a repository says.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::change::Change;
use crate::publisher::desk::Desk;
use crate::publisher::standing::Standing;
use crate::repository::durable;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Whose desk it is.
#[derive(clap::Args)]
pub struct DeskArguments {
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// The keys that sign [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// If keys that must sign are elsewhere, write the change to this file, for their holders to sign
    #[arg(long, value_name = "FILE")]
    pending: Option<PathBuf>,
}

impl DeskArguments {
    /// What a verb was told that asks for the repository in another way.
    pub fn new(repo: PathBuf, keys: Option<PathBuf>, pending: Option<PathBuf>) -> Self {
        Self { repo, keys, pending }
    }

    /// The repository.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// Where the keys are.
    pub fn keys(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| default_keys(&self.repo))
    }

    /// The desk, with nobody else at it.
    pub fn open(&self) -> anyhow::Result<Desk> {
        Ok(Desk::open(&self.repo, &self.keys(), ask_password, now()?)?)
    }

    /// Puts a change into use if enough have signed it; else it waits in a file, if one was named. Says whether it is in
    /// use.
    pub fn settle(&self, desk: &Desk, change: Change) -> anyhow::Result<bool> {
        let complete = change.parts().iter().all(|part| part.standing().is_complete());
        match &self.pending {
            Some(file) if !complete => {
                anyhow::ensure!(!file.exists(), "{} exists already; choose another name", file.display());
                durable::write(file, &change.bytes()).with_context(|| format!("cannot write {}", file.display()))?;
                eprintln!("{} is pending, and changes nothing yet", file.display());
                tell_standing(&change);
                Ok(false)
            }
            None if !complete => {
                let too_few = desk.put_out(change).expect_err("too few have signed it");
                Err(too_few).context("with --pending FILE others can sign it where their keys are")
            }
            _ => Ok(desk.put_out(change).map(|_| true)?),
        }
    }
}

/// Tells who has to sign yet.
pub fn tell_standing(change: &Change) {
    for part in change.parts() {
        let Standing { signed, missing, threshold } = part.standing();
        eprintln!("{} of the {threshold} keys that must sign as {} have signed", signed.len(), part.role);
        if (signed.len() as u64) < threshold {
            eprintln!("pending; take it to whoever holds {} of these:", threshold - signed.len() as u64);
            missing.iter().for_each(|id| eprintln!("  {id}"));
        }
    }
}
