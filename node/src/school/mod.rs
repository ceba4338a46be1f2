//! The school's office: which group should run which release, signed on the school's server.
//!
//! A school's repository is a directory of TUF metadata, like a publisher's without content. Its keys lie on the server,
//! because it must sign when a teacher says so; what they can do is bounded by what the publisher lists. Everything that
//! is signed here is first judged by the same trusted set that every device has.

mod clerk;

use crate::publisher::files::{FileError, ReadError, read, write_release};
use crate::publisher::keys::{AskPassword, KeyDirectory, KeyError};
use crate::publisher::signing::{SCHOOLS, Signers, Signing, after, not_before, sign_release};
pub use clerk::Clerk;
use protocol::content::name::TargetPath;
use protocol::limits::TARGETS_BYTES_MAX;
use protocol::school::{GroupName, Groups, Terms};
use protocol::time::UnixTime;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{TargetFile, Targets};
use protocol::trust::{Head, Rejection, Role, TrustedSet};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why nothing was assigned. The school says what it said before.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
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
    /// More groups than devices accept.
    #[error("the school's assignments take more than {TARGETS_BYTES_MAX} bytes; use fewer groups")]
    TooMany,
    /// The repository cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Devices would refuse what was signed.
    #[error("devices would refuse the new {role} metadata; was the school's directory changed by something else?")]
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

/// A school's office: what devices believe of the school, and the keys, which nobody else uses meanwhile.
pub struct Office {
    path: PathBuf,
    keys: KeyDirectory,
    set: TrustedSet,
    /// The time of signing: never before that of the last assignment, though the clock was set back.
    now: UnixTime,
}

impl Office {
    /// Opens the school at `path` and its keys in `keys`.
    pub fn open(path: &Path, keys: &Path, ask_password: AskPassword, now: UnixTime) -> Result<Self, AssignError> {
        let keys = KeyDirectory::open(keys, ask_password)?;
        let set = read(path)?;
        let now = not_before(complete(&set), now);
        Ok(Self { path: path.to_owned(), keys, set, now })
    }

    /// Says that a group should run a release that `publisher` lists, in place of what it should run of that channel
    /// before.
    pub fn assign(
        &self,
        group: &GroupName,
        release: &TargetPath,
        terms: Terms,
        publisher: &TrustedSet,
    ) -> Result<Head, AssignError> {
        let path = release.to_string();
        let listed = publisher.targets().find(|(listed, _)| *listed == path);
        let (_, target) = listed.ok_or_else(|| AssignError::NotListed { path: release.clone() })?;
        let mut groups = self.groups()?;
        for (path, others) in &mut groups {
            if path.parse::<TargetPath>().is_ok_and(|path| path.channel == release.channel) {
                others.groups.remove(group);
            }
        }
        groups.entry(path.clone()).or_default().groups.insert(group.clone(), terms);
        let mut files = self.targets().body.targets.clone();
        let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(target.sha256))]);
        files.insert(path, TargetFile { length: target.length, hashes, custom: None });
        self.put_out(files, groups)
    }

    /// Changes the terms on which a group runs what it is assigned.
    fn change_terms(&self, group: &GroupName, change: impl Fn(&mut Terms)) -> Result<Head, AssignError> {
        let mut groups = self.groups()?;
        let mut terms = groups.values_mut().filter_map(|groups| groups.groups.get_mut(group)).peekable();
        if terms.peek().is_none() {
            return Err(AssignError::Unassigned { group: group.clone() });
        }
        terms.for_each(change);
        self.put_out(self.targets().body.targets.clone(), groups)
    }

    /// From now on no device of the group applies what it is assigned.
    pub fn hold(&self, group: &GroupName) -> Result<Head, AssignError> {
        self.change_terms(group, |terms| terms.held = true)
    }

    /// Devices of the group may apply what they are assigned.
    pub fn resume(&self, group: &GroupName) -> Result<Head, AssignError> {
        self.change_terms(group, |terms| terms.held = false)
    }

    /// Says once more that what is assigned is the newest.
    pub fn refresh(&self) -> Result<Head, AssignError> {
        self.put_out(self.targets().body.targets.clone(), self.groups()?)
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
    ) -> Result<Head, AssignError> {
        groups.retain(|_, groups| !groups.groups.is_empty());
        files.retain(|path, _| groups.contains_key(path));
        for (path, file) in &mut files {
            file.custom = serde_json::to_value(&groups[path]).ok();
        }
        let before = self.targets();
        let body = Targets { targets: files, delegations: before.body.delegations.clone() };
        let signed = Signed::new(before.version + 1, after(self.now, SCHOOLS.targets_s), body);
        let root = &self.set.root().body;
        let keys = self.keys.signers(&Role::Targets, root.authority(&Role::Targets))?;
        let complete = complete(&self.set);
        let versions = [complete.snapshot().version, complete.timestamp().version];
        let signers = Signers::of(root, &self.keys)?;
        let targets = Signing { role: Role::Targets, keys, signed };
        let files = sign_release(vec![targets], BTreeMap::new(), versions, &signers, &SCHOOLS, self.now);
        if files.iter().any(|(_, _, bytes)| bytes.len() as u64 > TARGETS_BYTES_MAX) {
            return Err(AssignError::TooMany);
        }
        let mut judge = self.set.clone();
        for (role, _, bytes) in files.iter().rev() {
            let refused = |source| AssignError::Refused { role: role.clone(), source: Box::new(source) };
            judge.offer(role, bytes).map_err(refused)?;
        }
        write_release(&self.path.join("metadata"), &files)?;
        Ok(judge.head().expect("a device that believes every file of a school holds it whole"))
    }

    fn targets(&self) -> &Signed<Targets> {
        complete(&self.set).role(&Role::Targets).expect("a complete set has targets")
    }
}

fn complete(set: &TrustedSet) -> &CompleteSet {
    set.complete().expect("a set that needs nothing is complete")
}
