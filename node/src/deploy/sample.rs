//! Releases to test with: captured from directories that the standard library made, so that what a
//! test expects never comes from the code it tests.

use protocol::content::chunk::VerifiedChunk;
use protocol::content::chunk_list::ChunkListBuilder;
use protocol::content::manifest::{
    Attributes, ChunkListRef, ChunkerParameters, Entry, FORMAT, Kind, Manifest, VerifiedManifest,
};
use protocol::content::release::Release;
use protocol::id::{ChunkId, ChunkListId, ChunkRef, ManifestId};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Chunks of the sample trees: small, so that small files have several.
pub const CHUNK_BYTES: usize = 1000;

/// A release and the bytes of its chunks.
pub struct Sample {
    pub release: Arc<Release>,
    pub chunks: Vec<VerifiedChunk<'static>>,
}

/// The tree at `root` as a release.
pub fn capture(root: &Path, version: &str) -> Sample {
    let mut paths = vec![PathBuf::new()];
    walk(root, Path::new(""), &mut paths);
    paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let (mut list, mut plain, mut inodes) = (ChunkListBuilder::default(), Vec::new(), BTreeMap::new());
    let mut entries = Vec::new();
    for path in paths {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        let bytes = path.as_os_str().as_bytes().to_vec();
        let first = inodes.entry(metadata.ino()).or_insert_with(|| bytes.clone()).clone();
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            Kind::Symlink { target: fs::read_link(root.join(&path)).unwrap().as_os_str().as_bytes().to_vec() }
        } else if first != bytes {
            Kind::HardLink { target: first }
        } else {
            let content = fs::read(root.join(&path)).unwrap();
            for plain_chunk in content.chunks(CHUNK_BYTES) {
                let chunk = ChunkRef { id: ChunkId::of(plain_chunk), bytes: plain_chunk.len() as u32 };
                if list.push(chunk) {
                    plain.push(VerifiedChunk::verify(chunk, plain_chunk.to_vec()).unwrap());
                }
            }
            Kind::File { bytes: content.len() as u64, blake3: *blake3::hash(&content).as_bytes() }
        };
        let linked = matches!(kind, Kind::HardLink { .. });
        let attributes = (!linked).then(|| attributes(&root.join(&path), &metadata));
        entries.push(Entry { path: bytes, kind, attributes });
    }
    let privileged = |entry: &&Entry| {
        matches!(entry.kind, Kind::File { .. }) && entry.attributes.as_ref().is_some_and(Attributes::are_privileged)
    };
    let list = list.finish().encode();
    let manifest = Manifest {
        format: FORMAT,
        min_reader: 1,
        channel: "stable".into(),
        version: version.into(),
        epoch: 0,
        chunker: ChunkerParameters::default(),
        chunk_list: ChunkListRef { id: ChunkListId::of(&list), bytes: list.len() as u64 },
        privileged: entries.iter().filter(privileged).map(|entry| entry.path.clone().into()).collect(),
        entries,
    };
    Sample { release: release(&manifest, &list), chunks: plain }
}

/// `manifest` as a device gets it.
pub fn release(manifest: &Manifest, list: &[u8]) -> Arc<Release> {
    let bytes = manifest.encode();
    let manifest = VerifiedManifest::verify(&bytes, ManifestId::of(&bytes), bytes.len() as u64).unwrap();
    Arc::new(Release::new(Arc::new(manifest), list).unwrap())
}

fn walk(root: &Path, below: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &path, paths);
        }
        paths.push(path);
    }
}

fn attributes(path: &Path, metadata: &fs::Metadata) -> Attributes {
    let mut names = vec![0; 4096];
    let bytes = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..bytes].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let bytes = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        value.truncate(bytes);
        value
    };
    Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime_s: metadata.mtime(),
        mtime_ns: metadata.mtime_nsec() as u32,
        xattrs: names.map(|name| (name.to_vec().into(), value(name).into())).collect(),
    }
}
