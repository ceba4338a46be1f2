//! The disk that a release needs, known before anything is written.

use protocol::content::manifest::{Entry, Kind, Manifest};
use std::path::PathBuf;

/// Kept free beside the tree: for SQLite's journal, and so that the device's user can still save a lesson.
const MARGIN_BYTES: u64 = 64 * 1024 * 1024;

/// Most that an inode and its name cost on common file systems beside whole blocks.
const INODE_BYTES: u64 = 512;

/// What a release's tree needs of the disk, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// What the tree will still take, with directories, inodes and a margin, in bytes.
    pub tree_bytes: u64,
    /// What a user may still write, in bytes.
    pub free_bytes: u64,
    /// Files, directories and links of the tree that are still to be made.
    pub inodes: u64,
    /// Inodes left; nothing where the file system does not count them.
    pub free_inodes: Option<u64>,
}

/// The disk has no room for a release.
#[derive(Debug, thiserror::Error)]
pub enum DiskFull {
    /// Too few bytes.
    #[error(
        "the disk is too full: this release needs {} MB in {home:?}, where {} MB are free; \
         delete files you no longer need, then try again",
        megabytes(*.needed_bytes), .free_bytes / 1_000_000
    )]
    Bytes {
        /// What the tree still takes, margin included.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
        /// The home whose disk it is.
        home: PathBuf,
    },
    /// Too few inodes.
    #[error(
        "the disk holds too many files: this release needs {needed} more in {home:?}, where {free} are free; \
         delete files you no longer need, then try again"
    )]
    Inodes {
        /// Inodes that the tree still takes.
        needed: u64,
        /// Inodes that are free.
        free: u64,
        /// The home whose disk it is.
        home: PathBuf,
    },
}

fn megabytes(bytes: u64) -> u64 {
    // Rounded up, lest a need that is just too big looks as if it fitted.
    bytes.div_ceil(1_000_000)
}

impl Need {
    /// What all of `manifest`'s tree takes on a file system with such blocks, and nothing free.
    pub(super) fn of(manifest: &Manifest, block_bytes: u64) -> Self {
        let entries = manifest.entries.iter().map(|entry| entry_bytes(entry, block_bytes.max(1)));
        let tree_bytes = entries.fold(MARGIN_BYTES, u64::saturating_add);
        let inodes = manifest.entries.iter().filter(|entry| !matches!(entry.kind, Kind::HardLink { .. })).count();
        Self { tree_bytes, free_bytes: 0, inodes: inodes as u64, free_inodes: None }
    }

    /// Whether it fits.
    ///
    /// # Errors
    /// [`DiskFull`], in words for the person whose disk it is.
    pub fn check(&self, home: impl Into<PathBuf>) -> Result<(), DiskFull> {
        if self.tree_bytes > self.free_bytes {
            let (needed_bytes, free_bytes) = (self.tree_bytes, self.free_bytes);
            return Err(DiskFull::Bytes { needed_bytes, free_bytes, home: home.into() });
        }
        match self.free_inodes {
            Some(free) if free < self.inodes => Err(DiskFull::Inodes { needed: self.inodes, free, home: home.into() }),
            _ => Ok(()),
        }
    }
}

fn entry_bytes(entry: &Entry, block_bytes: u64) -> u64 {
    let attributes = entry.attributes.iter().flat_map(|attributes| &attributes.xattrs);
    let xattrs: u64 = attributes.map(|(name, value)| (name.len() + value.len()) as u64).sum();
    let content = match &entry.kind {
        Kind::File { bytes, .. } => *bytes,
        // A block each: names take little more, and a long link takes one as well.
        Kind::Directory => block_bytes,
        Kind::Symlink { target } => target.len() as u64,
        Kind::HardLink { .. } => 0,
    };
    let blocks = |bytes: u64| bytes.div_ceil(block_bytes).saturating_mul(block_bytes);
    blocks(content).saturating_add(blocks(xattrs)).saturating_add(INODE_BYTES + entry.path.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_short_is_too_full() {
        let need = Need { tree_bytes: 100, free_bytes: 100, inodes: 5, free_inodes: Some(5) };
        assert!(need.check("/home").is_ok());
        assert!(matches!(Need { free_bytes: 99, ..need }.check("/home"), Err(DiskFull::Bytes { .. })));
        assert!(matches!(Need { free_inodes: Some(4), ..need }.check("/home"), Err(DiskFull::Inodes { .. })));
    }

    #[test]
    fn the_need_is_never_told_smaller_than_it_is() {
        let need = Need { tree_bytes: 1_000_001, free_bytes: 1_000_000, inodes: 0, free_inodes: None };
        let text = need.check("/home/pupil").unwrap_err().to_string();
        assert!(text.contains("needs 2 MB in \"/home/pupil\", where 1 MB are free"), "{text}");
    }

    #[test]
    fn a_small_file_takes_a_whole_block() {
        let file = |bytes| Entry { path: b"f".to_vec(), kind: Kind::File { bytes, blake3: [0; 32] }, attributes: None };
        assert_eq!(entry_bytes(&file(1), 4096), 4096 + INODE_BYTES + 1);
        assert_eq!(entry_bytes(&file(4097), 4096), 2 * 4096 + INODE_BYTES + 1);
        assert_eq!(entry_bytes(&file(0), 4096), INODE_BYTES + 1);
        assert_eq!(entry_bytes(&file(u64::MAX), 4096), u64::MAX);
    }
}
