//! A channel as its publisher keeps it: its releases, and how high its versions and release counters have been.
//!
//! The highest of both stands in the channel's own signed file, in a field that devices do not look at. So a version that
//! was withdrawn is never given to something else: a device that has applied it would take the two for one.

use protocol::content::name::{ChannelName, TargetPath};
use protocol::content::version::Version;
use protocol::policy::{Custom, CustomError};
use protocol::trust::envelope::{Body, Envelope, MetadataError};
use protocol::trust::metadata::{TargetFile, Targets};
use protocol::trust::{Role, Target, TrustedSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a channel's releases were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// It was published before.
    #[error("version {version} of channel {channel} is taken; publish under a higher one")]
    Taken {
        /// The channel.
        channel: ChannelName,
        /// The version.
        version: Version,
    },
    /// It would be the channel's first release, and nobody said so.
    #[error("channel {0} has no release in this repository yet; if it is not misspelled, say --new")]
    First(ChannelName),
    /// It would not be.
    #[error("channel {channel} is not new, its newest release is {newest}; leave --new out")]
    NotFirst {
        /// The channel.
        channel: ChannelName,
        /// The newest.
        newest: Version,
    },
    /// A newer one was published before.
    #[error("version {version} is older than {newest}, the newest of channel {channel}, so no device would take it")]
    Older {
        /// The channel.
        channel: ChannelName,
        /// The version.
        version: Version,
        /// The newest that there ever was.
        newest: Version,
    },
    /// A lower release counter than before, and nobody said so.
    #[error(
        "release counter {counter} is below {highest}, which channel {channel} has had, so what that mended would be open \
         again; leave it out, or say --allow-lower-counter"
    )]
    LowerCounter {
        /// The channel.
        channel: ChannelName,
        /// The counter.
        counter: u64,
        /// The highest that there ever was.
        highest: u64,
    },
    /// There is no such release.
    #[error("the repository lists no {0}; it was withdrawn before, or never published")]
    NotListed(TargetPath),
    /// It is for everybody already.
    #[error("{0} is not staged; every device takes it already")]
    NotStaged(TargetPath),
    /// No device would take what is said of it.
    #[error("of {path} is said what no device takes")]
    Custom {
        /// The release.
        path: TargetPath,
        /// What is wrong.
        source: CustomError,
    },
    /// The channel's file was written by something else.
    #[error("the metadata of channel {channel} says something of its highest version that is malformed")]
    Malformed {
        /// The channel.
        channel: ChannelName,
        /// What is wrong.
        source: MetadataError,
    },
}

/// A channel of a repository.
#[derive(Clone, Debug)]
pub struct Channel {
    name: ChannelName,
    listing: Listing,
}

/// What a channel's file says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    #[serde(flatten)]
    targets: Targets,
    #[serde(rename = "x-highest", default, skip_serializing_if = "Option::is_none")]
    highest: Option<Highest>,
}

/// The highest that there ever was.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Highest {
    version: String,
    release_counter: u64,
}

impl Body for Listing {
    const TYPE: &'static str = Targets::TYPE;
    const BYTES_MAX: u64 = Targets::BYTES_MAX;

    fn check(&self) -> Result<(), MetadataError> {
        match &self.highest {
            Some(highest) if highest.version.parse::<Version>().is_err() => {
                Err(MetadataError::Unlawful("the version of x-highest is none"))
            }
            _ => self.targets.check(),
        }
    }
}

impl Channel {
    /// The channel of this name, as devices see it; an empty one if there is none.
    pub fn of(set: &TrustedSet, name: &ChannelName) -> Result<Self, ChannelError> {
        let role = Role::Delegated(name.role_name());
        let listed = set.complete().and_then(|complete| complete.role(&role));
        let bytes = listed.and_then(|file| set.metadata(&role, Some(file.version)));
        let listing = bytes.map(|(_, bytes)| Envelope::<Listing>::parse(&bytes).map(|file| file.signed.body));
        let malformed = |source| ChannelError::Malformed { channel: name.clone(), source };
        Ok(Self { name: name.clone(), listing: listing.transpose().map_err(malformed)?.unwrap_or_default() })
    }

    /// What its file says.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Its releases with what is said of each, ascending by path.
    pub fn releases(&self) -> impl Iterator<Item = (TargetPath, Option<Custom>)> {
        let files = self.listing.targets.targets.iter();
        files.filter_map(|(path, file)| Some((path.parse().ok()?, Custom::read(file.custom.as_ref()).ok())))
    }

    /// The highest version that it ever had.
    pub fn highest(&self) -> Option<Version> {
        let ever = self.listing.highest.as_ref().and_then(|highest| highest.version.parse().ok());
        self.releases().map(|(path, _)| path.version).chain(ever).max()
    }

    /// The highest release counter that it ever had.
    pub fn release_counter(&self) -> u64 {
        let ever = self.listing.highest.as_ref().map(|highest| highest.release_counter);
        let counters = self.releases().filter_map(|(_, custom)| Some(custom?.release_counter));
        counters.chain(ever).max().unwrap_or(0)
    }

    /// Refuses a version that devices would not take, or that is not meant.
    pub fn check_version(&self, version: &Version, new: bool) -> Result<(), ChannelError> {
        let (channel, version) = (self.name.clone(), version.clone());
        match self.highest() {
            None if !new => Err(ChannelError::First(channel)),
            Some(newest) if new => Err(ChannelError::NotFirst { channel, newest }),
            Some(newest) if newest == version => Err(ChannelError::Taken { channel, version }),
            Some(newest) if newest > version => Err(ChannelError::Older { channel, version, newest }),
            _ => Ok(()),
        }
    }

    /// The counter of a new release: as high as it ever was, if none is given; refuses a lower one that nobody allowed.
    pub fn next_counter(&self, given: Option<u64>, may_fall: bool) -> Result<u64, ChannelError> {
        let highest = self.release_counter();
        match given {
            Some(counter) if counter < highest && !may_fall => {
                Err(ChannelError::LowerCounter { channel: self.name.clone(), counter, highest })
            }
            given => Ok(given.unwrap_or(highest)),
        }
    }

    /// Lists one more release.
    pub fn list(&mut self, path: &TargetPath, target: Target) -> Result<(), ChannelError> {
        self.check_version(&path.version, self.highest().is_none())?;
        let custom = |source| ChannelError::Custom { path: path.clone(), source };
        Custom::read(target.custom.as_ref()).map_err(custom)?;
        let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(target.sha256))]);
        let file = TargetFile { length: target.length, hashes, custom: target.custom };
        self.listing.targets.targets.insert(path.to_string(), file);
        self.remember_highest();
        Ok(())
    }

    /// Takes a release back.
    pub fn withdraw(&mut self, path: &TargetPath) -> Result<(), ChannelError> {
        self.remember_highest();
        let removed = self.listing.targets.targets.remove(&path.to_string());
        removed.map(|_| ()).ok_or_else(|| ChannelError::NotListed(path.clone()))
    }

    /// Gives a staged release to everybody.
    pub fn promote(&mut self, path: &TargetPath) -> Result<(), ChannelError> {
        let file = self.listing.targets.targets.get_mut(&path.to_string());
        let file = file.ok_or_else(|| ChannelError::NotListed(path.clone()))?;
        let mut custom =
            Custom::read(file.custom.as_ref()).map_err(|source| ChannelError::Custom { path: path.clone(), source })?;
        if !std::mem::take(&mut custom.staged) {
            return Err(ChannelError::NotStaged(path.clone()));
        }
        file.custom = custom.to_value();
        Ok(())
    }

    fn remember_highest(&mut self) {
        let release_counter = self.release_counter();
        self.listing.highest = self.highest().map(|version| Highest { version: version.to_string(), release_counter });
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::Change;
    use super::super::desk::{Desk, ListError};
    use super::super::keys::{no_password, read_key};
    use super::super::office::{Office, target};
    use super::*;
    use protocol::trust::Head;
    use protocol::trust::envelope::Signed;
    use serde_json::{Value, json};

    fn path(text: &str) -> TargetPath {
        text.parse().unwrap()
    }

    fn list(office: &Office, at: &str, custom: Value) -> Result<Head, ListError> {
        office.does(|desk| desk.list(&path(at), Target { custom: Some(custom), ..target() }))
    }

    fn channel(office: &Office) -> Channel {
        Channel::of(&office.served(), &"os".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_highest_version_and_counter_outlive_their_release() {
        let office = Office::new();
        list(&office, "os/x_1.manifest", json!({ "release_counter": 3 })).unwrap();
        list(&office, "os/x_2rc1.manifest", json!({ "release_counter": 5 })).unwrap();
        office.does(|desk| desk.withdraw(&path("os/x_2rc1.manifest"))).unwrap();
        office.does(|desk| desk.withdraw(&path("os/x_1.manifest"))).unwrap();
        let channel = channel(&office);
        assert_eq!(channel.releases().count(), 0);
        assert_eq!((channel.highest(), channel.release_counter()), ("2rc1".parse().ok(), 5));
        assert!(matches!(channel.next_counter(Some(4), false), Err(ChannelError::LowerCounter { highest: 5, .. })));
        let counter = |given, may_fall| channel.next_counter(given, may_fall).unwrap();
        assert_eq!([counter(Some(4), true), counter(Some(6), false), counter(None, false)], [4, 6, 5]);
        let version = |text: &str, new| channel.check_version(&text.parse().unwrap(), new);
        assert!(matches!(version("2rc1", false), Err(ChannelError::Taken { .. })));
        assert!(matches!(version("2b9", false), Err(ChannelError::Older { .. })));
        assert!(matches!(version("3", true), Err(ChannelError::NotFirst { .. })));
        assert!(version("2", false).is_ok());
    }

    #[test]
    fn a_refresh_keeps_the_highest_version_and_devices_read_the_file_as_any_other() {
        let office = Office::new();
        office.list("os/x_1.manifest").unwrap();
        office.list("os/x_2.manifest").unwrap();
        office.does(|desk| desk.withdraw(&path("os/x_2.manifest"))).unwrap();
        let later = protocol::time::UnixTime(super::super::office::NOW.0 + 200 * 86_400);
        let desk = office.at(later).unwrap();
        desk.refresh().and_then(|(here, _)| desk.put_out(here)).unwrap();
        drop(desk);
        assert!(office.names().contains(&"4.os.json".to_owned()), "it was signed anew");
        assert_eq!(channel(&office).highest(), "2".parse().ok());
        let role = Role::Delegated("os".to_owned());
        let (_, bytes) = office.served().metadata(&role, None).unwrap();
        assert!(Envelope::<Targets>::parse(&bytes).is_ok(), "devices read the file as any other");
    }

    #[test]
    fn a_release_is_withdrawn_from_a_file_that_another_program_wrote() {
        let office = Office::new();
        office.list("os/x_1.manifest").unwrap();
        office.list("os/x_2.manifest").unwrap();
        let (set, role) = (office.served(), Role::Delegated("os".to_owned()));
        let before = set.complete().unwrap().role(&role).unwrap();
        let plain = Signed::new(before.version + 1, before.expires, before.body.clone());
        let key = read_key(&office.keys().join("os.pem"), no_password).unwrap();
        let write = |desk: &Desk| {
            let (mut change, channels) = (Change::default(), desk.channels());
            let authority = &channels.get(&"os".parse().unwrap()).unwrap().authority;
            change.add(role.clone(), &plain, authority, &channels.0.keys)?;
            change.sign(&key)?;
            Ok(change)
        };
        office.does(write).unwrap();
        assert!(channel(&office).listing.highest.is_none());
        office.does(|desk| desk.withdraw(&path("os/x_2.manifest"))).unwrap();
        assert_eq!(channel(&office).highest(), "2".parse().ok());
    }

    #[test]
    fn a_staged_release_is_promoted_once() {
        let office = Office::new();
        list(&office, "os/x_1.manifest", json!({ "staged": true, "x-note": "try it" })).unwrap();
        let promote = |at: &str| office.does(|desk| desk.promote(&path(at)));
        promote("os/x_1.manifest").unwrap();
        let (_, found) =
            office.served().targets().next().map(|(path, target)| (path.to_owned(), target.clone())).unwrap();
        assert_eq!(found, Target { custom: Some(json!({ "x-note": "try it" })), ..target() });
        assert!(matches!(promote("os/x_1.manifest"), Err(ListError::Channel(ChannelError::NotStaged(_)))));
        assert!(matches!(promote("os/x_2.manifest"), Err(ListError::Channel(ChannelError::NotListed(_)))));
    }

    #[test]
    fn what_no_device_would_take_is_not_listed() {
        let office = Office::new();
        for custom in [json!({ "hardware": [] }), json!({ "staged": 1 }), json!({ "note": "n".repeat(4096) })] {
            let refused = list(&office, "os/x_1.manifest", custom);
            assert!(matches!(refused, Err(ListError::Channel(ChannelError::Custom { .. }))), "{refused:?}");
        }
    }
}
