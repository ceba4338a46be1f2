//! A metadata file that is believed.

use super::envelope::{Body, Envelope, Signed};
use super::key::Key;
use super::metadata::{Authority, Digests, FileMeta, Root};
use super::role::Role;
use super::verify::verify;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A believed file. Cheap to clone and to keep in a map.
#[derive(Debug)]
pub struct Held<B>(Arc<File<B>>);

/// What is known of it.
#[derive(Debug, PartialEq)]
pub struct File<B> {
    /// As it came.
    pub bytes: Arc<[u8]>,
    /// Digests of that.
    pub digests: Digests,
    /// SHA-256 of what the signatures are over.
    pub signed_sha256: [u8; 32],
    /// What it says.
    pub signed: Signed<B>,
}

impl<B> Held<B> {
    /// Keeps a file that the caller has just judged.
    pub fn new(bytes: &[u8], envelope: Envelope<B>) -> Self {
        Held(Arc::new(File {
            bytes: bytes.into(),
            digests: Digests::of(bytes),
            signed_sha256: digest(&envelope.canonical),
            signed: envelope.signed,
        }))
    }

    /// Whether this is the file that `named` names.
    pub fn is(&self, named: &FileMeta) -> bool {
        self.signed.version == named.version && named.names(self.bytes.len() as u64, &self.digests)
    }
}

impl<B: Body> Held<B> {
    /// Whether the signatures still suffice. The file is read again: this happens once in a rotation
    /// of keys, and keeping the envelope would double the memory of every file.
    pub fn verifies(&self, authority: &Authority, keys: &BTreeMap<String, Key>) -> bool {
        Envelope::<B>::parse(&self.bytes).is_ok_and(|envelope| verify(&envelope, authority, keys).is_ok())
    }

    /// Whether the keys that `root` names for the top-level `role` signed it.
    pub fn is_authorised(&self, role: &Role, root: &Held<Root>) -> bool {
        self.verifies(root.signed.body.authority(role), &root.signed.body.keys)
    }
}

impl<B: PartialEq> PartialEq for Held<B> {
    /// Most that are compared are one and the same, and megabytes long.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<B> Clone for Held<B> {
    fn clone(&self) -> Self {
        Held(self.0.clone())
    }
}

impl<B> Deref for Held<B> {
    type Target = File<B>;

    fn deref(&self) -> &File<B> {
        &self.0
    }
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
