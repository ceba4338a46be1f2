//! WHAT is shared: chunks, manifests, versions. Knows no peer and no key.
//!
//! In reading order: a publisher's [`chunker`] cuts files into chunks; each is a [`chunk`], stored
//! and sent in one [`encoding`]; the [`manifest`] says what a release lays out, after [`check`] has
//! judged it, and the [`chunk_list`] which chunks its files are made of. Both together are a
//! [`release`]. Two releases give a [`plan`]: what the tree of one holds of the other. [`version`]
//! and [`name`] order and spell releases; [`fold`] finds names that some file systems cannot tell
//! apart.

pub mod check;
pub mod chunk;
pub mod chunk_list;
pub mod chunker;
pub mod encoding;
pub mod fold;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod release;
pub mod version;

#[cfg(test)]
pub(crate) mod sample;
