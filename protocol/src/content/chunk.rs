//! A chunk: a piece of a file, named by what it holds.

use crate::id::{ChunkId, ChunkRef};
use std::borrow::Cow;

impl ChunkId {
    /// The name of the chunk with these plain bytes.
    pub fn of(plain: &[u8]) -> Self {
        Self(*blake3::hash(plain).as_bytes())
    }
}

/// A chunk's plain bytes, known to be those that its name stands for. There is no other way to make
/// one than [`VerifiedChunk::verify`], so whoever holds one may store, serve and apply it. The bytes may
/// be borrowed from where they arrived, lest each chunk is copied once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChunk<'a> {
    id: ChunkId,
    plain: Cow<'a, [u8]>,
}

/// The bytes are not those of the chunk that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {found_bytes} bytes received as chunk {} are not it (it has {})", .wanted.id, .wanted.bytes)]
pub struct WrongBytes {
    /// What was wanted.
    pub wanted: ChunkRef,
    /// How many bytes came instead.
    pub found_bytes: usize,
}

impl<'a> VerifiedChunk<'a> {
    /// The chunk `wanted`, if `plain` is it: its length and its BLAKE3 agree.
    pub fn verify(wanted: ChunkRef, plain: impl Into<Cow<'a, [u8]>>) -> Result<Self, WrongBytes> {
        let plain = plain.into();
        // The length first: it costs nothing, and a liar's megabytes need not be hashed.
        if plain.len() as u64 == u64::from(wanted.bytes) && ChunkId::of(&plain) == wanted.id {
            Ok(Self { id: wanted.id, plain })
        } else {
            Err(WrongBytes { wanted, found_bytes: plain.len() })
        }
    }

    /// The chunk's name.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// Its plain bytes.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Its plain bytes, to keep.
    pub fn into_plain(self) -> Vec<u8> {
        self.plain.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BLAKE3 of "abc", as the `b3sum` program prints it.
    const ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

    #[test]
    fn only_the_named_bytes_become_a_chunk() {
        let wanted = ChunkRef { id: ABC.parse().unwrap(), bytes: 3 };
        assert_eq!(VerifiedChunk::verify(wanted, b"abc".to_vec()).unwrap().plain(), b"abc");
        for wrong in [&b"abd"[..], b"", b"abcd"] {
            let error = VerifiedChunk::verify(wanted, wrong.to_vec()).unwrap_err();
            assert_eq!(error, WrongBytes { wanted, found_bytes: wrong.len() });
        }
    }

    #[test]
    fn a_list_that_states_another_length_is_not_believed() {
        let wanted = ChunkRef { id: ABC.parse().unwrap(), bytes: 4 };
        assert!(VerifiedChunk::verify(wanted, b"abc".to_vec()).is_err());
    }
}
