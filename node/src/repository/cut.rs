//! Reads the files of a tree, cuts them and hashes what comes out, on several threads. Files are dealt
//! to the threads in turn and collected in turn, so chunks come out in the order of the tree, whatever
//! the number of threads. To publish a tree that the repository holds already is this and little else.

use super::capture::{CaptureError, Captured};
use protocol::content::chunker::Chunker;
use protocol::content::manifest::ChunkerParameters;
use protocol::id::{ChunkId, ChunkRef};
use protocol::trust::sign::SecretKey;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

/// Chunks that each thread may be ahead: at most 4 MiB, and enough small files to keep it busy while
/// another thread's file is collected.
const CHUNKS_AHEAD: usize = 16;

/// What is told of a file, in this order.
pub enum Cut {
    /// Its next chunk, with its plain bytes.
    Chunk(ChunkRef, Vec<u8>),
    /// There are no more. This is the BLAKE3 of all of them together.
    End([u8; 32]),
}

/// The threads that read. Dropping it ends them.
pub struct Cutter {
    threads: Vec<Receiver<Result<Cut, CaptureError>>>,
    files_ended: usize,
}

impl Cutter {
    /// Starts `threads` threads, which cut these regular `files` of the tree at `root`.
    pub fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        threads: usize,
        root: &'env Path,
        files: &'env [&'env Captured],
        own_keys: &'env BTreeSet<String>,
    ) -> Self {
        let threads = threads.max(1);
        let start = |first| {
            let (cuts, collected) = sync_channel(CHUNKS_AHEAD);
            scope.spawn(move || {
                let mut chunker = Chunker::new(ChunkerParameters::default());
                for file in files.iter().skip(first).step_by(threads) {
                    match cut_file(&mut chunker, root, file, own_keys, |cut| cuts.send(Ok(cut)).is_ok()) {
                        Ok(true) => {}
                        Ok(false) => break, // Nobody collects any more: the publish has failed.
                        Err(error) => {
                            let _ = cuts.send(Err(error));
                            break;
                        }
                    }
                }
            });
            collected
        };
        Self { threads: (0..threads).map(start).collect(), files_ended: 0 }
    }

    /// What is next. After the [`Cut::End`] of one file comes the next one, and after the last nothing may be asked.
    pub fn pop(&mut self) -> Result<Cut, CaptureError> {
        let thread = &self.threads[self.files_ended % self.threads.len()];
        let cut = thread.recv().expect("a thread tells of all its files unless it panics")?;
        self.files_ended += usize::from(matches!(cut, Cut::End(_)));
        Ok(cut)
    }
}

/// Reads one file to its end. Returns whether `tell` wanted all that there was.
fn cut_file(
    chunker: &mut Chunker,
    root: &Path,
    captured: &Captured,
    own_keys: &BTreeSet<String>,
    mut tell: impl FnMut(Cut) -> bool,
) -> Result<bool, CaptureError> {
    let file = captured.open(root)?;
    let mut whole = blake3::Hasher::new();
    for plain in chunker.chunks(&file) {
        let plain = plain.map_err(|source| file.error(source))?;
        if is_one_of(own_keys, &plain) {
            return Err(CaptureError::SecretKey(root.join(OsStr::from_bytes(&captured.path))));
        }
        whole.update(&plain);
        let bytes = u32::try_from(plain.len()).expect("the chunker's largest chunk is far below 4 GiB");
        if !tell(Cut::Chunk(ChunkRef { id: ChunkId::of(&plain), bytes }, plain)) {
            return Ok(false);
        }
    }
    file.still_as_captured()?;
    Ok(tell(Cut::End(*whole.finalize().as_bytes())))
}

/// Whether a file's first bytes are the secret half of one of these keys.
fn is_one_of(own_keys: &BTreeSet<String>, bytes: &[u8]) -> bool {
    let text = bytes.starts_with(b"-----BEGIN PRIVATE KEY").then(|| std::str::from_utf8(bytes).ok()).flatten();
    text.and_then(|text| SecretKey::from_pem(text).ok()).is_some_and(|key| own_keys.contains(&key.public().id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::capture;
    use std::fs;

    /// Seven files, of 0 to 1.8 MB.
    fn tree() -> (tempfile::TempDir, Vec<Vec<u8>>) {
        let tree = tempfile::tempdir().unwrap();
        let content = |name: u8| {
            let mut content = vec![0; 50_000 * usize::from(name) * usize::from(name)];
            blake3::Hasher::new().update(&[name]).finalize_xof().fill(&mut content);
            content
        };
        let contents: Vec<Vec<u8>> = (0..7).map(content).collect();
        contents
            .iter()
            .zip(0..)
            .for_each(|(content, name)| fs::write(tree.path().join(name.to_string()), content).unwrap());
        (tree, contents)
    }

    #[test]
    fn files_come_in_the_order_of_the_tree() {
        let (tree, contents) = tree();
        let captured = capture::walk(tree.path(), false).unwrap();
        let files: Vec<&Captured> = captured.iter().skip(1).collect();
        let none = BTreeSet::new();
        for threads in [0, 1, 3, 9] {
            std::thread::scope(|scope| {
                let mut cutter = Cutter::start(scope, threads, tree.path(), &files, &none);
                for content in &contents {
                    let mut collected = Vec::new();
                    let hash = loop {
                        match cutter.pop().unwrap() {
                            Cut::Chunk(chunk, plain) => {
                                assert_eq!((chunk.id, chunk.bytes as usize), (ChunkId::of(&plain), plain.len()));
                                collected.extend(plain);
                            }
                            Cut::End(hash) => break hash,
                        }
                    };
                    assert_eq!(collected, *content);
                    assert_eq!(hash, *blake3::hash(content).as_bytes());
                }
            });
        }
    }

    #[test]
    fn a_publish_that_stops_half_way_ends_its_threads() {
        let (tree, _) = tree();
        let captured = capture::walk(tree.path(), false).unwrap();
        let files: Vec<&Captured> = captured.iter().skip(1).collect();
        let none = BTreeSet::new();
        std::thread::scope(|scope| {
            let mut cutter = Cutter::start(scope, 2, tree.path(), &files, &none);
            assert!(matches!(cutter.pop(), Ok(Cut::End(_))));
        });
    }
}
