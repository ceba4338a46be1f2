//! A device's home: one directory with its state, its documents and its trees, held by one process.

use super::documents::Documents;
use super::state::{State, StateError};
use crate::deploy::{Deployment, HomeError};
use protocol::content::name::ChannelName;
use protocol::trust::TrustedSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// An enrolled home, locked.
pub struct Home {
    /// Where it is.
    pub path: PathBuf,
    /// What it remembers.
    pub state: State,
    /// Its manifests and chunk lists.
    pub documents: Documents,
    /// Its trees.
    pub deployment: Deployment,
    /// Held for as long as the process uses the home; the system releases it however the process ends.
    _lock: File,
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another homeroom; stop that one first", .0.display())]
    Locked(PathBuf),
    /// The directory cannot be used.
    #[error("cannot use {}; it must be a directory that you may write", home.display())]
    Directory {
        /// The home.
        home: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its trees cannot be used.
    #[error(transparent)]
    Trees(#[from] HomeError),
}

impl Home {
    /// Fixes the publisher's root and the channel of a new home.
    pub fn enroll(path: &Path, trust: &TrustedSet, channel: &ChannelName) -> Result<(), OpenError> {
        std::fs::create_dir_all(path).map_err(|source| OpenError::Directory { home: path.to_owned(), source })?;
        let _lock = lock(path)?;
        Ok(State::create(path, channel.as_str(), &trust.files())?)
    }

    /// The home at `path`, which must be enrolled and free. What an earlier process left half done is
    /// ended first.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let of_home = |source| OpenError::Directory { home: path.to_owned(), source };
        if !path.is_dir() {
            return Err(StateError::NotEnrolled(path.to_owned()).into());
        }
        let lock = lock(path)?;
        Ok(Self {
            state: State::open(path)?,
            documents: Documents::open(path).map_err(of_home)?,
            deployment: Deployment::open(path)?,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

fn lock(home: &Path) -> Result<File, OpenError> {
    let of_home = |source| OpenError::Directory { home: home.to_owned(), source };
    let file = File::create(home.join("lock")).map_err(of_home)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(home.to_owned())),
        Err(TryLockError::Error(source)) => Err(of_home(source)),
    }
}
