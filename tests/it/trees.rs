//! Trees to publish: everything odd that a tree may hold, the same at every run.

use super::needs::{is_root, note};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, setxattr, utimensat};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

/// A tree, or a realistic edit of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    First,
    Second,
}

/// Bytes that no program can compress, the same for the same name.
pub fn noise(name: &str, bytes: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        | 1;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// Files of noise only, to give the mesh something to carry.
pub fn bulk(root: &Path, files: usize, file_bytes: usize) {
    fs::create_dir_all(root).unwrap();
    for number in 0..files {
        let folder = root.join(format!("folder {}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.bin")), noise(&format!("bulk {number}"), file_bytes)).unwrap();
    }
}

/// Everything that a tree may hold: about 8 MB in 340 entries.
pub fn odd(root: &Path, edition: Edition) {
    fs::create_dir(root).unwrap();
    names(root);
    content(root, edition);
    links(root, edition);
    attributes(root, edition);
    if edition == Edition::Second {
        changes_of_kind(root);
    } else {
        fs::create_dir(root.join("becomes a link")).unwrap();
        write(root, "becomes a link/inside", b"gone in the second edition");
        write(root, "becomes a directory", b"a file still");
        write(root, "is removed", b"in the second edition");
        symlink("anywhere", root.join("becomes a file")).unwrap();
    }
    // Times last, for the rest of the work changes those of directories.
    times(root, edition);
}

fn names(root: &Path) {
    let longest = [b'x'; 255];
    let names: [&[u8]; 14] = [
        b"a b",
        b"new\nline",
        "\u{e9}t\u{e9} \u{65e5}\u{672c}\u{8a9e}".as_bytes(),
        b"\xff\xfe not UTF-8",
        &longest,
        b"-rf",
        b"-",
        b"...",
        b"$HOME `id` 'quoted' \"twice\"",
        b"back\\slash",
        b"tab\there",
        b"*",
        b"CASE",
        b"case",
    ];
    for name in names {
        fs::write(root.join(OsStr::from_bytes(name)), noise(&String::from_utf8_lossy(name), 1_000)).unwrap();
    }
    let deep = (0..20).fold(root.join("deep"), |path, depth| path.join(format!("level {depth}")));
    fs::create_dir_all(&deep).unwrap();
    write(&deep, "at the bottom", b"here");
    let odd_directory = root.join(OsStr::from_bytes(b"dir\xff\n"));
    fs::create_dir(&odd_directory).unwrap();
    write(&odd_directory, "inside", b"too");
}

fn content(root: &Path, edition: Edition) {
    write(root, "empty", b"");
    fs::create_dir(root.join("empty directory")).unwrap();
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..250 {
        let edited = edition == Edition::Second && number % 25 == 0;
        let name = if edited { format!("edited {number}") } else { number.to_string() };
        write(root, &format!("many/{number}"), &noise(&name, number * 13));
    }
    write(root, "text", "the same line again and again\n".repeat(20_000).as_bytes());
    write(root, "kept large", &noise("kept large", 2_500_000));
    let mut large = noise("edited large", 4_000_000);
    if edition == Edition::Second {
        // An edit in the middle, and one that shifts all that follows.
        large[2_000_000..2_000_500].copy_from_slice(&noise("an edit", 500));
        large.splice(0..0, *b"a line more at the start\n");
    }
    write(root, "edited large", &large);
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"an island", 1_500_000).unwrap();
}

fn links(root: &Path, edition: Edition) {
    let links = [
        ("text", "link"),
        ("../../../../etc/passwd", "out of the tree"),
        ("/absolute/nowhere", "dangling"),
        ("new\nline", "link to a new line"),
        (".", "loop"),
    ];
    for (target, name) in links {
        symlink(target, root.join(name)).unwrap();
    }
    let target = if edition == Edition::First { "empty" } else { "kept large" };
    symlink(target, root.join("moved link")).unwrap();
    fs::create_dir(root.join("hard")).unwrap();
    for name in ["hard/one", "hard/two", "zz last"] {
        fs::hard_link(root.join("kept large"), root.join(name)).unwrap();
    }
    if edition == Edition::Second {
        // One of four names gets a file of its own.
        fs::remove_file(root.join("hard/two")).unwrap();
        write(root, "hard/two", b"on its own");
    }
}

fn attributes(root: &Path, edition: Edition) {
    let modes = [
        ("read-only", 0o444, false),
        ("setuid", 0o4755, false),
        ("setgid", 0o2755, false),
        ("sticky directory", 0o1777, true),
        ("setgid directory", 0o2770, true),
    ];
    for (name, mode, is_directory) in modes {
        make(root, name, is_directory);
        chmod(root, name, mode);
    }
    fs::hard_link(root.join("setuid"), root.join("hard/setuid too")).unwrap();
    make(root, "mode changes", false);
    chmod(root, "mode changes", if edition == Edition::First { 0o600 } else { 0o755 });
    set(root, "text", "user.comment", b"\0\xff bytes");
    set(root, "text", "user.empty", b"");
    set(root, "empty directory", "user.on a directory", b"yes");
    let value = if edition == Edition::First { b"before" } else { b"after!" };
    set(root, "empty", "user.changes", value);
    if is_root() {
        of_root(root);
    } else {
        note("owners, unreadable modes and capabilities were left out, for only root can set them");
    }
    // Last, for nothing can be put into it any more by others than root.
    make(root, "closed directory", true);
    write(root, "closed directory/inside", b"readable");
    chmod(root, "closed directory", 0o500);
}

/// What only root can make and read.
fn of_root(root: &Path) {
    make(root, "unreadable", false);
    chmod(root, "unreadable", 0o000);
    make(root, "unreadable directory", true);
    write(root, "unreadable directory/inside", b"nobody sees this");
    chmod(root, "unreadable directory", 0o000);
    for name in ["CASE", "many", "link"] {
        lchown(root.join(name), Some(1234), Some(5678)).unwrap();
    }
    make(root, "capable", false);
    chmod(root, "capable", 0o755);
    // A version 2 capability set with CAP_NET_BIND_SERVICE, effective (capabilities(7)).
    let capability = [0x0200_0001_u32, 1 << 10, 0, 0, 0].map(u32::to_le_bytes).concat();
    set(root, "capable", "security.capability", &capability);
}

fn changes_of_kind(root: &Path) {
    symlink("many", root.join("becomes a link")).unwrap();
    fs::create_dir(root.join("becomes a directory")).unwrap();
    write(root, "becomes a directory/inside", b"new");
    write(root, "becomes a file", b"no link any more");
    write(root, "is new", &noise("is new", 150_000));
    fs::rename(root.join("a b"), root.join("a b renamed")).unwrap();
}

fn times(root: &Path, edition: Edition) {
    let times = [
        ("CASE", -315_619_200, 0),
        ("case", -1, 999_999_999),
        ("empty", 0, 0),
        ("text", 1_234_567_890, 123_456_789),
        ("link", 1_000_000_000, 1),
        ("many", 4_102_444_800, 5),
        ("deep/level 0", -86_400, 7),
    ];
    for (name, seconds, nanoseconds) in times {
        touch(root, name, seconds, nanoseconds);
    }
    touch(root, "sparse", if edition == Edition::First { 1_500_000_000 } else { 1_600_000_000 }, 0);
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    fs::write(root.join(name), bytes).unwrap();
}

fn make(root: &Path, name: &str, is_directory: bool) {
    if is_directory {
        fs::create_dir(root.join(name)).unwrap();
    } else {
        write(root, name, name.as_bytes());
    }
}

fn chmod(root: &Path, name: &str, mode: u32) {
    fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
}

fn set(root: &Path, name: &str, attribute: &str, value: &[u8]) {
    setxattr(root.join(name), attribute, value, XattrFlags::empty())
        .unwrap_or_else(|error| panic!("cannot set {attribute} under {}: {error}", root.display()));
}

fn touch(root: &Path, name: &str, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
