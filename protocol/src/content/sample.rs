//! Trees to test with.

use super::chunk_list::{ChunkList, ChunkListBuilder};
use super::manifest::{Attributes, ChunkListRef, ChunkerParameters, Entry, FORMAT, Kind, Manifest, VerifiedManifest};
use super::release::Release;
use crate::id::{ChunkId, ChunkListId, ChunkRef, ManifestId};
use proptest::prelude::*;
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;

pub(crate) fn attributes() -> Attributes {
    Attributes { mode: 0o644, uid: 1000, gid: 1000, mtime_s: 1_700_000_000, mtime_ns: 5, xattrs: BTreeMap::new() }
}

/// A tree without bytes: its files are sequences of named chunks.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    entries: BTreeMap<Vec<u8>, (Kind, Option<Attributes>)>,
    contents: BTreeMap<Vec<u8>, Vec<ChunkRef>>,
}

/// The chunk called `name`; its length follows from the name, so that equal names are equal chunks.
pub(crate) fn chunk(name: u8) -> ChunkRef {
    ChunkRef { id: ChunkId([name; 32]), bytes: 100 + u32::from(name) }
}

impl Sample {
    /// A tree with a root, a directory and an empty file.
    pub(crate) fn new() -> Self {
        let mut sample = Self { entries: BTreeMap::new(), contents: BTreeMap::new() };
        sample.entry(b"", Kind::Directory);
        sample.entry(b"dir", Kind::Directory);
        sample.content(b"dir/empty", &[])
    }

    fn entry(&mut self, path: &[u8], kind: Kind) {
        let attributes = (!matches!(kind, Kind::HardLink { .. })).then(attributes);
        self.entries.insert(path.to_vec(), (kind, attributes));
    }

    /// With one more file, of the one chunk called `name`.
    pub(crate) fn file(self, path: &[u8], name: u8) -> Self {
        self.content(path, &[name])
    }

    /// With one more file, of the chunks called `names`.
    pub(crate) fn content(mut self, path: &[u8], names: &[u8]) -> Self {
        let chunks: Vec<ChunkRef> = names.iter().map(|name| chunk(*name)).collect();
        let bytes = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        self.entry(path, Kind::File { bytes, blake3: [7; 32] });
        self.contents.insert(path.to_vec(), chunks);
        self
    }

    pub(crate) fn chunk_list(&self) -> ChunkList {
        let mut builder = ChunkListBuilder::default();
        self.contents.values().flatten().for_each(|chunk| {
            builder.push(*chunk);
        });
        builder.finish()
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let list = self.chunk_list().encode();
        let entry = |(path, (kind, attributes)): (&Vec<u8>, &(Kind, Option<Attributes>))| Entry {
            path: path.clone(),
            kind: kind.clone(),
            attributes: attributes.clone(),
        };
        Manifest {
            format: FORMAT,
            min_reader: 1,
            channel: "stable".into(),
            version: "1.0".into(),
            epoch: 0,
            chunker: ChunkerParameters::default(),
            chunk_list: ChunkListRef { id: ChunkListId::of(&list), bytes: list.len() as u64 },
            privileged: Vec::new(),
            entries: self.entries.iter().map(entry).collect(),
        }
    }

    pub(crate) fn release(&self) -> Release {
        let bytes = self.manifest().encode();
        let manifest = VerifiedManifest::verify(&bytes, ManifestId::of(&bytes), bytes.len() as u64).unwrap();
        Release::new(manifest, &self.chunk_list().encode()).unwrap()
    }
}

/// Trees of a few entries of every kind, with names that nest, clash and look odd.
pub(crate) fn any_tree() -> impl Strategy<Value = Sample> {
    let name = prop_oneof![
        prop::sample::select(vec![&b"a"[..], b"b", b"a-b", b"-", b" \n", b"\xff", b"A", b"\xc3\xa9"])
            .prop_map(<[u8]>::to_vec),
        prop::collection::vec((1u8..=255).prop_filter("no slash, no dot", |b| !b"/.".contains(b)), 1..255),
    ];
    let attributes = (0u32..0o2000, any::<u16>(), any::<i64>(), 0u32..1_000_000_000, any::<bool>()).prop_map(
        |(mode, uid, mtime_s, mtime_ns, xattr)| Attributes {
            mode,
            uid: uid.into(),
            gid: uid.into(),
            mtime_s,
            mtime_ns,
            xattrs: xattr.then(|| (ByteBuf::from("user.comment"), ByteBuf::from(vec![0, 255]))).into_iter().collect(),
        },
    );
    let step = (any::<prop::sample::Index>(), name, 0..4, prop::collection::vec(0u8..12, 0..6), attributes);
    prop::collection::vec(step, 0..25).prop_map(|steps| {
        let mut sample = Sample::new();
        for (parent, name, kind, chunks, attributes) in steps {
            let directories: Vec<&Vec<u8>> =
                sample.entries.iter().filter(|(_, (kind, _))| *kind == Kind::Directory).map(|(path, _)| path).collect();
            let parent = parent.get(&directories);
            let path = if parent.is_empty() { name } else { [parent, &b"/"[..], &name].concat() };
            let target = sample.contents.keys().find(|target| **target < path).cloned();
            if sample.entries.contains_key(&path) || path.len() > crate::limits::PATH_BYTES_MAX {
                continue;
            }
            match (kind, target) {
                (0, _) => sample.entry(&path, Kind::Directory),
                (1, _) => sample.entry(&path, Kind::Symlink { target: path.clone() }),
                (2, Some(target)) => sample.entry(&path, Kind::HardLink { target }),
                _ => sample = sample.content(&path, &chunks),
            }
            if let Some((_, Some(slot))) = sample.entries.get_mut(&path) {
                *slot = attributes;
            }
        }
        sample
    })
}
