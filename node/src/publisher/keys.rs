//! The publisher's secret keys: a directory with one PKCS#8 PEM file for each role.

use protocol::trust::role::Role;
use protocol::trust::sign::{SecretKey, SecretKeyError};
use rustix::fs::{FlockOperation, RenameFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A key file is 119 bytes; what is longer is none.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// The directory of keys, held by this process alone: two publishes at once would sign two different
/// files with one version, which devices take for a stolen key.
pub struct KeyDirectory {
    path: PathBuf,
    /// Open for as long as the lock is held.
    handle: File,
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The directory to create is there already.
    #[error("{} exists already and may hold keys; choose another place, or move it away", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Another process publishes.
    #[error("another publish is at work with the keys in {}; wait until it has ended", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The role has no key here.
    #[error("there is no key {}; copy it here from where the repository was made", path.display())]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// Other users could have read the key.
    #[error("other users can read {0}; run: chmod 600 {0}", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
    },
    /// The file holds no key.
    #[error("{} holds no key", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SecretKeyError,
    },
    /// The operating system gave no random bytes.
    #[error("cannot draw a new key")]
    Randomness(#[source] getrandom::Error),
    /// Reading or writing failed.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl KeyDirectory {
    /// Makes the directory, for its owner only, and holds it.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        DirBuilder::new().mode(0o700).create(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::Io { act: "create the directory", path: path.to_owned(), source },
        })?;
        Self::open(path)
    }

    /// Opens the directory and holds it, or refuses if another process does.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let path = path.to_owned();
        let handle = File::open(&path).map_err(|source| io_error("open the keys in", &path, source))?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(KeyDirectory { path, handle }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(KeyError::Busy { path }),
            Err(error) => Err(io_error("lock", &path, error.into())),
        }
    }

    /// Reads the key of a role.
    pub fn load(&self, role: &Role) -> Result<SecretKey, KeyError> {
        let path = self.key_path(role);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: path.clone() },
            _ => io_error("open", &path, source),
        })?;
        let metadata = file.metadata().map_err(|source| io_error("examine", &path, source))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path });
        }
        let mut text = String::new();
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(|source| io_error("read", &path, source))?;
        SecretKey::from_pem(&text).map_err(|source| KeyError::Malformed { path, source })
    }

    /// Draws a new key for a role and stores it. An existing key is never overwritten.
    pub fn create_key(&self, role: &Role) -> Result<SecretKey, KeyError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(KeyError::Randomness)?;
        let key = SecretKey::from_random(&random);
        self.store(role, key.to_pem().as_bytes()).map_err(|source| io_error("write", &self.key_path(role), source))?;
        Ok(key)
    }

    /// The key of a role, new if it has none: a publish that was cut short may have left one.
    pub fn load_or_create(&self, role: &Role) -> Result<SecretKey, KeyError> {
        match self.load(role) {
            Err(KeyError::Missing { .. }) => self.create_key(role),
            other => other,
        }
    }

    /// The file is complete and on the disk before it gets its name, so that a power cut leaves no
    /// half of a key.
    fn store(&self, role: &Role, text: &[u8]) -> io::Result<()> {
        let new = self.path.join(format!(".{}.pem.new", role.name()));
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        let here = rustix::fs::CWD;
        rustix::fs::renameat_with(here, &new, here, self.key_path(role), RenameFlags::NOREPLACE)?;
        self.handle.sync_all()
    }

    fn key_path(&self, role: &Role) -> PathBuf {
        self.path.join(format!("{}.pem", role.name()))
    }
}

fn io_error(act: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Io { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn keys_are_their_owners_alone_and_are_read_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("repo.keys");
        let keys = KeyDirectory::create(&path).unwrap();
        let key = keys.create_key(&Role::Root).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("root.pem")), 0o600);
        assert_eq!(keys.load(&Role::Root).unwrap().public(), key.public());
        assert_eq!(keys.load_or_create(&Role::Root).unwrap().public(), key.public());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("repo.keys");
        let keys = KeyDirectory::create(&path).unwrap();
        let key = keys.create_key(&Role::Root).unwrap();
        assert!(matches!(keys.create_key(&Role::Root), Err(KeyError::Io { .. })));
        assert_eq!(keys.load(&Role::Root).unwrap().public(), key.public());
        assert!(matches!(KeyDirectory::create(&path), Err(KeyError::Exists { .. })));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::create(&place.path().join("keys")).unwrap();
        keys.create_key(&Role::Root).unwrap();
        let file = keys.key_path(&Role::Root);
        for open in [0o640, 0o604, 0o660] {
            fs::set_permissions(&file, Permissions::from_mode(open)).unwrap();
            let error = keys.load(&Role::Root).err().unwrap();
            assert!(error.to_string().contains(&format!("chmod 600 {}", file.display())), "{error}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        assert!(keys.load(&Role::Root).is_ok());
    }

    #[test]
    fn a_missing_or_spoiled_key_is_named() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::create(&place.path().join("keys")).unwrap();
        assert!(matches!(keys.load(&Role::Root), Err(KeyError::Missing { .. })));
        keys.create_key(&Role::Root).unwrap();
        fs::write(keys.key_path(&Role::Root), "no key").unwrap();
        assert!(matches!(keys.load(&Role::Root), Err(KeyError::Malformed { .. })));
        assert!(matches!(keys.load_or_create(&Role::Root), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn two_publishes_at_once_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys");
        let first = KeyDirectory::create(&path).unwrap();
        assert!(matches!(KeyDirectory::open(&path), Err(KeyError::Busy { .. })));
        drop(first);
        assert!(KeyDirectory::open(&path).is_ok());
    }
}
