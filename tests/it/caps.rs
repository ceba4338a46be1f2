//! Caps and quiet hours, on a network whose switch counts every byte. Needs root, for network namespaces.

use super::class::{Class, program};
use super::needs::{Need, can_run};
use super::process::Process;
use super::trees::{self, noise};
use std::time::{Duration, Instant, SystemTime};
use tests::lan::Lan;

const LAB: &[Need] = &[Need::Root, Need::Tool("ip")];
/// The cap of these tests, 8 Mbit/s.
const BYTES_PER_S: f64 = 1e6;

fn start(lan: &Lan, class: &Class, host: &str, arguments: &[&str]) -> Process {
    let mut command = lan.command(host, program());
    command.arg("run").args(arguments);
    if host != "school" {
        class.enroll(host);
        command.args(["--home", &class.argument(host)]);
    }
    class.start(host, command, &[])
}

/// What `senders` together send in a second, headers included, while the laptop fetches most of its release.
fn bytes_per_s(lan: &Lan, senders: &[&str], laptop: &mut Process) -> f64 {
    let sent = || {
        let all = lan.sent_bytes().unwrap();
        senders.iter().map(|sender| all[*sender]).sum::<u64>() as f64
    };
    let holds = |part: u64| {
        move |laptop: &Process| {
            let release = laptop.release("1.0");
            release.is_some_and(|release| release.total_bytes > 0 && release.held_bytes >= release.total_bytes / part)
        }
    };
    laptop.until("it holds a tenth", holds(10));
    let (before, start) = (sent(), Instant::now());
    laptop.until("it holds all", holds(1));
    (sent() - before) / start.elapsed().as_secs_f64()
}

#[test]
fn a_cap_on_sending_and_one_on_fetching_hold_and_are_used() {
    if !can_run(LAB) {
        return;
    }
    let class = Class::new();
    let tree = class.path("tree");
    // Digits shrink to half: a cap is on what crosses the link.
    std::fs::create_dir(&tree).unwrap();
    for number in 0..10 {
        let digits: String = noise(&number.to_string(), 500_000).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(tree.join(number.to_string()), digits).unwrap();
    }
    class.publish(&tree, "1.0");
    let lan = Lan::up(&["school", "ann", "bob", "cleo"]).unwrap();
    let mut school = start(&lan, &class, "school", &["--seed", "--repo", &class.repo(), "--upload-max", "8Mbit"]);
    let mut ann = start(&lan, &class, "ann", &[]);
    let sent = bytes_per_s(&lan, &["school"], &mut ann);
    assert!((0.6..1.15).contains(&(sent / BYTES_PER_S)), "the school sent {sent:.0} bytes a second");
    ann.until_applied("1.0");

    // Ann sends without a limit, but Bob asks within his.
    let mut bob = start(&lan, &class, "bob", &["--download-max", "8Mbit"]);
    let fetched = bytes_per_s(&lan, &["school", "ann"], &mut bob);
    assert!((0.6..1.15).contains(&(fetched / BYTES_PER_S)), "Bob was sent {fetched:.0} bytes a second");
    bob.until_applied("1.0");
    for node in [&mut school, &mut ann, &mut bob] {
        node.stop();
    }

    // What a school chooses itself counts as well.
    let mut school = start(&lan, &class, "school", &["--seed", "--repo", &class.repo()]);
    let mut cleo = start(&lan, &class, "cleo", &["--download-max", "8Mbit"]);
    let fetched = bytes_per_s(&lan, &["school"], &mut cleo);
    assert!((0.6..1.1).contains(&(fetched / BYTES_PER_S)), "Cleo was sent {fetched:.0} bytes a second");
    [&mut school, &mut cleo].into_iter().for_each(Process::stop);
}

#[test]
fn in_quiet_hours_a_laptop_hears_of_a_release_and_fetches_nothing_of_it() {
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, 5, 1_000_000);
    class.publish(&tree, "1.0");
    let school = class.school();
    // All of the day but a minute, which is not now in any time zone: they differ by quarters of an hour.
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let time = |minute: u64| format!("{:02}:{:02}", minute % 1440 / 60, minute % 60);
    let loud = since_1970.as_secs() / 60 + 7;
    let hours = format!("{}-{}", time(loud + 1), time(loud));
    let options = ["--listen", "127.0.0.1:0", "--no-mdns", "--quiet-hours", &hours];
    let mut ann = class.laptop_with("ann", &options, &[school.address]);
    let fetching = |ann: &Process| ann.release("1.0").is_some_and(|release| release.stage == "fetching");
    ann.until("she has the list of chunks", fetching);
    ann.listen_for(Duration::from_secs(2));
    assert_eq!(ann.release("1.0").unwrap().fetched_chunks, 0);
    assert_eq!(ann.said.last().unwrap().pace.as_deref(), Some(format!("quiet until {}", time(loud)).as_str()));
    ann.stop();
    class.laptop("ann", &[school.address]).until_applied("1.0");
}
