//! The publisher in virtual time: real TUF metadata with real signatures, real manifests and chunk lists, and chunks
//! that are only names. What it publishes is a function of the scenario and the rng_seed.

use crate::scenario::ReleasePlan;
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
use protocol::trust::{Role, TrustedSet};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    first_trust: TrustedSet,
    published: Vec<Published>,
    targets: BTreeMap<String, TargetFile>,
    /// Metadata by file name, as a static repository holds it.
    files: BTreeMap<String, Arc<[u8]>>,
    documents: BTreeMap<DocumentId, (Arc<[u8]>, VerifiedDocument)>,
}

struct Keys {
    root: SecretKey,
    timestamp: SecretKey,
    snapshot: SecretKey,
    targets: SecretKey,
    channel: SecretKey,
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
}

impl Publisher {
    /// A publisher with keys and a root, and no release.
    pub fn new(rng_seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(&rng_seed, 0, "publisher keys");
        let mut key = || SecretKey::from_random(&digest(&mut rng));
        let keys = Keys { root: key(), timestamp: key(), snapshot: key(), targets: key(), channel: key() };
        let body = keys.root_body();
        let root: Arc<[u8]> = signed(1, Time::default(), body, &keys.root).into();
        let first_trust = TrustedSet::pin(&root).expect("our own root is lawful");
        let files = BTreeMap::from([(Role::Root.file_name(Some(1)), root)]);
        let (published, targets, documents) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { rng_seed, keys, first_trust, published, targets, files, documents }
    }

    /// Publishes a release: from now on the repository holds it.
    pub fn publish(&mut self, plan: &ReleasePlan, now: Time) {
        let chunks = self.chunks(plan);
        let before = self.published.last().map(|published| published.release.clone());
        let known = |chunk: &&ChunkRef| before.as_ref().is_some_and(|before| before.index_of(&chunk.id).is_some());
        let fresh_bytes = chunks.iter().filter(|chunk| !known(chunk)).map(|chunk| u64::from(chunk.bytes)).sum();
        let release = self.add_documents(plan, &chunks);
        let hashes = BTreeMap::from([("sha256".to_owned(), release.id().to_string())]);
        let file = TargetFile { length: release.manifest().bytes(), hashes, custom: None };
        self.targets.insert(format!("{CHANNEL}/tree_{}.manifest", plan.version), file);
        self.published.push(Published { version: plan.version.clone(), at: now, release, fresh_bytes });
        self.sign_metadata(now);
    }

    /// The root that a person vouches for, read once for all hosts.
    pub fn first_trust(&self) -> &TrustedSet {
        &self.first_trust
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

    fn sign_metadata(&mut self, now: Time) {
        let version = self.published.len() as u64;
        let channel = Role::Delegated(CHANNEL.to_owned());
        let body = Targets { targets: self.targets.clone(), delegations: None };
        let channel_bytes = signed(version, now, body, &self.keys.channel);
        let targets_bytes = signed(1, Time::default(), self.keys.targets_body(), &self.keys.targets);
        let meta = BTreeMap::from([
            (Role::Targets.meta_name(), FileMeta::of(1, &targets_bytes)),
            (channel.meta_name(), FileMeta::of(version, &channel_bytes)),
        ]);
        let snapshot_bytes = signed(version, now, Snapshot { meta }, &self.keys.snapshot);
        let meta = BTreeMap::from([(Role::Snapshot.meta_name(), FileMeta::of(version, &snapshot_bytes))]);
        let body = Timestamp { meta, signed_at: Some(Date::new(wall_clock(now))) };
        let timestamp_bytes = signed(version, now, body, &self.keys.timestamp);
        let files = [
            (channel.file_name(Some(version)), channel_bytes),
            (Role::Targets.file_name(Some(1)), targets_bytes),
            (Role::Snapshot.file_name(Some(version)), snapshot_bytes),
            (Role::Timestamp.file_name(None), timestamp_bytes),
        ];
        self.files.extend(files.map(|(name, bytes)| (name, bytes.into())));
    }
}

impl Keys {
    fn root_body(&self) -> Root {
        let roles = [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ];
        Root {
            consistent_snapshot: true,
            keys: roles.iter().map(|(_, key)| (key.public().id(), key.public())).collect(),
            roles: roles.iter().map(|(name, key)| ((*name).to_owned(), authority(key))).collect(),
        }
    }

    fn targets_body(&self) -> Targets {
        let role = DelegatedRole {
            name: CHANNEL.to_owned(),
            authority: authority(&self.channel),
            terminating: true,
            paths: Some(vec![format!("{CHANNEL}/*")]),
            path_hash_prefixes: None,
        };
        let key = self.channel.public();
        let delegations =
            Delegations { keys: BTreeMap::from([(key.id(), key)]), roles: vec![role], succinct_roles: None };
        Targets { targets: BTreeMap::new(), delegations: Some(delegations) }
    }
}

/// What a right wall clock shows.
pub fn wall_clock(now: Time) -> UnixTime {
    UnixTime(WALL_CLOCK_START_S + i64::try_from(now.0 / 1_000_000).unwrap_or(i64::MAX / 2))
}

fn authority(key: &SecretKey) -> Authority {
    Authority { keyids: vec![key.public().id()], threshold: 1 }
}

fn signed<B: Body>(version: u64, now: Time, body: B, key: &SecretKey) -> Vec<u8> {
    sign(&Signed::new(version, Date::new(UnixTime(wall_clock(now).0 + VALID_S)), body), &[key])
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
        }
    }

    #[test]
    fn a_trusted_set_believes_what_is_published() {
        let mut publisher = Publisher::new([3; 32]);
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
        let mut publisher = Publisher::new([3; 32]);
        publisher.publish(&plan("1.0", 0), Time(0));
        publisher.publish(&plan("1.1", 95), Time(1));
        let [old, new] = publisher.published() else { panic!("two releases") };
        let shared = new.release.chunks().iter().filter(|chunk| old.release.index_of(&chunk.id).is_some()).count();
        assert_eq!((shared, old.fresh_bytes, new.fresh_bytes), (190, 200_000, 10_000));
    }

    #[test]
    fn another_rng_seed_publishes_another_tree() {
        let first_chunk = |rng_seed| {
            let mut publisher = Publisher::new([rng_seed; 32]);
            publisher.publish(&plan("1.0", 0), Time(0));
            publisher.published()[0].release.chunks()[0]
        };
        assert_ne!(first_chunk(1), first_chunk(2));
    }
}
