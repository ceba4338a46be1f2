//! How long the trust wing takes over the worst metadata that is lawful: what its judgement costs, beside hashing and
//! reading the same files and nothing more. Fails if that is more than three times as much, but for what takes no more than
//! two milliseconds in all.
//!
//!     cargo run --release -p tests --bin judge

use protocol::limits;
use protocol::time::UnixTime;
use protocol::trust::date::Date;
use protocol::trust::envelope::{Body, Envelope, Signed};
use protocol::trust::key::Key;
use protocol::trust::metadata::{
    Authority, DelegatedRole, Delegations, Digests, FileMeta, Root, Snapshot, TargetFile, Targets, Timestamp,
};
use protocol::trust::sign::{SecretKey, sign};
use protocol::trust::{Role, TrustedSet};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the judgement may cost, beside hashing and reading.
const TIMES_MAX: f64 = 3.0;
/// What takes no longer keeps nobody waiting: a small file takes less time to read than one signature to check.
const UNFELT: Duration = Duration::from_millis(2);
/// Each is measured so often, and the shortest counts: the machine has other work.
const RUNS: usize = 5;

/// Files that are offered in this order to a set that knows what comes before them.
struct Case {
    name: &'static str,
    set: TrustedSet,
    files: Vec<(Role, Vec<u8>)>,
}

fn main() -> ExitCode {
    let cases = [
        root(),
        timestamp(),
        snapshot(),
        channel("targets, most targets", targets(42_000, &|at| format!("{at:05}")), 0, 1),
        channel(
            "targets, all signatures needed",
            targets(40_000, &|at| format!("{at:05}")),
            0,
            limits::KEYS_PER_ROLE_MAX,
        ),
        channel(
            "targets, all but one signature false",
            targets(40_000, &|at| format!("{at:05}")),
            limits::KEYS_PER_ROLE_MAX,
            1,
        ),
        delegations("targets, most patterns, none of which fits", &|role, at| format!("{role}x{at}")),
        delegations("targets, patterns that cost most", &|role, _| format!("{}{role}", "*?".repeat(60))),
        channels(),
    ];
    let mut all_well = true;
    println!("{:42} {:>10} {:>9} {:>9} {:>6}", "", "bytes", "read, ms", "judge, ms", "times");
    for case in cases {
        let bytes: usize = case.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let read = shortest(|| time(|| case.files.iter().for_each(|(role, bytes)| read(role, bytes))));
        let judge = shortest(|| {
            let mut set = case.set.clone();
            time(|| {
                for (role, bytes) in &case.files {
                    take(&mut set, role, bytes);
                }
                assert!(set.needs().is_empty() && set.head() != case.set.head(), "{}", case.name);
            })
        });
        let times = judge.as_secs_f64() / read.as_secs_f64();
        all_well &= times <= TIMES_MAX || judge <= UNFELT;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        println!("{:42} {bytes:>10} {:>9.2} {:>9.2} {times:>6.2}", case.name, milliseconds(read), milliseconds(judge));
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn time(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn shortest(measure: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(measure).take(RUNS).min().expect("it is measured")
}

/// What nobody can save who looks at a file.
fn read(role: &Role, bytes: &[u8]) {
    black_box(Digests::of(bytes));
    match role {
        Role::Root => parse::<Root>(bytes),
        Role::Timestamp => parse::<Timestamp>(bytes),
        Role::Snapshot => parse::<Snapshot>(bytes),
        Role::Targets | Role::Delegated(_) => parse::<Targets>(bytes),
    }
}

fn parse<B: Body>(bytes: &[u8]) {
    black_box(Envelope::<B>::parse(bytes).expect("the file is lawful"));
}

fn take(set: &mut TrustedSet, role: &Role, bytes: &[u8]) {
    set.offer(role, bytes).expect("the file is lawful");
}

fn keys(from: usize, count: usize) -> Vec<SecretKey> {
    let bytes = |number: usize| std::array::from_fn(|at| number.to_le_bytes()[at % 8]);
    (from..from + count).map(|number| SecretKey::from_random(&bytes(number))).collect()
}

fn table(keys: &[SecretKey]) -> BTreeMap<String, Key> {
    keys.iter().map(|key| (key.public().id(), key.public())).collect()
}

fn authority(keys: &[SecretKey], threshold: usize) -> Authority {
    Authority { keyids: keys.iter().map(|key| key.public().id()).collect(), threshold: threshold as u64 }
}

fn signed<B: Body>(version: u64, body: B, keys: &[SecretKey]) -> Vec<u8> {
    let expires = Date::new(UnixTime(4_000_000_000));
    sign(&Signed::new(version, expires, body), &keys.iter().collect::<Vec<_>>())
}

/// The same file with signatures by keys that may not sign, up to the most that are lawful.
fn with_strangers(file: &[u8], bytes_max: u64) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(file).expect("it was just written");
    let signatures = file["signatures"].as_array_mut().expect("it was just written");
    for number in signatures.len()..limits::SIGNATURES_MAX {
        signatures.push(json!({ "keyid": format!("{number:064}"), "sig": "0".repeat(128) }));
    }
    let bytes = file.to_string().into_bytes();
    assert!(bytes.len() as u64 <= bytes_max, "{} bytes", bytes.len());
    bytes
}

/// A root of the largest size. Its predecessor is signed by as many other keys.
fn root() -> Case {
    let (old, new) = (keys(0, limits::KEYS_PER_ROLE_MAX), keys(100, limits::KEYS_PER_ROLE_MAX));
    let body = |keys: &[SecretKey], extra: usize| {
        let roles = ["root", "timestamp", "snapshot", "targets"].map(|name| {
            let keys = if name == "root" { keys } else { &old };
            (name.to_owned(), authority(keys, keys.len()))
        });
        let mut all = table(&old);
        all.extend(table(keys));
        all.extend(table(&self::keys(1000, extra)));
        Root { consistent_snapshot: true, keys: all, roles: roles.into() }
    };
    let first = signed(1, body(&old, 0), &old);
    let both: Vec<SecretKey> =
        keys(0, limits::KEYS_PER_ROLE_MAX).into_iter().chain(keys(100, limits::KEYS_PER_ROLE_MAX)).collect();
    let second = with_strangers(&signed(2, body(&new, 2450), &both), limits::ROOT_BYTES_MAX);
    let mut set = TrustedSet::pin(&first).expect("lawful");
    let files = release(1, vec![("targets".into(), signed(1, Targets::default(), &old))], &old);
    files.iter().for_each(|(role, bytes)| take(&mut set, role, bytes));
    Case { name: "root", set, files: vec![(Role::Root, second)] }
}

/// The key of every top-level role in all other cases.
fn publisher() -> Vec<SecretKey> {
    keys(0, 1)
}

fn new_device(timestamp_keys: &[SecretKey]) -> TrustedSet {
    let key = publisher();
    let mut roles = ["root", "timestamp", "snapshot", "targets"].map(|name| (name.to_owned(), authority(&key, 1)));
    roles[1].1 = authority(timestamp_keys, timestamp_keys.len());
    let keys = table(&key).into_iter().chain(table(timestamp_keys)).collect();
    let root = Root { consistent_snapshot: true, keys, roles: roles.into() };
    TrustedSet::pin(&signed(1, root, &key)).expect("lawful")
}

/// A timestamp and a snapshot that name these files, and the files, in the order that a device asks for them.
fn release(version: u64, files: Vec<(String, Vec<u8>)>, keys: &[SecretKey]) -> Vec<(Role, Vec<u8>)> {
    let meta = files.iter().map(|(name, bytes)| (format!("{name}.json"), FileMeta::of(1, bytes))).collect();
    let snapshot = signed(version, Snapshot { meta }, keys);
    let meta = BTreeMap::from([("snapshot.json".to_owned(), FileMeta::of(version, &snapshot))]);
    let timestamp = signed(version, Timestamp { meta, signed_at: None }, keys);
    let files = files.into_iter().map(|(name, bytes)| (Role::from_name(&name), bytes));
    [(Role::Timestamp, timestamp), (Role::Snapshot, snapshot)].into_iter().chain(files).collect()
}

/// A set that has taken in the top-level files, and is offered the rest.
fn case(name: &'static str, top: Targets, files: Vec<(String, Vec<u8>)>) -> Case {
    let mut set = new_device(&publisher());
    let top = ("targets".to_owned(), signed(1, top, &publisher()));
    let mut known = release(1, [top].into_iter().chain(files).collect(), &publisher());
    let files = known.split_off(3);
    known.iter().for_each(|(role, bytes)| take(&mut set, role, bytes));
    Case { name, set, files }
}

fn timestamp() -> Case {
    let signers = keys(200, limits::KEYS_PER_ROLE_MAX);
    let mut set = new_device(&signers);
    let files = release(1, vec![("targets".into(), signed(1, Targets::default(), &publisher()))], &publisher());
    let mut named: Signed<Timestamp> = Envelope::parse(&files[0].1).expect("lawful").signed;
    let first = sign(&named, &signers.iter().collect::<Vec<_>>());
    take(&mut set, &Role::Timestamp, &first);
    files[1..].iter().for_each(|(role, bytes)| take(&mut set, role, bytes));
    named.version = 2;
    let second = with_strangers(&sign(&named, &signers.iter().collect::<Vec<_>>()), limits::TIMESTAMP_BYTES_MAX);
    Case { name: "timestamp", set, files: vec![(Role::Timestamp, second)] }
}

/// A snapshot that names as many files as it can, after one that named as many.
fn snapshot() -> Case {
    let mut set = new_device(&publisher());
    let targets = signed(1, Targets::default(), &publisher());
    let mut files = release(1, vec![("targets".into(), targets.clone())], &publisher());
    for version in 1..=2 {
        let mut meta: BTreeMap<_, _> =
            (0..68_000).map(|at| (format!("{at:05}.json"), FileMeta { version, length: None, hashes: None })).collect();
        meta.insert("targets.json".to_owned(), FileMeta::of(1, &targets));
        files[1].1 = signed(version, Snapshot { meta }, &publisher());
        let meta = BTreeMap::from([("snapshot.json".to_owned(), FileMeta::of(version, &files[1].1))]);
        files[0].1 = signed(version, Timestamp { meta, signed_at: None }, &publisher());
        if version == 1 {
            files.iter().for_each(|(role, bytes)| take(&mut set, role, bytes));
        }
    }
    take(&mut set, &Role::Timestamp, &files[0].1);
    Case { name: "snapshot", set, files: vec![files.swap_remove(1)] }
}

fn targets(count: usize, path: &dyn Fn(usize) -> String) -> Targets {
    let hashes = BTreeMap::from([("sha256".to_owned(), "33".repeat(32))]);
    let file = |at| (path(at), TargetFile { length: 1, hashes: hashes.clone(), custom: None });
    Targets { targets: (0..count).map(file).collect(), delegations: None }
}

fn delegation(name: &str, authority: Authority, paths: Vec<String>) -> DelegatedRole {
    DelegatedRole { name: name.to_owned(), authority, terminating: false, paths: Some(paths), path_hash_prefixes: None }
}

/// A channel's file with so many right signatures, all of which are needed, behind as many false ones as there is room
/// for, if so many are wanted.
fn channel(name: &'static str, body: Targets, forged: usize, threshold: usize) -> Case {
    let forged = forged.min(limits::KEYS_PER_ROLE_MAX - threshold);
    let (liars, signers) = (keys(300, forged), keys(400, threshold));
    let all: Vec<SecretKey> = keys(300, forged).into_iter().chain(keys(400, threshold)).collect();
    let mut ordered = authority(&liars, threshold);
    ordered.keyids.extend(authority(&signers, threshold).keyids);
    let roles = vec![delegation("channel", ordered, vec!["*".into()])];
    let top = Targets {
        targets: BTreeMap::new(),
        delegations: Some(Delegations { keys: table(&all), roles, succinct_roles: None }),
    };
    let mut file: Value = serde_json::from_slice(&signed(1, body, &all)).expect("it was just written");
    for signature in file["signatures"].as_array_mut().into_iter().flatten().take(forged) {
        // A digit of its second half is another, so that nothing but the whole check finds it out.
        let text = signature["sig"].as_str().expect("it was just written");
        let digit = if text[64..].starts_with('0') { '1' } else { '0' };
        signature["sig"] = json!(format!("{}{digit}{}", &text[..64], &text[65..]));
    }
    let bytes = with_strangers(file.to_string().as_bytes(), limits::TARGETS_BYTES_MAX);
    case(name, top, vec![("channel".into(), bytes)])
}

/// A vendor that delegates as often as it may with as many patterns as there is room for, and a role beneath it with as
/// many targets as there is room for.
fn delegations(name: &'static str, pattern: &dyn Fn(usize, usize) -> String) -> Case {
    let key = keys(500, 1);
    let patterns_each = 4_700_000 / limits::DELEGATIONS_PER_FILE_MAX / (pattern(100, 100).len() + 3);
    let roles = (0..limits::DELEGATIONS_PER_FILE_MAX).map(|role| {
        let patterns = (0..patterns_each).map(|at| pattern(role, at)).collect();
        delegation(&format!("role{role}"), authority(&key, 1), patterns)
    });
    let last = delegation("last", authority(&key, 1), vec!["*".into()]);
    let roles = roles.skip(1).chain([last]).collect();
    let delegations = Some(Delegations { keys: table(&key), roles, succinct_roles: None });
    let vendor = signed(1, Targets { targets: BTreeMap::new(), delegations: delegations.clone() }, &key);
    // The role that has the targets is asked last, so that each of them is held against all patterns.
    let beneath = signed(1, targets(41_000, &|at| format!("aaaaaaaa{at:05}")), &key);
    let top = vec![delegation("vendor", authority(&key, 1), vec!["*".into()])];
    let top = Targets {
        targets: BTreeMap::new(),
        delegations: Some(Delegations { keys: table(&key), roles: top, succinct_roles: None }),
    };
    case(name, top, vec![("vendor".into(), vendor), ("last".into(), beneath)])
}

/// As many channels as one search visits.
fn channels() -> Case {
    let key = keys(600, 1);
    let name = |at: usize| format!("channel{at}");
    let roles =
        (0..limits::DELEGATIONS_MAX).map(|at| delegation(&name(at), authority(&key, 1), vec![format!("{at}/*")]));
    let top = Targets {
        targets: BTreeMap::new(),
        delegations: Some(Delegations { keys: table(&key), roles: roles.collect(), succinct_roles: None }),
    };
    let file = |at: usize| (name(at), signed(1, targets(8_000, &|path| format!("{at}/{path:05}")), &key));
    case("32 channels of a megabyte each", top, (0..limits::DELEGATIONS_MAX).map(file).collect())
}
