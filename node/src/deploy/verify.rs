//! Does a tree still stand exactly as its manifest says? Asked of applied trees, by `status` and `demo`.

use super::apply::hash_file;
use super::attributes::{Authority, PRIVILEGE_BITS, none_if_unsupported};
use super::directory::{Directory, Parents};
use super::tree::{Tree, is_change, path_of};
use protocol::content::manifest::{Attributes, Entry, Kind};
use rustix::fs::{FileType, Stat};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One thing in which a tree differs from its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, in the tree; `.` for its root.
    pub path: PathBuf,
    /// In what.
    pub what: What,
}

/// In what an entry differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing stands there.
    Missing,
    /// The manifest has no such path.
    Extra,
    /// Another kind of thing stands there.
    Kind,
    /// A file's bytes.
    Content,
    /// Its mode keeps us from reading it.
    Unreadable,
    /// Permission bits.
    Mode {
        /// By the manifest.
        stated: u32,
        /// On disk.
        found: u32,
    },
    /// Owner and group.
    Owner {
        /// By the manifest.
        stated: (u32, u32),
        /// On disk.
        found: (u32, u32),
    },
    /// Modification time.
    Mtime,
    /// A symbolic link's text.
    Target,
    /// A hard link names another file than its target.
    HardLink,
    /// The extended attribute of this name.
    Xattr(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.what {
            What::Missing => write!(f, "{path:?}: missing"),
            What::Extra => write!(f, "{path:?}: not in the release"),
            What::Kind => write!(f, "{path:?}: another kind of file"),
            What::Content => write!(f, "{path:?}: other content"),
            What::Unreadable => write!(f, "{path:?}: may not be read"),
            What::Mode { stated, found } => write!(f, "{path:?}: mode {found:o} instead of {stated:o}"),
            What::Owner { stated, found } => {
                write!(f, "{path:?}: owner {}:{} instead of {}:{}", found.0, found.1, stated.0, stated.1)
            }
            What::Mtime => write!(f, "{path:?}: other modification time"),
            What::Target => write!(f, "{path:?}: a link to somewhere else"),
            What::HardLink => write!(f, "{path:?}: no longer the same file as its hard link"),
            What::Xattr(name) => write!(f, "{path:?}: other extended attribute {name}"),
        }
    }
}

/// All differences between a tree and its manifest; without root's rights, in what a user may set.
/// `progress` gets the bytes of each file compared.
///
/// # Errors
/// When the disk cannot be read. That a mode forbids it is a [`Difference`].
pub fn verify(tree: &Tree, authority: Authority, mut progress: impl FnMut(u64)) -> io::Result<Vec<Difference>> {
    let entries = &tree.release().manifest().entries;
    let mut parents = Parents::new(tree.root());
    let mut comparison = Comparison { root: tree.root(), entries, authority, found: Vec::new() };
    for entry in entries {
        let compared = parents.of(&entry.path).and_then(|(parent, name)| comparison.entry(entry, parent, name));
        match compared {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                comparison.differs(entry, What::Unreadable)
            }
            Err(error) if is_change(&error) => comparison.differs(entry, What::Missing),
            Err(error) => return Err(error),
        }
        if let Kind::File { bytes, .. } = entry.kind {
            progress(bytes);
        }
    }
    Ok(comparison.found)
}

struct Comparison<'a> {
    root: &'a Directory,
    entries: &'a [Entry],
    authority: Authority,
    found: Vec<Difference>,
}

impl Comparison<'_> {
    fn differs(&mut self, entry: &Entry, what: What) {
        self.found.push(Difference { path: path_of(entry), what });
    }

    fn entry(&mut self, entry: &Entry, parent: &Directory, name: &[u8]) -> io::Result<()> {
        let stat = parent.stat(name)?.ok_or(io::ErrorKind::NotFound)?;
        let expected = match entry.kind {
            Kind::Directory => FileType::Directory,
            Kind::Symlink { .. } => FileType::Symlink,
            Kind::File { .. } | Kind::HardLink { .. } => FileType::RegularFile,
        };
        if FileType::from_raw_mode(stat.st_mode) != expected {
            self.differs(entry, What::Kind);
            return Ok(());
        }
        if let (Some(attributes), false) = (&entry.attributes, matches!(entry.kind, Kind::HardLink { .. })) {
            self.attributes(entry, attributes, &stat);
            self.xattrs(entry, attributes, parent, name)?;
        }
        match &entry.kind {
            Kind::File { bytes, blake3 } => {
                if hash_file(self.root, &entry.path, *bytes)?.as_ref() != Some(blake3) {
                    self.differs(entry, What::Content);
                }
            }
            Kind::Symlink { target } => {
                if parent.link_text(name)?.as_ref() != Some(target) {
                    self.differs(entry, What::Target);
                }
            }
            Kind::HardLink { target } => {
                let mut parents = Parents::new(self.root);
                let (target_parent, target_name) = parents.of(target)?;
                let file = target_parent.stat(target_name)?;
                if file.is_none_or(|file| (file.st_dev, file.st_ino) != (stat.st_dev, stat.st_ino)) {
                    self.differs(entry, What::HardLink);
                }
            }
            Kind::Directory => self.extras(entry)?,
        }
        Ok(())
    }

    fn attributes(&mut self, entry: &Entry, stated: &Attributes, stat: &Stat) {
        let (owner, found_owner) = ((stated.uid, stated.gid), (stat.st_uid, stat.st_gid));
        if owner != found_owner && self.authority == Authority::Root {
            self.differs(entry, What::Owner { stated: owner, found: found_owner });
        }
        // An owner that a user could not set takes the privileges meant for it along.
        let dropped = if owner == found_owner { 0 } else { PRIVILEGE_BITS };
        let (mode, found_mode) = (stated.mode & !dropped, stat.st_mode & 0o7777);
        if mode != found_mode && !matches!(entry.kind, Kind::Symlink { .. }) {
            self.differs(entry, What::Mode { stated: mode, found: found_mode });
        }
        if (stat.st_mtime, stat.st_mtime_nsec) != (stated.mtime_s, stated.mtime_ns.into()) {
            self.differs(entry, What::Mtime);
        }
    }

    fn xattrs(&mut self, entry: &Entry, stated: &Attributes, parent: &Directory, name: &[u8]) -> io::Result<()> {
        let found = parent.xattr_names(name).or_else(|error| none_if_unsupported(error, Vec::new()))?;
        let is_stated = |found: &[u8]| stated.xattrs.keys().any(|stated| *found == stated[..]);
        for attribute in found.iter().filter(|name| !Attributes::is_of_the_machine(name) && !is_stated(name)) {
            self.differs(entry, What::Xattr(String::from_utf8_lossy(attribute).into_owned()));
        }
        for (attribute, value) in &stated.xattrs {
            // Neither may a user set the others, nor see all of them.
            if self.authority == Authority::User && !attribute.starts_with(b"user.") {
                continue;
            }
            if !found.iter().any(|found| *found == attribute[..]) || parent.xattr(name, attribute)? != value[..] {
                self.differs(entry, What::Xattr(String::from_utf8_lossy(attribute).into_owned()));
            }
        }
        Ok(())
    }

    /// Names in a directory that the manifest does not have. What is beneath them is not looked at.
    fn extras(&mut self, entry: &Entry) -> io::Result<()> {
        let (entries, found) = (self.entries, &mut self.found);
        self.root.subdirectory(&entry.path)?.each_name(|name| {
            let path = if entry.path.is_empty() { name.to_vec() } else { [&entry.path, &b"/"[..], name].concat() };
            if entries.binary_search_by(|known| known.path.cmp(&path)).is_err() {
                found.push(Difference { path: PathBuf::from(OsStr::from_bytes(&path)), what: What::Extra });
            }
            true
        })
    }
}
