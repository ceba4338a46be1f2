//! Keys of repositories that others sign: ECDSA on P-256 and RSA-PSS, both with SHA-256, as python-tuf writes them.
//! Homeroom's own repositories have none, and a device does not judge them.

use super::Key;
use ed25519_dalek::pkcs8::spki::SubjectPublicKeyInfoRef;
use ed25519_dalek::pkcs8::spki::der::{Decode, Document};
use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};

/// A key of ECDSA or RSA.
#[derive(Debug)]
pub struct InteropKey(UnparsedPublicKey<Vec<u8>>);

impl InteropKey {
    /// The key that metadata states as PEM, if it is of a type known here.
    pub fn of(key: &Key) -> Option<Self> {
        let algorithm: &dyn VerificationAlgorithm = match (&*key.keytype, &*key.scheme) {
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => &ECDSA_P256_SHA256_ASN1,
            ("rsa", "rsassa-pss-sha256") => &RSA_PSS_2048_8192_SHA256,
            _ => return None,
        };
        let (label, document) = Document::from_pem(&key.keyval.public).ok()?;
        let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).ok().filter(|_| label == "PUBLIC KEY")?;
        Some(Self(UnparsedPublicKey::new(algorithm, info.subject_public_key.as_bytes()?.to_vec())))
    }

    /// Whether the signature is this key's over the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(message, signature).is_ok()
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}
