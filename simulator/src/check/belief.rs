//! What must hold of the metadata that hosts believe, whatever adversaries tell them.

use super::{Check, Rule};
use crate::scenario::{HostId, KeyRole};
use crate::workload::{Deeds, channel};
use protocol::id::ManifestId;
use protocol::time::{Span, Time};
use protocol::trust::metadata::TargetFile;
use protocol::trust::{Head, Role, TrustedSet};
use std::collections::BTreeMap;

/// Evidence reaches everybody within this: a round of gossip, and a silence that has to be noticed.
const SHOWN_WITHIN: Span = Span::from_secs(60);

/// The versions that a host believed last, across its restarts. None may be followed by a lower one, or by none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Believed {
    root: u64,
    timestamp: Option<u64>,
    snapshot: Option<u64>,
    targets: Option<u64>,
    channel: Option<u64>,
}

impl Believed {
    /// What is believed now.
    fn of(trust: &TrustedSet) -> Self {
        let version = |role: &Role| trust.metadata(role, None).map(|(version, _)| version);
        // A file for which nobody vouches is passed on, and not believed.
        let complete = trust.complete().filter(|complete| !complete.is_disowned(&channel()));
        Self {
            root: trust.root().version,
            timestamp: trust.timestamp_version(),
            snapshot: version(&Role::Snapshot),
            targets: version(&Role::Targets),
            channel: complete.and_then(|complete| complete.role(&channel())).map(|file| file.version),
        }
    }

    /// Whether the versions that cost little to know are others than before.
    pub fn has_moved(&self, trust: &TrustedSet) -> bool {
        (self.root, self.timestamp) != (trust.root().version, trust.timestamp_version())
    }

    /// What of it still binds a host that knows the root `newer`.
    fn after_root(self, newer: u64, deeds: &Deeds) -> Self {
        let revoked = |role| deeds.revoked(role, self.root, newer);
        if revoked(KeyRole::Timestamp) || revoked(KeyRole::Snapshot) {
            return Self { root: self.root, ..Self::default() };
        }
        self
    }

    /// What binds a host that believes `now`. A file whose signers lost their right is dropped before the next one is
    /// here, and what it said still binds.
    fn raised_to(self, now: Self) -> Self {
        Self { targets: now.targets.or(self.targets), channel: now.channel.or(self.channel), ..now }
    }

    fn each(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("root", Some(self.root)),
            ("timestamp", self.timestamp),
            ("snapshot", self.snapshot),
            ("targets", self.targets),
            ("channel", self.channel),
        ]
    }
}

impl Check {
    /// A host believes something new, or says so: no version may have gone back from what it `believed`, and every target
    /// must be one that the publisher lists. What it believes now takes its place.
    pub fn believed(&mut self, at: Time, host: HostId, believed: &mut Believed, trust: &TrustedSet, deeds: &Deeds) {
        let now = Believed::of(trust);
        let before = believed.after_root(now.root, deeds);
        let after = before.raised_to(now);
        for ((file, before), (_, now)) in before.each().into_iter().zip(after.each()) {
            if now < before {
                self.violated(Rule::Kept, at, host, format!("{file} went back from version {before:?} to {now:?}"));
            }
        }
        *believed = after;
        let unlisted = trust.targets().find(|(path, target)| {
            let listed = listing(trust, deeds).and_then(|files| files.get(*path));
            !listed.is_some_and(|file| file.length == target.length && named(file) == Some(target.sha256))
        });
        if let Some((path, _)) = unlisted {
            self.violated(Rule::Listed, at, host, format!("believes in {path}, which the publisher does not list"));
        }
    }

    /// A host takes a release, because it is complete or because it is to be applied: the metadata that it believes
    /// then must list it, and be the publisher's.
    pub fn taken(&mut self, at: Time, host: HostId, release: ManifestId, trust: &TrustedSet, deeds: &Deeds) {
        let lists = |files: &BTreeMap<String, TargetFile>| files.values().any(|file| named(file) == Some(release.0));
        let believed = trust.targets().any(|(_, target)| target.sha256 == release.0);
        if !believed || !listing(trust, deeds).is_some_and(lists) {
            self.violated(Rule::Listed, at, host, format!("takes {release:?}, which is not listed"));
        }
    }

    /// Whoever has stolen keys signed timestamps of these versions.
    pub fn thief_signed(&mut self, versions: Vec<u64>) {
        self.stolen.extend(versions);
    }

    /// A host says that the publisher's keys signed two timestamps of one version.
    pub fn accused(&mut self, at: Time, host: HostId, version: u64) {
        if !self.stolen.contains(&version) {
            self.violated(Rule::Accused, at, host, format!("accuses the publisher of a second timestamp {version}"));
        }
        self.accused.entry(version).or_insert(at);
    }

    /// Whether so much time has passed since somebody knew of an equivocation that everybody should.
    pub fn is_known_long(&self, version: u64, now: Time) -> bool {
        self.accused.get(&version).is_some_and(|at| now.since(*at) > SHOWN_WITHIN)
    }

    /// At the end every honest host that lives believes the newest metadata.
    pub fn current(&mut self, at: Time, host: HostId, head: Option<Head>, newest: Option<Head>) {
        if head != newest {
            self.violated(Rule::Current, at, host, format!("believes {head:?}, and the newest is {newest:?}"));
        }
    }

    /// At the end one host knows of an equivocation that keeps releases from being applied: so must all.
    pub fn shown(&mut self, at: Time, host: HostId, known: Option<u64>, version: u64) {
        if known != Some(version) {
            self.violated(Rule::Shown, at, host, format!("does not know that there are two timestamps {version}"));
        }
    }
}

/// What the publisher lists by the files that a host believes.
fn listing<'a>(trust: &TrustedSet, deeds: &'a Deeds) -> Option<&'a BTreeMap<String, TargetFile>> {
    let complete = trust.complete()?;
    let version = |role: &Role| complete.role(role).map(|file| file.version);
    deeds.vouched(trust.root().version, version(&Role::Targets)?, version(&channel())?)
}

fn named(file: &TargetFile) -> Option<[u8; 32]> {
    file.hashes.get("sha256")?.parse().ok().map(|ManifestId(bytes)| bytes)
}
