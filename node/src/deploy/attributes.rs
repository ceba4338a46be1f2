//! Owner, extended attributes, mode and time of one entry.
//!
//! Their order is not free: a change of owner clears setuid and file capabilities, a read-only mode
//! refuses attributes, and all of them but the first come after the content.

use super::directory::Directory;
use protocol::content::manifest::{Attributes, Kind};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// setuid and setgid.
pub(super) const PRIVILEGE_BITS: u32 = 0o6000;

/// Whose rights a process has when it applies or verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Everything in the manifest is set, or the apply fails.
    Root,
    /// What only root may set is left out and counted.
    User,
}

impl Authority {
    /// That of this process.
    pub fn of_process() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::User }
    }
}

/// What an apply without root's rights had to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Entries that belong to the user who applied instead of the owner stated.
    pub owners: u64,
    /// Files of another owner, which therefore lack setuid or setgid.
    pub privileges: u64,
    /// Extended attributes not set.
    pub xattrs: u64,
    /// The first entry concerned.
    pub first: Option<PathBuf>,
}

impl Skipped {
    /// What was left out, in a sentence; nothing if nothing was.
    pub fn note(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(format!(
            "without root's rights {} owners, {} setuid bits and {} extended attributes were not set, first at {first:?}",
            self.owners, self.privileges, self.xattrs
        ))
    }
}

/// What an entry must get, by whose rights.
pub(super) struct Wanted<'a> {
    pub kind: &'a Kind,
    pub attributes: &'a Attributes,
    pub authority: Authority,
}

impl Wanted<'_> {
    /// Gives `name` in `parent` its attributes. What was left out is added to `skipped`; whether
    /// anything was, is returned.
    pub fn set(&self, parent: &Directory, name: &[u8], skipped: &mut Skipped) -> io::Result<bool> {
        let stat = parent.stat(name)?.ok_or(io::ErrorKind::NotFound)?;
        let mut complete = true;
        let mut mode = self.attributes.mode & 0o7777;
        if !self.set_owner(parent, name, &stat)? {
            complete = false;
            skipped.owners += 1;
            if !matches!(self.kind, Kind::Symlink { .. }) && mode & PRIVILEGE_BITS != 0 {
                // Privileges were meant for that owner, not for whoever applied.
                skipped.privileges += 1;
                mode &= !PRIVILEGE_BITS;
            }
        }
        let refused = self.set_xattrs(parent, name)?;
        skipped.xattrs += refused;
        complete &= refused == 0;
        if !matches!(self.kind, Kind::Symlink { .. }) {
            parent.set_mode(name, mode)?;
        }
        parent.set_mtime(name, self.attributes.mtime_s, self.attributes.mtime_ns)?;
        Ok(complete)
    }

    fn set_owner(&self, parent: &Directory, name: &[u8], stat: &Stat) -> io::Result<bool> {
        let Attributes { uid, gid, .. } = *self.attributes;
        if (stat.st_uid, stat.st_gid) == (uid, gid) {
            return Ok(true);
        }
        self.allowed(parent.set_owner(name, uid, gid))
    }

    /// Returns how many were refused.
    fn set_xattrs(&self, parent: &Directory, name: &[u8]) -> io::Result<u64> {
        let wanted = &self.attributes.xattrs;
        let mut refused = 0;
        // A directory above may have handed down its own (a default ACL does).
        for found in parent.xattr_names(name).or_else(|error| none_if_unsupported(error, Vec::new()))? {
            if !Attributes::is_of_the_machine(&found) && !wanted.keys().any(|stated| found == stated[..]) {
                refused += u64::from(!self.allowed(parent.remove_xattr(name, &found))?);
            }
        }
        for (attribute, value) in wanted {
            refused += u64::from(!self.allowed(parent.set_xattr(name, attribute, value))?);
        }
        Ok(refused)
    }

    /// Whether it was done; to a user the system may refuse it, to root it may not.
    fn allowed(&self, outcome: io::Result<()>) -> io::Result<bool> {
        let refusals = [Errno::PERM, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if self.authority == Authority::User && refusals.contains(&error.raw_os_error()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A file system without extended attributes has none.
pub(super) fn none_if_unsupported<T>(error: io::Error, none: T) -> io::Result<T> {
    if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) { Ok(none) } else { Err(error) }
}
