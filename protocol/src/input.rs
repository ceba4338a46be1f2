//! Everything that can happen to a node, as plain data.

use crate::bitmap::Bitmap;
use crate::content::manifest::VerifiedManifest;
use crate::content::release::Release;
use crate::id::{ManifestId, PeerId, Signer};
use crate::mesh::Traffic;
use crate::message::Message;
use crate::output::Document;
use crate::time::UnixTime;
use crate::trust;
use std::sync::Arc;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection to a peer stands, and nothing was said on it yet.
    PeerConnected(PeerId),
    /// The connection is gone.
    PeerDisconnected(PeerId),
    /// A peer spoke.
    Message {
        /// Who.
        from: PeerId,
        /// What; shared, because a simulator tells one message to many hosts.
        message: Arc<Message>,
    },
    /// A peer sent something that is no message.
    BadFrame {
        /// Who.
        from: PeerId,
        /// What is wrong with it.
        why: String,
    },
    /// A signer's static repository may hold something new.
    OriginChanged(Signer),
    /// The static repository's answer to `ReadMetadata`; nothing if it has no such file.
    OriginMetadata {
        /// Whose repository.
        signer: Signer,
        /// Which role's.
        role: trust::Role,
        /// Its exact bytes.
        bytes: Option<Vec<u8>>,
    },
    /// The answer to `ReadDocument`: what the driver holds already, checked; nothing if it does not.
    DocumentRead(Document, Option<VerifiedDocument>),
    /// The answer to `VerifyDocument`.
    DocumentVerified(Document, Result<VerifiedDocument, DocumentFault>),
    /// The answer to `Prepare`: there is a place for the release, and this much of it is there already.
    Prepared {
        /// Which release.
        release: ManifestId,
        /// Chunks in place and durable.
        held: Bitmap,
        /// Whether the release is laid out whole, so that nothing is left to apply.
        applied: bool,
    },
    /// The release cannot be kept here for now; nothing was written.
    PrepareFailed {
        /// Which release.
        release: ManifestId,
        /// What the person can do, in a sentence.
        why: String,
    },
    /// A chunk arrived, was checked and, if right, stored.
    ChunkArrived {
        /// From whom.
        from: PeerId,
        /// Of which release.
        release: ManifestId,
        /// Its index in the chunk list.
        index: u32,
        /// Bytes that crossed the wire.
        wire_bytes: u64,
        /// What the check and the disk said.
        verdict: Verdict,
    },
    /// Stored chunks will survive a power cut from now on.
    Durable {
        /// Of which release.
        release: ManifestId,
        /// Their indexes.
        indexes: Vec<u32>,
    },
    /// A granted upload has ended.
    Uploaded {
        /// To whom.
        to: PeerId,
        /// Of which release.
        release: ManifestId,
        /// The chunk's index.
        index: u32,
        /// How it ended.
        outcome: UploadOutcome,
    },
    /// The release is laid out, durable, and switched to.
    Applied(ManifestId),
    /// Applying failed; what was applied before still is.
    ApplyFailed {
        /// Which release.
        release: ManifestId,
        /// Why.
        fault: ApplyFault,
    },
    /// A person wants the fetched release applied, though this node does not do so by itself.
    ApplyRequested,
    /// What the host's link carried since this was last said.
    Traffic(Traffic),
    /// Quiet hours begin, or end.
    Quiet(bool),
    /// What the wall clock says.
    WallClock(UnixTime),
    /// The moment that `next_wakeup` named has come.
    Wakeup,
}

impl Input {
    /// Whether it says nothing but which chunks are where, or wanted, or that time has passed.
    pub fn moves_only_chunks(&self) -> bool {
        match self {
            Input::Message { message, .. } => matches!(
                **message,
                Message::Gained(_) | Message::Want(_) | Message::Credit(_) | Message::Cancel(_) | Message::Refuse(_)
            ),
            Input::ChunkArrived { .. } | Input::Durable { .. } | Input::Uploaded { .. } | Input::Wakeup => true,
            _ => false,
        }
    }
}

/// A document that matches the name it was asked by, and is lawful.
#[derive(Clone, Debug)]
pub enum VerifiedDocument {
    /// A manifest.
    Manifest(Arc<VerifiedManifest>),
    /// A manifest together with its chunk list.
    Release(Arc<Release>),
}

/// Why bytes are not the document that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentFault {
    /// They do not hash to its name: whoever sent them is to blame.
    WrongBytes,
    /// What they are compressed against is not here any more, so nothing can be told of them.
    NoBase,
    /// They do, and the document is unlawful though signed: the publisher is to blame.
    Unlawful(String),
}

/// What became of a chunk that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right, and written; durable only once `Durable` says so.
    Stored,
    /// Not the bytes that its name asks for.
    WrongBytes,
    /// The node did not expect it, so nothing was checked or written.
    Unwanted,
}

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadOutcome {
    /// It left.
    Sent {
        /// Bytes that crossed the wire.
        wire_bytes: u64,
    },
    /// The connection went first.
    Lost,
    /// The bytes on disk are no longer the chunk's.
    Spoilt,
}

/// Why a release could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyFault {
    /// These staged chunks are no longer what was stored; fetched again, applying can go on.
    Damaged(Vec<u32>),
    /// Something that a person must mend, in a sentence.
    Failed(String),
}
