//! A school says what its devices should run: forward, back, later, not at all; and so does a thief of its keys.

use super::class::{Class, program};
use super::needs::{Need, can_run};
use super::process::Process;
use protocol::time::UnixTime;
use protocol::trust::date::Date;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

const FIRST: &str = "stable/tree_1.0.manifest";
const SECOND: &str = "stable/tree_1.1.manifest";

/// A class with two releases, and a school.
fn class_with_a_school() -> Class {
    let class = Class::new();
    let tree = class.path("tree");
    fs::create_dir(&tree).unwrap();
    for (version, text) in [("1.0", "first"), ("1.1", "second")] {
        fs::write(tree.join("file"), text).unwrap();
        class.publish(&tree, version);
    }
    class.run(&["school", "init", &class.argument("school")]);
    class
}

/// Says something as the school at `school`.
fn say_at(class: &Class, school: &str, words: &[&str]) {
    let school = class.argument(school);
    let repo = class.repo();
    let repo = if words[0] == "assign" { &["--repo", &repo][..] } else { &[] };
    class.run(&[&["school"], words, &["--school", &school], repo].concat());
}

fn say(class: &Class, words: &[&str]) {
    say_at(class, "school", words);
}

/// Starts the server of the school at `school`.
fn server_of(class: &Class, school: &str) -> Process {
    let mut command = Command::new(program());
    command.args(["run", "--seed", "--repo", &class.repo(), "--school", &class.argument(school)]);
    command.args(["--listen", "127.0.0.1:0", "--no-mdns"]);
    class.start(&format!("{school}-server"), command, &[])
}

/// Lets a laptop join the school at `school`.
fn join(class: &Class, name: &str, school: &str, group: &str) {
    class.enroll(name);
    let root = class.argument(&format!("{school}/metadata/1.root.json"));
    class.run(&["join", "--home", &class.argument(name), "--root", &root, "--group", group]);
}

fn runs(class: &Class, laptop: &str, text: &str) {
    assert_eq!(fs::read_to_string(class.current(laptop).join("file")).unwrap(), text, "{laptop}");
}

/// A laptop hears of the newest that the school has said.
fn hears(laptop: &mut Process, class: &Class, school: &str) {
    let newest = node::publisher::files::read(&class.path(school)).unwrap().head().unwrap().timestamp;
    let heard = |laptop: &Process| laptop.said.last()?.school.as_ref()?.timestamp;
    laptop.until("it hears of the school", |laptop| heard(laptop) == Some(newest));
}

fn why(laptop: &Process, version: &str) -> String {
    laptop.release(version).and_then(|release| release.why.clone()).unwrap_or_default()
}

#[test]
fn each_group_runs_what_it_is_assigned_forward_and_back_and_others_follow_the_publisher() {
    let class = class_with_a_school();
    say(&class, &["assign", "class-4", FIRST]);
    say(&class, &["assign", "all", SECOND]);
    let school = server_of(&class, "school");
    for (name, group) in [("ann", "class-4"), ("bob", "class-5")] {
        join(&class, name, "school", group);
    }
    let mut ann = class.laptop("ann", &[school.address]);
    // Whoever has joined no school takes the newest, also from a peer that runs something else.
    let mut eve = class.laptop("eve", &[school.address, ann.address]);
    let mut bob = class.laptop("bob", &[school.address]);
    ann.until_applied("1.0");
    bob.until_applied("1.1");
    eve.until_applied("1.1");
    runs(&class, "ann", "first");
    // The other way round. Bob goes back because the school says so, and stays there over a restart.
    say(&class, &["assign", "class-4", SECOND]);
    ann.until_applied("1.1");
    say(&class, &["assign", "class-5", FIRST]);
    bob.until_applied("1.0");
    runs(&class, "bob", "first");
    bob.stop();
    let mut bob = class.laptop("bob", &[school.address, ann.address]);
    hears(&mut bob, &class, "school");
    bob.until_applied("1.0");
    assert!(
        eve.said.iter().all(|status| status.school.is_none() && status.releases.iter().all(|it| it.version == "1.1"))
    );
    // Freed of it, he follows the publisher again.
    bob.stop();
    class.run(&["leave", "--home", &class.argument("bob")]);
    let mut bob = class.laptop("bob", &[ann.address]);
    bob.until_applied("1.1");
    runs(&class, "bob", "second");
}

#[test]
fn what_is_held_is_fetched_and_waits_until_it_is_resumed_whoever_asks() {
    let class = class_with_a_school();
    say(&class, &["assign", "all", SECOND]);
    say(&class, &["hold", "all"]);
    let school = server_of(&class, "school");
    join(&class, "ann", "school", "all");
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until("it waits", |ann| why(ann, "1.1").contains("the school holds it"));
    class.fails(&["apply", "--home", &class.argument("ann")]).is(1, &["1.1", "the school holds it"]);
    ann.stop();
    class.fails(&["apply", "--home", &class.argument("ann")]).is(1, &["1.1", "the school holds it"]);
    assert!(!class.current("ann").exists());
    // Whatever a group is assigned while all are held is held too.
    join(&class, "ann", "school", "class-4");
    say(&class, &["assign", "class-4", FIRST]);
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until("it waits", |ann| why(ann, "1.0").contains("the school holds it"));
    say(&class, &["resume", "all"]);
    ann.until_applied("1.0");
    class.fails(&["school", "hold", "class-9", "--school", &class.argument("school")]).is(1, &["class-9", "assign"]);
}

#[test]
fn a_release_comes_when_its_time_has_come_also_on_a_laptop_whose_clock_is_dead() {
    if !can_run(&[Need::Tool("faketime")]) {
        return;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = |seconds: i64| Date::new(UnixTime(i64::try_from(now).unwrap() + seconds)).to_string();
    let class = class_with_a_school();
    let later = at(86_400);
    say(&class, &["assign", "all", SECOND, "--not-before", &later]);
    let school = server_of(&class, "school");
    let address = school.address;
    let laptop_at = |name: &str, time: &str| {
        join(&class, name, "school", "all");
        let mut command = Command::new("faketime");
        command.args(["--exclude-monotonic", "-f", time]).arg(program());
        command.args(["run", "--home", &class.argument(name), "--listen", "127.0.0.1:0", "--no-mdns"]);
        class.start(name, command, &[address])
    };
    // To Ann's clock tomorrow has come; Bob's shows 1970. The school's server states the time to both.
    let mut ann = laptop_at("ann", "+2d");
    let mut bob = laptop_at("bob", "@1970-01-02 00:00:00");
    for laptop in [&mut ann, &mut bob] {
        laptop.until("it waits", |laptop| why(laptop, "1.1").contains(&format!("not before {later}")));
        laptop.until("it knows the time", |laptop| {
            laptop.said.last().is_some_and(|it| it.freshness.starts_with("fresh"))
        });
        assert!(laptop.said.last().unwrap().school.as_ref().unwrap().silent_s.is_some());
    }
    // Where the server is gone, Bob takes the time from what it has signed, and Ann's own clock counts.
    bob.stop();
    ann.stop();
    drop(school);
    let mut ann = laptop_at("ann", "+2d");
    ann.until_applied("1.1");
    let mut bob = laptop_at("bob", "@1970-01-02 00:00:00");
    bob.until("it waits", |bob| why(bob, "1.1").contains("not before"));
    say(&class, &["assign", "all", SECOND, "--not-before", &at(-1)]);
    let school = server_of(&class, "school");
    bob.stop();
    let mut bob = class.laptop("bob", &[school.address]);
    bob.until_applied("1.1");
}

#[test]
fn a_thief_of_the_schools_keys_chooses_among_what_the_publisher_lists_and_adds_nothing() {
    let class = class_with_a_school();
    // The thief's own publisher lists something of the same name, and the school assigns that.
    fs::create_dir(class.path("thief")).unwrap();
    let thiefs = class.argument("thief/repo");
    class.run(&["init", &thiefs]);
    let evil = class.path("evil");
    fs::create_dir(&evil).unwrap();
    fs::write(evil.join("file"), "evil").unwrap();
    let options = ["--channel", "stable", "--name", "tree", "--version", "1.1", "--new"];
    class.run(&[&["publish", evil.to_str().unwrap(), "--repo", &thiefs], &options[..]].concat());
    class.run(&["school", "assign", "all", SECOND, "--school", &class.argument("school"), "--repo", &thiefs]);
    let school = server_of(&class, "school");
    join(&class, "ann", "school", "all");
    let mut ann = class.laptop("ann", &[school.address]);
    hears(&mut ann, &class, "school");
    let told = |ann: &Process| ann.said.last()?.school.as_ref()?.why.clone();
    ann.until("it says why not", |ann| told(ann).is_some_and(|why| why.contains("lists no such release")));
    assert!(ann.said.iter().all(|status| status.releases.is_empty()));
    // What is not listed at all cannot be assigned with the school's own program.
    let unknown = class.fails(&[
        "school",
        "assign",
        "all",
        "stable/tree_9.manifest",
        "--school",
        &class.argument("school"),
        "--repo",
        &class.repo(),
    ]);
    unknown.is(1, &["stable/tree_9.manifest", "lists no"]);
    say(&class, &["assign", "all", FIRST]);
    ann.until_applied("1.0");
}

/// Puts a copy of a school's metadata in the place of another.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[test]
fn an_old_assignment_and_that_of_another_school_change_nothing() {
    let class = class_with_a_school();
    say(&class, &["assign", "all", FIRST]);
    copy(&class.path("school"), &class.path("old"));
    say(&class, &["assign", "all", SECOND]);
    class.run(&["school", "init", &class.argument("other")]);
    say_at(&class, "other", &["assign", "all", FIRST]);
    join(&class, "ann", "school", "all");
    let school = server_of(&class, "school");
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.1");
    drop(school);
    ann.stop();
    // A server with the school's own words of yesterday, and one of another school with what it says today.
    let (old, other) = (server_of(&class, "old"), server_of(&class, "other"));
    let mut ann = class.laptop("ann", &[old.address, other.address]);
    ann.until("it has met both", |ann| ann.said.last().is_some_and(|status| status.peers == 2));
    // Each passes on what the publisher says, and that is newer now.
    fs::write(class.path("tree/file"), "third").unwrap();
    class.publish(&class.path("tree"), "1.2");
    let newest = node::publisher::files::read(&class.path("repo")).unwrap().head().unwrap().timestamp;
    ann.until("it hears of it", |ann| ann.said.last().is_some_and(|status| status.timestamp == Some(newest)));
    ann.stop();
    runs(&class, "ann", "second");
    assert!(ann.said.iter().all(|status| status.releases.iter().all(|release| release.version == "1.1")));
}

#[test]
fn what_the_publisher_takes_back_the_school_can_send_devices_back_from() {
    let class = class_with_a_school();
    say(&class, &["assign", "all", SECOND]);
    let school = server_of(&class, "school");
    join(&class, "ann", "school", "all");
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.1");
    class.run(&["withdraw", SECOND, "--repo", &class.repo()]);
    let told = |ann: &Process| ann.said.last()?.school.as_ref()?.why.clone();
    ann.until("it hears", |ann| told(ann).is_some_and(|why| why.contains("took it back")));
    runs(&class, "ann", "second");
    say(&class, &["assign", "all", FIRST]);
    ann.until_applied("1.0");
    runs(&class, "ann", "first");
}

#[test]
fn a_school_that_was_restored_from_a_copy_hears_from_its_devices_how_to_go_on() {
    let class = class_with_a_school();
    say(&class, &["assign", "all", FIRST]);
    copy(&class.path("school"), &class.path("copy"));
    say(&class, &["assign", "all", SECOND]);
    let mut server = server_of(&class, "school");
    join(&class, "ann", "school", "all");
    let mut ann = class.laptop("ann", &[server.address]);
    ann.until_applied("1.1");
    server.stop();
    ann.stop();
    fs::remove_dir_all(class.path("school")).unwrap();
    copy(&class.path("copy"), &class.path("school"));
    let mut server = server_of(&class, "school");
    let mut ann = class.laptop("ann", &[server.address]);
    let version = heard_version(&mut ann);
    let note = server.until_note("restored from a copy");
    let words = format!("homeroom school refresh --after {version}");
    assert!(note.contains(&words), "{note:?} lacks {words:?}");
    say(&class, &["refresh", "--after", &version.to_string()]);
    hears(&mut ann, &class, "school");
    say(&class, &["assign", "all", SECOND]);
    hears(&mut ann, &class, "school");
}

/// The version of the school's metadata that a laptop knows.
fn heard_version(laptop: &mut Process) -> u64 {
    let heard = |laptop: &Process| laptop.said.last()?.school.as_ref()?.timestamp;
    laptop.until("it tells what it knows of the school", |laptop| heard(laptop).is_some());
    heard(laptop).unwrap()
}

#[test]
fn the_schools_server_lacks_its_keys() {
    let class = class_with_a_school();
    let mut server = server_of(&class, "school");
    server.stop();
    assert!(!server.stderr().contains("cannot be signed for"), "{}", server.stderr());
    fs::remove_file(class.path("school.keys/timestamp.pem")).unwrap();
    let mut server = server_of(&class, "school");
    server.stop();
    for words in ["cannot be signed for", "are not told the time", "timestamp"] {
        assert!(server.stderr().contains(words), "{:?} lacks {words:?}", server.stderr());
    }
}

#[test]
fn there_is_no_school() {
    let class = class_with_a_school();
    let nowhere = class.argument("nowhere");
    let words = ["nowhere", "is no school", "homeroom school init"];
    class.fails(&["school", "show", "--school", &nowhere]).is(3, &words);
    class.fails(&["school", "hold", "all", "--school", &nowhere]).is(3, &words);
    class.fails(&["run", "--seed", "--repo", &class.repo(), "--school", &nowhere, "--no-mdns"]).is(3, &words);
}

#[test]
fn a_laptop_that_does_not_run_tells_its_school_and_group() {
    let class = class_with_a_school();
    say(&class, &["assign", "class-4", SECOND]);
    let server = server_of(&class, "school");
    join(&class, "ann", "school", "class-4");
    let mut ann = class.laptop("ann", &[server.address]);
    ann.until_applied("1.1");
    ann.stop();
    let told = class.run(&["status", "--home", &class.argument("ann")]).stdout;
    let told = String::from_utf8(told).unwrap();
    for words in ["school:   version", "class-4 should run stable/tree_1.1.manifest", "not running"] {
        assert!(told.contains(words), "{told:?} lacks {words:?}");
    }
}
