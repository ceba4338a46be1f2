//! The judge of trees: rsync, which is not ours.

use std::path::Path;
use std::process::Command;

/// What rsync would have to change to make `actual` the same as `expected`, a line each; times of
/// directories alone are no difference. Times are compared to the nanosecond.
pub fn differences(expected: &Path, actual: &Path) -> Vec<String> {
    let slash = |path: &Path| format!("{}/", path.display());
    let output = Command::new("rsync")
        .args(["-aHXn", "--checksum", "--delete", "--itemize-changes", "--modify-window=-1"])
        .args([slash(expected), slash(actual)])
        .output()
        .expect("rsync judges the trees; install it");
    assert!(output.status.success(), "rsync failed: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter(|line| !line.starts_with(".d..t...... ")).map(str::to_owned).collect()
}

/// Panics unless two trees are the same by rsync's word.
#[track_caller]
pub fn assert_same(expected: &Path, actual: &Path) {
    let differences = differences(expected, actual);
    assert!(
        differences.is_empty(),
        "{} should be {}, and rsync would change:\n{}",
        actual.display(),
        expected.display(),
        differences.join("\n"),
    );
}

#[test]
fn the_judge_sees_every_kind_of_change_between_the_editions() {
    use super::needs::{Need, can_run};
    use super::trees::{Edition, odd};
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let [first, second] = [Edition::First, Edition::Second].map(|edition| {
        let tree = room.path().join(format!("{edition:?}"));
        odd(&tree, edition);
        tree
    });
    let differences = differences(&second, &first);
    // What rsync itemizes: content, mode, extended attributes, time, link target, kind, absence.
    for (mark, name) in [
        (">fc", "edited large"),
        (".f..t..", "sparse"),
        ("p", "mode changes"),
        ("x", "empty"),
        ("cLc", "moved link -> kept large"),
        ("cL+", "becomes a link -> many"),
        ("*deleting", "is removed"),
        (">f+", "is new"),
    ] {
        let is_seen = |line: &&String| line.ends_with(&format!(" {name}")) && line.contains(mark);
        assert!(differences.iter().any(|line| is_seen(&line)), "{mark} {name} is not among {differences:#?}");
    }
    assert_same(&first, &first);
}
