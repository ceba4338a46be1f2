//! How a repository begins, and how it goes on under another root.

use super::files::{FileError, ReadError, file_error, read, read_below, write_release};
use super::keys::{AskPassword, KeyDirectory, KeyError};
use super::root::{Draft, TOP_LEVEL};
use super::signing::{PUBLISHERS, Signers, Signing, TARGETS_LIFE_S, after, not_before, sign_release};
use protocol::time::UnixTime;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{Delegations, Targets};
use protocol::trust::{Rejection, Role, TrustedSet};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Why no repository was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one.
    #[error("{} exists already: a repository was made here before; choose another place", path.display())]
    Exists {
        /// Its metadata.
        path: PathBuf,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not enough have signed the root, or it is none.
    #[error("the root cannot be used yet; see: homeroom root show")]
    Root(#[source] Box<Rejection>),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a root was not put into use. The repository serves what it served before.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The repository cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Devices would refuse it: most often too few have signed it.
    #[error("devices would refuse the new {role} metadata; see who has to sign with: homeroom root show")]
    Refused {
        /// The role whose file would be refused.
        role: Role,
        /// Why.
        #[source]
        source: Box<Rejection>,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the metadata of an empty repository in `repo`, and its keys in `keys`: one each for root,
/// targets, snapshot and timestamp.
pub fn create(repo: &Path, keys: &Path, now: UnixTime) -> Result<(), CreateError> {
    check_place(repo)?;
    let keys = KeyDirectory::create(keys)?;
    let mut draft = Draft::first(now);
    let mut root = None;
    for role in TOP_LEVEL {
        let key = keys.create_key(&role)?;
        draft.add_key(&role, key.public()).expect("the first key of a role is no second one");
        root = root.or(Some(key));
    }
    draft.sign(&root.expect("root is the first role"), None).expect("its own root key signs it");
    create_with(repo, &keys, draft.bytes(), now)
}

/// The same under a root that people drafted and signed elsewhere. The keys of targets, snapshot and timestamp are in
/// `keys`; those of the root need not be.
pub fn create_under(
    repo: &Path,
    keys: &Path,
    ask_password: AskPassword,
    root: &[u8],
    now: UnixTime,
) -> Result<(), CreateError> {
    check_place(repo)?;
    create_with(repo, &KeyDirectory::open(keys, ask_password)?, root, now)
}

fn check_place(repo: &Path) -> Result<(), CreateError> {
    let directory = repo.join("metadata");
    if directory.exists() {
        return Err(CreateError::Exists { path: directory });
    }
    fs::create_dir_all(repo).map_err(|source| file_error("create", repo, source).into())
}

fn create_with(repo: &Path, keys: &KeyDirectory, root: &[u8], now: UnixTime) -> Result<(), CreateError> {
    let set = TrustedSet::pin(root).map_err(|source| CreateError::Root(Box::new(source)))?;
    let signers = Signers::of(&set.root().body, keys)?;
    let first = Targets { targets: BTreeMap::new(), delegations: Some(Delegations::default()) };
    let signed = Signed::new(1, after(now, TARGETS_LIFE_S), first);
    let targets = keys.signers(&Role::Targets, set.root().body.authority(&Role::Targets))?;
    let mut files = vec![(Role::Root, Some(1), root.to_vec())];
    let targets = Signing { role: Role::Targets, keys: targets, signed };
    files.extend(sign_release(vec![targets], BTreeMap::new(), [0, 0], &signers, &PUBLISHERS, now));
    let directory = repo.join("metadata");
    fs::create_dir(&directory).map_err(|source| file_error("create", &directory, source))?;
    Ok(write_release(&directory, &files)?)
}

/// Puts a root into use that enough keys of the root before it, and of its own, have signed. What other keys than
/// before must sign is signed anew, with those in `keys`. Returns the root's version.
pub fn rotate(
    repo: &Path,
    keys: &Path,
    ask_password: AskPassword,
    root: &[u8],
    now: UnixTime,
) -> Result<u64, RotateError> {
    let keys = KeyDirectory::open(keys, ask_password)?;
    // A rotation that was cut short has put the root out, and not yet what goes with it.
    let version = Draft::read(root.to_vec()).map_or(u64::MAX, |draft| draft.signed().version);
    let is_out = fs::read(repo.join("metadata").join(Role::Root.file_name(Some(version)))).is_ok_and(|out| out == root);
    let set = if is_out { read_below(repo, version)? } else { read(repo)? };
    let complete = set.complete().expect("a set that needs nothing is complete");
    let now = not_before(complete, now);
    let mut judge = set.clone();
    let refused = |role: &Role, source| RotateError::Refused { role: role.clone(), source: Box::new(source) };
    judge.offer(&Role::Root, root).map_err(|source| refused(&Role::Root, source))?;
    let body = judge.root().body.clone();

    let mut signings = Vec::new();
    if judge.metadata(&Role::Targets, None).is_none() {
        let targets = complete.role(&Role::Targets).expect("a complete set has targets");
        let signed = Signed::new(targets.version + 1, after(now, TARGETS_LIFE_S), targets.body.clone());
        let keys = keys.signers(&Role::Targets, body.authority(&Role::Targets))?;
        signings.push(Signing { role: Role::Targets, keys, signed });
    }
    let meta = complete.snapshot().body.meta.clone();
    let versions = [complete.snapshot().version, complete.timestamp().version];
    let mut files = sign_release(signings, meta, versions, &Signers::of(&body, &keys)?, &PUBLISHERS, now);
    for (role, _, bytes) in files.iter().rev() {
        judge.offer(role, bytes).map_err(|source| refused(role, source))?;
    }
    // A device asks for the next root first, and believes nothing of the old keys from then on; so the root comes last
    // but for the timestamp.
    let version = judge.root().version;
    files.insert(files.len() - 1, (Role::Root, Some(version), root.to_vec()));
    write_release(&repo.join("metadata"), &files)?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::super::desk::Desk as Publisher;
    use super::super::keys::{create_key, no_password};
    use super::*;
    use protocol::trust::{Freshness, Head, Target};

    /// 2026-11-01T00:00:00Z.
    const NOW: UnixTime = UnixTime(1_793_491_200);

    struct Desk {
        place: tempfile::TempDir,
    }

    impl Desk {
        /// A repository with one release, under keys of its own.
        fn new() -> Self {
            let desk = Desk { place: tempfile::tempdir().unwrap() };
            create(&desk.repo(), &desk.keys(), NOW).unwrap();
            desk.list("os/a.manifest");
            desk
        }

        fn repo(&self) -> PathBuf {
            self.place.path().join("repo")
        }

        fn keys(&self) -> PathBuf {
            self.place.path().join("repo.keys")
        }

        fn list(&self, path: &str) -> Head {
            let target = Target { length: 3, sha256: [7; 32], custom: None };
            let publisher = Publisher::open(&self.repo(), &self.keys(), no_password, NOW).unwrap();
            publisher.list(&"os".parse().unwrap(), path, target).unwrap()
        }

        /// The next root, in which `role` has another key in the place of its first one, signed by the root's key.
        fn draft(&self, role: &Role) -> Draft {
            let set = read(&self.repo()).unwrap();
            let (before, version) = (set.root(), set.root().version + 1);
            let mut draft = Draft::following(before, NOW);
            let key = create_key(&self.keys().join(format!("{role}-{version}.pem")), None).unwrap();
            draft.add_key(role, key.public()).unwrap();
            draft.remove_key(role, &before.body.authority(role).keyids[0]).unwrap();
            let keys = KeyDirectory::open(&self.keys(), no_password).unwrap();
            for root in [&before.body, &draft.signed().body.clone()] {
                let signers = keys.signers(&Role::Root, root.authority(&Role::Root)).unwrap();
                signers.iter().for_each(|key| draft.sign(key, Some(&before.body)).unwrap());
            }
            draft
        }

        fn rotate(&self, draft: &Draft) -> Result<u64, RotateError> {
            rotate(&self.repo(), &self.keys(), no_password, draft.bytes(), NOW)
        }
    }

    #[test]
    fn whichever_role_gets_another_key_a_device_follows_and_loses_no_release() {
        for role in TOP_LEVEL {
            let desk = Desk::new();
            let mut device = read(&desk.repo()).unwrap();
            assert_eq!(desk.rotate(&desk.draft(&role)).unwrap(), 2);
            let served = read(&desk.repo()).unwrap();
            assert!(matches!(served.freshness(NOW), Freshness::Fresh { .. }));
            assert_eq!(served.targets().count(), 1, "{role}");
            // One that had everything takes what is new, whichever keys it trusted before.
            let (_, root) = served.metadata(&Role::Root, Some(2)).unwrap();
            device.offer(&Role::Root, &root).unwrap();
            let (_, timestamp) = served.metadata(&Role::Timestamp, None).unwrap();
            device.offer(&Role::Timestamp, &timestamp).unwrap();
            while let Some(need) = device.needs().into_iter().next() {
                let (_, bytes) = served.metadata(&need.role, need.version).unwrap();
                device.offer(&need.role, &bytes).unwrap();
            }
            assert_eq!(device.head(), served.head(), "{role}");
            assert_eq!(desk.list("os/b.manifest").root, 2, "{role}: and publishing goes on");
        }
    }

    #[test]
    fn power_fails_in_the_middle_of_a_rotation() {
        let desk = Desk::new();
        let timestamp = desk.repo().join("metadata/timestamp.json");
        let before = fs::read(&timestamp).unwrap();
        let draft = desk.draft(&Role::Timestamp);
        desk.rotate(&draft).unwrap();
        // The root is out, and the timestamp is still the old keys'.
        fs::write(&timestamp, before).unwrap();
        assert!(read(&desk.repo()).is_err());
        assert_eq!(desk.rotate(&draft).unwrap(), 2);
        assert_eq!(read(&desk.repo()).unwrap().targets().count(), 1);
    }

    #[test]
    fn a_chain_of_roots_is_served_whole() {
        let desk = Desk::new();
        for (role, version) in [(Role::Root, 2), (Role::Timestamp, 3), (Role::Root, 4), (Role::Targets, 5)] {
            assert_eq!(desk.rotate(&desk.draft(&role)).unwrap(), version);
        }
        assert_eq!(read(&desk.repo()).unwrap().root().version, 5);
    }

    #[test]
    fn a_root_that_devices_would_refuse_is_not_put_into_use() {
        let desk = Desk::new();
        let head = read(&desk.repo()).unwrap().head();
        let refused = |draft: &Draft| {
            let result = desk.rotate(draft);
            assert!(matches!(result, Err(RotateError::Refused { role: Role::Root, .. })), "{result:?}");
            assert_eq!(read(&desk.repo()).unwrap().head(), head);
        };
        let unsigned = Draft::following(read(&desk.repo()).unwrap().root(), NOW);
        refused(&unsigned);
        let draft = desk.draft(&Role::Timestamp);
        let later = Draft::following(draft.signed(), NOW);
        refused(&later);
        // Signed by enough, but the new key is not here.
        std::fs::remove_file(desk.keys().join("timestamp-2.pem")).unwrap();
        assert!(matches!(desk.rotate(&draft), Err(RotateError::Key(KeyError::TooFew { .. }))));
        assert_eq!(read(&desk.repo()).unwrap().head(), head);
    }
}
