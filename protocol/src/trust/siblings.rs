//! What one delegated role can do to the others: nothing. Each test names the situation.

use super::metadata::{FileMeta, Snapshot, Targets, Timestamp};
use super::rejection::{Blame, Rejection};
use super::role::Role;
use super::sample::Sample;
use super::trusted_set::{Accepted, Resolution, TrustedSet};
use super::vouched::{Edge, file, lengths, signed_by};
use crate::limits::{DELEGATIONS_BENEATH_MAX, DELEGATIONS_PER_FILE_MAX, TARGETS_BYTES_MAX};
use std::collections::BTreeMap;

/// A file with its role and version.
type Named<'a> = (&'a str, u64, Vec<u8>);

fn role(name: &str) -> Role {
    Role::from_name(name)
}

fn new_device() -> TrustedSet {
    TrustedSet::pin(&Sample::release(1).file(&Role::Root)).unwrap()
}

/// Offers a timestamp and a snapshot that name these files.
fn announce(set: &mut TrustedSet, version: u64, meta: BTreeMap<String, FileMeta>) {
    let snapshot = signed_by(version, Snapshot { meta }, &[3]);
    let meta = BTreeMap::from([("snapshot.json".to_owned(), FileMeta::of(version, &snapshot))]);
    set.offer(&Role::Timestamp, &signed_by(version, Timestamp { meta, signed_at: None }, &[2])).unwrap();
    set.offer(&Role::Snapshot, &snapshot).unwrap();
}

fn meta(files: &[Named]) -> BTreeMap<String, FileMeta> {
    files.iter().map(|(name, version, bytes)| (role(name).meta_name(), FileMeta::of(*version, bytes))).collect()
}

fn offer(set: &mut TrustedSet, (name, _, bytes): &Named) -> Result<Accepted, Rejection> {
    set.offer(&role(name), bytes)
}

/// Offers a release, each file when it is needed.
fn take(set: &mut TrustedSet, version: u64, files: &[Named]) {
    announce(set, version, meta(files));
    while let Some(need) = set.needs().first() {
        let file = files.iter().find(|(name, ..)| role(name) == need.role).unwrap();
        offer(set, file).unwrap();
    }
}

fn missing(set: &TrustedSet) -> Vec<String> {
    set.needs().into_iter().map(|need| need.role.name().to_owned()).collect()
}

/// A file of version 1.
fn named(name: &str, body: Targets, key: u8) -> Named<'_> {
    (name, 1, signed_by(1, body, &[key]))
}

/// A vendor that delegates to a product, beside another channel; and the next release, for which the vendor has given
/// the product another key, and nobody has signed the product's file with it.
fn exchanged_key() -> [Vec<Named<'static>>; 2] {
    let top = || named("targets", file(&[], &[("vendor", &[5], 1, "apps/*"), ("os", &[6], 1, "os/*")]), 4);
    let vendor = |version, key: &[u8]| {
        let body = file(&[("apps/a", version)], &[("product", key, 1, "apps/*")]);
        ("vendor", version, signed_by(version, body, &[5]))
    };
    let product = || named("product", file(&[("apps/b", 1)], &[]), 7);
    let os = |version| ("os", version, signed_by(version, file(&[("os/x", version)], &[]), &[6]));
    [vec![top(), vendor(1, &[7]), product(), os(1)], vec![top(), vendor(2, &[8]), product(), os(2)]]
}

#[test]
fn a_vendor_that_exchanges_a_products_key_and_forgets_its_file_keeps_nobody_back() {
    let [first, second] = exchanged_key();
    let mut set = new_device();
    take(&mut set, 1, &first);
    assert_eq!(lengths(&set), [("apps/a", 1), ("apps/b", 1), ("os/x", 1)]);
    take(&mut set, 2, &second);
    let mut fresh = new_device();
    take(&mut fresh, 2, &second);
    for set in [&set, &fresh, &TrustedSet::restore(set.files()).unwrap()] {
        assert_eq!(set.head().unwrap().timestamp, 2);
        assert_eq!(lengths(set), [("apps/a", 2), ("os/x", 2)]);
        assert!(set.complete().unwrap().role(&role("product")).is_none());
        assert_eq!(set.disowned(), [role("product")]);
        assert!(matches!(set.resolve("apps/b"), Resolution::Broken(broken) if broken == role("product")));
        assert!(matches!(set.resolve("os/x"), Resolution::File(_)));
        // Another device must see it to come to the same verdict.
        assert_eq!(set.metadata(&role("product"), Some(1)), Some((1, first[2].2.clone().into())));
    }
    // While the next release is on its way, the disowned file still belongs to the one in use.
    let mut third = second;
    third[2] = ("product", 2, signed_by(2, file(&[("apps/b", 2)], &[]), &[8]));
    announce(&mut set, 3, meta(&third));
    let mut restored = TrustedSet::restore(set.files()).unwrap();
    assert_eq!(restored.head().unwrap().timestamp, 2);
    assert_eq!(restored.metadata(&role("product"), Some(1)), Some((1, first[2].2.clone().into())));
    assert_eq!(missing(&restored), ["product"]);
    assert_eq!(offer(&mut restored, &third[2]).unwrap(), Accepted::New);
    assert_eq!(lengths(&restored), [("apps/a", 2), ("apps/b", 2), ("os/x", 2)]);
}

#[test]
fn a_thief_of_the_snapshots_key_takes_no_release_away() {
    let [first, _] = exchanged_key();
    let mut forged = first.clone();
    forged[3] = ("os", 2, signed_by(2, file(&[("os/x", 9)], &[]), &[9]));
    let mut set = new_device();
    take(&mut set, 1, &first);
    announce(&mut set, 2, meta(&forged));
    let before = set.clone();
    let rejection = offer(&mut set, &forged[3]).unwrap_err();
    assert!(matches!(rejection, Rejection::Disowned { version: 2, .. }), "{rejection}");
    assert_eq!(rejection.blame(), Blame::Publisher, "whoever sends it sends what the snapshot names");
    assert_eq!(set, before, "a refused file leaves no trace");
    assert_eq!(missing(&set), ["os"]);
    assert_eq!((set.head().unwrap().timestamp, lengths(&set)[2]), (1, ("os/x", 1)));
    // Who never had the channel believes nothing of it, and has the others.
    let mut fresh = new_device();
    take(&mut fresh, 2, &forged);
    assert_eq!(lengths(&fresh), [("apps/a", 1), ("apps/b", 1)]);
}

#[test]
fn a_file_that_somebody_may_still_bring_is_waited_for() {
    let [first, _] = exchanged_key();
    let mut set = new_device();
    announce(&mut set, 1, meta(&first));
    for at in [0, 1, 3] {
        offer(&mut set, &first[at]).unwrap();
        assert_eq!(set.head(), None);
    }
    assert_eq!(missing(&set), ["product"]);
    assert_eq!(set.disowned(), []);
    offer(&mut set, &first[2]).unwrap();
    assert!(set.head().is_some());
}

#[test]
fn a_role_is_judged_again_when_another_delegator_comes() {
    let shared = |key: &'static [u8]| [("shared", key, 1, "?/x")];
    let files = [
        named("targets", file(&[], &[("a", &[5], 1, "a/*"), ("b", &[6], 1, "b/*")]), 4),
        named("a", file(&[], &shared(&[7])), 5),
        named("b", file(&[], &[("c", &[6], 1, "b/*")]), 6),
        named("c", file(&[], &shared(&[8])), 6),
        named("shared", file(&[("a/x", 1), ("b/x", 2)], &[]), 8),
    ];
    let mut set = new_device();
    announce(&mut set, 1, meta(&files));
    for (at, verdict) in [
        (0, Accepted::New),
        (1, Accepted::New),
        (4, Accepted::Disowned),
        (4, Accepted::AlreadyKnown),
        (2, Accepted::New),
        (3, Accepted::New),
    ] {
        assert_eq!(offer(&mut set, &files[at]).unwrap(), verdict, "{}", files[at].0);
    }
    assert_eq!(missing(&set), ["shared"]);
    assert!(matches!(set.resolve("b/x"), Resolution::Needs(need) if need.role == role("shared")));
    assert_eq!(offer(&mut set, &files[4]).unwrap(), Accepted::New);
    assert_eq!(lengths(&set), [("b/x", 2)]);
    let mut other = new_device();
    take(&mut other, 1, &files);
    assert_eq!((other.head(), lengths(&other)), (set.head(), lengths(&set)), "the order does not matter");
    let restored = TrustedSet::restore(set.files()).unwrap();
    assert_eq!((restored.head(), lengths(&restored)), (set.head(), lengths(&set)));
}

#[test]
fn every_channel_is_followed_and_every_hash_bin_of_a_vendor() {
    let names: Vec<String> = (0..DELEGATIONS_PER_FILE_MAX).map(|at| format!("role{at}")).collect();
    let paths: Vec<String> = names.iter().map(|name| format!("x/{name}")).collect();
    let edges: Vec<Edge> = names.iter().zip(&paths).map(|(name, path)| (&**name, &[5][..], 1, &**path)).collect();
    let mut files = vec![named("targets", file(&[], &edges), 4)];
    files.extend(names.iter().zip(&paths).map(|(name, path)| named(name, file(&[(&**path, 1)], &[]), 5)));
    let mut set = new_device();
    take(&mut set, 1, &files);
    assert_eq!(set.targets().count(), DELEGATIONS_PER_FILE_MAX);

    files[0] = named("targets", file(&[], &[("vendor", &[6], 1, "x/*")]), 4);
    files.push(named("vendor", file(&[], &edges), 6));
    let mut set = new_device();
    take(&mut set, 1, &files);
    assert_eq!(set.targets().count(), DELEGATIONS_PER_FILE_MAX);
    assert!(paths.iter().all(|path| matches!(set.resolve(path), Resolution::File(_))));
}

#[test]
fn a_vendor_that_delegates_without_end_loses_what_is_deepest() {
    let names: Vec<String> = (0..DELEGATIONS_BENEATH_MAX - 1).map(|at| format!("role{at}")).collect();
    let edges: Vec<Edge> = names.iter().map(|name| (&**name, &[5][..], 1, "a/no")).collect();
    let edges: Vec<Edge> = [("deeper", &[5][..], 1, "a/*")].into_iter().chain(edges).take(names.len()).collect();
    let top = file(&[], &[("greedy", &[5], 1, "a/*"), ("modest", &[6], 1, "b/*")]);
    let deeper = file(&[], &[("last", &[5], 1, "a/*"), ("deep", &[5], 1, "a/*")]);
    let mut files = vec![
        named("targets", top, 4),
        named("greedy", file(&[("a/own", 1)], &edges), 5),
        named("modest", file(&[], &[("product", &[6], 1, "b/*")]), 6),
        named("product", file(&[("b/x", 1)], &[]), 6),
        named("deeper", deeper, 5),
        named("last", file(&[("a/last", 1)], &[]), 5),
        named("deep", file(&[("a/deep", 1)], &[]), 5),
    ];
    files.extend(names.iter().map(|name| named(name, file(&[], &[]), 5)));
    let mut set = new_device();
    take(&mut set, 1, &files);
    assert_eq!(lengths(&set), [("a/last", 1), ("a/own", 1), ("b/x", 1)]);
    assert!(matches!(set.resolve("a/deep"), Resolution::Broken(role) if role.name() == "deep"));
    assert!(matches!(offer(&mut set, &files[6]), Err(Rejection::UnknownRole { .. })), "nobody asks for it");
}

#[test]
fn a_vendors_roles_have_together_as_much_room_as_one_file() {
    let top = file(&[], &[("greedy", &[5], 1, "a/*"), ("modest", &[6], 1, "b/*")]);
    let edges: Vec<Edge> = ["big", "bigger", "small"].map(|name| (name, &[5][..], 1, "a/*")).into();
    let files = [
        named("targets", top, 4),
        named("greedy", file(&[("a/own", 1)], &edges), 5),
        named("modest", file(&[], &[("product", &[6], 1, "b/*")]), 6),
    ];
    let mut meta = meta(&files);
    for (name, length) in [("big", 1), ("bigger", TARGETS_BYTES_MAX), ("small", TARGETS_BYTES_MAX - 1), ("product", 9)]
    {
        meta.insert(role(name).meta_name(), FileMeta { length: Some(length), ..FileMeta::of(1, b"") });
    }
    let mut set = new_device();
    announce(&mut set, 1, meta);
    files.iter().for_each(|file| assert_eq!(offer(&mut set, file).unwrap(), Accepted::New));
    assert_eq!(missing(&set), ["big", "small", "product"]);
    assert_eq!(set.needs()[1].bytes_max, TARGETS_BYTES_MAX - 1);
}

#[test]
fn a_role_that_states_what_nobody_here_follows_has_said_nothing() {
    let numbered: Vec<String> = (0..=DELEGATIONS_PER_FILE_MAX).map(|at| format!("role{at}")).collect();
    let edges: Vec<Edge> = numbered.iter().map(|name| (&**name, &[5][..], 1, "apps/*")).collect();
    let too_many = file(&[("apps/a", 1)], &edges);
    for (key, verdict) in [(5, Accepted::New), (9, Accepted::Disowned)] {
        let files = [
            named("targets", file(&[], &[("vendor", &[5], 1, "apps/*"), ("os", &[6], 1, "os/*")]), 4),
            named("vendor", too_many.clone(), key),
            named("os", file(&[("os/x", 1)], &[]), 6),
        ];
        let mut set = new_device();
        announce(&mut set, 1, meta(&files));
        assert_eq!(offer(&mut set, &files[0]).unwrap(), Accepted::New);
        assert_eq!(offer(&mut set, &files[1]).unwrap(), verdict);
        assert_eq!(offer(&mut set, &files[2]).unwrap(), Accepted::New);
        assert_eq!(lengths(&set), [("os/x", 1)]);
        assert_eq!(TrustedSet::restore(set.files()).unwrap().head(), set.head());
    }
    // The top-level role is no vendor: without it there is nothing.
    let files = [named("targets", too_many, 4)];
    let mut set = new_device();
    announce(&mut set, 1, meta(&files));
    assert!(matches!(offer(&mut set, &files[0]), Err(Rejection::Unreadable { .. })));
}

#[test]
fn a_vendor_chooses_the_keys_of_a_role_once() {
    let edges: [Edge; 2] = [("one", &[5], 1, "a/*"), ("two", &[5], 1, "a/*")];
    let shared = |key: &'static [u8]| [("shared", key, 1, "a/*")];
    let files = |second: &'static [u8]| {
        [
            named("targets", file(&[], &[("vendor", &[5], 1, "a/*")]), 4),
            named("vendor", file(&[], &edges), 5),
            named("one", file(&[], &shared(&[7])), 5),
            named("two", file(&[], &shared(second)), 5),
            named("shared", file(&[("a/x", 1)], &[]), 8),
        ]
    };
    let mut set = new_device();
    take(&mut set, 1, &files(&[8]));
    assert_eq!((set.disowned(), lengths(&set)), (vec![role("shared")], vec![]));
    let mut set = new_device();
    let mut agreed = files(&[7]);
    agreed[4] = named("shared", file(&[("a/x", 1)], &[]), 7);
    take(&mut set, 1, &agreed);
    assert_eq!((set.disowned(), lengths(&set)), (vec![], vec![("a/x", 1)]));
}
