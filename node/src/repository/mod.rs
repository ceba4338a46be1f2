//! The repository: a plain directory that holds everything a publisher has published, and that any
//! static web server or USB stick can hold (`docs/repository.md` says its layout).
//!
//! [`Repository`] reads it: chunks from its [packs](pack), manifests, chunk lists. [`publish`]
//! writes it: [`capture`] walks a tree, [`cut`] reads its files, [`compress`] makes what is new
//! smaller, and [`pack_writer`] fills packs.
//! What is in `metadata/` alone decides what is released; nothing else here does.

pub mod capture;
pub mod comparison;
pub mod compress;
pub mod cut;
pub mod durable;
pub mod pack;
pub mod pack_writer;
pub mod publish;
mod xattrs;

use pack::Row;
use protocol::content::encoding::Encoding;
use protocol::content::name::TargetPath;
use protocol::id::{ChunkId, ChunkListId, ManifestId};
use protocol::limits::DOCUMENT_BYTES_MAX;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A pack's number in the memory of one [`Repository`].
type PackNumber = u32;

/// A repository on disk, with the index of its chunks in memory (about 60 bytes a chunk).
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
    /// Names of the packs that are whole. They are opened for each read, so that a repository of
    /// thousands of small packs needs no thousand open files.
    packs: Vec<String>,
    rows: HashMap<ChunkId, (PackNumber, Row)>,
    /// Held while this process may write.
    _lock: Option<File>,
}

/// A chunk in the form in which it is kept, and so can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// The form.
    pub encoding: Encoding,
    /// Length of the plain chunk in bytes.
    pub plain_bytes: u32,
    /// The chunk in that form.
    pub wire: Vec<u8>,
}

/// Why a directory cannot be used as a repository.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It has no `packs` directory.
    #[error("{0:?} is no repository; make one with `homeroom init {0:?}`")]
    NotRepository(PathBuf),
    /// Another process may write to it now.
    #[error("another process is publishing to {0:?}; wait until it has ended")]
    Locked(PathBuf),
    /// The disk said no.
    #[error("cannot use {path:?}, a part of the repository; look whether it is there and who may use it")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Why a chunk or a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("repository {repository:?} does not have {what}")]
    Missing {
        /// The repository.
        repository: PathBuf,
        /// The chunk or document.
        what: String,
    },
    /// The disk said no.
    #[error("cannot read {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file does not hold what it should.
    #[error("{path:?} is damaged; remove it and publish the release again")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Repository {
    /// Makes an empty repository, or what is missing of one.
    pub fn create(path: &Path) -> Result<(), OpenError> {
        for name in ["metadata", "manifests", "chunklists", "packs"] {
            let directory = path.join(name);
            durable::create_directory(&directory).map_err(|source| OpenError::Io { path: directory, source })?;
        }
        Ok(())
    }

    /// Opens a repository to read from it. Packs that are not whole are left out, with a warning.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.join("packs").is_dir() {
            return Err(OpenError::NotRepository(path.to_owned()));
        }
        let mut repository = Self { path: path.to_owned(), packs: Vec::new(), rows: HashMap::new(), _lock: None };
        repository.refresh()?;
        Ok(repository)
    }

    /// Opens a repository to publish into it, which one process can at a time.
    pub fn open_to_publish(path: &Path) -> Result<Self, OpenError> {
        let mut repository = Self::open(path)?;
        let lock = path.join(".lock");
        let io = |source| OpenError::Io { path: lock.clone(), source };
        let file = File::create(&lock).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(OpenError::Locked(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        repository._lock = Some(file);
        for name in ["chunklists", "packs"] {
            let directory = path.join(name);
            durable::remove_unfinished(&directory).map_err(|source| OpenError::Io { path: directory, source })?;
        }
        // Another process may have published between the first look and the lock.
        repository.refresh()?;
        Ok(repository)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes up the packs that have come since it was opened, as after another process published.
    pub fn refresh(&mut self) -> Result<(), OpenError> {
        let directory = self.path.join("packs");
        let io = |source| OpenError::Io { path: directory.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".pack")).map(str::to_owned));
        }
        names.sort_unstable();
        for name in names {
            if !self.packs.contains(&name) {
                match load(&directory, &name) {
                    Ok(Some(rows)) => self.take_up(name, rows),
                    Ok(None) => tracing::warn!(
                        "pack {:?} is not whole and is left out; publish its release again",
                        directory.join(&name)
                    ),
                    Err(source) => {
                        return Err(OpenError::Io { path: directory.join(format!("{name}.pack")), source });
                    }
                }
            }
        }
        Ok(())
    }

    fn take_up(&mut self, name: String, rows: Vec<Row>) {
        let number = PackNumber::try_from(self.packs.len()).expect("fewer than 2^32 packs fit on a disk");
        self.packs.push(name);
        for row in rows {
            self.rows.entry(row.chunk.id).or_insert((number, row));
        }
    }

    /// Whether it holds a chunk.
    pub fn has(&self, id: &ChunkId) -> bool {
        self.rows.contains_key(id)
    }

    /// How many chunks it holds.
    pub fn chunk_count(&self) -> usize {
        self.rows.len()
    }

    /// A chunk as it is kept. The pack's record is compared with the index; whether the bytes are
    /// right, whoever decodes them must check.
    pub fn read(&self, id: &ChunkId) -> Result<StoredChunk, ReadError> {
        let (number, row) = self
            .rows
            .get(id)
            .ok_or_else(|| ReadError::Missing { repository: self.path.clone(), what: format!("chunk {id}") })?;
        let path = self.path.join("packs").join(format!("{}.pack", self.packs[*number as usize]));
        let mut header = [0; pack::RECORD_HEADER_BYTES as usize];
        let mut wire = vec![0; row.wire_bytes as usize];
        let read = File::open(&path).and_then(|pack| {
            pack.read_exact_at(&mut header, row.offset.into())?;
            pack.read_exact_at(&mut wire, u64::from(row.offset + pack::RECORD_HEADER_BYTES))
        });
        read.map_err(|source| ReadError::Io { path: path.clone(), source })?;
        if header != row.header() {
            return Err(ReadError::Damaged { path });
        }
        Ok(StoredChunk { encoding: row.encoding, plain_bytes: row.chunk.bytes, wire })
    }

    /// Where a manifest stands: TUF's consistent-snapshot name of its target path.
    pub fn manifest_path(&self, target: &TargetPath, id: &ManifestId) -> PathBuf {
        let file = format!("{id}.{}_{}.manifest", target.name, target.version);
        self.path.join("manifests").join(target.channel.as_str()).join(file)
    }

    /// Where a chunk list stands.
    pub fn chunk_list_path(&self, id: &ChunkListId) -> PathBuf {
        self.path.join("chunklists").join(id.to_string())
    }

    /// The bytes of a manifest; they are its bytes, or an error says what is wrong.
    pub fn manifest(&self, target: &TargetPath, id: &ManifestId) -> Result<Vec<u8>, ReadError> {
        let path = self.manifest_path(target, id);
        let bytes = self.document(&path, || format!("manifest {id} of {target}"))?;
        if ManifestId::of(&bytes) == *id { Ok(bytes) } else { Err(ReadError::Damaged { path }) }
    }

    /// The bytes of a chunk list; they are its bytes, or an error says what is wrong.
    pub fn chunk_list(&self, id: &ChunkListId) -> Result<Vec<u8>, ReadError> {
        let path = self.chunk_list_path(id);
        let bytes = self.document(&path, || format!("chunk list {id}"))?;
        if ChunkListId::of(&bytes) == *id { Ok(bytes) } else { Err(ReadError::Damaged { path }) }
    }

    fn document(&self, path: &Path, what: impl Fn() -> String) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ReadError::Missing { repository: self.path.clone(), what: what() })
            }
            Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
        }
    }
}

/// The rows of a pack, from its index, or if that is missing or torn from the pack itself, in which
/// case the index is written again. Nothing if the pack is not whole.
fn load(directory: &Path, name: &str) -> io::Result<Option<Vec<Row>>> {
    let file = File::open(directory.join(format!("{name}.pack")))?;
    let index = directory.join(format!("{name}.idx"));
    let has_name = |bytes: &[u8]| blake3::hash(bytes).to_hex().as_str() == name;
    let rows = fs::read(&index).ok().filter(|bytes| has_name(bytes)).and_then(|bytes| pack::decode_index(&bytes));
    if let Some(rows) = rows {
        return Ok((file.metadata()?.len() == pack::pack_bytes(&rows)).then_some(rows));
    }
    let Some(mut rows) = pack::scan(&file)? else { return Ok(None) };
    let bytes = pack::encode_index(&mut rows);
    if !has_name(&bytes) {
        return Ok(None);
    }
    // On a medium that cannot be written the rows are as good without.
    if let Err(error) = durable::write(&index, &bytes) {
        tracing::debug!("cannot write {index:?} again: {error}");
    }
    Ok(Some(rows))
}
