//! A publisher takes a release back.

use super::class::Class;
use super::process::Process;
use std::fs;

/// A class with two releases of a small tree.
fn class_with_two_releases() -> (Class, String) {
    let class = Class::new();
    let tree = class.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "first").unwrap();
    class.publish(&tree, "1.0");
    fs::write(tree.join("file"), "second").unwrap();
    let second = class.publish(&tree, "1.1").target;
    (class, second)
}

fn withdraw(class: &Class, release: &str) {
    class.run(&["withdraw", release, "--repo", &class.repo()]);
}

#[test]
fn a_withdrawn_release_goes_to_nobody_else_and_nobody_goes_back_by_itself() {
    let (class, second) = class_with_two_releases();
    let mut school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.1");
    withdraw(&class, &second);
    school.until("it carries the release before", |school| school.release("1.0").is_some());
    // A new device hears of the metadata from both, and takes what is still listed.
    let mut bob = class.laptop("bob", &[school.address, ann.address]);
    bob.until_applied("1.0");
    assert_eq!(fs::read_to_string(class.current("bob").join("file")).unwrap(), "first");
    assert!(bob.said.iter().all(|status| status.releases.iter().all(|release| release.version == "1.0")));
    // Ann heard of it as well; she stays where she is, after a restart too, until there is something newer.
    let timestamp = bob.said.last().unwrap().timestamp;
    ann.until("she hears of it", |ann| ann.said.last().unwrap().timestamp == timestamp);
    ann.stop();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until("she is up to date", |ann| ann.said.last().is_some_and(|status| status.timestamp == timestamp));
    assert_eq!(fs::read_to_string(class.current("ann").join("file")).unwrap(), "second");
    let idles = ann.said.last().and_then(|status| status.idles.clone());
    assert!(idles.is_some_and(|why| why.contains("1.1 was withdrawn by its publisher")));
    fs::write(class.path("tree/file"), "third").unwrap();
    class.publish(&class.path("tree"), "1.2");
    [&mut ann, &mut bob].into_iter().for_each(|laptop| drop(laptop.until_applied("1.2")));
    let went_back =
        |laptop: &Process| laptop.said.iter().any(|status| status.releases.iter().any(|it| it.version == "1.0"));
    assert!(!went_back(&ann));
}

#[test]
fn a_release_that_is_withdrawn_before_it_was_applied_never_is() {
    let (class, second) = class_with_two_releases();
    let school = class.school();
    let options = ["--listen", "127.0.0.1:0", "--no-mdns", "--no-apply"];
    let mut ann = class.laptop_with("ann", &options, &[school.address]);
    ann.until("it waits", |ann| ann.release("1.1").is_some_and(|release| release.stage == "complete"));
    withdraw(&class, &second);
    ann.until_note("was withdrawn");
    ann.until("the one before", |ann| ann.release("1.0").is_some_and(|release| release.stage == "complete"));
    ann.stop();
    class.run(&["apply", "--home", &class.argument("ann")]);
    assert_eq!(fs::read_to_string(class.current("ann").join("file")).unwrap(), "first");
    let again = class.fails(&["withdraw", &second, "--repo", &class.repo()]);
    again.is(1, &["lists no", &second, "withdrawn before"]);
}

#[test]
fn a_withdrawn_version_is_not_given_to_something_else() {
    let (class, second) = class_with_two_releases();
    withdraw(&class, &second);
    let (tree, repo) = (class.argument("tree"), class.repo());
    let again =
        |version: &str| class.fails(&["publish", &tree, "--repo", &repo, "--channel", "stable", "--version", version]);
    again("1.1").is(5, &["1.1", "taken", "publish under a higher one"]);
    again("1.0.5").is(1, &["1.0.5", "older than 1.1"]);
    class.publish(&class.path("tree"), "1.1.1");
}
