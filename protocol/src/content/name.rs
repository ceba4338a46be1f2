//! The names a release goes by: its channel, its tree, and the path of its manifest as a TUF target.

use super::version::{Version, VersionError};
use crate::limits::{CHANNEL_BYTES_MAX, TREE_NAME_BYTES_MAX};
use std::fmt;
use std::str::FromStr;

/// Names that TUF gives to roles of its own; a channel is a delegated role beside them.
const RESERVED_ROLES: [&str; 5] = ["root", "targets", "snapshot", "timestamp", "mirrors"];

/// A channel's name: `[a-z0-9][a-z0-9._-]*`, so that it is safe in a path, a URL and a file name on
/// any file system; or two of these with a `/` between, as in `apps/paint`, where one publisher has makers of many apps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(String);

/// A tree's name, as the target path shows it to people: letters of ASCII, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeName(String);

/// The path of a manifest in TUF metadata: `<channel>/<name>_<version>.manifest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath {
    /// The channel, which a delegated role of its own signs.
    pub channel: ChannelName,
    /// The tree's name.
    pub name: TreeName,
    /// The version.
    pub version: Version,
}

/// Why a text is no such name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Not a channel.
    #[error(
        "{0:?} cannot name a channel; use up to {CHANNEL_BYTES_MAX} of a-z, 0-9, '.', '_' and '-', a letter or digit first, and perhaps one '/' between two such words"
    )]
    Channel(String),
    /// A role that TUF has already.
    #[error("a channel cannot be called {0:?}, which is a role of TUF's own; choose another name")]
    ReservedChannel(String),
    /// Not a tree's name.
    #[error("{0:?} cannot name a tree; use up to {TREE_NAME_BYTES_MAX} of a-z, A-Z, 0-9, '_' and '-'")]
    Tree(String),
    /// Not of the form of a target path.
    #[error("{0:?} is no manifest's target path; one looks like stable/sugar_1.0.manifest")]
    TargetPath(String),
    /// A target path with a wrong version.
    #[error("the target path {path:?} has a wrong version")]
    TargetVersion {
        /// The path.
        path: String,
        /// What is wrong with it.
        source: VersionError,
    },
}

impl ChannelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the delegated role that signs it. A role's name is part of a file's, and of a `%2F` in a URL web servers
    /// make a `/`; `~` stays what it is, and is in no channel's name.
    pub fn role_name(&self) -> String {
        self.0.replace('/', "~")
    }

    /// The channel that a role of this name signs, if it is a channel's.
    pub fn of_role(role_name: &str) -> Option<Self> {
        let channel: Self = role_name.replace('~', "/").parse().ok()?;
        (channel.role_name() == role_name).then_some(channel)
    }
}

impl TreeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is of the form `[a-z0-9][a-z0-9._-]*`, and no longer than this.
pub fn is_plain(text: &str, bytes_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= bytes_max
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
}

impl FromStr for ChannelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut words = text.split('/');
        if text.len() > CHANNEL_BYTES_MAX
            || !words.clone().all(|word| is_plain(word, CHANNEL_BYTES_MAX))
            || words.clone().count() > 2
        {
            return Err(NameError::Channel(text.to_owned()));
        }
        match words.any(|word| RESERVED_ROLES.contains(&word)) {
            true => Err(NameError::ReservedChannel(text.to_owned())),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for TreeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = (1..=TREE_NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if legal { Ok(Self(text.to_owned())) } else { Err(NameError::Tree(text.to_owned())) }
    }
}

impl FromStr for TargetPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts = text.strip_suffix(".manifest").and_then(|rest| {
            let (channel, file) = rest.rsplit_once('/')?;
            // A version in its normal spelling has no underscore, so the last one ends the name.
            let (name, version) = file.rsplit_once('_')?;
            Some((channel, name, version))
        });
        let (channel, name, version) = parts.ok_or_else(|| NameError::TargetPath(text.to_owned()))?;
        let version = Version::from_normal(version)
            .map_err(|source| NameError::TargetVersion { path: text.to_owned(), source })?;
        Ok(Self { channel: channel.parse()?, name: name.parse()?, version })
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}_{}.manifest", self.channel, self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_channel_that_would_leave_its_directory_or_clash_with_tuf_is_refused() {
        for text in [
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "A",
            "a b",
            "é",
            "root",
            "timestamp",
            "a/",
            "/a",
            "a//b",
            "a/b/c",
            "a/..",
            "a/.b",
            "apps/root",
            "targets/a",
            &"a".repeat(65),
            &("a".repeat(32) + "/" + &"b".repeat(32)),
        ] {
            assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        }
        for text in ["stable", "0", "xo-4.0_beta", "apps/paint", &"a".repeat(64)] {
            let channel = text.parse::<ChannelName>().unwrap();
            assert_eq!((channel.as_str(), ChannelName::of_role(&channel.role_name())), (text, Some(channel.clone())));
        }
    }

    #[test]
    fn the_role_of_a_channel_is_a_file_name_that_urls_leave_alone() {
        assert_eq!("apps/paint".parse::<ChannelName>().unwrap().role_name(), "apps~paint");
        assert!(["apps/paint", "a~b~c", "~", "root", "A"].iter().all(|name| ChannelName::of_role(name).is_none()));
    }

    #[test]
    fn a_tree_name_is_one_plain_word() {
        for text in ["", ".", "a.b", "a/b", "a b", "ü", &"a".repeat(65)] {
            assert!(text.parse::<TreeName>().is_err(), "{text:?}");
        }
        assert_eq!("Sugar_0-1".parse::<TreeName>().unwrap().as_str(), "Sugar_0-1");
    }

    #[test]
    fn a_target_path_is_read_back() {
        let path: TargetPath = "stable/my_tree-2_1!1.0rc1+local.5.manifest".parse().unwrap();
        assert_eq!(
            (path.channel.as_str(), path.name.as_str(), path.version.to_string().as_str()),
            ("stable", "my_tree-2", "1!1.0rc1+local.5")
        );
        assert_eq!(path.to_string(), "stable/my_tree-2_1!1.0rc1+local.5.manifest");
        let path: TargetPath = "apps/paint/tree_1.0.manifest".parse().unwrap();
        assert_eq!((path.channel.as_str(), path.to_string().as_str()), ("apps/paint", "apps/paint/tree_1.0.manifest"));
    }

    #[test]
    fn a_target_path_in_another_spelling_is_refused() {
        for text in [
            "stable/x_1.0",
            "stable/x.manifest",
            "x_1.0.manifest",
            "/x_1.0.manifest",
            "a/b/c/x_1.0.manifest",
            "a//x_1.0.manifest",
            "stable/_1.0.manifest",
            "stable/x_v1.0.manifest",
            "stable/x_1.0-1.manifest",
            "stable/x_.manifest",
            "../x_1.0.manifest",
            "stable/../x_1.0.manifest",
            "stable/x_1.0.manifest\n",
        ] {
            assert!(text.parse::<TargetPath>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_path_that_parses_prints_the_same(text in "[a-z.]{1,3}/[a-zA-Z_-]{0,4}_[0-9.!+a-c]{0,6}\\.manifest") {
            if let Ok(path) = text.parse::<TargetPath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
