//! The attacks that a trusted set withstands. Each test names the situation.

use super::complete_set::Freshness;
use super::date::Date;
use super::envelope::Signed;
use super::metadata::FileMeta;
use super::rejection::{Blame, Rejection};
use super::role::Role;
use super::sample::{SIGNED_AT, Sample, os, secret_key};
use super::sign::sign;
use super::trusted_set::{Accepted, TrustedSet};
use super::verify::SignatureError;
use crate::limits;
use crate::time::UnixTime;

const ROLES: [Role; 4] = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];

fn refuse(set: &mut TrustedSet, role: &Role, bytes: &[u8]) -> Rejection {
    let before = set.clone();
    let rejection = set.offer(role, bytes).unwrap_err();
    assert_eq!(*set, before, "a refused file leaves no trace");
    rejection
}

fn missing(set: &TrustedSet) -> Vec<(Role, Option<u64>)> {
    set.needs().into_iter().map(|need| (need.role, need.version)).collect()
}

#[test]
fn a_new_device_asks_for_one_file_after_the_other() {
    let repository = Sample::release(3);
    let mut set = TrustedSet::pin(&repository.file(&Role::Root)).unwrap();
    for (role, version) in
        [(Role::Timestamp, None), (Role::Snapshot, Some(3)), (Role::Targets, Some(3)), (os(), Some(3))]
    {
        assert_eq!(missing(&set), [(role.clone(), version)]);
        assert_eq!(set.head(), None);
        assert_eq!(set.offer(&role, &repository.file(&role)).unwrap(), Accepted::New);
        assert_eq!(set.offer(&role, &repository.file(&role)).unwrap(), Accepted::AlreadyKnown);
    }
    assert_eq!(missing(&set), []);
    let head = set.head().unwrap();
    assert_eq!((head.root, head.timestamp, head.snapshot), (1, 3, 3));
    let targets: Vec<_> = set.targets().map(|(path, target)| (path, target.length, target.sha256)).collect();
    assert_eq!(targets, [("os/a.manifest", 3, [0x33; 32])]);
    for role in ROLES.into_iter().chain([os()]) {
        let version = if role == Role::Root { 1 } else { 3 };
        assert_eq!(set.metadata(&role, None), Some((version, repository.file(&role).into())));
        assert_eq!(set.metadata(&role, Some(7)), None);
    }
}

#[test]
fn a_repository_written_by_python_tuf_is_believed() {
    // Written by python-tuf 7.0.0 with securesystemslib 1.6.0: `vectors/python_tuf.py`.
    let mut set = TrustedSet::pin(include_bytes!("vectors/python_tuf/1.root.json")).unwrap();
    set.offer(&Role::Root, include_bytes!("vectors/python_tuf/2.root.json")).unwrap();
    set.offer(&Role::Timestamp, include_bytes!("vectors/python_tuf/timestamp.json")).unwrap();
    set.offer(&Role::Snapshot, include_bytes!("vectors/python_tuf/1.snapshot.json")).unwrap();
    set.offer(&Role::Targets, include_bytes!("vectors/python_tuf/1.targets.json")).unwrap();
    set.offer(&os(), include_bytes!("vectors/python_tuf/1.os.json")).unwrap();
    let targets: Vec<_> = set.targets().collect();
    assert_eq!(targets.len(), 1);
    let (path, target) = targets[0];
    assert_eq!((path, target.length), ("os/e\u{301}tude.manifest", 3));
    // SHA-256 of "abc", FIPS 180-4.
    assert_eq!(hex::encode(target.sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(target.custom, Some(serde_json::json!({ "note": "tab\tand \"quote\"" })));
}

#[test]
fn only_what_changed_is_fetched_of_a_second_release() {
    let mut set = Sample::release(1).trusted();
    let second = Sample { targets: 1, ..Sample::release(2) };
    set.offer(&Role::Timestamp, &second.file(&Role::Timestamp)).unwrap();
    set.offer(&Role::Snapshot, &second.file(&Role::Snapshot)).unwrap();
    assert_eq!(missing(&set), [(os(), Some(2))]);
}

#[test]
fn the_old_release_stays_in_use_until_the_new_one_is_complete() {
    let (first, second) = (Sample::release(1), Sample::release(2));
    let mut set = first.trusted();
    let head = set.head();
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        set.offer(&role, &second.file(&role)).unwrap();
        assert_eq!(set.head(), head);
        assert_eq!(set.targets().next().unwrap().1.length, 1);
        assert_eq!(set.metadata(&role, None), Some((1, first.file(&role).into())), "what is in use is handed on");
        assert_eq!(set.metadata(&role, Some(2)), Some((2, second.file(&role).into())), "what is asked for, too");
        assert!(matches!(
            refuse(&mut set, &Role::Timestamp, &first.file(&Role::Timestamp)),
            Rejection::Older { trusted: 2, found: 1, .. }
        ));
    }
    set.offer(&os(), &second.file(&os())).unwrap();
    assert!(set.head() > head);
    assert_eq!(set.targets().next().unwrap().1.length, 2);
}

#[test]
fn rollback_of_each_role_is_refused() {
    let trusted = Sample::release(5);
    let mut set = trusted.trusted();

    let rejection = refuse(&mut set, &Role::Timestamp, &Sample::release(4).file(&Role::Timestamp));
    assert!(matches!(rejection, Rejection::Older { trusted: 5, found: 4, .. }));
    assert_eq!(rejection.blame(), Blame::Nobody, "whoever was offline sends such a file");

    let snapshot_back = Sample { timestamp: 6, snapshot: 4, ..trusted.clone() };
    let rejection = refuse(&mut set, &Role::Timestamp, &snapshot_back.file(&Role::Timestamp));
    assert!(matches!(rejection, Rejection::TakesBack { named: Role::Snapshot, trusted: 5, found: Some(4), .. }));
    assert_eq!(rejection.blame(), Blame::Publisher);

    for (role, back) in [
        (Role::Targets, Sample { timestamp: 6, snapshot: 6, targets: 4, ..trusted.clone() }),
        (os(), Sample { timestamp: 6, snapshot: 6, os: 4, ..trusted.clone() }),
    ] {
        let mut set = set.clone();
        set.offer(&Role::Timestamp, &back.file(&Role::Timestamp)).unwrap();
        let rejection = refuse(&mut set, &Role::Snapshot, &back.file(&Role::Snapshot));
        let Rejection::TakesBack { named, trusted: 5, found: Some(4), .. } = rejection else { panic!("{rejection}") };
        assert_eq!(named, role);
    }
}

#[test]
fn a_channel_that_vanishes_from_the_snapshot_is_noticed() {
    let mut set = Sample::release(1).trusted();
    let second = Sample::release(2);
    let mut snapshot = second.snapshot_body();
    snapshot.meta.remove("os.json");
    let snapshot = Signed::new(2, Date::new(UnixTime(i64::MAX)), snapshot);
    let snapshot = sign(&snapshot, &[&secret_key(3)]);
    set.offer(&Role::Timestamp, &sign(&second.timestamp_naming(2, &snapshot), &[&secret_key(2)])).unwrap();
    let rejection = refuse(&mut set, &Role::Snapshot, &snapshot);
    assert!(matches!(rejection, Rejection::TakesBack { found: None, .. }));
}

#[test]
fn files_of_different_releases_do_not_mix() {
    let releases = [1, 2, 3].map(Sample::release);
    for timestamp in &releases {
        for snapshot in &releases {
            for targets in &releases {
                let mut set = TrustedSet::pin(&timestamp.file(&Role::Root)).unwrap();
                let _ = set.offer(&Role::Timestamp, &timestamp.file(&Role::Timestamp));
                let _ = set.offer(&Role::Snapshot, &snapshot.file(&Role::Snapshot));
                let _ = set.offer(&Role::Targets, &targets.file(&Role::Targets));
                let _ = set.offer(&os(), &targets.file(&os()));
                let one = timestamp.timestamp == snapshot.timestamp && snapshot.timestamp == targets.timestamp;
                assert_eq!(set.head().is_some(), one);
            }
        }
    }
}

#[test]
fn a_channel_of_another_release_is_nobodys_fault_and_a_changed_one_is_the_peers() {
    let mut set = TrustedSet::pin(&Sample::release(2).file(&Role::Root)).unwrap();
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        assert_eq!(refuse(&mut set, &os(), &Sample::release(2).file(&os())).blame(), Blame::Nobody);
        set.offer(&role, &Sample::release(2).file(&role)).unwrap();
    }
    assert_eq!(refuse(&mut set, &os(), &Sample::release(1).file(&os())).blame(), Blame::Nobody);
    assert_eq!(refuse(&mut set, &os(), b"garbage").blame(), Blame::Peer);
    let other = Sample { os_paths: vec!["os/evil.manifest".into()], ..Sample::release(2) };
    assert_eq!(refuse(&mut set, &os(), &other.file(&os())).blame(), Blame::Peer);
    let unknown = Role::Delegated("nobody".into());
    assert_eq!(refuse(&mut set, &unknown, b"garbage").blame(), Blame::Nobody);
}

#[test]
fn every_truncation_and_every_changed_byte_is_refused() {
    let repository = Sample::release(1);
    let root = repository.file(&Role::Root);
    let mut set = TrustedSet::pin(&root).unwrap();
    for end in 0..root.len() {
        assert!(TrustedSet::pin(&root[..end]).is_err());
    }
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets, os()] {
        let bytes = repository.file(&role);
        for at in 0..bytes.len() {
            refuse(&mut set, &role, &bytes[..at]);
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let mut other = set.clone();
            match other.offer(&role, &changed) {
                Err(_) => assert_eq!(other, set),
                // Hexadecimal digits of a signature may be written in either case: the same signature
                // over the same words. All other files are named by their hash.
                Ok(_) => assert!(role == Role::Timestamp && changed.eq_ignore_ascii_case(&bytes)),
            }
        }
        set.offer(&role, &bytes).unwrap();
    }
}

#[test]
fn every_changed_byte_of_a_root_is_refused() {
    let first = Sample { root_keys: (vec![1, 6], 2), ..Sample::release(1) };
    let second = Sample { root: 2, ..first.clone() };
    let set = TrustedSet::pin(&first.file(&Role::Root)).unwrap();
    let bytes = second.file(&Role::Root);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let mut other = set.clone();
        match other.offer(&Role::Root, &changed) {
            Err(_) => assert_eq!(other, set),
            Ok(_) => assert!(changed.eq_ignore_ascii_case(&bytes), "byte {at}"),
        }
    }
}

#[test]
fn a_file_by_the_wrong_keys_is_refused() {
    let repository = Sample::release(1);
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets, os()] {
        let thief = Sample {
            timestamp_keys: if role == Role::Timestamp { vec![9] } else { vec![2] },
            snapshot_keys: if role == Role::Snapshot { vec![9] } else { vec![3] },
            targets_keys: if role == Role::Targets { vec![9] } else { vec![4] },
            ..repository.clone()
        };
        // The channel's key is stolen from the delegation: only its file is signed by another key.
        let forged = Sample { os_keys: vec![9], ..repository.clone() };
        let mut set = TrustedSet::pin(&repository.file(&Role::Root)).unwrap();
        for step in [Role::Timestamp, Role::Snapshot, Role::Targets, os()] {
            if step == role {
                let bytes = if role == os() { forged.file(&os()) } else { thief.file(&step) };
                refuse(&mut set, &step, &bytes);
                break;
            }
            let bytes = match step {
                // The higher roles vouch for the thief's file, so that only its signature is wrong.
                Role::Timestamp | Role::Snapshot if role != os() => thief.file(&step),
                _ => repository.file(&step),
            };
            set.offer(&step, &bytes).unwrap();
        }
        assert_eq!(set.head(), None);
    }
}

#[test]
fn an_unsigned_file_is_the_peers_fault_and_one_for_another_root_nobodys() {
    let repository = Sample::release(1);
    let mut set = TrustedSet::pin(&repository.file(&Role::Root)).unwrap();
    let timestamp = repository.timestamp_naming(1, b"");
    let unsigned = refuse(&mut set, &Role::Timestamp, &sign(&timestamp, &[]));
    assert!(matches!(unsigned, Rejection::Signatures { source: SignatureError::Unsigned, .. }));
    assert_eq!(unsigned.blame(), Blame::Peer);
    let other_key = refuse(&mut set, &Role::Timestamp, &sign(&timestamp, &[&secret_key(9)]));
    assert_eq!(other_key.blame(), Blame::Nobody);
    let text = String::from_utf8(repository.file(&Role::Timestamp)).unwrap();
    let forged = refuse(&mut set, &Role::Timestamp, text.replace("2027", "2028").as_bytes());
    assert!(matches!(forged, Rejection::Signatures { source: SignatureError::Forged { .. }, .. }));
    assert_eq!(forged.blame(), Blame::Peer);
}

#[test]
fn one_key_under_two_ids_counts_once() {
    let keys = (vec![1, 6], 2);
    let repository = Sample { root_keys: keys, ..Sample::release(1) };
    assert!(TrustedSet::pin(&repository.file(&Role::Root)).is_ok());
    assert!(TrustedSet::pin(&repository.root_signed_by(&[1])).is_err());
    // The root lists key 1 a second time, under the id "alias", in place of key 6.
    let mut root = repository.root_body();
    root.keys.insert("alias".into(), secret_key(1).public());
    if let Some(authority) = root.roles.get_mut("root") {
        authority.keyids[1] = "alias".into();
    }
    let root = Signed::new(1, Date::new(SIGNED_AT), root);
    let text = String::from_utf8(sign(&root, &[&secret_key(1)])).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let signature = file["signatures"][0]["sig"].clone();
    let again = serde_json::json!({ "keyid": "alias", "sig": signature });
    file["signatures"].as_array_mut().unwrap().push(again);
    let rejection = TrustedSet::pin(file.to_string().as_bytes()).unwrap_err();
    let Rejection::Signatures { source, .. } = rejection else { panic!("{rejection}") };
    assert_eq!(source, SignatureError::TooFew { valid: 1, threshold: 2 });
}

#[test]
fn a_new_root_needs_the_old_keys_and_the_new() {
    let first = Sample::release(1);
    let second = Sample { root: 2, root_keys: (vec![7], 1), ..first.clone() };
    let mut set = first.trusted();
    for one_sided in [vec![1], vec![7], vec![]] {
        refuse(&mut set, &Role::Root, &second.root_signed_by(&one_sided));
    }
    assert_eq!(set.offer(&Role::Root, &second.root_signed_by(&[1, 7])).unwrap(), Accepted::New);
    assert_eq!(set.head().unwrap().root, 2);
    assert_eq!(set.offer(&Role::Root, &first.file(&Role::Root)).unwrap(), Accepted::AlreadyKnown);
    let third = Sample { root: 3, ..first };
    refuse(&mut set, &Role::Root, &third.root_signed_by(&[1]));
}

#[test]
fn a_root_version_cannot_be_skipped_or_changed() {
    let first = Sample::release(1);
    let mut set = first.trusted();
    let skipped = refuse(&mut set, &Role::Root, &Sample { root: 3, ..first.clone() }.file(&Role::Root));
    assert!(matches!(skipped, Rejection::RootVersion { expected: 2, found: 3 }));
    assert_eq!(skipped.blame(), Blame::Nobody);
    let changed = refuse(&mut set, &Role::Root, &Sample { targets_keys: vec![9], ..first.clone() }.file(&Role::Root));
    assert_eq!(changed.blame(), Blame::Peer);
    assert!(TrustedSet::pin(&Sample { root: 2, ..first }.file(&Role::Root)).is_err(), "only version 1 names it");
}

#[test]
fn a_thief_who_ran_the_versions_up_is_shaken_off_by_new_keys() {
    for stolen in [Role::Timestamp, Role::Snapshot] {
        let first = Sample::release(1);
        let far = Sample { timestamp: u64::MAX, snapshot: u64::MAX, ..first.clone() };
        let mut set = far.trusted();
        refuse(&mut set, &Role::Timestamp, &first.file(&Role::Timestamp));
        let mut second = Sample { root: 2, timestamp: 2, snapshot: 2, ..first };
        match stolen {
            Role::Timestamp => second.timestamp_keys = vec![8],
            _ => second.snapshot_keys = vec![8],
        }
        set.offer(&Role::Root, &second.file(&Role::Root)).unwrap();
        assert_eq!(set.head(), None);
        second.offer_all(&mut set);
        assert_eq!(set.head().unwrap().timestamp, 2);
    }
}

#[test]
fn a_new_root_with_the_same_keys_keeps_the_floors() {
    let mut set = Sample::release(5).trusted();
    let second = Sample { root: 2, timestamp_keys: vec![2, 8], ..Sample::release(4) };
    set.offer(&Role::Root, &second.file(&Role::Root)).unwrap();
    assert_eq!(set.head().unwrap().timestamp, 5);
    refuse(&mut set, &Role::Timestamp, &second.file(&Role::Timestamp));
}

#[test]
fn targets_of_a_revoked_key_go_out_of_use() {
    let mut set = Sample::release(1).trusted();
    let second = Sample { root: 2, targets_keys: vec![8], ..Sample::release(2) };
    set.offer(&Role::Root, &second.file(&Role::Root)).unwrap();
    assert_eq!((set.targets().count(), set.metadata(&Role::Targets, None)), (0, None));
    second.offer_all(&mut set);
    assert_eq!(set.targets().count(), 1);
}

#[test]
fn a_channel_of_a_revoked_key_must_be_signed_anew() {
    let mut set = Sample::release(1).trusted();
    // The channel's file stays as it is, signed by key 5, which the new targets no longer names.
    let mut second = Sample { os: 1, os_keys: vec![8], ..Sample::release(2) };
    let old_channel = Sample::release(1).file(&os());
    let mut snapshot = second.snapshot_body();
    snapshot.meta.insert("os.json".into(), FileMeta::of(1, &old_channel));
    let snapshot = Signed::new(2, Date::new(UnixTime(i64::MAX)), snapshot);
    let snapshot = sign(&snapshot, &[&secret_key(3)]);
    set.offer(&Role::Timestamp, &sign(&second.timestamp_naming(2, &snapshot), &[&secret_key(2)])).unwrap();
    set.offer(&Role::Snapshot, &snapshot).unwrap();
    set.offer(&Role::Targets, &second.file(&Role::Targets)).unwrap();
    assert_eq!(set.offer(&os(), &old_channel).unwrap(), Accepted::Disowned);
    assert_eq!((set.head().unwrap().timestamp, set.targets().count()), (2, 0));
    second = Sample { timestamp: 3, snapshot: 3, os: 2, ..second };
    second.offer_all(&mut set);
    assert_eq!(set.targets().count(), 1);
}

#[test]
fn two_timestamps_of_one_version_are_equivocation() {
    let first = Sample::release(1);
    let mut set = first.trusted();
    let other = Sample { os_paths: vec![], ..first.clone() };
    let rejection = refuse(&mut set, &Role::Timestamp, &other.file(&Role::Timestamp));
    assert!(matches!(rejection, Rejection::Equivocation { version: 1, .. }));
    assert_eq!(rejection.blame(), Blame::Publisher);
    // White space around the same words is no other word, and does not change the head.
    let spaced = [b" ", &first.file(&Role::Timestamp)[..]].concat();
    assert_eq!(set.offer(&Role::Timestamp, &spaced).unwrap(), Accepted::AlreadyKnown);
    let mut fresh = TrustedSet::pin(&first.file(&Role::Root)).unwrap();
    fresh.offer(&Role::Timestamp, &spaced).unwrap();
    first.offer_all(&mut fresh);
    assert_eq!(fresh.head(), set.head());
}

#[test]
fn a_channel_names_only_its_own_paths() {
    let paths = ["apps/x.manifest", "os", "os/a.manifest", "os/sub/b.manifest"].map(String::from).to_vec();
    let greedy = Sample { os_paths: paths, ..Sample::release(1) };
    assert_eq!(greedy.trusted().targets().map(|(path, _)| path).collect::<Vec<_>>(), ["os/a.manifest"]);
    // The top-level role's own word stands before the channel's.
    let both = Sample { targets: 7, top_paths: vec!["os/a.manifest".into(), "x".into()], ..greedy };
    let targets: Vec<_> = both.trusted().targets().map(|(path, target)| (path.to_owned(), target.length)).collect();
    assert_eq!(targets, [("os/a.manifest".to_owned(), 7), ("x".to_owned(), 7)]);
}

#[test]
fn a_higher_threshold_drops_what_too_few_have_signed() {
    for role in [Role::Timestamp, Role::Snapshot] {
        let mut set = Sample::release(1).trusted();
        let mut root =
            Sample { root: 2, timestamp_keys: vec![2, 8], snapshot_keys: vec![3, 8], ..Sample::release(1) }.root_body();
        root.roles.get_mut(role.name()).unwrap().threshold = 2;
        set.offer(&Role::Root, &sign(&Signed::new(2, Date::new(SIGNED_AT), root), &[&secret_key(1)])).unwrap();
        assert_eq!(set.head(), None);
        assert_eq!(set.metadata(&role, None), None);
    }
}

#[test]
fn a_file_that_the_snapshot_names_by_a_wrong_version_is_the_publishers_fault() {
    let repository = Sample::release(2);
    let old = Sample::release(1).file(&Role::Snapshot);
    let mut set = TrustedSet::pin(&repository.file(&Role::Root)).unwrap();
    set.offer(&Role::Timestamp, &sign(&repository.timestamp_naming(2, &old), &[&secret_key(2)])).unwrap();
    let rejection = refuse(&mut set, &Role::Snapshot, &old);
    assert!(matches!(rejection, Rejection::Misnamed { expected: 2, found: 1, .. }));
    assert_eq!(rejection.blame(), Blame::Publisher);
}

#[test]
fn a_channel_that_left_the_snapshot_names_nothing_any_more() {
    let mut set = Sample::release(1).trusted();
    // Only new keys for the snapshot role let a channel leave.
    let second = Sample { root: 2, snapshot_keys: vec![8], targets: 1, ..Sample::release(2) };
    set.offer(&Role::Root, &second.file(&Role::Root)).unwrap();
    let mut snapshot = second.snapshot_body();
    snapshot.meta.remove("os.json");
    let snapshot = sign(&Signed::new(2, Date::new(SIGNED_AT), snapshot), &[&secret_key(8)]);
    set.offer(&Role::Timestamp, &sign(&second.timestamp_naming(2, &snapshot), &[&secret_key(2)])).unwrap();
    set.offer(&Role::Snapshot, &snapshot).unwrap();
    assert_eq!(set.head().unwrap().timestamp, 2);
    assert_eq!(set.targets().count(), 0);
}

#[test]
fn a_thief_is_shaken_off_though_peers_go_on_telling_what_he_signed() {
    let first = Sample::release(1);
    let far = Sample { timestamp: u64::MAX, snapshot: u64::MAX, ..first.clone() };
    let mut set = far.trusted();
    let second = Sample { root: 2, timestamp: 2, snapshot: 2, timestamp_keys: vec![8], ..first };
    set.offer(&Role::Root, &second.file(&Role::Root)).unwrap();
    for told in 0..2 {
        let rejection = refuse(&mut set, &Role::Timestamp, &far.file(&Role::Timestamp));
        assert_eq!(rejection.blame(), Blame::Nobody, "whoever was offline sends such a file");
        if told == 0 {
            second.offer_all(&mut set);
        }
    }
    assert_eq!(set.head().unwrap().timestamp, 2);
}

#[test]
fn a_key_that_is_spelled_in_two_ways_counts_once() {
    let repository = Sample { root_keys: (vec![1, 6], 2), ..Sample::release(1) };
    let mut root = repository.root_body();
    let mut shouted = secret_key(1).public();
    shouted.keyval.public = shouted.keyval.public.to_uppercase();
    assert_ne!(shouted, secret_key(1).public());
    root.keys.insert("alias".into(), shouted);
    root.roles.get_mut("root").unwrap().keyids[1] = "alias".into();
    let signed = sign(&Signed::new(1, Date::new(SIGNED_AT), root), &[&secret_key(1)]);
    let mut file: serde_json::Value = serde_json::from_slice(&signed).unwrap();
    let again = serde_json::json!({ "keyid": "alias", "sig": file["signatures"][0]["sig"] });
    file["signatures"].as_array_mut().unwrap().push(again);
    let rejection = TrustedSet::pin(file.to_string().as_bytes()).unwrap_err();
    let Rejection::Signatures { source, .. } = rejection else { panic!("{rejection}") };
    assert_eq!(source, SignatureError::TooFew { valid: 1, threshold: 2 });
}

#[test]
fn a_clock_that_a_thief_set_ahead_is_set_back_by_new_keys() {
    let first = Sample::release(1);
    let snapshot = first.file(&Role::Snapshot);
    let mut ahead = first.timestamp_naming(1, &snapshot);
    ahead.body.signed_at = Some("2099-01-01T00:00:00Z".parse().unwrap());
    let mut set = TrustedSet::pin(&first.file(&Role::Root)).unwrap();
    set.offer(&Role::Timestamp, &sign(&ahead, &[&secret_key(2)])).unwrap();
    first.offer_rest(&mut set);
    assert!(matches!(set.freshness(SIGNED_AT), Freshness::Stale { .. }), "everything has expired by 2099");
    let second = Sample { root: 2, timestamp_keys: vec![8], ..Sample::release(2) };
    set.offer(&Role::Root, &second.file(&Role::Root)).unwrap();
    second.offer_all(&mut set);
    assert_eq!(set.freshness(SIGNED_AT), Freshness::Fresh { age_s: Some(0) });
}

#[test]
fn roots_without_end_are_not_kept() {
    let first = Sample::release(1);
    let mut set = TrustedSet::pin(&first.file(&Role::Root)).unwrap();
    let root = |version: u64| Sample { root: version, ..first.clone() }.file(&Role::Root);
    let last = 1 + limits::ROOTS_MAX as u64;
    for version in 2..=last {
        set.offer(&Role::Root, &root(version)).unwrap();
    }
    let rejection = refuse(&mut set, &Role::Root, &root(last + 1));
    assert!(matches!(rejection, Rejection::TooManyRoots));
    assert_eq!(rejection.blame(), Blame::Publisher);
}
