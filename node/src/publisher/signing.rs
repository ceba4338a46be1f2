//! What is signed at every release: the targets files that changed, a snapshot of all, and a timestamp.

use super::files::SignedFile;
use super::keys::{KeyDirectory, KeyError};
use protocol::time::UnixTime;
use protocol::trust::Role;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::date::Date;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{FileMeta, Root, Snapshot, Targets, Timestamp};
use protocol::trust::sign::{SecretKey, sign};
use std::collections::BTreeMap;

/// In seconds.
pub const DAY_S: i64 = 86_400;
/// How long a signed root stays fresh, in seconds.
pub const ROOT_LIFE_S: i64 = 730 * DAY_S;
/// The same, of a publisher's targets.
pub const TARGETS_LIFE_S: i64 = PUBLISHERS.targets_s;

/// How long what is signed stays fresh, in seconds.
pub struct Lives {
    /// Targets files and the snapshot.
    pub targets_s: i64,
    /// The timestamp.
    pub timestamp_s: i64,
}

/// A publisher's keys may lie in a drawer for a year, and a school may be offline for a term.
pub const PUBLISHERS: Lives = Lives { targets_s: 365 * DAY_S, timestamp_s: 90 * DAY_S };
/// A school's server signs by itself, and its devices see it every week.
pub const SCHOOLS: Lives = Lives { targets_s: 30 * DAY_S, timestamp_s: 7 * DAY_S };

/// A targets file that is about to be signed.
pub struct Signing {
    /// The role.
    pub role: Role,
    /// Who signs it.
    pub keys: Vec<SecretKey>,
    /// What it says.
    pub signed: Signed<Targets>,
}

/// The keys of the roles that sign at every release.
pub struct Signers {
    snapshot: Vec<SecretKey>,
    timestamp: Vec<SecretKey>,
}

impl Signers {
    /// Those of `root`, from a directory.
    pub fn of(root: &Root, keys: &KeyDirectory) -> Result<Self, KeyError> {
        let of = |role| keys.signers(&role, root.authority(&role));
        Ok(Self { snapshot: of(Role::Snapshot)?, timestamp: of(Role::Timestamp)? })
    }
}

/// A clock that was set back must not sign what is older than the last release.
pub fn not_before(complete: &CompleteSet, now: UnixTime) -> UnixTime {
    complete.timestamp().body.signed_at.map_or(now, |signed_at| now.max(signed_at.unix_time()))
}

/// Signs the changed targets files, a snapshot that names them beside those of `meta`, and a timestamp
/// that names the snapshot, in this order. `versions` are those of the snapshot and timestamp before.
pub fn sign_release(
    signings: Vec<Signing>,
    mut meta: BTreeMap<String, FileMeta>,
    versions: [u64; 2],
    signers: &Signers,
    lives: &Lives,
    now: UnixTime,
) -> Vec<SignedFile> {
    let [snapshot_version, timestamp_version] = versions.map(|version| version + 1);
    let mut files = Vec::new();
    for Signing { role, keys, signed } in signings {
        let bytes = sign(&signed, &all(&keys));
        meta.insert(role.meta_name(), FileMeta::of(signed.version, &bytes));
        files.push((role, Some(signed.version), bytes));
    }
    let snapshot = Signed::new(snapshot_version, after(now, lives.targets_s), Snapshot { meta });
    let snapshot = sign(&snapshot, &all(&signers.snapshot));
    let meta = BTreeMap::from([(Role::Snapshot.meta_name(), FileMeta::of(snapshot_version, &snapshot))]);
    let timestamp = Timestamp { meta, signed_at: Some(Date::new(now)) };
    let timestamp = Signed::new(timestamp_version, after(now, lives.timestamp_s), timestamp);
    files.push((Role::Snapshot, Some(snapshot_version), snapshot));
    files.push((Role::Timestamp, None, sign(&timestamp, &all(&signers.timestamp))));
    files
}

fn all(keys: &[SecretKey]) -> Vec<&SecretKey> {
    keys.iter().collect()
}

/// The date so many seconds from now.
pub fn after(now: UnixTime, life_s: i64) -> Date {
    Date::new(UnixTime(now.0.saturating_add(life_s)))
}
