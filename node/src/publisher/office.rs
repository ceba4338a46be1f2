//! A publisher's office for tests: a repository beside its keys.

use super::change::Change;
use super::desk::{Desk, ListError};
use super::files::read;
use super::founding::{create, rotate};
use super::keys::{KeyDirectory, create_key, no_password};
use super::root::Draft;
use protocol::time::UnixTime;
use protocol::trust::sign::SecretKey;
use protocol::trust::{Head, Role, Target, TrustedSet};
use std::fs;
use std::path::PathBuf;

/// 2026-11-01T00:00:00Z.
pub const NOW: UnixTime = UnixTime(1_793_491_200);

/// A repository under keys of its own.
pub struct Office {
    /// Where both are.
    pub place: tempfile::TempDir,
}

impl Office {
    /// One without a release.
    pub fn new() -> Self {
        let office = Office { place: tempfile::tempdir().unwrap() };
        create(&office.repo(), &office.keys(), NOW).unwrap();
        office
    }

    pub fn repo(&self) -> PathBuf {
        self.place.path().join("repo")
    }

    pub fn keys(&self) -> PathBuf {
        self.place.path().join("repo.keys")
    }

    /// One of the metadata files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.repo().join("metadata").join(name)
    }

    /// The names of all metadata files.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.file("")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What a device would make of the repository.
    pub fn served(&self) -> TrustedSet {
        read(&self.repo()).unwrap()
    }

    /// The paths that are listed.
    pub fn paths(&self) -> Vec<String> {
        self.served().targets().map(|(path, _)| path.to_owned()).collect()
    }

    pub fn at(&self, now: UnixTime) -> Result<Desk, ListError> {
        Desk::open(&self.repo(), &self.keys(), no_password, now)
    }

    /// What somebody does at the desk, put out at once.
    pub fn does(&self, act: impl FnOnce(&Desk) -> Result<Change, ListError>) -> Result<Head, ListError> {
        let desk = self.at(NOW)?;
        act(&desk).and_then(|change| desk.put_out(change))
    }

    pub fn list(&self, path: &str) -> Result<Head, ListError> {
        self.list_at(path, NOW)
    }

    pub fn list_at(&self, path: &str, now: UnixTime) -> Result<Head, ListError> {
        let desk = self.at(now)?;
        desk.list(&path.parse().unwrap(), target()).and_then(|change| desk.put_out(change))
    }

    /// The next root, in which `role` has another key in the place of its first one, signed by the root's key.
    pub fn draft(&self, role: &Role) -> Draft {
        let set = self.served();
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

    pub fn rotate(&self, draft: &Draft) -> Result<u64, super::founding::RotateError> {
        rotate(&self.repo(), &self.keys(), no_password, draft.bytes(), NOW)
    }
}

/// A release of three bytes.
pub fn target() -> Target {
    Target { length: 3, sha256: [7; 32], custom: Some(serde_json::json!({ "epoch": 1 })) }
}

/// The key of somebody who is elsewhere.
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_random(&[number; 32])
}
