//! Secret keys on a disk: PKCS#8 PEM files that OpenSSL reads, encrypted with a password or not, each beside its public
//! half; and a directory of them.

use super::standing::Standing;
use pkcs8::der::pem::{LineEnding, PemLabel};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use protocol::trust::key::Key;
use protocol::trust::metadata::Authority;
use protocol::trust::role::Role;
use protocol::trust::sign::{SecretKey, SecretKeyError};
use rustix::fs::{FlockOperation, RenameFlags};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A key file is 119 bytes, an encrypted one less than 400; what is longer is none.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// Asks whoever sits here for the password of an encrypted key.
pub type AskPassword = fn(&Path) -> io::Result<String>;

/// The directory of keys, held by this process alone: two publishes at once would sign two different
/// files with one version, which devices take for a stolen key.
pub struct KeyDirectory {
    path: PathBuf,
    ask_password: AskPassword,
    /// Open for as long as the lock is held.
    _handle: File,
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// What is to be created is there already.
    #[error("{} exists already and may hold keys; choose another place, or move it away", path.display())]
    Exists {
        /// The directory or file.
        path: PathBuf,
    },
    /// Another process publishes.
    #[error("another publish is at work with the keys in {}; wait until it has ended", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// Fewer keys than must sign are here.
    #[error(
        "{} of the {threshold} keys that must sign as {role} are in {}; bring key {} there, from where it is kept",
        found, path.display(), missing.join(" or ")
    )]
    TooFew {
        /// The directory.
        path: PathBuf,
        /// The role.
        role: Role,
        /// How many are here.
        found: usize,
        /// How many must sign.
        threshold: u64,
        /// Ids of those that could sign too.
        missing: Vec<String>,
    },
    /// Other users could have read the key.
    #[error("other users can read {0}; run: chmod 600 {0}", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
    },
    /// The file holds no key.
    #[error("{} holds no secret key", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SecretKeyError,
    },
    /// The file holds no public key either.
    #[error("{} holds no Ed25519 key in PEM form, neither a public nor a secret one", path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// The password does not open the file.
    #[error("that is not the password of {}", path.display())]
    WrongPassword {
        /// The key file.
        path: PathBuf,
    },
    /// The file could not be encrypted.
    #[error("cannot encrypt {}", path.display())]
    Encrypt {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: pkcs8::Error,
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
            _ => io_error("create the directory", path, source),
        })?;
        Self::open(path, no_password)
    }

    /// Opens the directory and holds it, or refuses if another process does.
    pub fn open(path: &Path, ask_password: AskPassword) -> Result<Self, KeyError> {
        let path = path.to_owned();
        let handle = File::open(&path).map_err(|source| io_error("open the keys in", &path, source))?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(KeyDirectory { path, ask_password, _handle: handle }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(KeyError::Busy { path }),
            Err(error) => Err(io_error("lock", &path, error.into())),
        }
    }

    /// The keys here that may sign as `role`, if they are as many as must.
    pub fn signers(&self, role: &Role, authority: &Authority) -> Result<Vec<SecretKey>, KeyError> {
        let signers = self.found(authority)?;
        let signed: Vec<String> = signers.iter().map(|key| key.public().id()).collect();
        let missing = authority.keyids.iter().filter(|id| !signed.contains(id)).cloned().collect();
        let standing = Standing { signed, missing, threshold: authority.threshold };
        if standing.is_complete() { Ok(signers) } else { Err(self.too_few(role, standing)) }
    }

    /// The keys here, of those that may sign.
    pub fn found(&self, authority: &Authority) -> Result<Vec<SecretKey>, KeyError> {
        let (mut found, mut missing) = (Vec::new(), authority.keyids.clone());
        for path in key_files(&self.path)? {
            // What holds no key that is wanted may be spoiled, or another's.
            let Ok(id) = public_key(&path, self.ask_password).map(|key| key.id()) else {
                continue;
            };
            if missing.contains(&id) {
                let key = read_key(&path, self.ask_password)?;
                // The file beside an encrypted key may be another's.
                let id = key.public().id();
                if missing.contains(&id) {
                    missing.retain(|other| *other != id);
                    found.push(key);
                }
            }
        }
        Ok(found)
    }

    /// Draws a new key and stores it under a role's name. An existing key is never overwritten.
    pub fn create_key(&self, role: &Role) -> Result<SecretKey, KeyError> {
        create_key(&self.key_path(role), None)
    }

    /// The key of a new role, new if it has none: a publish that was cut short may have left one.
    pub fn load_or_create(&self, role: &Role) -> Result<SecretKey, KeyError> {
        let path = self.key_path(role);
        match path.exists() {
            true => read_key(&path, self.ask_password),
            false => self.create_key(role),
        }
    }

    /// What is wrong where too few keys have signed. A key file that cannot be read is more telling than one that is not
    /// there.
    pub fn too_few(&self, role: &Role, Standing { signed, missing, threshold }: Standing) -> KeyError {
        let path = self.key_path(role);
        match read_key(&path, no_password) {
            Err(unreadable) if path.exists() => unreadable,
            _ => {
                let (path, role) = (self.path.clone(), role.clone());
                KeyError::TooFew { path, role, found: signed.len(), threshold, missing }
            }
        }
    }

    fn key_path(&self, role: &Role) -> PathBuf {
        self.path.join(format!("{}.pem", role.name()))
    }
}

/// Where nobody sits who could be asked.
pub fn no_password(_: &Path) -> io::Result<String> {
    Err(io::Error::other("it is encrypted, and there is no password"))
}

/// The secret keys in a directory, by name.
pub fn key_files(directory: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let io = |source| io_error("list", directory, source);
    let paths = fs::read_dir(directory).map_err(io)?.map(|entry| entry.map(|entry| entry.path()).map_err(io));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem") && !is_hidden(path));
    paths.sort_unstable();
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Draws a new key, and writes it to `path` and its public half beside it. Nothing is overwritten.
pub fn create_key(path: &Path, password: Option<&str>) -> Result<SecretKey, KeyError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(KeyError::Randomness)?;
    let key = SecretKey::from_random(&random);
    let text = match password {
        Some(password) => encrypted(path, &key, password)?,
        None => key.to_pem().to_string(),
    };
    store(path, &text, RenameFlags::NOREPLACE)?;
    let public = key.public().to_pem().expect("the key is one of Ed25519");
    let beside = path.with_extension("pub");
    fs::write(&beside, public).map_err(|source| io_error("write", &beside, source))?;
    Ok(key)
}

/// Encrypts a key file where it lies.
pub fn encrypt_key(path: &Path, ask_password: AskPassword, new_password: &str) -> Result<(), KeyError> {
    let key = read_key(path, ask_password)?;
    store(path, &encrypted(path, &key, new_password)?, RenameFlags::empty())
}

/// Whether a key file is encrypted.
pub fn is_encrypted(path: &Path) -> Result<bool, KeyError> {
    Ok(read_text(path)?.contains(EncryptedPrivateKeyInfoRef::PEM_LABEL))
}

/// Reads a secret key that only its owner can read, asking for the password if it has one.
pub fn read_key(path: &Path, ask_password: AskPassword) -> Result<SecretKey, KeyError> {
    let metadata = fs::metadata(path).map_err(|source| io_error("examine", path, source))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned() });
    }
    let text = read_text(path)?;
    let malformed = |source| KeyError::Malformed { path: path.to_owned(), source };
    if !text.contains(EncryptedPrivateKeyInfoRef::PEM_LABEL) {
        return SecretKey::from_pem(&text).map_err(malformed);
    }
    let password = ask_password(path).map_err(|source| io_error("open", path, source))?;
    let wrong = |_| KeyError::WrongPassword { path: path.to_owned() };
    let (_, document) =
        SecretDocument::from_pem(&text).map_err(|source| malformed(pkcs8::Error::from(source).into()))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes());
    let encrypted = encrypted.map_err(|source| malformed(source.into()))?;
    let plain = encrypted.decrypt(password).map_err(wrong)?;
    let plain = plain.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF);
    SecretKey::from_pem(&plain.map_err(|source| malformed(pkcs8::Error::from(source).into()))?).map_err(malformed)
}

/// The public half of a key: from the file itself, or, if that is encrypted, from the one beside it.
pub fn public_key(path: &Path, ask_password: AskPassword) -> Result<Key, KeyError> {
    let beside = match is_encrypted(path)? {
        true => read_text(&path.with_extension("pub")).ok(),
        false => Some(read_text(path)?),
    };
    match beside.and_then(|text| Key::from_pem(&text)) {
        Some(key) => Ok(key),
        None => match read_key(path, ask_password) {
            Err(KeyError::Malformed { path, .. }) => Err(KeyError::NoKey { path }),
            other => other.map(|key| key.public()),
        },
    }
}

fn encrypted(path: &Path, key: &SecretKey, password: &str) -> Result<String, KeyError> {
    let failed = |source| KeyError::Encrypt { path: path.to_owned(), source };
    let (_, plain) = SecretDocument::from_pem(&key.to_pem()).map_err(|source| failed(source.into()))?;
    let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(failed)?;
    let document = info.encrypt(password).map_err(failed)?;
    let text = document.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF);
    text.map(|text| text.to_string()).map_err(|source| failed(source.into()))
}

fn read_text(path: &Path) -> Result<String, KeyError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|source| io_error("read", path, source))
}

/// The file is complete and on the disk before it gets its name, so that a power cut leaves no
/// half of a key.
fn store(path: &Path, text: &str, rename: RenameFlags) -> Result<(), KeyError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = directory.join(format!(".{name}.new"));
    let write = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let here = rustix::fs::CWD;
        rustix::fs::renameat_with(here, &new, here, path, rename)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => io_error("write", path, source),
    })
}

fn io_error(act: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Io { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn authority(keys: &[&SecretKey], threshold: u64) -> Authority {
        Authority { keyids: keys.iter().map(|key| key.public().id()).collect(), threshold }
    }

    #[test]
    fn keys_are_their_owners_alone_and_are_found_by_their_ids() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("repo.keys");
        let keys = KeyDirectory::create(&path).unwrap();
        let (root, other) = (keys.create_key(&Role::Root).unwrap(), keys.create_key(&Role::Targets).unwrap());
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("root.pem")), 0o600);
        assert_eq!(keys.load_or_create(&Role::Root).unwrap().public(), root.public());
        fs::rename(path.join("root.pem"), path.join("a stick of Ann's.pem")).unwrap();
        let public = |keys: Vec<SecretKey>| keys.iter().map(SecretKey::public).collect::<Vec<_>>();
        assert_eq!(public(keys.signers(&Role::Root, &authority(&[&root], 1)).unwrap()), [root.public()]);
        assert_eq!(keys.signers(&Role::Root, &authority(&[&root, &other], 2)).unwrap().len(), 2);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("repo.keys");
        let keys = KeyDirectory::create(&path).unwrap();
        let key = keys.create_key(&Role::Root).unwrap();
        assert!(matches!(keys.create_key(&Role::Root), Err(KeyError::Exists { .. })));
        assert_eq!(keys.load_or_create(&Role::Root).unwrap().public(), key.public());
        assert!(matches!(KeyDirectory::create(&path), Err(KeyError::Exists { .. })));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::create(&place.path().join("keys")).unwrap();
        let authority = authority(&[&keys.create_key(&Role::Root).unwrap()], 1);
        let file = keys.key_path(&Role::Root);
        for open in [0o640, 0o604, 0o660] {
            fs::set_permissions(&file, Permissions::from_mode(open)).unwrap();
            let error = keys.signers(&Role::Root, &authority).err().unwrap();
            assert!(error.to_string().contains(&format!("chmod 600 {}", file.display())), "{error}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        assert!(keys.signers(&Role::Root, &authority).is_ok());
    }

    #[test]
    fn a_missing_or_spoiled_key_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys");
        let keys = KeyDirectory::create(&path).unwrap();
        let (here, away) = (keys.create_key(&Role::Root).unwrap(), SecretKey::from_random(&[9; 32]));
        let error = keys.signers(&Role::Root, &authority(&[&here, &away], 2)).err().unwrap();
        assert!(matches!(&error, KeyError::TooFew { found: 1, missing, .. } if *missing == [away.public().id()]));
        for spoiled in [path.join("root.pem"), path.join("root.pub")] {
            fs::write(spoiled, "no key").unwrap();
        }
        let spoiled = keys.signers(&Role::Root, &authority(&[&here], 1));
        assert!(matches!(spoiled, Err(KeyError::Malformed { .. })));
        assert!(matches!(keys.load_or_create(&Role::Root), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn an_encrypted_key_opens_with_its_password_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ann.pem");
        let key = create_key(&path, None).unwrap();
        encrypt_key(&path, no_password, "correct horse").unwrap();
        assert!(is_encrypted(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{text}");
        assert_eq!(public_key(&path, no_password).unwrap(), key.public(), "that needs no password");
        assert_eq!(read_key(&path, |_| Ok("correct horse".into())).unwrap().public(), key.public());
        assert!(matches!(read_key(&path, |_| Ok("battery".into())), Err(KeyError::WrongPassword { .. })));
        assert!(matches!(read_key(&path, no_password), Err(KeyError::Io { .. })));
    }

    #[test]
    fn two_publishes_at_once_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys");
        let first = KeyDirectory::create(&path).unwrap();
        assert!(matches!(KeyDirectory::open(&path, no_password), Err(KeyError::Busy { .. })));
        drop(first);
        assert!(KeyDirectory::open(&path, no_password).is_ok());
    }
}
