//! A scenario: who is there, what is published when, and what goes wrong. A TOML file, versioned by `schema`;
//! a key that is not known is refused, because a misspelt fault would otherwise be an experiment
//! that never took place.

use crate::fault::{Fault, Partition, Troubles, Whom};
use crate::units;
use protocol::content::version::Version;
use protocol::limits::{CHUNK_BYTES_MAX, CHUNKS_MAX};
use protocol::mesh::Strategy;
use protocol::time::Span;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The one schema that this code reads.
pub const SCHEMA: u32 = 1;
/// Hosts in one scenario: beyond this a run takes days.
const LAPTOPS_MAX: usize = 100_000;
/// Keys of one role: a metadata file takes no more signatures.
const SIGNERS_MAX: usize = protocol::limits::SIGNATURES_MAX / 2;

/// A whole experiment but for its rng_seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The version of this format: 1.
    pub schema: u32,
    /// What to call it in outputs.
    pub name: String,
    /// How the network is modelled.
    #[serde(default)]
    pub model: Model,
    /// Which rules of the swarm are at work.
    #[serde(default)]
    pub strategy: StrategyName,
    /// When to give up.
    #[serde(deserialize_with = "units::span")]
    pub until: Span,
    /// How long it goes on after everything is done, to see what idle nodes say.
    #[serde(default, deserialize_with = "units::span")]
    pub idle: Span,
    /// The school server.
    pub seed: Access,
    /// The laptops, in groups of equals; numbered from 1 through all groups.
    pub laptops: Vec<Laptops>,
    /// What is published, ascending by time and version.
    #[serde(rename = "release")]
    pub releases: Vec<ReleasePlan>,
    /// How many keys root, targets and channel each have, all of which must sign.
    #[serde(default = "one_signer")]
    pub signers: usize,
    /// What the publisher takes back.
    #[serde(rename = "withdrawal", default)]
    pub withdrawals: Vec<Withdrawal>,
    /// What the school says that all devices should run, and whoever has its keys. Without any there is no school, and
    /// devices follow the publisher.
    #[serde(rename = "assignment", default)]
    pub assignments: Vec<AssignmentPlan>,
    /// When the publisher replaces keys.
    #[serde(rename = "rotation", default)]
    pub rotations: Vec<Rotation>,
    /// What goes wrong with single hosts.
    #[serde(rename = "fault", default)]
    pub faults: Vec<Fault>,
    /// When the network falls apart.
    #[serde(rename = "partition", default)]
    pub partitions: Vec<Partition>,
}

/// How the network is modelled; named in every output, because times of different models do not compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Store and forward at each access link; see [`link`](crate::link).
    #[default]
    Queue,
    /// Flows that share access links max-min fairly; see [`maxmin`](crate::maxmin).
    MaxMin,
}

/// Which rules of the swarm are at work, by name; named in every output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// What is shipped.
    #[default]
    Ours,
    /// The rarest first, of each peer the same number, and of the seed as of any peer.
    Naive,
    /// Naive, but that the seed chooses what it sends.
    SuperSeeding,
    /// Naive, but that more is asked of whom delivers faster.
    LoadAware,
}

impl StrategyName {
    /// The rules.
    pub fn rules(self) -> Strategy {
        let rules = |super_seeding, load_aware| Strategy { super_seeding, load_aware };
        match self {
            StrategyName::Ours => Strategy::default(),
            StrategyName::Naive => rules(false, false),
            StrategyName::SuperSeeding => rules(true, false),
            StrategyName::LoadAware => rules(false, true),
        }
    }
}

impl fmt::Display for StrategyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A host's access to the network.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Upload rate in bits a second.
    #[serde(rename = "up", deserialize_with = "units::bits_per_s")]
    pub up_bits_per_s: u64,
    /// Download rate in bits a second.
    #[serde(rename = "down", deserialize_with = "units::bits_per_s")]
    pub down_bits_per_s: u64,
    /// From the host to the middle of the network; two hosts are twice that apart.
    #[serde(deserialize_with = "units::span")]
    pub latency: Span,
}

/// Laptops of one kind.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laptops {
    /// How many.
    pub count: usize,
    /// Upload rate in bits a second.
    #[serde(rename = "up", deserialize_with = "units::bits_per_s")]
    pub up_bits_per_s: u64,
    /// Download rate in bits a second.
    #[serde(rename = "down", deserialize_with = "units::bits_per_s")]
    pub down_bits_per_s: u64,
    /// From the laptop to the middle of the network.
    #[serde(deserialize_with = "units::span")]
    pub latency: Span,
    /// What the disk writes, in bytes a second.
    #[serde(rename = "disk_write", deserialize_with = "units::bytes")]
    pub disk_bytes_per_s: u64,
    /// How long a sync of the disk takes.
    #[serde(deserialize_with = "units::span")]
    pub disk_sync: Span,
}

/// A release to be published.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePlan {
    /// Its PEP 440 version.
    pub version: String,
    /// When it is published.
    #[serde(deserialize_with = "units::span")]
    pub at: Span,
    /// How many chunks it has.
    pub chunks: u32,
    /// Bytes of a chunk.
    #[serde(rename = "chunk", deserialize_with = "units::bytes")]
    pub chunk_bytes: u64,
    /// Files that the chunks make up.
    #[serde(default = "one_file")]
    pub files: u32,
    /// Chunks that the release before has too, in percent.
    #[serde(default)]
    pub shares_percent: u32,
    /// Nobody who has applied it goes to a release with a lower one.
    #[serde(default)]
    pub release_counter: u64,
}

/// A release that is taken back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// Its version.
    pub version: String,
    /// When.
    #[serde(deserialize_with = "units::span")]
    pub at: Span,
}

/// What all devices of the school should run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentPlan {
    /// The version.
    pub version: String,
    /// From when on.
    #[serde(deserialize_with = "units::span")]
    pub at: Span,
    /// Under its path another file is named than the publisher lists.
    #[serde(default)]
    pub forged: bool,
}

/// Keys that are replaced by new ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// When.
    #[serde(deserialize_with = "units::span")]
    pub at: Span,
    /// Whose.
    pub keys: Vec<KeyRole>,
}

/// A role that has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// Names the keys of the other three top-level roles, and its own.
    Root,
    /// Says which snapshot is the newest.
    Timestamp,
    /// Says which files belong together.
    Snapshot,
    /// Says who signs for the channel.
    Targets,
    /// Lists the releases.
    Channel,
}

fn one_file() -> u32 {
    1
}

fn one_signer() -> usize {
    1
}

/// A host of a scenario: `seed`, or `laptop-1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct HostId(pub usize);

/// What a text is that names no host.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no host; they are called \"seed\", \"laptop-1\", \"laptop-2\" and so on; \"30%\" is a share")]
pub struct HostIdError(String);

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not the TOML that a scenario is.
    #[error("{file} is no scenario")]
    Toml {
        /// The file.
        file: String,
        /// Where, and what is wrong.
        source: toml::de::Error,
    },
    /// Its parts do not fit together.
    #[error("{file}: {key}: {why}")]
    Value {
        /// The file.
        file: String,
        /// The key that is wrong.
        key: String,
        /// What about it.
        why: String,
    },
}

impl HostId {
    /// The school server.
    pub const SEED: HostId = HostId(0);
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("seed"),
            number => write!(f, "laptop-{number}"),
        }
    }
}

impl FromStr for HostId {
    type Err = HostIdError;

    fn from_str(text: &str) -> Result<Self, HostIdError> {
        let number = match text {
            "seed" => Some(0),
            _ => text.strip_prefix("laptop-").and_then(|number| number.parse().ok()).filter(|number| *number > 0),
        };
        number.map(HostId).ok_or_else(|| HostIdError(text.to_owned()))
    }
}

impl TryFrom<String> for HostId {
    type Error = HostIdError;

    fn try_from(text: String) -> Result<Self, HostIdError> {
        text.parse()
    }
}

impl Scenario {
    /// Reads the scenario that stands in `text`; errors call it `file`.
    pub fn parse(text: &str, file: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario =
            toml::from_str(text).map_err(|source| ScenarioError::Toml { file: file.to_owned(), source })?;
        match scenario.fault() {
            Some((key, why)) => Err(ScenarioError::Value { file: file.to_owned(), key, why }),
            None => Ok(scenario),
        }
    }

    /// The laptops one by one; the first is `laptop-1`.
    pub fn each_laptop(&self) -> impl Iterator<Item = &Laptops> {
        self.laptops.iter().flat_map(|group| std::iter::repeat_n(group, group.count))
    }

    /// How many laptops there are.
    pub fn laptop_count(&self) -> usize {
        self.laptops.iter().map(|group| group.count).sum()
    }

    /// Whom the faults strike in the run of an rng_seed.
    pub fn troubles(&self, rng_seed: &[u8; 32]) -> Troubles {
        Troubles::draw(&self.faults, self.laptop_count(), rng_seed)
    }

    /// The first thing that is wrong, by its key.
    fn fault(&self) -> Option<(String, String)> {
        let wrong = |key: &str, why: String| Some((key.to_owned(), why));
        if self.schema != SCHEMA {
            return wrong("schema", format!("{} is not {SCHEMA}, the one this program reads", self.schema));
        }
        let laptops = self.laptop_count();
        if !(1..=LAPTOPS_MAX).contains(&laptops) {
            return wrong("laptops.count", format!("{laptops} laptops; there must be 1 to {LAPTOPS_MAX}"));
        }
        if self.releases.is_empty() {
            return wrong("release", "nothing is published".to_owned());
        }
        let named = self.faults.iter().filter_map(|fault| match fault.whom() {
            Whom::Host(host) => Some(("fault.host", host)),
            Whom::Percent(_) => None,
        });
        let cut_off = self.partitions.iter().flat_map(|partition| &partition.hosts);
        let mut named = named.chain(cut_off.map(|host| ("partition.hosts", *host)));
        if let Some((key, host)) = named.find(|(_, host)| host.0 > laptops) {
            return wrong(key, format!("there is no {host}; the last is laptop-{laptops}"));
        }
        if let Some(partition) = self.partitions.iter().find(|partition| partition.from >= partition.until) {
            return wrong("partition.until", format!("not after its beginning at {} us", partition.from.0));
        }
        let returns_early =
            |fault: &&Fault| matches!(fault, Fault::Dies { at, returns: Some(returns), .. } if returns <= at);
        if self.faults.iter().any(|fault| returns_early(&fault)) {
            return wrong("fault.returns", "somebody returns before dying".to_owned());
        }
        self.releases_fault().or_else(|| self.deeds_fault())
    }

    /// The first thing that is wrong with what the publisher does beside releasing.
    fn deeds_fault(&self) -> Option<(String, String)> {
        let wrong = |key: &str, why: String| Some((key.to_owned(), why));
        if !(1..=SIGNERS_MAX).contains(&self.signers) {
            return wrong("signers", format!("{} signers; there must be 1 to {SIGNERS_MAX}", self.signers));
        }
        for Withdrawal { version, at } in &self.withdrawals {
            let released = self.releases.iter().any(|release| release.version == *version && release.at <= *at);
            if !released {
                return wrong("withdrawal.version", format!("release {version} is not published by then"));
            }
        }
        for AssignmentPlan { version, at, .. } in &self.assignments {
            if !self.releases.iter().any(|release| release.version == *version && release.at <= *at) {
                return wrong("assignment.version", format!("release {version} is not published by then"));
            }
        }
        let too_early = |rotation: &&Rotation| self.releases.first().is_some_and(|first| rotation.at < first.at);
        if self.rotations.iter().find(too_early).is_some() {
            return wrong("rotation.at", "before the first release there is nothing to sign anew".to_owned());
        }
        if self.rotations.iter().any(|rotation| rotation.keys.is_empty()) {
            return wrong("rotation.keys", "no keys are named".to_owned());
        }
        None
    }

    fn releases_fault(&self) -> Option<(String, String)> {
        let mut before: Option<(&ReleasePlan, Version)> = None;
        for release in &self.releases {
            let wrong = |key: &str, why: String| Some((format!("release {}: {key}", release.version), why));
            let version = match Version::from_normal(&release.version) {
                Ok(version) => version,
                Err(error) => return wrong("version", error.to_string()),
            };
            if before.as_ref().is_some_and(|(plan, known)| plan.at > release.at || *known >= version) {
                return wrong("at", "releases must ascend in time and in version".to_owned());
            }
            if release.chunk_bytes > u64::from(CHUNK_BYTES_MAX) {
                return wrong("chunk", format!("a chunk has at most {CHUNK_BYTES_MAX} bytes"));
            }
            if release.at > self.until {
                return wrong("at", "it must come before `until`, when the run ends".to_owned());
            }
            if release.chunks > CHUNKS_MAX {
                return wrong("chunks", format!("a release has at most {CHUNKS_MAX} chunks"));
            }
            if release.chunks == 0 || release.files == 0 || release.files > release.chunks {
                return wrong("files", "there must be at least one file, and a chunk for each".to_owned());
            }
            if release.shares_percent > 100 || (before.is_none() && release.shares_percent > 0) {
                return wrong("shares_percent", "at most 100, and 0 in the first release".to_owned());
            }
            before = Some((release, version));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        schema = 1
        name = "small"
        until = "1h"
        seed = { up = "20Mbit", down = "20Mbit", latency = "1ms" }
        [[laptops]]
        count = 2
        up = "20Mbit"
        down = "100Mbit"
        latency = "1ms"
        disk_write = "40MB"
        disk_sync = "20ms"
        [[release]]
        version = "1.0"
        at = "0s"
        chunks = 10
        chunk = "64KiB"
    "#;

    /// The error with its causes, as a person sees it.
    fn refusal(text: &str) -> String {
        let error = Scenario::parse(text, "a.toml").unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    }

    #[test]
    fn a_key_nobody_knows_is_named_with_its_file() {
        let refused = refusal(&SMALL.replace("latency = \"1ms\"\n", "latency = \"1ms\"\nlatenzy = \"1ms\"\n"));
        assert!(refused.contains("a.toml") && refused.contains("latenzy"), "{refused}");
        let refused = refusal(&format!("{SMALL}\n[[fault]]\nkind = \"lies\"\nhost = \"laptop-1\"\natt = \"1s\"\n"));
        assert!(refused.contains("att"), "{refused}");
    }

    #[test]
    fn what_does_not_fit_together_is_named_by_its_key() {
        assert!(Scenario::parse(SMALL, "a.toml").is_ok());
        let with = |more: &str| refusal(&format!("{SMALL}\n{more}\n"));
        let cases = [
            (refusal(&SMALL.replace("schema = 1", "schema = 2")), "schema"),
            (refusal(&SMALL.replace("count = 2", "count = 0")), "laptops.count"),
            (refusal(&SMALL.replace("64KiB", "1MiB")), "release 1.0: chunk"),
            (refusal(&SMALL.replace("20Mbit", "0Mbit")), "0 is too little"),
            (with("[[fault]]\nkind = \"lies\"\nhost = \"laptop-3\""), "fault.host"),
            (with("[[fault]]\nkind = \"lies\"\nhost = \"teacher\""), "names no host"),
            (with("[[fault]]\nkind = \"dies\"\nhost = \"seed\"\nat = \"2s\"\nreturns = \"1s\""), "fault.returns"),
            (with("[[partition]]\nhosts = [\"seed\"]\nfrom = \"2s\"\nuntil = \"1s\""), "partition.until"),
            (with("[[withdrawal]]\nversion = \"0.9\"\nat = \"5s\""), "withdrawal.version"),
            (with("[[assignment]]\nversion = \"0.9\"\nat = \"5s\""), "assignment.version"),
            (with("[[rotation]]\nkeys = []\nat = \"5s\""), "rotation.keys"),
            (refusal(&SMALL.replace("schema = 1", "schema = 1\nsigners = 0")), "signers"),
            (with("[[release]]\nversion = \"2.0\"\nat = \"2h\"\nchunks = 1\nchunk = \"1KiB\""), "before `until`"),
            (
                with("[[release]]\nversion = \"2.0\"\nat = \"5s\"\nchunks = 1700001\nchunk = \"1KiB\""),
                "at most 1700000",
            ),
            (with("[[release]]\nversion = \"0.9\"\nat = \"5s\"\nchunks = 1\nchunk = \"1KiB\""), "release 0.9: at"),
            (with("[[release]]\nversion = \"2.0\"\nat = \"5s\"\nchunks = 1\nchunk = \"1KiB\"\nfiles = 2"), "files"),
        ];
        for (refused, key) in cases {
            assert!(refused.contains(key), "{refused}");
        }
    }
}
