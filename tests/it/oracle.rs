//! Our verifier judges what other people's programs sign: repositories of python-tuf, good and hostile, each with the
//! verdict that the TUF specification demands.

use super::needs::{Need, can_run, python};
use protocol::trust::metadata::TargetFile;
use protocol::trust::{Accepted, Resolution, Role, TrustedSet};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What `python_signs.py` states of a repository.
#[derive(Clone, Deserialize)]
struct Expected {
    why: String,
    steps: Vec<Step>,
}

/// What it serves at one moment.
#[derive(Clone, Deserialize)]
struct Step {
    why: String,
    #[serde(flatten)]
    verdict: Verdict,
}

/// What a client holds after it saw that.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Verdict {
    /// Versions by role; none of a role that is not trusted.
    trusted: BTreeMap<String, Option<u64>>,
    /// Names of files.
    refused: Vec<String>,
    /// What a search for a path ends with.
    found: BTreeMap<String, Option<TargetFile>>,
}

/// A client's update from a folder of files.
struct Update<'a> {
    set: &'a mut TrustedSet,
    served: &'a Path,
    refused: Vec<String>,
}

impl Update<'_> {
    /// In the order of the specification's section 5. A root or a timestamp that is refused ends the update.
    fn run(&mut self) {
        while self.take(&Role::Root, Some(self.set.root().version + 1)) {}
        if !self.refused.is_empty() || !self.take(&Role::Timestamp, None) {
            return;
        }
        // Each file once: what is refused stays needed.
        let mut asked = BTreeSet::new();
        while let Some(need) = self.set.needs().into_iter().find(|need| asked.insert(need.clone())) {
            self.take(&need.role, need.version);
        }
    }

    /// Whether the file is there and believed.
    fn take(&mut self, role: &Role, version: Option<u64>) -> bool {
        let name = role.file_name(version);
        let Ok(bytes) = fs::read(self.served.join(&name)) else { return false };
        // What nobody vouches for is taken in, lest it is waited for, and not believed.
        let believed = self.set.offer(role, &bytes).is_ok_and(|accepted| accepted != Accepted::Disowned);
        if !believed {
            self.refused.push(name);
        }
        believed
    }
}

/// Plays a repository's steps. Tells where our verifier does not judge as is expected.
fn differences(repository: &Path, expected: &Expected) -> Vec<String> {
    let pinned = fs::read(repository.join("step1/1.root.json")).unwrap();
    let mut set = match TrustedSet::pin(&pinned) {
        Ok(set) => set,
        Err(rejection) => return vec![format!("{}: the pinned root is refused: {rejection}", repository.display())],
    };
    let (mut versions, mut in_use, mut differences) = (BTreeSet::new(), Vec::new(), Vec::new());
    for (number, Step { why, verdict }) in (1..).zip(&expected.steps) {
        let served = repository.join(format!("step{number}"));
        versions.extend(versions_in(&served));
        let mut update = Update { set: &mut set, served: &served, refused: Vec::new() };
        update.run();
        let observed = Verdict {
            refused: update.refused,
            trusted: verdict.trusted.keys().map(|role| (role.clone(), trusted(&set, role, &versions))).collect(),
            found: verdict.found.keys().map(|path| (path.clone(), found(&set, path))).collect(),
        };
        let situation = format!("{}, {why} ({})", served.display(), expected.why);
        if observed != *verdict {
            differences.push(format!("{situation}: {observed:#?} instead of {verdict:#?}"));
        }
        // A set stays in use until the next is complete, or its keys are revoked.
        if set.needs().is_empty() {
            in_use = listed(&verdict.found);
        }
        let targets: Vec<_> = set.targets().map(|(path, target)| (path.to_owned(), target.length)).collect();
        if targets != in_use && (set.complete().is_some() || set.needs().is_empty()) {
            differences.push(format!("{situation}: {targets:?} are in use instead of {in_use:?}"));
        }
    }
    differences
}

/// The versions in the names of files.
fn versions_in(served: &Path) -> Vec<u64> {
    let names = fs::read_dir(served).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.split_once('.')?.0.parse().ok()).collect()
}

/// The newest of these versions that is trusted of a role. One that is asked for is not, though it may still be in use.
fn trusted(set: &TrustedSet, role: &str, versions: &BTreeSet<u64>) -> Option<u64> {
    let role = Role::from_name(role);
    if role == Role::Timestamp {
        return set.timestamp_version();
    }
    let (needs, disowned) = (set.needs(), set.disowned());
    if disowned.contains(&role) {
        return None;
    }
    let is_needed = |version| needs.iter().any(|need| need.role == role && need.version == Some(version));
    let is_held = |version| set.metadata(&role, Some(version)).is_some();
    versions.iter().rev().copied().find(|version| is_held(*version) && !is_needed(*version))
}

fn found(set: &TrustedSet, path: &str) -> Option<TargetFile> {
    match set.resolve(path) {
        Resolution::File(file) => Some(file.clone()),
        Resolution::Nothing | Resolution::Needs(_) | Resolution::Broken(_) => None,
    }
}

/// Of what is found, what a complete set lists: it names every target by its SHA-256.
fn listed(found: &BTreeMap<String, Option<TargetFile>>) -> Vec<(String, u64)> {
    let files = found.iter().filter_map(|(path, file)| Some((path, file.as_ref()?)));
    files.filter(|(_, file)| file.sha256().is_some()).map(|(path, file)| (path.clone(), file.length)).collect()
}

/// The repositories that python-tuf signs, in a directory of their own.
fn signed_by_python_tuf() -> (TempDir, Vec<PathBuf>) {
    let room = TempDir::new().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/python_signs.py");
    // -B: nothing is written beside the script.
    let output = Command::new(python()).args(["-B", script]).arg(room.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut repositories: Vec<_> = fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    repositories.sort();
    (room, repositories)
}

fn expected(repository: &Path) -> Expected {
    serde_json::from_slice(&fs::read(repository.join("expect.json")).unwrap()).unwrap()
}

#[test]
fn what_python_tuf_signs_is_judged_as_the_specification_demands() {
    if !can_run(&[Need::PythonTuf]) {
        return;
    }
    let (_room, repositories) = signed_by_python_tuf();
    assert!(repositories.len() > 100, "only {} repositories", repositories.len());
    let differences: Vec<_> =
        repositories.iter().flat_map(|repository| differences(repository, &expected(repository))).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn a_flipped_byte_and_a_wrong_expectation_are_noticed() {
    if !can_run(&[Need::PythonTuf]) {
        return;
    }
    let (room, _) = signed_by_python_tuf();
    let repository = room.path().join("releases_followed");
    let right = expected(&repository);
    assert_eq!(differences(&repository, &right), [""; 0]);

    for step in 0..right.steps.len() {
        let noticed = |change: &dyn Fn(&mut Verdict)| {
            let mut wrong = right.clone();
            change(&mut wrong.steps[step].verdict);
            !differences(&repository, &wrong).is_empty()
        };
        assert!(noticed(&|verdict| verdict.refused.push("timestamp.json".to_owned())));
        for role in right.steps[step].verdict.trusted.keys() {
            for version in [None, Some(7)] {
                assert!(noticed(&|verdict| *verdict.trusted.get_mut(role).unwrap() = version), "{role}");
            }
        }
        for path in right.steps[step].verdict.found.keys() {
            assert!(noticed(&|verdict| *verdict.found.get_mut(path).unwrap() = None), "{path}");
            assert!(noticed(&|verdict| verdict.found.get_mut(path).unwrap().as_mut().unwrap().length += 1), "{path}");
        }
    }
    for file in fs::read_dir(repository.join("step1")).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&file).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        fs::write(&file, flipped).unwrap();
        assert!(!differences(&repository, &right).is_empty(), "{}", file.display());
        fs::write(&file, bytes).unwrap();
    }
}
