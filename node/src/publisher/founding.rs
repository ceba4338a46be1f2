//! How a repository begins, and how it goes on under another root.

use super::edition::{Edition, PUBLISHERS, PutOutError, TARGETS_LIFE_S, after, not_before};
use super::files::{FileError, ReadError, SignedFile, file_error, read, read_below};
use super::keys::{AskPassword, KeyDirectory, KeyError};
use super::root::{Draft, TOP_LEVEL};
use protocol::time::UnixTime;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{Delegations, Root, Targets};
use protocol::trust::sign::sign;
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
    /// The directory could not be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its first metadata could not be put out.
    #[error(transparent)]
    PutOut(#[from] PutOutError),
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
    #[error("devices would refuse the new root; see who has to sign with: homeroom root show")]
    Root(#[source] Box<Rejection>),
    /// What goes with it could not be put out.
    #[error(transparent)]
    PutOut(#[from] PutOutError),
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
    let judge = TrustedSet::pin(root).map_err(|source| CreateError::Root(Box::new(source)))?;
    let first = Targets { targets: BTreeMap::new(), delegations: Some(Delegations::default()) };
    let targets = vec![sign_targets(&Signed::new(1, after(now, TARGETS_LIFE_S), first), judge.root(), keys)?];
    let edition = Edition { judge, before: None, root: Some(root), targets, above: 0, lives: PUBLISHERS };
    Ok(edition.put_out(repo, keys, now).map(|_| ())?)
}

/// The top-level targets, signed by the keys that this root names.
fn sign_targets(signed: &Signed<Targets>, root: &Signed<Root>, keys: &KeyDirectory) -> Result<SignedFile, KeyError> {
    let signers = keys.signers(&Role::Targets, root.body.authority(&Role::Targets))?;
    Ok((Role::Targets, Some(signed.version), sign(signed, &signers.iter().collect::<Vec<_>>())))
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
    judge.offer(&Role::Root, root).map_err(|source| RotateError::Root(Box::new(source)))?;
    let mut files = Vec::new();
    if judge.metadata(&Role::Targets, None).is_none() {
        let targets = complete.role(&Role::Targets).expect("a complete set has targets");
        let signed = Signed::new(targets.version + 1, after(now, TARGETS_LIFE_S), targets.body.clone());
        files.push(sign_targets(&signed, judge.root(), &keys)?);
    }
    let version = judge.root().version;
    let edition = Edition { judge, before: Some(&set), root: Some(root), targets: files, above: 0, lives: PUBLISHERS };
    Ok(edition.put_out(repo, &keys, now).map(|_| version)?)
}

#[cfg(test)]
mod tests {
    use super::super::office::{NOW, Office};
    use super::*;
    use protocol::trust::Freshness;

    /// An office with one release.
    fn office() -> Office {
        let office = Office::new();
        office.list("os/x_1.manifest").unwrap();
        office
    }

    #[test]
    fn whichever_role_gets_another_key_a_device_follows_and_loses_no_release() {
        for role in TOP_LEVEL {
            let office = office();
            let mut device = office.served();
            assert_eq!(office.rotate(&office.draft(&role)).unwrap(), 2);
            let served = office.served();
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
            assert_eq!(office.list("os/x_2.manifest").unwrap().root, 2, "{role}: and publishing goes on");
        }
    }

    #[test]
    fn power_fails_in_the_middle_of_a_rotation() {
        let office = office();
        let timestamp = office.file("timestamp.json");
        let before = fs::read(&timestamp).unwrap();
        let draft = office.draft(&Role::Timestamp);
        office.rotate(&draft).unwrap();
        // The root is out, and the timestamp is still the old keys'.
        fs::write(&timestamp, before).unwrap();
        assert!(read(&office.repo()).is_err());
        assert_eq!(office.rotate(&draft).unwrap(), 2);
        assert_eq!(office.served().targets().count(), 1);
    }

    #[test]
    fn a_chain_of_roots_is_served_whole() {
        let office = office();
        for (role, version) in [(Role::Root, 2), (Role::Timestamp, 3), (Role::Root, 4), (Role::Targets, 5)] {
            assert_eq!(office.rotate(&office.draft(&role)).unwrap(), version);
        }
        assert_eq!(office.served().root().version, 5);
    }

    #[test]
    fn a_root_that_devices_would_refuse_is_not_put_into_use() {
        let office = office();
        let head = office.served().head();
        let refused = |draft: &Draft| {
            let result = office.rotate(draft);
            assert!(matches!(result, Err(RotateError::Root(_))), "{result:?}");
            assert_eq!(office.served().head(), head);
        };
        let unsigned = Draft::following(office.served().root(), NOW);
        refused(&unsigned);
        let draft = office.draft(&Role::Timestamp);
        let later = Draft::following(draft.signed(), NOW);
        refused(&later);
        // Signed by enough, but the new key is not here.
        std::fs::remove_file(office.keys().join("timestamp-2.pem")).unwrap();
        assert!(matches!(office.rotate(&draft), Err(RotateError::PutOut(PutOutError::Key(KeyError::TooFew { .. })))));
        assert_eq!(office.served().head(), head);
    }
}
