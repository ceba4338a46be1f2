use super::*;
use crate::chain::Chains;
use crate::id::{ManifestId, Signer};
use crate::input::Input;
use crate::mesh::{Caps, Strategy};
use crate::message::{Hello, Message};
use crate::node::{Config, Idle, Node, Wait};
use crate::output::Output;
use crate::policy::{Custom, Policy};
use crate::time::Span;
use crate::trust::sample::{SIGNED_AT, Sample, secret_key};
use crate::trust::stated_time::state_time;
use crate::trust::{ClockFault, Freshness};
use serde_json::{Value, json};
use std::sync::Arc;

const OLD: &str = "os/tree_1.0.manifest";
const NEW: &str = "os/tree_2.0.manifest";

/// A school that says this of these releases.
fn says(said: &[(&str, Value)]) -> Sample {
    let top_paths = said.iter().map(|(path, _)| (*path).to_owned()).collect();
    let top_custom = said.iter().map(|(path, custom)| ((*path).to_owned(), custom.clone())).collect();
    Sample { top_paths, top_custom, ..Sample::release(3) }
}

fn school(said: &Sample, group: &str) -> School {
    School::new(Chain::new(Signer::School, said.trusted()), Some(group.parse().unwrap()))
}

fn assigned(said: &Sample, group: &str) -> Option<String> {
    Some(school(said, group).assignment(&"os".parse().unwrap())?.path.to_string())
}

#[test]
fn a_groups_own_assignment_counts_before_that_of_all() {
    let said = says(&[(OLD, json!({ "groups": { "class-4": {} } })), (NEW, json!({ "groups": { "all": {} } }))]);
    assert_eq!(assigned(&said, "class-4").as_deref(), Some(OLD));
    assert_eq!(assigned(&said, "class-5").as_deref(), Some(NEW));
    let of_apps = school(&said, "class-4").assignment(&"apps".parse().unwrap());
    assert_eq!(of_apps, None, "of another channel");
    let twice = says(&[(OLD, json!({ "groups": { "all": {} } })), (NEW, json!({ "groups": { "all": {} } }))]);
    assert_eq!(assigned(&twice, "class-5").as_deref(), Some(NEW), "and everywhere the same");
}

#[test]
fn what_is_not_understood_assigns_nothing() {
    for custom in
        [json!(null), json!({}), json!([]), json!({ "groups": ["all"] }), json!({ "groups": { "ALL": {}, "all": {} } })]
    {
        assert_eq!(assigned(&says(&[(OLD, custom.clone())]), "all"), None, "{custom}");
    }
    // Terms that are not understood keep a device where it is; it does not do as all instead.
    for terms in [
        json!({ "on_power": true }),
        json!({ "held": "no" }),
        json!({ "not_before": "tomorrow" }),
        json!({ "stale_grace_days": -1 }),
        json!("held"),
    ] {
        let school =
            says(&[(OLD, json!({ "groups": { "all": {} } })), (NEW, json!({ "groups": { "class-4": terms } }))]);
        let publisher = says(&[(OLD, json!({})), (NEW, json!({}))]);
        let of = |group| outcome(&device_of(group, &publisher, &school, 0, None, 0));
        assert_eq!(of("class-4"), Err(Unfit::UnknownTerms), "{terms}");
        assert_eq!(of("class-5"), Ok("1.0".to_owned()), "{terms}");
    }
    let terms = json!({ "held": true, "not_before": "2026-11-23T15:00:00Z", "stale_grace_days": 7 });
    let said = says(&[(OLD, json!({ "groups": { "all": terms }, "note": "for the exam" }))]);
    let assignment = school(&said, "all").assignment(&"os".parse().unwrap()).unwrap();
    let not_before = Some("2026-11-23T15:00:00Z".parse().unwrap());
    assert_eq!(assignment.terms, Some(Terms { held: true, not_before, stale_grace_days: 7 }));
}

#[test]
fn a_release_is_the_assigned_one_by_path_length_and_hash() {
    let said = says(&[(OLD, json!({ "groups": { "all": {} } }))]);
    let school = school(&said, "all");
    let assignment = school.assignment(&"os".parse().unwrap()).unwrap();
    // The sample's targets have the length 3, and its digit as hash.
    let listed = |path: &str, manifest_bytes, digit: u8| Listed {
        path: path.parse().unwrap(),
        manifest: ManifestId([digit; 32]),
        manifest_bytes,
        custom: Custom::default(),
    };
    let cases = [(OLD, 3, 0x33, true), (NEW, 3, 0x33, false), (OLD, 4, 0x33, false), (OLD, 3, 0x34, false)];
    for (path, bytes, digit, is) in cases {
        assert_eq!(assignment.is(&listed(path, bytes, digit)), is, "{path} {bytes} {digit:x}");
        assert_eq!(school.assigns(&listed(path, bytes, digit)), is, "{path} {bytes} {digit:x}");
    }
}

#[test]
fn a_school_delegates_to_nobody() {
    // The same sample has a delegated role that names a release, and says nothing of groups there.
    let said = Sample { os_paths: vec![OLD.into()], ..Sample::release(3) };
    assert_eq!(said.trusted().targets().count(), 1);
    assert_eq!(assigned(&said, "all"), None);
}

#[test]
fn the_time_is_believed_from_whom_it_was_asked_and_runs_on() {
    const SERVER: PeerId = PeerId(1);
    let said = says(&[]);
    let mut school = school(&said, "all");
    let mut peers = Peers::default();
    let mut rng = Rng::new(&[1; 32], 0, "test");
    let mut now = Time(1_000_000);
    assert_eq!(school.asks_time(&peers, now, &mut rng), None, "nobody is here");
    peers.connected(SERVER);
    peers.introduced(SERVER, mesh::Role::Seed);
    peers.is_of_school(SERVER);
    school.met_server(now);
    let (asked, nonce) = school.asks_time(&peers, now, &mut rng).unwrap();
    assert_eq!(asked, SERVER);
    assert_eq!(school.asks_time(&peers, now, &mut rng), None, "one question at a time");
    let key = secret_key(said.timestamp_keys[0]);
    let stated = state_time(&nonce, SIGNED_AT, &[&key]);
    school.time_stated(PeerId(2), &stated, now).unwrap();
    assert_eq!(school.time(now), None, "another peer was not asked");
    school.time_stated(SERVER, &stated, now).unwrap();
    now += Span::from_secs(100);
    assert_eq!(school.time(now), Some(UnixTime(SIGNED_AT.0 + 100)));
    assert_eq!(school.silent_s(now), Some(100));
    // An hour later it is asked again, with another number; the old answer is none.
    now += STATED_EVERY;
    let (_, second) = school.asks_time(&peers, now, &mut rng).unwrap();
    assert_ne!(second, nonce);
    school.time_stated(SERVER, &stated, now).unwrap();
    assert_eq!(school.time(now), Some(UnixTime(SIGNED_AT.0 + 3700)));
    assert!(school.time_stated(SERVER, b"noon", now).is_err());
    // A server whose own clock is dead states a time before the school's last word.
    let stated = state_time(&second, UnixTime(SIGNED_AT.0 - 1), &[&key]);
    school.time_stated(SERVER, &stated, now).unwrap();
    assert_eq!(school.time(now), None);
    assert_eq!(school.time(now + Span::from_secs(1)), Some(SIGNED_AT));
    school.forget_time();
    assert_eq!(school.time(now + Span::from_secs(1)), None);
}

const DAY_S: i64 = 86_400;

/// A device that has applied version 1.5, whose clock shows so many days after everything was signed.
fn device(publisher: &Sample, school: &Sample, floor: u64, hardware: Option<&str>, day: i64) -> Node {
    device_of(ALL, publisher, school, floor, hardware, day)
}

fn device_of(group: &str, publisher: &Sample, school: &Sample, floor: u64, hardware: Option<&str>, day: i64) -> Node {
    let policy = Policy { hardware: hardware.map(|id| id.parse().unwrap()), ..Policy::new("os".parse().unwrap()) };
    let school = School::new(Chain::new(Signer::School, school.trusted()), Some(group.parse().unwrap()));
    let mut node = device_by(policy, Some("1.5"), floor, publisher, Some(school));
    node.handle(Time(0), Input::WallClock(UnixTime(SIGNED_AT.0 + day * DAY_S)));
    node
}

fn device_by(policy: Policy, applied: Option<&str>, floor: u64, publisher: &Sample, school: Option<School>) -> Node {
    let config = Config {
        role: mesh::Role::Device,
        policy: Some(policy),
        applied: applied.map(|version| version.parse().unwrap()),
        floor,
        applies: true,
        has_origin: false,
        strategy: Strategy::default(),
        upload_slots: 1,
        caps: Caps::default(),
    };
    let publisher = Chain::new(Signer::Publisher, publisher.trusted());
    Node::restore(config, Chains { publisher, school: school.map(Box::new) }, [0; 32])
}

/// What is assigned: the version that the device should have, or why it should not.
fn outcome(node: &Node) -> Result<String, Unfit> {
    let (_, found) = node.assigned().unwrap();
    let wanted: Vec<String> = node.wanted().iter().map(|listed| listed.path.version.to_string()).collect();
    assert_eq!(wanted.first(), found.as_ref().ok().map(|listed| listed.path.version.to_string()).as_ref());
    found.map(|listed| listed.path.version.to_string())
}

#[test]
fn a_school_sends_devices_back_down_to_their_floor_and_no_further() {
    let publisher = says(&[(OLD, json!({ "release_counter": 4 })), (NEW, json!({ "release_counter": 5 }))]);
    let back = says(&[(OLD, json!({ "groups": { "all": {} } }))]);
    assert_eq!(outcome(&device(&publisher, &back, 4, None, 0)), Ok("1.0".to_owned()));
    assert_eq!(outcome(&device(&publisher, &back, 5, None, 0)), Err(Unfit::BelowFloor));
}

#[test]
fn a_school_chooses_among_what_the_publisher_lists_for_this_hardware() {
    let forward = says(&[(NEW, json!({ "groups": { "all": {} } }))]);
    let unlisted = says(&[(OLD, json!({}))]);
    assert_eq!(outcome(&device(&unlisted, &forward, 0, None, 0)), Err(Unfit::NotListed));
    let altered = Sample { targets: 4, ..says(&[(NEW, json!({}))]) };
    assert_eq!(outcome(&device(&altered, &forward, 0, None, 0)), Err(Unfit::NotListed), "of another length and hash");
    let of_xo_4 = says(&[(NEW, json!({ "hardware": ["xo-4"] }))]);
    assert_eq!(outcome(&device(&of_xo_4, &forward, 0, Some("xo-1"), 0)), Err(Unfit::OtherHardware));
    assert_eq!(outcome(&device(&of_xo_4, &forward, 0, None, 0)), Err(Unfit::OtherHardware));
    assert_eq!(outcome(&device(&of_xo_4, &forward, 0, Some("xo-4"), 0)), Ok("2.0".to_owned()));
    // What the publisher lets nobody pass by the school has to assign first.
    let behind = says(&[("os/tree_1.7.manifest", json!({ "required": true })), (NEW, json!({}))]);
    assert_eq!(
        outcome(&device(&behind, &forward, 0, None, 0)),
        Err(Unfit::BehindWaypoint("os/tree_1.7.manifest".parse().unwrap()))
    );
    let others = says(&[("os/tree_1.7.manifest", json!({ "required": true, "hardware": ["xo-4"] })), (NEW, json!({}))]);
    assert_eq!(outcome(&device(&others, &forward, 0, None, 0)), Ok("2.0".to_owned()));
    let passed = says(&[("os/tree_1.5.manifest", json!({ "required": true })), (NEW, json!({}))]);
    assert_eq!(outcome(&device(&passed, &forward, 0, None, 0)), Ok("2.0".to_owned()));
    // Neither maturity nor the test ring is above the school's word.
    let staged = says(&[(NEW, json!({ "staged": true }))]);
    assert_eq!(outcome(&device(&staged, &forward, 0, None, 0)), Ok("2.0".to_owned()));
}

#[test]
fn terms_and_freshness_decide_when() {
    let publisher = says(&[(OLD, json!({})), (NEW, json!({}))]);
    let waits = |path: &str, terms: Value, day: i64| {
        let school = says(&[(path, json!({ "groups": { "all": terms } }))]);
        let node = device(&publisher, &school, 0, None, day);
        node.waits_for(&node.wanted()[0])
    };
    assert_eq!(waits(NEW, json!({}), 0), None);
    assert_eq!(waits(NEW, json!({ "held": true }), 0), Some(Wait::Held));
    // The sample is of 2026-11-01, and its timestamps expire after 90 days.
    let noon = json!({ "not_before": "2026-11-03T12:00:00Z" });
    assert!(matches!(waits(NEW, noon.clone(), 2), Some(Wait::NotBefore(_))));
    assert_eq!(waits(NEW, noon, 3), None);
    let is_stale = |wait: Option<Wait>| matches!(wait, Some(Wait::Stale(..)));
    assert!(!is_stale(waits(NEW, json!({}), 89)));
    assert!(is_stale(waits(NEW, json!({}), 90)));
    let grace = || json!({ "stale_grace_days": 7 });
    assert!(!is_stale(waits(NEW, grace(), 96)));
    assert!(is_stale(waits(NEW, grace(), 97)));
    assert!(is_stale(waits(OLD, grace(), 96)), "grace is for going forward");
}

#[test]
fn a_device_that_has_nothing_to_take_tells_why() {
    const RUNS: &str = "os/tree_1.5.manifest";
    let policy = || Policy::new("os".parse().unwrap());
    let idles = |publisher: &Sample, floor: u64| device_by(policy(), Some("1.5"), floor, publisher, None).idles();
    let counted = |release_counter: u64| json!({ "release_counter": release_counter });
    assert_eq!(idles(&says(&[(RUNS, json!({})), (NEW, json!({}))]), 0), None, "there is something newer");
    assert_eq!(idles(&says(&[(RUNS, json!({}))]), 0), None, "it runs the newest");
    assert_eq!(idles(&says(&[(OLD, json!({}))]), 0), Some(Idle::Withdrawn("1.5".parse().unwrap())));
    assert_eq!(idles(&says(&[(OLD, json!({})), (NEW, json!({}))]), 0), None, "withdrawn, and there is something newer");
    let below = says(&[(RUNS, counted(2)), (NEW, counted(1))]);
    assert_eq!(idles(&below, 2), Some(Idle::BelowFloor(NEW.parse().unwrap())));
    let misspelled = Policy::new("so".parse().unwrap());
    assert_eq!(device_by(misspelled, None, 0, &below, None).idles(), Some(Idle::EmptyChannel));
    assert_eq!(device_by(policy(), None, 0, &below, None).idles(), None, "a newcomer");
}

#[test]
fn a_server_whose_clock_was_ahead_when_it_signed_is_named_and_not_the_device() {
    const SERVER: PeerId = PeerId(1);
    let said = says(&[]);
    let mut node = device(&said, &said, 0, None, -1);
    let is_before = |node: &Node| {
        let freshness = node.freshness(Signer::School);
        matches!(freshness, Some(Freshness::TimeUnverified(ClockFault::Behind { .. })))
    };
    assert!(is_before(&node));
    assert_eq!(node.timekeeper(Signer::School), Timekeeper::Device);
    node.handle(Time(1), Input::PeerConnected(SERVER));
    let hello = Message::Hello(Hello { features: 0, repository: said.trusted().repository(), role: mesh::Role::Seed });
    for message in [hello.clone(), hello.about(Signer::School)] {
        node.handle(Time(1), Input::Message { from: SERVER, message: Arc::new(message) });
    }
    let asks = std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
        Output::Send { message: Message::WantTime(nonce), .. } => Some(nonce),
        _ => None,
    });
    let nonce = Nonce::try_from(&asks.unwrap()[..]).unwrap();
    // The server's clock is right again, and it states the same time as the device's own clock.
    let stated = state_time(&nonce, UnixTime(SIGNED_AT.0 - DAY_S), &[&secret_key(said.timestamp_keys[0])]);
    node.handle(Time(1), Input::Message { from: SERVER, message: Arc::new(Message::Time(stated.into())) });
    assert!(is_before(&node));
    assert_eq!(node.timekeeper(Signer::School), Timekeeper::Server);
    assert_eq!(node.timekeeper(Signer::Publisher), Timekeeper::Device, "its own clock is what counts there");
}
