//! Laptops with clocks that are wrong.

use super::class::{Class, program};
use super::needs::{Need, can_run};
use super::process::Process;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn class() -> (Class, PathBuf) {
    let class = Class::new();
    let tree = class.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "first").unwrap();
    class.publish(&tree, "1.0");
    (class, tree)
}

/// Starts a laptop whose clock shows `time`, in the words of faketime(1).
fn laptop_at(class: &Class, name: &str, time: &str, school: &Process) -> Process {
    class.enroll(name);
    let mut command = Command::new("faketime");
    command.args(["--exclude-monotonic", "-f", time]).arg(program());
    command.args(["run", "--home", &class.argument(name), "--listen", "127.0.0.1:0", "--no-mdns"]);
    class.start(name, command, &[school.address])
}

fn freshness(laptop: &Process) -> &str {
    laptop.said.last().map_or("", |status| &status.freshness)
}

#[test]
fn a_clock_that_cannot_be_right_keeps_nobody_from_a_release_and_is_told() {
    if !can_run(&[Need::Tool("faketime")]) {
        return;
    }
    let (class, tree) = class();
    let school = class.school();
    let mut class_of_two = [("ann", "@1970-01-02 00:00:00"), ("bob", "@2099-01-01 00:00:00")]
        .map(|(name, time)| laptop_at(&class, name, time, &school));
    for laptop in &mut class_of_two {
        laptop.until_applied("1.0");
        assert!(freshness(laptop).starts_with("time unverified"), "{}", freshness(laptop));
        laptop.stop();
    }
    // Between two runs a clock goes back by two years: no error, and the next release comes.
    fs::write(tree.join("file"), "second").unwrap();
    class.publish(&tree, "1.1");
    let mut bob = laptop_at(&class, "bob", "-2y", &school);
    bob.until_applied("1.1");
    assert!(freshness(&bob).starts_with("time unverified"), "{}", freshness(&bob));
}

#[test]
fn what_may_be_old_is_shared_and_not_applied_until_somebody_says_so() {
    if !can_run(&[Need::Tool("faketime")]) {
        return;
    }
    let (class, _) = class();
    let school = class.school();
    // A timestamp is good for 90 days.
    let mut ann = laptop_at(&class, "ann", "+100d", &school);
    let waits = |ann: &Process| ann.release("1.0").is_some_and(|it| it.stage == "complete" && it.why.is_some());
    ann.until("it waits, and tells why", waits);
    let why = ann.release("1.0").unwrap().why.clone().unwrap();
    for words in ["stale, 100 days since it was signed", "timestamp metadata expired 10 days ago", "homeroom apply"] {
        assert!(why.contains(words), "{why:?} lacks {words:?}");
    }
    assert!(!class.current("ann").exists());
    // She serves it nevertheless, to one whose clock is right.
    let mut bob = class.laptop("bob", &[ann.address]);
    bob.until_applied("1.0");
    class.run(&["apply", "--home", &class.argument("ann")]);
    ann.until_applied("1.0");
}
