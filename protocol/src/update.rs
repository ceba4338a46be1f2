//! The life of one release on one node: heard of, its documents fetched, a place prepared, its chunks
//! fetched, complete, applied. One noun says where it stands and what may come next.

use crate::content::manifest::VerifiedManifest;
use crate::content::release::Release;
use crate::fetch::Fetch;
use crate::id::{DocumentId, PeerId};
use crate::listed::Listed;
use crate::output::Document;
use crate::time::{Span, Time};
use std::sync::Arc;

/// A release that could not be prepared or applied is tried again after this long: the person may
/// have made room.
const RETRY: Span = Span::from_secs(30);

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
