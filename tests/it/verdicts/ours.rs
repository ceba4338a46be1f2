//! What our trusted set makes of a repository, taken through a refresh and searches as any TUF client is.

use super::{Target, Verdict};
use protocol::time::UnixTime;
use protocol::trust::delegation::Sought;
use protocol::trust::envelope::Envelope;
use protocol::trust::metadata::Targets;
use protocol::trust::{Accepted, Freshness, Need, Rejection, Resolution, Role, TrustedSet};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use tests::forger::history::{NOW_S, Served};

/// A client with our verifier.
pub struct Ours {
    set: TrustedSet,
    /// The file of each role that was taken last.
    taken: BTreeMap<Role, Arc<Vec<u8>>>,
    /// Whether a root that came revoked keys of the timestamp or the snapshot.
    pub keys_revoked: bool,
}

/// The file that was refused, and why.
type Refused = (String, String);

impl Ours {
    pub fn new(root: &[u8]) -> Result<Ours, String> {
        TrustedSet::from_root(root).map(Ours::of).map_err(|why| in_words(&why))
    }

    fn of(set: TrustedSet) -> Ours {
        Ours { set, taken: BTreeMap::new(), keys_revoked: false }
    }

    pub fn set(&self) -> &TrustedSet {
        &self.set
    }

    pub fn judge(&mut self, served: &Served, paths: &[&str]) -> Verdict<String> {
        let refused = self.refresh(served).err();
        let found =
            if refused.is_none() { paths.iter().map(|path| self.find(path, served)).collect() } else { Vec::new() };
        Verdict { trusted: (self.set.root().version, self.set.timestamp_version()), refused, found }
    }

    /// How fresh the newest set is, if all of it is served.
    pub fn freshness(&self, served: &Served) -> Option<Freshness> {
        let mut whole = Ours::of(self.set.clone());
        while let Some(need) = whole.set.needs().into_iter().next() {
            whole.take(&need, served).ok()?;
        }
        Some(whole.set.freshness(UnixTime(NOW_S)))
    }

    /// In the order of the specification's section 5, up to the top-level targets.
    fn refresh(&mut self, served: &Served) -> Result<(), Refused> {
        // No root comes after the last version that there is.
        while let Some(version) = self.set.root().version.checked_add(1) {
            let next = Role::Root.file_name(Some(version));
            let Some(bytes) = served.get(&next) else { break };
            let before = self.set.root().body.clone();
            // One that was there before is as good as none.
            if self.set.offer(&Role::Root, bytes).map_err(|why| (next, in_words(&why)))? == Accepted::AlreadyKnown {
                break;
            }
            let revoked = |role| !before.keys_of(&role).is_subset(&self.set.root().body.keys_of(&role));
            self.keys_revoked |= revoked(Role::Timestamp) || revoked(Role::Snapshot);
        }
        self.take(&Need { role: Role::Timestamp, version: None, bytes_max: 0 }, served)?;
        while let Some(need) = self.set.needs().into_iter().find(|need| need.role <= Role::Targets) {
            self.take(&need, served)?;
        }
        Ok(())
    }

    fn find(&mut self, path: &str, served: &Served) -> Result<Option<Target>, Refused> {
        loop {
            let need = match self.set.resolve(path) {
                Resolution::File(file) => return Ok(Some((file.length, file.hashes.clone()))),
                Resolution::Nothing => return Ok(None),
                Resolution::Broken(role) => return Err((role.file_name(None), "broken".to_owned())),
                Resolution::Needs(need) => need,
            };
            self.take(&need, served)?;
        }
    }

    fn take(&mut self, need: &Need, served: &Served) -> Result<(), Refused> {
        let name = need.role.file_name(need.version.filter(|_| self.set.root().body.consistent_snapshot));
        let Some(bytes) = served.get(&name) else { return Err((name, "missing".to_owned())) };
        match self.set.offer(&need.role, bytes) {
            Ok(_) => {
                self.taken.insert(need.role.clone(), bytes.clone());
                Ok(())
            }
            // The first timestamp of two is kept.
            Err(Rejection::Equivocation { .. }) => Ok(()),
            Err(why) => Err((name, in_words(&why))),
        }
    }

    /// Whether somebody delegates this path to a role whose file was taken, and cannot be followed.
    pub fn is_silent_about(&self, path: &str) -> bool {
        let roles = self.taken.iter().filter(|(role, _)| matches!(role, Role::Targets | Role::Delegated(_)));
        let (can_be_followed, silent): (Vec<_>, Vec<_>) =
            roles.map(|(role, bytes)| (role, Envelope::<Targets>::parse(bytes))).partition(|(_, file)| file.is_ok());
        let files = can_be_followed.iter().filter_map(|(_, file)| file.as_ref().ok());
        let mut delegated = files.flat_map(|file| &file.signed.body.delegations).flat_map(|it| &it.roles);
        delegated.any(|to| {
            let is_silent = silent.iter().any(|(role, _)| **role == Role::from_name(&to.name));
            is_silent && to.may_name(&mut Sought::new(path))
        })
    }
}

fn in_words(why: &Rejection) -> String {
    let mut words = why.to_string();
    let mut cause = why.source();
    while let Some(why) = cause {
        words.push_str(&format!(": {why}"));
        cause = why.source();
    }
    words
}
