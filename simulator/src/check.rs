//! What must hold whatever happens, checked as it happens. A violation is a bug in the protocol or in
//! the simulator, and ends the run.

mod belief;

pub use belief::Believed;

use crate::scenario::HostId;
use protocol::bitmap::Bitmap;
use protocol::id::ChunkId;
use protocol::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A rule of which this module sees to it that nobody breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Only the publisher's bytes are stored as a chunk.
    Stored,
    /// A host announces only what it holds durably.
    Announced,
    /// A host sends only what it holds durably.
    Uploaded,
    /// Only a whole release is applied.
    Applied,
    /// No older release follows a newer one, but where a school says so.
    Forward,
    /// No release is applied that has a lower counter than one that was applied, and that its publisher listed then.
    Floor,
    /// A node that is woken does what is due.
    Woken,
    /// Each byte that is sent has exactly one fate.
    Conserved,
    /// Nothing is faster than its lower bound.
    Bounded,
    /// Whoever is up, and tells no lies, ends with the newest release.
    Alive,
    /// Only what the publisher lists, by keys that may, is believed and taken.
    Listed,
    /// No version of metadata that is believed goes back, but for a root that revokes keys.
    Kept,
    /// Whoever ends with the newest release ends with the newest metadata.
    Current,
    /// Only keys that did contradict themselves are said to.
    Accused,
    /// Evidence that keys contradict themselves reaches everybody.
    Shown,
}

/// Something happened that must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Where.
    pub host: HostId,
    /// Against which rule.
    pub rule: Rule,
    /// What.
    pub what: String,
}

/// Bytes of chunks on the wire: each that was sent has exactly one fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Put on an uplink.
    pub sent_bytes: u64,
    /// Arrived, were right and new.
    pub received_bytes: u64,
    /// Arrived and were of no use.
    pub duplicate_bytes: u64,
    /// Arrived and were wrong.
    pub wrong_bytes: u64,
    /// Went down with a host or a connection.
    pub lost_bytes: u64,
}

/// The violations found so far.
#[derive(Debug, Default)]
pub struct Check {
    violations: Vec<Violation>,
    /// The versions of timestamps that a thief of the publisher's keys signed.
    stolen: BTreeSet<u64>,
    /// When somebody first said of a version that there are two timestamps of it.
    accused: BTreeMap<u64, Time>,
    /// The rule that a test has hosts break on purpose, to see that it is found.
    #[cfg(test)]
    pub broken: Option<Rule>,
}

#[cfg(test)]
impl Rule {
    /// Every rule there is.
    pub const ALL: [Rule; 15] = [
        Rule::Stored,
        Rule::Announced,
        Rule::Uploaded,
        Rule::Applied,
        Rule::Forward,
        Rule::Floor,
        Rule::Woken,
        Rule::Conserved,
        Rule::Bounded,
        Rule::Alive,
        Rule::Listed,
        Rule::Kept,
        Rule::Current,
        Rule::Accused,
        Rule::Shown,
    ];
}

impl Check {
    /// Whether hosts are to break this rule: never outside of tests.
    #[cfg(not(test))]
    pub fn is_broken(&self, _: Rule) -> bool {
        false
    }

    /// Whether hosts are to break this rule.
    #[cfg(test)]
    pub fn is_broken(&self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Ends the check.
    pub fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// A host stored bytes as a chunk: they must be the publisher's.
    pub fn stored(&mut self, at: Time, host: HostId, published: Option<ChunkId>, content: ChunkId) {
        if published != Some(content) {
            self.violated(Rule::Stored, at, host, format!("stored {content:?} in the place of {published:?}"));
        }
    }

    /// A host says that it holds chunks: it must hold them durably, so that no power cut makes it a liar.
    pub fn announced(
        &mut self,
        at: Time,
        host: HostId,
        durable: Option<&Bitmap>,
        mut indexes: impl Iterator<Item = u32>,
    ) {
        if let Some(index) = indexes.find(|index| !durable.is_some_and(|durable| durable.contains(*index))) {
            self.violated(Rule::Announced, at, host, format!("says that it holds chunk {index}, which it does not"));
        }
    }

    /// A host uploads a chunk: it must hold it durably, because it said so.
    pub fn uploaded(&mut self, at: Time, host: HostId, durable: Option<&Bitmap>, index: u32) {
        if !durable.is_some_and(|durable| durable.contains(index)) {
            self.violated(Rule::Uploaded, at, host, format!("uploads chunk {index}, which it does not hold"));
        }
    }

    /// A host applied the release at `position`, after the one at `before`: it must have all of it,
    /// and never go back.
    pub fn applied(&mut self, at: Time, host: HostId, durable: &Bitmap, before: Option<usize>, position: usize) {
        if !durable.is_full() {
            self.violated(Rule::Applied, at, host, format!("applied release {position} with {durable:?} chunks"));
        }
        if before.is_some_and(|before| before > position) {
            self.violated(Rule::Forward, at, host, format!("went back from release {before:?} to {position}"));
        }
    }

    /// A host applied a release with this counter: it must not lie below the floor.
    pub fn above_floor(&mut self, at: Time, host: HostId, floor: u64, release_counter: u64) {
        if release_counter < floor {
            self.violated(
                Rule::Floor,
                at,
                host,
                format!("applied a release of counter {release_counter} below {floor}"),
            );
        }
    }

    /// A host was woken and names the next moment: it must be a later one, or it would spin.
    pub fn woken(&mut self, at: Time, host: HostId, next: Option<Time>) {
        if next.is_some_and(|next| next <= at) {
            self.violated(
                Rule::Woken,
                at,
                host,
                "was woken, and wants to be woken at the same moment again".to_owned(),
            );
        }
    }

    /// What was sent has arrived, was lost, or is on its way.
    pub fn conserved(&mut self, at: Time, ledger: &Ledger, on_the_way_bytes: u64) {
        let fates = ledger.received_bytes + ledger.duplicate_bytes + ledger.wrong_bytes + ledger.lost_bytes;
        if ledger.sent_bytes != fates + on_the_way_bytes {
            self.violated(
                Rule::Conserved,
                at,
                HostId::SEED,
                format!("bytes are not conserved: {ledger:?}, {on_the_way_bytes} on the way"),
            );
        }
    }

    /// Nothing is faster than its lower bound.
    pub fn bounded(&mut self, at: Time, took: Span, bound: Span) {
        if took < bound {
            self.violated(
                Rule::Bounded,
                at,
                HostId::SEED,
                format!("took {} us, less than the bound of {} us", took.0, bound.0),
            );
        }
    }

    /// At the end every honest host that lives has applied the newest release.
    pub fn alive(
        &mut self,
        at: Time,
        host: HostId,
        stage: Option<&str>,
        applied: Option<usize>,
        newest: Option<usize>,
    ) {
        // What was withdrawn after it was applied stays.
        if applied < newest {
            let stage = stage.unwrap_or("has not heard of it");
            self.violated(
                Rule::Alive,
                at,
                host,
                format!("has applied {applied:?} and not release {newest:?}: {stage}"),
            );
        }
    }

    fn violated(&mut self, rule: Rule, at: Time, host: HostId, what: String) {
        self.violations.push(Violation { at, host, rule, what });
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} s, {}: {}", self.at, self.host, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: HostId = HostId(1);

    fn fires(check: impl Fn(&mut Check)) -> bool {
        let mut found = Check::default();
        check(&mut found);
        !found.violations().is_empty()
    }

    #[test]
    fn a_polluted_chunk_that_is_stored_is_found() {
        let (right, wrong) = (ChunkId([1; 32]), ChunkId([2; 32]));
        assert!(!fires(|check| check.stored(Time(0), ANN, Some(right), right)));
        assert!(fires(|check| check.stored(Time(0), ANN, Some(right), wrong)));
        assert!(fires(|check| check.stored(Time(0), ANN, None, wrong)));
    }

    #[test]
    fn a_boast_is_found() {
        let mut held = Bitmap::new(3);
        held.insert(1);
        assert!(!fires(|check| check.announced(Time(0), ANN, Some(&held), [1].into_iter())));
        assert!(!fires(|check| check.announced(Time(0), ANN, None, [].into_iter())));
        assert!(fires(|check| check.announced(Time(0), ANN, Some(&held), [1, 2].into_iter())));
        assert!(fires(|check| check.announced(Time(0), ANN, None, [1].into_iter())));
    }

    #[test]
    fn an_upload_of_what_is_not_held_is_found() {
        let mut held = Bitmap::new(3);
        held.insert(1);
        assert!(!fires(|check| check.uploaded(Time(0), ANN, Some(&held), 1)));
        assert!(fires(|check| check.uploaded(Time(0), ANN, Some(&held), 2)));
        assert!(fires(|check| check.uploaded(Time(0), ANN, None, 1)));
    }

    #[test]
    fn a_torn_or_older_release_that_is_applied_is_found() {
        let full = Bitmap::full(3);
        assert!(!fires(|check| check.applied(Time(0), ANN, &full, Some(0), 1)));
        assert!(!fires(|check| check.applied(Time(0), ANN, &full, Some(1), 1)));
        assert!(fires(|check| check.applied(Time(0), ANN, &Bitmap::new(3), Some(0), 1)));
        assert!(fires(|check| check.applied(Time(0), ANN, &full, Some(1), 0)));
    }

    #[test]
    fn a_release_below_the_floor_that_is_applied_is_found() {
        assert!(!fires(|check| check.above_floor(Time(0), ANN, 2, 2)));
        assert!(fires(|check| check.above_floor(Time(0), ANN, 2, 1)));
    }

    #[test]
    fn a_byte_too_many_or_too_few_is_found() {
        let ledger = Ledger { sent_bytes: 15, received_bytes: 5, duplicate_bytes: 1, wrong_bytes: 2, lost_bytes: 3 };
        assert!(!fires(|check| check.conserved(Time(0), &ledger, 4)));
        assert!(fires(|check| check.conserved(Time(0), &ledger, 3)));
        assert!(fires(|check| check.conserved(Time(0), &ledger, 5)));
    }

    #[test]
    fn a_run_faster_than_light_is_found() {
        assert!(!fires(|check| check.bounded(Time(0), Span(10), Span(10))));
        assert!(fires(|check| check.bounded(Time(0), Span(9), Span(10))));
    }

    #[test]
    fn a_node_that_spins_is_found() {
        assert!(!fires(|check| check.woken(Time(5), ANN, Some(Time(6)))));
        assert!(!fires(|check| check.woken(Time(5), ANN, None)));
        assert!(fires(|check| check.woken(Time(5), ANN, Some(Time(5)))));
    }

    #[test]
    fn a_laptop_that_is_left_behind_is_found() {
        assert!(!fires(|check| check.alive(Time(0), ANN, Some("applied"), Some(1), Some(1))));
        assert!(fires(|check| check.alive(Time(0), ANN, Some("fetching"), Some(0), Some(1))));
        assert!(fires(|check| check.alive(Time(0), ANN, None, None, Some(0))));
    }
}
