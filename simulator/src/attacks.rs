//! Classrooms under attack: whatever adversaries tell, nothing is believed or taken that the publisher did not list,
//! nothing goes back, and all honest hosts come to agree. The checks look after each event; these tests say what was
//! tried, and how long it may take.

use crate::adversaries;
use crate::adversary::Attack;
use crate::check::Rule;
use crate::fault::{Fault, Whom};
use crate::histories::{classroom, good, release};
use crate::outcome::Outcome;
use crate::scenario::{HostId, KeyRole, Rotation, Scenario};
use crate::{run, run_traced};
use protocol::time::Span;

/// What peers say that have no keys.
const WITHOUT_KEYS: [Attack; 7] =
    [Attack::Garbage, Attack::Replay, Attack::Freeze, Attack::Withhold, Attack::Tease, Attack::Storm, Attack::Frame];

/// A classroom of so many honest laptops, and after them as many adversaries as there are attacks named.
fn besieged(honest: usize, attacks: &[Attack], more: &str) -> Scenario {
    let mut scenario = classroom(honest + attacks.len(), more);
    scenario.until = Span::from_secs(900);
    scenario.idle = Span::from_secs(60);
    for (attack, host) in attacks.iter().zip(honest + 1..) {
        scenario.faults.push(Fault::Attacks { host: Whom::Host(HostId(host)), attack: *attack });
    }
    scenario
}

fn eclipsed(mut scenario: Scenario) -> Scenario {
    scenario.faults.push(Fault::Eclipsed { host: Whom::Host(HostId(1)) });
    scenario
}

fn with_new_online_keys(mut scenario: Scenario, at: Span) -> Scenario {
    scenario.rotations.push(Rotation { at, keys: vec![KeyRole::Timestamp, KeyRole::Snapshot] });
    scenario
}

fn two_releases() -> String {
    release("1.0", 0, 10, 0) + &release("1.1", 120, 10, 50)
}

/// How long after a moment the last honest laptop had applied a version.
fn applied_after(outcome: &Outcome, version: &str, moment: Span) -> Span {
    let honest = outcome.hosts[1..].iter().filter(|host| host.honest);
    let at = honest.map(|host| {
        assert_eq!(host.applied.as_deref(), Some(version), "{}", host.host);
        host.applied_at.unwrap()
    });
    Span(at.max().unwrap().0 - moment.0)
}

#[test]
fn half_a_class_that_lies_about_metadata_delays_a_release_by_seconds() {
    for attack in WITHOUT_KEYS {
        let outcome = good(&besieged(6, &[attack; 6], &two_releases()), 1);
        let took = applied_after(&outcome, "1.1", Span::from_secs(120));
        assert!(took <= Span::from_secs(30), "{attack:?}: {took:?}");
    }
}

#[test]
fn one_honest_path_in_twenty() {
    // Of the twenty nineteen keep silent for three seconds each, and as long again for the snapshot at worst.
    for attack in WITHOUT_KEYS {
        let outcome = good(&eclipsed(besieged(3, &[attack; 19], &two_releases())), 1);
        let took = applied_after(&outcome, "1.1", Span::from_secs(120));
        assert!(took <= Span::from_secs(120), "{attack:?}: {took:?}");
    }
}

#[test]
fn ten_false_names_for_each_honest_laptop() {
    for attack in [Attack::Withhold, Attack::Tease, Attack::Garbage] {
        let outcome = good(&besieged(3, &[attack; 30], &two_releases()), 1);
        let took = applied_after(&outcome, "1.1", Span::from_secs(120));
        assert!(took <= Span::from_secs(120), "{attack:?}: {took:?}");
    }
}

#[test]
fn old_releases_are_offered_and_nobody_goes_back() {
    let releases = two_releases() + &release("1.2", 240, 10, 50);
    let outcome = good(&besieged(4, &[Attack::Replay; 8], &releases), 1);
    assert!(applied_after(&outcome, "1.2", Span::from_secs(240)) <= Span::from_secs(30));
}

#[test]
fn versions_that_a_thief_ran_up_come_down_with_new_keys() {
    let stuck = besieged(6, &[Attack::FastForward, Attack::Replay, Attack::Tease], &two_releases());
    for rng_seed in 0..4 {
        assert!(run(&stuck, rng_seed).failed(), "the thief got nowhere, so nothing is shown");
        let rotated = with_new_online_keys(stuck.clone(), Span::from_secs(200));
        let outcome = good(&rotated, rng_seed);
        assert!(applied_after(&outcome, "1.1", Span::from_secs(120)) <= Span::from_secs(80 + 60));
    }
}

#[test]
fn a_thief_of_the_online_keys_and_of_too_few_others_gets_nothing_in() {
    for signers in [1, 2, 3] {
        let mut scenario = besieged(6, &[Attack::Steal; 6], &two_releases());
        scenario.signers = signers;
        let outcome = good(&with_new_online_keys(scenario, Span::from_secs(200)), 1);
        assert!(applied_after(&outcome, "1.1", Span::from_secs(120)) <= Span::from_secs(80 + 60));
    }
}

#[test]
fn two_halves_are_told_different_things_and_all_are_shown_both() {
    let scenario = besieged(8, &[Attack::Equivocate; 2], &release("1.0", 0, 10, 0));
    let mut text = Vec::new();
    let outcome = run_traced(&scenario, 1, &mut text).unwrap();
    assert!(!outcome.failed(), "{:#?}", outcome.violations);
    let text = String::from_utf8(text).unwrap();
    for host in outcome.hosts.iter().filter(|host| host.honest) {
        let told = format!("{} > Event(Equivocation {{ signer: Publisher, version: 1 }})", host.host);
        assert!(text.contains(&told), "{} knows nothing of it", host.host);
    }
}

#[test]
fn a_storm_of_100_000_old_heads_is_not_answered() {
    let said_by_laptop = |attacks: &[Attack]| {
        let mut scenario = besieged(1, attacks, &two_releases());
        scenario.idle = Span::from_secs(6_000);
        scenario.until = Span::from_secs(12_000);
        let mut text = Vec::new();
        assert!(!run_traced(&scenario, 1, &mut text).unwrap().failed());
        let text = String::from_utf8(text).unwrap();
        let lines = |of: &str| text.lines().filter(|line| line.contains(of)).count();
        (lines(" laptop-1 > Send"), lines(" laptop-1 < Message"))
    };
    let (calm, _) = said_by_laptop(&[]);
    let (said, heard) = said_by_laptop(&[Attack::Storm; 4]);
    assert!(heard > 100_000, "{heard}");
    // An old head is no reason to say anything; one that claims another timestamp of the newest version is a reason to
    // ask, which is done once a second at most.
    assert!(50 * (said - calm) < heard, "{said} messages, {calm} without a storm, {heard} heard");
}

#[test]
fn a_thief_of_the_schools_keys_sends_devices_back_to_their_floor_and_no_further() {
    let releases = ["1.0", "1.1", "1.2"].map(|version| {
        let number = u64::from(version.as_bytes()[2] - b'0');
        release(version, 60 * number, 10, if number == 0 { 0 } else { 50 })
            + &format!("release_counter = {}\n", number.min(1))
    });
    let assigned = [("1.2", 180, false), ("1.1", 240, false), ("1.0", 300, false), ("1.2", 360, true)];
    let assigned = assigned.map(|(version, at, forged)| {
        format!("[[assignment]]\nversion = \"{version}\"\nat = \"{at}s\"\nforged = {forged}\n")
    });
    let scenario = besieged(6, &[Attack::Replay, Attack::Withhold], &(releases.concat() + &assigned.concat()));
    let mut text = Vec::new();
    let outcome = run_traced(&Scenario { until: Span::from_secs(500), ..scenario }, 1, &mut text).unwrap();
    let broken: Vec<_> = outcome.violations.iter().filter(|found| found.rule != Rule::Alive).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    // All went back to 1.1, which lies on the floor; neither below it nor to what was never published.
    let honest: Vec<_> = outcome.hosts[1..].iter().filter(|host| host.honest).collect();
    assert!(honest.iter().all(|host| host.applied.as_deref() == Some("1.1")), "{honest:#?}");
}

/// A thousand histories in all, in parts that run side by side.
fn adversaries(rng_seeds: std::ops::Range<u64>) {
    for rng_seed in rng_seeds {
        let outcome = run(&adversaries::history(rng_seed), rng_seed);
        let again = format!("homeroom-sim adversaries --first {rng_seed} --histories 1 --trace trace.txt");
        assert!(!outcome.failed(), "{again}: {:#?}", outcome.violations);
    }
}

#[test]
fn whatever_adversaries_tell_the_first_250_classrooms_agree() {
    adversaries(0..250);
}

#[test]
fn whatever_adversaries_tell_the_second_250_classrooms_agree() {
    adversaries(250..500);
}

#[test]
fn whatever_adversaries_tell_the_third_250_classrooms_agree() {
    adversaries(500..750);
}

#[test]
fn whatever_adversaries_tell_the_fourth_250_classrooms_agree() {
    adversaries(750..1000);
}
