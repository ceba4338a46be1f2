//! The files of the workspace, as they lie on disk.

use std::fs;
use std::path::{Path, PathBuf};

/// A file as text.
pub struct File {
    /// Where it is, from the workspace's root.
    pub path: String,
    /// What is in it; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// The workspace's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a folder of the workspace").to_owned()
}

/// The file at a path from the root.
pub fn file(path: &str) -> File {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    File { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() }
}

/// All files whose names end in this extension.
pub fn files(extension: &str) -> Vec<File> {
    let wanted = |path: &&String| Path::new(path).extension().is_some_and(|found| found == extension);
    paths().iter().filter(wanted).map(|path| file(path)).collect()
}

/// All files but what cargo and git keep for themselves.
pub fn all_files() -> Vec<File> {
    paths().iter().map(|path| file(path)).collect()
}

fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
        for entry in entries {
            let entry = entry.expect("a folder can be read to its end");
            let kind = entry.file_type().expect("a folder tells what is in it");
            if kind.is_dir() && ![".git", "target"].contains(&entry.file_name().to_string_lossy().as_ref()) {
                folders.push(entry.path());
            } else if kind.is_file() && entry.file_name() != ".git" {
                let path = entry.path().strip_prefix(root()).expect("beneath the root").to_owned();
                paths.push(path.to_string_lossy().into_owned());
            }
        }
    }
    assert!(paths.len() > 100, "the workspace was not found: only {} files", paths.len());
    paths.sort();
    paths
}
