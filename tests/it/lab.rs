//! The lab: a school and laptops as hosts of their own on one network, found by real mDNS, as the
//! program runs by default. Needs root, for network namespaces.

use super::class::{Class, program};
use super::judge::assert_same;
use super::needs::{Need, can_run};
use super::process::Process;
use super::trees::{self, Edition};
use tests::lan::Lan;

const LAB: &[Need] = &[Need::Root, Need::Tool("ip"), Need::Tool("rsync")];

/// Starts `homeroom` on a host, as a person would there: nothing said of addresses or peers.
fn start(lan: &Lan, class: &Class, host: &str, arguments: &[&str]) -> Process {
    let mut command = lan.command(host, program());
    command.arg("run").args(arguments);
    class.start(host, command, &[])
}

fn laptop(lan: &Lan, class: &Class, host: &str) -> Process {
    class.enroll(host);
    start(lan, class, host, &["--home", &class.argument(host)])
}

#[test]
fn a_classroom_finds_itself_and_survives_a_cable_that_is_pulled() {
    if !can_run(LAB) {
        return;
    }
    let class = Class::new();
    let first = class.path("first");
    trees::bulk(&first, 60, 1_000_000);
    let second = class.odd_tree(Edition::Second);
    class.publish(&first, "1.0");
    let lan = Lan::up(&["school", "ann", "bob", "cleo"]).unwrap();
    let mut school = start(&lan, &class, "school", &["--seed", "--repo", &class.repo()]);
    let mut ann = laptop(&lan, &class, "ann");
    let mut bob = laptop(&lan, &class, "bob");

    // Bob's cable is pulled in the middle of the release.
    let some = |bob: &Process| bob.release("1.0").is_some_and(|release| release.held_bytes > 0);
    bob.until("he holds some of it", some);
    lan.unplug("bob").unwrap();
    ann.until_applied("1.0");
    assert_same(&first, &class.current("ann"));
    let cut_off = bob.release("1.0").unwrap();
    assert!(cut_off.held_bytes < cut_off.total_bytes, "the cable was pulled too late to matter");

    // Cleo comes late, and a second release is there before Bob is back.
    let mut cleo = laptop(&lan, &class, "cleo");
    cleo.until_applied("1.0");
    assert_same(&first, &class.current("cleo"));
    class.publish(&second, "1.1");
    for (laptop, name) in [(&mut ann, "ann"), (&mut cleo, "cleo")] {
        laptop.until_applied("1.1");
        assert_same(&second, &class.current(name));
        assert_same(&first, &class.previous(name));
    }
    lan.plug("bob").unwrap();
    bob.until_applied("1.1");
    assert_same(&second, &class.current("bob"));

    for node in [&mut school, &mut ann, &mut bob, &mut cleo] {
        node.stop();
        assert_eq!(node.note("is banned"), None);
    }
}
