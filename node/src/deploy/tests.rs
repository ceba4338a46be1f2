//! A home through its life, as a laptop lives it: odd names, edits, rot, users without rights.

use super::room::{Room, apply, content, differences, fill, listing, odd_tree, plain_tree, write};
use super::sample::{CHUNK_BYTES, Sample, capture};
use super::*;
use protocol::bitmap::Bitmap;
use protocol::content::chunk_list::ChunkListBuilder;
use protocol::content::manifest::Manifest;
use protocol::id::ChunkRef;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

#[test]
fn a_tree_of_everything_arrives_exactly() {
    let room = Room::new();
    let source = room.tree("source");
    odd_tree(&source);
    let sample = capture(&source, "1.0");
    let mut deployment = room.open();
    let tree = apply(&mut deployment, &sample);
    assert_eq!(differences(&tree), []);
    let arrived = capture(&room.home().join("current"), "1.0");
    assert_eq!(arrived.release.manifest().entries, sample.release.manifest().entries);
    assert_eq!(deployment.current(), Some(tree_name(&sample.release).as_str()));
    assert_eq!(deployment.previous(), None);
    assert_eq!(fs::metadata(room.home().join("staging")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn releases_come_and_go() {
    let room = Room::new();
    let samples = [1, 2, 3].map(|number| room.release(number));
    let names = samples.each_ref().map(|sample| tree_name(&sample.release));
    let mut deployment = room.open();
    for sample in &samples {
        apply(&mut deployment, sample);
    }
    let of = |names: &[&String]| names.iter().map(|name| format!("releases/{name}")).collect::<Vec<_>>();
    let own = ["./current", "./previous", "./releases", "./staging"].map(str::to_owned).to_vec();
    assert_eq!(listing(&room.home()), [own, of(&[&names[1], &names[2]])].concat());
    assert!(deployment.tree(&samples[0].release).unwrap().is_none());

    let mut reopened = room.open();
    assert_eq!((reopened.current(), reopened.previous()), (Some(names[2].as_str()), Some(names[1].as_str())));
    assert!(reopened.drop_previous().unwrap() > 0);
    let own = ["./current", "./releases", "./staging"].map(str::to_owned).to_vec();
    assert_eq!(listing(&room.home()), [own, of(&[&names[2]])].concat());
    let staging = reopened.stage(samples[2].release.clone()).unwrap();
    let again = reopened.apply(staging, Authority::of_process());
    assert!(matches!(again, Err(ApplyError::AlreadyCurrent { .. })));
    assert!(reopened.discard_staged(&names[2]).is_ok());
    assert_eq!(reopened.staged().unwrap(), [""; 0]);
}

#[test]
fn the_release_before_is_applied_again() {
    let room = Room::new();
    let [old, new] = [1, 2].map(|number| room.release(number));
    let mut deployment = room.open();
    for sample in [&old, &new, &old] {
        let tree = apply(&mut deployment, sample);
        assert_eq!(differences(&tree), []);
    }
    assert_eq!(deployment.current(), Some(tree_name(&old.release).as_str()));
    assert_eq!(deployment.previous(), Some(tree_name(&new.release).as_str()));
}

#[test]
fn staged_bytes_rot_before_the_apply() {
    let room = Room::new();
    let sample = room.release(1);
    let mut deployment = room.open();
    let mut staging = deployment.stage(sample.release.clone()).unwrap();
    fill(&mut staging, &sample);
    let staged = room.home().join("staging").join(tree_name(&sample.release));
    let mut bytes = fs::read(staged.join("dir/file")).unwrap();
    bytes[CHUNK_BYTES] ^= 1;
    fs::write(staged.join("dir/file"), bytes).unwrap();
    let rotten = sample.release.file_chunks(sample.release.manifest().position(b"dir/file").unwrap() as u32)[1];

    assert!(matches!(staging.reader().unwrap().read(rotten), Err(ReadError::Damaged { .. })));
    let refused = deployment.apply(staging, Authority::of_process()).unwrap_err();
    assert!(matches!(refused, ApplyError::Damaged { chunks } if chunks == [rotten]));
    assert_eq!(deployment.current(), None);

    let mut staging = deployment.stage(sample.release.clone()).unwrap();
    staging.write(rotten, &sample.chunks[rotten as usize]).unwrap();
    let tree = deployment.apply(staging, Authority::of_process()).unwrap().tree;
    assert_eq!(differences(&tree), []);
}

#[test]
fn nothing_came_before_the_apply() {
    let room = Room::new();
    let sample = room.release(1);
    let mut deployment = room.open();
    let staging = deployment.stage(sample.release.clone()).unwrap();
    let refused = deployment.apply(staging, Authority::of_process()).unwrap_err();
    let all: Vec<u32> = (0..sample.release.chunk_count()).collect();
    assert!(matches!(refused, ApplyError::Damaged { chunks } if chunks == all));
}

#[test]
fn a_person_edits_the_applied_tree() {
    let room = Room::new();
    let source = room.tree("source");
    write(source.join("a"), &content(1, 2000), 0o644, 1);
    write(source.join("b"), &content(1, 2000), 0o644, 1);
    write(source.join("c"), &content(2, 1000), 0o644, 1);
    write(source.join("d"), &content(3, 1000), 0o644, 1);
    let sample = capture(&source, "1.0");
    let mut tree = apply(&mut room.open(), &sample);
    let current = room.home().join("current");
    fs::write(current.join("a"), b"edited").unwrap();
    // Neither may a fifo hold us, nor a link lead us to the right bytes elsewhere.
    fs::remove_file(current.join("c")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, current.join("c"), rustix::fs::Mode::RWXU).unwrap();
    fs::remove_file(current.join("d")).unwrap();
    symlink(source.join("d"), current.join("d")).unwrap();
    let chunk_of =
        |path: &[u8]| sample.release.file_chunks(sample.release.manifest().position(path).unwrap() as u32)[0];
    assert_eq!(tree.read(chunk_of(b"a")).unwrap().plain(), &content(1, 2000)[..CHUNK_BYTES], "read from b");
    for path in [b"c", b"d"] {
        assert!(matches!(tree.read(chunk_of(path)), Err(ReadError::Damaged { .. })));
    }
    let what = |difference: Difference| (difference.path.display().to_string(), difference.what);
    let found: Vec<_> = differences(&tree).into_iter().map(what).filter(|(_, what)| *what != What::Mtime).collect();
    let expected = [("a", What::Content), ("c", What::Kind), ("d", What::Kind)];
    assert_eq!(found, expected.map(|(path, what)| (path.to_owned(), what)));
}

#[test]
fn the_next_release_takes_what_the_tree_still_holds() {
    let room = Room::new();
    let [old, new] = [1, 2].map(|name| {
        let source = room.tree(&name.to_string());
        plain_tree(&source, name);
        fs::set_permissions(&source, Permissions::from_mode(0o755)).unwrap();
        write(source.join("kept"), &content(77, 5000), 0o644, 5);
        capture(&source, &format!("{name}.0"))
    });
    let mut deployment = room.open();
    let mut tree = apply(&mut deployment, &old);
    fs::write(room.home().join("current/common"), b"edited").unwrap();
    let mut staging = deployment.stage(new.release.clone()).unwrap();
    let mut have = Bitmap::new(new.release.chunk_count());
    let mut durable = Vec::new();
    let told = |have: &Bitmap| -> Result<(), WriteError> {
        durable.push(have.clone());
        Ok(())
    };
    reuse(&mut tree, &mut staging, &mut have, told).unwrap();
    let kept = new.release.manifest().position(b"kept").unwrap() as u32;
    let expected: std::collections::BTreeSet<u32> = new.release.file_chunks(kept).iter().copied().collect();
    assert_eq!(have.iter().collect::<std::collections::BTreeSet<_>>(), expected);
    assert_eq!(durable, [have.clone()], "all of it is durable in the end");
    for index in have.iter() {
        assert_eq!(staging.reader().unwrap().read(index).unwrap(), new.chunks[index as usize]);
    }
    for index in (0..new.release.chunk_count()).filter(|index| !have.contains(*index)) {
        staging.write(index, &new.chunks[index as usize]).unwrap();
    }
    let applied = deployment.apply(staging, Authority::of_process()).unwrap();
    assert_eq!(differences(&applied.tree), []);
}

#[test]
fn every_difference_is_found() {
    let room = Room::new();
    let source = room.tree("source");
    odd_tree(&source);
    let tree = apply(&mut room.open(), &capture(&source, "1.0"));
    let current = room.home().join("current");
    fs::write(current.join("zeros2"), b"").unwrap();
    fs::remove_file(current.join("a b")).unwrap();
    fs::set_permissions(current.join("-rf"), Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(current.join("dangling")).unwrap();
    symlink("elsewhere", current.join("dangling")).unwrap();
    fs::remove_file(current.join("sticky/same")).unwrap();
    fs::copy(current.join("setuid"), current.join("sticky/same")).unwrap();
    rustix::fs::removexattr(current.join("empty"), "user.comment").unwrap();
    rustix::fs::setxattr(current.join("..."), "user.more", b"", rustix::fs::XattrFlags::empty()).unwrap();
    let found: Vec<(String, What)> = differences(&tree)
        .into_iter()
        .map(|difference| (difference.path.display().to_string(), difference.what))
        .filter(|(path, what)| *what != What::Mtime || path == "dangling")
        .collect();
    let expected = [
        ("zeros2", What::Extra),
        ("-rf", What::Mode { stated: 0o640, found: 0o600 }),
        ("...", What::Xattr("user.more".into())),
        ("a b", What::Missing),
        ("dangling", What::Mtime),
        ("dangling", What::Target),
        ("empty", What::Xattr("user.comment".into())),
        ("sticky/same", What::HardLink),
    ];
    let expected = expected.map(|(path, what)| (path.to_owned(), what));
    assert_eq!(found, expected);
}

/// A manifest whose owners, setuid and attributes only root may set.
fn system_tree(room: &Room) -> Sample {
    let source = room.tree("source");
    plain_tree(&source, 1);
    let sample = capture(&source, "1.0");
    let mut manifest = Manifest::clone(sample.release.manifest());
    for entry in &mut manifest.entries {
        if let Some(attributes) = &mut entry.attributes {
            (attributes.uid, attributes.gid) = (12345, 23456);
        }
    }
    let file = manifest.position(b"common").unwrap();
    let attributes = manifest.entries[file].attributes.as_mut().unwrap();
    attributes.mode = 0o4755;
    attributes.xattrs = ["trusted.x", "user.x"].map(|name| (name.as_bytes().to_vec().into(), vec![1].into())).into();
    manifest.privileged = vec![b"common".to_vec().into()];
    let list = ChunkListBuilder::default();
    let list = sample.chunks.iter().fold(list, |mut list, chunk| {
        list.push(ChunkRef { id: chunk.id(), bytes: chunk.plain().len() as u32 });
        list
    });
    Sample { release: sample::release(&manifest, &list.finish().encode()), chunks: sample.chunks }
}

#[test]
fn a_user_applies_a_tree_of_roots() {
    if Authority::of_process() == Authority::Root {
        // The program may stand where the user cannot reach it, so a copy runs.
        let room = Room::new();
        fs::set_permissions(room.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = room.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let mut command = std::process::Command::new(copy);
        command.args(["--exact", "deploy::tests::a_user_applies_a_tree_of_roots"]).current_dir("/");
        let output = command.uid(65534).gid(65534).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let room = Room::new();
    let sample = system_tree(&room);
    let mut deployment = room.open();
    let mut staging = deployment.stage(sample.release.clone()).unwrap();
    fill(&mut staging, &sample);
    let applied = deployment.apply(staging, Authority::of_process()).unwrap();
    let entries = sample.release.manifest().entries.len() as u64;
    // All but the hard link have an owner; the last entry in the tree is done first.
    let first = Some(PathBuf::from("dir/link"));
    assert_eq!(applied.skipped, Skipped { owners: entries - 1, privileges: 1, xattrs: 1, first });
    assert_eq!(fs::metadata(room.home().join("current/common")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(differences(&applied.tree), []);

    // Root would have had to set them all.
    let mut other = Deployment::open(&room.path().join("other")).unwrap();
    let mut staging = other.stage(sample.release.clone()).unwrap();
    fill(&mut staging, &sample);
    let refused = other.apply(staging, Authority::Root).unwrap_err();
    assert!(matches!(refused, ApplyError::Entry { .. }), "{refused}");
    assert_eq!(other.current(), None);
}

#[test]
fn root_applies_a_tree_of_others() {
    if Authority::of_process() != Authority::Root {
        eprintln!("NOT TESTED: root_applies_a_tree_of_others needs root");
        return;
    }
    let room = Room::new();
    let sample = system_tree(&room);
    let tree = apply(&mut room.open(), &sample);
    assert_eq!(differences(&tree), []);
    let found = fs::metadata(room.home().join("current/common")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (12345, 23456, 0o4755));
}

#[test]
fn an_endless_directory_is_removed() {
    let room = Room::new();
    let mut deployment = room.open();
    let top = room.home().join("staging/1.0-x");
    fs::create_dir(&top).unwrap();
    symlink(room.path(), top.join("out")).unwrap();
    write(room.path().join("precious"), b"", 0o600, 0);
    // Far deeper than a process may have files open; no path may be as long, so it is made from within.
    let mut directory = directory::Directory::open(&top).unwrap();
    for _ in 0..3000 {
        directory.make_directory(b"moved-1", 0o700).unwrap();
        directory = directory.subdirectory(b"moved-1").unwrap();
    }
    directory.make_file(b"file", 0).unwrap();
    fs::set_permissions(top.join("moved-1"), Permissions::from_mode(0o500)).unwrap();
    deployment.discard_staged("1.0-x").unwrap();
    assert_eq!(deployment.staged().unwrap(), [""; 0]);
    assert!(room.path().join("precious").exists());
}

#[test]
fn the_need_shrinks_as_the_staging_fills() {
    let room = Room::new();
    let source = room.tree("source");
    write(source.join("a"), &vec![7; 1_000_000], 0o644, 1);
    let sample = capture(&source, "1.0");
    let mut deployment = room.open();
    let need = deployment.need(&sample.release).unwrap();
    assert!(need.tree_bytes >= 1_000_000 && need.inodes == 2 && need.free_bytes > 0);
    let mut staging = deployment.stage(sample.release.clone()).unwrap();
    fill(&mut staging, &sample);
    let rest = deployment.need(&sample.release).unwrap();
    assert!(rest.tree_bytes + 1_000_000 <= need.tree_bytes && rest.inodes == 0);
}

#[test]
fn a_directory_stands_where_a_link_must_be() {
    let room = Room::new();
    fs::create_dir_all(room.home().join("current")).unwrap();
    let error = Deployment::open(&room.home()).unwrap_err();
    assert!(matches!(&error, HomeError::InTheWay { path } if path.ends_with("current")), "{error}");
}
