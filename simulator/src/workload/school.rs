//! The school in virtual time: real TUF metadata that says what all devices should run. Whoever has stolen its keys signs
//! here too, because nobody can tell one from the other.

use super::{Published, authority, digest, signed, target_path, wall_clock};
use protocol::id::ManifestId;
use protocol::rng::Rng;
use protocol::school::ALL;
use protocol::time::Time;
use protocol::trust::date::Date;
use protocol::trust::metadata::{FileMeta, Root, Snapshot, TargetFile, Targets, Timestamp};
use protocol::trust::sign::SecretKey;
use protocol::trust::stated_time::{Nonce, state_time};
use protocol::trust::{Head, Role, TrustedSet};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The school, its one key, and all that was ever signed with that.
pub struct School {
    keys: Vec<Arc<SecretKey>>,
    first_trust: TrustedSet,
    /// What a device believes that missed nothing.
    trust: TrustedSet,
    version: u64,
    /// Metadata by file name, as a static repository holds it.
    files: BTreeMap<String, Arc<[u8]>>,
}

impl School {
    /// A school that has said nothing yet of any release.
    pub fn new(rng_seed: [u8; 32]) -> Self {
        let keys = vec![Arc::new(SecretKey::from_random(&digest(&mut Rng::new(&rng_seed, 0, "school keys"))))];
        let root = Root {
            consistent_snapshot: true,
            keys: keys.iter().map(|key| (key.public().id(), key.public())).collect(),
            roles: [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets]
                .map(|role| (role.name().to_owned(), authority(&keys)))
                .into(),
        };
        let root: Arc<[u8]> = signed(1, Time::default(), root, &keys).into();
        let first_trust = TrustedSet::pin(&root).expect("our own root is lawful");
        let files = BTreeMap::from([(Role::Root.file_name(Some(1)), root)]);
        let mut school = Self { keys, trust: first_trust.clone(), first_trust, version: 0, files };
        school.say(BTreeMap::new(), Time::default());
        school
    }

    /// Says that all devices should run a release, or another file that was never published under its path.
    pub fn assign(&mut self, release: &Published, forged: bool, now: Time) {
        let mut manifest = release.release.id().0;
        manifest[0] ^= u8::from(forged);
        let hashes = BTreeMap::from([("sha256".to_owned(), ManifestId(manifest).to_string())]);
        let custom = Some(json!({ "groups": { ALL: {} } }));
        let file = TargetFile { length: release.release.manifest().bytes(), hashes, custom };
        self.say(BTreeMap::from([(target_path(&release.version), file)]), now);
    }

    /// The root that a person vouches for.
    pub fn first_trust(&self) -> &TrustedSet {
        &self.first_trust
    }

    /// The newest that was said.
    pub fn head(&self) -> Option<Head> {
        self.trust.head()
    }

    /// A metadata file of the static repository: of this version, or the newest.
    pub fn metadata(&self, role: &Role, version: Option<u64>) -> Option<Arc<[u8]>> {
        self.files.get(&role.file_name(version)).cloned()
    }

    /// The time, for a device that asked with `nonce`.
    pub fn state_time(&self, nonce: &Nonce, now: Time) -> Vec<u8> {
        state_time(nonce, wall_clock(now), &self.keys.iter().map(Arc::as_ref).collect::<Vec<_>>())
    }

    fn say(&mut self, targets: BTreeMap<String, TargetFile>, now: Time) {
        self.version += 1;
        let version = self.version;
        let meta = |role: Role, bytes: &[u8]| BTreeMap::from([(role.meta_name(), FileMeta::of(version, bytes))]);
        let targets = signed(version, now, Targets { targets, delegations: None }, &self.keys);
        let snapshot = Snapshot { meta: meta(Role::Targets, &targets) };
        let snapshot = signed(version, now, snapshot, &self.keys);
        let signed_at = Some(Date::new(wall_clock(now)));
        let timestamp = Timestamp { meta: meta(Role::Snapshot, &snapshot), signed_at };
        let timestamp = signed(version, now, timestamp, &self.keys);
        for (role, bytes) in [(Role::Timestamp, timestamp), (Role::Snapshot, snapshot), (Role::Targets, targets)] {
            self.trust.offer(&role, &bytes).expect("the school believes itself");
            let version = (role != Role::Timestamp).then_some(version);
            self.files.insert(role.file_name(version), bytes.into());
        }
    }
}
