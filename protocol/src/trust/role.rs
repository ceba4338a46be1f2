//! Roles, and the names of their files.

use crate::limits::ROLE_NAME_BYTES_MAX;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a name in a URL, or of a file, has in percent: all that RFC 3986 does not call unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whose word a metadata file is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Names the keys of the top-level roles.
    Root,
    /// Names the newest snapshot.
    Timestamp,
    /// Names one version of every targets file.
    Snapshot,
    /// Delegates channels.
    Targets,
    /// Lists one channel's manifests. Only a name that [`check_delegated_name`] lets pass ever stands
    /// in accepted metadata.
    Delegated(String),
}

/// A name that no delegated role may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a delegated role: use 1 to {ROLE_NAME_BYTES_MAX} bytes, and not root, timestamp, snapshot or \
     targets"
)]
pub struct RoleNameError(pub String);

impl Role {
    /// The role's name, as metadata spells it.
    pub fn name(&self) -> &str {
        match self {
            Role::Root => "root",
            Role::Timestamp => "timestamp",
            Role::Snapshot => "snapshot",
            Role::Targets => "targets",
            Role::Delegated(name) => name,
        }
    }

    /// The role that has this name.
    pub fn from_name(name: &str) -> Role {
        match name {
            "root" => Role::Root,
            "timestamp" => Role::Timestamp,
            "snapshot" => Role::Snapshot,
            "targets" => Role::Targets,
            _ => Role::Delegated(name.to_owned()),
        }
    }

    /// The name by which metadata speaks of the role's file, `name.json`.
    pub fn meta_name(&self) -> String {
        format!("{}.json", self.name())
    }

    /// The name of the role's file, as a repository's `metadata/` has it: `N.name.json`, but
    /// `timestamp.json`, which alone is replaced in place, and `name.json` without a version. A delegator chooses
    /// the role's name, so what could lead elsewhere stands there in percent, as other TUF programs have it.
    pub fn file_name(&self, version: Option<u64>) -> String {
        let name = utf8_percent_encode(self.name(), RESERVED);
        match (self, version) {
            (Role::Timestamp, _) | (_, None) => format!("{name}.json"),
            (_, Some(version)) => format!("{version}.{name}.json"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Strangers choose these names; an escape sequence must not reach a terminal.
        write!(f, "{}", self.name().escape_debug())
    }
}

/// Refuses a delegated role's name that is a top-level role's, or too long for a file's.
pub fn check_delegated_name(name: &str) -> Result<(), RoleNameError> {
    match Role::from_name(name) {
        Role::Delegated(_) if (1..=ROLE_NAME_BYTES_MAX).contains(&name.len()) => Ok(()),
        _ => Err(RoleNameError(name.chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_in_a_repository_with_consistent_snapshots() {
        assert_eq!(Role::Root.file_name(Some(3)), "3.root.json");
        assert_eq!(Role::Timestamp.file_name(Some(3)), "timestamp.json");
        assert_eq!(Role::Delegated("os".into()).file_name(Some(12)), "12.os.json");
        assert_eq!(Role::Snapshot.file_name(None), "snapshot.json");
        // As `urllib.parse.quote(name, "")` of Python has them.
        let names = [
            ("../x", "7...%2Fx.json"),
            ("a\\b", "7.a%5Cb.json"),
            ("a\0\n", "7.a%00%0A.json"),
            ("école ~?#", "7.%C3%A9cole%20~%3F%23.json"),
        ];
        for (name, file) in names {
            assert_eq!(Role::Delegated(name.into()).file_name(Some(7)), file);
            assert_eq!(Role::Delegated(name.into()).meta_name(), format!("{name}.json"));
        }
    }

    #[test]
    fn names_that_mean_another_role_are_refused() {
        let long = "x".repeat(ROLE_NAME_BYTES_MAX + 1);
        for name in ["", "root", "targets", "snapshot", "timestamp", &long] {
            assert!(check_delegated_name(name).is_err(), "{name:?}");
        }
        for name in ["os", "apps-2", "v1.2", "2.root", "../x", "école", "a b", &long[1..]] {
            assert_eq!(check_delegated_name(name), Ok(()), "{name:?}");
        }
    }
}
