//! A release: a manifest with the chunk list it names, and what the two say together: which chunk
//! stands where. Flat tables throughout, so that a tree of a gigabyte costs a few megabytes.

use super::chunk_list::{ChunkList, ChunkListError};
use super::manifest::{Kind, VerifiedManifest};
use crate::id::{ChunkId, ChunkListId, ChunkRef, ManifestId};
use std::sync::Arc;

/// A place of a chunk: so many bytes from the start of the file at `entries[entry]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as an index into the manifest's entries.
    pub entry: u32,
    /// Where the chunk starts in it, in bytes.
    pub offset: u64,
}

/// A manifest and its chunk list, both verified, and fitting each other.
#[derive(Clone, Debug)]
pub struct Release {
    manifest: Arc<VerifiedManifest>,
    chunks: Arc<[ChunkRef]>,
    /// Chunk indexes in ascending order of their names.
    by_id: Vec<u32>,
    /// The chunks of all files, one after another.
    sequence: Vec<u32>,
    /// Every file that is not empty: its entry, and where its chunks start in `sequence`.
    files: Vec<(u32, u32)>,
    /// The places of all chunks: those of chunk `i` from `place_starts[i]` to `place_starts[i + 1]`.
    places: Vec<Place>,
    place_starts: Vec<u32>,
    chunk_bytes: u64,
    tree_bytes: u64,
}

/// Why bytes are not the chunk list that a manifest names, or do not fit it.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Not the bytes that the manifest names.
    #[error("these {found_bytes} bytes are not chunk list {wanted} of manifest {manifest}, which has {wanted_bytes}")]
    WrongBytes {
        /// The manifest.
        manifest: ManifestId,
        /// The list it names.
        wanted: ChunkListId,
        /// That list's length.
        wanted_bytes: u64,
        /// How many bytes there are.
        found_bytes: usize,
    },
    /// The named bytes are no chunk list.
    #[error("the chunk list of manifest {manifest} is refused; its publisher must publish it again")]
    ChunkList {
        /// The manifest.
        manifest: ManifestId,
        /// What is wrong with the list.
        source: ChunkListError,
    },
    /// The chunks are not as long as the files.
    #[error("the chunk list of manifest {manifest} does not fit its files; its publisher must publish it again")]
    Mismatch {
        /// The manifest.
        manifest: ManifestId,
    },
}

impl Release {
    /// The release of `manifest`, if `chunk_list` holds the bytes of the list it names, and the
    /// chunks that it tells for each file are together exactly as long as that file.
    pub fn new(manifest: Arc<VerifiedManifest>, chunk_list: &[u8]) -> Result<Self, ReleaseError> {
        let wanted = manifest.chunk_list;
        let id = manifest.id();
        if chunk_list.len() as u64 != wanted.bytes || ChunkListId::of(chunk_list) != wanted.id {
            return Err(ReleaseError::WrongBytes {
                manifest: id,
                wanted: wanted.id,
                wanted_bytes: wanted.bytes,
                found_bytes: chunk_list.len(),
            });
        }
        let list = ChunkList::decode(chunk_list).map_err(|source| ReleaseError::ChunkList { manifest: id, source })?;
        let (chunks, sequence) = list.into_parts();
        let (files, tree_bytes) =
            cut_into_files(&manifest, &chunks, &sequence).ok_or(ReleaseError::Mismatch { manifest: id })?;
        let (places, place_starts) = places(&chunks, &sequence, &files);
        let mut by_id: Vec<u32> = (0..count(&chunks)).collect();
        by_id.sort_unstable_by_key(|index| chunks[*index as usize].id);
        let chunk_bytes = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        Ok(Self {
            manifest,
            chunks: chunks.into(),
            by_id,
            sequence,
            files,
            places,
            place_starts,
            chunk_bytes,
            tree_bytes,
        })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Arc<VerifiedManifest> {
        &self.manifest
    }

    /// Its name.
    pub fn id(&self) -> ManifestId {
        self.manifest.id()
    }

    /// The chunks, each once. A chunk's index is its place here.
    pub fn chunks(&self) -> &Arc<[ChunkRef]> {
        &self.chunks
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> u32 {
        count(&self.chunks)
    }

    /// The index of a chunk, if the release has it.
    pub fn index_of(&self, id: &ChunkId) -> Option<u32> {
        let at = self.by_id.binary_search_by_key(id, |index| self.chunks[*index as usize].id).ok()?;
        Some(self.by_id[at])
    }

    /// Everywhere the chunk with this index stands, in the order of the tree; never nowhere.
    ///
    /// # Panics
    /// If there is no such index.
    pub fn places(&self, index: u32) -> &[Place] {
        let [start, end] = [index, index + 1].map(|at| self.place_starts[at as usize] as usize);
        &self.places[start..end]
    }

    /// The chunk indexes that the file at `entries[entry]` is made of; none for an empty file and
    /// for what is no file.
    pub fn file_chunks(&self, entry: u32) -> &[u32] {
        let Ok(at) = self.files.binary_search_by_key(&entry, |(entry, _)| *entry) else { return &[] };
        let start = self.files[at].1 as usize;
        let end = self.files.get(at + 1).map_or(self.sequence.len(), |(_, start)| *start as usize);
        &self.sequence[start..end]
    }

    /// What all chunks have together, each counted once, in plain bytes: what a device without
    /// anything must fetch.
    pub fn total_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    /// What all regular files have together, in bytes.
    pub fn tree_bytes(&self) -> u64 {
        self.tree_bytes
    }
}

fn count(chunks: &[ChunkRef]) -> u32 {
    u32::try_from(chunks.len()).expect("a chunk list is far shorter than 2^32 chunks")
}

/// Where each file's chunks start in the sequence, and the bytes of all files; nothing if some file
/// does not end where a chunk ends, or chunks are left over.
fn cut_into_files(
    manifest: &VerifiedManifest,
    chunks: &[ChunkRef],
    sequence: &[u32],
) -> Option<(Vec<(u32, u32)>, u64)> {
    let mut files = Vec::new();
    let mut next: u32 = 0;
    let mut tree_bytes = 0;
    for (entry, at) in manifest.entries.iter().zip(0u32..) {
        let Kind::File { bytes, .. } = entry.kind else { continue };
        if bytes > 0 {
            files.push((at, next));
        }
        let mut filled: u64 = 0;
        while filled < bytes {
            filled += u64::from(chunks[*sequence.get(next as usize)? as usize].bytes);
            next += 1;
        }
        if filled != bytes {
            return None;
        }
        tree_bytes += bytes;
    }
    (next as usize == sequence.len()).then_some((files, tree_bytes))
}

/// All places grouped by chunk, and where each chunk's group starts: a counting sort, so that two
/// flat tables are all it takes.
fn places(chunks: &[ChunkRef], sequence: &[u32], files: &[(u32, u32)]) -> (Vec<Place>, Vec<u32>) {
    let mut starts = vec![0u32; chunks.len() + 1];
    for index in sequence {
        starts[*index as usize + 1] += 1;
    }
    for at in 0..chunks.len() {
        starts[at + 1] += starts[at];
    }
    let mut next = starts.clone();
    let mut places = vec![Place { entry: 0, offset: 0 }; sequence.len()];
    let ends = files.iter().skip(1).map(|(_, start)| *start as usize).chain([sequence.len()]);
    for ((entry, start), end) in files.iter().zip(ends) {
        let mut offset = 0;
        for index in &sequence[*start as usize..end] {
            let slot = &mut next[*index as usize];
            places[*slot as usize] = Place { entry: *entry, offset };
            *slot += 1;
            offset += u64::from(chunks[*index as usize].bytes);
        }
    }
    (places, starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sample::{Sample, any_tree, chunk};
    use proptest::prelude::*;

    /// A verified manifest with another tree's chunk list in its name.
    fn join(files: &Sample, list: &Sample) -> Result<Release, ReleaseError> {
        let list = list.chunk_list().encode();
        let mut manifest = files.manifest();
        manifest.chunk_list.id = ChunkListId::of(&list);
        manifest.chunk_list.bytes = list.len() as u64;
        let bytes = manifest.encode();
        Release::new(
            Arc::new(VerifiedManifest::verify(&bytes, ManifestId::of(&bytes), bytes.len() as u64).unwrap()),
            &list,
        )
    }

    #[test]
    fn chunks_are_found_where_they_stand() {
        // Entries: root, a, b, dir, dir/empty.
        let release = Sample::new().content(b"a", &[1, 2, 1]).content(b"b", &[2]).release();
        assert_eq!(release.chunks()[..], [chunk(1), chunk(2)]);
        let place = |entry, offset| Place { entry, offset };
        assert_eq!(release.places(0), [place(1, 0), place(1, 203)]);
        assert_eq!(release.places(1), [place(1, 101), place(2, 0)]);
        assert_eq!(release.file_chunks(1), [0, 1, 0]);
        assert_eq!(release.file_chunks(2), [1]);
        assert!(
            release.file_chunks(0).is_empty() && release.file_chunks(4).is_empty() && release.file_chunks(9).is_empty()
        );
        assert_eq!((release.total_bytes(), release.tree_bytes()), (203, 406));
        assert_eq!(release.index_of(&chunk(2).id), Some(1));
        assert_eq!(release.index_of(&chunk(3).id), None);
    }

    #[test]
    fn a_tree_of_empty_files_needs_no_chunk() {
        let release = Sample::new().release();
        assert_eq!((release.chunk_count(), release.total_bytes(), release.tree_bytes()), (0, 0, 0));
    }

    #[test]
    fn a_list_that_was_not_named_is_refused() {
        let sample = Sample::new().file(b"a", 1);
        let manifest = sample.release().manifest().clone();
        let other = Sample::new().file(b"a", 2).chunk_list().encode();
        assert!(matches!(Release::new(manifest, &other), Err(ReleaseError::WrongBytes { .. })));
    }

    #[test]
    fn a_list_that_does_not_fit_its_files_is_refused() {
        let mismatch = |files: &[u8], list: &[u8]| {
            let sample = |names: &[u8]| Sample::new().content(b"a", names).file(b"b", 9);
            matches!(join(&sample(files), &sample(list)), Err(ReleaseError::Mismatch { .. }))
        };
        assert!(!mismatch(&[1, 2], &[2, 1]));
        assert!(mismatch(&[1, 2], &[1]));
        assert!(mismatch(&[1, 2], &[1, 2, 3]));
        assert!(mismatch(&[1], &[2]));
        assert!(mismatch(&[], &[1]));
    }

    proptest! {
        #[test]
        fn places_and_files_say_the_same(tree in any_tree()) {
            let release = tree.release();
            let mut places: Vec<Vec<Place>> = vec![Vec::new(); release.chunks().len()];
            for (entry, at) in release.manifest().entries.iter().zip(0u32..) {
                let mut offset = 0;
                for index in release.file_chunks(at) {
                    places[*index as usize].push(Place { entry: at, offset });
                    offset += u64::from(release.chunks()[*index as usize].bytes);
                }
                let bytes = if let Kind::File { bytes, .. } = entry.kind { bytes } else { 0 };
                prop_assert_eq!(offset, bytes);
            }
            for (index, places) in (0..).zip(&places) {
                prop_assert_eq!(release.places(index), &places[..]);
                prop_assert_eq!(release.index_of(&release.chunks()[index as usize].id), Some(index));
            }
        }
    }
}
