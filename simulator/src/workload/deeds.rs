//! What a publisher did, as the publisher itself remembers it: the truth that what hosts believe is compared with. It
//! is written down beside the signing, and reads no metadata.

use super::Keys;
use crate::scenario::KeyRole;
use protocol::trust::metadata::TargetFile;
use protocol::trust::sign::SecretKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that a publisher did, by version of the file that says it; versions count from 1.
pub struct Deeds {
    roots: Vec<RootDeed>,
    delegations: Vec<Delegation>,
    listings: Vec<Listing>,
}

/// Ids of the keys that a role has at a time.
type KeyIds = Vec<String>;

struct RootDeed {
    targets_keys: KeyIds,
    revokes: Vec<KeyRole>,
}

struct Delegation {
    signed_by: KeyIds,
    channel_keys: KeyIds,
}

struct Listing {
    signed_by: KeyIds,
    files: BTreeMap<String, TargetFile>,
}

impl Deeds {
    pub(super) fn of_first_root(keys: &Keys) -> Self {
        let root = RootDeed { targets_keys: ids(&keys.targets), revokes: Vec::new() };
        Self { roots: vec![root], delegations: Vec::new(), listings: Vec::new() }
    }

    pub(super) fn rotated(&mut self, revokes: &[KeyRole], keys: &Keys) {
        self.roots.push(RootDeed { targets_keys: ids(&keys.targets), revokes: revokes.to_vec() });
    }

    pub(super) fn delegated(&mut self, keys: &Keys) {
        let delegation = Delegation { signed_by: ids(&keys.targets), channel_keys: ids(&keys.channel) };
        self.delegations.push(delegation);
    }

    pub(super) fn listed(&mut self, files: &BTreeMap<String, TargetFile>, keys: &Keys) {
        self.listings.push(Listing { signed_by: ids(&keys.channel), files: files.clone() });
    }

    /// The releases that the publisher lists by files of these versions: nothing if it never signed them, or if they
    /// were signed by keys that have no right to it beside each other.
    pub fn vouched(&self, root: u64, targets: u64, channel: u64) -> Option<&BTreeMap<String, TargetFile>> {
        let root = at(&self.roots, root)?;
        let delegation = at(&self.delegations, targets)?;
        let listing = at(&self.listings, channel)?;
        let lawful = root.targets_keys == delegation.signed_by && delegation.channel_keys == listing.signed_by;
        lawful.then_some(&listing.files)
    }

    /// Whether a root after version `known` and up to version `newer` revokes the keys of a role.
    pub fn revoked(&self, role: KeyRole, known: u64, newer: u64) -> bool {
        (known.saturating_add(1)..=newer.min(self.roots.len() as u64))
            .any(|version| at(&self.roots, version).is_some_and(|root| root.revokes.contains(&role)))
    }
}

fn at<T>(deeds: &[T], version: u64) -> Option<&T> {
    deeds.get(usize::try_from(version.checked_sub(1)?).ok()?)
}

fn ids(keys: &[Arc<SecretKey>]) -> KeyIds {
    keys.iter().map(|key| key.public().id()).collect()
}
