//! What can be changed in a file before it is signed.

use super::choices::Choices;
use super::document::{Document, Signer, keyid};
use serde_json::{Map, Value, json};

/// Names that a role should not have, and one that is only strange.
const ROLE_NAMES: [&str; 8] = ["root", "targets", "", "../os", "2.root", "os", "apps", "\u{65}\u{301}"];
const PATTERNS: [&str; 14] = [
    "*",
    "os/*",
    "apps/vendor/y",
    "apps/vendor/*",
    "*/*",
    "**",
    "os/[ab].manifest",
    "[",
    "os/**",
    "?",
    "",
    "*.manifest",
    "shared/[!s]",
    "OS/*",
];
const PREFIXES: [&str; 6] = ["", "0", "F", "zz", "00000000", "0x"];
const DATES: [&str; 14] = [
    "2026-12-01T00:00:00Z",
    "2026-11-30T23:59:59Z",
    "2026-12-01T00:00:01Z",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2027-12-01T00:00:00+00:00",
    "2027-12-01 00:00:00Z",
    "2027-12-01T00:00:00.5Z",
    "2027-12-01t00:00:00z",
    "2027-02-30T00:00:00Z",
    "2027-06-30T23:59:60Z",
    "2027-12-01",
    "12027-12-01T00:00:00Z",
    "",
];

/// Changes one thing in what a document says, or in who signs it. Tells what.
pub fn edit(document: &mut Document, choices: &mut Choices) -> String {
    let general: [Edit; 4] = [anywhere, anywhere, header, header];
    let special: &[Edit] = match document.signed["_type"].as_str() {
        Some("root") => &[authority, key_table, alias, consistency],
        Some("timestamp" | "snapshot") => &[meta, meta_hashes, meta],
        _ => &[targets, delegation, delegation, delegation, key_table, alias],
    };
    let list = if choices.below(3) == 0 { &general } else { special };
    let place = choices.pick(list);
    place(document, choices).unwrap_or_else(|| header(document, choices).unwrap_or_default())
}

/// Nothing if the document has no such place.
type Edit = fn(&mut Document, &mut Choices) -> Option<String>;

/// Any value becomes any other, goes, or comes twice.
fn anywhere(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let mut pointers = Vec::new();
    list_pointers(&document.signed, String::new(), &mut pointers);
    let pointer = choices.pick(&pointers).clone();
    let (above, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    let value = any_value(document.signed.pointer(&pointer)?, choices);
    let did = match (document.signed.pointer_mut(above)?, choices.below(4)) {
        (Value::Object(members), 0) => {
            members.remove(&key);
            "removed".to_owned()
        }
        (Value::Object(members), 1) => {
            let twin = members.get(&key)?.clone();
            let twin_key = choices.pick(&["x-other", "", "name", "\u{e9}", "a\"b\\c\n"]);
            members.insert((*twin_key).to_owned(), twin);
            format!("also as {twin_key:?}")
        }
        (Value::Array(items), 0) => {
            items.remove(key.parse().ok()?);
            "removed".to_owned()
        }
        (Value::Array(items), 1) => {
            let twin = items.get(key.parse::<usize>().ok()?)?.clone();
            items.push(twin);
            "again".to_owned()
        }
        (above, _) => {
            let did = format!("= {}", brief(&value));
            match above {
                Value::Object(members) => drop(members.insert(key, value)),
                Value::Array(items) => *items.get_mut(key.parse::<usize>().ok()?)? = value,
                _ => return None,
            }
            did
        }
    };
    Some(format!("{pointer} {did}"))
}

fn list_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(key, value)| (key.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        let pointer = format!("{at}/{key}");
        pointers.push(pointer.clone());
        list_pointers(value, pointer, pointers);
    }
}

fn any_value(old: &Value, choices: &mut Choices) -> Value {
    let number = old.as_u64().unwrap_or(1);
    match choices.below(17) {
        0 => Value::Null,
        1 => json!(choices.below(2) == 0),
        2 => json!(number.wrapping_add(1)),
        3 => json!(number.saturating_sub(1)),
        4 => json!(u64::MAX),
        5 => json!(-1),
        6 => json!(1.5),
        7 => json!(0),
        8 => json!(""),
        9 => json!([]),
        10 => json!({}),
        11 => nested(*choices.pick(&[5, 28, 40, 140])),
        12 => json!("\u{e9} e\u{301} \u{1f600} \u{0}\u{7f}\u{202e}"),
        13 => json!(format!("{}x", old.as_str().unwrap_or_default())),
        14 => json!(old.as_str().unwrap_or_default().to_uppercase()),
        15 => json!("9".repeat(200)),
        _ => json!([old]),
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| json!([inner]))
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

fn header(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let (field, value) = match choices.below(4) {
        0 => ("expires", json!(choices.pick(&DATES))),
        1 => ("spec_version", json!(choices.pick(&["1", "1.0", "1.99.7", "2.0", "10.0", "1x", "", "1.0.34-x"]))),
        2 => ("_type", json!(choices.pick(&["root", "timestamp", "snapshot", "targets", "Targets", "mirrors"]))),
        _ => {
            let version = document.signed["version"].as_u64().unwrap_or(1);
            let versions = [0, version.saturating_sub(1), version + 1, version + 2, u64::MAX];
            ("version", json!(choices.pick(&versions)))
        }
    };
    let did = format!("{field} = {}", brief(&value));
    document.signed[field] = value;
    Some(did)
}

fn consistency(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let value = choices.pick(&[json!(true), json!(false), Value::Null, json!("true")]).clone();
    let did = format!("consistent_snapshot = {value}");
    document.signed["consistent_snapshot"] = value;
    Some(did)
}

/// One of the roles that a root names.
fn authority(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let name = *choices.pick(&["root", "timestamp", "snapshot", "targets"]);
    let role = document.signed.pointer_mut(&format!("/roles/{name}"))?.as_object_mut()?;
    Some(format!("{name}: {}", change_authority(role, choices)?))
}

fn change_authority(role: &mut Map<String, Value>, choices: &mut Choices) -> Option<String> {
    let threshold = role.get("threshold")?.as_u64()?;
    let keyids = role.get_mut("keyids")?.as_array_mut()?;
    Some(match choices.below(6) {
        0 => {
            keyids.pop();
            "a key less".to_owned()
        }
        1 => {
            keyids.push(json!(keyid(30)));
            "an unknown key more".to_owned()
        }
        2 => {
            let first = keyids.first()?.clone();
            keyids.push(first);
            "a key id twice".to_owned()
        }
        3 => {
            keyids.reverse();
            "keys reversed".to_owned()
        }
        _ => {
            let number = *choices.pick(&[0, threshold + 1, threshold.saturating_sub(1), 1, u64::MAX]);
            role.insert("threshold".to_owned(), json!(number));
            format!("threshold {number}")
        }
    })
}

/// Something is wrong with a key as the file states it.
fn key_table(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let place = if document.signed["_type"] == "root" { "/keys" } else { "/delegations/keys" };
    let table = document.signed.pointer_mut(place)?.as_object_mut()?;
    let ids: Vec<String> = table.keys().cloned().collect();
    if ids.is_empty() {
        return None;
    }
    let id = choices.pick(&ids).clone();
    let key = table.get_mut(&id)?;
    let public = key.pointer("/keyval/public")?.as_str()?.to_owned();
    let (pointer, value) = match choices.below(9) {
        0 => ("/keytype", json!("rsa")),
        1 => ("/keytype", json!("ecdsa")),
        2 => ("/scheme", json!("ecdsa-sha2-nistp256")),
        3 => ("/scheme", json!("ed25519 ")),
        4 => ("/keyval/public", json!(public.to_uppercase())),
        5 => ("/keyval/public", json!(format!("{public} "))),
        6 => ("/keyval/public", json!(public[2..])),
        7 => ("/keyval/public", json!(format!("01{}", "00".repeat(31)))),
        _ => ("/keyval", json!({ "public": public, "private": "" })),
    };
    *key.pointer_mut(pointer)? = value.clone();
    Some(format!("key {}: {pointer} = {}", &id[..8.min(id.len())], brief(&value)))
}

/// One key under two ids signs twice, where the threshold is two.
fn alias(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let second = "ab".repeat(32);
    let (keys, role) = match document.signed["_type"].as_str() {
        Some("root") => ("/keys", "/roles/root".to_owned()),
        _ => {
            let roles = document.signed.pointer("/delegations/roles")?.as_array()?.len();
            ("/delegations/keys", format!("/delegations/roles/{}", choices.below(roles.max(1))))
        }
    };
    let first = document.signed.pointer(&role)?.get("keyids")?.get(0)?.as_str()?.to_owned();
    let table = document.signed.pointer_mut(keys)?.as_object_mut()?;
    let twin = table.get(&first)?.clone();
    table.insert(second.clone(), twin);
    let role = document.signed.pointer_mut(&role)?.as_object_mut()?;
    role.insert("threshold".to_owned(), json!(2));
    role.insert("keyids".to_owned(), json!([first, second]));
    if let Some(signer) = document.signers.iter().find(|signer| signer.keyid == first).cloned() {
        document.signers.push(Signer { keyid: second, key: signer.key });
    }
    Some("one key under two ids, threshold 2".to_owned())
}

fn meta(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let named = document.signed.pointer_mut("/meta")?.as_object_mut()?;
    let files: Vec<String> = named.keys().cloned().collect();
    if files.is_empty() {
        return None;
    }
    let file = choices.pick(&files).clone();
    let did = match choices.below(5) {
        0 => {
            named.remove(&file);
            "is not named".to_owned()
        }
        1 => {
            named.insert(format!("x{file}"), json!({ "version": 0 }));
            "has a strange neighbour of version 0".to_owned()
        }
        _ => {
            let version = named.get(&file)?.get("version")?.as_u64()?;
            let version = *choices.pick(&[0, version.saturating_sub(1), version + 1, u64::MAX]);
            named.get_mut(&file)?["version"] = json!(version);
            format!("is named as version {version}")
        }
    };
    Some(format!("{file} {did}"))
}

fn meta_hashes(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let named = document.signed.pointer_mut("/meta")?.as_object_mut()?;
    let files: Vec<String> = named.keys().cloned().collect();
    if files.is_empty() {
        return None;
    }
    let file = choices.pick(&files).clone();
    let entry = named.get_mut(&file)?.as_object_mut()?;
    let length = entry.get("length").and_then(Value::as_u64).unwrap_or(100);
    let (field, value) = match choices.below(9) {
        0 => ("length", json!(length + 1)),
        1 => ("length", json!(length.saturating_sub(1))),
        2 => ("length", Value::Null),
        3 => ("hashes", Value::Null),
        4 => ("hashes", json!({})),
        5 => ("hashes", json!({ "md5": "00" })),
        6 => ("hashes", json!({ "sha256": "00" })),
        7 => ("hashes", json!({ "sha256": "0".repeat(64) })),
        _ => {
            let right = entry.get("hashes")?.get("sha256")?.as_str()?.to_uppercase();
            ("hashes", json!({ "sha256": right, "blake3": "00" }))
        }
    };
    let did = format!("{file}: {field} = {}", brief(&value));
    entry.insert(field.to_owned(), value);
    Some(did)
}

fn targets(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let files = document.signed.pointer_mut("/targets")?.as_object_mut()?;
    let path = *choices.pick(&super::history::PATHS);
    let here: Vec<String> = files.keys().cloned().collect();
    let some = here.get(choices.below(here.len().max(1)))?.clone();
    files[&some].as_object()?;
    Some(match choices.below(7) {
        0 => {
            files.insert(path.to_owned(), json!({ "length": 7, "hashes": { "sha256": "77".repeat(32) } }));
            format!("names {path} too")
        }
        1 => {
            files.remove(&some);
            format!("names {some} no longer")
        }
        2 => {
            files.get_mut(&some)?["length"] = json!(choices.pick(&[0, u64::MAX]));
            format!("another length of {some}")
        }
        3 => {
            files.get_mut(&some)?["hashes"] = choices.pick(&[json!({}), json!({ "md5": "00" }), Value::Null]).clone();
            format!("no proper hash of {some}")
        }
        4 => {
            let hashes = &mut files.get_mut(&some)?["hashes"];
            if !hashes.is_object() {
                *hashes = json!({}); // Something else was done to it before.
            }
            hashes["sha256"] = json!(choices.pick(&["", "zz", "00"]));
            format!("a wrong hash of {some}")
        }
        5 => {
            files.get_mut(&some)?["custom"] = choices.pick(&[json!({ "a": [1] }), Value::Null, json!(1.5)]).clone();
            format!("custom of {some}")
        }
        _ => {
            document.signed["targets"] = json!({});
            "names nothing itself".to_owned()
        }
    })
}

fn delegation(document: &mut Document, choices: &mut Choices) -> Option<String> {
    let delegations = document.signed.get_mut("delegations")?.as_object_mut()?;
    let roles = delegations.get_mut("roles")?.as_array_mut()?;
    let at = choices.below(roles.len().max(1));
    let role = roles.get_mut(at)?.as_object_mut()?;
    let name = role.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let did = match choices.below(14) {
        0 => change_authority(role, choices)?,
        1 => {
            let terminating = role.get("terminating").and_then(Value::as_bool).unwrap_or_default();
            role.insert("terminating".to_owned(), json!(!terminating));
            format!("terminating = {}", !terminating)
        }
        2 => {
            role.remove("terminating");
            "terminating is not said".to_owned()
        }
        3 | 4 => {
            let pattern = *choices.pick(&PATTERNS);
            role.insert("paths".to_owned(), json!([pattern]));
            role.remove("path_hash_prefixes");
            format!("paths = {pattern}")
        }
        5 => {
            let prefix = *choices.pick(&PREFIXES);
            role.insert("path_hash_prefixes".to_owned(), json!([prefix]));
            role.remove("paths");
            format!("path_hash_prefixes = {prefix:?}")
        }
        6 => {
            role.insert("path_hash_prefixes".to_owned(), json!([""]));
            role.insert("paths".to_owned(), json!(["*"]));
            "both paths and path_hash_prefixes".to_owned()
        }
        7 => {
            role.remove("path_hash_prefixes");
            role.remove("paths");
            "neither paths nor path_hash_prefixes".to_owned()
        }
        8 => {
            let name = *choices.pick(&ROLE_NAMES);
            role.insert("name".to_owned(), json!(name));
            format!("is called {name:?}")
        }
        9 => {
            role.insert("name".to_owned(), json!("n".repeat(129)));
            "has a name of 129 bytes".to_owned()
        }
        10 => {
            roles.reverse();
            "comes in another order".to_owned()
        }
        11 => {
            let twin = roles.get(at)?.clone();
            roles.push(twin);
            "comes twice".to_owned()
        }
        12 => {
            let count = *choices.pick(&[30, 31, 32, 33, 256, 257]);
            many(roles, count);
            format!("stands behind {count} others that name everything and are not there")
        }
        _ => {
            delegations.insert("succinct_roles".to_owned(), json!({ "bit_length": 1, "name_prefix": "bin" }));
            "stands beside succinct_roles".to_owned()
        }
    };
    Some(format!("delegation {at} ({name}) {did}"))
}

/// Delegations of all paths beneath apps/, to a key that signs nothing.
fn many(roles: &mut Vec<Value>, count: usize) {
    let stranger = |at: usize| json!({ "name": format!("many{at}"), "keyids": [keyid(31)], "threshold": 1, "terminating": false, "paths": ["apps/*"] });
    roles.splice(0..0, (0..count).map(stranger));
}
