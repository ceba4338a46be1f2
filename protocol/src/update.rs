//! The life of one release on one node: heard of, its documents fetched, a place prepared, its chunks
//! fetched, complete, applied. One noun says where it stands and what may come next.

use crate::content::manifest::VerifiedManifest;
use crate::content::name::TargetPath;
use crate::content::release::Release;
use crate::content::version::Version;
use crate::fetch::Fetch;
use crate::id::{DocumentId, ManifestId, PeerId};
use crate::limits::RELEASES_CARRIED_MAX;
use crate::output::Document;
use crate::policy::{Custom, Policy};
use crate::time::{Span, Time};
use crate::trust::TrustedSet;
use std::sync::Arc;

/// A release that could not be prepared or applied is tried again after this long: the person may
/// have made room.
const RETRY: Span = Span::from_secs(30);

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

/// Where an update stands.
#[derive(Debug)]
pub enum Stage {
    /// The driver looks whether it has the document already.
    Reading,
    /// A document is fetched from peers.
    Fetching(Fetch),
    /// A fetched document is being checked.
    Verifying(Fetch),
    /// The driver makes a place for the release.
    Preparing,
    /// Chunks are being fetched.
    Filling,
    /// Every chunk is here.
    Complete,
    /// The driver lays the release out.
    Applying,
    /// Laid out; a seed's release is so from the start.
    Applied,
    /// Waits for a person, and is tried again at this time.
    Blocked {
        /// What would help, in a sentence.
        why: String,
        /// When it is tried again, from preparing on; never if only a newer release can help.
        retry_at: Option<Time>,
    },
}

/// One release on its way to being applied.
#[derive(Debug)]
pub struct Update {
    /// What the metadata says of it.
    pub listed: Listed,
    /// Where it stands.
    pub stage: Stage,
    /// Its manifest, once known.
    pub manifest: Option<Arc<VerifiedManifest>>,
    /// The whole release, once known.
    pub release: Option<Arc<Release>>,
    /// The documents of the release before, against which new ones may be compressed.
    base: Option<(DocumentId, DocumentId)>,
    /// Who gave the document before, and so answers.
    pub giver: Option<PeerId>,
}

impl Update {
    /// An update to `listed`, from `before` if there was one.
    pub fn new(listed: Listed, before: Option<&Update>) -> Self {
        let base = before.and_then(|before| match &before.manifest {
            Some(manifest) => {
                let chunk_list = DocumentId::ChunkList(manifest.chunk_list.id);
                Some((DocumentId::Manifest(before.listed.manifest), chunk_list))
            }
            None => before.base,
        });
        Self { listed, stage: Stage::Reading, manifest: None, release: None, base, giver: None }
    }

    /// The document that is wanted next.
    pub fn document(&self) -> Document {
        match &self.manifest {
            None => Document::Manifest(self.listed.clone()),
            Some(manifest) => Document::ChunkList(manifest.clone()),
        }
    }

    /// The driver does not have the document: it comes from peers.
    pub fn fetch_document(&mut self) {
        let base = self.base.map(|(manifest, chunk_list)| match self.manifest {
            None => manifest,
            Some(_) => chunk_list,
        });
        self.stage = Stage::Fetching(Fetch::new(self.document(), base));
    }

    /// The documents of the release before are gone: this one comes from peers as it is.
    pub fn fetch_document_whole(&mut self) {
        self.base = None;
        self.fetch_document();
    }

    /// A person must help, or time must pass.
    pub fn block(&mut self, why: String, now: Time) {
        self.stage = Stage::Blocked { why, retry_at: Some(now + RETRY) };
    }

    /// Only a newer release can help.
    pub fn refuse(&mut self, why: String) {
        self.stage = Stage::Blocked { why, retry_at: None };
    }

    /// The next moment at which something is due though nothing happened.
    pub fn wakeup(&self) -> Option<Time> {
        match &self.stage {
            Stage::Fetching(fetch) => fetch.wakeup(),
            Stage::Blocked { retry_at, .. } => *retry_at,
            _ => None,
        }
    }

    /// One word for people and scripts.
    pub fn stage_name(&self) -> &'static str {
        match self.stage {
            Stage::Reading | Stage::Fetching(_) | Stage::Verifying(_) => "heard",
            Stage::Preparing => "preparing",
            Stage::Filling => "fetching",
            Stage::Complete => "complete",
            Stage::Applying => "applying",
            Stage::Applied => "applied",
            Stage::Blocked { .. } => "blocked",
        }
    }
}

#[cfg(test)]
mod tests;
