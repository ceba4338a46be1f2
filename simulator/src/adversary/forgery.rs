//! What stolen keys sign: properly, and without any right to it.

use super::garbage;
use crate::workload::{CHANNEL, Keys, Publisher, channel, signed, target_path, wall_clock};
use protocol::id::ManifestId;
use protocol::rng::Rng;
use protocol::time::{Time, UnixTime};
use protocol::trust::date::Date;
use protocol::trust::envelope::{Envelope, Signed};
use protocol::trust::metadata::{FileMeta, Snapshot, TargetFile, Targets, Timestamp};
use protocol::trust::sign::{SecretKey, sign};
use protocol::trust::{Head, Role};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As far as a thief runs versions up.
const FAR: u64 = 1 << 63;
const DAY_S: i64 = 86_400;

/// Files that belong together, and the head that tells of them.
pub struct Forgery {
    /// What is told.
    pub head: Head,
    files: Vec<(Role, u64, Vec<u8>)>,
}

/// What its timestamp says of time.
#[derive(Clone, Copy)]
struct Dates {
    signed_at: UnixTime,
    expires: UnixTime,
}

impl Forgery {
    /// Signs a timestamp, and the snapshot that it names, which names `named` beside what the publisher's newest does.
    fn sign(keys: &Keys, head: Head, named: &[(Role, FileMeta)], publisher: &Publisher, dates: Dates) -> Self {
        let genuine = [Role::Targets, channel()].into_iter().filter_map(|role| {
            let version = publisher.newest_version(&role);
            publisher.metadata(&role, Some(version)).map(|file| (role.meta_name(), FileMeta::of(version, &file)))
        });
        let mut meta: BTreeMap<String, FileMeta> = genuine.collect();
        meta.extend(named.iter().map(|(role, file)| (role.meta_name(), file.clone())));
        let snapshot = Signed::new(head.snapshot, Date::new(dates.expires), Snapshot { meta });
        let snapshot = sign(&snapshot, &borrowed(&keys.snapshot));
        let meta = BTreeMap::from([(Role::Snapshot.meta_name(), FileMeta::of(head.snapshot, &snapshot))]);
        let body = Timestamp { meta, signed_at: Some(Date::new(dates.signed_at)) };
        let timestamp = Signed::new(head.timestamp, Date::new(dates.expires), body);
        let timestamp = sign(&timestamp, &borrowed(&keys.timestamp));
        let canonical = Envelope::<Timestamp>::parse(&timestamp).map(|envelope| envelope.canonical);
        // A manifest is named by its SHA-256, and so is a timestamp in a head.
        let digest = ManifestId::of(&canonical.unwrap_or_default()).0;
        let files = vec![(Role::Timestamp, head.timestamp, timestamp), (Role::Snapshot, head.snapshot, snapshot)];
        Self { head: Head { digest, ..head }, files }
    }

    /// Its file of a role: of this version, or the only one.
    pub fn file(&self, role: &Role, version: Option<u64>) -> Option<&[u8]> {
        let is_it = |(of, its, _): &&(Role, u64, Vec<u8>)| of == role && version.is_none_or(|version| version == *its);
        self.files.iter().find(is_it).map(|(_, _, bytes)| &bytes[..])
    }
}

/// One timestamp of the publisher's newest version, or two that contradict each other beside.
pub fn two_of_one_version(keys: &Keys, publisher: &Publisher, rng: &mut Rng, now: Time) -> Vec<Forgery> {
    let head = newest_head(publisher);
    (0..=rng.below(2)).map(|_| Forgery::sign(keys, head, &[], publisher, dates(rng, now))).collect()
}

/// Versions near the end of all numbers. Either everything that is named is there, or the channel is at a version that
/// nobody can ever show.
pub fn fast_forward(keys: &Keys, publisher: &Publisher, rng: &mut Rng, now: Time) -> Forgery {
    let head = Head { timestamp: FAR, snapshot: FAR, ..newest_head(publisher) };
    let nowhere = (channel(), FileMeta::of(FAR, &garbage::bytes::<32>(rng)));
    let named = if rng.below(2) == 0 { vec![nowhere] } else { Vec::new() };
    Forgery::sign(keys, head, &named, publisher, dates(rng, now))
}

/// What a thief makes of the keys that it has: all of timestamp and snapshot, and of root, targets and channel all but
/// one; or all of targets and channel, and no others.
pub fn of_a_thief(keys: &Keys, publisher: &Publisher, rng: &mut Rng, now: Time) -> Forgery {
    let own = vec![Arc::new(SecretKey::from_random(&garbage::bytes(rng)))];
    let newest = newest_head(publisher);
    let next = Head { timestamp: newest.timestamp + 1, snapshot: newest.snapshot + 1, ..newest };
    let (targets_version, channel_version) =
        (publisher.newest_version(&Role::Targets) + 1, publisher.newest_version(&channel()) + 1);
    let evil = Targets { targets: evil_listing(rng), delegations: None };
    let dates = dates(rng, now);
    let too_few = |keys: &[Arc<SecretKey>]| [&keys[1..], &own].concat();
    match rng.below(5) {
        // A channel of its own, listed by too few of the channel's keys.
        0 => {
            let file = signed(channel_version, now, evil, &too_few(&keys.channel));
            with(keys, next, vec![(channel(), channel_version, file)], publisher, dates)
        }
        // A channel signed by keys of its own, which too few of the targets' keys delegate to.
        1 => {
            let file = signed(channel_version, now, evil, &own);
            let delegates = Keys { channel: own.clone(), ..keys.clone() }.targets_body();
            let targets = signed(targets_version, now, delegates, &too_few(&keys.targets));
            let files = vec![(Role::Targets, targets_version, targets), (channel(), channel_version, file)];
            with(keys, next, files, publisher, dates)
        }
        // A root that names its own keys for everything, signed by too few of the root's.
        2 => {
            let usurper = Keys {
                root: own.clone(),
                timestamp: own.clone(),
                snapshot: own.clone(),
                targets: own.clone(),
                channel: own.clone(),
            };
            let root_version = newest.root + 1;
            let root = signed(root_version, now, usurper.root_body(), &too_few(&keys.root));
            let files = vec![
                (Role::Root, root_version, root),
                (Role::Targets, targets_version, signed(targets_version, now, usurper.targets_body(), &own)),
                (channel(), channel_version, signed(channel_version, now, evil, &own)),
            ];
            with(&usurper, Head { root: root_version, ..next }, files, publisher, dates)
        }
        // An old listing, in which what was withdrawn still stands.
        3 => {
            let old = 1 + rng.below(publisher.newest_version(&channel()));
            let file = publisher.metadata(&channel(), Some(old)).map(|file| file.to_vec()).unwrap_or_default();
            with(keys, next, vec![(channel(), old, file)], publisher, dates)
        }
        // A channel of its own by all of the channel's keys, but neither a timestamp's nor a snapshot's.
        _ => {
            let file = signed(channel_version, now, evil, &keys.channel);
            let powerless = Keys { timestamp: own.clone(), snapshot: own, ..keys.clone() };
            with(&powerless, next, vec![(channel(), channel_version, file)], publisher, dates)
        }
    }
}

/// A timestamp by a key that has no right to anything.
pub fn by_a_strangers_key(version: u64, rng: &mut Rng) -> Vec<u8> {
    let key = SecretKey::from_random(&garbage::bytes(rng));
    let meta = BTreeMap::from([(Role::Snapshot.meta_name(), FileMeta::of(version, &garbage::bytes::<9>(rng)))]);
    let body = Timestamp { meta, signed_at: None };
    sign(&Signed::new(version, Date::new(UnixTime(i64::from(u32::MAX))), body), &[&key])
}

/// A timestamp and a snapshot that name these files, and the files.
fn with(keys: &Keys, head: Head, files: Vec<(Role, u64, Vec<u8>)>, publisher: &Publisher, dates: Dates) -> Forgery {
    let named = files.iter().filter(|(role, ..)| *role != Role::Root);
    let named: Vec<_> = named.map(|(role, version, file)| (role.clone(), FileMeta::of(*version, file))).collect();
    let mut forgery = Forgery::sign(keys, head, &named, publisher, dates);
    forgery.files.extend(files);
    forgery
}

/// Releases that the publisher never made, of which devices would take the first.
fn evil_listing(rng: &mut Rng) -> BTreeMap<String, TargetFile> {
    let mut release = |version: &str| {
        let hashes = BTreeMap::from([("sha256".to_owned(), ManifestId(garbage::bytes(rng)).to_string())]);
        (target_path(version), TargetFile { length: 100, hashes, custom: None })
    };
    BTreeMap::from([release("9.9"), release("0.1"), (format!("{CHANNEL}/of-no-kind"), release("9.8").1)])
}

/// Mostly what a publisher would say; sometimes a time far ahead, or that it has expired.
fn dates(rng: &mut Rng, now: Time) -> Dates {
    let today = wall_clock(now).0;
    let signed_at = if rng.below(4) == 0 { today + 25_000 * DAY_S } else { today };
    let expires =
        if rng.below(4) == 0 { today - DAY_S } else { today + (60 + i64::from(garbage::bytes::<1>(rng)[0])) * DAY_S };
    Dates { signed_at: UnixTime(signed_at), expires: UnixTime(expires) }
}

fn newest_head(publisher: &Publisher) -> Head {
    publisher.editions().last().expect("thieves wait for the first release").head
}

fn borrowed(keys: &[Arc<SecretKey>]) -> Vec<&SecretKey> {
    keys.iter().map(Arc::as_ref).collect()
}
