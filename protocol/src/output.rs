//! Everything a node can ask of its driver, as plain data.

use crate::content::manifest::VerifiedManifest;
use crate::content::release::Release;
use crate::id::{DocumentId, ManifestId, PeerId, Signer};
use crate::listed::Listed;
use crate::message::Message;
use crate::trust;
use crate::trust::stated_time::Nonce;
use std::sync::Arc;

/// Please do this.
#[derive(Clone, Debug)]
pub enum Output {
    /// Say something to a peer.
    Send {
        /// To whom.
        to: PeerId,
        /// What.
        message: Message,
    },
    /// Say the same to several peers.
    SendAll {
        /// To whom.
        to: Vec<PeerId>,
        /// What.
        message: Message,
    },
    /// Read a chunk, check it, and send it; then report `Uploaded`.
    Upload {
        /// To whom.
        to: PeerId,
        /// Of which release.
        release: ManifestId,
        /// The chunk's index in its list.
        index: u32,
    },
    /// Send a slice of a document that this node holds, or say that it does not.
    SendDocument {
        /// To whom.
        to: PeerId,
        /// What was asked for.
        want: crate::message::WantDocument,
    },
    /// Close the connection.
    Disconnect(PeerId),
    /// Close the connection and refuse this peer from now on.
    Ban(PeerId),
    /// Read a metadata file of the static repository; answer with `OriginMetadata`.
    ReadMetadata {
        /// Whose repository.
        signer: Signer,
        /// Which role's.
        role: trust::Role,
        /// Which version; the newest if none is named.
        version: Option<u64>,
    },
    /// State the time to a peer, signed for the school with this number; whoever cannot says nothing.
    StateTime {
        /// To whom.
        to: PeerId,
        /// The peer's number.
        nonce: Nonce,
    },
    /// Read and check a document that may be here already; answer with `DocumentRead`.
    ReadDocument(Document),
    /// Decode and check a document that arrived, and keep it if it is right; answer with
    /// `DocumentVerified`.
    VerifyDocument {
        /// What it should be.
        document: Document,
        /// What the bytes are compressed against, if against anything.
        base: Option<DocumentId>,
        /// The encoded bytes.
        bytes: Arc<[u8]>,
    },
    /// Save these files of a chain, in place of all of it that were saved before, in one transaction.
    SaveTrust {
        /// Whose.
        signer: Signer,
        /// By name.
        files: Vec<(String, Arc<[u8]>)>,
    },
    /// Remember, so that neither a power cut nor an old copy of what is saved undoes it, that this device does not go
    /// below this `release_counter`.
    RaiseFloor(u64),
    /// Make a place for a release, with all of it that can be had from what lies here; answer with
    /// `Prepared` or `PrepareFailed`.
    Prepare(Arc<Release>),
    /// Lay out the release whole and switch to it; answer with `Applied` or `ApplyFailed`.
    Apply(ManifestId),
    /// Nothing of this release is needed or served any more.
    Forget(ManifestId),
    /// Something that a person may want to know.
    Event(Event),
}

/// A document by what is known of it before it is there.
#[derive(Clone, Debug)]
pub enum Document {
    /// A manifest, as the trusted metadata lists it.
    Manifest(Listed),
    /// The chunk list that this manifest names.
    ChunkList(Arc<VerifiedManifest>),
}

/// Something that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A newer release is known.
    Heard {
        /// The channel.
        channel: String,
        /// The version.
        version: String,
        /// The release.
        release: ManifestId,
    },
    /// Every chunk of the release is here and durable.
    Complete(ManifestId),
    /// The release is applied.
    Applied(ManifestId),
    /// A signer's keys signed two timestamps of one version.
    Equivocation {
        /// Whose.
        signer: Signer,
        /// The version.
        version: u64,
    },
    /// The publisher took the release back before it was applied here; it is given up.
    Withdrawn(ManifestId),
    /// The release is not for this node any more: its school, or its publisher, says so.
    GivenUp(ManifestId),
    /// The release waits for something that a person can do.
    Blocked {
        /// The release.
        release: ManifestId,
        /// What, in a sentence.
        why: String,
    },
    /// A peer was banned.
    Banned {
        /// Who.
        peer: PeerId,
        /// What it did.
        why: String,
    },
    /// A peer brought newer metadata of this node's school than its own static repository has.
    SchoolBehind {
        /// Version of the timestamp that the peer brought.
        version: u64,
    },
    /// A source gave metadata that was refused.
    MetadataRefused {
        /// Whose it should be.
        signer: Signer,
        /// Who; nothing for the static repository.
        peer: Option<PeerId>,
        /// Why.
        why: String,
    },
}

impl Document {
    /// The document's name.
    pub fn id(&self) -> DocumentId {
        match self {
            Document::Manifest(listed) => DocumentId::Manifest(listed.manifest),
            Document::ChunkList(manifest) => DocumentId::ChunkList(manifest.chunk_list.id),
        }
    }

    /// Whether this is the same document of the same release.
    pub fn is(&self, other: &Document) -> bool {
        self.id() == other.id() && self.release() == other.release()
    }

    /// The release it belongs to.
    pub fn release(&self) -> ManifestId {
        match self {
            Document::Manifest(listed) => listed.manifest,
            Document::ChunkList(manifest) => manifest.id(),
        }
    }

    /// The document's plain length in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Document::Manifest(listed) => listed.manifest_bytes,
            Document::ChunkList(manifest) => manifest.chunk_list.bytes,
        }
    }
}
