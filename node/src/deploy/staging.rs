//! One tree being filled: every directory and file stands, at its full length, and chunks are
//! written straight at their places.
//!
//! The files are sparse until then. Only a [`VerifiedChunk`] can be written, so a polluted chunk is
//! never at its place. A staging that is opened again keeps its bytes, and forgets nothing but which
//! of them are durable: that the caller records after each [`Staging::sync`].

use super::directory::{Access, Directory, Parents};
use super::tree::{Tree, path_of};
use protocol::content::chunk::VerifiedChunk;
use protocol::content::manifest::Kind;
use protocol::content::release::Release;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Up to so many files are synced one by one: then a sync does not wait for what other programs
/// have written. Beyond, one sync of the whole file system is much cheaper (ext4: 64 files in 5 ms
/// instead of 21), because each file costs a journal commit of its own.
const FILES_SYNCED_SINGLY_MAX: usize = 4;

/// A release's tree being filled.
#[derive(Debug)]
pub struct Staging {
    name: String,
    tree: Tree,
    dirty: BTreeSet<u32>,
}

/// Why a tree could not be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// An entry could not be made.
    #[error("cannot make {path:?} in the staging tree: free disk space, or remove what is in its place")]
    Entry {
        /// The entry, in the tree.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The tree's own directory could not be made, opened or synced.
    #[error("cannot prepare the staging tree {name}")]
    Root {
        /// The tree's name in `staging/`.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a chunk could not be written or made durable.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path:?} in the staging tree: check that the disk is neither full nor failing")]
pub struct WriteError {
    /// The file, in the tree.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Staging {
    /// Lays out the skeleton of `release` in the directory `name` of `parent`, or takes what is there.
    pub(super) fn create(parent: &Directory, name: String, release: Arc<Release>) -> Result<Self, StageError> {
        let of_root = |source| StageError::Root { name: name.clone(), source };
        parent.make_directory(name.as_bytes(), 0o700).map_err(of_root)?;
        let root = parent.subdirectory(name.as_bytes()).map_err(of_root)?;
        let mut parents = Parents::new(&root);
        for entry in release.manifest().entries.iter().filter(|entry| !entry.path.is_empty()) {
            let made = parents.of(&entry.path).and_then(|(parent, name)| match entry.kind {
                Kind::Directory => parent.make_directory(name, 0o700),
                Kind::File { bytes, .. } => parent.make_file(name, bytes),
                // Links come when the files are whole: a staging tree must not lead anywhere.
                Kind::Symlink { .. } | Kind::HardLink { .. } => Ok(()),
            });
            made.map_err(|source| StageError::Entry { path: path_of(entry), source })?;
        }
        // The names must be durable before any chunk in them is called so.
        root.sync_file_system().and_then(|()| parent.sync()).map_err(of_root)?;
        Ok(Self { tree: Tree::new(root, release, Access::Write), name, dirty: BTreeSet::new() })
    }

    /// The release being staged.
    pub fn release(&self) -> &Arc<Release> {
        self.tree.release()
    }

    /// The tree's name in `staging/`, and later in `releases/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the chunk `index` of the release at all its places. It is durable after the next
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`WriteError`] names the file; the chunk may then stand at some of its places.
    ///
    /// # Panics
    /// When `chunk` is not the release's chunk `index`: that is a bug of the caller.
    pub fn write(&mut self, index: u32, chunk: &VerifiedChunk<'_>) -> Result<(), WriteError> {
        let release = Arc::clone(self.tree.release());
        assert_eq!(release.chunks()[index as usize].id, chunk.id(), "a chunk is written as itself");
        for place in release.places(index) {
            self.dirty.insert(place.entry);
            super::power::step()
                .and_then(|()| self.tree.file(place.entry)?.write_all_at(chunk.plain(), place.offset))
                .map_err(|source| WriteError {
                    path: path_of(&release.manifest().entries[place.entry as usize]),
                    source,
                })?;
        }
        Ok(())
    }

    /// Makes every chunk written so far durable. Only then may the caller record them as had.
    ///
    /// # Errors
    /// [`WriteError`]: what was written since the last sync may be lost, and must be written again.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        let dirty = std::mem::take(&mut self.dirty);
        let release = Arc::clone(self.tree.release());
        if dirty.len() > FILES_SYNCED_SINGLY_MAX {
            let synced = self.tree.root().sync_file_system();
            return synced.map_err(|source| WriteError { path: PathBuf::from(&self.name), source });
        }
        for entry in dirty {
            super::power::step()
                .and_then(|()| self.tree.file(entry)?.sync_data())
                .map_err(|source| WriteError { path: path_of(&release.manifest().entries[entry as usize]), source })?;
        }
        Ok(())
    }

    /// The same tree, to read from while the rest still comes, and after it was applied.
    ///
    /// # Errors
    /// When the system refuses to open the directory once more.
    pub fn reader(&self) -> io::Result<Tree> {
        let root = self.tree.root().subdirectory(b".")?;
        Ok(Tree::new(root, Arc::clone(self.tree.release()), Access::Read))
    }

    pub(super) fn into_tree(mut self) -> Tree {
        // A file that is open for writing cannot be executed, so none may stay open.
        self.tree.close_files();
        self.tree
    }
}
