//! A release as a publisher lists it, and which of them a node should have: a device one, a seed what any device may take.

use crate::content::manifest::VerifiedManifest;
use crate::content::name::TargetPath;
use crate::content::version::Version;
use crate::id::ManifestId;
use crate::limits::RELEASES_CARRIED_MAX;
use crate::policy::{Custom, Policy};
use crate::trust::TrustedSet;

/// A release as the trusted metadata lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its channel, name and version.
    pub path: TargetPath,
    /// Its manifest.
    pub manifest: ManifestId,
    /// The manifest's length in bytes.
    pub manifest_bytes: u64,
    /// What else the publisher says of it.
    pub custom: Custom,
}

impl Listed {
    /// Every release that the trusted metadata lists, ascending by channel. Targets that are no manifests are lawful, and
    /// none of ours; of which something malformed is said, nobody's.
    pub fn all(trust: &TrustedSet) -> impl Iterator<Item = Listed> {
        trust.targets().filter_map(|(path, target)| {
            let custom = Custom::read(target.custom.as_ref()).ok()?;
            let (manifest, manifest_bytes) = (ManifestId(target.sha256), target.length);
            Some(Listed { path: path.parse().ok()?, manifest, manifest_bytes, custom })
        })
    }

    /// The release that a device takes next, which has applied the version `applied` or nothing yet: the highest version
    /// of all that its policy lets it take and whose release counter is not below `floor`. It goes forward only, and no
    /// further than the next waypoint.
    pub fn newest(trust: &TrustedSet, policy: &Policy, applied: Option<&Version>, floor: u64) -> Option<Listed> {
        let ahead = |listed: &Listed| {
            applied.is_none_or(|applied| listed.path.version >= *applied) && listed.custom.release_counter >= floor
        };
        let candidates: Vec<Listed> = Listed::all(trust).filter(|listed| policy.takes(listed)).filter(ahead).collect();
        let is_waypoint =
            |listed: &&Listed| listed.custom.required && applied.is_some_and(|applied| listed.path.version > *applied);
        // Of two releases with one version the first is taken.
        let waypoint = candidates.iter().filter(is_waypoint).min_by_key(|listed| &listed.path.version);
        waypoint.or(candidates.iter().rev().max_by_key(|listed| &listed.path.version)).cloned()
    }

    /// The releases that a seed carries, the highest versions first: of each channel every waypoint, and what no higher
    /// release takes the place of for every device that may take it.
    pub fn carried(trust: &TrustedSet) -> Vec<Listed> {
        let mut releases: Vec<Listed> = Listed::all(trust).collect();
        releases.sort_by(|a, b| b.path.version.cmp(&a.path.version));
        let mut carried: Vec<Listed> = Vec::new();
        for listed in releases {
            let mut channel = carried.iter().filter(|higher| higher.path.channel == listed.path.channel);
            let is_full = channel.clone().count() == RELEASES_CARRIED_MAX;
            if !is_full && (listed.custom.required || !channel.any(|higher| higher.replaces(&listed))) {
                carried.push(listed);
            }
        }
        carried
    }

    /// Whether every device that may take `lower` may take this instead.
    fn replaces(&self, lower: &Listed) -> bool {
        self.path.version.maturity() >= lower.path.version.maturity()
            && self.custom.release_counter >= lower.custom.release_counter
            && self.custom.is_for_all_of(&lower.custom)
    }

    /// Whether a manifest says the same of itself as the metadata says of it.
    pub fn is_of(&self, manifest: &VerifiedManifest) -> bool {
        manifest.channel == self.path.channel.as_str() && manifest.version == self.path.version.to_string()
    }
}

#[cfg(test)]
mod tests;
