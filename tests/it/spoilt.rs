//! What a device keeps in its home is spoilt: it goes on, or says what to do.

use super::class::{CHANNEL, Class, Failure, program};
use super::judge::assert_same;
use super::needs::{Need, can_run};
use super::trees;
use std::fs;
use std::process::{Command, Stdio};

/// Exit codes.
const FAILED: i32 = 1;
const NOT_ENROLLED: i32 = 3;

/// A class in which a laptop has applied a release and was switched off.
fn class() -> Class {
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, 10, 100_000);
    class.publish(&tree, "1.0");
    let mut school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    ann.stop();
    school.stop();
    class
}

#[test]
fn the_state_of_a_device_is_spoilt() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let class = class();
    let (state, home) = (class.path("ann/state.sqlite"), class.argument("ann"));
    let whole = fs::read(&state).unwrap();
    let zeroed = [&whole[..4096], &vec![0; whole.len() - 4096]].concat();
    let spoilt: [(&str, Vec<u8>, i32, &[&str]); 4] = [
        ("noise", trees::noise("spoilt", whole.len()), FAILED, &["ann/state.sqlite", "enroll again", "the trees stay"]),
        ("half of it", whole[..whole.len() / 2].to_vec(), FAILED, &["ann/state.sqlite", "enroll again"]),
        ("all but the first page zeroed", zeroed, FAILED, &["ann/state.sqlite", "enroll again"]),
        ("empty", Vec::new(), NOT_ENROLLED, &["is not enrolled", "homeroom enroll"]),
    ];
    for (how, bytes, code, words) in spoilt {
        fs::write(&state, &bytes).unwrap();
        let mut run = Command::new(program());
        run.args(["run", "--home", &home, "--listen", "127.0.0.1:0", "--no-mdns"]).stdin(Stdio::null());
        println!("{how}");
        Failure::of(&mut run).is(code, words);
    }
    // What the line says helps.
    fs::remove_file(&state).unwrap();
    class.run(&["enroll", "--home", &home, "--root", &class.root(), "--channel", CHANNEL]);
    let mut school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    assert_same(&class.path("tree"), &class.current("ann"));
    ann.stop();
    school.stop();
}

#[test]
fn the_documents_of_a_device_are_spoilt() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let class = class();
    let documents: Vec<_> =
        fs::read_dir(class.path("ann/documents")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(documents.len(), 2, "a manifest and a chunk list: {documents:?}");
    let next = class.path("next");
    trees::bulk(&next, 12, 100_000);
    class.publish(&next, "1.1");
    for (at, document) in documents.iter().enumerate() {
        let mut bytes = fs::read(document).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(document, if at == 0 { bytes } else { Vec::new() }).unwrap();
    }
    let mut school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.1");
    assert_same(&next, &class.current("ann"));
    ann.stop();
    school.stop();
}
