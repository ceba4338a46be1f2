//! Other people's programs read what we write.

use super::class::Class;
use super::needs::{Need, can_run, python};
use super::trees::Edition;
use std::process::Command;

#[test]
fn python_tuf_takes_both_releases_from_our_repository() {
    if !can_run(&[Need::PythonTuf]) {
        return;
    }
    let class = Class::new();
    for (edition, version) in [(Edition::First, "1.0"), (Edition::Second, "1.1")] {
        let published = class.publish(&class.odd_tree(edition), version);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/python_tuf.py");
        let client = Command::new(python()).args([script, &class.repo(), &published.target]).output().unwrap();
        let told = String::from_utf8_lossy(&client.stderr);
        assert!(client.status.success(), "python-tuf refuses {}: {told}", published.target);
        let told = String::from_utf8_lossy(&client.stdout).into_owned();
        let expected = format!("{}: {} bytes", published.target, published.manifest_bytes);
        assert!(told.contains(&expected), "{told:?} does not say {expected:?}");
    }
}

#[test]
fn python_tuf_refuses_a_repository_with_a_flipped_byte() {
    if !can_run(&[Need::PythonTuf]) {
        return;
    }
    let class = Class::new();
    let published = class.publish(&class.odd_tree(Edition::First), "1.0");
    let manifests = class.path("repo/manifests/stable");
    let manifest = std::fs::read_dir(manifests).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/python_tuf.py");
    let client = Command::new(python()).args([script, &class.repo(), &published.target]).output().unwrap();
    assert!(!client.status.success(), "the oracle would accept anything");
}
