//! The school's office: which group should run which release, signed on the school's server.
//!
//! A school's repository is a directory of TUF metadata, like a publisher's without content. Its keys lie on the server,
//! because it must sign when a teacher says so; what they can do is bounded by what the publisher lists. Everything that
//! is signed here is first judged by the same trusted set that every device has.

mod clerk;

use crate::publisher::edition::{Edition, PutOutError, SCHOOLS, after, not_before};
use crate::publisher::files::{ReadError, read};
use crate::publisher::keys::{AskPassword, KeyDirectory, KeyError};
pub use clerk::Clerk;
use protocol::content::name::TargetPath;
use protocol::limits::TARGETS_BYTES_MAX;
use protocol::school::{ALL, GroupName, Groups, Terms};
use protocol::time::UnixTime;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{TargetFile, Targets};
use protocol::trust::sign::sign;
use protocol::trust::{Head, Role, TrustedSet};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why nothing was assigned. The school says what it said before.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// There is none.
    #[error(
        "{0} is no school: it has no metadata/1.root.json; make one with: homeroom school init {0}", path.display()
    )]
    NoSchool {
        /// The directory.
        path: PathBuf,
    },
    /// A school can choose among what its publisher lists.
    #[error("the publisher lists no {path}; see what it lists, or wait until its newest metadata has come")]
    NotListed {
        /// The release's path.
        path: TargetPath,
    },
    /// There is nothing to hold or resume.
    #[error("{group} is assigned nothing; say what it should run with: homeroom school assign {group} RELEASE")]
    Unassigned {
        /// The group.
        group: GroupName,
    },
    /// Somebody else's program wrote something else there.
    #[error("{path} has terms in the school's metadata that this homeroom does not know; use the newer homeroom")]
    UnknownTerms {
        /// The release's path.
        path: String,
    },
    /// The clock would be signed too.
    #[error(
        "this clock is months ahead of what the school said last; set it, or if it is right, run: homeroom school refresh"
    )]
    FarAhead,
    /// More groups than devices accept.
    #[error("the school's assignments take more than {TARGETS_BYTES_MAX} bytes; use fewer groups")]
    TooMany,
    /// The repository cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Devices would refuse it, or it could not be written.
    #[error(transparent)]
    PutOut(#[from] PutOutError),
}

/// A school's office: what devices believe of the school, and the keys, which nobody else uses meanwhile.
pub struct Office {
    path: PathBuf,
    keys: KeyDirectory,
    set: TrustedSet,
    /// The time of signing: never before that of the last assignment, though the clock was set back.
    now: UnixTime,
}

impl Office {
    /// Opens the school at `path` and its keys in `keys`. A clock that is months ahead of what the school said last is
    /// believed if somebody is sure of it: what is signed with a time to come can be undone only with other keys.
    pub fn open(
        path: &Path,
        keys: &Path,
        ask_password: AskPassword,
        now: UnixTime,
        is_sure: bool,
    ) -> Result<Self, AssignError> {
        check_is_school(path)?;
        let keys = KeyDirectory::open(keys, ask_password)?;
        let set = read(path)?;
        if clerk::is_far_ahead(&set, now) && !is_sure {
            return Err(AssignError::FarAhead);
        }
        let now = not_before(complete(&set), now);
        Ok(Self { path: path.to_owned(), keys, set, now })
    }

    /// Says that a group should run a release that `publisher` lists, in place of what it should run of that channel
    /// before.
    pub fn assign(
        &self,
        group: &GroupName,
        release: &TargetPath,
        mut terms: Terms,
        publisher: &TrustedSet,
    ) -> Result<Head, AssignError> {
        let path = release.to_string();
        let listed = publisher.targets().find(|(listed, _)| *listed == path);
        let (_, target) = listed.ok_or_else(|| AssignError::NotListed { path: release.clone() })?;
        let mut groups = self.groups()?;
        for (path, others) in &mut groups {
            if path.parse::<TargetPath>().is_ok_and(|path| path.channel == release.channel) {
                let is_of_all = |(group, terms): (&GroupName, &Terms)| group.to_string() == ALL && terms.held;
                terms.held |= others.groups.iter().any(is_of_all);
                // A class that is held stays so until somebody says otherwise.
                terms.held |= others.groups.remove(group).is_some_and(|before| before.held);
            }
        }
        groups.entry(path.clone()).or_default().groups.insert(group.clone(), terms);
        let mut files = self.targets().body.targets.clone();
        let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(target.sha256))]);
        files.insert(path, TargetFile { length: target.length, hashes, custom: None });
        self.put_out(files, groups, 0)
    }

    /// Says nothing of a group any more: its devices stay where they are, or do as all.
    pub fn unassign(&self, group: &GroupName) -> Result<Head, AssignError> {
        let mut groups = self.groups()?;
        let removed = groups.values_mut().filter_map(|groups| groups.groups.remove(group)).count();
        if removed == 0 {
            return Err(AssignError::Unassigned { group: group.clone() });
        }
        self.put_out(self.targets().body.targets.clone(), groups, 0)
    }

    /// Whether devices of a group, or of every group, may apply what they are assigned. Returns the groups that this is
    /// said of.
    pub fn hold(&self, group: &GroupName, held: bool) -> Result<Vec<GroupName>, AssignError> {
        let mut groups = self.groups()?;
        let mut of: Vec<GroupName> = Vec::new();
        for (name, terms) in groups.values_mut().flat_map(|groups| &mut groups.groups) {
            if name == group || group.to_string() == ALL {
                terms.held = held;
                of.push(name.clone());
            }
        }
        if of.is_empty() {
            return Err(AssignError::Unassigned { group: group.clone() });
        }
        self.put_out(self.targets().body.targets.clone(), groups, 0)?;
        of.sort();
        of.dedup();
        Ok(of)
    }

    /// Says once more that what is assigned is the newest, in versions above this one: of a school that was restored
    /// from a copy, devices may have seen higher ones than it remembers.
    pub fn refresh(&self, above: u64) -> Result<Head, AssignError> {
        self.put_out(self.targets().body.targets.clone(), self.groups()?, above)
    }

    /// By path, the groups that should run a release.
    fn groups(&self) -> Result<BTreeMap<String, Groups>, AssignError> {
        let of = |(path, file): (&String, &TargetFile)| {
            let groups = serde_json::from_value(file.custom.clone().unwrap_or_default());
            Ok((path.clone(), groups.map_err(|_| AssignError::UnknownTerms { path: path.clone() })?))
        };
        self.targets().body.targets.iter().map(of).collect()
    }

    /// Signs what is assigned, and puts it out at once, if devices would believe it. What no group should run goes.
    fn put_out(
        &self,
        mut files: BTreeMap<String, TargetFile>,
        mut groups: BTreeMap<String, Groups>,
        above: u64,
    ) -> Result<Head, AssignError> {
        groups.retain(|_, groups| !groups.groups.is_empty());
        files.retain(|path, _| groups.contains_key(path));
        for (path, file) in &mut files {
            file.custom = serde_json::to_value(&groups[path]).ok();
        }
        let before = self.targets();
        let body = Targets { targets: files, ..before.body.clone() };
        let version = before.version.max(above) + 1;
        let signed = Signed::new(version, after(self.now, SCHOOLS.snapshot_s), body);
        let signers = self.keys.signers(&Role::Targets, self.set.root().body.authority(&Role::Targets))?;
        let targets = sign(&signed, &signers.iter().collect::<Vec<_>>());
        if targets.len() as u64 > TARGETS_BYTES_MAX {
            return Err(AssignError::TooMany);
        }
        let targets = vec![(Role::Targets, Some(version), targets)];
        let judge = self.set.clone();
        let edition = Edition { judge, before: Some(&self.set), root: None, targets, above, lives: SCHOOLS };
        Ok(edition.put_out(&self.path, &self.keys, self.now)?)
    }

    fn targets(&self) -> &Signed<Targets> {
        complete(&self.set).role(&Role::Targets).expect("a complete set has targets")
    }
}

/// What a school says, as a device would read it.
pub fn said(path: &Path) -> Result<TrustedSet, AssignError> {
    check_is_school(path)?;
    Ok(read(path)?)
}

/// Whether there is a school at all.
pub fn check_is_school(path: &Path) -> Result<(), AssignError> {
    let root = path.join("metadata").join(Role::Root.file_name(Some(1)));
    if root.exists() { Ok(()) } else { Err(AssignError::NoSchool { path: path.to_owned() }) }
}

fn complete(set: &TrustedSet) -> &CompleteSet {
    set.complete().expect("a set that needs nothing is complete")
}
