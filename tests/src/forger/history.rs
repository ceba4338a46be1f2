//! What a good publisher serves, one publication after the other.

use super::choices::Choices;
use super::document::{Document, keyid, public_key};
use protocol::trust::Role;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Paths that a search is asked for: in every role, where a role may not name them, in two spellings, and nowhere.
pub const PATHS: [&str; 13] = [
    "top.manifest",
    "os/a.manifest",
    "os/b.manifest",
    "os/deep/a.manifest",
    "apps/x",
    "apps/vendor/y",
    "apps/vendor/z",
    "shared/s",
    "shared/t",
    "binned",
    "\u{e9}.manifest",
    "e\u{301}.manifest",
    "nowhere",
];

/// When all of it is judged: 2026-12-01T00:00:00Z.
pub const NOW_S: i64 = 1_796_083_200;

/// Good histories to begin from. Each is another mixture of thresholds, delegations and rotations.
static HISTORIES: LazyLock<Vec<Vec<Publication>>> = LazyLock::new(|| {
    let history = |shape| Shape::drawn(&mut Choices::drawn(1, shape)).publish();
    (0..64).map(history).collect()
});

/// One of the good histories.
pub fn good(choices: &mut Choices) -> Vec<Publication> {
    choices.pick(&HISTORIES).clone()
}

/// What a repository holds at one moment.
#[derive(Clone, Debug)]
pub struct Publication {
    /// All roots, the first first.
    pub roots: Vec<Arc<Document>>,
    /// The newest file of each other role, by its name.
    pub documents: BTreeMap<String, Arc<Document>>,
}

/// Files by name. Most of them are those of a good history, which all cases share.
pub type Served = BTreeMap<String, Arc<Vec<u8>>>;

impl Publication {
    /// Makes the files above a role's file name it as it is now, and signs them again.
    pub fn relink(&mut self, name: &str) {
        let above = match name {
            "root" | "timestamp" => return,
            "snapshot" => "timestamp",
            _ => "snapshot",
        };
        let meta = self.documents.get(name).map(|document| document.file_meta());
        let (Some(meta), Some(document)) = (meta, self.documents.get_mut(above)) else { return };
        let document = Arc::make_mut(document);
        if let Some(named) = document.signed.pointer_mut("/meta").and_then(Value::as_object_mut) {
            named.insert(format!("{name}.json"), meta);
        }
        document.sign();
        self.relink(above);
    }

    /// The files as a server has them, each with and without its version in its name.
    pub fn served(&self) -> Served {
        let mut served = Served::new();
        for (version, root) in (1..).zip(&self.roots) {
            served.insert(Role::Root.file_name(Some(version)), root.bytes.clone());
        }
        for (name, document) in &self.documents {
            let above = if name == "snapshot" { "timestamp" } else { "snapshot" };
            let meta = self.documents.get(above).and_then(|above| above.signed.get("meta"));
            let named = meta.and_then(|meta| meta.get(format!("{name}.json"))?.get("version")?.as_u64());
            let role = Role::from_name(name);
            served.insert(role.file_name(None), document.bytes.clone());
            served.insert(role.file_name(named.or(document.signed["version"].as_u64())), document.bytes.clone());
        }
        served
    }
}

/// How one repository is made, and what happens to it.
struct Shape {
    consistent_snapshot: bool,
    /// Whether snapshots state more of a file than its version.
    hashes: bool,
    /// Which delegations end a search.
    terminating: [bool; 4],
    /// Keys and threshold of root, timestamp, snapshot and targets, as they are now.
    keys: [(Vec<u8>, usize); 4],
    /// What each further publication rotates: the place of a role in `keys`, or nothing.
    rotations: Vec<Option<usize>>,
}

const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

impl Shape {
    fn drawn(choices: &mut Choices) -> Shape {
        let mut keys = [(vec![0, 1, 2], 2), (vec![3], 1), (vec![4], 1), (vec![5, 6, 7], 2)];
        if choices.once_in(3) {
            keys[0] = (vec![0], 1);
        }
        if choices.once_in(3) {
            keys[1] = (vec![3, 8], 1);
        }
        Shape {
            consistent_snapshot: !choices.once_in(4),
            hashes: !choices.once_in(4),
            terminating: [(); 4].map(|()| choices.once_in(3)),
            keys,
            rotations: (0..1 + usize::from(choices.once_in(4)))
                .map(|_| choices.once_in(2).then(|| choices.below(4)))
                .collect(),
        }
    }

    fn publish(mut self) -> Vec<Publication> {
        let mut roots = vec![Arc::new(self.root(1, &[]))];
        let mut history = vec![self.publication(1, &roots)];
        for (at, rotated) in self.rotations.clone().into_iter().enumerate() {
            if let Some(role) = rotated {
                let before = self.keys[0].0.clone();
                let fresh = u8::try_from(20 + at).expect("few publications");
                self.keys[role].0[0] = fresh;
                roots.push(Arc::new(self.root(roots.len() + 1, &before)));
            }
            history.push(self.publication(at + 2, &roots));
        }
        history
    }

    /// A root that the keys before it sign as well.
    fn root(&self, version: usize, before: &[u8]) -> Document {
        let numbers = self.keys.iter().flat_map(|(keys, _)| keys);
        let roles = TOP_LEVEL.iter().zip(&self.keys).map(|(name, (keys, threshold))| {
            ((*name).to_owned(), json!({ "keyids": keyids(keys), "threshold": threshold }))
        });
        let signed = json!({
            "_type": "root", "spec_version": "1.0.34", "version": version, "expires": "2028-11-01T00:00:00Z",
            "consistent_snapshot": self.consistent_snapshot,
            "keys": keys(numbers.copied()), "roles": roles.collect::<Map<_, _>>(),
        });
        let mut signers = self.keys[0].0.clone();
        signers.extend(before.iter().filter(|key| !self.keys[0].0.contains(key)));
        Document::new(signed, &signers)
    }

    fn publication(&self, version: usize, roots: &[Arc<Document>]) -> Publication {
        let [_, timestamp, snapshot, targets] = &self.keys;
        let mut documents = BTreeMap::from([
            ("targets".to_owned(), Document::new(self.targets(version), &targets.0)),
            ("os".to_owned(), Document::new(os(version), &[10])),
            ("apps".to_owned(), Document::new(self.apps(version), &[11, 12])),
            ("vendor".to_owned(), Document::new(self.vendor(version), &[13])),
            ("shared".to_owned(), Document::new(shared(version), &[14])),
            ("leaf \u{e9}?".to_owned(), Document::new(leaf(version), &[15])),
            ("bins".to_owned(), Document::new(bins(version), &[16])),
        ]);
        let meta = |(name, document): (&String, &Document)| {
            let meta = if self.hashes { document.file_meta() } else { json!({ "version": version }) };
            (format!("{name}.json"), meta)
        };
        let meta: Map<_, _> = documents.iter().map(meta).collect();
        let named = json!({
            "_type": "snapshot", "spec_version": "1.0.34", "version": version, "expires": "2027-11-01T00:00:00Z",
            "meta": meta,
        });
        documents.insert("snapshot".to_owned(), Document::new(named, &snapshot.0));
        let newest = json!({
            "_type": "timestamp", "spec_version": "1.0.34", "version": version, "expires": "2027-02-01T00:00:00Z",
            "x-signed-at": "2026-11-01T00:00:00Z",
            "meta": { "snapshot.json": documents["snapshot"].file_meta() },
        });
        documents.insert("timestamp".to_owned(), Document::new(newest, &timestamp.0));
        let documents = documents.into_iter().map(|(name, document)| (name, Arc::new(document))).collect();
        Publication { roots: roots.to_vec(), documents }
    }

    fn targets(&self, version: usize) -> Value {
        let roles = [
            delegation("os", &[10], 1, self.terminating[0], &["os/*"]),
            delegation("apps", &[11, 12], 2, self.terminating[1], &["apps/*", "apps/*/*", "shared/*"]),
            delegation("shared", &[14], 1, self.terminating[2], &["shared/?", "apps/vendor/*"]),
            binned("bins", 16, self.terminating[3]),
        ];
        let delegations = json!({ "keys": keys([10, 11, 12, 14, 16]), "roles": roles });
        role("targets", version, &["top.manifest", "\u{e9}.manifest"], Some(delegations))
    }

    fn apps(&self, version: usize) -> Value {
        let roles = [
            delegation("vendor", &[13], 1, self.terminating[2], &["apps/vendor/*"]),
            delegation("shared", &[14], 1, self.terminating[3], &["shared/*"]),
        ];
        let delegations = json!({ "keys": keys([13, 14]), "roles": roles });
        role("apps", version, &["apps/x", "os/b.manifest"], Some(delegations))
    }

    /// One of its delegations leads back.
    fn vendor(&self, version: usize) -> Value {
        let roles = [
            delegation("apps", &[11, 12], 2, false, &["apps/*/*"]),
            delegation("leaf \u{e9}?", &[15], 1, self.terminating[0], &["apps/vendor/?"]),
        ];
        let delegations = json!({ "keys": keys([11, 12, 15]), "roles": roles });
        role("vendor", version, &["apps/vendor/y"], Some(delegations))
    }
}

fn os(version: usize) -> Value {
    role("os", version, &["os/a.manifest", "os/deep/a.manifest", "apps/x"], None)
}

fn shared(version: usize) -> Value {
    role("shared", version, &["shared/s", "shared/t", "apps/vendor/z"], None)
}

fn leaf(version: usize) -> Value {
    role("leaf", version, &["apps/vendor/z", "apps/vendor/y"], None)
}

fn bins(version: usize) -> Value {
    role("bins", version, &["binned", "e\u{301}.manifest", "os/b.manifest", "shared/s"], None)
}

fn delegation(name: &str, numbers: &[u8], threshold: usize, terminating: bool, paths: &[&str]) -> Value {
    json!({
        "name": name, "keyids": keyids(numbers), "threshold": threshold, "terminating": terminating, "paths": paths,
    })
}

/// A delegation of whatever has a hash that begins with one of half of all digits, or is called "binned".
fn binned(name: &str, number: u8, terminating: bool) -> Value {
    let first = &hex::encode(Sha256::digest("binned"))[..3];
    json!({
        "name": name, "keyids": keyids(&[number]), "threshold": 1, "terminating": terminating,
        "path_hash_prefixes": [first, "0", "2", "4", "6", "8", "a", "c", "e"],
    })
}

/// Each role gives a path a length and hashes of its own, so that what is found tells whose word it is.
fn role(name: &str, version: usize, paths: &[&str], delegations: Option<Value>) -> Value {
    let file = |path: &&str| {
        let bytes = format!("{name} {version} {path}");
        let mut hashes = json!({ "sha256": hex::encode(Sha256::digest(&bytes)) });
        if version > 1 {
            hashes["sha512"] = json!(hex::encode(Sha512::digest(&bytes)));
        }
        ((*path).to_owned(), json!({ "length": bytes.len(), "hashes": hashes }))
    };
    let targets: Map<_, _> = paths.iter().map(file).collect();
    let mut signed = json!({
        "_type": "targets", "spec_version": "1.0.34", "version": version, "expires": "2027-11-01T00:00:00Z",
        "targets": targets,
    });
    if let Some(delegations) = delegations {
        signed["delegations"] = delegations;
    }
    signed
}

fn keyids(numbers: &[u8]) -> Vec<String> {
    numbers.iter().map(|number| keyid(*number)).collect()
}

fn keys(numbers: impl IntoIterator<Item = u8>) -> Map<String, Value> {
    numbers.into_iter().map(|number| (keyid(number), public_key(number))).collect()
}
