//! What strangers send, as a fuzzer makes it up: each function takes any bytes, and panics if a promise does not hold for
//! them. `tests/fuzz` runs them for as long as one likes; an ordinary test runs them over the inputs that are kept there.

use crate::forger::choices::Choices;
use crate::forger::history::{NOW_S, Served};
use crate::forger::tampering::{change_text, tampered};
use protocol::cbor;
use protocol::content::chunk_list::ChunkList;
use protocol::content::manifest::{ChunkListRef, Manifest, VerifiedManifest};
use protocol::content::release::Release;
use protocol::id::{ChunkListId, ManifestId};
use protocol::message::{ChunkHeader, Message};
use protocol::time::UnixTime;
use protocol::trust::envelope::{Body, Envelope};
use protocol::trust::json::Json;
use protocol::trust::metadata::{Root, Snapshot, Targets, Timestamp};
use protocol::trust::sign::sign;
use protocol::trust::{Role, TrustedSet};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is fuzzed: it panics where a promise does not hold.
pub type Target = fn(&[u8]);

/// All of them by name.
pub const TARGETS: [(&str, Target); 4] =
    [("metadata", metadata), ("documents", documents), ("message", message), ("offers", offers)];

/// A metadata file is refused, or has one meaning: the reader that keeps what is signed and the reader that keeps what is
/// understood agree with a third, and what is written anew is read as the same.
pub fn metadata(bytes: &[u8]) {
    if let Ok(json) = Json::parse(bytes) {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("what is strict JSON is JSON");
        assert!(same(&json, &value), "{json:?} was read as {value}");
        let form = json.canonical();
        // A control character stands raw in the form, which is no JSON then.
        if form.iter().all(|byte| *byte >= b' ') {
            let again = Json::parse(&form).expect("the canonical form is JSON");
            assert!(again == json && again.canonical() == form);
        }
    }
    kind::<Root>(bytes);
    kind::<Timestamp>(bytes);
    kind::<Snapshot>(bytes);
    kind::<Targets>(bytes);
}

fn kind<B: Body + PartialEq>(bytes: &[u8]) {
    let Ok(Envelope { signed, canonical, .. }) = Envelope::<B>::parse(bytes) else { return };
    assert_eq!(Json::parse(bytes).expect("it was parsed").get("signed").map(Json::canonical), Some(canonical));
    // What is ignored may have been what made it fit.
    if let Ok(again) = Envelope::<B>::parse(&sign(&signed, &[])) {
        assert!(again.signed == signed);
    }
}

fn same(json: &Json, value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (json, value) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(one), Value::Bool(other)) => one == other,
        (Json::Integer(one), Value::Number(other)) => one.to_string() == other.to_string(),
        (Json::String(one), Value::String(other)) => one == other,
        (Json::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Object(one), Value::Object(other)) => {
            let is_there = |(key, value): (&String, &Json)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        _ => false,
    }
}

/// A manifest and a chunk list, of which the first two bytes tell where one ends. They are refused, or make a release of
/// which every file has as many bytes as its chunks.
pub fn documents(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (manifest, list) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    if let Ok(list_read) = ChunkList::decode(list) {
        assert_eq!(ChunkList::decode(&list_read.encode()).ok(), Some(list_read));
    }
    let _ = VerifiedManifest::verify(manifest, ManifestId::of(manifest), manifest.len() as u64);
    // The list's name is a hash, which no fuzzer finds; so it is set right.
    let Ok(mut manifest) = cbor::decode::<Manifest>(manifest) else { return };
    manifest.chunk_list = ChunkListRef { id: ChunkListId::of(list), bytes: list.len() as u64 };
    let written = manifest.encode();
    let Ok(verified) = VerifiedManifest::verify(&written, ManifestId::of(&written), written.len() as u64) else {
        return;
    };
    assert_eq!(*verified, manifest);
    let Ok(release) = Release::new(Arc::new(verified), list) else { return };
    for index in 0..release.chunk_count() {
        assert!(!release.places(index).is_empty(), "a chunk that stands nowhere");
    }
    for entry in 0..u32::try_from(manifest.entries.len()).expect("a small manifest") {
        let _ = release.file_chunks(entry);
    }
    let chunk_bytes: u64 = release.chunks().iter().map(|chunk| u64::from(chunk.bytes)).sum();
    assert_eq!(release.total_bytes(), chunk_bytes);
}

/// A frame is refused, or a message that says the same when it is sent on.
pub fn message(bytes: &[u8]) {
    if let Ok(Some(message)) = Message::decode(bytes) {
        let frame = message.encode();
        assert_eq!(frame.len() as u64, message.encoded_bytes());
        assert_eq!(Message::decode(&frame).expect("what was lawful is"), Some(message));
    }
    if let Ok(header) = ChunkHeader::decode(bytes) {
        assert_eq!(ChunkHeader::decode(&header.encode()).expect("what was lawful is"), header);
    }
}

/// Files of a repository that was tampered with are offered in any order, as any role's, some of them altered. One that is
/// refused leaves the set as it was, and what is believed in the end is still believed after a restart.
pub fn offers(bytes: &[u8]) {
    let mut choices = Choices::Given(bytes);
    let case = tampered(&mut choices);
    let files: Vec<(&String, &Arc<Vec<u8>>)> = case.steps.iter().flatten().collect();
    let Some(root) = case.steps[0].get("1.root.json") else { return };
    let Ok(mut set) = TrustedSet::pin(root) else { return };
    for _ in 0..choices.below(16) {
        let (mut name, file) = *choices.pick(&files);
        if choices.once_in(8) {
            name = choices.pick(&files).0;
        }
        let mut file = file.to_vec();
        if choices.once_in(4) {
            change_text(&mut file, &mut choices);
        }
        offer(&mut set, &role_of(name), &file);
        if choices.once_in(4) {
            fill(&mut set, &case.steps);
        }
    }
    fill(&mut set, &case.steps);
    let restored = TrustedSet::restore(set.files()).expect("a set can be stored");
    assert_eq!(restored.timestamp_version(), set.timestamp_version());
    assert_eq!(restored.head(), set.head());
    assert!(restored.targets().eq(set.targets()), "other targets after a restart");
    let _ = (set.freshness(UnixTime(NOW_S)), set.resolve("apps/vendor/y"));
}

/// Offers whatever the set asks for, each file once.
fn fill(set: &mut TrustedSet, steps: &[Served]) {
    let mut asked = BTreeSet::new();
    while let Some(need) = set.needs().into_iter().find(|need| asked.insert(need.clone())) {
        let name = need.role.file_name(need.version);
        for file in steps.iter().filter_map(|served| served.get(&name)) {
            offer(set, &need.role, file);
        }
    }
}

fn offer(set: &mut TrustedSet, role: &Role, bytes: &[u8]) {
    let before = set.clone();
    if set.offer(role, bytes).is_err() {
        assert!(*set == before, "a file that was refused has left a trace");
    }
}

fn role_of(name: &str) -> Role {
    let name = name.strip_suffix(".json").unwrap_or(name);
    let name = match name.split_once('.') {
        Some((version, rest)) if version.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    };
    Role::from_name(&name.replace("%C3%A9", "\u{e9}").replace("%20", " ").replace("%3F", "?"))
}
