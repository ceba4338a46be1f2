//! Devices that take different things of one channel.

use super::class::{CHANNEL, Class};
use std::fs;

/// A class with a small tree.
fn class() -> Class {
    let class = Class::new();
    fs::create_dir(class.path("tree")).unwrap();
    class
}

fn publish(class: &Class, version: &str, more: &[&str]) {
    fs::write(class.path("tree/file"), version).unwrap();
    let (tree, repo) = (class.argument("tree"), class.repo());
    let release = ["publish", &tree, "--repo", &repo, "--channel", CHANNEL, "--version", version];
    class.run(&[&release[..], class.novelty(), more].concat());
}

fn enroll(class: &Class, name: &str, more: &[&str]) {
    let (home, root) = (class.argument(name), class.root());
    class.run(&[&["enroll", "--home", &home, "--root", &root, "--channel", CHANNEL], more].concat());
}

/// The version that a laptop had applied before; none if it came straight to what it has.
fn before(class: &Class, name: &str) -> Option<String> {
    let tree = fs::read_link(class.previous(name)).ok()?;
    let tree = tree.file_name().unwrap().to_str().unwrap();
    Some(tree.split_once('-').unwrap().0.to_owned())
}

#[test]
fn each_takes_what_is_for_it_and_the_school_has_it() {
    let class = class();
    publish(&class, "1.0", &[]);
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    ann.stop();
    publish(&class, "1.1", &["--required"]);
    publish(&class, "2.0", &[]);
    publish(&class, "2.1rc1", &[]);
    publish(&class, "2.2", &["--hardware", "xo-4", "--hardware", "xo-1.75"]);
    publish(&class, "2.3", &["--staged"]);

    enroll(&class, "bob", &["--maturity", "rc"]);
    enroll(&class, "cleo", &["--hardware", "xo-4"]);
    enroll(&class, "dora", &["--test-ring"]);
    let mut laptops = ["ann", "bob", "cleo", "dora"].map(|name| class.laptop(name, &[school.address]));
    for (laptop, version) in laptops.iter_mut().zip(["2.0", "2.1rc1", "2.2", "2.3"]) {
        laptop.until_applied(version);
    }
    // Ann does not pass the waypoint by; the others have nothing that it could bring up.
    let befores = ["ann", "bob", "cleo", "dora"].map(|name| before(&class, name));
    assert_eq!(befores, [Some("1.1".to_owned()), None, None, None]);

    let release = format!("{CHANNEL}/tree_2.3.manifest");
    class.run(&["promote", &release, "--repo", &class.repo()]);
    laptops.iter_mut().for_each(|laptop| drop(laptop.until_applied("2.3")));
    class.fails(&["promote", &release, "--repo", &class.repo()]).is(1, &["not staged"]);
}
