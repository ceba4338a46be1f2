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

/// Copies a part of the system at `system`, which is `/` but for tests, to `into`: always the same part,
/// of what everybody may read.
///
/// # Errors
/// [`TreeError`].
pub fn collect(system: &Path, into: &Path, interrupt: &Interrupt) -> Result<(), TreeError> {
    let mut collection = Collection { system, into, interrupt, left_bytes: 0, directories: Vec::new() };
    collection.directory(Path::new(""))?;
    for (source, bytes) in SOURCES {
        collection.left_bytes += bytes;
        let source = Path::new(source);
        // On many systems one of them is a link to another.
        if source.ancestors().all(|path| fs::symlink_metadata(system.join(path)).is_ok_and(|found| found.is_dir())) {
            collection.below(source)?;
        }
    }
    collection.finish()
}

struct Collection<'a> {
    system: &'a Path,
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
            let from = self.system.join(&path);
            // What goes while it is being looked at was not meant to stay.
            let Ok(metadata) = fs::symlink_metadata(&from) else { continue };
            let of_path = |source| TreeError::Collect { path: from.clone(), source };
            if metadata.is_dir() && metadata.mode() & OPEN_TO_ALL == OPEN_TO_ALL {
                let Ok(names) = fs::read_dir(&from) else { continue };
                let mut names: Vec<PathBuf> = names.flatten().map(|entry| path.join(entry.file_name())).collect();
                names.sort_unstable_by(|a, b| b.cmp(a));
                ahead.extend(names);
                self.directory(&path)?;
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

    /// Makes the directory `path`, and those that lead there.
    fn directory(&mut self, path: &Path) -> Result<(), TreeError> {
        let (from, to) = (self.system.join(path), self.into.join(path));
        if to.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.directory(above)?;
        }
        let of_path = |source| TreeError::Collect { path: from.clone(), source };
        let metadata = fs::symlink_metadata(&from).map_err(of_path)?;
        fs::create_dir_all(&to).map_err(of_path)?;
        self.directories.push((to, metadata));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    /// A system in which there is a secret, a large file, a link, and a `/usr/sbin` that is a link.
    fn system() -> tempfile::TempDir {
        let system = tempfile::tempdir().unwrap();
        let at = |path: &str| system.path().join(path);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::create_dir_all(at("etc/private")).unwrap();
        fs::create_dir_all(at("home")).unwrap();
        for (path, mode) in
            [("usr/bin/b", 0o755), ("usr/bin/a", 0o444), ("etc/shadow", 0o640), ("etc/private/key", 0o644)]
        {
            fs::write(at(path), path).unwrap();
            fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(at("etc/private"), fs::Permissions::from_mode(0o700)).unwrap();
        File::create(at("usr/bin/large")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        fs::write(at("home/letter"), "dear").unwrap();
        symlink("bin", at("usr/sbin")).unwrap();
        symlink("nowhere", at("usr/bin/link")).unwrap();
        File::open(at("usr/bin/b")).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7)).unwrap();
        system
    }

    #[test]
    fn only_what_everybody_may_read_is_collected() {
        let (system, place) = (system(), tempfile::tempdir().unwrap());
        let tree = place.path().join("trees/1");
        collect(system.path(), &tree, &Interrupt::listen().unwrap()).unwrap();
        let found: Vec<String> = capture::walk(&tree, false)
            .unwrap()
            .into_iter()
            .map(|entry| String::from_utf8(entry.path).unwrap())
            .collect();
        assert_eq!(found, ["", "etc", "usr", "usr/bin", "usr/bin/a", "usr/bin/b", "usr/bin/link"]);
        let copied = fs::symlink_metadata(tree.join("usr/bin/b")).unwrap();
        assert_eq!((copied.mode() & 0o7777, copied.mtime()), (0o755, 7));
        assert_eq!(fs::read(tree.join("usr/bin/a")).unwrap(), b"usr/bin/a");
        assert_eq!(fs::read_link(tree.join("usr/bin/link")).unwrap(), Path::new("nowhere"));
    }

    #[test]
    fn a_tree_is_copied_with_its_hard_links() {
        let (system, place) = (system(), tempfile::tempdir().unwrap());
        fs::hard_link(system.path().join("usr/bin/a"), system.path().join("home/-a\n")).unwrap();
        let copied = place.path().join("trees/2");
        copy(system.path(), &copied, &Interrupt::listen().unwrap()).unwrap();
        let inode = |path: &str| fs::metadata(copied.join(path)).unwrap().ino();
        assert_eq!(inode("usr/bin/a"), inode("home/-a\n"));
        assert!(!place.path().join("trees/2.log").exists());
    }

    #[test]
    fn cp_says_why_it_cannot() {
        let (system, place) = (system(), tempfile::tempdir().unwrap());
        let to = place.path().join("2");
        fs::write(&to, "in the way").unwrap();
        let error = copy(system.path(), &to, &Interrupt::listen().unwrap()).unwrap_err();
        assert!(matches!(&error, TreeError::Copy { why, .. } if why.contains("cp: ")), "{error}");
    }
}
