//! The directory that a demo happens in: the repository, the laptops' homes, the trees it made.

use crate::deploy::remove_tree;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A device takes no release that would leave it less than about this.
const SPARE_BYTES: u64 = 128 * 1024 * 1024;

/// The directory of one demo. Unless it is to be kept, it goes when this is dropped.
pub struct WorkingDirectory {
    path: PathBuf,
    kept: bool,
}

/// Why a demo has no place to happen in.
#[derive(Debug, thiserror::Error)]
pub enum WorkingDirectoryError {
    /// It would become part of what is published.
    #[error("{} lies inside tree {}; choose another place, with --keep DIR or the variable TMPDIR", path.display(), tree.display())]
    InTree {
        /// The directory.
        path: PathBuf,
        /// The tree.
        tree: PathBuf,
    },
    /// Something of a person's is there.
    #[error("{} is not empty; name a new directory with --keep", .0.display())]
    NotEmpty(PathBuf),
    /// It cannot be made.
    #[error("cannot make {}; choose another place, with --keep DIR or the variable TMPDIR", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too little is free.
    #[error(
        "{} has too little room: {laptops} laptops and these trees need {} MB, and {} MB are free; \
         take fewer with --laptops, a smaller TREE, or another place with --keep DIR or the variable TMPDIR",
        path.display(), needed_bytes.div_ceil(1_000_000), free_bytes / 1_000_000
    )]
    DiskFull {
        /// The directory.
        path: PathBuf,
        /// Laptops of the demo.
        laptops: u64,
        /// What the demo takes at most.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
}

impl WorkingDirectory {
    /// Makes the directory to keep, or one of our own that nobody else may read; outside of the `trees`
    /// that are published.
    ///
    /// # Errors
    /// [`WorkingDirectoryError`].
    pub fn create(keep: Option<&Path>, trees: &[&Path]) -> Result<Self, WorkingDirectoryError> {
        let place = keep.map_or_else(std::env::temp_dir, Path::to_owned);
        if let Some(tree) = trees.iter().find(|tree| lies_inside(&place, tree)) {
            return Err(WorkingDirectoryError::InTree { path: place, tree: tree.to_path_buf() });
        }
        let path = keep.map_or_else(temporary_name, |keep| Ok(keep.to_owned()));
        let path = path.map_err(|source| WorkingDirectoryError::Create { path: std::env::temp_dir(), source })?;
        let of_path = |source| WorkingDirectoryError::Create { path: path.clone(), source };
        if keep.is_none() {
            DirBuilder::new().mode(0o700).create(&path).map_err(of_path)?;
        } else {
            std::fs::create_dir_all(&path).map_err(of_path)?;
            if std::fs::read_dir(&path).map_err(of_path)?.next().is_some() {
                return Err(WorkingDirectoryError::NotEmpty(path));
            }
        }
        // Processes of their own are started with these paths, and links lead there.
        let path = path.canonicalize().map_err(of_path)?;
        Ok(Self { path, kept: keep.is_some() })
    }

    /// Makes sure that a demo of so many laptops fits, which takes so many bytes at most.
    ///
    /// # Errors
    /// [`WorkingDirectoryError`].
    pub fn check_room(&self, laptops: u64, needed_bytes: u64) -> Result<(), WorkingDirectoryError> {
        let system = rustix::fs::statvfs(&self.path)
            .map_err(|error| WorkingDirectoryError::Create { path: self.path.clone(), source: error.into() })?;
        let free_bytes = system.f_bavail.saturating_mul(system.f_frsize);
        let needed_bytes = needed_bytes.saturating_add(SPARE_BYTES);
        if free_bytes >= needed_bytes {
            return Ok(());
        }
        Err(WorkingDirectoryError::DiskFull { path: self.path.clone(), laptops, needed_bytes, free_bytes })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// The school's repository.
    pub fn repository(&self) -> PathBuf {
        self.path.join("repo")
    }

    /// The home of laptop `number`, counted from 1.
    pub fn home(&self, number: usize) -> PathBuf {
        self.path.join(format!("laptop-{number}"))
    }

    /// A tree that the demo makes for release `number`, counted from 1.
    pub fn tree(&self, number: usize) -> PathBuf {
        self.path.join("trees").join(number.to_string())
    }
}

impl Drop for WorkingDirectory {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        eprintln!("removing {}", self.path.display());
        if let Err(error) = remove_tree(&self.path) {
            eprintln!("cannot remove {}: {error}; it is of no use any more, remove it yourself", self.path.display());
        }
    }
}

/// Whether `place`, which need not exist, is in `tree` or would be.
fn lies_inside(place: &Path, tree: &Path) -> bool {
    let Ok(place) = std::path::absolute(place) else { return false };
    let existing = place.ancestors().find_map(|above| above.canonicalize().ok());
    existing.zip(tree.canonicalize().ok()).is_some_and(|(existing, tree)| existing.starts_with(tree))
}

fn temporary_name() -> io::Result<PathBuf> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(std::env::temp_dir().join(format!("homeroom-demo-{}", hex::encode(random))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_with_something_in_it_is_refused_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("homework"), "mine").unwrap();
        let refused = WorkingDirectory::create(Some(place.path()), &[]);
        assert!(matches!(refused, Err(WorkingDirectoryError::NotEmpty(_))));
        assert_eq!(fs::read(place.path().join("homework")).unwrap(), b"mine");
    }

    #[test]
    fn nothing_is_made_in_the_tree_that_is_published() {
        let place = tempfile::tempdir().unwrap();
        let keep = place.path().join("a/b");
        let refused = WorkingDirectory::create(Some(&keep), &[place.path()]);
        assert!(matches!(refused, Err(WorkingDirectoryError::InTree { .. })));
        assert!(!place.path().join("a").exists());
        let beside = place.path().join("tree");
        fs::create_dir(&beside).unwrap();
        assert!(WorkingDirectory::create(Some(&keep), &[&beside]).is_ok());
    }

    #[test]
    fn what_is_kept_stays() {
        let place = tempfile::tempdir().unwrap();
        let keep = place.path().join("a/b");
        drop(WorkingDirectory::create(Some(&keep), &[]).unwrap());
        assert!(keep.is_dir());
    }

    #[test]
    fn what_is_not_kept_goes_though_modes_forbid_it() {
        let directory = WorkingDirectory::create(None, &[]).unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir_all(path.join("laptop-1/sealed")).unwrap();
        fs::write(path.join("laptop-1/sealed/file"), "x").unwrap();
        fs::set_permissions(path.join("laptop-1/sealed"), fs::Permissions::from_mode(0o555)).unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn no_disk_holds_everything() {
        let place = tempfile::tempdir().unwrap();
        let directory = WorkingDirectory::create(Some(&place.path().join("new")), &[]).unwrap();
        assert!(matches!(directory.check_room(8, u64::MAX), Err(WorkingDirectoryError::DiskFull { laptops: 8, .. })));
    }
}
