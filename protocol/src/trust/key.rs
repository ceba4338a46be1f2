//! Public keys in TUF's form, their ids, and what they check.

#[cfg(feature = "interop-keys")]
mod interop;

use super::json::Json;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The only key type, and its scheme, that Homeroom signs with and judges; a key of another type counts nothing. The
/// feature `interop-keys` adds those of other people's repositories, for tests beside other TUF programs.
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

    /// Reads an Ed25519 key from PEM, as OpenSSL writes it.
    pub fn from_pem(text: &str) -> Option<Self> {
        VerifyingKey::from_public_key_pem(text).ok().map(|key| Self::ed25519(&key))
    }

    /// The key as PEM, if it is one of Ed25519.
    pub fn to_pem(&self) -> Option<String> {
        match self.public_key()? {
            PublicKey::Ed25519(key) => key.to_public_key_pem(LineEnding::LF).ok(),
            #[cfg(feature = "interop-keys")]
            PublicKey::Interop(_) => None,
        }
    }

    /// The key to check signatures with; nothing if its type is not known here or it is no key.
    pub fn public_key(&self) -> Option<PublicKey> {
        #[cfg(feature = "interop-keys")]
        if self.keytype != ED25519 {
            return interop::InteropKey::of(self).map(PublicKey::Interop);
        }
        if self.keytype != ED25519 || self.scheme != ED25519 {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(&self.keyval.public, &mut bytes).ok()?;
        VerifyingKey::from_bytes(&bytes).ok().map(PublicKey::Ed25519)
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

/// A key that signatures are checked with.
#[derive(Debug)]
pub enum PublicKey {
    /// Of Ed25519.
    Ed25519(VerifyingKey),
    /// Of another repository.
    #[cfg(feature = "interop-keys")]
    Interop(interop::InteropKey),
}

impl PublicKey {
    /// Whether the signature is this key's over the message. `verify_strict` refuses keys of small order and a second
    /// spelling of a signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::Ed25519(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            #[cfg(feature = "interop-keys")]
            PublicKey::Interop(key) => key.verifies(message, signature),
        }
    }

    /// What makes it the key that it is, however metadata spells it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            PublicKey::Ed25519(key) => key.as_bytes(),
            #[cfg(feature = "interop-keys")]
            PublicKey::Interop(key) => key.bytes(),
        }
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
    fn a_public_key_is_written_in_the_form_of_rfc_8410() {
        // Section 10.1.
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        let key = key("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        assert_eq!(Key::from_pem(pem), Some(key.clone()));
        assert_eq!(key.to_pem().as_deref(), Some(pem));
        assert_eq!(Key::from_pem(&pem[1..]), None);
    }

    #[test]
    fn what_is_no_ed25519_key_checks_nothing() {
        let good = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert!(key(good).public_key().is_some());
        assert!(key(&good[2..]).public_key().is_none());
        assert!(key("zz").public_key().is_none());
        assert!(Key { scheme: "ed448".into(), ..key(good) }.public_key().is_none());
        assert!(Key { keytype: "rsa".into(), ..key(good) }.public_key().is_none());
    }
}
