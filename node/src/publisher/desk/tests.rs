//! The desk's work, beside what a device makes of it.

use super::super::edition::DAY_S;
use super::super::files::{ReadError, read};
use super::super::founding::{CreateError, create};
use super::super::keys::{KeyError, no_password, read_key};
use super::super::office::{NOW, Office, target};
use super::*;
use protocol::trust::Freshness;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_empty_repository_is_complete() {
    let office = Office::new();
    let set = office.served();
    assert_eq!(office.paths(), [""; 0]);
    assert!(matches!(set.freshness(NOW), Freshness::Fresh { .. }));
    assert_eq!(office.names(), ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]);
}

#[test]
fn every_release_of_every_channel_stays_listed() {
    let office = Office::new();
    office.list("os/base_1.0.manifest").unwrap();
    office.list("apps/x_1.manifest").unwrap();
    let head = office.list("os/base_1.1.manifest").unwrap();
    let set = office.served();
    assert_eq!(office.paths(), ["apps/x_1.manifest", "os/base_1.0.manifest", "os/base_1.1.manifest"]);
    assert_eq!(set.head(), Some(head));
    assert_eq!((head.root, head.timestamp, head.snapshot), (1, 4, 4));
    assert_eq!(*set.targets().next().unwrap().1, target());
    assert!(office.names().contains(&"3.targets.json".to_owned()), "a new channel changes targets");
    assert!(!office.names().contains(&"4.targets.json".to_owned()), "and a release alone does not");
}

#[test]
fn a_taken_version_is_refused_and_changes_nothing() {
    let office = Office::new();
    let head = office.list("os/x_1.manifest").unwrap();
    assert!(matches!(office.list("os/x_1.manifest"), Err(ListError::Channel(ChannelError::Taken { .. }))));
    assert_eq!(office.served().head(), Some(head));
}

#[test]
fn a_repository_is_not_made_over_another() {
    let office = Office::new();
    let other = office.place.path().join("other");
    assert!(matches!(create(&office.repo(), &other, NOW), Err(CreateError::Exists { .. })));
    assert!(matches!(create(&other, &office.keys(), NOW), Err(CreateError::Key(KeyError::Exists { .. }))));
}

#[test]
fn keys_of_another_repository_are_refused() {
    let (office, other) = (Office::new(), Office::new());
    office.list("os/x_1.manifest").unwrap();
    let before = office.names();
    for role in ["timestamp", "snapshot", "targets"] {
        let (own, kept) = (office.keys().join(format!("{role}.pem")), office.place.path().join("kept"));
        fs::copy(&own, &kept).unwrap();
        fs::copy(other.keys().join(format!("{role}.pem")), &own).unwrap();
        let refused = office.list("apps/x_1.manifest");
        let (place, named) = (office.keys(), Role::from_name(role));
        let (Err(ListError::Key(error)) | Err(ListError::PutOut(PutOutError::Key(error)))) = refused else { panic!() };
        let KeyError::TooFew { path, role, found: 0, .. } = error else { panic!("{error}") };
        assert_eq!((path, role), (place, named));
        fs::copy(&kept, &own).unwrap();
    }
    assert_eq!(office.names(), before);
    office.list("apps/x_1.manifest").unwrap();
}

#[test]
fn a_lost_channel_key_is_not_replaced_in_silence() {
    let office = Office::new();
    office.list("os/x_1.manifest").unwrap();
    fs::remove_file(office.keys().join("os.pem")).unwrap();
    assert!(matches!(office.list("os/x_2.manifest"), Err(ListError::Key(KeyError::TooFew { .. }))));
}

#[test]
fn power_fails_after_each_file() {
    let office = Office::new();
    let before = office.list("os/x_1.manifest").unwrap();
    let (old_names, old_timestamp) = (office.names(), fs::read(office.file("timestamp.json")).unwrap());
    office.list("apps/x_1.manifest").unwrap();
    let new = office.names().into_iter().filter(|name| !old_names.contains(name)).collect::<Vec<_>>();
    assert_eq!(new, ["1.apps.json", "3.snapshot.json", "3.targets.json"]);
    // Whichever of the new files are there, whole or not: without the new timestamp the old release
    // is served, and the next publish goes through.
    fs::write(office.file("timestamp.json"), &old_timestamp).unwrap();
    for name in new {
        assert_eq!(office.served().head(), Some(before));
        fs::write(office.file(&name), "half of a fi").unwrap();
        assert_eq!(office.served().head(), Some(before));
        fs::remove_file(office.file(&name)).unwrap();
    }
    fs::write(office.file("1.apps.json"), "garbage").unwrap();
    fs::write(office.file("timestamp.json.tmp"), "garbage").unwrap();
    office.list("apps/x_1.manifest").unwrap();
    assert_eq!(office.paths(), ["apps/x_1.manifest", "os/x_1.manifest"]);
}

#[test]
fn the_disk_refuses_one_file() {
    let office = Office::new();
    let before = office.list("os/x_1.manifest").unwrap();
    // A directory in the place of a file makes its rename fail, for root too.
    fs::create_dir(office.file("3.snapshot.json")).unwrap();
    assert!(matches!(office.list("os/x_2.manifest"), Err(ListError::PutOut(PutOutError::File(_)))));
    assert_eq!(office.served().head(), Some(before));
    fs::remove_dir(office.file("3.snapshot.json")).unwrap();
    office.list("os/x_2.manifest").unwrap();
}

#[test]
fn a_spoiled_or_missing_file_is_named() {
    let office = Office::new();
    office.list("os/x_1.manifest").unwrap();
    for name in ["1.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "1.os.json"] {
        let bytes = fs::read(office.file(name)).unwrap();
        fs::write(office.file(name), &bytes[1..]).unwrap();
        let error = read(&office.repo()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        fs::remove_file(office.file(name)).unwrap();
        let error = read(&office.repo()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        fs::write(office.file(name), bytes).unwrap();
    }
    assert!(read(&office.repo()).is_ok());
    assert!(matches!(read(office.place.path()), Err(ReadError::NoRepository { .. })));
}

#[test]
fn clock_says_1970() {
    let office = Office::new();
    office.list_at("os/x_1.manifest", UnixTime(0)).unwrap();
    assert!(matches!(office.served().freshness(NOW), Freshness::Fresh { .. }));
}

#[test]
fn targets_are_signed_anew_before_they_expire() {
    let office = Office::new();
    let later = |days: i64| UnixTime(NOW.0 + days * DAY_S);
    office.list("os/x_1.manifest").unwrap();
    office.list_at("os/x_2.manifest", later(180)).unwrap();
    assert!(!office.names().contains(&"3.targets.json".to_owned()));
    office.list_at("os/x_3.manifest", later(200)).unwrap();
    assert!(office.names().contains(&"3.targets.json".to_owned()));
    let set = office.served();
    assert!(matches!(set.freshness(later(289)), Freshness::Fresh { .. }));
    assert!(matches!(set.freshness(later(290)), Freshness::Stale { role: Role::Timestamp, .. }));
}

#[test]
fn a_release_is_taken_back() {
    let office = Office::new();
    let path = |text: &str| text.parse::<TargetPath>().unwrap();
    office.list("os/x_1.manifest").unwrap();
    office.list("os/x_2.manifest").unwrap();
    let head = office.does(|desk| desk.withdraw(&path("os/x_2.manifest"))).unwrap();
    assert_eq!((office.paths(), office.served().head()), (vec!["os/x_1.manifest".to_owned()], Some(head)));
    for gone in ["os/x_2.manifest", "apps/x_1.manifest"] {
        let refused = office.does(|desk| desk.withdraw(&path(gone)));
        assert!(matches!(refused, Err(ListError::Channel(ChannelError::NotListed(_)))));
    }
    assert_eq!(office.served().head(), Some(head));
    office.does(|desk| desk.withdraw(&path("os/x_1.manifest"))).unwrap();
    assert_eq!(office.paths(), [""; 0]);
    // What was withdrawn is not given to something else, nor is what lies below it.
    for taken in ["os/x_2.manifest", "os/y_2.0.manifest"] {
        let refused = office.list(taken);
        assert!(matches!(refused, Err(ListError::Channel(ChannelError::Taken { .. }))), "{refused:?}");
    }
    for older in ["os/x_1.manifest", "os/x_1.5.manifest", "os/x_2rc1.manifest"] {
        let refused = office.list(older);
        assert!(matches!(refused, Err(ListError::Channel(ChannelError::Older { .. }))), "{refused:?}");
    }
    office.list("os/x_2.1.manifest").unwrap();
}

#[test]
fn a_repository_to_which_nothing_is_published_stays_fresh() {
    let office = Office::new();
    office.list("os/x_1.manifest").unwrap();
    let later = |days: i64| UnixTime(NOW.0 + days * DAY_S);
    for days in (60..600).step_by(60) {
        assert!(refresh(&office, later(days)).parts().is_empty());
        let set = office.served();
        assert!(matches!(set.freshness(later(days + 60)), Freshness::Fresh { .. }), "day {days}");
        assert_eq!(office.paths(), ["os/x_1.manifest"]);
    }
    let names = office.names();
    // After 240 and 480 days, when more than half of the 365 were over.
    let signed = |version: u64| names.contains(&format!("{version}.os.json"));
    assert!(signed(3) && !signed(4), "{names:?}");
}

/// Refreshes what can be refreshed; what cannot comes back.
fn refresh(office: &Office, now: UnixTime) -> Change {
    let desk = office.at(now).unwrap();
    let (here, elsewhere) = desk.refresh().unwrap();
    desk.put_out(here).unwrap();
    elsewhere
}

#[test]
fn a_channel_whose_key_lies_in_a_drawer_stays_fresh_for_as_long_as_what_it_signed_last() {
    let office = Office::new();
    office.list("os/x_1.manifest").unwrap();
    let drawer = read_key(&office.keys().join("os.pem"), no_password).unwrap();
    fs::remove_file(office.keys().join("os.pem")).unwrap();
    let later = |days: i64| UnixTime(NOW.0 + days * DAY_S);
    assert!(refresh(&office, later(100)).parts().is_empty());
    let mut elsewhere = Change::read(&refresh(&office, later(300)).bytes()).unwrap();
    assert!(matches!(office.served().freshness(later(364)), Freshness::Fresh { .. }));
    assert!(matches!(office.served().freshness(later(365)), Freshness::Stale { role: Role::Delegated(_), .. }));
    elsewhere.sign(&drawer).unwrap();
    office.at(later(301)).unwrap().put_out(elsewhere).unwrap();
    assert!(matches!(office.served().freshness(later(390)), Freshness::Fresh { .. }));
    assert_eq!(office.paths(), ["os/x_1.manifest"]);
}

#[test]
fn a_key_that_others_can_read_stops_the_publish() {
    let office = Office::new();
    fs::set_permissions(office.keys().join("snapshot.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        office.list("os/x_1.manifest"),
        Err(ListError::PutOut(PutOutError::Key(KeyError::Exposed { .. })))
    ));
}
