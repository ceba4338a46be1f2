//! Metadata files on the publisher's disk: read through the eyes of a device, and changed by one
//! atomic switch.
//!
//! Files have versioned names and are never changed, but `timestamp.json`, which names the newest of
//! them. It is replaced last, by one rename, so that a power cut at any moment leaves either the old
//! release served or the new one.

use crate::repository::durable;
use protocol::limits;
use protocol::trust::{Accepted, Need, Rejection, Role, TrustedSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
pub struct FileError {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Why a repository's metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("{} is no repository: it has no metadata/1.root.json; make one with: homeroom init", path.display())]
    NoRepository {
        /// The directory.
        path: PathBuf,
    },
    /// A file is missing or unreadable.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what it must be.
    #[error("{} is spoiled or belongs to another repository; restore it from a copy", path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Rejection,
    },
}

/// Reads a repository's metadata as a device would, from root version 1 to the newest complete set.
pub fn read(repo: &Path) -> Result<TrustedSet, ReadError> {
    read_below(repo, u64::MAX)
}

/// The same, as it was before the root of this version.
pub fn read_below(repo: &Path, root_version: u64) -> Result<TrustedSet, ReadError> {
    let directory = repo.join("metadata");
    let mut path = directory.join(Role::Root.file_name(Some(1)));
    let first = read_file(&path, limits::ROOT_BYTES_MAX).map_err(|error| match error.source.kind() {
        io::ErrorKind::NotFound => ReadError::NoRepository { path: repo.to_owned() },
        _ => ReadError::File(error),
    })?;
    let mut set = TrustedSet::pin(&first).map_err(|source| ReadError::Rejected { path: path.clone(), source })?;
    while set.root().version + 1 < root_version {
        path = directory.join(Role::Root.file_name(Some(set.root().version + 1)));
        let bytes = match read_file(&path, limits::ROOT_BYTES_MAX) {
            Err(error) if error.is_missing() => break,
            read => read?,
        };
        match set.offer(&Role::Root, &bytes).map_err(|source| ReadError::Rejected { path, source })? {
            // A root that was there before is as good as none: nothing comes after it.
            Accepted::AlreadyKnown => break,
            Accepted::New | Accepted::Disowned => {}
        }
    }
    while let Some(Need { role, version, bytes_max }) = set.needs().into_iter().next() {
        let path = directory.join(role.file_name(version));
        let bytes = read_file(&path, bytes_max)?;
        set.offer(&role, &bytes).map_err(|source| ReadError::Rejected { path, source })?;
    }
    Ok(set)
}

/// A file with its role and, but for the timestamp, the version in its name.
pub type SignedFile = (Role, Option<u64>, Vec<u8>);

/// Writes the files in order; the last, `timestamp.json`, puts all of them in use at once.
pub fn write_release(directory: &Path, files: &[SignedFile]) -> Result<(), FileError> {
    durable::create_directory(directory).map_err(|source| file_error("create", directory, source))?;
    for (role, version, bytes) in files {
        let path = directory.join(role.file_name(*version));
        // What an earlier publish that was cut short has left is replaced: no timestamp ever named it.
        durable::write(&path, bytes).map_err(|source| file_error("write", &path, source))?;
    }
    Ok(())
}

/// Reads a metadata file; more than `bytes_max` is no such file.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    // One byte more than is lawful, so that a longer file is refused and not read as a shorter one.
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    read.map_err(|source| file_error("read", path, source))?;
    Ok(bytes)
}

/// An error that names the file.
pub fn file_error(act: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::office::Office;
    use std::fs;

    #[test]
    fn the_root_stands_there_a_second_time_as_the_next_one() {
        let office = Office::new();
        office.list("os/x_1.manifest").unwrap();
        fs::copy(office.file("1.root.json"), office.file("2.root.json")).unwrap();
        assert_eq!(office.served().root().version, 1);
        assert_eq!(office.paths(), ["os/x_1.manifest"]);
    }
}
