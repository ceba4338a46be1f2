//! A small repository for tests: change a field, and sign its files anew.

use super::date::Date;
use super::envelope::{Body, Signed};
use super::metadata::{
    Authority, DelegatedRole, Delegations, FileMeta, Root, Snapshot, TargetFile, Targets, Timestamp,
};
use super::role::Role;
use super::sign::{SecretKey, sign};
use super::trusted_set::TrustedSet;
use crate::time::UnixTime;
use std::collections::BTreeMap;

/// The moment at which everything here was signed: 2026-11-01T00:00:00Z.
pub const SIGNED_AT: UnixTime = UnixTime(1_793_491_200);
const DAY_S: i64 = 86_400;

/// A repository with one channel, `os`. Keys are numbers, see [`secret_key`].
#[derive(Clone)]
pub struct Sample {
    pub root: u64,
    pub timestamp: u64,
    pub snapshot: u64,
    pub targets: u64,
    pub os: u64,
    /// Keys of the root role, and how many must sign.
    pub root_keys: (Vec<u8>, u64),
    pub timestamp_keys: Vec<u8>,
    pub snapshot_keys: Vec<u8>,
    pub targets_keys: Vec<u8>,
    pub os_keys: Vec<u8>,
    /// Paths that the channel's role names.
    pub os_paths: Vec<String>,
    /// Paths that the top-level role names.
    pub top_paths: Vec<String>,
    /// What it says of some of them.
    pub top_custom: BTreeMap<String, serde_json::Value>,
}

pub fn secret_key(number: u8) -> SecretKey {
    SecretKey::from_random(&[number; 32])
}

pub fn os() -> Role {
    Role::Delegated("os".into())
}

fn authority(numbers: &[u8], threshold: u64) -> Authority {
    Authority { keyids: numbers.iter().map(|number| secret_key(*number).public().id()).collect(), threshold }
}

fn signed_by<B: Body>(signed: &Signed<B>, numbers: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> = numbers.iter().map(|number| secret_key(*number)).collect();
    sign(signed, &keys.iter().collect::<Vec<_>>())
}

fn after_days(days: i64) -> Date {
    Date::new(UnixTime(SIGNED_AT.0 + days * DAY_S))
}

fn target_files(paths: &[String], version: u64) -> BTreeMap<String, TargetFile> {
    let file = |path: &String| {
        let digit = format!("{:x}", version % 16);
        let hashes = BTreeMap::from([("sha256".to_owned(), digit.repeat(64))]);
        (path.clone(), TargetFile { length: version, hashes, custom: None })
    };
    paths.iter().map(file).collect()
}

impl Sample {
    /// Release `n`: every version is `n`, but the root's.
    pub fn release(n: u64) -> Self {
        Sample {
            root: 1,
            timestamp: n,
            snapshot: n,
            targets: n,
            os: n,
            root_keys: (vec![1], 1),
            timestamp_keys: vec![2],
            snapshot_keys: vec![3],
            targets_keys: vec![4],
            os_keys: vec![5],
            os_paths: vec!["os/a.manifest".into()],
            top_paths: vec![],
            top_custom: BTreeMap::new(),
        }
    }

    pub fn root_body(&self) -> Root {
        let (root_keys, threshold) = &self.root_keys;
        let roles = [
            ("root", authority(root_keys, *threshold)),
            ("timestamp", authority(&self.timestamp_keys, 1)),
            ("snapshot", authority(&self.snapshot_keys, 1)),
            ("targets", authority(&self.targets_keys, 1)),
        ];
        let numbers = [root_keys, &self.timestamp_keys, &self.snapshot_keys, &self.targets_keys];
        let keys = numbers.into_iter().flatten().map(|number| secret_key(*number).public());
        Root {
            consistent_snapshot: true,
            keys: keys.map(|key| (key.id(), key)).collect(),
            roles: roles.into_iter().map(|(name, authority)| (name.to_owned(), authority)).collect(),
        }
    }

    /// The root, signed by other keys than its own.
    pub fn root_signed_by(&self, numbers: &[u8]) -> Vec<u8> {
        signed_by(&Signed::new(self.root, after_days(730), self.root_body()), numbers)
    }

    pub fn snapshot_body(&self) -> Snapshot {
        let meta = |role: Role, version| (role.meta_name(), FileMeta::of(version, &self.file(&role)));
        Snapshot { meta: BTreeMap::from([meta(Role::Targets, self.targets), meta(os(), self.os)]) }
    }

    pub fn timestamp_naming(&self, version: u64, snapshot: &[u8]) -> Signed<Timestamp> {
        let meta = BTreeMap::from([("snapshot.json".to_owned(), FileMeta::of(version, snapshot))]);
        let body = Timestamp { meta, signed_at: Some(Date::new(SIGNED_AT)) };
        Signed::new(self.timestamp, after_days(90), body)
    }

    /// The bytes of a role's file.
    pub fn file(&self, role: &Role) -> Vec<u8> {
        match role {
            Role::Root => self.root_signed_by(&self.root_keys.0),
            Role::Timestamp => {
                let snapshot = self.file(&Role::Snapshot);
                signed_by(&self.timestamp_naming(self.snapshot, &snapshot), &self.timestamp_keys)
            }
            Role::Snapshot => {
                signed_by(&Signed::new(self.snapshot, after_days(365), self.snapshot_body()), &self.snapshot_keys)
            }
            Role::Targets => {
                let key = |number: &u8| secret_key(*number).public();
                let role = DelegatedRole {
                    name: "os".into(),
                    authority: authority(&self.os_keys, 1),
                    terminating: true,
                    paths: Some(vec!["os/*".into()]),
                    path_hash_prefixes: None,
                };
                let delegations = Delegations {
                    keys: self.os_keys.iter().map(|number| (key(number).id(), key(number))).collect(),
                    roles: vec![role],
                    succinct_roles: None,
                };
                let mut targets = target_files(&self.top_paths, self.targets);
                targets.iter_mut().for_each(|(path, file)| file.custom = self.top_custom.get(path).cloned());
                let body = Targets { targets, delegations: Some(delegations) };
                signed_by(&Signed::new(self.targets, after_days(365), body), &self.targets_keys)
            }
            Role::Delegated(_) => {
                let body = Targets { targets: target_files(&self.os_paths, self.os), delegations: None };
                signed_by(&Signed::new(self.os, after_days(365), body), &self.os_keys)
            }
        }
    }

    /// Offers everything but the root, in the order that the set asks for.
    pub fn offer_all(&self, set: &mut TrustedSet) {
        set.offer(&Role::Timestamp, &self.file(&Role::Timestamp)).unwrap();
        self.offer_rest(set);
    }

    /// Offers what the timestamp names, in the order that the set asks for.
    pub fn offer_rest(&self, set: &mut TrustedSet) {
        while let Some(need) = set.needs().first() {
            set.offer(&need.role, &self.file(&need.role)).unwrap();
        }
    }

    /// A set that has taken all of this repository in.
    pub fn trusted(&self) -> TrustedSet {
        let mut set = TrustedSet::pin(&self.file(&Role::Root)).unwrap();
        self.offer_all(&mut set);
        set
    }
}
