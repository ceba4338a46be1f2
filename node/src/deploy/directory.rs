//! An open directory, and all that is done beneath it by name.
//!
//! Nothing here follows a symbolic link or leaves the directory: paths are resolved by `openat2`
//! with `BENEATH`, `NO_SYMLINKS` and `NO_MAGICLINKS` (Linux 5.6), and single names by the calls that do
//! not follow. Where Linux has no such call (a mode, an extended attribute), the object is reached
//! through `/proc/self/fd`, which names exactly the directory or file that we hold open.

use super::power::step;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Names that one reading of a directory returns at most: bounds memory, whatever a person put there.
const NAMES_MAX: usize = 4096;

/// An open directory (`O_PATH`: it can be entered even where it cannot be listed).
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Directory {
    /// Opens the directory at `path`, which a person chose: links in it are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())? })
    }

    /// Opens the directory at `path` beneath this one; the empty path is this one.
    pub fn subdirectory(&self, path: &[u8]) -> io::Result<Self> {
        Ok(Self { fd: self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)? })
    }

    /// Opens the regular file at `path` beneath this one; anything else there is `InvalidInput`.
    pub fn file(&self, path: &[u8], access: Access) -> io::Result<File> {
        let access = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        // Without NONBLOCK, a fifo that someone put in a file's place would hold us for ever.
        let fd = self.resolve(path, access | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(File::from(fd))
    }

    /// What stands at `name`, or nothing.
    pub fn stat(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Some names in it, in no order, without `.` and `..`; at most [`NAMES_MAX`], none when it is empty.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        self.each_name(|name| {
            names.push(name.to_vec());
            names.len() < NAMES_MAX
        })?;
        Ok(names)
    }

    /// Calls `visit` with every name in it, until that returns false.
    pub fn each_name(&self, mut visit: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        for entry in fs::Dir::new(self.readable()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && !visit(name) {
                break;
            }
        }
        Ok(())
    }

    /// The text of the symbolic link `name`; nothing if there is no such link.
    pub fn link_text(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(text) => Ok(Some(text.into_bytes())),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the directory `name`, or takes the one that is there, with these permission bits.
    pub fn make_directory(&self, name: &[u8], mode: u32) -> io::Result<()> {
        step()?;
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)) {
            // The umask may have taken bits away, and one that was there may have any.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match self.stat(name)? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                Err(io::Error::new(io::ErrorKind::NotADirectory, "something else is in its place"))
            }
            Some(stat) if stat.st_mode & 0o7777 == mode => Ok(()),
            _ => self.set_mode(name, mode),
        }
    }

    /// Makes the file `name` of exactly `bytes`, or takes the one that is there, readable and
    /// writable by its owner only. What a file held already, it keeps.
    pub fn make_file(&self, name: &[u8], bytes: u64) -> io::Result<()> {
        if self.stat(name)?.is_some_and(|stat| stat.st_mode & 0o7777 != 0o600) {
            self.set_mode(name, 0o600)?;
        }
        step()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        let stat = fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "something else is in its place"));
        }
        if u64::try_from(stat.st_size) != Ok(bytes) {
            step()?;
            fs::ftruncate(&fd, bytes)?;
        }
        Ok(())
    }

    /// Makes the symbolic link `name`.
    pub fn make_link(&self, text: &[u8], name: &[u8]) -> io::Result<()> {
        step()?;
        Ok(fs::symlinkat(text, &self.fd, name)?)
    }

    /// Makes `to_name` in `to` another name of the file `name` here.
    pub fn make_hard_link(&self, name: &[u8], to: &Directory, to_name: &[u8]) -> io::Result<()> {
        step()?;
        Ok(fs::linkat(&self.fd, name, &to.fd, to_name, AtFlags::empty())?)
    }

    /// Moves `name` here to `to_name` in `to`, in one step.
    pub fn rename(&self, name: &[u8], to: &Directory, to_name: &[u8]) -> io::Result<()> {
        step()?;
        Ok(fs::renameat(&self.fd, name, &to.fd, to_name)?)
    }

    /// Removes `name`, which is no directory; that it is missing is fine.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        step()?;
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the empty directory `name`.
    pub fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        step()?;
        Ok(fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Sets the twelve permission bits of `name`, which must be no symbolic link.
    pub fn set_mode(&self, name: &[u8], mode: u32) -> io::Result<()> {
        step()?;
        let fd = fs::openat(&self.fd, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        Ok(fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), Mode::from_raw_mode(mode))?)
    }

    /// Sets the owner of `name`, links included.
    pub fn set_owner(&self, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
        step()?;
        let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
        Ok(fs::chownat(&self.fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the modification time of `name`, links included.
    pub fn set_mtime(&self, name: &[u8], seconds: i64, nanoseconds: u32) -> io::Result<()> {
        step()?;
        let keep = Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT };
        let mtime = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        let times = Timestamps { last_access: keep, last_modification: mtime };
        Ok(fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Names of the extended attributes of `name`.
    pub fn xattr_names(&self, name: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let path = self.proc_path(name);
        let bytes = grow(|buffer| fs::llistxattr(&path[..], buffer))?;
        Ok(bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// The value of one extended attribute of `name`.
    pub fn xattr(&self, name: &[u8], attribute: &[u8]) -> io::Result<Vec<u8>> {
        let path = self.proc_path(name);
        grow(|buffer| fs::lgetxattr(&path[..], attribute, buffer))
    }

    /// Sets one extended attribute of `name`.
    pub fn set_xattr(&self, name: &[u8], attribute: &[u8], value: &[u8]) -> io::Result<()> {
        step()?;
        Ok(fs::lsetxattr(self.proc_path(name), attribute, value, fs::XattrFlags::empty())?)
    }

    /// Removes one extended attribute of `name`.
    pub fn remove_xattr(&self, name: &[u8], attribute: &[u8]) -> io::Result<()> {
        step()?;
        Ok(fs::lremovexattr(self.proc_path(name), attribute)?)
    }

    /// Makes the names in this directory durable.
    pub fn sync(&self) -> io::Result<()> {
        step()?;
        Ok(fs::fsync(self.readable()?)?)
    }

    /// Makes all that was written to this directory's file system durable.
    pub fn sync_file_system(&self) -> io::Result<()> {
        step()?;
        Ok(fs::syncfs(self.readable()?)?)
    }

    /// How full this directory's file system is.
    pub fn file_system(&self) -> io::Result<fs::StatVfs> {
        Ok(fs::fstatvfs(&self.fd)?)
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    fn readable(&self) -> io::Result<OwnedFd> {
        self.resolve(b"", OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn proc_path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", self.fd.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }
}

/// Calls `read` with a buffer that is large enough; Linux bounds an attribute and their list at 64 KiB.
fn grow(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 512];
    loop {
        match read(&mut buffer) {
            Ok(bytes) => {
                buffer.truncate(bytes);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 64 * 1024 => buffer.resize(64 * 1024, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens the directories that consecutive entries stand in, each once.
pub(super) struct Parents<'a> {
    root: &'a Directory,
    last: Option<(Vec<u8>, Directory)>,
}

impl<'a> Parents<'a> {
    pub fn new(root: &'a Directory) -> Self {
        Self { root, last: None }
    }

    /// The directory that `path` stands in, and its name there. The root stands in itself, as `.`.
    pub fn of<'p>(&mut self, path: &'p [u8]) -> io::Result<(&Directory, &'p [u8])> {
        if path.is_empty() {
            return Ok((self.root, b"."));
        }
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != parent) {
            self.last = Some((parent.to_vec(), self.root.subdirectory(parent)?));
        }
        let (_, directory) = self.last.as_ref().expect("it was just set");
        Ok((directory, name))
    }
}
