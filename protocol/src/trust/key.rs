//! Public keys in TUF's form, and their ids.

use super::json::Json;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The only key type, and its scheme, that this code judges; a key of another type counts nothing.
pub const ED25519: &str = "ed25519";

/// A public key as metadata states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The kind of key.
    pub keytype: String,
    /// How it signs.
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyValue,
}

/// The public part of a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyValue {
    /// For Ed25519: 32 bytes as hexadecimal digits.
    pub public: String,
}

impl Key {
    /// The TUF form of an Ed25519 key.
    pub fn ed25519(key: &VerifyingKey) -> Self {
        Key {
            keytype: ED25519.to_owned(),
            scheme: ED25519.to_owned(),
            keyval: KeyValue { public: hex::encode(key.as_bytes()) },
        }
    }

    /// The key to check signatures with; nothing if its type is not known here or it is no key.
    pub fn verifying_key(&self) -> Option<VerifyingKey> {
        if self.keytype != ED25519 || self.scheme != ED25519 {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(&self.keyval.public, &mut bytes).ok()?;
        VerifyingKey::from_bytes(&bytes).ok()
    }

    /// The id under which our metadata lists the key: SHA-256 of the key's canonical form, in
    /// hexadecimal, as securesystemslib computes it. A reader takes ids as they come.
    pub fn id(&self) -> String {
        let member = |key: &str, text: &String| (key.to_owned(), Json::String(text.clone()));
        let keyval = Json::Object([member("public", &self.keyval.public)].into());
        let key = Json::Object(
            [member("keytype", &self.keytype), member("scheme", &self.scheme), ("keyval".to_owned(), keyval)].into(),
        );
        hex::encode(Sha256::digest(key.canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(public: &str) -> Key {
        Key { keytype: ED25519.into(), scheme: ED25519.into(), keyval: KeyValue { public: public.into() } }
    }

    #[test]
    fn the_key_id_is_that_of_securesystemslib() {
        // `compute_default_keyid`, securesystemslib 1.6.0, on the public key of RFC 8032 test 1.
        let key = key("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(key.id(), "74c181c7ad8a0855d4b55e44d2ba87aabdddb196832571f15f92fece332e4916");
    }

    #[test]
    fn what_is_no_ed25519_key_checks_nothing() {
        let good = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert!(key(good).verifying_key().is_some());
        assert!(key(&good[2..]).verifying_key().is_none());
        assert!(key("zz").verifying_key().is_none());
        assert!(Key { scheme: "ed448".into(), ..key(good) }.verifying_key().is_none());
        assert!(Key { keytype: "rsa".into(), ..key(good) }.verifying_key().is_none());
    }
}
