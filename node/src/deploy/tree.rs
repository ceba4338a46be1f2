//! A release's tree on disk, read chunk by chunk, and every chunk verified on the way out.
//!
//! The tree may be applied or still being filled; either way a person, a bad disk or a fetch that has
//! not come so far can make a place hold something else. That costs a chunk, never a wrong byte.

use super::directory::{Access, Directory};
use super::handles::Handles;
use protocol::content::chunk::VerifiedChunk;
use protocol::content::manifest::Entry;
use protocol::content::release::{Place, Release};
use protocol::id::ChunkRef;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tree of a release. It goes on reading the same tree when that is renamed.
#[derive(Debug)]
pub struct Tree {
    release: Arc<Release>,
    root: Directory,
    handles: Handles,
}

/// Why a chunk could not be read from a tree.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No place in the tree holds the chunk any more: fetch it again, and say no longer that it is here.
    #[error("{path:?} no longer holds what the release put there")]
    Damaged {
        /// The last place looked at, in the tree.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("cannot read {path:?} in the release's tree: check the disk and the file's permissions")]
    Io {
        /// The file, in the tree.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Tree {
    pub(super) fn new(root: Directory, release: Arc<Release>, access: Access) -> Self {
        Self { release, root, handles: Handles::new(access) }
    }

    /// The tree of `release` in this directory, wherever that is.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn open(directory: &Path, release: Arc<Release>) -> io::Result<Self> {
        Ok(Self::new(Directory::open(directory)?, release, Access::Read))
    }

    /// The release whose tree this is.
    pub fn release(&self) -> &Arc<Release> {
        &self.release
    }

    /// The chunk `index` of the release, from the first place that still holds it.
    ///
    /// # Errors
    /// [`ReadError`], when no place does.
    pub fn read(&mut self, index: u32) -> Result<VerifiedChunk<'static>, ReadError> {
        let release = Arc::clone(&self.release);
        let wanted = release.chunks()[index as usize];
        let (last, others) = release.places(index).split_last().expect("every chunk of a release has a place");
        for place in others {
            if let Ok(chunk) = self.read_at(*place, wanted) {
                return Ok(chunk);
            }
        }
        self.read_at(*last, wanted)
    }

    /// The chunk `wanted`, if it is what stands at `place`.
    pub(super) fn read_at(&mut self, place: Place, wanted: ChunkRef) -> Result<VerifiedChunk<'static>, ReadError> {
        let path = || path_of(&self.release.manifest().entries[place.entry as usize]);
        let mut plain = vec![0; wanted.bytes as usize];
        let read = self.handles.get(&self.root, place.entry, entry_path(&self.release, place.entry));
        match read.and_then(|file| file.read_exact_at(&mut plain, place.offset)) {
            Ok(()) => VerifiedChunk::verify(wanted, plain).map_err(|_| ReadError::Damaged { path: path() }),
            Err(error) if is_change(&error) => Err(ReadError::Damaged { path: path() }),
            Err(source) => Err(ReadError::Io { path: path(), source }),
        }
    }

    /// The same tree, to read only: its owner may not write to every file once modes are set.
    pub(super) fn read_only(self) -> Self {
        Self::new(self.root, self.release, Access::Read)
    }

    pub(super) fn root(&self) -> &Directory {
        &self.root
    }

    /// The open file of an entry.
    pub(super) fn file(&mut self, entry: u32) -> io::Result<&File> {
        self.handles.get(&self.root, entry, entry_path(&self.release, entry))
    }

    pub(super) fn close_files(&mut self) {
        self.handles.close();
    }
}

fn entry_path(release: &Release, entry: u32) -> &[u8] {
    &release.manifest().entries[entry as usize].path
}

/// An entry's path, to show; the root's is `.`.
pub(super) fn path_of(entry: &Entry) -> PathBuf {
    let path: &[u8] = if entry.path.is_empty() { b"." } else { &entry.path };
    PathBuf::from(OsStr::from_bytes(path))
}

/// Whether an error only says that something else stands where a file stood.
pub(super) fn is_change(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
    use rustix::io::Errno;
    let kinds = [InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof];
    // A link in a file's place, and a socket, have no kind of their own in std.
    let errnos = [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
    kinds.contains(&error.kind()) || errnos.contains(&error.raw_os_error())
}
