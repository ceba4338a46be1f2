//! What a school says that its devices should run.
//!
//! A school's repository is a small one of TUF, signed on its server, after Uptane's director. Its top-level targets
//! repeat path, length and hash of releases that the publisher lists, and say in their `custom` part which groups of
//! devices should run each, and on what terms. A device that has joined a school applies only what both name: the
//! publisher says what is genuine, and the school chooses among that. So whoever steals the school's keys can choose
//! too, and add nothing. A newer assignment may name an older release, which is the only way back from afar.

use crate::chain::Chain;
use crate::content::name::{ChannelName, TargetPath, is_plain};
use crate::id::{PeerId, Signer};
use crate::limits::GROUP_BYTES_MAX;
use crate::listed::Listed;
use crate::mesh::{self, Peers};
use crate::rng::Rng;
use crate::time::{Span, Time, UnixTime};
use crate::trust::date::Date;
use crate::trust::metadata::TargetFile;
use crate::trust::stated_time::{Nonce, StatedTimeError, stated_time};
use crate::trust::{Role, TrustedSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A clock goes wrong by less than a second in this time, and the server has one signature to make for each device.
const STATED_EVERY: Span = Span::from_secs(3600);
/// Who was asked for the time and did not answer is asked again after this.
const ASKS_AGAIN_AFTER: Span = Span::from_secs(20);

/// The group that every device of a school is in.
pub const ALL: &str = "all";

/// A group of devices: a classroom, say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

/// A text is no group's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} cannot name a group; use up to {GROUP_BYTES_MAX} of a-z, 0-9, '.', '_' and '-', a letter or digit first"
)]
pub struct GroupNameError(String);

/// The terms on which a group runs a release.
///
/// A device that does not know one of the terms stays where it is: to wait is safe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// It is fetched and not applied, until a newer assignment says otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// It is fetched, and not applied before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Date>,
    /// A newer release than the applied one may be applied though metadata expired so many days ago.
    #[serde(skip_serializing_if = "is_zero")]
    pub stale_grace_days: u16,
}

/// What a school adds to a release that it assigns: the `custom` part of its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// Who should run it.
    pub groups: BTreeMap<GroupName, Terms>,
}

/// A release that a group should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its path, by which the publisher lists it.
    pub path: TargetPath,
    /// Its manifest's length in bytes and hashes, as the school states them.
    file: TargetFile,
    /// On what terms; nothing where this program does not know them all, and then nobody applies it.
    pub terms: Option<Terms>,
}

/// The school that a node belongs to.
#[derive(Debug)]
pub struct School {
    /// What is believed of it.
    pub chain: Chain,
    /// The device's group; a seed carries what any group should run.
    pub group: Option<GroupName>,
    /// As its newest complete metadata says.
    assignments: Vec<(GroupName, Assignment)>,
    clock: Clock,
}

/// The time, as the school's server has stated it.
#[derive(Debug, Default)]
struct Clock {
    /// What was stated, and when that came.
    stated: Option<(UnixTime, Time)>,
    /// Who was asked, and with which number.
    asked: Option<(PeerId, Nonce)>,
    asks_at: Time,
}

/// Whose clock tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timekeeper {
    /// The device's own.
    Device,
    /// That of the school's server.
    Server,
}

/// Why a device does not run what it is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its publisher does not list this very release, or took it back.
    NotListed,
    /// It is for other hardware.
    OtherHardware,
    /// The device has run what nobody must go back below.
    BelowFloor,
    /// The school has terms that this program does not know.
    UnknownTerms,
    /// This release lies between, and no device passes it by.
    BehindWaypoint(TargetPath),
}

impl School {
    /// A school of which this much is believed.
    pub fn new(chain: Chain, group: Option<GroupName>) -> Self {
        let assignments = assignments(chain.trust()).collect();
        School { chain, group, assignments, clock: Clock::default() }
    }

    /// The school's metadata is newer.
    pub(crate) fn has_spoken(&mut self) {
        self.assignments = assignments(self.chain.trust()).collect();
    }

    /// A peer says that it is a server of this school: it is asked for the time at once.
    pub(crate) fn met_server(&mut self, now: Time) {
        self.clock.asks_at = now;
    }

    /// Whom to ask for the time now, and with which number: one of those that say they are its servers.
    pub(crate) fn asks_time(&mut self, peers: &Peers, now: Time, rng: &mut Rng) -> Option<(PeerId, Nonce)> {
        if self.group.is_none() || now < self.clock.asks_at {
            return None;
        }
        let servers: Vec<PeerId> =
            peers.with_role(mesh::Role::Seed).filter(|peer| peers.carries(*peer, Signer::School)).collect();
        let chosen = usize::try_from(rng.below(servers.len() as u64)).unwrap_or(0);
        // Who does not answer gives way to another, or is asked again.
        self.clock.asks_at = now + ASKS_AGAIN_AFTER;
        let server = *servers.get(chosen)?;
        let halves = [rng.next_u64().to_le_bytes(), rng.next_u64().to_le_bytes()];
        let nonce = Nonce::try_from(halves.concat()).expect("two halves make a whole");
        self.clock.asked = Some((server, nonce));
        self.clock.asked
    }

    /// A peer states the time. Nothing of it is believed but what the school's keys signed as the answer to the question
    /// that this peer was asked.
    pub(crate) fn time_stated(&mut self, from: PeerId, bytes: &[u8], now: Time) -> Result<(), StatedTimeError> {
        let Some((_, nonce)) = self.clock.asked.filter(|(asked, _)| *asked == from) else { return Ok(()) };
        match stated_time(bytes, &nonce, &self.chain.trust().root().body) {
            Ok(time) => {
                self.clock = Clock { stated: Some((time, now)), asked: None, asks_at: now + STATED_EVERY };
                Ok(())
            }
            // A late answer to the question before, or one signed by keys of a root that has not come here yet.
            Err(StatedTimeError::OtherNonce | StatedTimeError::Signatures(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Another root may have other keys, and what was stated may have been a thief's word.
    pub(crate) fn forget_time(&mut self) {
        self.clock = Clock::default();
    }

    /// When the time is asked for next.
    pub(crate) fn wakeup(&self) -> Option<Time> {
        self.group.as_ref().map(|_| self.clock.asks_at)
    }

    /// The time by the school's clock, if its server has stated it since this node was started. What lies before the
    /// school's own last word is no time.
    pub fn time(&self, now: Time) -> Option<UnixTime> {
        let (time, at) = self.clock.stated?;
        let seconds = i64::try_from(now.since(at).0 / 1_000_000).unwrap_or(i64::MAX);
        let said_at = self.chain.trust().complete().and_then(|set| set.timestamp().body.signed_at);
        Some(UnixTime(time.0.saturating_add(seconds))).filter(|time| said_at.is_none_or(|at| at.unix_time() <= *time))
    }

    /// For how many seconds the school's server has not been heard from; nothing before it was first.
    pub fn silent_s(&self, now: Time) -> Option<u64> {
        self.clock.stated.map(|(_, at)| now.since(at).0 / 1_000_000)
    }

    /// What this device should run of a channel.
    pub fn assignment(&self, channel: &ChannelName) -> Option<Assignment> {
        let group = self.group.as_ref()?;
        let of = |group: &str| {
            let is_of = |(name, it): &&(GroupName, Assignment)| name.0 == group && it.path.channel == *channel;
            // A school's own program assigns one. Of several the same one is chosen everywhere.
            let named = self.assignments.iter().filter(is_of).map(|(_, assignment)| assignment);
            named.max_by(|one, other| one.path.cmp(&other.path))
        };
        of(&group.0).or_else(|| of(ALL)).cloned()
    }

    /// Whether some group should run a release.
    pub fn assigns(&self, listed: &Listed) -> bool {
        self.assignments.iter().any(|(_, assignment)| assignment.is(listed))
    }
}

impl Assignment {
    /// Whether it names the very release that the publisher lists.
    pub fn is(&self, listed: &Listed) -> bool {
        self.path == listed.path
            && self.file.length == listed.manifest_bytes
            && self.file.sha256() == Some(listed.manifest.0)
    }
}

/// What each group should run, as a school's newest complete metadata says. Only the top-level targets count: a school
/// delegates to nobody.
pub fn assignments(school: &TrustedSet) -> impl Iterator<Item = (GroupName, Assignment)> {
    let targets = school.complete().and_then(|complete| complete.role(&Role::Targets));
    targets.into_iter().flat_map(|targets| &targets.body.targets).flat_map(|(path, file)| {
        let path = path.parse::<TargetPath>().ok();
        let custom = file.custom.clone().and_then(|custom| serde_json::from_value::<Assigned>(custom).ok());
        let groups = custom.unwrap_or_default().groups;
        groups.into_iter().filter_map(move |(group, terms)| {
            let terms = serde_json::from_value(terms).ok();
            Some((group, Assignment { path: path.clone()?, file: file.clone(), terms }))
        })
    })
}

/// Like [`Groups`], with terms that may be a newer program's.
#[derive(Default, Deserialize)]
struct Assigned {
    groups: BTreeMap<GroupName, serde_json::Value>,
}

fn is_zero(days: &u16) -> bool {
    *days == 0
}

impl FromStr for GroupName {
    type Err = GroupNameError;

    fn from_str(text: &str) -> Result<Self, GroupNameError> {
        if is_plain(text, GROUP_BYTES_MAX) { Ok(Self(text.to_owned())) } else { Err(GroupNameError(text.to_owned())) }
    }
}

impl TryFrom<String> for GroupName {
    type Error = GroupNameError;

    fn try_from(text: String) -> Result<Self, GroupNameError> {
        text.parse()
    }
}

impl From<GroupName> for String {
    fn from(group: GroupName) -> Self {
        group.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
