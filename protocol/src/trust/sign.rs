//! The publisher's side: secret keys, and files signed with them. Nothing here draws randomness or
//! touches a disk; the caller brings the bytes of a new key and stores its text.

use super::envelope::{Body, Envelope, MetadataError, Signed};
use super::json::Json;
use super::key::Key;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signer, SigningKey};
use serde::Serialize;
use serde_json::{Value, json};

/// A secret Ed25519 key.
pub struct SecretKey(SigningKey);

/// A text is not an Ed25519 key in PKCS#8 PEM.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8 PEM form")]
pub struct SecretKeyError(#[from] ed25519_dalek::pkcs8::Error);

impl SecretKey {
    /// The key that 32 random bytes make.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        SecretKey(SigningKey::from_bytes(bytes))
    }

    /// Reads a key from PKCS#8 PEM, as OpenSSL and other TUF programs write it.
    pub fn from_pem(text: &str) -> Result<Self, SecretKeyError> {
        Ok(SecretKey(SigningKey::from_pkcs8_pem(text)?))
    }

    /// The key as PKCS#8 PEM; wiped from memory when dropped. The public key is left out, because
    /// OpenSSL refuses the newer form that carries it.
    pub fn to_pem(&self) -> impl std::ops::Deref<Target = String> + use<> {
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF).expect("32 bytes always fit the PKCS#8 form")
    }

    /// Its public key.
    pub fn public(&self) -> Key {
        Key::ed25519(&self.0.verifying_key())
    }
}

/// The bytes of a metadata file that says `signed`, signed by all of `keys`.
///
/// # Panics
/// If `signed` holds what is not strict JSON, such as a float in a target's `custom`.
pub fn sign<B: Body>(signed: &Signed<B>, keys: &[&SecretKey]) -> Vec<u8> {
    #[derive(Serialize)]
    struct File<'a, B> {
        signatures: Vec<Signature>,
        signed: &'a Signed<B>,
    }
    #[derive(Serialize)]
    struct Signature {
        keyid: String,
        sig: String,
    }
    let text = serde_json::to_vec(signed).expect("metadata types serialise to JSON");
    let canonical = Json::parse(&text).expect("the publisher checks what it signs").canonical();
    let signatures = keys
        .iter()
        .map(|key| Signature { keyid: key.public().id(), sig: hex::encode(key.0.sign(&canonical).to_bytes()) })
        .collect();
    serde_json::to_vec(&File { signatures, signed }).expect("metadata types serialise to JSON")
}

/// The same file with one more signature; whatever else it says, and in whatever words, it goes on saying.
pub fn add_signature<B: Body>(file: &[u8], key: &SecretKey) -> Result<Vec<u8>, MetadataError> {
    let Envelope { canonical, .. } = Envelope::<B>::parse(file)?;
    let mut file: Value = serde_json::from_slice(file).map_err(MetadataError::Shape)?;
    let id = key.public().id();
    let signatures = file.get_mut("signatures").and_then(Value::as_array_mut);
    let signatures = signatures.ok_or(MetadataError::Unlawful("it has no list \"signatures\""))?;
    signatures.retain(|signature| signature["keyid"] != id);
    signatures.push(json!({ "keyid": id, "sig": hex::encode(key.0.sign(&canonical).to_bytes()) }));
    serde_json::to_vec(&file).map_err(MetadataError::Shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, section 10.3, with the public key of section 10.1 in hexadecimal.
    const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const RFC_8410_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

    #[test]
    fn a_key_is_written_in_the_form_of_rfc_8410() {
        let key = SecretKey::from_pem(RFC_8410).unwrap();
        assert_eq!(key.public().keyval.public, RFC_8410_PUBLIC);
        assert_eq!(*key.to_pem(), RFC_8410);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "garbage", &RFC_8410[1..], &RFC_8410.replace("MC4C", "MC4D")] {
            assert!(SecretKey::from_pem(text).is_err());
        }
    }
}
