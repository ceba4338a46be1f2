//! A complete set: one timestamp, the snapshot it names, and every targets file that belongs to that.
//! Only a complete set says which targets there are.

use super::date::Date;
use super::envelope::Signed;
use super::held::Held;
use super::metadata::{Root, Snapshot, Targets, Timestamp};
use super::role::Role;
use super::role_file::RoleFile;
use super::search::{Edge, Found, search};
use super::tree::Tree;
use crate::time::UnixTime;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A clock that shows more than five years after the root expired is wrong: a dead clock's battery comes back with any
/// date.
const CLOCK_AHEAD_MAX_S: i64 = 5 * 365 * 86_400;

/// Metadata that belongs together, all of it here and believed.
#[derive(Clone, Debug, PartialEq)]
pub struct CompleteSet {
    pub(super) timestamp: Held<Timestamp>,
    pub(super) snapshot: Held<Snapshot>,
    /// The targets files that count.
    pub(super) roles: BTreeMap<Role, RoleFile>,
    /// Those that the snapshot names too, and for which nobody vouches. They are here to be handed on.
    pub(super) disowned: BTreeMap<Role, RoleFile>,
    /// Ascending by path.
    targets: Arc<[(String, Target)]>,
}

/// A file that the publisher calls genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// What else the publisher says of it.
    pub custom: Option<serde_json::Value>,
}

/// Whether a trusted set is current. What is stale is as authentic as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// No set is complete.
    Incomplete,
    /// Every file of it may still be the newest.
    Fresh {
        /// So many seconds ago its timestamp was signed, if it says.
        age_s: Option<u64>,
    },
    /// Newer files should be there by now, or the clock runs ahead.
    Stale {
        /// The role whose file expired first.
        role: Role,
        /// For how many seconds.
        expired_s: u64,
        /// So many seconds ago its timestamp was signed, if it says.
        age_s: Option<u64>,
    },
    /// The clock cannot be right; it has not been shown that anything expired.
    TimeUnverified(ClockFault),
}

/// Why a clock cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// It shows a time before the set was signed, by at least so many seconds.
    Behind {
        /// How many.
        seconds: u64,
    },
    /// It shows a time so long after the root expired that nobody would run the same repository.
    FarAhead,
}

impl CompleteSet {
    /// The set of a tree of which nothing is missing, after another.
    pub(super) fn new(
        timestamp: Held<Timestamp>,
        snapshot: Held<Snapshot>,
        tree: &Tree,
        before: Option<&CompleteSet>,
    ) -> Self {
        let [roles, disowned] = [&tree.vouched, &tree.disowned]
            .map(|files| files.iter().map(|(role, file)| (role.clone(), (*file).clone())).collect());
        let targets = match before {
            // Signed anew, as once a day, without another word.
            Some(before) if before.roles == roles => before.targets.clone(),
            _ => found_targets(&roles),
        };
        CompleteSet { timestamp, snapshot, roles, disowned, targets }
    }

    /// Its timestamp.
    pub fn timestamp(&self) -> &Signed<Timestamp> {
        &self.timestamp.signed
    }

    /// Its snapshot.
    pub fn snapshot(&self) -> &Signed<Snapshot> {
        &self.snapshot.signed
    }

    /// One of its targets files.
    pub fn role(&self, role: &Role) -> Option<&Signed<Targets>> {
        self.roles.get(role).map(|file| &file.signed)
    }

    /// The same to hand on, though nobody vouches for it.
    pub(super) fn file(&self, role: &Role) -> Option<&Held<Targets>> {
        self.roles.get(role).or_else(|| self.disowned.get(role)).map(|file| &**file)
    }

    /// Whether a role's file belongs to it, and nobody who delegates to the role vouches for it.
    pub fn is_disowned(&self, role: &Role) -> bool {
        self.disowned.contains_key(role)
    }

    /// Every target that a role with the right to name it names, ascending by path.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.targets.iter().map(|(path, target)| (path.as_str(), target))
    }

    pub(super) fn is_authorised(&self, root: &Held<Root>) -> bool {
        self.timestamp.is_authorised(&Role::Timestamp, root)
            && self.snapshot.is_authorised(&Role::Snapshot, root)
            && self.roles.get(&Role::Targets).is_some_and(|held| held.is_authorised(&Role::Targets, root))
    }

    pub(super) fn freshness(&self, root_expires: Date, now: UnixTime) -> Freshness {
        let roles = self.roles.iter().map(|(role, held)| (held.signed.expires, role.clone()));
        let (first, role) = roles
            .chain([
                (root_expires, Role::Root),
                (self.timestamp.signed.expires, Role::Timestamp),
                (self.snapshot.signed.expires, Role::Snapshot),
            ])
            .min()
            .expect("there are at least three");
        let signed_at = self.timestamp.signed.body.signed_at.map(Date::unix_time);
        let seconds = |from: UnixTime, to: UnixTime| u64::try_from(to.0.saturating_sub(from.0)).ok();
        let fault = match signed_at.and_then(|signed_at| seconds(now, signed_at)) {
            Some(behind) if behind > 0 => Some(ClockFault::Behind { seconds: behind }),
            _ if now.0.saturating_sub(root_expires.unix_time().0) > CLOCK_AHEAD_MAX_S => Some(ClockFault::FarAhead),
            _ => None,
        };
        // No clock is right that shows less than the moment of signing, so take that moment where the clock is wrong.
        let reference = if fault.is_some() { signed_at.unwrap_or(now) } else { now };
        let age_s = signed_at.and_then(|signed_at| seconds(signed_at, reference));
        match (seconds(first.unix_time(), reference), fault) {
            // A file that expires this very second has expired.
            (Some(expired_s), _) => Freshness::Stale { role, expired_s, age_s },
            (None, Some(fault)) => Freshness::TimeUnverified(fault),
            (None, None) => Freshness::Fresh { age_s },
        }
    }
}

/// The targets of all roles, each where the search for its path ends.
fn found_targets(roles: &BTreeMap<Role, RoleFile>) -> Arc<[(String, Target)]> {
    let edges = roles.iter().flat_map(|(role, file)| file.signed.body.edges(role.name()));
    // Few delegations lead to many paths.
    let vouched: BTreeMap<(&str, &str), &Targets> = edges
        .filter_map(|edge| {
            let file = roles.get(&edge.role()).filter(|file| file.is_vouched_for(&[edge.warrant()]))?;
            Some(((edge.delegator, &*edge.delegation.name), &file.signed.body))
        })
        .collect();
    let open = |edge: Edge<'_>| vouched.get(&(edge.delegator, &*edge.delegation.name)).copied().ok_or(());
    let Some(top) = roles.get(&Role::Targets) else { return Arc::default() };
    // What has no SHA-256 is no target for us, whoever names it.
    let named = roles.values().flat_map(|file| &file.signed.body.targets);
    let paths: BTreeSet<&String> = named.filter(|(_, file)| file.sha256().is_some()).map(|(path, _)| path).collect();
    let found = paths.into_iter().filter_map(|path| {
        let Found::File(file) = search(&top.signed.body, path, open) else { return None };
        let target = Target { length: file.length, sha256: file.sha256()?, custom: file.custom.clone() };
        Some((path.clone(), target))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{SIGNED_AT, Sample};
    use super::super::sign::sign;
    use super::super::trusted_set::TrustedSet;
    use super::*;

    #[test]
    fn the_clock_moves_through_expiry() {
        let set = Sample::release(1).trusted();
        let at = |seconds: i64| set.freshness(UnixTime(SIGNED_AT.0 + seconds));
        let expiry = 90 * 86_400;
        let age = |seconds: i64| u64::try_from(seconds).ok();
        let stale = |expired_s, age_s| Freshness::Stale { role: Role::Timestamp, expired_s, age_s };
        assert_eq!(at(0), Freshness::Fresh { age_s: Some(0) });
        assert_eq!(at(expiry - 1), Freshness::Fresh { age_s: age(expiry - 1) });
        assert_eq!(at(expiry), stale(0, age(expiry)));
        assert_eq!(at(2 * expiry), stale(90 * 86_400, age(2 * expiry)));
        assert_eq!(at(-1), Freshness::TimeUnverified(ClockFault::Behind { seconds: 1 }));
        assert!(matches!(at(i64::MIN / 2), Freshness::TimeUnverified(ClockFault::Behind { .. })));
        // The root of the sample expires after 730 days.
        let believed_until = 730 * 86_400 + CLOCK_AHEAD_MAX_S;
        assert!(matches!(at(believed_until), Freshness::Stale { .. }));
        assert_eq!(at(believed_until + 1), Freshness::TimeUnverified(ClockFault::FarAhead));
        assert_eq!(set.freshness(UnixTime(i64::MAX)), Freshness::TimeUnverified(ClockFault::FarAhead));
        let incomplete = TrustedSet::pin(&Sample::release(1).file(&Role::Root)).unwrap();
        assert_eq!(incomplete.freshness(SIGNED_AT), Freshness::Incomplete);
    }

    #[test]
    fn clock_says_1970() {
        let set = Sample::release(1).trusted();
        let seconds = u64::try_from(SIGNED_AT.0).unwrap();
        assert_eq!(set.freshness(UnixTime(0)), Freshness::TimeUnverified(ClockFault::Behind { seconds }));
    }

    #[test]
    fn clock_says_1970_and_the_set_was_stale_when_it_was_signed() {
        let repository = Sample::release(1);
        let root = Signed::new(1, Date::new(UnixTime(SIGNED_AT.0 - 60)), repository.root_body());
        let mut set = TrustedSet::pin(&sign(&root, &[&super::super::sample::secret_key(1)])).unwrap();
        repository.offer_all(&mut set);
        let stale = Freshness::Stale { role: Role::Root, expired_s: 60, age_s: Some(0) };
        assert_eq!(set.freshness(UnixTime(0)), stale);
    }
}
