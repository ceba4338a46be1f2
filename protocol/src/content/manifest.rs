//! The manifest: the signed list of what a release lays out on disk.
//!
//! A manifest is CBOR. Its exact bytes are a TUF target, so their length and SHA-256 are signed. It
//! names its chunk list, a document of its own, by length and BLAKE3, so that a device that can do
//! without the list need not fetch it. Paths are byte strings relative to the tree's root, with `/`
//! between names; the root itself is the entry with the empty path, and comes first.

use crate::id::ChunkListId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;

/// The manifest format that this code writes; a reader refuses one whose `min_reader` is higher.
pub const FORMAT: u32 = 1;

/// What a release lays out, as its publisher stated it. Not yet checked: see `VerifiedManifest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format this was written in.
    pub format: u32,
    /// The oldest format whose reader understands all that matters here.
    pub min_reader: u32,
    /// The channel that the release belongs to.
    pub channel: String,
    /// Its PEP 440 version, normalised.
    pub version: String,
    /// The data-format epoch: a device never goes below the one it has reached without a person's word.
    pub epoch: u32,
    /// How the files were cut.
    pub chunker: ChunkerParameters,
    /// The chunk list, by name and length in bytes.
    pub chunk_list: ChunkListRef,
    /// Paths of the files that may carry setuid, setgid or file capabilities, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileged: Vec<ByteBuf>,
    /// Everything in the tree, ascending by path, the root (empty path) first.
    pub entries: Vec<Entry>,
}

/// How files are cut into chunks (FastCDC, 2020 variant, normalisation level 1). Sizes in bytes, even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerParameters {
    /// Smallest chunk.
    pub min_bytes: u32,
    /// Size aimed at.
    pub average_bytes: u32,
    /// Largest chunk.
    pub max_bytes: u32,
}

/// A chunk list's name and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkListRef {
    /// BLAKE3 of its bytes.
    pub id: ChunkListId,
    /// Its length in bytes.
    pub bytes: u64,
}

/// One path of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands, relative to the root.
    #[serde(rename = "p", with = "serde_bytes")]
    pub path: Vec<u8>,
    /// What it is.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// Its mode, owner, time and extended attributes; a hard link has those of its target.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file.
    #[serde(rename = "f")]
    File {
        /// Length in bytes.
        #[serde(rename = "n")]
        bytes: u64,
        /// BLAKE3 of the whole content.
        #[serde(rename = "h", with = "serde_bytes")]
        blake3: [u8; 32],
    },
    /// A directory.
    #[serde(rename = "d")]
    Directory,
    /// A symbolic link.
    #[serde(rename = "s")]
    Symlink {
        /// Its text, as it stands.
        #[serde(rename = "t", with = "serde_bytes")]
        target: Vec<u8>,
    },
    /// Another name of a regular file that stands earlier in the manifest.
    #[serde(rename = "l")]
    HardLink {
        /// The path of that file's entry.
        #[serde(rename = "t", with = "serde_bytes")]
        target: Vec<u8>,
    },
}

/// What is kept of an entry beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits, 12 of them (setuid, setgid, sticky and rwx for three).
    #[serde(rename = "m")]
    pub mode: u32,
    /// Owner's number.
    #[serde(rename = "u")]
    pub uid: u32,
    /// Group's number.
    #[serde(rename = "g")]
    pub gid: u32,
    /// Modification time: seconds since 1970.
    #[serde(rename = "t")]
    pub mtime_s: i64,
    /// Modification time: nanoseconds beyond the second, below 10^9.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub mtime_ns: u32,
    /// Extended attributes by full name.
    #[serde(rename = "x", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<ByteBuf, ByteBuf>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
