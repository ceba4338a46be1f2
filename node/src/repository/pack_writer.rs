//! Fills packs. A pack has its name, and so exists for readers, only when it is whole and on disk.

use super::Repository;
use super::durable;
use super::pack::{self, PACK_BYTES_MAX, PACK_MAGIC, RECORD_HEADER_BYTES, Row};
use protocol::content::encoding::Encoding;
use protocol::id::{ChunkId, ChunkRef};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// A pack is synced each time it has grown by so many bytes, while more is added. Then the disk is not idle
/// until the end, and the last sync, for which everybody waits, is short.
const SYNC_BYTES: u32 = 16 * 1024 * 1024;

/// Adds chunks to a repository. Its memory is a buffer and some 100 bytes for each chunk of the open pack.
pub struct PackWriter<'a> {
    repository: &'a mut Repository,
    open: Option<OpenPack>,
    pack_bytes_max: u32,
    written: Written,
}

/// What a [`PackWriter`] has added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Chunks that were not there before.
    pub chunks: u64,
    /// Their plain bytes.
    pub plain_bytes: u64,
    /// Their bytes as they are kept.
    pub wire_bytes: u64,
    /// Packs.
    pub packs: u64,
}

/// The pack could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {path:?}; look for free space and for the right to write there")]
pub struct PackError {
    path: PathBuf,
    source: io::Error,
}

struct OpenPack {
    path: PathBuf,
    file: BufWriter<File>,
    rows: Vec<Row>,
    ids: HashSet<ChunkId>,
    bytes: u32,
    /// Asks the thread beside to sync, and where that was last asked.
    syncs: SyncSender<()>,
    sync_asked_at: u32,
    syncing: JoinHandle<io::Result<()>>,
}

impl<'a> PackWriter<'a> {
    /// A writer to `repository`, which must have been opened to publish.
    pub fn new(repository: &'a mut Repository) -> Self {
        Self { repository, open: None, pack_bytes_max: PACK_BYTES_MAX, written: Written::default() }
    }

    /// Whether the repository holds a chunk, or will once the writer has finished.
    pub fn has(&self, id: &ChunkId) -> bool {
        self.repository.has(id) || self.open.as_ref().is_some_and(|open| open.ids.contains(id))
    }

    /// Adds a chunk in the form `encoding`, unless it is there already.
    pub fn add(&mut self, chunk: ChunkRef, encoding: Encoding, wire: &[u8]) -> Result<(), PackError> {
        if self.has(&chunk.id) {
            return Ok(());
        }
        let wire_bytes = u32::try_from(wire.len()).expect("a chunk's form is never longer than the chunk");
        let record_bytes = RECORD_HEADER_BYTES + wire_bytes;
        if self.open.as_ref().is_some_and(|open| open.bytes + record_bytes > self.pack_bytes_max) {
            self.close()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(OpenPack::create(&self.repository.path.join("packs"))?),
        };
        open.add(chunk, encoding, wire_bytes, wire)?;
        self.written.chunks += 1;
        self.written.plain_bytes += u64::from(chunk.bytes);
        self.written.wire_bytes += u64::from(wire_bytes);
        Ok(())
    }

    /// Makes all that was added durable and readable.
    pub fn finish(mut self) -> Result<Written, PackError> {
        self.close()?;
        Ok(self.written)
    }

    fn close(&mut self) -> Result<(), PackError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = open.path.clone();
        let closed = open.close(&self.repository.path.join("packs"));
        // On a full disk, where its last sync fails, it would take up room that is needed.
        let (name, rows) = closed.inspect_err(|_| drop(fs::remove_file(path)))?;
        self.repository.take_up(name, rows);
        self.written.packs += 1;
        self.write_list()
    }

    /// Writes the list of packs, for readers that cannot list a directory, as over HTTP.
    fn write_list(&self) -> Result<(), PackError> {
        let mut names = self.repository.packs.clone();
        names.sort_unstable();
        let path = self.repository.path.join("packs/list");
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        durable::write(&path, lines.as_bytes()).map_err(|source| PackError { path, source })
    }
}

/// A publish that failed leaves no half pack behind.
impl Drop for PackWriter<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take()
            && let Err(error) = fs::remove_file(&open.path)
        {
            tracing::warn!("cannot remove {:?}: {error}", open.path);
        }
    }
}

impl OpenPack {
    fn create(directory: &Path) -> Result<Self, PackError> {
        let path = durable::unfinished(&directory.join("new.pack"));
        let error = |source| PackError { path: path.clone(), source };
        let file = File::create(&path).map_err(error)?;
        let same_file = file.try_clone().map_err(error)?;
        let (syncs, asked) = sync_channel(1);
        let syncing = thread::spawn(move || asked.into_iter().try_for_each(|()| same_file.sync_data()));
        let file = BufWriter::with_capacity(1 << 20, file);
        let bytes = PACK_MAGIC.len() as u32;
        let (rows, ids) = (Vec::new(), HashSet::new());
        let mut open = Self { path, file, rows, ids, bytes, syncs, sync_asked_at: 0, syncing };
        open.write(&PACK_MAGIC)?;
        Ok(open)
    }

    /// Adds a chunk that it does not hold, at its end.
    fn add(&mut self, chunk: ChunkRef, encoding: Encoding, wire_bytes: u32, wire: &[u8]) -> Result<(), PackError> {
        let row = Row { chunk, encoding, offset: self.bytes, wire_bytes };
        self.write(&row.header())?;
        self.write(wire)?;
        self.bytes += RECORD_HEADER_BYTES + wire_bytes;
        self.ids.insert(chunk.id);
        self.rows.push(row);
        if self.bytes - self.sync_asked_at >= SYNC_BYTES {
            self.sync_asked_at = self.bytes;
            // A thread that is still at the one before, or has failed, is asked no more: see `close`.
            let _ = self.syncs.try_send(());
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.file.write_all(bytes).map_err(|source| PackError { path: self.path.clone(), source })
    }

    /// Syncs the pack, then names it by its index and writes that: at no moment is there an index
    /// whose pack is not on disk.
    fn close(mut self, directory: &Path) -> Result<(String, Vec<Row>), PackError> {
        let error = |path: &Path, source| PackError { path: path.to_owned(), source };
        drop(self.syncs);
        // The system tells a failed write to one sync alone, so the thread's word counts as much as the last sync's.
        let synced = self.syncing.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")));
        let synced = synced.and_then(|()| self.file.flush()).and_then(|()| self.file.get_ref().sync_data());
        synced.map_err(|source| error(&self.path, source))?;
        let index_bytes = pack::encode_index(&mut self.rows);
        let name = blake3::hash(&index_bytes).to_hex().to_string();
        let [pack, index] = ["pack", "idx"].map(|kind| directory.join(format!("{name}.{kind}")));
        durable::publish(&self.path, &pack).map_err(|source| error(&pack, source))?;
        durable::write(&index, &index_bytes).map_err(|source| error(&index, source))?;
        Ok((name, self.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::{OpenError, ReadError, StoredChunk};

    fn chunk(plain: &[u8]) -> ChunkRef {
        ChunkRef { id: ChunkId::of(plain), bytes: plain.len() as u32 }
    }

    /// A repository whose packs have room for two chunks of ten bytes.
    fn fill(home: &Path, plains: &[&[u8]]) -> Written {
        Repository::create(home).unwrap();
        let mut repository = Repository::open_to_publish(home).unwrap();
        let mut writer = PackWriter::new(&mut repository);
        writer.pack_bytes_max = 8 + 2 * 58;
        for plain in plains {
            writer.add(chunk(plain), Encoding::Raw, plain).unwrap();
        }
        writer.finish().unwrap()
    }

    const PLAINS: [&[u8]; 3] = [b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"];

    fn files(home: &Path, ending: &str) -> Vec<PathBuf> {
        let paths = fs::read_dir(home.join("packs")).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    }

    #[track_caller]
    fn assert_holds(home: &Path, plains: &[&[u8]]) {
        let repository = Repository::open(home).unwrap();
        assert_eq!(repository.chunk_count(), plains.len());
        for plain in plains {
            let expected = StoredChunk { encoding: Encoding::Raw, plain_bytes: 10, wire: plain.to_vec() };
            assert_eq!(repository.read(&ChunkId::of(plain)).unwrap(), expected);
        }
    }

    #[test]
    fn chunks_are_read_back_from_several_packs() {
        let home = tempfile::tempdir().unwrap();
        let written = fill(home.path(), &PLAINS);
        assert_eq!(written, Written { chunks: 3, plain_bytes: 30, wire_bytes: 30, packs: 2 });
        assert_holds(home.path(), &PLAINS);
        let list = fs::read_to_string(home.path().join("packs/list")).unwrap();
        assert_eq!(list.lines().count(), 2);
        assert!(list.lines().all(|name| home.path().join(format!("packs/{name}.idx")).exists()));
    }

    #[test]
    fn a_pack_that_was_synced_while_it_grew_is_whole() {
        let home = tempfile::tempdir().unwrap();
        let plains: Vec<Vec<u8>> = (0..3 * SYNC_BYTES / 500_000).map(|at| vec![at as u8; 250_000]).collect();
        Repository::create(home.path()).unwrap();
        let mut repository = Repository::open_to_publish(home.path()).unwrap();
        let mut writer = PackWriter::new(&mut repository);
        for plain in &plains {
            writer.add(chunk(plain), Encoding::Raw, plain).unwrap();
        }
        assert_eq!(writer.finish().unwrap().packs, 1);
        let repository = Repository::open(home.path()).unwrap();
        for plain in &plains {
            assert_eq!(repository.read(&ChunkId::of(plain)).unwrap().wire, *plain);
        }
    }

    #[test]
    fn a_chunk_that_is_there_is_not_written_again() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path(), &PLAINS);
        assert_eq!(fill(home.path(), &PLAINS), Written::default());
        assert_eq!(fill(home.path(), &[PLAINS[0], b"new one!!!", b"new one!!!"]).chunks, 1);
    }

    #[test]
    fn a_missing_or_torn_index_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path(), &PLAINS);
        let indexes = files(home.path(), ".idx");
        let whole = fs::read(&indexes[1]).unwrap();
        fs::remove_file(&indexes[0]).unwrap();
        fs::write(&indexes[1], &whole[..whole.len() - 20]).unwrap();
        assert_holds(home.path(), &PLAINS);
        assert!(indexes[0].exists());
        assert_eq!(fs::read(&indexes[1]).unwrap(), whole);
    }

    #[test]
    fn a_torn_pack_is_left_out_and_publishing_again_heals_it() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path(), &PLAINS[..2]);
        let pack = files(home.path(), ".pack").remove(0);
        let whole = fs::read(&pack).unwrap();
        for without_index in [false, true] {
            fs::write(&pack, &whole[..whole.len() - 1]).unwrap();
            if without_index {
                fs::remove_file(files(home.path(), ".idx").remove(0)).unwrap();
            }
            assert_holds(home.path(), &[]);
            fill(home.path(), &PLAINS[..2]);
            assert_holds(home.path(), &PLAINS[..2]);
        }
    }

    #[test]
    fn a_record_that_is_not_what_the_index_says_is_damage() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path(), &PLAINS[..1]);
        let repository = Repository::open(home.path()).unwrap();
        let pack = files(home.path(), ".pack").remove(0);
        let mut bytes = fs::read(&pack).unwrap();
        bytes[8 + 20] ^= 1;
        fs::write(&pack, bytes).unwrap();
        let error = repository.read(&ChunkId::of(PLAINS[0])).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { path } if path == pack));
    }

    #[test]
    fn a_publish_that_fails_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        Repository::create(home.path()).unwrap();
        let mut repository = Repository::open_to_publish(home.path()).unwrap();
        let mut writer = PackWriter::new(&mut repository);
        writer.add(chunk(PLAINS[0]), Encoding::Raw, PLAINS[0]).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(home.path().join("packs")).unwrap().count(), 0);
    }

    #[test]
    fn two_publishers_at_once_are_kept_apart() {
        let home = tempfile::tempdir().unwrap();
        Repository::create(home.path()).unwrap();
        let first = Repository::open_to_publish(home.path()).unwrap();
        assert!(matches!(Repository::open_to_publish(home.path()), Err(OpenError::Locked(_))));
        assert!(Repository::open(home.path()).is_ok());
        drop(first);
        assert!(Repository::open_to_publish(home.path()).is_ok());
    }

    #[test]
    fn a_reader_takes_up_what_was_published_since() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path(), &PLAINS[..1]);
        let mut reader = Repository::open(home.path()).unwrap();
        fill(home.path(), &PLAINS[1..]);
        assert!(!reader.has(&ChunkId::of(PLAINS[2])));
        reader.refresh().unwrap();
        assert!(reader.has(&ChunkId::of(PLAINS[2])));
    }

    #[test]
    fn a_directory_that_is_no_repository_is_named() {
        let home = tempfile::tempdir().unwrap();
        let error = Repository::open(home.path()).unwrap_err();
        assert!(matches!(&error, OpenError::NotRepository(path) if path == home.path()));
        assert!(error.to_string().contains("homeroom init"));
    }
}
