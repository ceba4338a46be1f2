//! One history in which something is wrong.

use super::choices::Choices;
use super::document::{Document, Signer, keyid};
use super::edits::edit;
use super::history::{PATHS, Publication, Served, good};
use protocol::trust::Role;
use serde_json::{Value, json};
use std::sync::Arc;

const PATHS_PER_CASE: usize = 2;

/// What a repository serves, step by step.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is wrong with it, in words.
    pub what: Vec<String>,
    /// Its files at each step.
    pub steps: Vec<Served>,
    /// The paths that are searched for: a few of all, because each search checks signatures anew.
    pub paths: Vec<&'static str>,
}

impl Case {
    /// Whether a date was touched: only then the age of a set is worth the time that it takes to ask for it.
    pub fn is_dated(&self) -> bool {
        self.what.iter().any(|what| what.contains("expires") || what.contains("signed-at"))
    }
}

/// A good history with something wrong in it.
pub fn tampered(choices: &mut Choices) -> Case {
    let mut history = good(choices);
    let mut what = Vec::new();
    for _ in 0..=choices.below(2) {
        let at = choices.below(history.len());
        if choices.below(8) < 6 {
            what.push(format!("publication {}: {}", at + 1, change_document(&mut history, at, choices)));
        }
    }
    let mut steps: Vec<Served> = history.iter().map(Publication::served).collect();
    if what.is_empty() || choices.once_in(8) {
        let at = choices.below(steps.len());
        what.push(format!("step {}: {}", at + 1, change_files(&mut steps, at, choices)));
    }
    let paths = (0..PATHS_PER_CASE).map(|_| *choices.pick(&PATHS)).collect();
    Case { what, steps, paths }
}

/// Changes one file of a publication. A root that is changed is changed for good.
fn change_document(history: &mut [Publication], at: usize, choices: &mut Choices) -> String {
    let publication = &mut history[at];
    let names: Vec<String> = publication.documents.keys().cloned().collect();
    let root = publication.roots.len() - 1;
    if choices.below(4) == 0 {
        let did = change(Arc::make_mut(&mut publication.roots[root]), choices);
        let changed = publication.roots[root].clone();
        history[at + 1..].iter_mut().for_each(|later| later.roots[root] = changed.clone());
        return format!("root {}: {did}", root + 1);
    }
    let name = choices.pick(&names);
    let Some(document) = publication.documents.get_mut(name) else { return String::new() };
    let mut did = change(Arc::make_mut(document), choices);
    if choices.below(8) < 7 {
        publication.relink(name);
    } else {
        did.push_str(", and nothing names it so");
    }
    format!("{name}: {did}")
}

fn change(document: &mut Document, choices: &mut Choices) -> String {
    match choices.below(8) {
        0..=4 => {
            let did = edit(document, choices);
            if choices.below(8) < 7 {
                document.sign();
                return did;
            }
            // The signatures of what it said before stay.
            let old: Value = serde_json::from_slice(&document.bytes).unwrap_or_default();
            document.write(&old["signatures"]);
            format!("{did}, not signed anew")
        }
        5 => change_signatures(document, choices),
        _ => change_text(Arc::make_mut(&mut document.bytes), choices),
    }
}

fn change_signatures(document: &mut Document, choices: &mut Choices) -> String {
    let did = match choices.below(13) {
        0 => {
            document.signers.pop();
            "one signature less"
        }
        1 => {
            document.signers.push(Signer { keyid: keyid(31), key: 31 });
            "a signature of a stranger's key"
        }
        2 => {
            document.signers.truncate(1);
            "signed once"
        }
        3 => {
            document.signers.iter_mut().for_each(|signer| signer.key = 31);
            "signed by a stranger in the others' names"
        }
        4 => {
            document.signers.reverse();
            "signatures reversed"
        }
        _ => "",
    };
    if !did.is_empty() {
        document.sign();
        return did.to_owned();
    }
    let mut signatures = document.signatures();
    // What was done before may have left none to change.
    let did = match if signatures.is_empty() { 8 } else { choices.below(9) } {
        0 => {
            signatures.extend(signatures.first().cloned());
            "a signature twice"
        }
        1 => {
            signatures.insert(0, json!({ "keyid": document.signers[0].keyid, "sig": "" }));
            "an empty signature before the right one"
        }
        2 => {
            signatures[0]["sig"] = json!("");
            "an empty signature"
        }
        3 => {
            signatures[0]["sig"] = json!(signatures[0]["sig"].as_str().unwrap_or_default().to_uppercase());
            "a signature in capitals"
        }
        4 => {
            signatures[0]["sig"] = json!("no hexadecimal");
            "a signature that is no number"
        }
        5 => {
            let count = *choices.pick(&[60, 64, 65]);
            signatures.extend((0..count).map(|at| json!({ "keyid": format!("{at}"), "sig": "00" })));
            "many signatures"
        }
        6 => {
            signatures[0]["x-other"] = json!(1.5);
            "a float beside a signature"
        }
        7 => {
            signatures[0]["sig"] = json!(1);
            "a signature of another type"
        }
        _ => {
            signatures.extend([json!({ "keyid": "x", "sig": "" }), json!({ "keyid": "x", "sig": "" })]);
            "two signatures by nobody"
        }
    };
    document.write(&Value::Array(signatures));
    did.to_owned()
}

/// Changes the text and not what it says, or what it says and not the signatures.
pub fn change_text(bytes: &mut Vec<u8>, choices: &mut Choices) -> String {
    let replacements = [
        ("\"version\":", "\"version\":1,\"version\":"),
        ("\"version\":", "\"\\u0076ersion\":"),
        ("\"threshold\":1", "\"threshold\":1.0"),
        ("\"threshold\":1", "\"threshold\":1,\"threshold\":1"),
        ("\"threshold\":1", "\"threshold\":18446744073709551616"),
        ("\"threshold\":1", "\"threshold\":1e0"),
        ("\"version\":1", "\"version\":01"),
        ("\"version\":1", "\"version\":-0"),
        ("\"_type\":", "\"_type\":\"root\",\"_type\":"),
        ("{\"signatures\":", "{\"signatures\":[],\"signatures\":"),
        ("\"signed\":", "\"x\":[1.5,1e9],\"signed\":"),
        ("\"signed\":", "\"signed\":null,\"signed\":"),
        ("\"signed\":", "\"SIGNED\":{},\"signed\":"),
        (":", " : \n\t"),
        ("{", "\u{feff}{"),
        ("expires", "expires\\u0000"),
        ("manifest", "\\u006danifest"),
        ("spec_version", "\\ud83dspec_version"),
        ("true", "True"),
    ];
    let text = String::from_utf8_lossy(bytes).into_owned();
    match choices.below(5) {
        0 => {
            let at = choices.below(bytes.len().max(1));
            let bit = 1 << choices.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
            format!("bit {bit} of byte {at} is flipped")
        }
        1 => {
            let tail = *choices.pick(&[" \n", "{}", "]", "\0", "x"]);
            bytes.extend(tail.as_bytes());
            format!("{tail:?} comes after it")
        }
        2 => {
            bytes.truncate(choices.below(bytes.len().max(1)));
            format!("cut after {} bytes", bytes.len())
        }
        _ => {
            let (from, to) = *choices.pick(&replacements);
            *bytes = text.replacen(from, to, 1 + choices.below(2)).into_bytes();
            format!("{from} becomes {to}")
        }
    }
}

/// Serves a file in another's place, or nothing, or what was served before.
fn change_files(steps: &mut Vec<Served>, at: usize, choices: &mut Choices) -> String {
    let names: Vec<String> = steps[at].keys().cloned().collect();
    let name = choices.pick(&names).clone();
    match choices.below(8) {
        0 => {
            steps[at].remove(&name);
            format!("{name} is missing")
        }
        1 => {
            let back = steps[0].clone();
            steps.push(back);
            "at the end, all is as in the beginning".to_owned()
        }
        2 => {
            let from = choices.below(steps.len());
            let timestamp = Role::Timestamp.file_name(None);
            let old = steps[from].get(&timestamp).cloned();
            steps[at].extend(old.map(|bytes| (timestamp, bytes)));
            format!("the timestamp is that of step {}", from + 1)
        }
        3..=5 => {
            let from = choices.below(steps.len());
            let others: Vec<String> = steps[from].keys().cloned().collect();
            let other = choices.pick(&others).clone();
            let bytes = steps[from].get(&other).cloned();
            steps[at].extend(bytes.map(|bytes| (name.clone(), bytes)));
            format!("{name} is {other} of step {}", from + 1)
        }
        6 => {
            let from = choices.below(steps.len());
            let bytes = steps[from].get(&name).cloned();
            steps[at].extend(bytes.map(|bytes| (name.clone(), bytes)));
            format!("{name} is that of step {}", from + 1)
        }
        _ => {
            let did = steps[at].get_mut(&name).map(|bytes| change_text(Arc::make_mut(bytes), choices));
            format!("{name}: {}", did.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_signed_any_more_is_tampered_with_too() {
        for choice in 0..=u8::MAX {
            let mut document = Document::new(json!({}), &[]);
            change_signatures(&mut document, &mut Choices::Given(&[12, choice]));
        }
    }
}
