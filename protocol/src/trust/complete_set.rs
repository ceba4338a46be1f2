//! A complete set: one timestamp, the snapshot it names, and every targets file that belongs to that.
//! Only a complete set says which targets there are.

use super::date::Date;
use super::envelope::Signed;
use super::held::Held;
use super::metadata::{Root, Snapshot, Targets, Timestamp};
use super::role::Role;
use super::search::{Edge, Found, search};
use crate::time::UnixTime;
use std::collections::{BTreeMap, BTreeSet};

/// Metadata that belongs together, all of it here and believed.
#[derive(Clone, Debug, PartialEq)]
pub struct CompleteSet {
    pub(super) timestamp: Held<Timestamp>,
    pub(super) snapshot: Held<Snapshot>,
    pub(super) roles: BTreeMap<Role, Held<Targets>>,
    /// Ascending by path.
    targets: Vec<(String, Target)>,
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
    Fresh,
    /// Newer files should be there by now, or the clock runs ahead.
    Stale {
        /// The role whose file expired first.
        role: Role,
        /// For how many seconds.
        expired_s: u64,
    },
    /// The clock shows a time before the set was signed, so it is wrong; it has not been shown that
    /// anything expired.
    TimeUnverified {
        /// By how many seconds the clock is behind at least.
        behind_s: u64,
    },
}

impl CompleteSet {
    pub(super) fn new(
        timestamp: Held<Timestamp>,
        snapshot: Held<Snapshot>,
        roles: BTreeMap<Role, Held<Targets>>,
    ) -> Self {
        let targets = found_targets(&roles);
        CompleteSet { timestamp, snapshot, roles, targets }
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
        self.roles.get(role).map(|held| &held.signed)
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
        let signed_at = self.timestamp.signed.body.signed_at.map_or(now, Date::unix_time);
        // No clock that shows less than the moment of signing is right, so take that moment then.
        let expired_s = u64::try_from(now.max(signed_at).0.saturating_sub(first.unix_time().0)).ok();
        let behind_s = u64::try_from(signed_at.0.saturating_sub(now.0)).unwrap_or(0);
        match expired_s {
            // A file that expires this very second has expired.
            Some(expired_s) => Freshness::Stale { role, expired_s },
            None if behind_s > 0 => Freshness::TimeUnverified { behind_s },
            None => Freshness::Fresh,
        }
    }
}

/// The targets of all roles, each where the search for its path ends.
fn found_targets<'a>(roles: &'a BTreeMap<Role, Held<Targets>>) -> Vec<(String, Target)> {
    // Few delegations lead to many paths, and to check a signature takes long.
    let mut vouched: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let paths: BTreeSet<&String> = roles.values().flat_map(|held| held.signed.body.targets.keys()).collect();
    let found = paths.into_iter().filter_map(|path| {
        let top = &roles.get(&Role::Targets)?.signed.body;
        let open = |edge: Edge<'a>| {
            let held = roles.get(&edge.role()).ok_or(())?;
            let vouched = vouched.entry((edge.delegator, &edge.delegation.name));
            vouched.or_insert_with(|| edge.vouches_for(held)).then_some(&held.signed.body).ok_or(())
        };
        let Found::File(file) = search(top, path, open) else { return None };
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
        assert_eq!(at(0), Freshness::Fresh);
        assert_eq!(at(expiry - 1), Freshness::Fresh);
        assert_eq!(at(expiry), Freshness::Stale { role: Role::Timestamp, expired_s: 0 });
        assert_eq!(at(2 * expiry), Freshness::Stale { role: Role::Timestamp, expired_s: 90 * 86_400 });
        assert_eq!(at(-1), Freshness::TimeUnverified { behind_s: 1 });
        assert!(matches!(set.freshness(UnixTime(i64::MAX)), Freshness::Stale { .. }));
        assert!(matches!(set.freshness(UnixTime(i64::MIN)), Freshness::TimeUnverified { .. }));
        let incomplete = TrustedSet::pin(&Sample::release(1).file(&Role::Root)).unwrap();
        assert_eq!(incomplete.freshness(SIGNED_AT), Freshness::Incomplete);
    }

    #[test]
    fn clock_says_1970() {
        let set = Sample::release(1).trusted();
        let behind_s = u64::try_from(SIGNED_AT.0).unwrap();
        assert_eq!(set.freshness(UnixTime(0)), Freshness::TimeUnverified { behind_s });
    }

    #[test]
    fn clock_says_1970_and_the_set_was_stale_when_it_was_signed() {
        let repository = Sample::release(1);
        let root = Signed::new(1, Date::new(UnixTime(SIGNED_AT.0 - 60)), repository.root_body());
        let mut set = TrustedSet::pin(&sign(&root, &[&super::super::sample::secret_key(1)])).unwrap();
        repository.offer_all(&mut set);
        assert_eq!(set.freshness(UnixTime(0)), Freshness::Stale { role: Role::Root, expired_s: 60 });
    }
}
