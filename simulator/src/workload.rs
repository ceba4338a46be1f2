//! The publisher in virtual time: real TUF metadata with real signatures, real manifests and chunk lists, and chunks
//! that are only names. What it publishes is a function of the scenario and the rng_seed.

use crate::scenario::{KeyRole, ReleasePlan};
use protocol::content::chunk_list::ChunkListBuilder;
use protocol::content::manifest::{
    Attributes, ChunkListRef, ChunkerParameters, Entry, FORMAT, Kind, Manifest, VerifiedManifest,
};
use protocol::content::release::Release;
use protocol::content::version::Version;
use protocol::id::{ChunkId, ChunkListId, ChunkRef, DocumentId, ManifestId};
use protocol::input::VerifiedDocument;
use protocol::rng::Rng;
use protocol::time::{Time, UnixTime};
use protocol::trust::date::Date;
use protocol::trust::envelope::{Body, Signed};
use protocol::trust::metadata::{
    Authority, DelegatedRole, Delegations, FileMeta, Root, Snapshot, TargetFile, Targets, Timestamp,
};
use protocol::trust::sign::{SecretKey, sign};
use protocol::trust::{Head, Role, TrustedSet};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

mod deeds;
mod school;

pub use deeds::Deeds;
pub use school::School;

/// The one channel.
pub const CHANNEL: &str = "os";
/// What every wall clock shows at time 0: 2026-09-01T08:00:00Z.
pub const WALL_CLOCK_START_S: i64 = 1_788_249_600;
/// Metadata stays fresh for longer than any run.
const VALID_S: i64 = 3650 * 86_400;

/// The publisher, its keys, and all that it has published.
pub struct Publisher {
    rng_seed: [u8; 32],
    keys: Keys,
    /// Keys beyond the first of each role are drawn from it.
    further_keys: Rng,
    first_trust: TrustedSet,
    /// What a device believes that missed nothing.
    trust: TrustedSet,
    published: Vec<Published>,
    targets: BTreeMap<String, TargetFile>,
    versions: Versions,
    /// Metadata by file name, as a static repository holds it.
    files: BTreeMap<String, Arc<[u8]>>,
    documents: BTreeMap<DocumentId, (Arc<[u8]>, VerifiedDocument)>,
    editions: Vec<Edition>,
    deeds: Deeds,
}

/// The keys of each role, all of which must sign.
#[derive(Clone)]
pub struct Keys {
    /// They name the keys of all others.
    pub root: Vec<Arc<SecretKey>>,
    /// It says which snapshot is the newest.
    pub timestamp: Vec<Arc<SecretKey>>,
    /// It says which files belong together.
    pub snapshot: Vec<Arc<SecretKey>>,
    /// They say who signs for the channel.
    pub targets: Vec<Arc<SecretKey>>,
    /// They list the releases.
    pub channel: Vec<Arc<SecretKey>>,
}

/// The newest version of each kind of file; timestamp and snapshot are signed together.
struct Versions {
    root: u64,
    edition: u64,
    targets: u64,
    channel: u64,
}

/// What the repository once held as the newest.
pub struct Edition {
    /// Its head.
    pub head: Head,
    /// Its timestamp; a repository keeps all other files.
    pub timestamp: Arc<[u8]>,
}

/// A release that was published.
pub struct Published {
    /// Its version.
    pub version: String,
    /// When.
    pub at: Time,
    /// What it is.
    pub release: Arc<Release>,
    /// Bytes of the chunks that no release before it had.
    pub fresh_bytes: u64,
    /// Nobody who has applied it goes to a release with a lower one.
    pub release_counter: u64,
}

impl Publisher {
    /// A publisher with keys and a root, and no release. Root, targets and channel each have so many keys as there are
    /// signers.
    pub fn new(rng_seed: [u8; 32], signers: usize) -> Self {
        let mut further_keys = Rng::new(&rng_seed, 0, "further keys");
        let keys = Keys::draw(signers, &mut Rng::new(&rng_seed, 0, "publisher keys"), &mut further_keys);
        let root: Arc<[u8]> = signed(1, Time::default(), keys.root_body(), &keys.root).into();
        let first_trust = TrustedSet::pin(&root).expect("our own root is lawful");
        let mut publisher = Self {
            rng_seed,
            further_keys,
            trust: first_trust.clone(),
            first_trust,
            published: Vec::new(),
            targets: BTreeMap::new(),
            versions: Versions { root: 1, edition: 0, targets: 1, channel: 0 },
            files: BTreeMap::from([(Role::Root.file_name(Some(1)), root)]),
            documents: BTreeMap::new(),
            editions: Vec::new(),
            deeds: Deeds::of_first_root(&keys),
            keys,
        };
        publisher.sign_targets(Time::default());
        publisher
    }

    /// Publishes a release: from now on the repository holds it.
    pub fn publish(&mut self, plan: &ReleasePlan, now: Time) {
        let chunks = self.chunks(plan);
        let before = self.published.last().map(|published| published.release.clone());
        let known = |chunk: &&ChunkRef| before.as_ref().is_some_and(|before| before.index_of(&chunk.id).is_some());
        let fresh_bytes = chunks.iter().filter(|chunk| !known(chunk)).map(|chunk| u64::from(chunk.bytes)).sum();
        let release = self.add_documents(plan, &chunks);
        let hashes = BTreeMap::from([("sha256".to_owned(), release.id().to_string())]);
        let custom = (plan.release_counter > 0).then(|| json!({ "release_counter": plan.release_counter }));
        let file = TargetFile { length: release.manifest().bytes(), hashes, custom };
        self.targets.insert(target_path(&plan.version), file);
        let (version, release_counter) = (plan.version.clone(), plan.release_counter);
        self.published.push(Published { version, at: now, release, fresh_bytes, release_counter });
        self.sign_channel(now);
        self.sign_edition(now);
    }

    /// Takes a release back: the channel lists it no more.
    pub fn withdraw(&mut self, version: &str, now: Time) {
        self.targets.remove(&target_path(version));
        self.sign_channel(now);
        self.sign_edition(now);
    }

    /// Replaces all keys of some roles; whoever stole the old ones can sign nothing more that is believed.
    pub fn rotate(&mut self, roles: &[KeyRole], now: Time) {
        let before = self.keys.clone();
        roles.iter().for_each(|role| self.keys.replace(*role, &mut self.further_keys));
        let replaced = |role| roles.contains(&role);
        if roles.iter().any(|role| *role != KeyRole::Channel) {
            self.versions.root += 1;
            let mut signers = before.root;
            if replaced(KeyRole::Root) {
                signers.extend(self.keys.root.iter().cloned());
            }
            let root = signed(self.versions.root, now, self.keys.root_body(), &signers);
            self.files.insert(Role::Root.file_name(Some(self.versions.root)), root.into());
            self.deeds.rotated(roles, &self.keys);
        }
        if replaced(KeyRole::Targets) || replaced(KeyRole::Channel) {
            self.versions.targets += 1;
            self.sign_targets(now);
        }
        if replaced(KeyRole::Channel) {
            self.sign_channel(now);
        }
        self.sign_edition(now);
    }

    /// The root that a person vouches for, read once for all hosts.
    pub fn first_trust(&self) -> &TrustedSet {
        &self.first_trust
    }

    /// What the repository held as the newest, the oldest first.
    pub fn editions(&self) -> &[Edition] {
        &self.editions
    }

    /// Its keys, for whoever steals them.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What it ever did, to compare with what is believed.
    pub fn deeds(&self) -> &Deeds {
        &self.deeds
    }

    /// The position of the newest release that is listed.
    pub fn newest(&self) -> Option<usize> {
        self.published.iter().rposition(|published| self.targets.contains_key(&target_path(&published.version)))
    }

    /// All releases, the oldest first.
    pub fn published(&self) -> &[Published] {
        &self.published
    }

    /// Which of the releases this is, counted from 0.
    pub fn position(&self, release: ManifestId) -> Option<usize> {
        self.published.iter().position(|published| published.release.id() == release)
    }

    /// The version of the release at a position.
    pub fn version(&self, position: usize) -> Version {
        self.published[position].version.parse().expect("a scenario's versions are lawful")
    }

    /// The version of the newest file of a role.
    pub fn newest_version(&self, role: &Role) -> u64 {
        match role {
            Role::Root => self.versions.root,
            Role::Timestamp | Role::Snapshot => self.versions.edition,
            Role::Targets => self.versions.targets,
            Role::Delegated(_) => self.versions.channel,
        }
    }

    /// A metadata file of the static repository: of this version, or the newest.
    pub fn metadata(&self, role: &Role, version: Option<u64>) -> Option<Arc<[u8]>> {
        self.files.get(&role.file_name(version)).cloned()
    }

    /// A document's bytes and what they say, judged once for all hosts.
    pub fn document(&self, id: &DocumentId) -> Option<&(Arc<[u8]>, VerifiedDocument)> {
        self.documents.get(id)
    }

    /// The names of a release's chunks: the stated share of the release before, at random, and new ones.
    fn chunks(&self, plan: &ReleasePlan) -> Vec<ChunkRef> {
        let number = self.published.len() as u64;
        let mut rng = Rng::new(&self.rng_seed, number, "chunks");
        let bytes = u32::try_from(plan.chunk_bytes).expect("a scenario's chunks are lawful");
        let before = self.published.last().map_or(&[][..], |published| published.release.chunks());
        let shared = (u64::from(plan.chunks) * u64::from(plan.shares_percent) / 100).min(before.len() as u64);
        let mut pool: Vec<ChunkRef> = before.to_vec();
        let mut chunks: Vec<ChunkRef> = (0..shared)
            .map(|_| {
                let at = usize::try_from(rng.below(pool.len() as u64)).unwrap_or(0);
                pool.swap_remove(at)
            })
            .collect();
        let fresh = u64::from(plan.chunks) - shared;
        chunks.extend((0..fresh).map(|_| ChunkRef { id: ChunkId(digest(&mut rng)), bytes }));
        chunks
    }

    fn add_documents(&mut self, plan: &ReleasePlan, chunks: &[ChunkRef]) -> Arc<Release> {
        let mut list = ChunkListBuilder::default();
        chunks.iter().for_each(|chunk| {
            list.push(*chunk);
        });
        let list = list.finish().encode();
        let attributes =
            Attributes { mode: 0o755, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0, xattrs: BTreeMap::default() };
        let root = Entry { path: Vec::new(), kind: Kind::Directory, attributes: Some(attributes.clone()) };
        let per_file = chunks.len().div_ceil(plan.files as usize);
        let files = chunks.chunks(per_file).enumerate().map(|(number, part)| {
            let bytes = part.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            // Nobody reads the content of a simulated file, so any name does for it.
            let kind = Kind::File { bytes, blake3: part[0].id.0 };
            Entry { path: format!("file-{number:08}").into_bytes(), kind, attributes: Some(attributes.clone()) }
        });
        let manifest = Manifest {
            format: FORMAT,
            min_reader: 1,
            channel: CHANNEL.to_owned(),
            version: plan.version.clone(),
            epoch: 0,
            chunker: ChunkerParameters::default(),
            chunk_list: ChunkListRef { id: ChunkListId::of(&list), bytes: list.len() as u64 },
            privileged: Vec::new(),
            entries: std::iter::once(root).chain(files).collect(),
        };
        let bytes = manifest.encode();
        let id = ManifestId::of(&bytes);
        let manifest = VerifiedManifest::verify(&bytes, id, bytes.len() as u64).expect("our own manifest is lawful");
        let manifest = Arc::new(manifest);
        let list_id = manifest.chunk_list.id;
        let release = Arc::new(Release::new(manifest.clone(), &list).expect("our own chunk list fits its manifest"));
        let verified = VerifiedDocument::Manifest(manifest);
        self.documents.insert(DocumentId::Manifest(id), (bytes.into(), verified));
        let verified = VerifiedDocument::Release(release.clone());
        self.documents.insert(DocumentId::ChunkList(list_id), (list.into(), verified));
        release
    }

    fn sign_targets(&mut self, now: Time) {
        let bytes = signed(self.versions.targets, now, self.keys.targets_body(), &self.keys.targets);
        self.files.insert(Role::Targets.file_name(Some(self.versions.targets)), bytes.into());
        self.deeds.delegated(&self.keys);
    }

    fn sign_channel(&mut self, now: Time) {
        self.versions.channel += 1;
        let body = Targets { targets: self.targets.clone(), delegations: None };
        let bytes = signed(self.versions.channel, now, body, &self.keys.channel);
        self.files.insert(channel().file_name(Some(self.versions.channel)), bytes.into());
        self.deeds.listed(&self.targets, &self.keys);
    }

    fn sign_edition(&mut self, now: Time) {
        self.versions.edition += 1;
        let version = self.versions.edition;
        let meta = |role: Role, version| {
            let bytes = &self.files[&role.file_name(Some(version))];
            (role.meta_name(), FileMeta::of(version, bytes))
        };
        let named = [meta(Role::Targets, self.versions.targets), meta(channel(), self.versions.channel)];
        let snapshot = signed(version, now, Snapshot { meta: BTreeMap::from(named) }, &self.keys.snapshot);
        let meta = BTreeMap::from([(Role::Snapshot.meta_name(), FileMeta::of(version, &snapshot))]);
        let body = Timestamp { meta, signed_at: Some(Date::new(wall_clock(now))) };
        let timestamp: Arc<[u8]> = signed(version, now, body, &self.keys.timestamp).into();
        self.files.insert(Role::Snapshot.file_name(Some(version)), snapshot.into());
        self.files.insert(Role::Timestamp.file_name(None), timestamp.clone());
        let head = self.head_of_newest();
        self.editions.push(Edition { head, timestamp });
    }

    /// Takes the newest files in as a device does.
    fn head_of_newest(&mut self) -> Head {
        let mut trust = std::mem::replace(&mut self.trust, self.first_trust.clone());
        let mut take = |role: &Role, version| {
            let file = self.metadata(role, version);
            file.is_some_and(|file| trust.offer(role, &file).is_ok()).then(|| trust.needs().into_iter().next())
        };
        take(&Role::Root, Some(self.versions.root));
        let mut need = take(&Role::Timestamp, None).flatten();
        while let Some(needed) = need {
            need = take(&needed.role, needed.version).flatten();
        }
        self.trust = trust;
        self.trust.head().expect("the publisher believes itself")
    }
}

impl Keys {
    fn draw(signers: usize, first: &mut Rng, further: &mut Rng) -> Self {
        let mut first = || vec![Arc::new(SecretKey::from_random(&digest(first)))];
        let mut keys =
            Self { root: first(), timestamp: first(), snapshot: first(), targets: first(), channel: first() };
        for several in [&mut keys.root, &mut keys.targets, &mut keys.channel] {
            several.resize_with(signers, || Arc::new(SecretKey::from_random(&digest(further))));
        }
        keys
    }

    fn replace(&mut self, role: KeyRole, rng: &mut Rng) {
        let keys = match role {
            KeyRole::Root => &mut self.root,
            KeyRole::Timestamp => &mut self.timestamp,
            KeyRole::Snapshot => &mut self.snapshot,
            KeyRole::Targets => &mut self.targets,
            KeyRole::Channel => &mut self.channel,
        };
        keys.fill_with(|| Arc::new(SecretKey::from_random(&digest(rng))));
    }

    /// What a root says that names these keys.
    pub fn root_body(&self) -> Root {
        let roles = [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ];
        let keys = roles.iter().flat_map(|(_, keys)| keys.iter().map(|key| key.public()));
        Root {
            consistent_snapshot: true,
            keys: keys.map(|key| (key.id(), key)).collect(),
            roles: roles.iter().map(|(name, keys)| ((*name).to_owned(), authority(keys))).collect(),
        }
    }

    /// What the top-level targets say that delegate the channel to these keys.
    pub fn targets_body(&self) -> Targets {
        let role = DelegatedRole {
            name: CHANNEL.to_owned(),
            authority: authority(&self.channel),
            terminating: true,
            paths: Some(vec![format!("{CHANNEL}/*")]),
            path_hash_prefixes: None,
        };
        let keys = self.channel.iter().map(|key| key.public()).map(|key| (key.id(), key)).collect();
        let delegations = Delegations { keys, roles: vec![role], succinct_roles: None };
        Targets { targets: BTreeMap::new(), delegations: Some(delegations) }
    }
}

/// The role of the one channel.
pub fn channel() -> Role {
    Role::Delegated(CHANNEL.to_owned())
}

/// Under which path the release of a version is listed.
pub fn target_path(version: &str) -> String {
    format!("{CHANNEL}/tree_{version}.manifest")
}

/// What a right wall clock shows.
pub fn wall_clock(now: Time) -> UnixTime {
    UnixTime(WALL_CLOCK_START_S + i64::try_from(now.0 / 1_000_000).unwrap_or(i64::MAX / 2))
}

fn authority(keys: &[Arc<SecretKey>]) -> Authority {
    Authority { keyids: keys.iter().map(|key| key.public().id()).collect(), threshold: keys.len() as u64 }
}

/// A metadata file that is fresh for longer than any run, signed by all of `keys`.
pub fn signed<B: Body>(version: u64, now: Time, body: B, keys: &[Arc<SecretKey>]) -> Vec<u8> {
    let keys: Vec<&SecretKey> = keys.iter().map(Arc::as_ref).collect();
    sign(&Signed::new(version, Date::new(UnixTime(wall_clock(now).0 + VALID_S)), body), &keys)
}

fn digest(rng: &mut Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&rng.next_u64().to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(version: &str, shares_percent: u32) -> ReleasePlan {
        ReleasePlan {
            version: version.to_owned(),
            at: protocol::time::Span(0),
            chunks: 200,
            chunk_bytes: 1000,
            files: 7,
            shares_percent,
            release_counter: 0,
        }
    }

    #[test]
    fn a_trusted_set_believes_what_is_published() {
        let mut publisher = Publisher::new([3; 32], 1);
        let mut set = publisher.first_trust().clone();
        for (version, plan) in [(1, plan("1.0", 0)), (2, plan("1.1", 50))] {
            publisher.publish(&plan, Time(version));
            set.offer(&Role::Timestamp, &publisher.metadata(&Role::Timestamp, None).unwrap()).unwrap();
            while let Some(need) = set.needs().first() {
                set.offer(&need.role, &publisher.metadata(&need.role, need.version).unwrap()).unwrap();
            }
            assert_eq!(set.targets().count() as u64, version);
        }
    }

    #[test]
    fn releases_share_what_they_say() {
        let mut publisher = Publisher::new([3; 32], 1);
        publisher.publish(&plan("1.0", 0), Time(0));
        publisher.publish(&plan("1.1", 95), Time(1));
        let [old, new] = publisher.published() else { panic!("two releases") };
        let shared = new.release.chunks().iter().filter(|chunk| old.release.index_of(&chunk.id).is_some()).count();
        assert_eq!((shared, old.fresh_bytes, new.fresh_bytes), (190, 200_000, 10_000));
    }

    #[test]
    fn another_rng_seed_publishes_another_tree() {
        let first_chunk = |rng_seed| {
            let mut publisher = Publisher::new([rng_seed; 32], 1);
            publisher.publish(&plan("1.0", 0), Time(0));
            publisher.published()[0].release.chunks()[0]
        };
        assert_ne!(first_chunk(1), first_chunk(2));
    }
}
