//! Open files of one tree: the most recently used few, so that a tree of any size needs few descriptors.

use super::directory::{Access, Directory};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;

/// Open files at most: chunks of one file mostly come together, and a process may have 1,024 descriptors.
const OPEN_FILES_MAX: usize = 128;

/// The open files, by the index of their entry.
#[derive(Debug)]
pub(super) struct Handles {
    access: Access,
    open: BTreeMap<u32, Handle>,
    uses: u64,
}

#[derive(Debug)]
struct Handle {
    file: File,
    last_use: u64,
}

impl Handles {
    pub fn new(access: Access) -> Self {
        Self { access, open: BTreeMap::new(), uses: 0 }
    }

    /// The file of `entry`, which stands at `path` beneath `root`.
    pub fn get(&mut self, root: &Directory, entry: u32, path: &[u8]) -> io::Result<&File> {
        self.uses += 1;
        if !self.open.contains_key(&entry) {
            let file = root.file(path, self.access)?;
            if self.open.len() >= OPEN_FILES_MAX {
                let oldest = self.open.iter().min_by_key(|(_, handle)| handle.last_use).map(|(entry, _)| *entry);
                oldest.and_then(|entry| self.open.remove(&entry));
            }
            self.open.insert(entry, Handle { file, last_use: 0 });
        }
        let handle = self.open.get_mut(&entry).expect("it is open now");
        handle.last_use = self.uses;
        Ok(&handle.file)
    }

    /// Closes all of them.
    pub fn close(&mut self) {
        self.open.clear();
    }
}
