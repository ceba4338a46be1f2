//! Names of things: fixed-size, comparable, printable.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Prints and compares 32 bytes as lower-case hexadecimal, and serialises them as one byte string.
macro_rules! digest_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(#[serde(with = "serde_bytes")] pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", &hex::encode(&self.0[..6]))
            }
        }

        impl std::str::FromStr for $name {
            type Err = hex::FromHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
    };
}

digest_name! {
    /// A chunk, named by the BLAKE3 of its plain bytes.
    ChunkId
}

digest_name! {
    /// A repository, named by the SHA-256 of the exact bytes of version 1 of its root metadata.
    RepositoryId
}

digest_name! {
    /// A manifest, named by the SHA-256 that its TUF target entry signs.
    ManifestId
}

digest_name! {
    /// A chunk list, named by the BLAKE3 that its manifest states.
    ChunkListId
}

/// A document that travels whole: small beside the content, verified by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DocumentId {
    /// A manifest.
    Manifest(ManifestId),
    /// The chunk list that a manifest names.
    ChunkList(ChunkListId),
}

/// A chunk's name with its plain length, as a chunk list states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef {
    /// The chunk.
    pub id: ChunkId,
    /// Its plain length in bytes, 1 to [`CHUNK_BYTES_MAX`](crate::limits::CHUNK_BYTES_MAX).
    pub bytes: u32,
}

/// A connected peer, as this node's driver numbers it. Numbers are never reused within a run, so a
/// peer that reconnects is a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer{}", self.0)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One of the two that sign metadata, each in a repository of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// Says what is genuine.
    Publisher,
    /// Says which of that its devices should run.
    School,
}

impl Signer {
    /// Both, the publisher first.
    pub const BOTH: [Signer; 2] = [Signer::Publisher, Signer::School];
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signer::Publisher => "publisher",
            Signer::School => "school",
        })
    }
}

/// Where metadata or a document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A static repository that the driver reads.
    Origin,
    /// Another node.
    Peer(PeerId),
}
