//! The ceremony of `docs/keys.md`, as it stands there.

use super::class::program;
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
    let script = format!("set -euo pipefail\numask 022\n{script}");
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
    let release = fs::read_dir(repo.join("manifests/stable")).unwrap().count();
    assert_eq!(release, 3);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/python_tuf.py");
    let client = Command::new(python()).arg(script).arg(&repo).arg("stable/tree_1.1.manifest").output().unwrap();
    assert!(client.status.success(), "{}", told(&client));
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
    let again = "echo two >tree/file; homeroom publish tree --repo desk/repo --channel stable --version 1.1";
    let output = run(again, place.path());
    assert!(output.status.success(), "{}", told(&output));
}
