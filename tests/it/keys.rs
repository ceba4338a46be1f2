//! The ceremony of `docs/keys.md`, as it stands there, and what devices make of it.

use super::class::{Class, program};
use super::needs::{Need, can_run, python};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const PAGE: &str = include_str!("../../docs/keys.md");

/// The commands of a page, in order.
fn commands(page: &str) -> String {
    let mut blocks = page.split("\n```sh\n").skip(1);
    let block = |text: &str| text.split_once("\n```").map(|(block, _)| block.to_owned() + "\n").unwrap();
    blocks.by_ref().map(block).collect()
}

/// Runs commands as a person would type them, with `homeroom` in the path, and stops at the first that fails.
fn run(script: &str, at: &Path) -> Output {
    let bin = program().parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // A shell that stops at what fails does not stop at what should have failed and did not.
    let script = script.replace("\n! ", "\nrefused ");
    let refused = "refused() { if \"$@\"; then echo \"not refused: $*\"; exit 1; fi; }";
    let script = format!("set -euo pipefail\numask 022\n{refused}\n{script}");
    Command::new("bash").args(["-c", &script]).current_dir(at).env("PATH", path).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_ceremony_of_the_page_on_keys_runs_as_written() {
    let place = tempfile::tempdir().unwrap();
    let output = run(&commands(PAGE), place.path());
    assert!(output.status.success(), "{}", told(&output));
    let roots = ["1.root.json", "2.root.json", "3.root.json"];
    assert!(roots.iter().all(|root| place.path().join("desk/repo/metadata").join(root).exists()));
    if !can_run(&[Need::PythonTuf]) {
        return;
    }
    // A client that knows the first root alone follows the chain to the newest release.
    let repo = place.path().join("desk/repo");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/python_tuf.py");
    for release in ["stable/tree_1.1.manifest", "beta/tree_1.1.manifest", "apps/paint/tree_1.0.manifest"] {
        let client = Command::new(python()).arg(script).arg(&repo).arg(release).output().unwrap();
        assert!(client.status.success(), "{}", told(&client));
    }
    let client = Command::new(python()).arg(script).arg(&repo).arg("beta/tree_1.0.1.manifest").output().unwrap();
    assert!(!client.status.success(), "it was withdrawn");
}

#[test]
fn a_root_with_one_signature_of_two_is_never_served() {
    let place = tempfile::tempdir().unwrap();
    let (first, rest) = PAGE.split_once("! homeroom init").unwrap();
    let output = run(&commands(&format!("{first}\n```")), place.path());
    assert!(output.status.success(), "{}", told(&output));
    let refused = run("homeroom init desk/repo --root desk/root.json", place.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("homeroom root show"), "{}", told(&refused));
    assert!(!place.path().join("desk/repo/metadata").exists());
    // The next root, signed by Ann alone, is refused as well, and what is served stays.
    let rest = rest.split_once('\n').unwrap().1.replace("for who in ann ben; do", "for who in ann; do");
    let output = run(&commands(&rest), place.path());
    assert!(!output.status.success());
    assert!(told(&output).contains("desk/next.json was not put into use"), "{}", told(&output));
    let again = "echo two >tree/file; homeroom publish tree --repo desk/repo --channel beta --version 1.1";
    let output = run(again, place.path());
    assert!(output.status.success(), "{}", told(&output));
}

/// Exchanges the key of a role for a new one, signed by the root key that is beside the repository.
fn rotate(class: &Class, role: &str, version: u32) {
    let script = format!(
        r#"
        new=repo.keys/{role}-{version}.pem
        homeroom key new $new
        homeroom root init {version}.json --after repo/metadata/{before}.root.json
        homeroom root add-key {version}.json --role {role} --key $new
        old=$(ls repo.keys/{role}*.pem | sort -V | tail -n 2 | head -n 1)
        homeroom root remove-key {version}.json --role {role} --key-id "$(homeroom key list $old | cut -d ' ' -f 1)"
        for key in repo.keys/root*.pem; do
            homeroom root sign {version}.json --key $key --after repo/metadata/{before}.root.json || true
        done
        homeroom root rotate {version}.json --repo repo
        "#,
        before = version - 1
    );
    let output = run(&script, &class.path("."));
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn a_laptop_was_in_a_cupboard_for_three_rotations() {
    let class = Class::new();
    let tree = class.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "first").unwrap();
    class.publish(&tree, "1.0");
    let mut school = class.school();
    let mut laptops = ["ann", "bob"].map(|name| class.laptop(name, &[school.address]));
    laptops.iter_mut().for_each(|laptop| drop(laptop.until_applied("1.0")));
    let [ann, mut bob] = laptops;
    drop(ann);
    for (version, role) in (2..).zip(["root", "timestamp", "root"]) {
        rotate(&class, role, version);
    }
    fs::write(tree.join("file"), "second").unwrap();
    class.publish(&tree, "1.1");
    bob.until_applied("1.1");
    // Whoever comes out of the cupboard is served the chain by a fellow laptop, too.
    school.stop();
    let mut ann = class.laptop("ann", &[bob.address]);
    ann.until_applied("1.1");
    let mut cleo = class.laptop("cleo", &[bob.address]);
    cleo.until_applied("1.1");
}
