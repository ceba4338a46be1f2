//! The trusted set: the metadata of one repository that this node believes, and the one door into it.
//!
//! [`TrustedSet::offer`] takes any file from anybody. It first judges, without changing anything, and
//! then takes the file in, without being able to fail; so a refused file leaves no trace. What was
//! signed stays a floor: an older timestamp, or a snapshot that takes a version back, is refused for
//! good, unless a new root revokes the keys that raised the floor.
//!
//! A new timestamp is believed before the files it names have come. Until the last of them is here
//! the previous [complete set](super::complete_set) stays in use, so that a publisher, or a thief of
//! one of its keys, cannot take a release away by announcing another.
//!
//! A delegated role whose file its delegators do not vouch for says nothing, and nobody waits for it, lest one vendor
//! keeps the releases of all others back. But where the set in use has a file of that role for which they do vouch, it
//! is the snapshot that is wrong, and nothing is taken away by that.
//!
//! Expiry is not judged here: an expired file is as authentic as before, and is needed as a floor. Ask
//! [`TrustedSet::freshness`].

use super::complete_set::{CompleteSet, Freshness, Target};
use super::envelope::{Body, Envelope, Signed, stated_version};
use super::held::{Held, digest};
use super::metadata::{Digests, FileMeta, Root, Snapshot, TargetFile, Targets, Timestamp};
use super::rejection::Rejection;
use super::role::Role;
use super::role_file::{RoleFile, parse_silent};
use super::search::{Edge, Found, search};
use super::tree::Tree;
use super::verify::verify;
use crate::id::RepositoryId;
use crate::limits;
use crate::time::UnixTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

mod stored;

pub use stored::RestoreError;

/// One repository's metadata, as far as it is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustedSet {
    repository: RepositoryId,
    /// Every root from version 1 on, so that a node with an older one can follow.
    roots: BTreeMap<u64, Held<Root>>,
    /// The newest believed, complete or not. Both verify under what stands above them now.
    timestamp: Option<Held<Timestamp>>,
    snapshot: Option<Held<Snapshot>>,
    /// The newest files of targets roles. What of them counts, the [`Tree`] says.
    roles: BTreeMap<Role, RoleFile>,
    complete: Option<CompleteSet>,
}

/// The newest complete set of a repository, in few bytes, for telling peers. Of two heads of one
/// repository the greater is the newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Version of the newest root.
    pub root: u64,
    /// Version of the complete set's timestamp.
    pub timestamp: u64,
    /// Version of its snapshot.
    pub snapshot: u64,
    /// SHA-256 of the timestamp's signed part in canonical form: unlike the file's own bytes, nobody
    /// but the publisher can change it.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 32],
}

/// A metadata file that is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Whose.
    pub role: Role,
    /// Which version; none for the newest there is.
    pub version: Option<u64>,
    /// No longer file can be the one, in bytes.
    pub bytes_max: u64,
}

/// What the newest files say about a path.
#[derive(Debug)]
pub enum Resolution<'a> {
    /// It is this file.
    File(&'a TargetFile),
    /// Nobody who may name it does.
    Nothing,
    /// This file decides, and is missing.
    Needs(Need),
    /// This role decides, and either the snapshot does not name it, or whoever delegates the path to it does not
    /// vouch for the file that is here.
    Broken(Role),
}

/// What an offered file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is believed now.
    New,
    /// It was believed already.
    AlreadyKnown,
    /// The snapshot names it, and nobody who delegates to its role vouches for it: it says nothing, and is not needed
    /// any more. It is kept, because others need it to come to the same verdict.
    Disowned,
}

impl TrustedSet {
    /// Trusts a repository by the bytes of version 1 of its root, which a person vouches for, and which names it.
    pub fn pin(root: &[u8]) -> Result<Self, Rejection> {
        let set = Self::from_root(root)?;
        match set.root().version {
            1 => Ok(set),
            found => Err(Rejection::RootVersion { expected: 1, found }),
        }
    }

    /// Trusts a repository by the bytes of any of its roots. Older ones are of no use then, and the repository's name
    /// is one that no other node knows it by.
    pub fn from_root(root: &[u8]) -> Result<Self, Rejection> {
        let envelope = parse::<Root>(&Role::Root, root)?;
        check_root_signed_by(&envelope, &envelope.signed.body)?;
        let root = Held::new(root, envelope);
        Ok(TrustedSet {
            repository: RepositoryId(root.digests.sha256),
            roots: BTreeMap::from([(root.signed.version, root)]),
            timestamp: None,
            snapshot: None,
            roles: BTreeMap::new(),
            complete: None,
        })
    }

    /// The repository's name.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The newest root.
    pub fn root(&self) -> &Signed<Root> {
        &self.newest_root().signed
    }

    /// The newest timestamp's version, whether or not what it names is here already.
    pub fn timestamp_version(&self) -> Option<u64> {
        self.timestamp.as_ref().map(|timestamp| timestamp.signed.version)
    }

    /// The same, with the SHA-256 of its signed part, which a head tells too.
    pub fn timestamp_digest(&self) -> Option<(u64, [u8; 32])> {
        self.timestamp.as_ref().map(|timestamp| (timestamp.signed.version, timestamp.signed_sha256))
    }

    /// What to tell peers; nothing before the first complete set.
    pub fn head(&self) -> Option<Head> {
        self.complete.as_ref().map(|complete| Head {
            root: self.root().version,
            timestamp: complete.timestamp.signed.version,
            snapshot: complete.snapshot.signed.version,
            digest: complete.timestamp.signed_sha256,
        })
    }

    /// The newest complete set.
    pub fn complete(&self) -> Option<&CompleteSet> {
        self.complete.as_ref()
    }

    /// Every target of the complete set that a role with the right to name it names, ascending by path.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.complete.iter().flat_map(CompleteSet::targets)
    }

    /// Whether the complete set is still current, by a clock that may be wrong.
    pub fn freshness(&self, now: UnixTime) -> Freshness {
        match &self.complete {
            Some(complete) => complete.freshness(self.root().expires, now),
            None => Freshness::Incomplete,
        }
    }

    /// The files that are missing to complete the newest timestamp, and can be judged once they come.
    /// Empty if the newest is complete. The next root is never among them: nobody knows whether there
    /// is one but from a peer's head, or by asking.
    pub fn needs(&self) -> Vec<Need> {
        let Some(timestamp) = &self.timestamp else {
            return vec![Need { role: Role::Timestamp, version: None, bytes_max: limits::TIMESTAMP_BYTES_MAX }];
        };
        let Some(snapshot) = self.newest_snapshot() else {
            return vec![Need::of(Role::Snapshot, timestamp.signed.body.snapshot(), limits::SNAPSHOT_BYTES_MAX)];
        };
        self.tree(snapshot).missing
    }

    /// The roles of the newest snapshot whose files are here, and for which nobody who delegates to them vouches.
    pub fn disowned(&self) -> Vec<Role> {
        self.newest_snapshot().map_or_else(Vec::new, |snapshot| self.tree(snapshot).disowned.into_keys().collect())
    }

    /// Who says what about a path, as far as the newest files are here. Unlike [`TrustedSet::needs`] it asks for no
    /// file that does not decide it.
    pub fn resolve(&self, path: &str) -> Resolution<'_> {
        let need = |role: Role| match self.needs().into_iter().find(|need| need.role <= role) {
            Some(first) => Resolution::Needs(first),
            None => Resolution::Broken(role),
        };
        let Some(snapshot) = self.newest_snapshot() else { return need(Role::Snapshot) };
        let tree = self.tree(snapshot);
        let Some(top) = tree.vouched.get(&Role::Targets) else { return need(Role::Targets) };
        let open = |edge: Edge<'_>| {
            let role = edge.role();
            match tree.vouched.get(&role).filter(|file| file.is_vouched_for(&[edge.warrant()])) {
                Some(file) => Ok(&file.signed.body),
                None => Err(match tree.missing.iter().find(|need| need.role == role) {
                    Some(need) => Resolution::Needs(need.clone()),
                    None => Resolution::Broken(role),
                }),
            }
        };
        match search(&top.signed.body, path, open) {
            Found::File(file) => Resolution::File(file),
            Found::Nothing => Resolution::Nothing,
            Found::Stopped(stop) => stop,
        }
    }

    /// Judges a file that somebody offers as `role`'s, and takes it in if it is believed.
    pub fn offer(&mut self, role: &Role, bytes: &[u8]) -> Result<Accepted, Rejection> {
        let accepted = match role {
            Role::Root => self.offer_root(bytes),
            Role::Timestamp => self.offer_timestamp(bytes),
            Role::Snapshot => self.offer_snapshot(bytes),
            Role::Targets | Role::Delegated(_) => self.offer_targets(role, bytes),
        }?;
        if accepted != Accepted::AlreadyKnown {
            self.complete_newest();
        }
        Ok(accepted)
    }

    /// The exact bytes of a file, with its version, for handing on: of the version asked for, else of
    /// the complete set's, else of the newest.
    pub fn metadata(&self, role: &Role, version: Option<u64>) -> Option<(u64, Arc<[u8]>)> {
        let complete = self.complete.as_ref();
        match role {
            Role::Root => pick(version, version.and_then(|version| self.roots.get(&version)), Some(self.newest_root())),
            Role::Timestamp => pick(version, complete.map(|set| &set.timestamp), self.timestamp.as_ref()),
            Role::Snapshot => pick(version, complete.map(|set| &set.snapshot), self.snapshot.as_ref()),
            Role::Targets | Role::Delegated(_) => {
                pick(version, complete.and_then(|set| set.file(role)), self.roles.get(role).map(Deref::deref))
            }
        }
    }
}

/// The judges: each either refuses, having changed nothing, or takes the file in.
impl TrustedSet {
    fn offer_root(&mut self, bytes: &[u8]) -> Result<Accepted, Rejection> {
        let envelope = parse::<Root>(&Role::Root, bytes)?;
        let trusted = self.newest_root();
        let (found, expected) = (envelope.signed.version, trusted.signed.version.saturating_add(1));
        if self.roots.get(&found).is_some_and(|held| held.signed_sha256 == digest(&envelope.canonical)) {
            return Ok(Accepted::AlreadyKnown);
        }
        if found != expected {
            return Err(Rejection::RootVersion { expected, found });
        }
        check_root_signed_by(&envelope, &trusted.signed.body)?;
        check_root_signed_by(&envelope, &envelope.signed.body)?;
        if self.roots.len() > limits::ROOTS_MAX {
            return Err(Rejection::TooManyRoots);
        }

        let revoked = |role| !trusted.signed.body.keys_of(&role).is_subset(&envelope.signed.body.keys_of(&role));
        let forget_floors = revoked(Role::Timestamp) || revoked(Role::Snapshot);
        let [before, after] = [&trusted.signed.body, &envelope.signed.body];
        let files = [Role::Timestamp, Role::Snapshot, Role::Targets];
        let who_signs_changes = files.iter().any(|role| before.warrant(role).digest() != after.warrant(role).digest());
        let root = Held::new(bytes, envelope);
        if forget_floors {
            self.timestamp = None;
            self.snapshot = None;
            self.complete = None;
        }
        if who_signs_changes {
            self.timestamp.take_if(|held| !held.is_authorised(&Role::Timestamp, &root));
            self.snapshot.take_if(|held| !held.is_authorised(&Role::Snapshot, &root));
            self.complete.take_if(|complete| !complete.is_authorised(&root));
            if self.roles.get(&Role::Targets).is_some_and(|file| !file.is_authorised(&Role::Targets, &root)) {
                self.roles.clear();
            }
        }
        self.roots.insert(found, root);
        Ok(Accepted::New)
    }

    fn offer_timestamp(&mut self, bytes: &[u8]) -> Result<Accepted, Rejection> {
        let role = Role::Timestamp;
        let envelope = parse::<Timestamp>(&role, bytes)?;
        self.check_top_level(&role, &envelope)?;
        let (version, snapshot) = (envelope.signed.version, envelope.signed.body.snapshot().version);
        if let Some(held) = &self.timestamp {
            let trusted = held.signed.version;
            if version < trusted {
                return Err(Rejection::Older { role, trusted, found: version });
            }
            if version == trusted {
                let same = held.signed_sha256 == digest(&envelope.canonical);
                return if same { Ok(Accepted::AlreadyKnown) } else { Err(Rejection::Equivocation { role, version }) };
            }
            let trusted = held.signed.body.snapshot().version;
            if snapshot < trusted {
                let (named, found) = (Role::Snapshot, Some(snapshot));
                return Err(Rejection::TakesBack { role, version, named, trusted, found });
            }
        }
        self.timestamp = Some(Held::new(bytes, envelope));
        Ok(Accepted::New)
    }

    fn offer_snapshot(&mut self, bytes: &[u8]) -> Result<Accepted, Rejection> {
        let role = Role::Snapshot;
        let Some(timestamp) = &self.timestamp else {
            return Err(Rejection::Early { role, missing: Role::Timestamp });
        };
        let named = timestamp.signed.body.snapshot();
        if self.snapshot.as_ref().is_some_and(|held| *held.bytes == *bytes && held.is(named)) {
            return Ok(Accepted::AlreadyKnown);
        }
        let envelope = parse_named::<Snapshot>(&role, bytes, named)?;
        self.check_top_level(&role, &envelope)?;
        if let Some(held) = &self.snapshot {
            for (file, trusted) in &held.signed.body.meta {
                let found = envelope.signed.body.meta.get(file).map(|meta| meta.version);
                if found.is_none_or(|found| found < trusted.version) {
                    let named = Role::from_name(file.strip_suffix(".json").unwrap_or(file));
                    let (version, trusted) = (envelope.signed.version, trusted.version);
                    return Err(Rejection::TakesBack { role, version, named, trusted, found });
                }
            }
        }
        let snapshot = Held::new(bytes, envelope);
        self.roles.retain(|role, file| snapshot.signed.body.file(role).is_some_and(|named| file.is(named)));
        self.snapshot = Some(snapshot);
        Ok(Accepted::New)
    }

    fn offer_targets(&mut self, role: &Role, bytes: &[u8]) -> Result<Accepted, Rejection> {
        let early = |missing| Rejection::Early { role: role.clone(), missing };
        let unknown = || Rejection::UnknownRole { role: role.clone() };
        let snapshot = self.newest_snapshot().ok_or_else(|| early(Role::Snapshot))?;
        let named = snapshot.signed.body.file(role).ok_or_else(unknown)?;
        let tree = self.tree(snapshot);
        let warrants = tree.warrants(role);
        if warrants.is_empty() {
            return Err(tree.missing.into_iter().next().map_or_else(unknown, |need| early(need.role)));
        }
        let is_judged = |file: &RoleFile| warrants.iter().all(|warrant| file.verdict(warrant).is_some());
        if self.roles.get(role).is_some_and(|file| *file.bytes == *bytes && file.is(named) && is_judged(file)) {
            return Ok(Accepted::AlreadyKnown);
        }
        let envelope = parse_targets(role, bytes, named)?;
        let (file, fault) = RoleFile::judge(bytes, envelope, warrants);
        // One delegator that vouches for it is enough to believe it; a search asks the one that it came from.
        let fault = fault.filter(|_| !file.is_vouched_for(warrants));
        if let Some(source) = fault {
            let role = role.clone();
            if role == Role::Targets || named.hashes.is_none() {
                return Err(Rejection::Signatures { role, source });
            }
            let in_use = self.complete.as_ref().and_then(|set| set.roles.get(&role));
            if in_use.is_some_and(|file| file.is_vouched_for(warrants)) {
                return Err(Rejection::Disowned { role, version: named.version, source });
            }
            self.roles.insert(role, file);
            return Ok(Accepted::Disowned);
        }
        self.roles.insert(role.clone(), file);
        Ok(Accepted::New)
    }

    fn check_top_level<B>(&self, role: &Role, envelope: &Envelope<B>) -> Result<(), Rejection> {
        let root = &self.root().body;
        verify(envelope, root.authority(role), &root.keys)
            .map_err(|source| Rejection::Signatures { role: role.clone(), source })
    }

    fn newest_root(&self) -> &Held<Root> {
        let (_, newest) = self.roots.last_key_value().expect("a trusted set begins with a root");
        newest
    }

    /// The snapshot that the newest timestamp names, if it is here.
    fn newest_snapshot(&self) -> Option<&Held<Snapshot>> {
        let named = self.timestamp.as_ref()?.signed.body.snapshot();
        self.snapshot.as_ref().filter(|held| held.is(named))
    }

    fn tree<'a>(&'a self, snapshot: &'a Held<Snapshot>) -> Tree<'a> {
        Tree::grow(&self.root().body, &snapshot.signed.body, &self.roles)
    }

    /// Puts the newest files in use, if all of them are here.
    fn complete_newest(&mut self) {
        let (Some(timestamp), Some(snapshot)) = (&self.timestamp, self.newest_snapshot()) else { return };
        let tree = self.tree(snapshot);
        if tree.missing.is_empty() {
            let before = self.complete.as_ref();
            self.complete = Some(CompleteSet::new(timestamp.clone(), snapshot.clone(), &tree, before));
        }
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Head { root, timestamp, snapshot, digest } = self;
        write!(f, "root {root} timestamp {timestamp} snapshot {snapshot} {}", hex::encode(&digest[..6]))
    }
}

impl Need {
    pub(super) fn of(role: Role, file: &FileMeta, bytes_max: u64) -> Self {
        let bytes_max = file.length.map_or(bytes_max, |length| length.min(bytes_max));
        Need { role, version: Some(file.version), bytes_max }
    }
}

fn parse<B: Body>(role: &Role, bytes: &[u8]) -> Result<Envelope<B>, Rejection> {
    Envelope::parse(bytes).map_err(|source| Rejection::Unreadable { role: role.clone(), source })
}

/// Reads a file that must be the one that `named` names. The hash comes first: what a stranger made up
/// is refused before anything is built from it.
fn parse_named<B: Body>(role: &Role, bytes: &[u8], named: &FileMeta) -> Result<Envelope<B>, Rejection> {
    let (role, expected) = (role.clone(), named.version);
    if !named.names(bytes.len() as u64, &Digests::of(bytes)) {
        return Err(match stated_version(bytes) {
            Some(found) if found != expected => Rejection::OtherVersion { role, expected, found },
            _ => Rejection::Altered { role, version: expected },
        });
    }
    let envelope = parse::<B>(&role, bytes)?;
    let found = envelope.signed.version;
    match (found == expected, named.hashes.is_some()) {
        (true, _) => Ok(envelope),
        (false, true) => Err(Rejection::Misnamed { role, expected, found }),
        (false, false) => Err(Rejection::OtherVersion { role, expected, found }),
    }
}

/// The file of a targets role. One of a delegated role that its keys signed, and that cannot be followed, says nothing.
fn parse_targets(role: &Role, bytes: &[u8], named: &FileMeta) -> Result<Envelope<Targets>, Rejection> {
    match parse_named(role, bytes, named) {
        Err(refused @ Rejection::Unreadable { .. }) if *role != Role::Targets && named.hashes.is_some() => {
            parse_silent(bytes).ok().filter(|file| file.signed.version == named.version).ok_or(refused)
        }
        parsed => parsed,
    }
}

fn check_root_signed_by(envelope: &Envelope<Root>, root: &Root) -> Result<(), Rejection> {
    verify(envelope, root.authority(&Role::Root), &root.keys)
        .map_err(|source| Rejection::Signatures { role: Role::Root, source })
}

fn pick<B>(version: Option<u64>, first: Option<&Held<B>>, second: Option<&Held<B>>) -> Option<(u64, Arc<[u8]>)> {
    let wanted = |held: &&Held<B>| version.is_none_or(|version| held.signed.version == version);
    let held = first.filter(wanted).or(second.filter(wanted))?;
    Some((held.signed.version, held.bytes.clone()))
}
