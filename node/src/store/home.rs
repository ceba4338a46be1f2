//! A device's home: one directory with its state, its documents and its trees, held by one process.

use super::documents::Documents;
use super::state::{State, StateError};
use crate::deploy::{Deployment, HomeError};
use crate::repository::durable;
use protocol::chain::{Chain, Chains};
use protocol::id::Signer;
use protocol::policy::Policy;
use protocol::school::School;
use protocol::trust::{RestoreError, TrustedSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The file beside the state that keeps the floor.
const FLOOR: &str = "floor";

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
    /// What it believed of a signer cannot be used.
    #[error("what {} believes of its {signer} is spoilt; {help}", home.display())]
    Trust {
        /// The home.
        home: PathBuf,
        /// The signer.
        signer: Signer,
        /// What the person can do.
        help: &'static str,
        /// What is spoilt.
        source: RestoreError,
    },
    /// Its group's name is none.
    #[error("the group of {} is spoilt; join the school again", .0.display())]
    Group(PathBuf),
}

impl Home {
    /// Fixes the publisher's root of a new home, and what the device takes.
    pub fn enroll(path: &Path, trust: &TrustedSet, policy: &Policy) -> Result<(), OpenError> {
        std::fs::create_dir_all(path).map_err(|source| OpenError::Directory { home: path.to_owned(), source })?;
        let _lock = lock(path)?;
        Ok(State::create(path, policy, &trust.files())?)
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

    /// The `release_counter` below which the device does not go. It is kept twice, because a copy of the state may be
    /// restored, and then says what was true long ago.
    pub fn floor(&self) -> Result<u64, StateError> {
        // What is no number there any more says nothing.
        let kept = std::fs::read_to_string(self.path.join(FLOOR)).ok().and_then(|text| text.trim().parse().ok());
        Ok(self.state.floor()?.max(kept.unwrap_or_default()))
    }

    /// Remembers a higher one.
    pub fn raise_floor(&mut self, floor: u64) -> Result<(), OpenError> {
        let of_home = |source| OpenError::Directory { home: self.path.clone(), source };
        durable::write(&self.path.join(FLOOR), format!("{floor}\n").as_bytes()).map_err(of_home)?;
        Ok(self.state.save_floor(floor)?)
    }

    /// What it believes of its publisher.
    pub fn publisher(&self) -> Result<Chain, OpenError> {
        self.chain(Signer::Publisher)
    }

    fn chain(&self, signer: Signer) -> Result<Chain, OpenError> {
        let help = match signer {
            Signer::Publisher => "enroll again",
            Signer::School => "join the school again",
        };
        let spoilt = |source| OpenError::Trust { home: self.path.clone(), signer, help, source };
        Chain::restore(signer, self.state.trust(signer)?).map_err(spoilt)
    }

    /// What it believes of both signers.
    pub fn chains(&self) -> Result<Chains, OpenError> {
        let publisher = self.publisher()?;
        // A device that has joined a school never runs as one that has not, whatever happens to its files.
        let Some(group) = self.state.group()? else { return Ok(Chains { publisher, school: None }) };
        let group = group.parse().map_err(|_| OpenError::Group(self.path.clone()))?;
        let school = School::new(self.chain(Signer::School)?, Some(group));
        Ok(Chains { publisher, school: Some(Box::new(school)) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::founding;
    use protocol::time::UnixTime;

    #[test]
    fn an_old_copy_of_the_state_does_not_lower_the_floor() {
        let place = tempfile::tempdir().unwrap();
        let (repo, path) = (place.path().join("repo"), place.path().join("home"));
        founding::create(&repo, &place.path().join("keys"), UnixTime(1_793_491_200)).unwrap();
        let root = std::fs::read(repo.join("metadata/1.root.json")).unwrap();
        let trust = TrustedSet::pin(&root).unwrap();
        Home::enroll(&path, &trust, &Policy::new("stable".parse().unwrap())).unwrap();
        let state = path.join(State::FILE);
        let floor = || Home::open(&path).unwrap().floor().unwrap();
        assert_eq!(floor(), 0);
        let old = std::fs::read(&state).unwrap();
        Home::open(&path).unwrap().raise_floor(u64::MAX - 1).unwrap();
        assert_eq!(floor(), u64::MAX - 1);
        std::fs::write(&state, old).unwrap();
        assert_eq!(floor(), u64::MAX - 1, "after the state was restored from a copy");
        // The other way round, and with a file that is spoilt.
        Home::open(&path).unwrap().raise_floor(u64::MAX).unwrap();
        for spoilt in ["", "many", "-1"] {
            std::fs::write(path.join(FLOOR), spoilt).unwrap();
            assert_eq!(floor(), u64::MAX, "{spoilt:?}");
        }
        std::fs::remove_file(path.join(FLOOR)).unwrap();
        assert_eq!(floor(), u64::MAX);
    }
}
