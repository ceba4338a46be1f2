//! What a device remembers across restarts beside its trees, in one SQLite file. The only place that
//! names rusqlite.
//!
//! `synchronous=FULL`: what a caller was told is saved survives a power cut. Only the node's store
//! thread holds it.

use protocol::bitmap::Bitmap;
use protocol::id::ManifestId;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The home format that this program writes.
const FORMAT: u32 = 1;

const SCHEMA: &str = "
    CREATE TABLE enrolment (only INTEGER PRIMARY KEY CHECK (only = 1), channel TEXT NOT NULL);
    CREATE TABLE trust (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
    -- Which chunks of a staged release are in place and durable, a bit each.
    CREATE TABLE held (release BLOB PRIMARY KEY, chunks INTEGER NOT NULL, bits BLOB NOT NULL) WITHOUT ROWID;
";

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no state here.
    #[error("{} is not enrolled; run: homeroom enroll --home {} --root ROOT.json --channel CHANNEL", .0.display(), .0.display())]
    NotEnrolled(PathBuf),
    /// There is one already.
    #[error("{} is enrolled already; choose another home, or remove it to start anew", .0.display())]
    AlreadyEnrolled(PathBuf),
    /// A newer program has been here.
    #[error("{} has home format {found}, and this homeroom knows {FORMAT}; use the newer homeroom", home.display())]
    NewerFormat {
        /// The home.
        home: PathBuf,
        /// Its format.
        found: u32,
    },
    /// SQLite refused.
    #[error("cannot use {}; make room and see that it may be written, or, if it is damaged, remove it and enroll again: the trees stay", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

/// A device's memory.
pub struct State {
    database: Connection,
    path: PathBuf,
}

impl State {
    /// The file's name in a home.
    pub const FILE: &str = "state.sqlite";

    /// Makes the state of a home that has none, in one transaction.
    pub fn create(home: &Path, channel: &str, trust: &[(String, Arc<[u8]>)]) -> Result<(), StateError> {
        let path = home.join(Self::FILE);
        let mut state = Self::connect(&path)?;
        if state.format()? != 0 {
            return Err(StateError::AlreadyEnrolled(home.to_owned()));
        }
        let created = (|| {
            let transaction = state.database.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("INSERT INTO enrolment VALUES (1, ?1)", [channel])?;
            insert_trust(&transaction, trust)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
            transaction.commit()
        })();
        created.map_err(|source| StateError::Database { path, source })
    }

    /// The state of an enrolled home.
    pub fn open(home: &Path) -> Result<Self, StateError> {
        let path = home.join(Self::FILE);
        if !path.exists() {
            return Err(StateError::NotEnrolled(home.to_owned()));
        }
        let state = Self::connect(&path)?;
        match state.format()? {
            FORMAT => Ok(state),
            0 => Err(StateError::NotEnrolled(home.to_owned())),
            found => Err(StateError::NewerFormat { home: home.to_owned(), found }),
        }
    }

    /// The channel that the device follows.
    pub fn channel(&self) -> Result<String, StateError> {
        self.told(self.database.query_row("SELECT channel FROM enrolment", [], |row| row.get(0)))
    }

    /// The trusted metadata files.
    pub fn trust(&self) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let files = (|| {
            let mut query = self.database.prepare("SELECT name, bytes FROM trust ORDER BY name")?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })();
        self.told(files)
    }

    /// Replaces the trusted metadata files, all at once.
    pub fn save_trust(&mut self, files: &[(String, Arc<[u8]>)]) -> Result<(), StateError> {
        let saved = (|| {
            let transaction = self.database.transaction()?;
            transaction.execute("DELETE FROM trust", [])?;
            insert_trust(&transaction, files)?;
            transaction.commit()
        })();
        self.told(saved)
    }

    /// Which chunks of a staged release are durable; nothing if none was recorded.
    pub fn held(&self, release: ManifestId) -> Result<Option<Bitmap>, StateError> {
        let row = self
            .database
            .query_row("SELECT chunks, bits FROM held WHERE release = ?1", [release.0], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .optional();
        Ok(self.told(row)?.and_then(|(chunks, bits)| Bitmap::from_bytes(chunks, &bits)))
    }

    /// Records which chunks of a staged release are durable.
    pub fn save_held(&mut self, release: ManifestId, held: &Bitmap) -> Result<(), StateError> {
        let row = params![release.0, held.len(), held.to_bytes()];
        let saved = self.database.execute("INSERT OR REPLACE INTO held VALUES (?1, ?2, ?3)", row);
        self.told(saved.map(|_| ()))
    }

    /// Forgets all staged releases but one.
    pub fn forget_held_except(&mut self, release: ManifestId) -> Result<(), StateError> {
        let forgotten = self.database.execute("DELETE FROM held WHERE release <> ?1", [release.0]);
        self.told(forgotten.map(|_| ()))
    }

    fn connect(path: &Path) -> Result<Self, StateError> {
        let connected = (|| {
            let database = Connection::open(path)?;
            database.pragma_update(None, "journal_mode", "WAL")?;
            database.pragma_update(None, "synchronous", "FULL")?;
            Ok(database)
        })();
        match connected {
            Ok(database) => Ok(Self { database, path: path.to_owned() }),
            Err(source) => Err(StateError::Database { path: path.to_owned(), source }),
        }
    }

    fn format(&self) -> Result<u32, StateError> {
        self.told(self.database.query_row("PRAGMA user_version", [], |row| row.get(0)))
    }

    fn told<T>(&self, result: rusqlite::Result<T>) -> Result<T, StateError> {
        result.map_err(|source| StateError::Database { path: self.path.clone(), source })
    }
}

fn insert_trust(transaction: &rusqlite::Transaction, files: &[(String, Arc<[u8]>)]) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO trust VALUES (?1, ?2)")?;
    files.iter().try_for_each(|(name, bytes)| insert.execute(params![name, &bytes[..]]).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_remembers_what_it_was_told() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(State::open(home.path()), Err(StateError::NotEnrolled(_))));
        State::create(home.path(), "stable", &[("1.root.json".into(), b"root".as_slice().into())]).unwrap();
        assert!(matches!(State::create(home.path(), "beta", &[]), Err(StateError::AlreadyEnrolled(_))));

        let mut state = State::open(home.path()).unwrap();
        let release = ManifestId([1; 32]);
        let mut held = Bitmap::new(70);
        held.insert(69);
        state.save_held(release, &held).unwrap();
        state.save_trust(&[("timestamp.json".into(), b"t".as_slice().into())]).unwrap();
        drop(state);

        let mut state = State::open(home.path()).unwrap();
        assert_eq!(state.channel().unwrap(), "stable");
        assert_eq!(state.trust().unwrap(), [("timestamp.json".to_owned(), b"t".to_vec())]);
        assert_eq!(state.held(release).unwrap(), Some(held));
        state.forget_held_except(ManifestId([2; 32])).unwrap();
        assert_eq!(state.held(release).unwrap(), None);
    }

    #[test]
    fn a_home_of_a_newer_format_is_refused() {
        let home = tempfile::tempdir().unwrap();
        State::create(home.path(), "stable", &[]).unwrap();
        Connection::open(home.path().join(State::FILE)).unwrap().pragma_update(None, "user_version", 2).unwrap();
        assert!(matches!(State::open(home.path()), Err(StateError::NewerFormat { found: 2, .. })));
    }
}
