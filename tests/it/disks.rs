//! Disks that are too small: known before anything is written, told, and no reason to give up.

use super::class::{CHANNEL, Class};
use super::judge::assert_same;
use super::needs::{Need, can_run};
use super::trees::noise;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MOUNTS: &[Need] = &[Need::Root, Need::Tool("mount"), Need::Tool("rsync")];

/// A file system of its own, in memory; gone when this is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf, megabytes: u32) -> Disk {
        fs::create_dir_all(&path).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "homeroom-test"], &path);
        Disk(path)
    }

    fn resize(&self, megabytes: u32) {
        mount(&["-o", &format!("remount,size={megabytes}m")], &self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still be in there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) {
    let status = Command::new("mount").args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "mount {arguments:?} on {}", path.display());
}

/// A tree of so many megabytes, which shares nothing with others.
fn tree(class: &Class, name: &str, megabytes: usize) -> PathBuf {
    let tree = class.path(name);
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), noise(name, megabytes * 1_000_000)).unwrap();
    tree
}

#[test]
fn a_full_disk_is_told_before_anything_is_written_and_room_is_enough_to_go_on() {
    if !can_run(MOUNTS) {
        return;
    }
    let class = Class::new();
    let disk = Disk::mount(class.path("ann"), 40);
    let tree = tree(&class, "tree", 20);
    class.publish(&tree, "1.0");
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    let note = ann.until_note("waits");
    assert!(note.contains("needs 88 MB") && note.contains("MB are free") && note.contains("delete files"), "{note}");
    let blocked = ann.said.iter().flat_map(|status| &status.releases);
    assert!(blocked.clone().all(|release| release.held_bytes == 0));
    let staged = fs::read_dir(class.path("ann/staging")).unwrap().count();
    assert_eq!(staged, 0, "something was written though it cannot fit");

    disk.resize(200);
    ann.until_applied("1.0");
    assert_same(&tree, &class.current("ann"));
    drop(ann);
}

#[test]
fn the_release_before_goes_where_three_do_not_fit() {
    if !can_run(MOUNTS) {
        return;
    }
    let class = Class::new();
    // Two releases of 20 MB fit beside the 64 MiB that are kept free for the user, and a third does not.
    let _disk = Disk::mount(class.path("ann"), 110);
    let trees = ["one", "two", "three"].map(|name| tree(&class, name, 20));
    class.publish(&trees[0], "1");
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1");
    for version in [2, 3] {
        class.publish(&trees[version - 1], &version.to_string());
        ann.until_applied(&version.to_string());
        assert_same(&trees[version - 1], &class.current("ann"));
        assert_same(&trees[version - 2], &class.previous("ann"));
    }
    assert!(ann.stderr().contains("dropped the previous release to make room"), "{}", ann.stderr());
    drop(ann);
}

#[test]
fn the_publishers_disk_is_full_and_then_is_not() {
    if !can_run(MOUNTS) {
        return;
    }
    let class = Class::new();
    let disk = Disk::mount(class.path("small"), 8);
    let repo = class.argument("small/repo");
    class.run(&["init", &repo]);
    let tree = tree(&class, "tree", 20);
    let tree = tree.to_str().unwrap();
    let publish = ["publish", tree, "--repo", &repo, "--channel", CHANNEL, "--version", "1.0", "--new"];
    class.fails(&publish).is(1, &["free space"]);
    disk.resize(64);
    class.run(&publish);
}
