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
