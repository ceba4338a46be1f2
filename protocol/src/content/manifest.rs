//! The manifest: the signed list of what a release lays out on disk.
//!
//! A manifest is CBOR. Its exact bytes are a TUF target, so their length and SHA-256 are signed. It
//! names its chunk list, a document of its own, by length and BLAKE3, so that a device that can do
//! without the list need not fetch it. Paths are byte strings relative to the tree's root, with `/`
//! between names; the root itself is the entry with the empty path, and comes first.

use super::check::{self, CheckError};
use crate::cbor;
use crate::id::{ChunkListId, ManifestId};
use crate::limits::DOCUMENT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use sha2::{Digest, Sha256};
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
    /// The data-format epoch, below which no device is to go; devices do not look at it yet.
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

impl ManifestId {
    /// The name of the manifest with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Manifest {
    /// The bytes of the document. Only its publisher writes them; all others keep what they received.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// The index of the entry at `path`, if there is one. Entries must be in order, as they are in
    /// every manifest that was verified.
    pub fn position(&self, path: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()
    }
}

impl Attributes {
    /// The extended attribute that holds a file's capabilities.
    pub const CAPABILITIES: &str = "security.capability";

    /// Whether an extended attribute belongs to the machine and not to the tree: labels, signatures and
    /// overlay marks, which another machine must make for itself. No manifest states one.
    pub fn is_of_the_machine(name: &[u8]) -> bool {
        const OWN: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];
        OWN.contains(&name) || name.starts_with(b"trusted.overlay.")
    }

    /// Whether a file that carries these runs with more rights than its user's: setuid, setgid or
    /// capabilities.
    pub fn are_privileged(&self) -> bool {
        self.mode & 0o6000 != 0 || self.xattrs.contains_key(Bytes::new(Self::CAPABILITIES.as_bytes()))
    }
}

/// A manifest whose bytes are those that were signed, and which every device can lay out safely.
/// There is no other way to make one than [`VerifiedManifest::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    id: ManifestId,
    bytes: u64,
    manifest: Manifest,
}

/// Why bytes are not the manifest that was signed, or not one that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`DOCUMENT_BYTES_MAX`].
    #[error(
        "manifest {id} has {bytes} bytes, and a manifest may have {DOCUMENT_BYTES_MAX}; its publisher must split the tree"
    )]
    TooLong {
        /// The manifest.
        id: ManifestId,
        /// Its signed length.
        bytes: u64,
    },
    /// Not the bytes that the metadata signs.
    #[error("these {found_bytes} bytes are not manifest {id}, which has {bytes}")]
    WrongBytes {
        /// The manifest.
        id: ManifestId,
        /// Its signed length.
        bytes: u64,
        /// How many bytes there are.
        found_bytes: usize,
    },
    /// The signed bytes are no manifest.
    #[error("manifest {id} cannot be read; its publisher must publish it again")]
    Decode {
        /// The manifest.
        id: ManifestId,
        /// What is wrong with it.
        source: cbor::DecodeError,
    },
    /// Written for newer readers only.
    #[error("manifest {id} needs a reader of format {min_reader}, and this one reads {FORMAT}; update homeroom first")]
    TooNew {
        /// The manifest.
        id: ManifestId,
        /// The oldest format that can read it.
        min_reader: u32,
    },
    /// It states what no device may lay out.
    #[error("manifest {id} is refused")]
    Refused {
        /// The manifest.
        id: ManifestId,
        /// What it states.
        source: CheckError,
    },
}

/// The part of a manifest that every format keeps, read first, because the rest may be unreadable.
#[derive(Deserialize)]
struct Preamble {
    min_reader: u32,
}

impl VerifiedManifest {
    /// The manifest in `bytes`, if these are the ones that signed metadata names by `id` and length
    /// `signed_bytes`, in a format that this code reads, and [`check::manifest`] finds no fault.
    pub fn verify(bytes: &[u8], id: ManifestId, signed_bytes: u64) -> Result<Self, ManifestError> {
        if signed_bytes > DOCUMENT_BYTES_MAX {
            return Err(ManifestError::TooLong { id, bytes: signed_bytes });
        }
        if bytes.len() as u64 != signed_bytes || ManifestId::of(bytes) != id {
            return Err(ManifestError::WrongBytes { id, bytes: signed_bytes, found_bytes: bytes.len() });
        }
        let decoding = |source| ManifestError::Decode { id, source };
        let Preamble { min_reader } = cbor::decode(bytes).map_err(decoding)?;
        if min_reader > FORMAT {
            return Err(ManifestError::TooNew { id, min_reader });
        }
        let manifest = cbor::decode(bytes).map_err(decoding)?;
        check::manifest(&manifest).map_err(|source| ManifestError::Refused { id, source })?;
        Ok(Self { id, bytes: signed_bytes, manifest })
    }

    /// Its name, as the metadata signs it.
    pub fn id(&self) -> ManifestId {
        self.id
    }

    /// Its length in bytes, as the metadata signs it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl std::ops::Deref for VerifiedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sample::{Sample, any_tree};
    use proptest::prelude::*;

    fn verify(bytes: &[u8]) -> Result<VerifiedManifest, ManifestError> {
        VerifiedManifest::verify(bytes, ManifestId::of(bytes), bytes.len() as u64)
    }

    #[test]
    fn a_name_is_the_sha256_of_the_bytes() {
        // FIPS 180-2, example B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(ManifestId::of(b"abc").to_string(), abc);
    }

    #[test]
    fn bytes_that_were_not_signed_are_refused() {
        let bytes = Sample::new().manifest().encode();
        let id = ManifestId::of(&bytes);
        let refused = |bytes: &[u8], length| {
            matches!(VerifiedManifest::verify(bytes, id, length), Err(ManifestError::WrongBytes { .. }))
        };
        assert!(refused(&bytes, bytes.len() as u64 + 1));
        assert!(refused(&bytes[1..], bytes.len() as u64));
        assert!(refused(&[&bytes[..], &[0]].concat(), bytes.len() as u64 + 1));
        assert!(matches!(
            VerifiedManifest::verify(&bytes, id, DOCUMENT_BYTES_MAX + 1),
            Err(ManifestError::TooLong { .. })
        ));
    }

    #[test]
    fn signed_bytes_with_a_tail_are_refused() {
        let mut bytes = Sample::new().manifest().encode();
        bytes.push(0);
        assert!(matches!(
            verify(&bytes),
            Err(ManifestError::Decode { source: cbor::DecodeError::TrailingBytes(1), .. })
        ));
    }

    #[test]
    fn a_format_that_we_cannot_read_is_named_even_if_nothing_else_is_understood() {
        #[derive(Serialize)]
        struct Future {
            format: u32,
            min_reader: u32,
            entries: &'static str,
        }
        let bytes = cbor::encode(&Future { format: 9, min_reader: 2, entries: "somewhere else" });
        assert!(matches!(verify(&bytes), Err(ManifestError::TooNew { min_reader: 2, .. })));
    }

    #[test]
    fn a_newer_format_that_we_may_read_is_read() {
        let mut manifest = Sample::new().manifest();
        manifest.format = FORMAT + 1;
        assert!(verify(&manifest.encode()).is_ok());
    }

    proptest! {
        #[test]
        fn a_tree_survives_its_manifest(tree in any_tree()) {
            let manifest = tree.manifest();
            let bytes = manifest.encode();
            let verified = verify(&bytes).unwrap();
            prop_assert_eq!(&*verified, &manifest);
            for (at, entry) in manifest.entries.iter().enumerate() {
                prop_assert_eq!(verified.position(&entry.path), Some(at));
            }
        }

        #[test]
        fn a_mutated_byte_never_panics(tree in any_tree(), at: prop::sample::Index, flip in 1u8..) {
            let mut bytes = tree.manifest().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = verify(&bytes);
            prop_assert!(verify(&bytes[..at]).is_err());
        }
    }
}
