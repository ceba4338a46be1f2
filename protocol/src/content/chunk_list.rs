//! The chunk list: which chunks the files of a manifest are made of.
//!
//! A document of its own, named by its BLAKE3 in the manifest. It is CBOR, a map of three byte
//! strings, so that a million chunks cost three allocations to read:
//!
//! - `ids`: the release's chunks, each once, in the order in which the files first need them;
//! - `lengths`: their plain lengths in bytes, `u32` little-endian;
//! - `sequence`: the chunks of all regular files that are not empty, one file after another in the
//!   order of the manifest's entries, as `u32` little-endian indexes into `ids`.
//!
//! Where one file ends and the next begins follows from the lengths that the manifest states.

use crate::cbor;
use crate::id::{ChunkId, ChunkListId, ChunkRef};
use crate::limits::{CHUNK_BYTES_MAX, DOCUMENT_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which chunks there are, and the order in which files are made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkList {
    chunks: Vec<ChunkRef>,
    sequence: Vec<u32>,
}

/// The list as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(with = "serde_bytes")]
    ids: Vec<u8>,
    #[serde(with = "serde_bytes")]
    lengths: Vec<u8>,
    #[serde(with = "serde_bytes")]
    sequence: Vec<u8>,
}

/// Why bytes are no chunk list.
#[derive(Debug, thiserror::Error)]
pub enum ChunkListError {
    /// Longer than [`DOCUMENT_BYTES_MAX`].
    #[error("{0} bytes are more than a chunk list may have ({DOCUMENT_BYTES_MAX})")]
    TooLong(u64),
    /// Not CBOR of that shape.
    #[error("not a chunk list")]
    Decode(#[from] cbor::DecodeError),
    /// The byte strings do not have a whole number of elements, or not the same.
    #[error("its ids, lengths and sequence do not fit together")]
    Shape,
    /// A chunk with no bytes, or with more than [`CHUNK_BYTES_MAX`].
    #[error("chunk {0} has no lawful length")]
    ChunkLength(ChunkId),
    /// A name stands twice.
    #[error("chunk {0} is listed twice")]
    Duplicate(ChunkId),
    /// The sequence needs a chunk that is not listed, or not in the order of first need.
    #[error("the sequence does not use the chunks in the order of the list")]
    Order,
    /// A chunk is listed that no file needs.
    #[error("chunk {0} is listed and used by no file")]
    Unused(ChunkId),
}

impl ChunkListId {
    /// The name of the chunk list with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl ChunkList {
    /// The chunks, each once, in the order of first need. A chunk's index is its place here.
    pub fn chunks(&self) -> &[ChunkRef] {
        &self.chunks
    }

    /// The chunk indexes of all files, one file after another.
    pub fn sequence(&self) -> &[u32] {
        &self.sequence
    }

    /// Takes the list apart: its chunks and its sequence.
    pub fn into_parts(self) -> (Vec<ChunkRef>, Vec<u32>) {
        (self.chunks, self.sequence)
    }

    /// The bytes of the document.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&Written {
            ids: self.chunks.iter().flat_map(|chunk| chunk.id.0).collect(),
            lengths: self.chunks.iter().flat_map(|chunk| chunk.bytes.to_le_bytes()).collect(),
            sequence: self.sequence.iter().flat_map(|index| index.to_le_bytes()).collect(),
        })
    }

    /// The list that `bytes` hold, if it is one that [`encode`](Self::encode) could have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkListError> {
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(ChunkListError::TooLong(bytes.len() as u64));
        }
        let written: Written = cbor::decode(bytes)?;
        let (ids, ids_rest) = written.ids.as_chunks::<32>();
        let lengths = numbers(&written.lengths)?;
        if !ids_rest.is_empty() || ids.len() != lengths.len() {
            return Err(ChunkListError::Shape);
        }
        let chunks = ids.iter().zip(lengths).map(|(id, bytes)| ChunkRef { id: ChunkId(*id), bytes }).collect();
        let list = Self { chunks, sequence: numbers(&written.sequence)? };
        list.check()?;
        Ok(list)
    }

    fn check(&self) -> Result<(), ChunkListError> {
        let lawful = 1..=CHUNK_BYTES_MAX;
        if let Some(chunk) = self.chunks.iter().find(|chunk| !lawful.contains(&chunk.bytes)) {
            return Err(ChunkListError::ChunkLength(chunk.id));
        }
        let mut ids: Vec<ChunkId> = self.chunks.iter().map(|chunk| chunk.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ChunkListError::Duplicate(pair[0]));
        }
        // First needs count up from zero, so that one tree has one list, and none is left unused.
        let mut first_needs = 0;
        for index in &self.sequence {
            if *index as usize >= self.chunks.len() || *index > first_needs {
                return Err(ChunkListError::Order);
            }
            first_needs += u32::from(*index == first_needs);
        }
        match self.chunks.get(first_needs as usize) {
            Some(unused) => Err(ChunkListError::Unused(unused.id)),
            None => Ok(()),
        }
    }
}

fn numbers(bytes: &[u8]) -> Result<Vec<u32>, ChunkListError> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
    } else {
        Err(ChunkListError::Shape)
    }
}

/// Collects a chunk list while files are cut, in the order of the manifest's entries.
#[derive(Default)]
pub struct ChunkListBuilder {
    list: ChunkList,
    index: BTreeMap<ChunkId, u32>,
}

impl ChunkListBuilder {
    /// Adds the next chunk of the current file; returns whether the list did not have it yet.
    pub fn push(&mut self, chunk: ChunkRef) -> bool {
        let next = u32::try_from(self.list.chunks.len()).expect("fewer than 2^32 chunks, since a list is bounded");
        let index = *self.index.entry(chunk.id).or_insert(next);
        self.list.sequence.push(index);
        if index == next {
            self.list.chunks.push(chunk);
        }
        index == next
    }

    /// The list.
    pub fn finish(self) -> ChunkList {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(name: u8, bytes: u32) -> ChunkRef {
        ChunkRef { id: ChunkId([name; 32]), bytes }
    }

    fn list(chunks: &[ChunkRef], sequence: &[u32]) -> ChunkList {
        ChunkList { chunks: chunks.to_vec(), sequence: sequence.to_vec() }
    }

    fn refusal(chunks: &[ChunkRef], sequence: &[u32]) -> ChunkListError {
        ChunkList::decode(&list(chunks, sequence).encode()).unwrap_err()
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        // Written by hand after RFC 8949: a map of 3, text keys, byte strings.
        let mut expected = vec![0xa3, 0x63];
        expected.extend(b"ids");
        expected.extend([0x58, 64]);
        expected.extend([[9; 32], [4; 32]].concat());
        expected.push(0x67);
        expected.extend(b"lengths");
        expected.extend([0x48, 1, 0, 0, 0, 0, 1, 0, 0, 0x68]);
        expected.extend(b"sequence");
        expected.extend([0x4c, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        let list = list(&[chunk(9, 1), chunk(4, 256)], &[0, 1, 0]);
        assert_eq!(list.encode(), expected);
        assert_eq!(ChunkList::decode(&expected).unwrap(), list);
    }

    #[test]
    fn a_tree_without_content_has_an_empty_list() {
        let empty = ChunkListBuilder::default().finish();
        assert_eq!(ChunkList::decode(&empty.encode()).unwrap(), empty);
    }

    #[test]
    fn a_list_that_wastes_or_lies_is_refused() {
        let two = [chunk(1, 5), chunk(2, 5)];
        assert!(matches!(refusal(&two, &[0]), ChunkListError::Unused(_)));
        assert!(matches!(refusal(&two, &[1, 0]), ChunkListError::Order));
        assert!(matches!(refusal(&two, &[0, 1, 2]), ChunkListError::Order));
        assert!(matches!(refusal(&[chunk(1, 5), chunk(1, 5)], &[0, 1]), ChunkListError::Duplicate(_)));
        assert!(matches!(refusal(&[chunk(1, 0)], &[0]), ChunkListError::ChunkLength(_)));
        assert!(matches!(refusal(&[chunk(1, CHUNK_BYTES_MAX + 1)], &[0]), ChunkListError::ChunkLength(_)));
    }

    #[test]
    fn byte_strings_of_odd_lengths_are_refused() {
        for (ids, lengths, sequence) in [(31, 4, 4), (32, 3, 4), (32, 8, 4), (32, 4, 5)] {
            let written = Written { ids: vec![0; ids], lengths: vec![1; lengths], sequence: vec![0; sequence] };
            assert!(matches!(ChunkList::decode(&cbor::encode(&written)), Err(ChunkListError::Shape)));
        }
    }

    proptest! {
        #[test]
        fn what_is_built_reads_back_and_no_mutation_panics(
            names in prop::collection::vec(any::<u8>(), 0..60), at: prop::sample::Index, flip in 1u8..,
        ) {
            let mut builder = ChunkListBuilder::default();
            for name in &names {
                builder.push(chunk(*name, u32::from(*name) + 1));
            }
            let list = builder.finish();
            let rebuilt: Vec<u8> = list.sequence().iter().map(|index| list.chunks()[*index as usize].id.0[0]).collect();
            prop_assert_eq!(rebuilt, names);
            let mut bytes = list.encode();
            prop_assert_eq!(ChunkList::decode(&bytes).unwrap(), list);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = ChunkList::decode(&bytes);
            prop_assert!(ChunkList::decode(&bytes[..at]).is_err());
        }
    }
}
