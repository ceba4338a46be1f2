//! Files that are either not there or whole, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ends the name of a file that is not finished. Whoever may write to a directory may remove those.
pub const UNFINISHED: &str = ".tmp";

/// Writes `bytes` to `path`, replacing what is there in one step, and returns once that would
/// survive a power cut. The directory must exist.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    publish(&unfinished, path)
}

/// Gives a finished and synced file its name, durably.
pub fn publish(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes a directory and those above it, durably.
pub fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
        _ => {}
    }
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a directory survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Where the bytes for `path` stand until they are whole. Each process has a name of its own: a server makes the index
/// of a pack that it finds without one, while the publisher is about to write it.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Removes what a writer that was killed has left unfinished in a directory.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/file");
        create_directory(path.parent().unwrap()).unwrap();
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("x.tmp"), b"half").unwrap();
        fs::write(home.path().join("y"), b"whole").unwrap();
        remove_unfinished(home.path()).unwrap();
        assert!(!home.path().join("x.tmp").exists() && home.path().join("y").exists());
    }
}
