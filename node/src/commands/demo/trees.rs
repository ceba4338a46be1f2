//! What the demo publishes when a person names no tree: a part of this machine's system, and a copy
//! of a tree to be [edited](super::edit).

use super::class::last_line;
use super::interrupt::{Interrupt, Interrupted};
use crate::repository::capture::{self, CaptureError};
use protocol::content::manifest::Kind;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the default tree comes from, each with the bytes it may bring; what one leaves, the next may.
const SOURCES: [(&str, u64); 5] = [
    ("usr/bin", 40_000_000),
    ("usr/lib", 48_000_000),
    ("usr/share", 32_000_000),
    ("usr/sbin", 4_000_000),
    ("etc", 4_000_000),
];
/// What the default tree has at most, in bytes.
pub const DEFAULT_TREE_BYTES: u64 = 128_000_000;
/// A larger file is left out, so that no single one is most of the tree.
const FILE_BYTES_MAX: u64 = 16_000_000;
/// What everybody may read, so that no secret of this machine gets into the demo.
const READABLE_BY_ALL: u32 = 0o004;
/// What everybody may read and enter.
const OPEN_TO_ALL: u32 = 0o005;
/// What an inode takes on most disks, at most.
const INODE_BYTES: u64 = 4096;
/// Whether a copy has ended, and whether it still should go on, is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a tree could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The demo was told to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Something could not be copied.
    #[error("cannot copy {} for the demo; name a TREE of your own", path.display())]
    Collect {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `cp` said no.
    #[error("cannot copy {} for the second release; name a TREE2 of your own ({why})", tree.display())]
    Copy {
        /// The tree.
        tree: PathBuf,
        /// The last thing that `cp` said.
        why: String,
    },
}

/// What a copy of `tree` takes on disk, in bytes.
///
/// # Errors
/// When it could not be published.
pub fn measure(tree: &Path) -> Result<u64, CaptureError> {
    let bytes = |kind: &Kind| if let Kind::File { bytes, .. } = kind { *bytes } else { 0 };
    Ok(capture::walk(tree, true)?.iter().map(|entry| bytes(&entry.kind).saturating_add(INODE_BYTES)).sum())
}

/// Copies a part of this machine's system to `into`: always the same part, of what everybody may read.
///
/// # Errors
/// [`TreeError`].
pub fn collect(into: &Path, interrupt: &Interrupt) -> Result<(), TreeError> {
    let mut collection = Collection { into, interrupt, left_bytes: 0, directories: Vec::new() };
    collection.directory(Path::new(""), &metadata(Path::new("/"))?)?;
    for (source, bytes) in SOURCES {
        collection.left_bytes += bytes;
        // On many systems one of them is a link to another.
        let above: Vec<&Path> = Path::new(source).ancestors().collect();
        let real = above.iter().all(|path| fs::symlink_metadata(Path::new("/").join(path)).is_ok_and(|m| m.is_dir()));
        if real {
            collection.below(Path::new(source))?;
        }
    }
    collection.finish()
}

struct Collection<'a> {
    into: &'a Path,
    interrupt: &'a Interrupt,
    left_bytes: u64,
    /// Their modes and times are set last: both would not survive work in them.
    directories: Vec<(PathBuf, Metadata)>,
}

impl Collection<'_> {
    /// Copies what is at `source` and below in the order of its names, until the bytes are spent.
    fn below(&mut self, source: &Path) -> Result<(), TreeError> {
        let mut ahead = vec![source.to_owned()];
        while let Some(path) = ahead.pop() {
            self.interrupt.check()?;
            let from = Path::new("/").join(&path);
            // What goes while it is being looked at was not meant to stay.
            let Ok(metadata) = fs::symlink_metadata(&from) else { continue };
            let of_path = |source| TreeError::Collect { path: from.clone(), source };
            if metadata.is_dir() && metadata.mode() & OPEN_TO_ALL == OPEN_TO_ALL {
                let Ok(names) = fs::read_dir(&from) else { continue };
                let mut names: Vec<PathBuf> = names.flatten().map(|entry| path.join(entry.file_name())).collect();
                names.sort_unstable_by(|a, b| b.cmp(a));
                ahead.extend(names);
                self.parents(&path)?;
                self.directory(&path, &metadata)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&from).map_err(of_path)?;
                symlink(target, self.into.join(&path)).map_err(of_path)?;
                set_times(&self.into.join(&path), &metadata).map_err(of_path)?;
            } else if metadata.is_file() && metadata.mode() & READABLE_BY_ALL != 0 && metadata.len() <= FILE_BYTES_MAX {
                let Some(left_bytes) = self.left_bytes.checked_sub(metadata.len()) else { return Ok(()) };
                self.left_bytes = left_bytes;
                fs::copy(&from, self.into.join(&path)).map_err(of_path)?;
                set_times(&self.into.join(&path), &metadata).map_err(of_path)?;
            }
        }
        Ok(())
    }

    /// Makes the directories that lead to `path`.
    fn parents(&mut self, path: &Path) -> Result<(), TreeError> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        above.reverse();
        above.into_iter().try_for_each(|path| self.directory(path, &metadata(&Path::new("/").join(path))?))
    }

    fn directory(&mut self, path: &Path, metadata: &Metadata) -> Result<(), TreeError> {
        let to = self.into.join(path);
        if !to.is_dir() {
            let of_path = |source| TreeError::Collect { path: Path::new("/").join(path), source };
            fs::create_dir_all(&to).map_err(of_path)?;
            self.directories.push((to, metadata.clone()));
        }
        Ok(())
    }

    fn finish(self) -> Result<(), TreeError> {
        for (directory, metadata) in self.directories.into_iter().rev() {
            fs::set_permissions(&directory, metadata.permissions())
                .and_then(|()| set_times(&directory, &metadata))
                .map_err(|source| TreeError::Collect { path: directory, source })?;
        }
        Ok(())
    }
}

fn metadata(path: &Path) -> Result<Metadata, TreeError> {
    fs::symlink_metadata(path).map_err(|source| TreeError::Collect { path: path.to_owned(), source })
}

fn set_times(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies `tree` to `to`, which must not exist, with all that belongs to it. Where the file system can
/// share bytes between the two, it does.
///
/// # Errors
/// [`TreeError`].
pub fn copy(tree: &Path, to: &Path, interrupt: &Interrupt) -> Result<(), TreeError> {
    let log = to.with_extension("log");
    let failed = |why: String| TreeError::Copy { tree: tree.to_owned(), why };
    let run = || -> io::Result<std::process::Child> {
        fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
        let mut command = Command::new("cp");
        command.args(["-a", "--reflink=auto", "-T", "--"]).arg(tree.canonicalize()?).arg(to);
        // A process group of its own, so that Ctrl-C in a terminal reaches the demo alone.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).process_group(0).spawn()
    };
    let mut copying = run().map_err(|error| failed(error.to_string()))?;
    let status = loop {
        if interrupt.is_told() {
            // It may have ended by itself; either way it is gone after this.
            let _ = copying.kill();
            let _ = copying.wait();
            return Err(Interrupted.into());
        }
        match copying.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    let said = last_line(&log);
    let _ = fs::remove_file(&log);
    if status.success() { Ok(()) } else { Err(failed(said.unwrap_or_else(|| status.to_string()))) }
}
