//! A targets file as a snapshot names it, with the verdicts of those who delegate to its role.
//!
//! The snapshot says which bytes a role's file has, and each delegator whether they count: a role may have several
//! delegators, each with keys of its own. A verdict hangs on nothing but the file and the keys that must sign, so it is
//! reached once and kept: to check a signature takes as long as to read the file.

use super::envelope::{Body, Envelope, MetadataError, Signed};
use super::held::Held;
use super::metadata::Targets;
use super::verify::{SignatureError, Warrant, verify};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A targets file and whether its delegators vouch for it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleFile {
    held: Held<Targets>,
    /// By [`Warrant::digest`], ascending; shared, because a file is held in several places.
    verdicts: Arc<[([u8; 32], bool)]>,
}

impl RoleFile {
    /// Judges a file by the word of every delegator that is known. Also tells what the first of those who do not vouch
    /// for it misses.
    pub fn judge(bytes: &[u8], envelope: Envelope<Targets>, warrants: &[Warrant]) -> (Self, Option<SignatureError>) {
        let (mut verdicts, mut fault) = (BTreeMap::new(), None);
        for warrant in warrants {
            verdicts.entry(warrant.digest()).or_insert_with(|| {
                let verdict = verify(&envelope, warrant.authority, warrant.keys);
                let is_good = verdict.is_ok();
                fault = fault.take().or(verdict.err());
                is_good
            });
        }
        (RoleFile { held: Held::new(bytes, envelope), verdicts: verdicts.into_iter().collect() }, fault)
    }

    /// Whether who delegates so vouches for the file; nothing if that was not asked yet.
    pub fn verdict(&self, warrant: &Warrant) -> Option<bool> {
        let at = self.verdicts.binary_search_by_key(&warrant.digest(), |(judged, _)| *judged);
        at.ok().map(|at| self.verdicts[at].1)
    }

    /// Whether one of these delegators vouches for it.
    pub fn is_vouched_for(&self, warrants: &[Warrant]) -> bool {
        warrants.iter().any(|warrant| self.verdict(warrant) == Some(true))
    }
}

impl Deref for RoleFile {
    type Target = Held<Targets>;

    fn deref(&self) -> &Held<Targets> {
        &self.held
    }
}

/// What is read of a targets file that cannot be followed: nothing. So a role that states what this code does not
/// follow has said nothing, and nobody waits for another file of it.
#[derive(Debug, Serialize, Deserialize)]
struct Silence {}

impl Body for Silence {
    const TYPE: &'static str = Targets::TYPE;
    const BYTES_MAX: u64 = limits::TARGETS_BYTES_MAX;

    fn check(&self) -> Result<(), MetadataError> {
        Ok(())
    }
}

/// A targets file whose form is right, with nothing in it.
pub fn parse_silent(bytes: &[u8]) -> Result<Envelope<Targets>, MetadataError> {
    let Envelope { signatures, canonical, signed } = Envelope::<Silence>::parse(bytes)?;
    let signed = Signed::new(signed.version, signed.expires, Targets::default());
    Ok(Envelope { signatures, canonical, signed })
}
