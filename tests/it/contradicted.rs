//! A publisher's keys sign two things at once: somebody else has them too.

use super::class::{CHANNEL, Class};
use super::trees;
use std::fs;

#[test]
fn a_class_that_is_told_two_things_applies_neither_until_there_is_a_third() {
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, 4, 100_000);
    class.publish(&tree, "1.0");
    let mut school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    [&mut ann, &mut school].into_iter().for_each(|node| node.stop());
    // The thief's copy of the repository, in which the next release is another.
    fs::create_dir(class.path("thief")).unwrap();
    for directory in ["repo", "repo.keys"] {
        let copied =
            std::process::Command::new("cp").arg("-a").arg(class.path(directory)).arg(class.path("thief")).status();
        assert!(copied.unwrap().success());
    }
    let thief = class.argument("thief/repo");
    trees::bulk(&class.path("evil"), 4, 100_001);
    let evil = class.argument("evil");
    class.run(&["publish", &evil, "--repo", &thief, "--channel", CHANNEL, "--version", "1.1", "--allow-remove"]);
    trees::bulk(&tree, 4, 100_002);
    class.publish(&tree, "1.1");

    let school = class.school();
    let mut command = std::process::Command::new(super::class::program());
    command.args(["run", "--seed", "--repo", &thief, "--listen", "127.0.0.1:0", "--no-mdns"]);
    let false_school = class.start("thief-school", command, &[]);
    // So slow that she hears of both before she has either whole.
    let options = ["--listen", "127.0.0.1:0", "--no-mdns", "--download-max", "400kbit"];
    let mut ann = class.laptop_with("ann", &options, &[school.address, false_school.address]);
    ann.until_note("signed two different timestamps");
    let waits = |stage: &str, why: &Option<String>| {
        stage == "complete" && why.as_ref().is_some_and(|it| it.contains("two different"))
    };
    ann.until("it waits", |ann| ann.release("1.1").is_some_and(|it| waits(&it.stage, &it.why)));
    assert!(fs::read_link(class.current("ann")).unwrap().to_str().unwrap().contains("1.0-"));
    // Bob knows nobody but her, and hears of it all the same.
    let mut bob = class.laptop_with("bob", &["--listen", "127.0.0.1:0", "--no-mdns", "--no-apply"], &[ann.address]);
    bob.until_note("signed two different timestamps");
    // The publisher has seen it too, and signs a higher version.
    class.publish(&tree, "1.2");
    ann.until_applied("1.2");
}
