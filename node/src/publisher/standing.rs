//! Who signed a file as a role, and who has to sign it yet.

use protocol::trust::envelope::{Body, Envelope};
use protocol::trust::key::Key;
use protocol::trust::metadata::Authority;
use protocol::trust::verify::verify;
use std::collections::BTreeMap;

/// How far a file is from being believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Distinct keys whose signatures are good.
    pub signed: Vec<String>,
    /// Keys that have not signed.
    pub missing: Vec<String>,
    /// How many must sign.
    pub threshold: u64,
}

impl Standing {
    /// That of a file, among those who may sign it.
    pub fn of<B: Body>(envelope: &Envelope<B>, authority: &Authority, keys: &BTreeMap<String, Key>) -> Self {
        let Authority { keyids, threshold } = authority;
        let alone = |id: &&String| {
            let alone = Authority { keyids: vec![(*id).clone()], threshold: 1 };
            verify(envelope, &alone, keys).is_ok()
        };
        let (signed, missing) = keyids.iter().partition::<Vec<&String>, _>(alone);
        let owned = |ids: Vec<&String>| ids.into_iter().cloned().collect();
        Self { signed: owned(signed), missing: owned(missing), threshold: *threshold }
    }

    /// Whether enough have signed.
    pub fn is_complete(&self) -> bool {
        self.signed.len() as u64 >= self.threshold
    }
}
