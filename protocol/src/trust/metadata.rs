//! The four kinds of metadata file, typed as TUF 1.0.34 defines them.
//!
//! Fields that are not named here are legal: the signature covers them, because it is over the whole
//! strict reading, and then they are ignored.

use super::date::Date;
use super::envelope::{Body, MetadataError};
use super::key::Key;
use super::role::{Role, check_delegated_name};
use super::verify::Warrant;
use crate::limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use std::collections::{BTreeMap, BTreeSet};

/// Keys that may sign for a role, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Ids of keys in the table beside it.
    pub keyids: Vec<String>,
    /// How many distinct keys must have signed.
    pub threshold: u64,
}

/// Who may sign as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Whether files have versioned names: always, in Homeroom's own repositories.
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// Keys by id.
    pub keys: BTreeMap<String, Key>,
    /// The four top-level roles by name.
    pub roles: BTreeMap<String, Authority>,
}

/// Which snapshot is the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// The one entry `snapshot.json`.
    pub meta: BTreeMap<String, FileMeta>,
    /// When it was signed: no clock that shows less is right. A field of ours, which other TUF
    /// programs skip.
    #[serde(rename = "x-signed-at", default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Date>,
}

/// Which version of every targets file belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `targets.json` and one entry for each delegated role.
    pub meta: BTreeMap<String, FileMeta>,
}

/// One version of a metadata file. Ours always state length and hash, so that a file from a peer is
/// refused before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// The version.
    pub version: u64,
    /// Length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Hexadecimal digests by algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<BTreeMap<String, String>>,
}

/// What is genuine: files by path, and who else may name some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// Target files by path.
    pub targets: BTreeMap<String, TargetFile>,
    /// Roles that may name further targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

/// A target file as metadata states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Length in bytes.
    pub length: u64,
    /// Hexadecimal digests by algorithm.
    pub hashes: BTreeMap<String, String>,
    /// Whatever the publisher adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<serde_json::Value>,
}

/// Roles that a targets file trusts for some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    /// Keys by id.
    pub keys: BTreeMap<String, Key>,
    /// The roles, the most trusted first.
    #[serde(default)]
    pub roles: Vec<DelegatedRole>,
    /// TAP 15, which this code does not follow: its presence is refused, not skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succinct_roles: Option<serde_json::Value>,
}

/// A role that may name targets at some paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name.
    pub name: String,
    /// Who may sign for it.
    #[serde(flatten)]
    pub authority: Authority,
    /// Whether the search for a path that is its own ends with it.
    pub terminating: bool,
    /// Patterns of the paths it may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Or: how the hexadecimal SHA-256 of the paths it may name begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
}

impl Authority {
    fn check(&self) -> Result<(), MetadataError> {
        if self.keyids.len() > limits::KEYS_PER_ROLE_MAX {
            return Err(MetadataError::Unlawful("more keys may sign for a role than for any lawful one"));
        }
        let distinct: BTreeSet<&String> = self.keyids.iter().collect();
        if distinct.len() != self.keyids.len() {
            return Err(MetadataError::Unlawful("a role lists one key id twice"));
        }
        if self.threshold == 0 {
            return Err(MetadataError::Unlawful("a role has the threshold 0: anybody could sign for it"));
        }
        Ok(())
    }
}

impl Root {
    /// Who may sign for a top-level role.
    ///
    /// # Panics
    /// If the role is a delegated one, or `check` was not called.
    pub fn authority(&self, role: &Role) -> &Authority {
        self.roles.get(role.name()).expect("a checked root names all four top-level roles")
    }

    /// Who must sign for a top-level role.
    pub fn warrant(&self, role: &Role) -> Warrant<'_> {
        Warrant { authority: self.authority(role), keys: &self.keys }
    }

    /// The distinct keys of a top-level role.
    pub fn keys_of(&self, role: &Role) -> BTreeSet<&Key> {
        self.authority(role).keyids.iter().filter_map(|id| self.keys.get(id)).collect()
    }
}

impl Body for Root {
    const TYPE: &'static str = "root";
    const BYTES_MAX: u64 = limits::ROOT_BYTES_MAX;

    fn check(&self) -> Result<(), MetadataError> {
        for role in [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets] {
            let authority = self.roles.get(role.name());
            authority.ok_or(MetadataError::Unlawful("one of the four top-level roles is missing"))?.check()?;
        }
        Ok(())
    }
}

impl Timestamp {
    /// The snapshot that it names.
    ///
    /// # Panics
    /// If `check` was not called.
    pub fn snapshot(&self) -> &FileMeta {
        self.meta.get("snapshot.json").expect("a checked timestamp names a snapshot")
    }
}

impl Body for Timestamp {
    const TYPE: &'static str = "timestamp";
    const BYTES_MAX: u64 = limits::TIMESTAMP_BYTES_MAX;

    fn check(&self) -> Result<(), MetadataError> {
        let snapshot = self.meta.get("snapshot.json");
        snapshot.ok_or(MetadataError::Unlawful("it names no snapshot.json"))?.check()
    }
}

impl Snapshot {
    /// The version of a targets file that belongs to this snapshot.
    pub fn file(&self, role: &Role) -> Option<&FileMeta> {
        self.meta.get(&role.meta_name())
    }
}

impl Body for Snapshot {
    const TYPE: &'static str = "snapshot";
    const BYTES_MAX: u64 = limits::SNAPSHOT_BYTES_MAX;

    fn check(&self) -> Result<(), MetadataError> {
        if !self.meta.contains_key("targets.json") {
            return Err(MetadataError::Unlawful("it names no targets.json"));
        }
        self.meta.values().try_for_each(FileMeta::check)
    }
}

impl FileMeta {
    /// What names exactly this file.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(Sha256::digest(bytes)))]);
        FileMeta { version, length: Some(bytes.len() as u64), hashes: Some(hashes) }
    }

    /// Whether a file of this length and these digests has the length and hashes stated here, if any are.
    pub fn names(&self, bytes: u64, digests: &Digests) -> bool {
        self.length.is_none_or(|length| length == bytes)
            && self.hashes.as_ref().is_none_or(|hashes| digests.are(hashes))
    }

    fn check(&self) -> Result<(), MetadataError> {
        if self.version == 0 {
            return Err(MetadataError::Unlawful("it names version 0 of a file; versions count from 1"));
        }
        if !self.hashes.as_ref().is_none_or(Digests::may_be) {
            return Err(MetadataError::Unlawful(
                "it states hashes of a file, and no proper SHA-256 or SHA-512 among them",
            ));
        }
        Ok(())
    }
}

impl TargetFile {
    /// The SHA-256 of its bytes, if stated.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        hex::decode_to_slice(self.hashes.get(SHA256)?, &mut digest).ok()?;
        Some(digest)
    }

    /// Whether these bytes are the file.
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.length == bytes.len() as u64 && Digests::of(bytes).are(&self.hashes)
    }
}

const SHA256: &str = "sha256";
const SHA512: &str = "sha512";

/// What metadata may name a file by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256.
    pub sha256: [u8; 32],
    sha512: [u8; 64],
}

impl Digests {
    /// Those of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digests { sha256: Sha256::digest(bytes).into(), sha512: Sha512::digest(bytes).into() }
    }

    /// Whether every hash that is known here is right, and one is.
    fn are(&self, hashes: &BTreeMap<String, String>) -> bool {
        self.fit(hashes, |stated, digest| stated == digest)
    }

    /// Whether some file could have these hashes.
    fn may_be(hashes: &BTreeMap<String, String>) -> bool {
        Digests { sha256: [0; 32], sha512: [0; 64] }.fit(hashes, |stated, digest| stated.len() == digest.len())
    }

    fn fit(&self, hashes: &BTreeMap<String, String>, fits: impl Fn(&[u8], &[u8]) -> bool) -> bool {
        let digests = [(SHA256, &self.sha256[..]), (SHA512, &self.sha512)];
        let mut known = digests.into_iter().filter_map(|(name, digest)| Some((hashes.get(name)?, digest))).peekable();
        known.peek().is_some()
            && known.all(|(text, digest)| hex::decode(text).is_ok_and(|stated| fits(&stated, digest)))
    }
}

impl Body for Targets {
    const TYPE: &'static str = "targets";
    const BYTES_MAX: u64 = limits::TARGETS_BYTES_MAX;

    fn check(&self) -> Result<(), MetadataError> {
        let Some(delegations) = &self.delegations else { return Ok(()) };
        if delegations.succinct_roles.is_some() {
            return Err(MetadataError::Unlawful("succinct_roles (TAP 15) are not supported"));
        }
        if delegations.roles.len() > limits::DELEGATIONS_PER_FILE_MAX {
            return Err(MetadataError::Unlawful("more delegations than any lawful file has"));
        }
        let mut names = BTreeSet::new();
        for role in &delegations.roles {
            check_delegated_name(&role.name)?;
            role.authority.check()?;
            if !names.insert(&role.name) {
                return Err(MetadataError::Unlawful("it delegates to one role twice"));
            }
            if role.paths.is_some() == role.path_hash_prefixes.is_some() {
                return Err(MetadataError::Unlawful("a delegation needs either paths or path_hash_prefixes"));
            }
        }
        Ok(())
    }
}
