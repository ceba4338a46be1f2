//! Where the tests happen: a directory of their own, trees to publish, and what a caller of this
//! module does with them.

use super::sample::{CHUNK_BYTES, Sample, capture};
use super::*;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A directory of the test's own, whose contents may have any mode.
pub struct Room(tempfile::TempDir);

impl Room {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }

    /// Removes the home, whatever its trees' modes.
    pub fn remove_home(&self) {
        if self.home().exists() {
            open_up(&self.home());
            fs::remove_dir_all(self.home()).unwrap();
        }
    }

    /// An empty directory.
    pub fn tree(&self, name: &str) -> PathBuf {
        let tree = self.0.path().join(name);
        fs::create_dir(&tree).unwrap();
        tree
    }

    /// An ordinary small release; those of different numbers share some content.
    pub fn release(&self, number: u8) -> Sample {
        let source = self.tree(&number.to_string());
        plain_tree(&source, number);
        capture(&source, &format!("{number}.0"))
    }

    pub fn open(&self) -> Deployment {
        Deployment::open(&self.home()).unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        open_up(self.0.path());
    }
}

/// Lets its owner into every directory, so that it can be removed.
fn open_up(directory: &Path) {
    fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            open_up(&entry.path());
        }
    }
}

pub fn write(path: PathBuf, content: &[u8], mode: u32, mtime_s: u64) {
    fs::write(&path, content).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(mtime_s, 123_456_789);
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// Bytes that differ from file to file and from chunk to chunk.
pub fn content(name: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| name ^ (at % 251) as u8 ^ (at / CHUNK_BYTES) as u8).collect()
}

/// A small tree of the ordinary.
pub fn plain_tree(root: &Path, name: u8) {
    fs::create_dir(root.join("dir")).unwrap();
    write(root.join("common"), &content(0, 2500), 0o644, 1_000_000_000);
    write(root.join("dir/file"), &content(name, 3000), 0o755, 1_600_000_000);
    symlink("../common", root.join("dir/link")).unwrap();
    fs::hard_link(root.join("common"), root.join("dir/same")).unwrap();
    fs::set_permissions(root.join("dir"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(root, Permissions::from_mode(0o555)).unwrap();
}

/// Everything that a tree may hold.
pub fn odd_tree(root: &Path) {
    let named = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for name in [&b"-rf"[..], b"a b", b"new\nline", b"\xff\xfe", b"...", "\u{e9}".as_bytes(), &[b'x'; 255]] {
        write(named(name), &content(name[0], 1200), 0o640, 1);
    }
    write(root.join("empty"), b"", 0o600, 0);
    write(root.join("setuid"), b"#!", 0o6755, 7);
    write(root.join("zeros"), &vec![0; 50_000], 0o444, 4_000_000_000);
    for (name, mode) in [("sticky", 0o1777), ("closed", 0o500), ("setgid", 0o2770)] {
        fs::create_dir(root.join(name)).unwrap();
        write(root.join(name).join("inside"), &content(9, 10), 0o400, 3);
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.join("empty directory")).unwrap();
    symlink("/nowhere/at all", root.join("dangling")).unwrap();
    symlink("../../../..", root.join("out of here")).unwrap();
    fs::hard_link(root.join("setuid"), root.join("sticky/same")).unwrap();
    rustix::fs::setxattr(root.join("empty"), "user.comment", b"\0\xff", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(root.join("sticky"), "user.d", b"", rustix::fs::XattrFlags::empty()).unwrap();
}

pub fn fill(staging: &mut Staging, sample: &Sample) {
    for (chunk, index) in sample.chunks.iter().zip(0..) {
        staging.write(index, chunk).unwrap();
    }
    staging.sync().unwrap();
}

pub fn apply(deployment: &mut Deployment, sample: &Sample) -> Tree {
    let mut staging = deployment.stage(sample.release.clone()).unwrap();
    fill(&mut staging, sample);
    deployment.apply(staging, Authority::of_process()).unwrap().tree
}

pub fn differences(tree: &Tree) -> Vec<Difference> {
    verify(tree, Authority::of_process(), |_| ()).unwrap()
}

/// Everything in a home's own directories, but for what is inside trees.
pub fn listing(home: &Path) -> Vec<String> {
    let names = |directory: &str| {
        let entries = fs::read_dir(home.join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| format!("{directory}/{}", entry.unwrap().file_name().display())).collect();
        names.sort();
        names
    };
    [".", "releases", "staging"].into_iter().flat_map(names).collect()
}
