//! From a filled staging tree to one that is exactly what the manifest says, apart from its root.
//!
//! Every byte is verified again, then links are made, then attributes set, children before their
//! parents (the time and a read-only mode of a directory would not survive work in it). Each part may
//! be repeated after an interruption. Switching to the tree is [`Deployment`](super::Deployment)'s work.

use super::attributes::{Authority, Skipped, Wanted};
use super::directory::{Access, Directory, Parents};
use super::tree::{Tree, is_change, path_of};
use protocol::content::manifest::{Entry, Kind};
use protocol::content::release::{Place, Release};
use std::fs::File;
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

/// Read at a time when a file is hashed.
const READ_BYTES: usize = 256 * 1024;
/// How far hashing a whole release stands back behind what else the processor has to do.
const NICENESS: i32 = 10;

/// A release that was applied.
#[derive(Debug)]
pub struct Applied {
    /// Its tree, which `current` now leads to.
    pub tree: Tree,
    /// What could not be set for lack of rights.
    pub skipped: Skipped,
}

/// Why a release was not applied. The release before is still current, unless it is the disk that
/// failed ([`ApplyError::Home`]).
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The staged tree lacks these chunks, or holds other bytes: stage the release again, fetch them,
    /// and apply again.
    #[error("{} staged chunks are missing or damaged and must be fetched again", .chunks.len())]
    Damaged {
        /// Their indexes in the release, ascending.
        chunks: Vec<u32>,
    },
    /// All chunks of a file are right, and the file is not: no fetch can help.
    #[error("{path:?} is not what its chunks make: the publisher must publish the release again")]
    Inconsistent {
        /// The file, in the tree.
        path: PathBuf,
    },
    /// The release is the current one.
    #[error("{name} is the current release already")]
    AlreadyCurrent {
        /// The tree's name.
        name: String,
    },
    /// An entry could not be made or given its attributes.
    #[error("cannot lay out {path:?}: check that its file system takes such names, owners and attributes")]
    Entry {
        /// The entry, in the tree.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The home could not be changed. Opened again, it has exactly the old or the new release.
    #[error("cannot switch releases in {home:?}: check the disk, then start again")]
    Home {
        /// The home.
        home: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes all of the tree but its root's attributes.
pub(super) fn lay_out(tree: &mut Tree, authority: Authority) -> Result<Skipped, ApplyError> {
    let checked = thread::scope(|scope| scope.spawn(|| check_content(tree)).join());
    checked.unwrap_or_else(|panic| resume_unwind(panic))?;
    let release = tree.release().clone();
    make_links(&release, tree.root())?;
    let mut skipped = Skipped::default();
    let mut parents = Parents::new(tree.root());
    for entry in release.manifest().entries.iter().rev().filter(|entry| !entry.path.is_empty()) {
        set_attributes(entry, &mut parents, authority, &mut skipped)?;
    }
    Ok(skipped)
}

/// Gives one entry its attributes; the root's come last of all, as they may close it to its owner.
pub(super) fn set_attributes(
    entry: &Entry,
    parents: &mut Parents,
    authority: Authority,
    skipped: &mut Skipped,
) -> Result<(), ApplyError> {
    // A hard link has the attributes of its target, which is an entry of its own.
    let (Some(attributes), false) = (&entry.attributes, matches!(entry.kind, Kind::HardLink { .. })) else {
        return Ok(());
    };
    let wanted = Wanted { kind: &entry.kind, attributes, authority };
    let complete = parents
        .of(&entry.path)
        .and_then(|(parent, name)| wanted.set(parent, name, skipped))
        .map_err(|source| ApplyError::Entry { path: path_of(entry), source })?;
    if !complete && skipped.first.is_none() {
        skipped.first = Some(path_of(entry));
    }
    Ok(())
}

/// Reads and hashes every file, in a thread of its own that it makes a modest one: what the person at the laptop
/// does, and what peers wait for, comes before.
fn check_content(tree: &mut Tree) -> Result<(), ApplyError> {
    let _ = rustix::process::nice(NICENESS);
    let release = tree.release().clone();
    let mut damaged = Vec::new();
    for (entry, index) in release.manifest().entries.iter().zip(0u32..) {
        let Kind::File { bytes, blake3 } = &entry.kind else { continue };
        let hash = hash_file(tree.root(), &entry.path, *bytes);
        match hash {
            Ok(Some(hash)) if hash == *blake3 => {}
            Ok(hash) => {
                let before = damaged.len();
                damaged_chunks(tree, &release, index, hash.is_none(), &mut damaged);
                if damaged.len() == before {
                    return Err(ApplyError::Inconsistent { path: path_of(entry) });
                }
            }
            Err(source) => return Err(ApplyError::Entry { path: path_of(entry), source }),
        }
    }
    damaged.sort_unstable();
    damaged.dedup();
    if damaged.is_empty() { Ok(()) } else { Err(ApplyError::Damaged { chunks: damaged }) }
}

/// The BLAKE3 of the file at `path`, or nothing if there is no file of this length.
pub(super) fn hash_file(root: &Directory, path: &[u8], bytes: u64) -> io::Result<Option<[u8; 32]>> {
    let file = match root.file(path, Access::Read) {
        Ok(file) => file,
        Err(error) if is_change(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != bytes {
        return Ok(None);
    }
    hash(file).map(Some)
}

fn hash(mut file: File) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(*hasher.finalize().as_bytes()),
            bytes => hasher.update(&buffer[..bytes]),
        };
    }
}

/// Adds the chunks of one file that are not at their places; `all` of them, if the file is not there.
fn damaged_chunks(tree: &mut Tree, release: &Release, entry: u32, all: bool, damaged: &mut Vec<u32>) {
    let mut offset = 0;
    for index in release.file_chunks(entry) {
        let chunk = release.chunks()[*index as usize];
        if all || tree.read_at(Place { entry, offset }, chunk).is_err() {
            damaged.push(*index);
        }
        offset += u64::from(chunk.bytes);
    }
}

/// Makes the symbolic and hard links.
fn make_links(release: &Release, root: &Directory) -> Result<(), ApplyError> {
    let (mut parents, mut target_parents) = (Parents::new(root), Parents::new(root));
    for entry in &release.manifest().entries {
        let made = match &entry.kind {
            Kind::Symlink { target } => make_symlink(&mut parents, &entry.path, target),
            Kind::HardLink { target } => make_hard_link(&mut parents, &mut target_parents, &entry.path, target),
            Kind::File { .. } | Kind::Directory => Ok(()),
        };
        made.map_err(|source| ApplyError::Entry { path: path_of(entry), source })?;
    }
    Ok(())
}

fn make_symlink(parents: &mut Parents, path: &[u8], target: &[u8]) -> io::Result<()> {
    let (parent, name) = parents.of(path)?;
    if parent.link_text(name)?.is_some_and(|text| text == target) {
        return Ok(());
    }
    parent.remove(name)?;
    parent.make_link(target, name)
}

fn make_hard_link(parents: &mut Parents, target_parents: &mut Parents, path: &[u8], target: &[u8]) -> io::Result<()> {
    let (parent, name) = parents.of(path)?;
    let (target_parent, target_name) = target_parents.of(target)?;
    let file = target_parent.stat(target_name)?.ok_or(io::ErrorKind::NotFound)?;
    if parent.stat(name)?.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (file.st_dev, file.st_ino)) {
        return Ok(());
    }
    parent.remove(name)?;
    target_parent.make_hard_link(target_name, parent, name)
}
