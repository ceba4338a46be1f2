//! Roles, and the names of their files.

use crate::limits::ROLE_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    "{0:?} cannot name a channel: use 1 to {ROLE_NAME_BYTES_MAX} bytes without '/', '\\' and control characters, \
     not starting with '.', not like '2.root', and not root, timestamp, snapshot or targets"
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

    /// The name of the role's file, as a repository's `metadata/` has it: `N.name.json`, but
    /// `timestamp.json`, which alone is replaced in place. Without a version: the name by which
    /// metadata speaks of it, `name.json`.
    pub fn file_name(&self, version: Option<u64>) -> String {
        match (self, version) {
            (Role::Timestamp, _) | (_, None) => format!("{}.json", self.name()),
            (_, Some(version)) => format!("{version}.{}.json", self.name()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Strangers choose these names; an escape sequence must not reach a terminal.
        write!(f, "{}", self.name().escape_debug())
    }
}

/// Refuses a delegated role's name that would be ambiguous or unsafe as part of a file name.
pub fn check_delegated_name(name: &str) -> Result<(), RoleNameError> {
    let versioned = name.split_once('.').is_some_and(|(head, _)| head.bytes().all(|byte| byte.is_ascii_digit()));
    let safe = !name.is_empty()
        && name.len() <= ROLE_NAME_BYTES_MAX
        && !name.starts_with('.')
        && !versioned
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
    match Role::from_name(name) {
        Role::Delegated(_) if safe => Ok(()),
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
    }

    #[test]
    fn names_that_would_be_ambiguous_as_files_are_refused() {
        let long = "x".repeat(ROLE_NAME_BYTES_MAX + 1);
        let names = [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/",
            "a\\b",
            "root",
            "targets",
            "snapshot",
            "timestamp",
            "2.root",
            "17.os",
            ".hidden",
            "a\0b",
            "a\nb",
            &long,
        ];
        for name in names {
            assert!(check_delegated_name(name).is_err(), "{name:?}");
        }
        for name in ["os", "apps-2", "v1.2", "école", "a b", &long[1..]] {
            assert_eq!(check_delegated_name(name), Ok(()), "{name:?}");
        }
    }
}
