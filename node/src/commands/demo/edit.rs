//! A realistic second release: what a few days of work change in a tree, always the same for the same
//! tree. Some texts get another line, some binaries other bytes in their middle, one grows; some files
//! go, some come, and a directory gets another name.

use crate::repository::capture::{self, CaptureError, Captured};
use protocol::content::manifest::Kind;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Files that are looked at, spread over the whole tree.
const LOOKED_AT: usize = 400;
const TEXTS_CHANGED: usize = 12;
const BINARIES_PATCHED: usize = 4;
const FILES_DELETED: usize = 6;
/// Only smaller texts are changed, and only smaller files deleted.
const SMALL_BYTES: u64 = 1_000_000;
/// Only larger binaries are patched.
const LARGE_BYTES: u64 = 50_000;
const PATCH_BYTES: usize = 64;
const GROWTH_BYTES: usize = 300_000;
const ADDED_BYTES: usize = 1_500_000;
/// What the edit adds to a tree at most.
pub const EDIT_BYTES: u64 = (GROWTH_BYTES + 2 * ADDED_BYTES) as u64;
/// The names that are added, and the text.
const ADDED: &str = "new-in-2.0";
const LINE: &[u8] = b"# this line is new in release 2.0";
/// With more, a longer name might not be lawful.
const NAME_BYTES_MAX: usize = 200;

/// Why a tree could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It could not be walked.
    #[error(transparent)]
    Walk(#[from] CaptureError),
    /// Something in it could not be changed.
    #[error("cannot change {} for the second release; name a TREE2 of your own", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Line,
    Patch,
    Grow,
    Delete,
}

/// Edits the tree at `root`, which nobody else needs.
///
/// # Errors
/// [`EditError`].
pub fn edit(root: &Path) -> Result<(), EditError> {
    let entries = capture::walk(root, true)?;
    let full = |entry: &Captured| root.join(OsStr::from_bytes(&entry.path));
    let of_path = |path: &Path| {
        let path = path.to_owned();
        move |source| EditError::Io { path, source }
    };
    let size = |entry: &Captured| if let Kind::File { bytes, .. } = entry.kind { bytes } else { 0 };
    let files: Vec<&Captured> = entries.iter().filter(|entry| size(entry) > 0).collect();
    let mut done: Vec<Change> = Vec::new();
    for file in files.iter().step_by(files.len().div_ceil(LOOKED_AT).max(1)) {
        let path = full(file);
        let change = with_rights(&path, || Ok(choose(&done, size(file), is_text(&path)?))).map_err(of_path(&path))?;
        if let Some(change) = change {
            with_rights(&path, || apply(change, &path)).map_err(of_path(&path))?;
            done.push(change);
        }
    }
    with_rights(&root.join(ADDED), || add(root)).map_err(of_path(root))?;
    let directories: Vec<PathBuf> =
        entries.iter().filter(|entry| entry.kind == Kind::Directory && !entry.path.is_empty()).map(full).collect();
    if let Some(directory) = directories.get(directories.len() / 2) {
        with_rights(directory, || rename(directory)).map_err(of_path(directory))?;
    }
    Ok(())
}

/// The first kind of change that fits the file and is not done often enough.
fn choose(done: &[Change], bytes: u64, is_text: bool) -> Option<Change> {
    let wanted = |change: Change, times: usize| done.iter().filter(|done| **done == change).count() < times;
    match (is_text, bytes) {
        (true, 0..SMALL_BYTES) if wanted(Change::Line, TEXTS_CHANGED) => Some(Change::Line),
        (false, LARGE_BYTES..) if wanted(Change::Patch, BINARIES_PATCHED) => Some(Change::Patch),
        (false, LARGE_BYTES..) if wanted(Change::Grow, 1) => Some(Change::Grow),
        (_, 0..SMALL_BYTES) if done.contains(&Change::Line) && wanted(Change::Delete, FILES_DELETED) => {
            Some(Change::Delete)
        }
        _ => None,
    }
}

fn is_text(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(4096).read_to_end(&mut head)?;
    Ok(!head.contains(&0) && head.contains(&b'\n'))
}

fn apply(change: Change, path: &Path) -> io::Result<()> {
    match change {
        Change::Line => {
            let text = fs::read(path)?;
            let middle = text[text.len() / 2..].iter().position(|byte| *byte == b'\n');
            let at = middle.map_or(text.len(), |newline| text.len() / 2 + newline + 1);
            fs::write(path, [&text[..at], LINE, b"\n", &text[at..]].concat())
        }
        Change::Patch => {
            let file = OpenOptions::new().write(true).open(path)?;
            file.write_all_at(&noise(path, PATCH_BYTES), file.metadata()?.len() / 2)
        }
        Change::Grow => OpenOptions::new().append(true).open(path)?.write_all(&noise(path, GROWTH_BYTES)),
        Change::Delete => fs::remove_file(path),
    }
}

/// Adds a directory with a few files.
fn add(root: &Path) -> io::Result<()> {
    let added = root.join(ADDED);
    if added.symlink_metadata().is_ok() {
        return Ok(());
    }
    fs::create_dir(&added)?;
    fs::write(added.join("pictures.bin"), noise(Path::new("pictures"), ADDED_BYTES))?;
    let words = noise(Path::new("words"), ADDED_BYTES / 16);
    let words: Vec<u8> = words.iter().flat_map(|byte| format!("word number {byte}\n").into_bytes()).collect();
    fs::write(added.join("a long text"), words)?;
    fs::write(added.join("empty"), b"")?;
    symlink("a long text", added.join("read me first"))
}

/// Gives a directory another name. What is in it stays as it was.
fn rename(directory: &Path) -> io::Result<()> {
    let mut name = directory.file_name().unwrap_or_default().to_owned().into_vec();
    name.extend_from_slice(b"-renamed");
    let renamed = directory.with_file_name(OsStr::from_bytes(&name));
    if name.len() > NAME_BYTES_MAX || renamed.symlink_metadata().is_ok() {
        return Ok(());
    }
    fs::rename(directory, renamed)
}

/// Bytes that nothing makes smaller, always the same for the same path's name.
fn noise(path: &Path, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(path.file_name().unwrap_or_default().as_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// Does something to what stands at `path`, also where its mode or that of its directory forbids it,
/// and puts both modes back.
fn with_rights<T>(path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut modes: Vec<(&Path, Permissions)> = Vec::new();
    for path in path.parent().into_iter().chain([path]) {
        // Through a link, the mode of something outside would change.
        let Some(metadata) = fs::symlink_metadata(path).ok().filter(|metadata| !metadata.is_symlink()) else {
            continue;
        };
        fs::set_permissions(path, Permissions::from_mode(metadata.permissions().mode() | 0o700))?;
        modes.push((path, metadata.permissions()));
    }
    let result = act()?;
    // The file first: where its directory is sealed again, it can no longer be reached.
    for (path, mode) in modes.into_iter().rev() {
        if path.symlink_metadata().is_ok() {
            fs::set_permissions(path, mode)?;
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: String| tree.path().join(path);
        for n in 0..30 {
            fs::create_dir(at(format!("{n}"))).unwrap();
            fs::write(at(format!("{n}/text")), "one\ntwo\nthree\nfour\n".repeat(50)).unwrap();
            fs::write(at(format!("{n}/binary")), [0, 1, 2, 3].repeat(50_000)).unwrap();
        }
        fs::write(at("empty".to_owned()), "").unwrap();
        tree
    }

    /// Content by path; of a link its text.
    fn contents(root: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let content = |path: &Path| match fs::read_link(path) {
            Ok(target) => target.into_os_string().into_vec(),
            Err(_) => fs::read(path).unwrap_or_default(),
        };
        let entries = capture::walk(root, true).unwrap().into_iter();
        entries.map(|entry| (entry.path.clone(), content(&root.join(OsStr::from_bytes(&entry.path))))).collect()
    }

    #[test]
    fn the_same_tree_is_edited_in_the_same_way() {
        let (first, second) = (tree(), tree());
        edit(first.path()).unwrap();
        edit(second.path()).unwrap();
        assert!(contents(first.path()) == contents(second.path()));
    }

    #[test]
    fn some_of_everything_changes_and_most_stays() {
        let tree = tree();
        let before = contents(tree.path());
        edit(tree.path()).unwrap();
        let after = contents(tree.path());
        let gone: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
        let changed =
            before.iter().filter(|(path, content)| after.get(*path).is_some_and(|now| now != *content)).count();
        // A directory with its two files is renamed, and six files are deleted.
        assert_eq!(gone.len(), 3 + FILES_DELETED);
        assert_eq!(changed, TEXTS_CHANGED + BINARIES_PATCHED + 1);
        assert!(after.contains_key(&b"new-in-2.0/pictures.bin"[..]));
        assert_eq!(after.iter().filter(|(path, _)| path.windows(8).any(|name| name == b"-renamed")).count(), 3);
    }

    #[test]
    fn a_sealed_tree_is_edited_and_sealed_again() {
        let tree = tempfile::tempdir().unwrap();
        let (directory, file) = (tree.path().join("d"), tree.path().join("d/text"));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "one\ntwo\nthree\n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o500)).unwrap();
        with_rights(&file, || apply(Change::Line, &file)).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [b"one\ntwo\n", LINE, b"\nthree\n"].concat());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&directory), mode(&file)), (0o500, 0o400));
    }

    #[test]
    fn what_a_link_leads_to_outside_is_left_alone() {
        let (tree, outside) = (tree(), tempfile::tempdir().unwrap());
        let letter = outside.path().join("letter");
        fs::write(&letter, "dear\n").unwrap();
        fs::set_permissions(&letter, Permissions::from_mode(0o400)).unwrap();
        symlink(&letter, tree.path().join(ADDED)).unwrap();
        edit(tree.path()).unwrap();
        assert_eq!(fs::read(&letter).unwrap(), b"dear\n");
        assert_eq!(fs::metadata(&letter).unwrap().permissions().mode() & 0o7777, 0o400);
    }
}
