//! A metadata file with its signatures, whatever it says: unlike the publisher's code, this signs nonsense as well.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

/// Keys are numbers below this.
const KEYS: u8 = 32;

/// A key pair and how metadata speaks of it.
struct Key {
    pair: Ed25519KeyPair,
    id: String,
    public: Value,
}

static KEY_RING: LazyLock<Vec<Key>> = LazyLock::new(|| (0..KEYS).map(Key::new).collect());

impl Key {
    fn new(number: u8) -> Key {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number + 1; 32]).expect("32 bytes are a seed");
        let public = hex::encode(pair.public_key().as_ref());
        let public = json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } });
        Key { id: hex::encode(Sha256::digest(canonical(&public))), pair, public }
    }
}

/// The id of a key.
pub fn keyid(number: u8) -> String {
    KEY_RING[usize::from(number)].id.clone()
}

/// A key as metadata states it.
pub fn public_key(number: u8) -> Value {
    KEY_RING[usize::from(number)].public.clone()
}

/// Who signs, and in whose name.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The id that stands beside the signature.
    pub keyid: String,
    /// The key that makes it.
    pub key: u8,
}

/// A file that was signed.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says.
    pub signed: Value,
    /// Who signs it.
    pub signers: Vec<Signer>,
    /// The file, as it was last written.
    pub bytes: Arc<Vec<u8>>,
}

impl Document {
    /// Signed by these keys.
    pub fn new(signed: Value, keys: &[u8]) -> Document {
        let signers = keys.iter().map(|key| Signer { keyid: keyid(*key), key: *key }).collect();
        let mut document = Document { signed, signers, bytes: Arc::default() };
        document.sign();
        document
    }

    /// Signs what it says now.
    pub fn sign(&mut self) {
        let signatures = self.signatures();
        self.write(&Value::Array(signatures));
    }

    /// The signatures that its signers make.
    pub fn signatures(&self) -> Vec<Value> {
        let form = canonical(&self.signed);
        let signature = |signer: &Signer| {
            let made = KEY_RING[usize::from(signer.key)].pair.sign(&form);
            json!({ "keyid": signer.keyid, "sig": hex::encode(made.as_ref()) })
        };
        self.signers.iter().map(signature).collect()
    }

    /// Puts what it says together with signatures, right or wrong.
    pub fn write(&mut self, signatures: &Value) {
        let file = json!({ "signatures": signatures, "signed": self.signed });
        self.bytes = Arc::new(serde_json::to_vec(&file).expect("a value is JSON"));
    }

    /// How a file above it names it.
    pub fn file_meta(&self) -> Value {
        let hashes = json!({ "sha256": hex::encode(Sha256::digest(&*self.bytes)) });
        json!({ "version": self.signed["version"], "length": self.bytes.len(), "hashes": hashes })
    }
}

/// The form that securesystemslib signs. A float has none; it is written as it came.
fn canonical(value: &Value) -> Vec<u8> {
    let mut form = String::new();
    write_canonical(value, &mut form);
    form.into_bytes()
}

fn write_canonical(value: &Value, form: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => form.push_str(&value.to_string()),
        Value::String(text) => write_string(text, form),
        Value::Array(items) => {
            form.push('[');
            for (at, item) in items.iter().enumerate() {
                form.push_str(if at == 0 { "" } else { "," });
                write_canonical(item, form);
            }
            form.push(']');
        }
        Value::Object(members) => {
            form.push('{');
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            for (at, (key, item)) in sorted.into_iter().enumerate() {
                form.push_str(if at == 0 { "" } else { "," });
                write_string(key, form);
                form.push(':');
                write_canonical(item, form);
            }
            form.push('}');
        }
    }
}

fn write_string(text: &str, form: &mut String) {
    form.push('"');
    form.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
    form.push('"');
}
