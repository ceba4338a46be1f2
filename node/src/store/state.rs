//! What a device remembers across restarts beside its trees, in one SQLite file. The only place that
//! names rusqlite.
//!
//! `synchronous=FULL`: what a caller was told is saved survives a power cut. Only the node's store
//! thread holds it.

use protocol::bitmap::Bitmap;
use protocol::id::{ManifestId, Signer};
use protocol::policy::Policy;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The home format that this program writes.
const FORMAT: u32 = 2;

const SCHEMA: &str = "
    CREATE TABLE enrolment (only INTEGER PRIMARY KEY CHECK (only = 1), channel TEXT NOT NULL, maturity TEXT NOT NULL,
        test_ring INTEGER NOT NULL, hardware TEXT, floor INTEGER NOT NULL DEFAULT 0);
    -- The school that it has joined, if any.
    CREATE TABLE membership (only INTEGER PRIMARY KEY CHECK (only = 1), group_name TEXT NOT NULL);
    CREATE TABLE trust (signer TEXT NOT NULL, name TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (signer, name)) WITHOUT ROWID;
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
    /// An older program has been here.
    #[error("{} was made by an earlier homeroom, in home format {found}; move its state.sqlite away and enroll again: the trees stay", home.display())]
    OlderFormat {
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
    /// What it says of the device's policy is none.
    #[error("what {} says of what the device takes is no policy; it is damaged: remove it and enroll again, the trees stay", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
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
    pub fn create(home: &Path, policy: &Policy, trust: &[(String, Arc<[u8]>)]) -> Result<(), StateError> {
        let path = home.join(Self::FILE);
        let mut state = Self::connect(&path)?;
        if state.format()? != 0 {
            return Err(StateError::AlreadyEnrolled(home.to_owned()));
        }
        let created = (|| {
            let transaction = state.database.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            let Policy { channel, maturity, test_ring, hardware } = policy;
            let hardware = hardware.as_ref().map(ToString::to_string);
            let row = params![channel.as_str(), maturity.to_string(), test_ring, hardware];
            transaction.execute("INSERT INTO enrolment VALUES (1, ?1, ?2, ?3, ?4, 0)", row)?;
            replace_trust(&transaction, Signer::Publisher, trust)?;
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
            found if found < FORMAT => Err(StateError::OlderFormat { home: home.to_owned(), found }),
            found => Err(StateError::NewerFormat { home: home.to_owned(), found }),
        }
    }

    /// What the device takes.
    pub fn policy(&self) -> Result<Policy, StateError> {
        type Row = (String, String, bool, Option<String>);
        let columns = "SELECT channel, maturity, test_ring, hardware FROM enrolment";
        let row = self.database.query_row(columns, [], |row| Row::try_from(row));
        let (channel, maturity, test_ring, hardware) = self.told(row)?;
        let read = || {
            let hardware = hardware.map(|text| text.parse()).transpose()?;
            Ok(Policy { channel: channel.parse()?, maturity: maturity.parse()?, test_ring, hardware })
        };
        read().map_err(|source| StateError::Policy { path: self.path.clone(), source })
    }

    /// The `release_counter` below which the device does not go.
    pub fn floor(&self) -> Result<u64, StateError> {
        // SQLite's numbers have a sign, and these are only compared when read back.
        let floor: i64 = self.told(self.database.query_row("SELECT floor FROM enrolment", [], |row| row.get(0)))?;
        Ok(floor.cast_unsigned())
    }

    /// Remembers a higher one.
    pub fn save_floor(&mut self, floor: u64) -> Result<(), StateError> {
        let saved = self.database.execute("UPDATE enrolment SET floor = ?1", [floor.cast_signed()]);
        self.told(saved.map(|_| ()))
    }

    /// The group in the school that it has joined, if any.
    pub fn group(&self) -> Result<Option<String>, StateError> {
        let row = self.database.query_row("SELECT group_name FROM membership", [], |row| row.get(0)).optional();
        self.told(row)
    }

    /// Joins a school, or moves to another of its groups, in one transaction.
    pub fn join(&mut self, group: &str, trust: &[(String, Arc<[u8]>)]) -> Result<(), StateError> {
        let joined = (|| {
            let transaction = self.database.transaction()?;
            transaction.execute("INSERT OR REPLACE INTO membership VALUES (1, ?1)", [group])?;
            replace_trust(&transaction, Signer::School, trust)?;
            transaction.commit()
        })();
        self.told(joined)
    }

    /// Leaves the school.
    pub fn leave(&mut self) -> Result<(), StateError> {
        let left = (|| {
            let transaction = self.database.transaction()?;
            transaction.execute("DELETE FROM membership", [])?;
            replace_trust(&transaction, Signer::School, &[])?;
            transaction.commit()
        })();
        self.told(left)
    }

    /// What is saved of a signer's chain, by name.
    pub fn trust(&self, signer: Signer) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let files = (|| {
            let mut query = self.database.prepare("SELECT name, bytes FROM trust WHERE signer = ?1 ORDER BY name")?;
            query.query_map([signer.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })();
        self.told(files)
    }

    /// Replaces what is saved of a signer's chain, all at once.
    pub fn save_trust(&mut self, signer: Signer, files: &[(String, Arc<[u8]>)]) -> Result<(), StateError> {
        let saved = (|| {
            let transaction = self.database.transaction()?;
            replace_trust(&transaction, signer, files)?;
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

fn replace_trust(
    transaction: &rusqlite::Transaction,
    signer: Signer,
    files: &[(String, Arc<[u8]>)],
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM trust WHERE signer = ?1", [signer.to_string()])?;
    let mut insert = transaction.prepare("INSERT INTO trust VALUES (?1, ?2, ?3)")?;
    let signer = signer.to_string();
    files.iter().try_for_each(|(name, bytes)| insert.execute(params![signer, name, &bytes[..]]).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::content::version::Maturity;

    fn policy(channel: &str) -> Policy {
        Policy::new(channel.parse().unwrap())
    }

    #[test]
    fn a_home_remembers_what_it_was_told() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(State::open(home.path()), Err(StateError::NotEnrolled(_))));
        let maturity = Maturity::Rc;
        let tester = Policy { maturity, test_ring: true, hardware: Some("xo-4".parse().unwrap()), ..policy("stable") };
        State::create(home.path(), &tester, &[("1.root.json".into(), b"root".as_slice().into())]).unwrap();
        assert!(matches!(State::create(home.path(), &policy("beta"), &[]), Err(StateError::AlreadyEnrolled(_))));

        let mut state = State::open(home.path()).unwrap();
        let release = ManifestId([1; 32]);
        let mut held = Bitmap::new(70);
        held.insert(69);
        state.save_held(release, &held).unwrap();
        state.save_trust(Signer::Publisher, &[("timestamp.json".into(), b"t".as_slice().into())]).unwrap();
        state.join("class-4", &[("1.root.json".into(), b"school".as_slice().into())]).unwrap();
        drop(state);

        let mut state = State::open(home.path()).unwrap();
        assert_eq!(state.policy().unwrap(), tester);
        assert_eq!(state.trust(Signer::Publisher).unwrap(), [("timestamp.json".to_owned(), b"t".to_vec())]);
        assert_eq!(state.group().unwrap().as_deref(), Some("class-4"));
        assert_eq!(state.trust(Signer::School).unwrap(), [("1.root.json".to_owned(), b"school".to_vec())]);
        state.leave().unwrap();
        assert_eq!((state.group().unwrap(), state.trust(Signer::School).unwrap().len()), (None, 0));
        assert_eq!(state.trust(Signer::Publisher).unwrap().len(), 1);
        assert_eq!(state.held(release).unwrap(), Some(held));
        state.forget_held_except(ManifestId([2; 32])).unwrap();
        assert_eq!(state.held(release).unwrap(), None);
    }

    #[test]
    fn a_home_of_a_newer_format_is_refused() {
        let home = tempfile::tempdir().unwrap();
        State::create(home.path(), &policy("stable"), &[]).unwrap();
        assert_eq!(State::open(home.path()).unwrap().policy().unwrap(), policy("stable"));
        Connection::open(home.path().join(State::FILE)).unwrap().pragma_update(None, "user_version", 3).unwrap();
        assert!(matches!(State::open(home.path()), Err(StateError::NewerFormat { found: 3, .. })));
        Connection::open(home.path().join(State::FILE)).unwrap().pragma_update(None, "user_version", 1).unwrap();
        assert!(matches!(State::open(home.path()), Err(StateError::OlderFormat { found: 1, .. })));
    }
}
