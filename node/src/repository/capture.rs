//! Walks a tree that is to be published and notes what stands there. It reads no content, follows no
//! link, and gives the same entries in the same order however the file system lists its names.

use super::xattrs;
use protocol::content::manifest::{Attributes, Kind};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One path of a tree, with what the manifest will say of it.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Where it stands, relative to the tree's root.
    pub path: Vec<u8>,
    /// What it is. A file's hash is not known yet.
    pub kind: Kind,
    /// Its attributes; none for a hard link.
    pub attributes: Option<Attributes>,
    /// What it looked like.
    stamp: Stamp,
}

/// What shows that a file was changed: where it is, its length, and when it was last written to or
/// had its attributes changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a tree cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The disk said no.
    #[error("cannot read {path:?}; leave it out, or publish as a user who may read it")]
    Io {
        /// What should have been read.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The tree is something else.
    #[error("{0:?} is no directory; publish a directory")]
    NotDirectory(PathBuf),
    /// Something that cannot be carried to another machine.
    #[error("cannot publish {path:?}: it is a {kind}; remove it, or publish a copy of the tree without it")]
    SpecialFile {
        /// What it is.
        path: PathBuf,
        /// In one word.
        kind: &'static str,
    },
    /// More rights than its user's, without the publisher's word.
    #[error(
        "{0:?} is setuid, setgid or has file capabilities; publish with --allow-setuid if it must, or take that off"
    )]
    Privileged(PathBuf),
    /// Whoever gets the release could sign for the publisher.
    #[error("{0:?} is a secret key that signs for this repository; move it out of the tree, lest everybody gets it")]
    SecretKey(PathBuf),
    /// It was written to meanwhile.
    #[error("{0:?} changed while it was being published; publish again when nothing writes to the tree")]
    Changed(PathBuf),
}

impl CaptureError {
    /// The directory that was named cannot be looked at; most often because it is not there.
    pub(super) fn at_root(root: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => CaptureError::NotDirectory(root.to_owned()),
            _ => CaptureError::Io { path: root.to_owned(), source },
        }
    }
}

/// What stands in the tree at `root`, ascending by path, the root first. The files that carry
/// setuid, setgid or capabilities are refused unless `allow_setuid`.
pub fn walk(root: &Path, allow_setuid: bool) -> Result<Vec<Captured>, CaptureError> {
    let mut found = Vec::new();
    let mut directories = vec![(root.to_owned(), Vec::new())];
    let metadata = metadata(root)?;
    if !metadata.is_dir() {
        return Err(CaptureError::NotDirectory(root.to_owned()));
    }
    found.push((capture(root, Vec::new(), &metadata, allow_setuid)?, metadata.nlink()));
    while let Some((directory, prefix)) = directories.pop() {
        let io = |source| CaptureError::Io { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let full = directory.join(&name);
            let separator: &[u8] = if prefix.is_empty() { b"" } else { b"/" };
            let path = [&prefix, separator, name.as_bytes()].concat();
            let metadata = self::metadata(&full)?;
            if metadata.is_dir() {
                directories.push((full.clone(), path.clone()));
            }
            found.push((capture(&full, path, &metadata, allow_setuid)?, metadata.nlink()));
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    Ok(link_hard_links(found))
}

/// Turns all but the first name of each file into hard links to it.
fn link_hard_links(found: Vec<(Captured, u64)>) -> Vec<Captured> {
    let mut first_names: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
    let join = |(mut captured, names): (Captured, u64)| {
        if names > 1 && matches!(captured.kind, Kind::File { .. }) {
            let file = (captured.stamp.device, captured.stamp.inode);
            match first_names.get(&file) {
                Some(target) => {
                    captured.kind = Kind::HardLink { target: target.clone() };
                    captured.attributes = None;
                }
                None => {
                    first_names.insert(file, captured.path.clone());
                }
            }
        }
        captured
    };
    found.into_iter().map(join).collect()
}

fn metadata(path: &Path) -> Result<Metadata, CaptureError> {
    fs::symlink_metadata(path).map_err(|source| CaptureError::Io { path: path.to_owned(), source })
}

fn capture(full: &Path, path: Vec<u8>, metadata: &Metadata, allow_setuid: bool) -> Result<Captured, CaptureError> {
    let io = |source| CaptureError::Io { path: full.to_owned(), source };
    let special = |kind| Err(CaptureError::SpecialFile { path: full.to_owned(), kind });
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_file() => Kind::File { bytes: metadata.len(), blake3: [0; 32] },
        kind if kind.is_symlink() => {
            Kind::Symlink { target: fs::read_link(full).map_err(io)?.into_os_string().into_vec() }
        }
        kind if kind.is_fifo() => return special("fifo"),
        kind if kind.is_socket() => return special("socket"),
        kind if kind.is_block_device() => return special("block device"),
        kind if kind.is_char_device() => return special("character device"),
        _ => return special("special file"),
    };
    let attributes = Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime_s: metadata.mtime(),
        mtime_ns: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        xattrs: xattrs::read(full).map_err(io)?,
    };
    if matches!(kind, Kind::File { .. }) && attributes.are_privileged() && !allow_setuid {
        return Err(CaptureError::Privileged(full.to_owned()));
    }
    Ok(Captured { path, kind, attributes: Some(attributes), stamp: Stamp::of(metadata) })
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A captured file, open. It must be asked [`still_as_captured`](Self::still_as_captured) after the
/// last byte.
pub struct CapturedFile {
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

impl Captured {
    /// Opens this file in the tree at `root`, if it is still the one that was captured.
    pub fn open(&self, root: &Path) -> Result<CapturedFile, CaptureError> {
        let path = root.join(OsStr::from_bytes(&self.path));
        let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("open flags fit an i32");
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(no_follow)
            .open(&path)
            .map_err(|source| CaptureError::Io { path: path.clone(), source })?;
        let file = CapturedFile { path, file, stamp: self.stamp };
        file.still_as_captured()?;
        Ok(file)
    }
}

impl CapturedFile {
    /// Whether the file still is what was captured.
    pub fn still_as_captured(&self) -> Result<(), CaptureError> {
        let metadata = self.file.metadata().map_err(|source| self.error(source))?;
        if Stamp::of(&metadata) == self.stamp { Ok(()) } else { Err(CaptureError::Changed(self.path.clone())) }
    }

    /// The error of a read that failed.
    pub fn error(&self, source: io::Error) -> CaptureError {
        CaptureError::Io { path: self.path.clone(), source }
    }
}

impl Read for &CapturedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use tempfile::TempDir;

    fn tree() -> TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("dir/deep")).unwrap();
        fs::write(tree.path().join("dir/file"), b"content").unwrap();
        tree
    }

    fn captured(tree: &TempDir) -> Vec<Captured> {
        walk(tree.path(), false).unwrap()
    }

    fn paths(captured: &[Captured]) -> Vec<&[u8]> {
        captured.iter().map(|entry| entry.path.as_slice()).collect()
    }

    #[test]
    fn entries_come_in_the_order_of_their_bytes() {
        let tree = tree();
        for name in ["dir-", "dir.x", "-rf", "a b\n", "é"] {
            fs::write(tree.path().join(name), b"").unwrap();
        }
        fs::write(tree.path().join(OsStr::from_bytes(b"\xff")), b"").unwrap();
        let expected: [&[u8]; 10] =
            [b"", b"-rf", b"a b\n", b"dir", b"dir-", b"dir.x", b"dir/deep", b"dir/file", "é".as_bytes(), b"\xff"];
        assert_eq!(paths(&captured(&tree)), expected);
    }

    #[test]
    fn modes_times_and_link_texts_are_noted() {
        let tree = tree();
        let file = tree.path().join("dir/file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_007, 123_456_789);
        File::open(&file).unwrap().set_modified(time).unwrap();
        symlink("../nowhere", tree.path().join("dir/link")).unwrap();
        let captured = captured(&tree);
        let attributes = captured[3].attributes.as_ref().unwrap();
        assert_eq!((attributes.mode, attributes.mtime_s, attributes.mtime_ns), (0o751, 1_000_000_007, 123_456_789));
        assert_eq!(captured[3].kind, Kind::File { bytes: 7, blake3: [0; 32] });
        assert_eq!(captured[4].kind, Kind::Symlink { target: b"../nowhere".to_vec() });
    }

    #[test]
    fn a_link_to_a_directory_is_not_followed() {
        let tree = tree();
        symlink("/", tree.path().join("dir/deep/all")).unwrap();
        assert_eq!(captured(&tree).len(), 5);
    }

    #[test]
    fn the_first_name_of_a_file_is_the_file_and_the_others_are_links() {
        let tree = tree();
        fs::hard_link(tree.path().join("dir/file"), tree.path().join("dir/a")).unwrap();
        fs::hard_link(tree.path().join("dir/file"), tree.path().join("z")).unwrap();
        let captured = captured(&tree);
        assert_eq!(paths(&captured), [&b""[..], b"dir", b"dir/a", b"dir/deep", b"dir/file", b"z"]);
        assert!(matches!(captured[2].kind, Kind::File { bytes: 7, .. }));
        for link in [&captured[4], &captured[5]] {
            assert_eq!(link.kind, Kind::HardLink { target: b"dir/a".to_vec() });
            assert_eq!(link.attributes, None);
        }
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let tree = tree();
        let socket = tree.path().join("dir/socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let error = walk(tree.path(), true).unwrap_err();
        assert!(matches!(&error, CaptureError::SpecialFile { path, kind: "socket" } if *path == socket), "{error}");
        fs::remove_file(&socket).unwrap();
        let fifo = tree.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(walk(tree.path(), true).unwrap_err().to_string().contains("it is a fifo; remove it"));
    }

    #[test]
    fn setuid_needs_the_publishers_word() {
        let tree = tree();
        let file = tree.path().join("dir/file");
        for mode in [0o4755, 0o2755] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = walk(tree.path(), false).unwrap_err();
            assert!(matches!(&error, CaptureError::Privileged(path) if *path == file));
            assert!(error.to_string().contains("--allow-setuid"));
            assert_eq!(walk(tree.path(), true).unwrap()[3].attributes.as_ref().unwrap().mode, mode);
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(tree.path().join("dir"), fs::Permissions::from_mode(0o2775)).unwrap();
        assert!(walk(tree.path(), false).is_ok());
    }

    #[test]
    fn a_file_that_is_written_to_meanwhile_is_noticed() {
        let tree = tree();
        let captured = captured(&tree);
        let path = tree.path().join("dir/file");
        let open = captured[3].open(tree.path()).unwrap();
        open.still_as_captured().unwrap();
        fs::write(&path, b"changed").unwrap();
        // The clock of some file systems is coarse, so the change shows by a time of its own.
        File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(matches!(open.still_as_captured(), Err(CaptureError::Changed(changed)) if changed == path));
        assert!(matches!(captured[3].open(tree.path()), Err(CaptureError::Changed(_))));
    }

    #[test]
    fn a_file_that_became_a_link_is_not_followed() {
        let tree = tree();
        let captured = captured(&tree);
        let path = tree.path().join("dir/file");
        fs::remove_file(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert!(captured[3].open(tree.path()).is_err());
    }

    #[test]
    fn a_tree_that_is_none_is_named() {
        let tree = tree();
        assert!(matches!(walk(&tree.path().join("dir/file"), false), Err(CaptureError::NotDirectory(_))));
        let error = walk(&tree.path().join("nowhere"), false).unwrap_err();
        assert!(error.to_string().contains("nowhere"));
    }
}
