//! Removing a tree: renamed first, so that a half-removed one is never taken for a whole one.

use super::directory::Directory;
use rustix::fs::FileType;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the names of trees being removed begin with; no version does.
const PREFIX: &[u8] = b"trash-";

/// Removes a directory and all that is in it, also where modes forbid that to their owner; returns the
/// bytes of disk that this freed.
///
/// # Errors
/// When the disk refuses; what is left can be removed by a second call.
pub fn remove_tree(path: &Path) -> io::Result<u64> {
    let path = path.canonicalize()?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root of a file system is no tree of ours"));
    };
    remove(&Directory::open(parent)?, name.as_bytes())
}

/// Whether a tree of this name is being removed.
pub(super) fn is_trash(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Takes the tree `name` out of use, in one step; returns the name to [`remove`] it by.
pub(super) fn discard(parent: &Directory, name: &[u8]) -> io::Result<Vec<u8>> {
    // An earlier tree of this name may still be on its way out.
    let mut trash = [PREFIX, name].concat();
    while parent.stat(&trash)?.is_some() {
        trash.push(b'~');
    }
    parent.rename(name, parent, &trash)?;
    Ok(trash)
}

/// Removes the tree `trash` and all that is in it; returns the bytes of disk that this freed.
///
/// Subdirectories are moved up to the top before they are emptied. So the depth of a tree costs
/// neither stack nor descriptors, and an interrupted removal goes on where it was.
pub(super) fn remove(parent: &Directory, trash: &[u8]) -> io::Result<u64> {
    let mut freed = 0;
    // A directory may refuse its owner, who may however change that.
    parent.set_mode(trash, 0o700)?;
    let top = parent.subdirectory(trash)?;
    let mut moved = 0u64;
    loop {
        let names = top.names()?;
        if names.is_empty() {
            parent.remove_directory(trash)?;
            return Ok(freed);
        }
        for name in names {
            if is_directory(&top, &name)? {
                top.set_mode(&name, 0o700)?;
                freed += flatten(&top, &name, &mut moved)?;
                top.remove_directory(&name)?;
            } else {
                freed += remove_file(&top, &name)?;
            }
        }
    }
}

/// Empties the directory `name` of `top`: its files are removed, its directories moved to `top`.
fn flatten(top: &Directory, name: &[u8], moved: &mut u64) -> io::Result<u64> {
    let mut freed = 0;
    let directory = top.subdirectory(name)?;
    loop {
        let children = directory.names()?;
        if children.is_empty() {
            return Ok(freed);
        }
        for child in children {
            if is_directory(&directory, &child)? {
                // Only who may write in a directory may move it elsewhere.
                directory.set_mode(&child, 0o700)?;
                directory.rename(&child, top, &free_name(top, moved)?)?;
            } else {
                freed += remove_file(&directory, &child)?;
            }
        }
    }
}

fn free_name(top: &Directory, moved: &mut u64) -> io::Result<Vec<u8>> {
    loop {
        *moved += 1;
        let name = format!("moved-{moved}").into_bytes();
        if top.stat(&name)?.is_none() {
            return Ok(name);
        }
    }
}

fn is_directory(parent: &Directory, name: &[u8]) -> io::Result<bool> {
    let stat = parent.stat(name)?;
    Ok(stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
}

fn remove_file(parent: &Directory, name: &[u8]) -> io::Result<u64> {
    let stat = parent.stat(name)?;
    parent.remove(name)?;
    // Other names keep a file's bytes. Linux counts blocks in units of 512 bytes.
    let freed = stat.filter(|stat| stat.st_nlink == 1).map_or(0, |stat| stat.st_blocks * 512);
    Ok(u64::try_from(freed).unwrap_or(0))
}
