//! Delegations deeper than a channel, and roles that several keys sign, as a trusted set takes them. Each test names the
//! situation.

use super::date::Date;
use super::envelope::{Body, Signed};
use super::metadata::{
    Authority, DelegatedRole, Delegations, Digests, FileMeta, Snapshot, TargetFile, Targets, Timestamp,
};
use super::rejection::{Blame, Rejection};
use super::role::Role;
use super::sample::{SIGNED_AT, Sample, secret_key};
use super::sign::{SecretKey, sign};
use super::trusted_set::{Accepted, Resolution, TrustedSet};
use super::verify::SignatureError;
use crate::time::UnixTime;
use std::collections::BTreeMap;

/// One edge: to whom, signed by which of these keys, how many of them, for which paths.
pub type Edge<'a> = (&'a str, &'a [u8], u64, &'a str);

pub fn signed_by<B: Body>(version: u64, body: B, numbers: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> = numbers.iter().map(|number| secret_key(*number)).collect();
    let expires = Date::new(UnixTime(SIGNED_AT.0 + 86_400));
    sign(&Signed::new(version, expires, body), &keys.iter().collect::<Vec<_>>())
}

/// A targets file that names these paths, each with a length, and delegates along these edges.
pub fn file(paths: &[(&str, u64)], edges: &[Edge]) -> Targets {
    let hashes = BTreeMap::from([("sha256".to_owned(), "33".repeat(32))]);
    let target = |(path, length): &(&str, u64)| {
        ((*path).to_owned(), TargetFile { length: *length, hashes: hashes.clone(), custom: None })
    };
    let role = |(name, numbers, threshold, pattern): &Edge| DelegatedRole {
        name: (*name).to_owned(),
        authority: Authority {
            keyids: numbers.iter().map(|number| secret_key(*number).public().id()).collect(),
            threshold: *threshold,
        },
        terminating: false,
        paths: Some(vec![(*pattern).to_owned()]),
        path_hash_prefixes: None,
    };
    let public = |number: &u8| secret_key(*number).public();
    let keys = edges.iter().flat_map(|(_, numbers, ..)| numbers.iter().map(public)).map(|key| (key.id(), key));
    let delegations =
        Delegations { keys: keys.collect(), roles: edges.iter().map(role).collect(), succinct_roles: None };
    Targets { targets: paths.iter().map(target).collect(), delegations: Some(delegations) }
}

/// A set that has the root of `Sample`, a snapshot of these files, and, in this order, those of them that it takes.
fn offered(files: &[(&str, Vec<u8>)]) -> (TrustedSet, Vec<Rejection>) {
    let repository = Sample::release(1);
    let mut set = TrustedSet::pin(&repository.file(&Role::Root)).unwrap();
    let meta = files.iter().map(|(name, bytes)| (Role::from_name(name).meta_name(), FileMeta::of(1, bytes)));
    let snapshot = signed_by(1, Snapshot { meta: meta.collect() }, &[3]);
    let meta = BTreeMap::from([("snapshot.json".to_owned(), FileMeta::of(1, &snapshot))]);
    set.offer(&Role::Timestamp, &signed_by(1, Timestamp { meta, signed_at: None }, &[2])).unwrap();
    set.offer(&Role::Snapshot, &snapshot).unwrap();
    let refused = files.iter().filter_map(|(name, bytes)| set.offer(&Role::from_name(name), bytes).err()).collect();
    (set, refused)
}

pub fn lengths(set: &TrustedSet) -> Vec<(&str, u64)> {
    set.targets().map(|(path, target)| (path, target.length)).collect()
}

#[test]
fn a_role_that_two_of_three_keys_must_sign() {
    let top = signed_by(1, file(&[], &[("os", &[5, 6, 7], 2, "os/*")]), &[4]);
    for (signers, enough) in [(&[5][..], false), (&[5, 6], true), (&[7, 6], true), (&[5, 9], false)] {
        let os = signed_by(1, file(&[("os/a", 1)], &[]), signers);
        let (set, refused) = offered(&[("targets", top.clone()), ("os", os)]);
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(set.complete().unwrap().role(&Role::Delegated("os".into())).is_some(), enough, "{signers:?}");
        assert_eq!(lengths(&set), if enough { vec![("os/a", 1)] } else { vec![] });
    }
}

#[test]
fn a_role_whose_file_no_hash_names_is_waited_for_until_its_keys_have_signed() {
    let mut set = TrustedSet::pin(&Sample::release(1).file(&Role::Root)).unwrap();
    let unhashed = || FileMeta { version: 1, length: None, hashes: None };
    let meta = ["targets.json", "os.json"].map(|name| (name.to_owned(), unhashed()));
    let snapshot = signed_by(1, Snapshot { meta: meta.into() }, &[3]);
    let meta = BTreeMap::from([("snapshot.json".to_owned(), unhashed())]);
    set.offer(&Role::Timestamp, &signed_by(1, Timestamp { meta, signed_at: None }, &[2])).unwrap();
    set.offer(&Role::Snapshot, &snapshot).unwrap();
    set.offer(&Role::Targets, &signed_by(1, file(&[], &[("os", &[5, 6, 7], 2, "os/*")]), &[4])).unwrap();
    let os = Role::Delegated("os".into());
    let signed = |numbers: &[u8]| signed_by(1, file(&[("os/a", 1)], &[]), numbers);
    let rejection = set.offer(&os, &signed(&[5])).unwrap_err();
    assert_eq!(rejection.blame(), Blame::Nobody);
    let Rejection::Signatures { source, .. } = rejection else { panic!("{rejection}") };
    assert_eq!(source, SignatureError::TooFew { valid: 1, threshold: 2 });
    let mut succinct: serde_json::Value = serde_json::from_slice(&signed(&[5, 6])).unwrap();
    succinct["signed"]["delegations"]["succinct_roles"] = serde_json::json!({});
    assert!(matches!(set.offer(&os, succinct.to_string().as_bytes()), Err(Rejection::Unreadable { .. })));
    assert_eq!(set.needs().len(), 1);
    assert_eq!(set.offer(&os, &signed(&[5, 6])).unwrap(), Accepted::New);
    assert_eq!(lengths(&set), [("os/a", 1)]);
}

#[test]
fn a_role_deep_below_is_asked_for_once_its_delegator_is_here() {
    let top = signed_by(1, file(&[], &[("vendor", &[5], 1, "apps/vendor/*")]), &[4]);
    let vendor = signed_by(1, file(&[("apps/vendor/a", 1)], &[("product", &[6], 1, "apps/vendor/*")]), &[5]);
    let product = signed_by(1, file(&[("apps/vendor/b", 2), ("apps/other/c", 3)], &[]), &[6]);
    let files = [("targets", top), ("vendor", vendor), ("product", product)];
    let (set, refused) = offered(&files);
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(lengths(&set), [("apps/vendor/a", 1), ("apps/vendor/b", 2)]);
    // On the disk the product stands before the vendor that delegates to it.
    let restored = TrustedSet::restore(set.files()).unwrap();
    assert_eq!((restored.head(), lengths(&restored)), (set.head(), lengths(&set)));
    // Too early, it is nobody's fault, and the set tells what comes first.
    let [top, vendor, product] = files;
    let (set, refused) = offered(&[top, product, vendor]);
    let [Rejection::Early { missing, .. }] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((missing, refused[0].blame()), (&Role::Delegated("vendor".into()), Blame::Nobody));
    let needs: Vec<Role> = set.needs().into_iter().map(|need| need.role).collect();
    assert_eq!(needs, [Role::Delegated("product".into())]);
    assert!(matches!(set.resolve("apps/vendor/a"), Resolution::File(file) if file.length == 1));
    assert!(matches!(set.resolve("apps/vendor/b"), Resolution::Needs(need) if need.role == needs[0]));
    assert!(matches!(set.resolve("os/b"), Resolution::Nothing), "nobody is asked who may not name it");
}

#[test]
fn each_delegator_vouches_for_itself_alone() {
    let top = signed_by(1, file(&[], &[("a", &[5], 1, "a/*"), ("b", &[6], 1, "b/*")]), &[4]);
    let a = signed_by(1, file(&[], &[("shared", &[7], 1, "a/*")]), &[5]);
    let b = signed_by(1, file(&[], &[("shared", &[8], 1, "b/*")]), &[6]);
    for (signers, expected) in
        [(&[7][..], vec![("a/x", 1)]), (&[8], vec![("b/x", 2)]), (&[7, 8], vec![("a/x", 1), ("b/x", 2)])]
    {
        let shared = signed_by(1, file(&[("a/x", 1), ("b/x", 2)], &[]), signers);
        let files = [("targets", top.clone()), ("a", a.clone()), ("b", b.clone()), ("shared", shared)];
        let (set, refused) = offered(&files);
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(lengths(&set), expected);
        for path in ["a/x", "b/x"] {
            let found = expected.iter().any(|(listed, _)| *listed == path);
            match set.resolve(path) {
                Resolution::File(_) => assert!(found, "{path}"),
                Resolution::Broken(role) => assert_eq!((role, found), (Role::Delegated("shared".into()), false)),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
    let shared = signed_by(1, file(&[("a/x", 1)], &[]), &[9]);
    let (set, refused) = offered(&[("targets", top), ("a", a), ("b", b), ("shared", shared)]);
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(lengths(&set), []);
    assert!(matches!(set.resolve("a/x"), Resolution::Broken(role) if role == Role::Delegated("shared".into())));
}

#[test]
fn a_role_that_the_snapshot_leaves_out_decides_nothing() {
    let top = signed_by(1, file(&[], &[("gone", &[5], 1, "os/*"), ("os", &[6], 1, "os/*")]), &[4]);
    let os = signed_by(1, file(&[("os/a", 1)], &[]), &[6]);
    let (set, refused) = offered(&[("targets", top), ("os", os)]);
    assert!(refused.is_empty() && set.head().is_some());
    assert!(matches!(set.resolve("os/a"), Resolution::Broken(role) if role == Role::Delegated("gone".into())));
    assert_eq!(lengths(&set), []);
}

#[test]
fn a_file_must_have_every_hash_that_is_stated() {
    let digests = Digests::of(b"abc");
    let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                  2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let meta = |hashes: &[(&str, &str)], length| FileMeta {
        version: 1,
        length,
        hashes: Some(hashes.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect()),
    };
    let wrong = "00".repeat(32);
    for (hashes, right) in [
        (&[("sha256", sha256)][..], true),
        (&[("sha512", sha512)], true),
        (&[("sha256", sha256), ("sha512", sha512), ("blake9", "00")], true),
        (&[("sha256", sha256), ("sha512", &wrong.repeat(2))], false),
        (&[("sha256", &wrong), ("sha512", sha512)], false),
        (&[("blake9", "00")], false),
    ] {
        assert_eq!(meta(hashes, Some(3)).names(3, &digests), right, "{hashes:?}");
        assert!(!meta(hashes, Some(4)).names(3, &digests));
        let file = TargetFile { length: 3, hashes: meta(hashes, None).hashes.unwrap(), custom: None };
        assert_eq!(file.is(b"abc"), right);
        assert!(!file.is(b"abd"));
    }
}

#[test]
fn a_file_with_the_version_that_is_here_and_other_bytes_is_missing() {
    let mut set = Sample::release(1).trusted();
    let other = signed_by(1, Snapshot { meta: Sample::release(1).snapshot_body().meta }, &[3]);
    let newer = Sample { timestamp: 2, ..Sample::release(1) };
    set.offer(&Role::Timestamp, &sign(&newer.timestamp_naming(1, &other), &[&secret_key(2)])).unwrap();
    let needs: Vec<_> = set.needs().into_iter().map(|need| (need.role, need.version)).collect();
    assert_eq!(needs, [(Role::Snapshot, Some(1))]);
}
