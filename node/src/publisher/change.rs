//! A change of a repository that several people sign.
//!
//! It is drafted at the publisher's desk: the targets files as they will be, and who must sign each. While signatures are
//! missing it is *pending*: a file that travels to whoever holds the keys, on machines without a network, and back. No
//! repository takes it before enough have signed. The file also says who must sign, for people to read; what counts is
//! what the repository's own metadata says of that.

use super::files::SignedFile;
use super::standing::Standing;
use protocol::limits::TARGETS_BYTES_MAX;
use protocol::trust::Role;
use protocol::trust::envelope::{Body, Envelope, MetadataError, Signed};
use protocol::trust::key::Key;
use protocol::trust::metadata::{Authority, Targets};
use protocol::trust::role::{RoleNameError, check_delegated_name};
use protocol::trust::sign::{SecretKey, add_signature, sign};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Largest pending change in bytes: two targets files, the keys of each, and what JSON needs between.
pub const CHANGE_BYTES_MAX: u64 = 3 * TARGETS_BYTES_MAX;

/// Why a change cannot be read or signed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Something else.
    #[error("it is no pending change; a draft of a root is signed with: homeroom root sign")]
    Unreadable(#[from] serde_json::Error),
    /// A file in it is none.
    #[error("its {role} metadata is none that a device would read")]
    Metadata {
        /// The role.
        role: Role,
        /// What is wrong.
        source: MetadataError,
    },
    /// A role in it is none.
    #[error(transparent)]
    Role(#[from] RoleNameError),
    /// Nobody waits for this signature.
    #[error("key {0} signs nothing of this change; see who has to with: homeroom sign FILE")]
    ForeignKey(String),
}

/// Targets files that go out together.
#[derive(Debug, Default)]
pub struct Change {
    parts: Vec<Part>,
}

/// One file of a change.
#[derive(Debug)]
pub struct Part {
    /// Whose file it is.
    pub role: Role,
    /// What it says.
    pub signed: Signed<Targets>,
    /// Who may sign it, and how many must.
    pub authority: Authority,
    keys: BTreeMap<String, Key>,
    bytes: Vec<u8>,
}

/// A part as a pending change has it.
#[derive(Serialize, Deserialize)]
struct Written {
    role: String,
    #[serde(flatten)]
    authority: Authority,
    keys: BTreeMap<String, Key>,
    file: Value,
}

impl Change {
    /// Adds a file that nobody has signed yet, and that `authority` may, whose keys are among `keys`. It may have grown
    /// beyond what devices read.
    pub fn add<B: Body>(
        &mut self,
        role: Role,
        signed: &Signed<B>,
        authority: &Authority,
        keys: &BTreeMap<String, Key>,
    ) -> Result<(), ChangeError> {
        let keys = keys.iter().filter(|(id, _)| authority.keyids.contains(id));
        let keys = keys.map(|(id, key)| (id.clone(), key.clone())).collect();
        self.parts.push(Part::read(role, authority.clone(), keys, sign(signed, &[]))?);
        Ok(())
    }

    /// Reads a pending change.
    pub fn read(bytes: &[u8]) -> Result<Self, ChangeError> {
        let written: Vec<Written> = serde_json::from_slice(bytes)?;
        let part = |Written { role, authority, keys, file }| {
            let role = Role::from_name(&role);
            if role != Role::Targets {
                check_delegated_name(role.name())?;
            }
            Part::read(role, authority, keys, serde_json::to_vec(&file)?)
        };
        Ok(Self { parts: written.into_iter().map(part).collect::<Result<_, _>>()? })
    }

    /// The pending change, with the signatures so far.
    pub fn bytes(&self) -> Vec<u8> {
        let written = |Part { role, authority, keys, bytes, .. }: &Part| {
            let file = serde_json::from_slice(bytes).expect("metadata is JSON");
            Written { role: role.name().to_owned(), authority: authority.clone(), keys: keys.clone(), file }
        };
        let written: Vec<Written> = self.parts.iter().map(written).collect();
        serde_json::to_vec_pretty(&written).expect("metadata is JSON")
    }

    /// Its files.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Signs with one more key what that key may sign.
    pub fn sign(&mut self, key: &SecretKey) -> Result<(), ChangeError> {
        let id = key.public().id();
        let mut own = self.parts.iter_mut().filter(|part| part.authority.keyids.contains(&id)).peekable();
        if own.peek().is_none() {
            return Err(ChangeError::ForeignKey(id));
        }
        for part in own {
            let failed = |source| ChangeError::Metadata { role: part.role.clone(), source };
            part.bytes = add_signature::<Targets>(&part.bytes, key).map_err(failed)?;
        }
        Ok(())
    }

    /// Its files, to be put out.
    pub fn into_files(self) -> Vec<SignedFile> {
        self.parts.into_iter().map(|part| (part.role, Some(part.signed.version), part.bytes)).collect()
    }
}

impl Part {
    fn read(
        role: Role,
        authority: Authority,
        keys: BTreeMap<String, Key>,
        bytes: Vec<u8>,
    ) -> Result<Self, ChangeError> {
        let read = Envelope::<Targets>::parse(&bytes);
        let Envelope { signed, .. } = read.map_err(|source| ChangeError::Metadata { role: role.clone(), source })?;
        Ok(Self { role, signed, authority, keys, bytes })
    }

    /// Who signed it, and who has to yet.
    pub fn standing(&self) -> Standing {
        let envelope = Envelope::<Targets>::parse(&self.bytes).expect("it was read before");
        Standing::of(&envelope, &self.authority, &self.keys)
    }
}
