//! Puts a tree into a repository: its chunks, its chunk list, its manifest. Nothing of that is
//! visible as a release before metadata that names the manifest is signed and put in place, which is
//! not done here.
//!
//! A pipeline of bounded length: threads that [cut] files, one that asks what of that is new, threads
//! that [compress] it, and the first one again to write it to a pack. Whatever the threads do, chunks
//! stay in the order of the tree. So the outcome is a function of the tree and the options alone, and
//! the same tree published twice gives the same bytes and adds nothing.
//!
//! [cut]: super::cut
//! [compress]: super::compress

use super::capture::{self, CaptureError, Captured};
use super::compress::{Compressed, Compressor};
use super::cut::{Cut, Cutter};
use super::pack_writer::{PackError, PackWriter, Written};
use super::{Repository, durable};
use protocol::content::chunk_list::ChunkListBuilder;
use protocol::content::manifest::{
    ChunkListRef, ChunkerParameters, Entry, FORMAT, Kind, Manifest, ManifestError, VerifiedManifest,
};
use protocol::content::name::TargetPath;
use protocol::content::release::{Release, ReleaseError};
use protocol::id::{ChunkListId, ManifestId};
use serde_bytes::ByteBuf;
use std::collections::BTreeSet;
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// The zstd level of what is published: 3 keeps up with a disk on two cores.
const ZSTD_LEVEL: i32 = 3;
/// Beyond these, on a machine of many cores, compressing and the one thread that writes are slower than cutting.
const CUTTING_THREADS_MAX: usize = 4;
/// Each worker may have 4 MiB before it, so this bounds memory; one thread writes what all of them make.
const WORKERS_MAX: usize = 16;

/// What a publisher may choose beside the tree.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Let files be setuid, setgid or have capabilities; each is listed in the manifest.
    pub allow_setuid: bool,
    /// One modification time for all, in seconds since 1970, instead of each entry's own.
    pub mtime_s: Option<i64>,
    /// The data-format epoch that the release belongs to.
    pub epoch: u32,
    /// Ids of the keys that sign for the repository, whose secret halves are not to be published.
    pub own_keys: BTreeSet<String>,
}

/// How far a publish has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of file content read.
    pub read_bytes: u64,
    /// Bytes of file content to read.
    pub tree_bytes: u64,
    /// Plain bytes found that the repository did not have.
    pub new_bytes: u64,
}

/// A tree that is in the repository, ready to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The manifest's path in TUF metadata.
    pub target: TargetPath,
    /// Its name: the SHA-256 to sign.
    pub manifest: ManifestId,
    /// Its length in bytes, to sign.
    pub manifest_bytes: u64,
    /// Its chunk list.
    pub chunk_list: ChunkListRef,
    /// Entries of the tree.
    pub entries: u64,
    /// What its regular files have together, in bytes.
    pub tree_bytes: u64,
    /// Its chunks, each counted once.
    pub chunks: u64,
    /// Their plain bytes.
    pub chunk_bytes: u64,
    /// What the repository did not have before.
    pub new: Written,
}

/// Why a tree could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The tree holds what cannot be published, or cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The repository would become part of what it publishes.
    #[error("repository {repository:?} lies inside tree {tree:?}; move it out, or publish another directory")]
    RepositoryInTree {
        /// The repository.
        repository: PathBuf,
        /// The tree.
        tree: PathBuf,
    },
    /// Chunks could not be kept.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A document could not be written.
    #[error("cannot write {path:?}; look for free space and for the right to write there")]
    Write {
        /// The document.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// No device would take the manifest.
    #[error("cannot publish {target}: devices would refuse it")]
    Manifest {
        /// The release.
        target: String,
        /// Why.
        source: Box<ManifestError>,
    },
    /// No device would take the chunk list.
    #[error("cannot publish {target}: devices would refuse its chunk list")]
    Release {
        /// The release.
        target: String,
        /// Why.
        source: Box<ReleaseError>,
    },
    /// Whoever asked for it no longer wants it.
    #[error("publishing was stopped; nothing is released")]
    Stopped,
}

/// Puts the tree at `tree` into `repository` as the release `target`. The repository must have been
/// opened to publish. `progress` is called after every chunk, and may stop it there.
pub fn publish_tree(
    repository: &mut Repository,
    tree: &Path,
    target: &TargetPath,
    options: &PublishOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Published, PublishError> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX);
    publish_with(workers, repository, tree, target, options, progress)
}

fn publish_with(
    workers: usize,
    repository: &mut Repository,
    tree: &Path,
    target: &TargetPath,
    options: &PublishOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Published, PublishError> {
    // The tree itself may be given through a link; beneath it none is followed.
    let tree = absolute(tree)?;
    let inside = absolute(repository.path())?;
    if inside.starts_with(&tree) {
        return Err(PublishError::RepositoryInTree { repository: inside, tree });
    }
    let mut captured = capture::walk(&tree, options.allow_setuid)?;
    if let Some(mtime_s) = options.mtime_s {
        for attributes in captured.iter_mut().filter_map(|entry| entry.attributes.as_mut()) {
            (attributes.mtime_s, attributes.mtime_ns) = (mtime_s, 0);
        }
    }
    let files: Vec<&Captured> = captured.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })).collect();
    let content = thread::scope(|scope| {
        let cutter = Cutter::start(scope, workers.min(CUTTING_THREADS_MAX), &tree, &files, &options.own_keys);
        let compressor = Compressor::start(scope, workers, ZSTD_LEVEL);
        add_content(repository, &files, cutter, compressor, progress)
    })?;
    let manifest = manifest(target, options, captured, &content);
    write_documents(repository, target, manifest, &content)
}

fn absolute(path: &Path) -> Result<PathBuf, CaptureError> {
    path.canonicalize().map_err(|source| CaptureError::at_root(path, source))
}

/// What the files of a tree came to.
struct Content {
    /// The BLAKE3 of each regular file, in the order of the tree.
    hashes: Vec<[u8; 32]>,
    /// The chunk list's bytes.
    chunk_list: Vec<u8>,
    /// What the repository did not have before.
    new: Written,
}

/// Takes what is cut from the files, and lets what is new in it be compressed and packed.
fn add_content(
    repository: &mut Repository,
    files: &[&Captured],
    mut cutter: Cutter,
    mut compressor: Compressor,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Content, PublishError> {
    let bytes = |file: &&Captured| if let Kind::File { bytes, .. } = file.kind { bytes } else { 0 };
    let mut state = Progress { tree_bytes: files.iter().map(bytes).sum(), ..Progress::default() };
    let mut packs = PackWriter::new(repository);
    let mut chunk_list = ChunkListBuilder::default();
    let mut hashes = Vec::with_capacity(files.len());
    while hashes.len() < files.len() {
        let (chunk, plain) = match cutter.pop()? {
            Cut::Chunk(chunk, plain) => (chunk, plain),
            Cut::End(hash) => {
                hashes.push(hash);
                continue;
            }
        };
        state.read_bytes += u64::from(chunk.bytes);
        if chunk_list.push(chunk) && !packs.has(&chunk.id) {
            state.new_bytes += u64::from(chunk.bytes);
            if let Some(Compressed { chunk, encoding, wire }) = compressor.push(chunk, plain) {
                packs.add(chunk, encoding, &wire)?;
            }
        }
        if progress(state).is_break() {
            return Err(PublishError::Stopped);
        }
    }
    while let Some(Compressed { chunk, encoding, wire }) = compressor.pop() {
        packs.add(chunk, encoding, &wire)?;
    }
    Ok(Content { hashes, chunk_list: chunk_list.finish().encode(), new: packs.finish()? })
}

fn manifest(
    target: &TargetPath,
    options: &PublishOptions,
    mut captured: Vec<Captured>,
    Content { hashes, chunk_list, .. }: &Content,
) -> Manifest {
    let files = captured.iter_mut().filter_map(|entry| match &mut entry.kind {
        Kind::File { blake3, .. } => Some(blake3),
        _ => None,
    });
    files.zip(hashes).for_each(|(blake3, hash)| *blake3 = *hash);
    let is_privileged = |entry: &&Captured| {
        matches!(entry.kind, Kind::File { .. }) && entry.attributes.as_ref().is_some_and(|a| a.are_privileged())
    };
    Manifest {
        format: FORMAT,
        min_reader: FORMAT,
        channel: target.channel.to_string(),
        version: target.version.to_string(),
        epoch: options.epoch,
        chunker: ChunkerParameters::default(),
        chunk_list: ChunkListRef { id: ChunkListId::of(chunk_list), bytes: chunk_list.len() as u64 },
        privileged: captured.iter().filter(is_privileged).map(|entry| ByteBuf::from(entry.path.clone())).collect(),
        entries: captured
            .into_iter()
            .map(|Captured { path, kind, attributes, .. }| Entry { path, kind, attributes })
            .collect(),
    }
}

/// Writes the chunk list and then the manifest, after both have passed what every device will ask.
fn write_documents(
    repository: &Repository,
    target: &TargetPath,
    manifest: Manifest,
    Content { chunk_list, new, .. }: &Content,
) -> Result<Published, PublishError> {
    let bytes = manifest.encode();
    let verified = VerifiedManifest::verify(&bytes, ManifestId::of(&bytes), bytes.len() as u64)
        .map_err(|source| PublishError::Manifest { target: target.to_string(), source: Box::new(source) })?;
    let release = Release::new(Arc::new(verified), chunk_list)
        .map_err(|source| PublishError::Release { target: target.to_string(), source: Box::new(source) })?;
    write_document(&repository.chunk_list_path(&manifest.chunk_list.id), chunk_list)?;
    write_document(&repository.manifest_path(target, &release.id()), &bytes)?;
    Ok(Published {
        target: target.clone(),
        manifest: release.id(),
        manifest_bytes: release.manifest().bytes(),
        chunk_list: manifest.chunk_list,
        entries: manifest.entries.len() as u64,
        tree_bytes: release.tree_bytes(),
        chunks: release.chunk_count().into(),
        chunk_bytes: release.total_bytes(),
        new: *new,
    })
}

fn write_document(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    durable::create_directory(directory)
        .and_then(|()| durable::write(path, bytes))
        .map_err(|source| PublishError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::content::chunk::VerifiedChunk;
    use protocol::content::encoding::decode;
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    const GO_ON: ControlFlow<()> = ControlFlow::Continue(());

    fn target(version: &str) -> TargetPath {
        format!("stable/tree_{version}.manifest").parse().unwrap()
    }

    /// Content that does not compress (odd) or does (even).
    fn content(name: u8, bytes: usize) -> Vec<u8> {
        let mut content = vec![name; bytes];
        if name % 2 == 1 {
            blake3::Hasher::new().update(&[name]).finalize_xof().fill(&mut content);
        }
        content
    }

    /// A tree with every kind of entry, odd names, large and empty files.
    fn tree() -> TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| tree.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(at(b"dir/empty dir")).unwrap();
        for (name, bytes) in [(1u8, 700_000usize), (2, 600_000), (3, 10), (4, 1), (5, 3_000_000)] {
            fs::write(at(format!("dir/{name}").as_bytes()), content(name, bytes)).unwrap();
        }
        fs::write(at(b"copy of 1"), content(1, 700_000)).unwrap();
        fs::write(at(b"-rf\n\xff"), b"").unwrap();
        symlink("dir/1", at(b"link")).unwrap();
        fs::hard_link(at(b"dir/1"), at(b"z hard link")).unwrap();
        tree
    }

    fn repository() -> (TempDir, Repository) {
        let home = tempfile::tempdir().unwrap();
        Repository::create(home.path()).unwrap();
        let repository = Repository::open_to_publish(home.path()).unwrap();
        (home, repository)
    }

    fn publish(repository: &mut Repository, tree: &TempDir, version: &str) -> Result<Published, PublishError> {
        publish_tree(repository, tree.path(), &target(version), &PublishOptions::default(), &mut |_| GO_ON)
    }

    /// All regular files as a device makes them: from the manifest, the list and the chunks alone.
    fn contents(repository: &Repository, published: &Published) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let bytes = repository.manifest(&published.target, &published.manifest).unwrap();
        let manifest = VerifiedManifest::verify(&bytes, published.manifest, published.manifest_bytes).unwrap();
        let list = repository.chunk_list(&manifest.chunk_list.id).unwrap();
        let release = Release::new(Arc::new(manifest), &list).unwrap();
        let plain = |index: &u32| {
            let wanted = release.chunks()[*index as usize];
            let stored = repository.read(&wanted.id).unwrap();
            let plain = decode(stored.encoding, &stored.wire, stored.plain_bytes).unwrap();
            VerifiedChunk::verify(wanted, plain).unwrap().into_plain()
        };
        let file = |(at, entry): (usize, &Entry)| match entry.kind {
            Kind::File { blake3, .. } => {
                let content: Vec<u8> = release.file_chunks(at as u32).iter().flat_map(plain).collect();
                assert_eq!(*blake3::hash(&content).as_bytes(), blake3);
                Some((entry.path.clone(), content))
            }
            _ => None,
        };
        release.manifest().entries.iter().enumerate().filter_map(file).collect()
    }

    /// Every file of a repository with its bytes, but for the lock.
    fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                files.extend(
                    self::files(&entry.path()).into_iter().map(|(p, b)| (Path::new(&entry.file_name()).join(p), b)),
                );
            } else if entry.file_name() != ".lock" {
                files.insert(entry.file_name().into(), fs::read(entry.path()).unwrap());
            }
        }
        files
    }

    #[test]
    fn every_file_can_be_made_again_from_the_repository() {
        let (tree, (_home, mut repository)) = (tree(), repository());
        let (mut last, options) = (Progress::default(), PublishOptions::default());
        let mut note = |now| {
            last = now;
            GO_ON
        };
        let published = publish_tree(&mut repository, tree.path(), &target("1.0"), &options, &mut note).unwrap();
        let mut expected =
            BTreeMap::from([(b"-rf\n\xff".to_vec(), Vec::new()), (b"copy of 1".to_vec(), content(1, 700_000))]);
        for (name, bytes) in [(1u8, 700_000usize), (2, 600_000), (3, 10), (4, 1), (5, 3_000_000)] {
            expected.insert(format!("dir/{name}").into_bytes(), content(name, bytes));
        }
        assert_eq!(contents(&repository, &published), expected);
        assert_eq!(published.tree_bytes, 5_000_011);
        assert!(published.chunk_bytes <= 4_300_011, "the copy costs nothing");
        assert!(published.new.wire_bytes < published.chunk_bytes - 200_000, "what compresses is compressed");
        assert_eq!(published.new.plain_bytes, published.chunk_bytes);
        assert_eq!(last, Progress { read_bytes: 5_000_011, tree_bytes: 5_000_011, new_bytes: published.chunk_bytes });
    }

    #[test]
    fn the_same_tree_published_twice_adds_nothing() {
        let (tree, (home, mut repository)) = (tree(), repository());
        let first = publish(&mut repository, &tree, "1.0").unwrap();
        let before = files(home.path());
        let second = publish(&mut repository, &tree, "1.0").unwrap();
        assert_eq!(second, Published { new: Written::default(), ..first });
        assert_eq!(files(home.path()), before);
    }

    #[test]
    fn one_worker_or_many_write_the_same_bytes() {
        let (tree, target, options) = (tree(), target("1.0"), PublishOptions::default());
        let written = [1, 2, 5].map(|workers| {
            let (home, mut repository) = repository();
            publish_with(workers, &mut repository, tree.path(), &target, &options, &mut |_| GO_ON).unwrap();
            files(home.path())
        });
        assert!(written[0].len() >= 5);
        assert!(written.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_second_release_adds_only_what_is_new() {
        let (tree, (_home, mut repository)) = (tree(), repository());
        let first = publish(&mut repository, &tree, "1.0").unwrap();
        fs::write(tree.path().join("dir/5"), [b"one line more", &content(5, 3_000_000)[..]].concat()).unwrap();
        fs::rename(tree.path().join("dir/2"), tree.path().join("moved")).unwrap();
        let second = publish(&mut repository, &tree, "1.1").unwrap();
        assert!((1..=3).contains(&second.new.chunks), "{:?}", second.new);
        assert_ne!(second.manifest, first.manifest);
        // The first one stays as it was.
        assert_eq!(contents(&repository, &first).len(), contents(&repository, &second).len());
    }

    #[test]
    fn setuid_files_are_listed_when_they_are_allowed() {
        let (tree, (_home, mut repository)) = (tree(), repository());
        fs::set_permissions(tree.path().join("dir/3"), fs::Permissions::from_mode(0o4755)).unwrap();
        let refused = publish(&mut repository, &tree, "1.0").unwrap_err();
        assert!(matches!(refused, PublishError::Capture(CaptureError::Privileged(_))));
        let options = PublishOptions { allow_setuid: true, ..PublishOptions::default() };
        let published = publish_tree(&mut repository, tree.path(), &target("1.0"), &options, &mut |_| GO_ON).unwrap();
        let bytes = repository.manifest(&published.target, &published.manifest).unwrap();
        let manifest = VerifiedManifest::verify(&bytes, published.manifest, published.manifest_bytes).unwrap();
        assert_eq!(manifest.privileged, [ByteBuf::from("dir/3")]);
    }

    #[test]
    fn one_time_for_all_makes_copies_of_a_tree_one_release() {
        let options = PublishOptions { mtime_s: Some(1_700_000_000), ..PublishOptions::default() };
        let manifests = [tree(), tree()].map(|tree| {
            let (_home, mut repository) = repository();
            publish_tree(&mut repository, tree.path(), &target("1.0"), &options, &mut |_| GO_ON).unwrap().manifest
        });
        assert_eq!(manifests[0], manifests[1]);
    }

    #[test]
    fn a_repository_inside_the_tree_is_refused() {
        let tree = tree();
        let home = tree.path().join("dir/repository");
        Repository::create(&home).unwrap();
        let mut repository = Repository::open_to_publish(&home).unwrap();
        let error = publish(&mut repository, &tree, "1.0").unwrap_err();
        assert!(matches!(error, PublishError::RepositoryInTree { .. }));
    }

    /// What a publish into an untouched repository fails with, having left it as it was.
    fn failure(mut progress: impl FnMut(&TempDir, Progress) -> ControlFlow<()>) -> PublishError {
        let (tree, (home, mut repository)) = (tree(), repository());
        let (before, options) = (files(home.path()), PublishOptions::default());
        let mut progress = |now| progress(&tree, now);
        let error = publish_tree(&mut repository, tree.path(), &target("1.0"), &options, &mut progress).unwrap_err();
        assert_eq!(files(home.path()), before);
        error
    }

    #[test]
    fn somebody_writes_to_the_tree() {
        let error = failure(|tree, _| {
            fs::write(tree.path().join("dir/5"), b"somebody writes here").unwrap();
            GO_ON
        });
        assert!(matches!(error, PublishError::Capture(CaptureError::Changed(path)) if path.ends_with("dir/5")));
    }

    #[test]
    fn a_publish_is_stopped() {
        let error = failure(|_, now| if now.read_bytes < 1_000_000 { GO_ON } else { ControlFlow::Break(()) });
        assert!(matches!(error, PublishError::Stopped));
    }
}
