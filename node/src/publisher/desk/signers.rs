//! What several people sign, and who may.

use super::super::founding::rotate;
use super::super::keys::{KeyError, no_password};
use super::super::office::{NOW, Office, key, target};
use super::super::root::Draft;
use super::*;
use protocol::trust::metadata::TargetFile;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

fn os() -> ChannelName {
    "os".parse().unwrap()
}

fn public(numbers: &[u8]) -> Vec<Key> {
    numbers.iter().map(|number| key(*number).public()).collect()
}

fn id(number: u8) -> String {
    key(number).public().id()
}

/// An office with a channel that two of the keys 21, 22 and 23 sign, which are elsewhere.
fn two_of_three() -> Office {
    let office = Office::new();
    office.does(|desk| desk.create_channel(&os(), public(&[21, 22, 23]), 2)).unwrap();
    office
}

/// What a change is after a journey to those who hold these keys.
fn signed_by(change: Change, numbers: &[u8]) -> Change {
    let mut change = Change::read(&change.bytes()).unwrap();
    numbers.iter().for_each(|number| change.sign(&key(*number)).unwrap());
    change
}

fn list(office: &Office, path: &str, signers: &[u8]) -> Result<Head, ListError> {
    office.does(|desk| Ok(signed_by(desk.list(&path.parse().unwrap(), target())?, signers)))
}

#[track_caller]
fn too_few(result: Result<Head, ListError>, expected_found: usize) {
    let Err(ListError::Key(KeyError::TooFew { found, .. })) = result else { panic!("{result:?}") };
    assert_eq!(found, expected_found);
}

#[test]
fn a_release_waits_for_its_second_signature() {
    let office = two_of_three();
    let (head, names) = (office.served().head(), office.names());
    too_few(list(&office, "os/x_1.manifest", &[]), 0);
    too_few(list(&office, "os/x_1.manifest", &[21]), 1);
    too_few(list(&office, "os/x_1.manifest", &[21, 21]), 1);
    assert_eq!((office.served().head(), office.names()), (head, names), "nothing of it is in the repository");
    let mut change = office.at(NOW).unwrap().list(&"os/x_1.manifest".parse().unwrap(), target()).unwrap();
    assert!(matches!(change.sign(&key(24)), Err(ChangeError::ForeignKey(_))));
    list(&office, "os/x_1.manifest", &[23, 21]).unwrap();
    assert_eq!(office.paths(), ["os/x_1.manifest"]);
    let withdraw = |signers: &[u8]| {
        office.does(|desk| Ok(signed_by(desk.withdraw(&"os/x_1.manifest".parse().unwrap())?, signers)))
    };
    too_few(withdraw(&[22]), 1);
    withdraw(&[21, 22]).unwrap();
    assert_eq!(office.paths(), [""; 0]);
}

#[test]
fn a_pending_change_that_says_one_signature_is_enough_is_refused() {
    let office = two_of_three();
    let change = office.at(NOW).unwrap().list(&"os/x_1.manifest".parse().unwrap(), target()).unwrap();
    let text = String::from_utf8(signed_by(change, &[21]).bytes()).unwrap();
    let forged = text.replace("\"threshold\": 2", "\"threshold\": 1");
    assert_ne!(forged, text);
    let refused = office.does(|_| Ok(Change::read(forged.as_bytes())?));
    assert!(matches!(refused, Err(ListError::PutOut(PutOutError::Disowned(_)))), "{refused:?}");
    assert_eq!(office.paths(), [""; 0]);
    for garbage in ["", "{}", "[{}]", "[{\"role\": \"root\"}]", &text[1..], &text.replace("\"_type\"", "\"type\"")] {
        assert!(Change::read(garbage.as_bytes()).is_err(), "{garbage}");
    }
}

#[test]
fn of_two_changes_that_were_drafted_at_once_the_second_is_drafted_again() {
    let office = two_of_three();
    let draft = |path: &str| office.at(NOW).unwrap().list(&path.parse().unwrap(), target()).unwrap();
    let (first, second) = (draft("os/x_1.manifest"), draft("os/x_2.manifest"));
    office.does(|_| Ok(signed_by(first, &[21, 22]))).unwrap();
    let refused = office.does(|_| Ok(signed_by(second, &[21, 22])));
    assert!(matches!(refused, Err(ListError::Outdated { drafted: 1, here: 1, .. })), "{refused:?}");
    assert_eq!(office.paths(), ["os/x_1.manifest"]);
}

#[test]
fn a_stolen_key_of_a_channel_is_exchanged_and_devices_follow() {
    let office = two_of_three();
    list(&office, "os/x_1.manifest", &[21, 22]).unwrap();
    let mut device = office.served();
    // The thief of 21 has found somebody who signs with 22 what he shows.
    let evil =
        signed_by(office.at(NOW).unwrap().list(&"os/x_9.manifest".parse().unwrap(), target()).unwrap(), &[21, 22]);
    let exchange = Exchange { add: public(&[24]), remove: vec![id(21)], threshold: None };
    let draft = |desk: &Desk| desk.change_channel(&os(), exchange.clone());
    too_few(office.does(|desk| Ok(signed_by(draft(desk)?, &[22]))), 1);
    let mut stolen = draft(&office.at(NOW).unwrap()).unwrap();
    assert!(matches!(stolen.sign(&key(21)), Err(ChangeError::ForeignKey(_))));
    office.does(|desk| Ok(signed_by(draft(desk)?, &[22, 24]))).unwrap();
    assert!(office.does(|_| Ok(evil)).is_err());
    let served = office.served();
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets, Role::Delegated("os".into())] {
        device.offer(&role, &served.metadata(&role, None).unwrap().1).unwrap();
    }
    assert_eq!((device.head(), office.paths()), (served.head(), vec!["os/x_1.manifest".to_owned()]));
    too_few(list(&office, "os/x_2.manifest", &[22]), 1);
    list(&office, "os/x_2.manifest", &[23, 24]).unwrap();
}

#[test]
fn one_more_key_or_one_signature_less_is_all_that_changes() {
    let office = two_of_three();
    let change = |exchange: Exchange| office.does(|desk| desk.change_channel(&os(), exchange.clone()));
    change(Exchange { threshold: Some(3), ..Exchange::default() }).unwrap();
    too_few(list(&office, "os/x_1.manifest", &[21, 22]), 2);
    change(Exchange { threshold: Some(1), add: public(&[25]), ..Exchange::default() }).unwrap();
    list(&office, "os/x_1.manifest", &[25]).unwrap();
}

#[test]
fn keys_that_nobody_could_use_are_refused() {
    let office = two_of_three();
    let names = office.names();
    let fails = |result: Result<Head, ListError>| match result {
        Err(ListError::Channels(error)) => error,
        other => panic!("{other:?}"),
    };
    let change = |add: &[u8], remove: &[u8], threshold| {
        let exchange = Exchange { add: public(add), remove: remove.iter().map(|it| id(*it)).collect(), threshold };
        fails(office.does(|desk| desk.change_channel(&os(), exchange)))
    };
    assert!(matches!(change(&[21], &[], None), ChannelsError::HasKey { .. }));
    assert!(matches!(change(&[], &[24], None), ChannelsError::NoKey { .. }));
    assert!(matches!(change(&[], &[21, 22], None), ChannelsError::Threshold { threshold: 2, keys: 1, .. }));
    assert!(matches!(change(&[], &[], Some(0)), ChannelsError::Threshold { .. }));
    assert!(matches!(change(&[], &[], Some(4)), ChannelsError::Threshold { .. }));
    assert!(matches!(change(&[], &[], Some(2)), ChannelsError::Unchanged(_)));
    let create = |name: &str, keys: &[u8], threshold| {
        fails(office.does(|desk| desk.create_channel(&name.parse().unwrap(), public(keys), threshold)))
    };
    assert!(matches!(create("os", &[26], 1), ChannelsError::Exists(_)));
    assert!(matches!(create("apps/paint", &[26, 26], 1), ChannelsError::HasKey { .. }));
    assert!(matches!(create("apps/paint", &[26], 2), ChannelsError::Threshold { .. }));
    let missing = office.does(|desk| desk.change_channel(&"apps/paint".parse().unwrap(), Exchange::default()));
    assert!(matches!(fails(missing), ChannelsError::Missing(_)));
    assert_eq!(office.names(), names);
}

#[test]
fn a_maker_of_an_app_signs_its_own_channel_and_no_other() {
    let office = two_of_three();
    office.does(|desk| desk.create_channel(&"apps/paint".parse().unwrap(), public(&[31]), 1)).unwrap();
    list(&office, "apps/paint/x_1.manifest", &[31]).unwrap();
    list(&office, "os/x_1.manifest", &[21, 22]).unwrap();
    assert_eq!(office.paths(), ["apps/paint/x_1.manifest", "os/x_1.manifest"]);
    assert!(office.names().contains(&"1.apps~paint.json".to_owned()), "{:?}", office.names());
    let mut foreign = office.at(NOW).unwrap().list(&"os/x_2.manifest".parse().unwrap(), target()).unwrap();
    assert!(matches!(foreign.sign(&key(31)), Err(ChangeError::ForeignKey(_))));
    // A channel that nobody made before gets a key of its own, with a slash in its name too.
    office.list("apps/write/x_1.manifest").unwrap();
    assert!(office.keys().join("apps~write.pem").exists());
}

#[test]
fn the_targets_wait_for_a_second_signature_and_releases_do_not() {
    let office = Office::new();
    office.list("os/x_1.manifest").unwrap();
    // The second targets key comes to the desk once, for the rotation.
    let stick = office.keys().join("second.pem");
    fs::write(&stick, &*key(30).to_pem()).unwrap();
    fs::set_permissions(&stick, Permissions::from_mode(0o600)).unwrap();
    let mut draft = Draft::following(office.served().root(), NOW);
    draft.add_key(&Role::Targets, key(30).public()).unwrap();
    draft.set_threshold(&Role::Targets, 2).unwrap();
    let keys = KeyDirectory::open(&office.keys(), no_password).unwrap();
    let signers = keys.signers(&Role::Root, draft.signed().body.authority(&Role::Root)).unwrap();
    signers.iter().for_each(|key| draft.sign(key, None).unwrap());
    drop(keys);
    rotate(&office.repo(), &office.keys(), no_password, draft.bytes(), NOW).unwrap();
    fs::remove_file(&stick).unwrap();

    office.list("os/x_2.manifest").unwrap();
    let create = |signers: &[u8]| {
        office.does(|desk| Ok(signed_by(desk.create_channel(&"apps".parse().unwrap(), public(&[31]), 1)?, signers)))
    };
    too_few(create(&[]), 1);
    create(&[30]).unwrap();
    // A first release of a channel that nobody made changes the targets too.
    too_few(list(&office, "more/x_1.manifest", &[]), 1);
    list(&office, "more/x_1.manifest", &[30]).unwrap();
    assert_eq!(office.paths(), ["more/x_1.manifest", "os/x_1.manifest", "os/x_2.manifest"]);
}

#[test]
fn a_channel_that_grew_beyond_what_devices_read_is_told_so() {
    let authority = Authority { keyids: vec![id(21)], threshold: 1 };
    let keys = BTreeMap::from([(id(21), key(21).public())]);
    let name = |number: u32| (format!("os/x_{number}.{}.manifest", "0".repeat(100)), file());
    let targets = Targets { targets: (0..30_000).map(name).collect(), delegations: None };
    let signed = Signed::new(1, after(NOW, TARGETS_LIFE_S), targets);
    let refused = Change::default().add(Role::Delegated("os".into()), &signed, &authority, &keys);
    assert!(matches!(refused, Err(ChangeError::Metadata { .. })), "{refused:?}");
}

fn file() -> TargetFile {
    let hashes = BTreeMap::from([("sha256".to_owned(), "7".repeat(64))]);
    TargetFile { length: 3, hashes, custom: None }
}
