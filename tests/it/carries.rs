//! Releases reach every laptop whole, from whoever has them, and each byte crosses the school's line
//! about once.

use super::class::{CHANNEL, Class, Published};
use super::judge::assert_same;
use super::needs::{Need, can_run};
use super::process::Process;
use super::stranger::Stranger;
use super::trees::{self, Edition};
use node::net::Happening;
use protocol::bitmap::Bitmap;
use protocol::id::PeerId;
use protocol::mesh::Role;
use protocol::message::{Holdings, Message};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tests::manners::{Manners, Say};

const RSYNC: &[Need] = &[Need::Tool("rsync")];
const NAMES: [&str; 3] = ["ann", "bob", "cleo"];

/// Three laptops that know the school and each other.
fn three_laptops(class: &Class, school: &Process) -> Vec<Process> {
    let mut peers = vec![school.address];
    let start = |name: &&str| {
        let laptop = class.laptop(name, &peers);
        peers.push(laptop.address);
        laptop
    };
    NAMES.iter().map(start).collect()
}

/// What one copy of a release costs the school at most: chunks and documents.
fn copy_bytes(published: &Published) -> u64 {
    published.new_wire_bytes + published.manifest_bytes + published.chunk_list_bytes
}

#[test]
fn three_laptops_take_an_odd_tree_and_then_its_second_edition() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let (first, second) = (class.odd_tree(Edition::First), class.odd_tree(Edition::Second));
    let published = class.publish(&first, "1.0");
    let mut school = class.school();
    let mut laptops = three_laptops(&class, &school);
    for (laptop, name) in laptops.iter_mut().zip(NAMES) {
        let applied = laptop.until_applied("1.0");
        assert_eq!((applied.fetched_chunks, applied.had_bytes), (published.chunks, 0));
        assert_same(&first, &class.current(name));
        assert!(!class.previous(name).exists());
    }

    let published_second = class.publish(&second, "1.1");
    assert!(published_second.new_chunks < published_second.chunks / 2, "the editions share most: {published_second:?}");
    for (laptop, name) in laptops.iter_mut().zip(NAMES) {
        let applied = laptop.until_applied("1.1");
        assert_eq!(applied.fetched_chunks, published_second.new_chunks, "only what was missing moves");
        assert_same(&second, &class.current(name));
        assert_same(&first, &class.previous(name));
    }

    laptops.iter_mut().for_each(Process::stop);
    school.stop();
    let copies_bytes = 2 * (copy_bytes(&published) + copy_bytes(&published_second));
    assert!(school.sent_bytes() <= copies_bytes, "{} bytes are more than two copies", school.sent_bytes());
}

#[test]
fn the_same_tree_under_a_new_version_moves_no_chunk() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let tree = class.odd_tree(Edition::First);
    class.publish(&tree, "1.0");
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    let published = class.publish(&tree, "1.0.post1");
    assert_eq!((published.new_chunks, published.new_wire_bytes), (0, 0));
    let applied = ann.until_applied("1.0.post1");
    assert_eq!((applied.fetched_chunks, applied.had_bytes), (0, applied.total_bytes));
    assert_same(&tree, &class.current("ann"));
    assert_same(&tree, &class.previous("ann"));
}

#[test]
fn a_laptop_two_releases_behind_catches_up_from_another_laptop_long_after() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let (first, second) = (class.odd_tree(Edition::First), class.odd_tree(Edition::Second));
    class.publish(&first, "1.0");
    let mut school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    let mut bob = class.laptop("bob", &[school.address]);
    bob.until_applied("1.0");
    bob.stop();
    ann.until_applied("1.0");
    class.publish(&second, "1.1");
    ann.until_applied("1.1");
    let third = class.path("third");
    trees::bulk(&third, 20, 30_000);
    class.publish(&third, "2.0");
    ann.until_applied("2.0");
    ann.stop();
    school.kill();

    // Another day: the two laptops alone, both started anew.
    let ann = class.laptop("ann", &[]);
    let mut bob = class.laptop("bob", &[ann.address]);
    let applied = bob.until_applied("2.0");
    assert_eq!(applied.from_seeds_bytes, 0);
    assert_same(&third, &class.current("bob"));
    assert_same(&first, &class.previous("bob"));
}

#[test]
fn the_school_dies_once_the_laptops_together_hold_everything() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, 40, 500_000);
    let published = class.publish(&tree, "1.0");
    let chunks = published.chunks;

    // Somebody who holds nothing is told by all laptops what they hold.
    let manners = Manners::of(Path::new(&class.repo()), Role::Device).unwrap();
    let observer = Stranger::start(move |happening| match happening {
        Happening::Message(_, Message::Holdings(told)) => {
            let held = ByteBuf::from(Bitmap::new(chunks).to_bytes());
            vec![Say::Message(Message::Holdings(Holdings { release: told.release, held, answer: false }))]
        }
        Happening::Opened(_) => vec![Say::Message(manners.hello())],
        _ => Vec::new(),
    });
    let ann = class.laptop("ann", &[observer.address]);
    let bob = class.laptop("bob", &[observer.address, ann.address]);
    let cleo = class.laptop("cleo", &[observer.address, ann.address, bob.address]);
    let mut school =
        class.school_with(&["--listen", "127.0.0.1:0", "--no-mdns"], &[ann.address, bob.address, cleo.address]);

    let mut held: BTreeMap<PeerId, Bitmap> = BTreeMap::new();
    observer.until("the laptops together hold everything", |happening| {
        match happening {
            Happening::Message(peer, Message::Holdings(told)) => {
                let all = told.held.is_empty();
                let told = if all { Bitmap::full(chunks) } else { Bitmap::from_bytes(chunks, &told.held).unwrap() };
                held.insert(*peer, told);
            }
            Happening::Message(peer, Message::Gained(gained)) => {
                let held = held.get_mut(peer).unwrap();
                gained.indexes.iter().for_each(|index| {
                    held.insert(*index);
                });
            }
            _ => {}
        }
        (0..chunks).all(|index| held.values().any(|held| held.contains(index))).then_some(())
    });
    school.kill();
    assert!(held.values().any(|held| !held.is_full()), "somebody still lacked something");
    for (mut laptop, name) in [ann, bob, cleo].into_iter().zip(NAMES) {
        laptop.until_applied("1.0");
        assert_same(&tree, &class.current(name));
    }
}

#[test]
fn a_laptop_that_joins_late_takes_all_from_the_laptops() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let tree = class.odd_tree(Edition::First);
    class.publish(&tree, "1.0");
    let mut school = class.school();
    let mut laptops = three_laptops(&class, &school);
    laptops.iter_mut().for_each(|laptop| {
        laptop.until_applied("1.0");
    });
    let before_bytes = school.sent_bytes();
    let mut late = class.laptop("late", &[laptops[0].address, laptops[1].address, school.address]);
    let applied = late.until_applied("1.0");
    assert_same(&tree, &class.current("late"));
    assert!(
        applied.from_devices_bytes > applied.from_seeds_bytes,
        "laptops have all of it, and the school sent {} of {} bytes",
        applied.from_seeds_bytes,
        applied.total_bytes,
    );
    late.stop();
    laptops.iter_mut().for_each(Process::stop);
    school.stop();
    assert!(school.sent_bytes() >= before_bytes);
}

#[test]
fn a_partition_heals_when_the_only_peer_comes_back() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, 30, 400_000);
    let second = class.odd_tree(Edition::Second);
    let school = {
        class.publish(&tree, "1.0");
        class.school()
    };
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    let ann_listens = ann.address.to_string();
    let mut bob = class.laptop("bob", &[ann.address]);
    bob.until("some chunks are here", |bob| bob.release("1.0").is_some_and(|release| release.held_bytes > 0));
    ann.kill();
    bob.until("nobody is there", |bob| bob.said.last().is_some_and(|status| status.peers == 0));
    class.publish(&second, "1.1");

    let mut ann = class.laptop_with("ann", &["--listen", &ann_listens, "--no-mdns"], &[school.address]);
    bob.until_applied("1.1");
    ann.until_applied("1.1");
    assert_same(&second, &class.current("bob"));
    assert_same(&second, &class.current("ann"));
    assert_same(&tree, &class.previous("ann"));
}

#[test]
fn a_laptop_that_is_not_root_serves_files_that_it_may_not_write() {
    if !can_run(&[Need::Root, Need::Tool("setpriv"), Need::Tool("rsync")]) {
        return;
    }
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, 3, 100_000);
    for folder in std::fs::read_dir(&tree).unwrap() {
        let folder = folder.unwrap().path();
        for file in std::fs::read_dir(&folder).unwrap() {
            std::fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o444)).unwrap();
        }
        std::fs::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
    }
    class.publish(&tree, "1.0");
    let mut school = class.school();
    let (home, root) = (class.directory_of_nobody("ann"), class.path("ann/root.json"));
    std::fs::copy(class.root(), &root).unwrap();
    let mut enroll = class.nobody();
    enroll.arg("enroll").arg("--home").arg(&home).arg("--root").arg(&root).args(["--channel", CHANNEL]);
    assert!(enroll.status().unwrap().success());
    let mut run = class.nobody();
    run.arg("run").arg("--home").arg(&home).args(["--listen", "127.0.0.1:0", "--no-mdns"]);
    let mut ann = class.start("ann", run, &[school.address]);
    ann.until_applied("1.0");
    school.kill();
    let mut bob = class.laptop("bob", &[ann.address]);
    bob.until_applied("1.0");
    assert_eq!(ann.stderr().lines().filter(|line| line.contains("cannot read")).count(), 0, "{}", ann.stderr());
}

#[test]
fn laptops_find_the_school_and_each_other_by_mdns_on_loopback() {
    if !can_run(RSYNC) {
        return;
    }
    let class = Class::new();
    let tree = class.odd_tree(Edition::First);
    class.publish(&tree, "1.0");
    let listen = ["--listen", "127.0.0.1:0"];
    let mut laptops = NAMES.map(|name| class.laptop_with(name, &listen, &[]));
    let mut school = class.school_with(&listen, &[]);
    for (laptop, name) in laptops.iter_mut().zip(NAMES) {
        laptop.until_applied("1.0");
        assert_same(&tree, &class.current(name));
    }
    school.until("all three are connected", |school| school.said.last().is_some_and(|status| status.peers == 3));
}
