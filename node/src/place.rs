//! Where a node keeps its bytes, and what it believes when it starts there: a device's home, or a seed's repository, with
//! the school beside it.

use crate::control::Control;
use crate::publisher::files;
use crate::repository::Repository;
use crate::school::{Clerk, check_is_school};
use crate::store::Store;
use crate::store::home::Home;
use anyhow::Context;
use protocol::chain::{Chain, Chains};
use protocol::content::version::Version;
use protocol::id::Signer;
use protocol::limits::TARGETS_BYTES_MAX;
use protocol::mesh::Role;
use protocol::policy::Policy;
use protocol::school::School;
use protocol::trust::{Role as MetadataRole, TrustedSet};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a node keeps its bytes in.
pub enum Place {
    /// A device's home.
    Home(Box<Home>),
    /// A seed's repository, and the school that says what its devices should run.
    Repository(Box<Repository>, Option<Clerk>),
}

/// A place, opened: what is there, and what its node believes.
pub struct Opened {
    /// What writes and reads.
    pub store: Store,
    /// What is believed.
    pub chains: Chains,
    /// What the node is for.
    pub role: Role,
    /// What a device takes.
    pub policy: Option<Policy>,
    /// The version that a device has applied.
    pub applied: Option<Version>,
    /// The `release_counter` below which a device does not go.
    pub floor: u64,
    /// Where a device is asked.
    pub control: Option<Control>,
    /// What a seed reads.
    pub origins: BTreeMap<Signer, Origin>,
    /// Who signs for the school.
    pub clerk: Option<Clerk>,
}

impl Place {
    /// Opens it.
    ///
    /// # Errors
    /// If something there cannot be used.
    pub fn open(self) -> anyhow::Result<Opened> {
        match self {
            Place::Home(home) => Ok(Opened {
                control: Some(
                    Control::open(&home.path).with_context(|| format!("cannot use {}", home.path.display()))?,
                ),
                chains: home.chains()?,
                role: Role::Device,
                policy: Some(home.state.policy()?),
                // A tree that something else laid there has no version, and holds nothing back.
                applied: home.deployment.current_version().and_then(|version| version.parse().ok()),
                floor: home.floor()?,
                store: Store::of_device(*home)?,
                origins: BTreeMap::new(),
                clerk: None,
            }),
            Place::Repository(repository, clerk) => {
                let (origin, publisher) = Origin::open(Signer::Publisher, repository.path())?;
                let mut origins = BTreeMap::from([(Signer::Publisher, origin)]);
                let mut school = None;
                if let Some(clerk) = &clerk {
                    check_is_school(clerk.school())?;
                    let (origin, chain) = Origin::open(Signer::School, clerk.school())?;
                    clerk.check_keys();
                    origins.insert(Signer::School, origin);
                    school = Some(Box::new(School::new(chain, None)));
                }
                Ok(Opened {
                    store: Store::of_seed(*repository)?,
                    chains: Chains { publisher, school },
                    role: Role::Seed,
                    policy: None,
                    applied: None,
                    floor: 0,
                    control: None,
                    origins,
                    clerk,
                })
            }
        }
    }
}

/// A repository's metadata, as the school's server reads it.
pub struct Origin {
    metadata: PathBuf,
    /// What the newest timestamp looked like when it was last read.
    seen: Option<(SystemTime, u64)>,
}

impl Origin {
    /// The static repository at `path`, and the chain that begins with its first root.
    fn open(signer: Signer, path: &Path) -> anyhow::Result<(Self, Chain)> {
        let metadata = path.join("metadata");
        let root = metadata.join("1.root.json");
        let bytes = std::fs::read(&root).with_context(|| format!("cannot read {}", root.display()))?;
        let trust = TrustedSet::pin(&bytes).with_context(|| format!("{} is no root", root.display()))?;
        Ok((Origin { metadata, seen: None }, Chain::new(signer, trust)))
    }

    /// Whether the signer has switched to a newer timestamp since it was last read.
    pub fn changed(&mut self) -> bool {
        let seen = self.look();
        seen.is_some() && seen != self.seen
    }

    /// A metadata file; nothing if there is none.
    pub fn read(&mut self, role: &MetadataRole, version: Option<u64>) -> Option<Vec<u8>> {
        if *role == MetadataRole::Timestamp {
            self.seen = self.look();
        }
        match files::read_file(&self.metadata.join(role.file_name(version)), TARGETS_BYTES_MAX) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                if !error.is_missing() {
                    tracing::warn!(
                        "{:#}; devices hear of nothing new before that is mended",
                        anyhow::Error::new(error)
                    );
                }
                None
            }
        }
    }

    fn look(&self) -> Option<(SystemTime, u64)> {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(self.metadata.join("timestamp.json")).ok()?;
        Some((file.modified().ok()?, file.ino()))
    }
}
