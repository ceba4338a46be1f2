//! What `sigstore-tuf` makes of a repository, with the signatures and hashes of `ring`.

use super::Verdict;
use jiff::Timestamp;
use sigstore_crypto::{CryptoProvider, HashContext, SigningScheme, install_default_provider};
use sigstore_tuf::cache::MetadataStore;
use sigstore_tuf::{Error, MemoryStore, Result, StoreRepository, Updater};
use sigstore_types::HashAlgorithm;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tests::forger::history::{NOW_S, Served};

/// A client of `sigstore-tuf`, with a memory of what it has verified.
pub struct Theirs {
    updater: Updater,
    server: Arc<Server>,
}

/// A repository that serves whatever it is told to.
#[derive(Default)]
struct Server {
    served: Mutex<Served>,
    asked_last: Mutex<String>,
}

impl MetadataStore for Server {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>> {
        name.clone_into(&mut self.asked_last.lock().unwrap());
        Ok(self.served.lock().unwrap().get(name).map(|bytes| bytes.to_vec()))
    }

    fn store(&self, _: &str, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl Theirs {
    pub fn new(root: &[u8]) -> Result<Theirs> {
        // A second call finds it installed.
        let _ = install_default_provider(&RING);
        let server = Arc::new(Server::default());
        let updater = Updater::new(StoreRepository::new(server.clone()), root)?.with_store(MemoryStore::new());
        Ok(Theirs { updater, server })
    }

    pub fn judge(&mut self, served: &Served, paths: &[&str]) -> Verdict<Error> {
        served.clone_into(&mut self.server.served.lock().unwrap());
        let now = Timestamp::from_second(NOW_S).unwrap();
        let refused = at_once(self.updater.refresh(now)).err().map(|why| (self.server.asked_last(), why));
        let mut find = |path: &&str| match at_once(self.updater.get_target_info(path, now)) {
            Ok(found) => Ok(found.map(|file| (file.length, file.hashes))),
            Err(why) => Err((self.server.asked_last(), why)),
        };
        let found = if refused.is_none() { paths.iter().map(&mut find).collect() } else { Vec::new() };
        let trusted = self.updater.trusted();
        let trusted = (trusted.root().version, trusted.timestamp().map(|timestamp| timestamp.version));
        Verdict { trusted, refused, found }
    }
}

impl Server {
    fn asked_last(&self) -> String {
        self.asked_last.lock().unwrap().clone()
    }
}

/// The value of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("files in memory are there at once"),
    }
}

/// Hashes and Ed25519; no other scheme is known.
///
/// They check a role's signatures again at each refresh and at each search, and most files are those of a good history:
/// so a signature is checked once, and what came of it is kept under all that it depends on.
#[derive(Debug)]
struct Ring {
    /// By SHA-256 of key, signature and message.
    checked: Mutex<BTreeMap<[u8; 32], bool>>,
}

static RING: Ring = Ring { checked: Mutex::new(BTreeMap::new()) };

/// So many verdicts on signatures are some megabytes; then all are forgotten.
const CHECKED_MAX: usize = 1 << 16;

impl Ring {
    fn is_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let mut all = ring::digest::Context::new(&ring::digest::SHA256);
        for part in [key, signature, message] {
            all.update(&(part.len() as u64).to_le_bytes());
            all.update(part);
        }
        let name: [u8; 32] = all.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some(known) = self.checked.lock().unwrap().get(&name) {
            return *known;
        }
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
        let is_good = key.verify(message, signature).is_ok();
        let mut checked = self.checked.lock().unwrap();
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(name, is_good);
        is_good
    }
}

struct Hash(ring::digest::Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> sigstore_crypto::Result<Box<dyn HashContext>> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &ring::digest::SHA256,
            HashAlgorithm::Sha2512 => &ring::digest::SHA512,
            _ => &ring::digest::SHA384,
        };
        Ok(Box::new(Hash(ring::digest::Context::new(algorithm))))
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> sigstore_crypto::Result<()> {
        let refuse = |why: &str| sigstore_crypto::Error::Verification(why.to_owned());
        if scheme != SigningScheme::Ed25519 {
            return Err(refuse("not Ed25519"));
        }
        if self.is_signature(key, data, signature) { Ok(()) } else { Err(refuse("not its signature")) }
    }

    fn verify_prehashed(&self, _: SigningScheme, _: &[u8], _: &[u8], _: &[u8]) -> sigstore_crypto::Result<()> {
        Err(sigstore_crypto::Error::Verification("nothing here signs a hash".to_owned()))
    }
}
