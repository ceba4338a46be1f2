//! What is put out at once: the targets files that changed, a snapshot of all, a timestamp, and now and then a root.
//!
//! A repository begins with one, and every release, withdrawal and rotation is one more. The only way into `metadata/`:
//! whatever it is, a trusted set like that of every device judges it first, and the timestamp is written last.

use super::files::{FileError, SignedFile, write_release};
use super::keys::{KeyDirectory, KeyError};
use protocol::time::UnixTime;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::date::Date;
use protocol::trust::envelope::{Body, Signed};
use protocol::trust::metadata::{FileMeta, Snapshot, Timestamp};
use protocol::trust::sign::sign;
use protocol::trust::{Accepted, Head, Rejection, Role, TrustedSet};
use std::collections::BTreeMap;
use std::path::Path;

/// A day, in seconds.
pub const DAY_S: i64 = 86_400;
/// How long a signed root stays fresh, in seconds.
pub const ROOT_LIFE_S: i64 = 730 * DAY_S;
/// The same, of a publisher's targets.
pub const TARGETS_LIFE_S: i64 = PUBLISHERS.snapshot_s;

/// How long what is signed stays fresh, in seconds.
#[derive(Clone, Copy)]
pub struct Lives {
    /// The snapshot, and targets.
    pub snapshot_s: i64,
    /// The timestamp.
    pub timestamp_s: i64,
}

/// A publisher's keys may lie in a drawer for a year, and a school may be offline for a term.
pub const PUBLISHERS: Lives = Lives { snapshot_s: 365 * DAY_S, timestamp_s: 90 * DAY_S };
/// A school's server signs by itself, and its devices see it every week.
pub const SCHOOLS: Lives = Lives { snapshot_s: 30 * DAY_S, timestamp_s: 7 * DAY_S };

/// Everything that one change of a repository puts out.
pub struct Edition<'a> {
    /// What devices believe that have the root under which it is signed.
    pub judge: TrustedSet,
    /// What is served before; nothing where a repository begins.
    pub before: Option<&'a TrustedSet>,
    /// The root, if it is new.
    pub root: Option<&'a [u8]>,
    /// The targets files that changed, signed.
    pub targets: Vec<SignedFile>,
    /// Snapshot and timestamp get versions above this one, and above those before.
    pub above: u64,
    /// How long it stays fresh.
    pub lives: Lives,
}

/// Why nothing was put out. The repository serves what it served before.
#[derive(Debug, thiserror::Error)]
pub enum PutOutError {
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Devices would refuse what was signed.
    #[error("devices would refuse the new {role} metadata; was the repository changed by something else?")]
    Refused {
        /// The role whose file would be refused.
        role: Role,
        /// Why.
        #[source]
        source: Box<Rejection>,
    },
    /// Devices would believe nothing of it.
    #[error(
        "too few of the keys that must sign the {0} metadata have signed it; see who has to yet with: homeroom sign"
    )]
    Disowned(Role),
    /// Devices would wait for ever.
    #[error(
        "devices would wait for {0} metadata that there is not; it has to be signed anew, by the keys that it has now"
    )]
    Incomplete(Role),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Edition<'_> {
    /// Signs a snapshot and a timestamp, and puts all in use at once, if devices would believe it. Returns the head that
    /// they will see.
    pub fn put_out(self, repo: &Path, keys: &KeyDirectory, now: UnixTime) -> Result<Head, PutOutError> {
        let mut files = self.signed(keys, now)?;
        let Edition { mut judge, before, root, .. } = self;
        let head_before = judge.head();
        for (role, _, bytes) in files.iter().rev() {
            let refused = |source| PutOutError::Refused { role: role.clone(), source: Box::new(source) };
            // Devices take in a file that too few have signed, and believe nothing of it.
            if judge.offer(role, bytes).map_err(refused)? == Accepted::Disowned {
                return Err(PutOutError::Disowned(role.clone()));
            }
        }
        // What does not change is here already.
        while let Some(need) = judge.needs().into_iter().next() {
            let unchanged = before.and_then(|before| before.metadata(&need.role, need.version));
            let (_, bytes) = unchanged.ok_or_else(|| PutOutError::Incomplete(need.role.clone()))?;
            let Ok(Accepted::New) = judge.offer(&need.role, &bytes) else {
                return Err(PutOutError::Incomplete(need.role));
            };
        }
        let head = judge.head().filter(|head| Some(*head) != head_before);
        let head = head.expect("a device that believes a newer timestamp and lacks nothing has a newer head");
        if let Some(root) = root {
            // A device asks for the next root first, and believes nothing of the old keys from then on; so the root comes
            // last but for the timestamp.
            files.insert(files.len() - 1, (Role::Root, Some(judge.root().version), root.to_vec()));
        }
        write_release(&repo.join("metadata"), &files)?;
        Ok(head)
    }

    /// The targets files, a snapshot that names them beside those of the snapshot before, and a timestamp that names the
    /// snapshot: a device asks for them the other way round.
    fn signed(&self, keys: &KeyDirectory, now: UnixTime) -> Result<Vec<SignedFile>, KeyError> {
        let before = self.before.and_then(TrustedSet::complete);
        let version = |before: Option<u64>| before.unwrap_or_default().max(self.above) + 1;
        let mut files = self.targets.clone();
        files.sort_by(|a, b| b.0.cmp(&a.0));
        let mut meta = before.map(|before| before.snapshot().body.meta.clone()).unwrap_or_default();
        let named = |(role, version, bytes): &SignedFile| Some((role.meta_name(), FileMeta::of((*version)?, bytes)));
        meta.extend(files.iter().filter_map(named));
        let snapshot_version = version(before.map(|before| before.snapshot().version));
        let snapshot = Signed::new(snapshot_version, after(now, self.lives.snapshot_s), Snapshot { meta });
        let snapshot = signed(&Role::Snapshot, &snapshot, &self.judge, keys)?;
        let meta = BTreeMap::from([(Role::Snapshot.meta_name(), FileMeta::of(snapshot_version, &snapshot))]);
        files.push((Role::Snapshot, Some(snapshot_version), snapshot));
        let timestamp = Timestamp { meta, signed_at: Some(Date::new(now)) };
        let timestamp_version = version(before.map(|before| before.timestamp().version));
        let timestamp = Signed::new(timestamp_version, after(now, self.lives.timestamp_s), timestamp);
        files.push((Role::Timestamp, None, signed(&Role::Timestamp, &timestamp, &self.judge, keys)?));
        Ok(files)
    }
}

fn signed<B: Body>(
    role: &Role,
    signed: &Signed<B>,
    judge: &TrustedSet,
    keys: &KeyDirectory,
) -> Result<Vec<u8>, KeyError> {
    let signers = keys.signers(role, judge.root().body.authority(role))?;
    Ok(sign(signed, &signers.iter().collect::<Vec<_>>()))
}

/// A clock that was set back must not sign what is older than the last release.
pub fn not_before(complete: &CompleteSet, now: UnixTime) -> UnixTime {
    complete.timestamp().body.signed_at.map_or(now, |signed_at| now.max(signed_at.unix_time()))
}

/// The date so many seconds from now.
pub fn after(now: UnixTime, life_s: i64) -> Date {
    Date::new(UnixTime(now.0.saturating_add(life_s)))
}
