//! A person's own mistakes: each gets one line that says what to do, and the documented exit code.

use super::class::{CHANNEL, Class, Failure, program};
use super::needs::{Need, can_run};
use super::process::Process;
use super::trees;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_SET_UP: i32 = 3;
const IN_USE: i32 = 4;
const VERSION_TAKEN: i32 = 5;

/// A class with a small tree, of which nothing is published yet.
fn class() -> Class {
    let class = Class::new();
    trees::bulk(&class.path("tree"), 2, 1_000);
    class
}

#[track_caller]
fn publish_fails(class: &Class, tree: &str, version: &str) -> Failure {
    let tree = class.argument(tree);
    let release = ["publish", &tree, "--repo", &class.repo(), "--channel", CHANNEL, "--version", version];
    class.fails(&[&release[..], class.novelty()].concat())
}

/// How starting a node fails. One that starts after all stops at once, and that is no failure.
#[track_caller]
fn run_fails(arguments: &[&str]) -> Failure {
    let stop = ["--stop-with-stdin", "--no-mdns"];
    Failure::of(Command::new(program()).arg("run").args(arguments).args(stop).stdin(Stdio::null()))
}

/// Nothing was published: the repository's metadata is as `init` made it.
fn assert_nothing_published(class: &Class) {
    let manifests = fs::read_dir(class.path("repo/manifests")).unwrap().count();
    assert_eq!(manifests, 0, "something was published though the command failed");
}

#[test]
fn the_tree_does_not_exist() {
    let class = class();
    publish_fails(&class, "nowhere", "1.0").is(FAILED, &["nowhere", "no directory", "publish a directory"]);
    assert_nothing_published(&class);
}

#[test]
fn the_tree_is_a_file() {
    let class = class();
    fs::write(class.path("file"), "x").unwrap();
    publish_fails(&class, "file", "1.0").is(FAILED, &["file", "publish a directory"]);
    assert_nothing_published(&class);
}

#[test]
fn the_version_is_no_version() {
    let class = class();
    for version in ["1.0.bogus", "1 0", ""] {
        let failure = publish_fails(&class, "tree", version);
        failure.is(USAGE, &[&format!("{version:?}"), "is not a version", "versions look like 1.0"]);
    }
    assert_nothing_published(&class);
}

#[test]
fn the_channel_is_no_name() {
    let class = class();
    for channel in ["Stable", "../stable", "root/", ""] {
        let arguments = ["--repo", &class.repo(), "--channel", channel, "--version", "1.0", "--new"];
        let failure = class.fails(&[&["publish", &class.argument("tree")], &arguments[..]].concat());
        failure.is(USAGE, &["cannot name a channel", "use up to 64 of a-z"]);
    }
    assert_nothing_published(&class);
}

#[test]
fn the_version_is_taken_or_older() {
    let class = class();
    class.publish(&class.path("tree"), "1.1");
    let timestamp = fs::read(class.path("repo/metadata/timestamp.json")).unwrap();
    // The same version, spelled in another way (PEP 440).
    for version in ["1.1", "1.1.0", "v1.1"] {
        publish_fails(&class, "tree", version).is(VERSION_TAKEN, &["taken", "publish under a higher one"]);
    }
    publish_fails(&class, "tree", "1.1rc1").is(FAILED, &["1.1rc1", "older than 1.1"]);
    assert_eq!(fs::read(class.path("repo/metadata/timestamp.json")).unwrap(), timestamp);
}

#[test]
fn the_repository_is_missing() {
    let class = class();
    fs::rename(class.path("repo"), class.path("elsewhere")).unwrap();
    publish_fails(&class, "tree", "1.0").is(NOT_SET_UP, &["repo", "homeroom init"]);
    run_fails(&["--seed", "--repo", &class.repo()]).is(NOT_SET_UP, &["repo", "homeroom init"]);
}

#[test]
fn the_repository_was_made_before() {
    let class = class();
    class.fails(&["init", &class.repo()]).is(FAILED, &["exists already"]);
}

#[test]
fn the_repository_lies_in_the_tree() {
    let class = class();
    let (repo, keys) = (class.argument("tree/repo"), class.argument("keys"));
    class.run(&["init", &repo, "--keys", &keys]);
    let tree = class.argument("tree");
    let release = ["--repo", &repo, "--keys", &keys, "--channel", CHANNEL, "--version", "1.0", "--new"];
    let failure = class.fails(&[&["publish", &tree], &release[..]].concat());
    failure.is(FAILED, &["lies inside tree", "move it out"]);
}

#[test]
fn the_secret_keys_lie_in_the_tree() {
    let class = class();
    let (repo, keys) = (class.argument("other"), class.argument("tree/keys"));
    class.run(&["init", &repo, "--keys", &keys]);
    let tree = class.argument("tree");
    let release = ["--repo", &repo, "--keys", &keys, "--channel", CHANNEL, "--version", "1.0", "--new"];
    let failure = class.fails(&[&["publish", &tree], &release[..]].concat());
    failure.is(FAILED, &["secret keys", "inside the tree", "move them out"]);
}

#[test]
fn a_copy_of_a_secret_key_lies_in_the_tree() {
    let class = class();
    fs::copy(class.path("repo.keys/snapshot.pem"), class.path("tree/notes.txt")).unwrap();
    publish_fails(&class, "tree", "1.0").is(FAILED, &["notes.txt", "secret key", "move it out"]);
    fs::remove_file(class.path("tree/notes.txt")).unwrap();
    // Another's key is a file like others.
    class.run(&["key", "new", &class.argument("tree/other.pem")]);
    class.publish(&class.path("tree"), "1.0");
}

#[test]
fn the_keys_are_lost() {
    let class = class();
    fs::remove_dir_all(class.path("repo.keys")).unwrap();
    publish_fails(&class, "tree", "1.0").is(FAILED, &["repo.keys"]);
}

#[test]
fn somebody_else_is_publishing() {
    let class = class();
    let lock = fs::File::create(class.path("repo/.lock")).unwrap();
    lock.lock().unwrap();
    publish_fails(&class, "tree", "1.0").is(IN_USE, &["another process is publishing", "wait"]);
    drop(lock);
    class.publish(&class.path("tree"), "1.0");
}

#[test]
fn a_fifo_is_in_the_tree() {
    let class = class();
    let fifo = class.path("tree/a fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    publish_fails(&class, "tree", "1.0").is(FAILED, &["a fifo", "it is a fifo; remove it"]);
    assert_nothing_published(&class);
}

#[test]
fn a_setuid_file_is_in_the_tree_and_nobody_allowed_it() {
    let class = class();
    let file = class.path("tree/su");
    fs::write(&file, "#!").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o4755)).unwrap();
    publish_fails(&class, "tree", "1.0").is(FAILED, &["tree/su", "--allow-setuid"]);
    assert_nothing_published(&class);
}

#[test]
fn the_home_is_not_enrolled() {
    let class = class();
    for home in ["nowhere", "."] {
        let home = class.argument(home);
        run_fails(&["--home", &home]).is(NOT_SET_UP, &["is not enrolled", "run: homeroom enroll"]);
        class.fails(&["apply", "--home", &home]).is(NOT_SET_UP, &["is not enrolled", "run: homeroom enroll"]);
        class.fails(&["status", "--home", &home]).is(NOT_SET_UP, &["is not enrolled", "run: homeroom enroll"]);
    }
    assert!(!class.path("nowhere").exists(), "asking makes no home");
}

#[test]
fn the_home_is_enrolled_twice() {
    let class = class();
    class.enroll("ann");
    let again = ["enroll", "--home", &class.argument("ann"), "--root", &class.root(), "--channel", "beta"];
    class.fails(&again).is(FAILED, &["enrolled already", "choose another home"]);
}

#[test]
fn the_root_file_is_missing_or_something_else() {
    let class = class();
    let enroll =
        |root: &str| class.fails(&["enroll", "--home", &class.argument("ann"), "--root", root, "--channel", CHANNEL]);
    enroll(&class.argument("nowhere")).is(FAILED, &["nowhere", "1.root.json"]);
    enroll(&class.argument("repo/metadata/timestamp.json")).is(FAILED, &["is not version 1 of a publisher's root"]);
    let mut flipped = fs::read(class.root()).unwrap();
    let at = flipped.len() / 2;
    flipped[at] ^= 1;
    fs::write(class.path("flipped"), flipped).unwrap();
    enroll(&class.argument("flipped")).is(FAILED, &["is not version 1 of a publisher's root"]);
    assert!(!class.path("ann/state.sqlite").exists());
}

#[test]
fn the_home_is_in_use() {
    let class = class();
    let mut ann = class.laptop("ann", &[]);
    let home = class.argument("ann");
    run_fails(&["--home", &home, "--listen", "127.0.0.1:0"]).is(IN_USE, &["in use by another", "stop that one"]);
    ann.stop();
    class.laptop("ann", &[]).stop();
}

#[test]
fn the_port_is_in_use() {
    let class = class();
    class.enroll("ann");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failure = run_fails(&["--home", &class.argument("ann"), "--listen", &address]);
    failure.is(IN_USE, &[&address, "--listen"]);
    let failure = run_fails(&["--seed", "--repo", &class.repo(), "--listen", &address]);
    failure.is(IN_USE, &[&address, "--listen"]);
    // Another node there counts as well.
    let ann = class.laptop("bob", &[]);
    let failure = run_fails(&["--home", &class.argument("ann"), "--listen", &ann.address.to_string()]);
    failure.is(IN_USE, &["--listen"]);
}

#[test]
fn another_homeroom_has_used_the_home() {
    let class = class();
    class.enroll("ann");
    let state = class.path("ann/state.sqlite");
    let mut bytes = fs::read(&state).unwrap();
    for (format, words) in [(3_u32, "use the newer homeroom"), (1, "enroll again: the trees stay")] {
        // The user version of an SQLite file (sqlite.org/fileformat2.html, section 1.3).
        bytes[60..64].copy_from_slice(&format.to_be_bytes());
        fs::write(&state, &bytes).unwrap();
        for verb in ["run", "apply", "status"] {
            let command = &mut Command::new(program());
            command.args([verb, "--home", &class.argument("ann")]).stdin(Stdio::null());
            Failure::of(command).is(FAILED, &[&format!("home format {format}"), words]);
        }
        assert_eq!(fs::read(&state).unwrap(), bytes, "what another homeroom wrote stays as it is");
    }
}

#[test]
fn something_else_stands_where_current_should_be() {
    let class = class();
    class.enroll("ann");
    fs::create_dir(class.path("ann/current")).unwrap();
    let failure = run_fails(&["--home", &class.argument("ann"), "--listen", "127.0.0.1:0"]);
    failure.is(FAILED, &["ann/current", "in the way", "move it elsewhere"]);
}

#[test]
fn there_is_nothing_to_apply_yet() {
    let class = class();
    class.enroll("ann");
    class
        .fails(&["apply", "--home", &class.argument("ann")])
        .is(FAILED, &["no release is known yet", "run the device"]);
}

#[test]
fn who_does_not_apply_by_itself_applies_when_told() {
    let class = class();
    class.publish(&class.path("tree"), "1.0");
    let school = class.school();
    let options = ["--listen", "127.0.0.1:0", "--no-mdns", "--no-apply"];
    let mut ann = class.laptop_with("ann", &options, &[school.address]);
    ann.until_note("is here whole");
    let complete = |ann: &Process| ann.release("1.0").is_some_and(|release| release.stage == "complete");
    ann.until("it waits", complete);
    assert!(!class.current("ann").exists());
    // Once through the running node, once without one.
    class.run(&["apply", "--home", &class.argument("ann")]);
    ann.until_applied("1.0");
    let mut bob = class.laptop_with("bob", &options, &[school.address]);
    bob.until("it waits", complete);
    bob.stop();
    class.run(&["apply", "--home", &class.argument("bob")]);
    assert!(class.current("ann").exists() && class.current("bob").exists());
}

#[test]
fn somebody_may_not_read_or_write_there() {
    if !can_run(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let class = class();
    fs::write(class.path("tree/secret"), "x").unwrap();
    fs::set_permissions(class.path("tree/secret"), Permissions::from_mode(0o600)).unwrap();
    class.enroll("ann");
    let nobody = |arguments: &[&str]| Failure::of(class.nobody().args(arguments).stdin(Stdio::null()));
    let publish = ["--channel", CHANNEL, "--version", "1.0", "--new"];
    let tree = class.argument("tree");
    nobody(&[&["publish", &tree, "--repo", &class.repo()], &publish[..]].concat()).is(FAILED, &["repo", "may"]);
    nobody(&["init", &class.argument("new")]).is(FAILED, &["new"]);
    nobody(&["run", "--home", &class.argument("ann"), "--no-mdns"]).is(FAILED, &["ann", "that you may write"]);
    nobody(&["enroll", "--home", &class.argument("bob"), "--root", &class.root(), "--channel", CHANNEL])
        .is(FAILED, &["bob", "that you may write"]);

    // A publisher of their own, and a tree with one file that they may not read.
    class.directory_of_nobody("own");
    let repo = class.argument("own/repo");
    assert!(class.nobody().args(["init", &repo]).status().unwrap().success());
    nobody(&[&["publish", &tree, "--repo", &repo], &publish[..]].concat())
        .is(FAILED, &["tree/secret", "publish as a user who may read it"]);
}

#[test]
fn the_channel_is_misspelled() {
    let class = class();
    class.publish(&class.path("tree"), "1.0");
    let (tree, repo) = (class.argument("tree"), class.repo());
    let publish = |channel, more: &[&'static str]| {
        class.fails(&[&["publish", &tree, "--repo", &repo, "--channel", channel, "--version", "1.1"], more].concat())
    };
    publish("stabel", &[]).is(FAILED, &["channel stabel", "misspelled", "--new"]);
    publish(CHANNEL, &["--new"]).is(FAILED, &["not new", "1.0"]);
    assert!(!class.path("repo/manifests/stabel").exists());
}

#[test]
fn a_file_is_missing_from_the_tree() {
    let class = class();
    for name in ["kept", "lost"] {
        fs::write(class.path("tree").join(name), name).unwrap();
    }
    class.publish(&class.path("tree"), "1.0");
    fs::remove_file(class.path("tree/lost")).unwrap();
    let timestamp = || fs::read(class.path("repo/metadata/timestamp.json")).unwrap();
    let before = timestamp();
    publish_fails(&class, "tree", "1.1")
        .is(FAILED, &["1 paths of 1.0", "lost", "--allow-remove", "nothing is released"]);
    assert_eq!(timestamp(), before);
    let (tree, repo) = (class.argument("tree"), class.repo());
    let release = ["--channel", CHANNEL, "--version", "1.1", "--allow-remove"];
    let told = class.run(&[&["publish", &tree, "--repo", &repo], &release[..]].concat());
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("beside 1.0: of its paths") && told.contains("1 gone"), "{told}");
}

#[test]
fn what_is_said_of_a_release_is_wrong() {
    let class = class();
    let (tree, repo) = (class.argument("tree"), class.repo());
    let release = ["publish", &tree, "--repo", &repo, "--channel", CHANNEL, "--version", "1.0", "--new"];
    let fails = |more: &[&str]| class.fails(&[&release[..], more].concat());
    fails(&["--hardware", "xo 4"]).is(USAGE, &["cannot name hardware", "no space"]);
    fails(&["--custom", &class.argument("nowhere")]).is(FAILED, &["nowhere"]);
    let custom = class.argument("custom.json");
    let says = |text: &str, words: &[&str]| {
        fs::write(&custom, text).unwrap();
        fails(&["--custom", &custom]).is(FAILED, words);
    };
    for text in ["", "[]", "{\"share\": 0.5}", "{\"a\": 1, \"a\": 2}"] {
        says(text, &["custom.json", "not one JSON object"]);
    }
    says("{\"staged\": true}", &["custom.json", "\"staged\"", "an option of its own"]);
    says(&format!("{{\"note\":\"{}\"}}", "n".repeat(4086)), &["custom.json", "4096"]);
    assert_nothing_published(&class);
    fs::write(&custom, "{\"note\": \"for the exams\"}").unwrap();
    class.run(&[&release[..], &["--custom", &custom, "--release-counter", "2"]].concat());
    let next = ["publish", &tree, "--repo", &repo, "--channel", CHANNEL, "--version", "1.1", "--release-counter", "1"];
    class.fails(&next).is(FAILED, &["release counter 1", "below 2", "--allow-lower-counter"]);
    class.run(&[&next[..], &["--allow-lower-counter"]].concat());
    let shown = class.run(&["channel", "show", CHANNEL, "--repo", &repo]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for words in ["release counter: 2", "\"note\":\"for the exams\"", "tree_1.1.manifest  {\"release_counter\":1}"] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn a_release_that_is_not_listed_is_promoted() {
    let class = class();
    let promote = |release| class.fails(&["promote", release, "--repo", &class.repo()]);
    promote("stable/tree_1.0.manifest").is(FAILED, &["cannot promote", "lists no stable/tree_1.0.manifest"]);
    promote("stable/tree").is(USAGE, &["no manifest's target path", "stable/sugar_1.0.manifest"]);
}

#[test]
fn the_keys_of_a_channel_are_elsewhere() {
    let class = class();
    let (tree, repo) = (class.argument("tree"), class.repo());
    let key = |name: &str| {
        class.run(&["key", "new", &class.argument(&format!("{name}.pem"))]);
        class.argument(&format!("{name}.pub"))
    };
    let (ann, ben) = (key("ann"), key("ben"));
    let create = ["channel", "create", CHANNEL, "--repo", &repo, "--key", &ann, "--key", &ben, "--threshold"];
    class.fails(&[&create[..], &["3"]].concat()).is(FAILED, &["3 of 2 keys", "choose 1 to 2"]);
    class.run(&[&create[..], &["2"]].concat());
    class.fails(&[&create[..], &["2"]].concat()).is(FAILED, &["already", "homeroom channel change"]);
    let nobody = ["channel", "change", "other", "--repo", &repo, "--threshold", "1"];
    class.fails(&nobody).is(FAILED, &["no channel other", "homeroom channel create"]);

    let timestamp = || fs::read(class.path("repo/metadata/timestamp.json")).unwrap();
    let before = timestamp();
    let publish = ["publish", &tree, "--repo", &repo, "--channel", CHANNEL, "--version", "1.0"];
    class.fails(&publish).is(FAILED, &["cannot sign stable/tree_1.0.manifest", "0 of the 2 keys", "--pending"]);
    let (file, own) = (class.argument("change.json"), class.argument("repo.keys/targets.pem"));
    class.run(&[&publish[..], &["--pending", &file]].concat());
    class.fails(&[&publish[..], &["--pending", &file]].concat()).is(FAILED, &["change.json exists already"]);
    let finish = ["finish", &file, "--repo", &repo];
    class.fails(&finish).is(FAILED, &["change.json was not put into use", "0 of the 2 keys"]);
    class.fails(&["sign", &file, "--key", &own]).is(FAILED, &["signs nothing of this change"]);
    class.run(&["sign", &file, "--key", &class.argument("ann.pem")]);
    class.fails(&finish).is(FAILED, &["1 of the 2 keys"]);
    assert_eq!(timestamp(), before, "a release that one has signed is not served");
    class.run(&["sign", &file, "--key", &class.argument("ben.pem")]);
    class.run(&finish);
    class.fails(&finish).is(FAILED, &["draft the change again"]);
    let root = class.root();
    for other in [tree.as_str(), &root, "nowhere"] {
        class.fails(&["finish", other, "--repo", &repo]).is(FAILED, &[other]);
    }
}

#[test]
fn a_laptop_follows_a_channel_that_is_misspelled() {
    let class = class();
    class.publish(&class.path("tree"), "1.0");
    class.run(&["enroll", "--home", &class.argument("ann"), "--root", &class.root(), "--channel", "stabel"]);
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    let idles = |ann: &Process| ann.said.last().and_then(|status| status.idles.clone());
    ann.until("it tells that there is nothing", |ann| idles(ann).is_some_and(|why| why.contains("channel stabel")));
    ann.stop();
    let told = class.run(&["status", "--home", &class.argument("ann")]).stdout;
    assert!(String::from_utf8_lossy(&told).contains("no release in the channel stabel"));
}

#[test]
fn there_is_no_terminal_to_ask_for_a_password() {
    let class = Class::new();
    let key = class.argument("ann.pem");
    let homeroom = |arguments: &[&str]| {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(program()).args(arguments).stdin(Stdio::null());
        command
    };
    let made = homeroom(&["key", "new", &key, "--encrypt"]).env("HOMEROOM_KEY_PASSWORD", "secret").status().unwrap();
    assert!(made.success());
    let words = ["ann.pem", "no terminal", "HOMEROOM_KEY_PASSWORD"];
    Failure::of(&mut homeroom(&["key", "encrypt", &key])).is(FAILED, &words[1..]);
    fs::remove_file(class.path("ann.pub")).unwrap();
    Failure::of(&mut homeroom(&["key", "list", &key])).is(FAILED, &words);
}
