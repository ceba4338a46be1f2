//! Which release a device takes, and which ones a seed carries.

use super::*;
use crate::chain::Chains;
use crate::content::sample as manifest;
use crate::content::version::Maturity;
use crate::input::{Input, VerifiedDocument};
use crate::mesh;
use crate::node::{Config, Node};
use crate::policy::HardwareId;
use crate::time::{Time, UnixTime};
use crate::trust::Role;
use crate::trust::date::Date;
use crate::trust::envelope::Signed;
use crate::trust::metadata::{Authority, FileMeta, Root, Snapshot, TargetFile, Targets, Timestamp};
use crate::trust::sign::{SecretKey, sign};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const MATURITIES: [Maturity; 4] = [Maturity::Alpha, Maturity::Beta, Maturity::Rc, Maturity::Stable];

/// A set that trusts a repository with these targets.
fn trusting(targets: BTreeMap<String, Option<Value>>) -> TrustedSet {
    let target = |(path, custom): (String, Option<Value>)| {
        let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(ManifestId::of(path.as_bytes()).0))]);
        (path, TargetFile { length: 1, hashes, custom })
    };
    trusting_files(targets.into_iter().map(target).collect())
}

fn trusting_files(targets: BTreeMap<String, TargetFile>) -> TrustedSet {
    let (key, expires) = (SecretKey::from_random(&[1; 32]), Date::new(UnixTime(1_793_491_200)));
    let authority = Authority { keyids: vec![key.public().id()], threshold: 1 };
    let roles = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];
    let root = Root {
        consistent_snapshot: true,
        keys: BTreeMap::from([(key.public().id(), key.public())]),
        roles: roles.into_iter().map(|role| (role.name().to_owned(), authority.clone())).collect(),
    };
    let targets = Targets { targets, delegations: None };
    let targets = sign(&Signed::new(1, expires, targets), &[&key]);
    let meta = |role: Role, bytes: &[u8]| BTreeMap::from([(role.meta_name(), FileMeta::of(1, bytes))]);
    let snapshot = Snapshot { meta: meta(Role::Targets, &targets) };
    let snapshot = sign(&Signed::new(1, expires, snapshot), &[&key]);
    let timestamp = Timestamp { meta: meta(Role::Snapshot, &snapshot), signed_at: None };
    let timestamp = sign(&Signed::new(1, expires, timestamp), &[&key]);
    let mut set = TrustedSet::pin(&sign(&Signed::new(1, expires, root), &[&key])).unwrap();
    for (role, bytes) in [(Role::Timestamp, timestamp), (Role::Snapshot, snapshot), (Role::Targets, targets)] {
        set.offer(&role, &bytes).unwrap();
    }
    set
}

/// The same, of releases of the channel `os`.
fn listing(releases: &[(&str, Value)]) -> TrustedSet {
    let target = |(version, custom): &(&str, Value)| {
        (format!("os/x_{version}.manifest"), (*custom != json!({})).then(|| custom.clone()))
    };
    trusting(releases.iter().map(target).collect())
}

fn policy(maturity: Maturity, test_ring: bool, hardware: Option<&str>) -> Policy {
    let hardware = hardware.map(|text| text.parse::<HardwareId>().unwrap());
    Policy { maturity, test_ring, hardware, ..Policy::new("os".parse().unwrap()) }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[track_caller]
fn takes(set: &TrustedSet, policy: &Policy, applied: &str, expected: &str) {
    let applied = (!applied.is_empty()).then(|| version(applied));
    let newest = Listed::newest(set, policy, applied.as_ref(), 0);
    assert_eq!(newest.map_or(String::new(), |listed| listed.path.version.to_string()), expected);
}

#[test]
fn a_manifest_that_says_another_release_than_it_is_listed_as_is_not_that_one() {
    let bytes = manifest::Sample::new().manifest().encode();
    let id = ManifestId::of(&bytes);
    let read = VerifiedManifest::verify(&bytes, id, bytes.len() as u64).unwrap();
    assert_eq!((read.channel.as_str(), read.version.as_str()), ("stable", "1.0"));
    let found = Arc::new(read);
    for (path, is_it) in [("stable/x_1.0", true), ("stable/x_1.1", false), ("beta/x_1.0", false)] {
        let path: TargetPath = format!("{path}.manifest").parse().unwrap();
        let hashes = BTreeMap::from([("sha256".to_owned(), id.to_string())]);
        let file = TargetFile { length: bytes.len() as u64, hashes, custom: None };
        let set = trusting_files(BTreeMap::from([(path.to_string(), file)]));
        let config = Config {
            role: mesh::Role::Device,
            policy: Some(Policy::new(path.channel.clone())),
            applied: None,
            floor: 0,
            applies: true,
            has_origin: false,
            strategy: mesh::Strategy::default(),
            upload_slots: 1,
            caps: mesh::Caps::default(),
        };
        let mut node = Node::restore(config, Chains::of_publisher(set), [0; 32]);
        node.handle(Time(0), Input::Wakeup);
        let document = node.updates().next().unwrap().document();
        node.handle(Time(1), Input::DocumentRead(document, Some(VerifiedDocument::Manifest(found.clone()))));
        let stage = node.updates().next().unwrap().stage_name();
        assert_eq!(stage, if is_it { "heard" } else { "blocked" }, "{path}");
    }
}

#[test]
fn a_stable_device_never_sees_a_pre_release() {
    let set = listing(&["1.0", "1.1", "2.0.dev1", "1.9a1", "1.8b3", "1.7rc2"].map(|it| (it, json!({}))));
    for (maturity, expected) in MATURITIES.into_iter().zip(["2.0.dev1", "1.8b3", "1.7rc2", "1.1"]) {
        takes(&set, &policy(maturity, true, Some("xo")), "", expected);
    }
    // Nor does it go back to what it may take.
    takes(&set, &policy(Maturity::Stable, false, None), "1.7rc2", "");
}

#[test]
fn a_staged_release_is_for_the_test_ring() {
    let set = listing(&[("1.0", json!({})), ("1.1", json!({ "staged": true }))]);
    takes(&set, &policy(Maturity::Stable, false, None), "", "1.0");
    takes(&set, &policy(Maturity::Stable, true, None), "1.0", "1.1");
}

#[test]
fn a_release_for_other_hardware_is_not_taken() {
    let set = listing(&[("1.0", json!({})), ("1.1", json!({ "hardware": ["a", "b"] }))]);
    for (hardware, expected) in [(None, "1.0"), (Some("a"), "1.1"), (Some("b"), "1.1"), (Some("c"), "1.0")] {
        takes(&set, &policy(Maturity::Stable, false, hardware), "", expected);
    }
}

#[test]
fn nobody_passes_a_waypoint_by() {
    let waypoint = json!({ "required": true });
    let set = listing(&[("1.0", json!({})), ("1.5", waypoint.clone()), ("2.0", waypoint), ("3.0", json!({}))]);
    let stable = policy(Maturity::Stable, false, None);
    for (applied, expected) in [("1.0", "1.5"), ("1.4", "1.5"), ("1.5", "2.0"), ("2.0", "3.0"), ("3.0", "3.0")] {
        takes(&set, &stable, applied, expected);
    }
    // Where nothing is applied, nothing is to be brought up from an older form.
    takes(&set, &stable, "", "3.0");
    // A waypoint that is not for this device is none for it.
    let set = listing(&[("1.5rc1", json!({ "required": true })), ("3.0", json!({}))]);
    takes(&set, &stable, "1.0", "3.0");
    takes(&set, &policy(Maturity::Rc, false, None), "1.0", "1.5rc1");
}

#[test]
fn a_release_of_which_something_malformed_is_said_is_nobodys() {
    let set = listing(&[("1.0", json!({ "x-own": [1] })), ("1.1", json!({ "staged": "no" })), ("1.2", json!([]))]);
    takes(&set, &policy(Maturity::Alpha, true, Some("xo")), "", "1.0");
    assert_eq!(Listed::carried(&set).len(), 1);
}

#[test]
fn a_publisher_of_endless_kinds_of_hardware_costs_a_seed_no_more_than_its_bound() {
    let release = |number| (format!("os/x_{number}.manifest"), Some(json!({ "hardware": [format!("h{number}")] })));
    let set = trusting((0..100).map(release).collect());
    let carried = Listed::carried(&set);
    let versions = |range: std::ops::Range<usize>| range.rev().map(|it| version(&it.to_string())).collect::<Vec<_>>();
    let found: Vec<Version> = carried.into_iter().map(|listed| listed.path.version).collect();
    assert_eq!(found, versions(100 - RELEASES_CARRIED_MAX..100));
}

/// A release of one of two channels, by the index of its version.
#[derive(Clone, Copy, Debug)]
struct Release {
    is_os: bool,
    at: usize,
    staged: bool,
    required: bool,
    hardware: Option<&'static str>,
    counter: u64,
}

fn release() -> impl Strategy<Value = Release> {
    let hardware = prop_oneof![2 => Just(None), 1 => Just(Some("a")), 1 => Just(Some("b"))];
    let parts = (any::<bool>(), 0..VERSIONS.len(), any::<bool>(), prop::bool::weighted(0.2), hardware, 0..=COUNTER_MAX);
    parts.prop_map(|(is_os, at, staged, required, hardware, counter)| Release {
        is_os,
        at,
        staged,
        required,
        hardware,
        counter,
    })
}

const COUNTER_MAX: u64 = 2;
/// Ascending.
const VERSIONS: [&str; 10] = ["0.9", "1.0.dev1", "1.0a1", "1.0b1", "1.0rc1", "1.0", "1.1rc1", "1.1", "2.0a1", "2.0"];
/// How mature each is.
const MATURE: [usize; 10] = [3, 0, 0, 1, 2, 3, 2, 3, 0, 3];

proptest! {
    #[test]
    fn every_device_takes_what_the_model_says_and_a_seed_carries_it(
        releases in prop::collection::vec(release(), 0..12),
        applied in prop::option::of(0..VERSIONS.len()),
    ) {
        let mut model = BTreeMap::new();
        for release in releases {
            let path = format!("{}/x_{}.manifest", if release.is_os { "os" } else { "apps" }, VERSIONS[release.at]);
            model.insert(path, release);
        }
        let custom = |Release { staged, required, hardware, counter, .. }: &Release| {
            let mut custom = json!({ "staged": staged, "required": required, "release_counter": counter });
            hardware.iter().for_each(|id| custom["hardware"] = json!([id]));
            Some(custom)
        };
        let set = trusting(model.iter().map(|(path, release)| (path.clone(), custom(release))).collect());
        let carried: Vec<String> = Listed::carried(&set).iter().map(|listed| listed.path.to_string()).collect();
        let mut wanted: Vec<String> = Vec::new();
        let devices = combinations(MATURITIES.len(), &[None, Some("a"), Some("b"), Some("c")]);
        for ((maturity, ring, mine), floor) in (0..=COUNTER_MAX).flat_map(|floor| devices.iter().map(move |it| (*it, floor))) {
            let policy = policy(MATURITIES[maturity], ring, mine);
            let may = |it: &Release| {
                it.is_os
                    && MATURE[it.at] >= maturity
                    && (ring || !it.staged)
                    && (it.hardware.is_none() || it.hardware == mine)
                    && it.counter >= floor
            };
            let ahead: Vec<_> = model.values().filter(|it| may(it)).map(|it| (it.at, it.required)).collect();
            for applied in [applied, None] {
                let ahead = ahead.iter().filter(|it| applied.is_none_or(|applied| it.0 >= applied));
                let waypoint = ahead.clone().filter(|it| it.1 && applied.is_some_and(|applied| it.0 > applied)).min();
                let expected = waypoint.or(ahead.max()).map(|it| format!("os/x_{}.manifest", VERSIONS[it.0]));
                let applied = applied.map(|at| version(VERSIONS[at]));
                let newest = Listed::newest(&set, &policy, applied.as_ref(), floor).map(|listed| listed.path.to_string());
                prop_assert_eq!(&newest, &expected);
                prop_assert!(newest.is_none_or(|newest| carried.contains(&newest)));
            }
            wanted.extend(ahead.iter().max().map(|it| format!("os/x_{}.manifest", VERSIONS[it.0])));
        }
        let needless = |path: &&String| path.starts_with("os/") && !model[*path].required && !wanted.contains(path);
        prop_assert_eq!(carried.iter().find(needless), None);
    }
}

/// Every combination of a maturity, a ring and a kind of hardware.
fn combinations<'a>(maturities: usize, hardware: &'a [Option<&'a str>]) -> Vec<(usize, bool, Option<&'a str>)> {
    let rings = (0..maturities).flat_map(|maturity| [(maturity, false), (maturity, true)]);
    rings.flat_map(|(maturity, ring)| hardware.iter().map(move |id| (maturity, ring, *id))).collect()
}
