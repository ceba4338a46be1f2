//! A trusted set on its way to a disk and back.

use super::{Held, TrustedSet, parse};
use crate::trust::metadata::Snapshot;
use crate::trust::rejection::Rejection;
use crate::trust::role::Role;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why stored files do not make a trusted set.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The first root is not among them.
    #[error("the stored metadata has no root version 1")]
    NoRoot,
    /// The first root is spoiled.
    #[error("the stored root version 1 is spoiled")]
    Root(#[source] Rejection),
}

impl TrustedSet {
    /// Every file that [`TrustedSet::restore`] needs to come to the same state, under a name that says
    /// role and version. Store them in one transaction.
    pub fn files(&self) -> Vec<(String, Arc<[u8]>)> {
        let mut files = BTreeMap::new();
        for root in self.roots.values() {
            store(root, &Role::Root, &mut files);
        }
        // The complete set first: a newer file of the same version can be fetched again.
        let complete = self.complete.iter().map(|set| {
            let roles = set.roles.iter().chain(&set.disowned).collect::<Vec<_>>();
            (Some(&set.timestamp), Some(&set.snapshot), roles)
        });
        let newest = (self.timestamp.as_ref(), self.snapshot.as_ref(), self.roles.iter().collect());
        for (timestamp, snapshot, roles) in complete.chain([newest]) {
            timestamp.inspect(|held| store(held, &Role::Timestamp, &mut files));
            snapshot.inspect(|held| store(held, &Role::Snapshot, &mut files));
            roles.into_iter().for_each(|(role, file)| store(file, role, &mut files));
        }
        files.into_iter().collect()
    }

    /// Judges stored files anew. A spoiled one is left out, so that it is fetched again; only without
    /// root version 1 there is nothing to trust.
    pub fn restore<Bytes: AsRef<[u8]>>(files: impl IntoIterator<Item = (String, Bytes)>) -> Result<Self, RestoreError> {
        let files: Vec<(String, Bytes)> = files.into_iter().collect();
        let first = files.iter().find(|(name, _)| *name == stored_name(1, &Role::Root)).ok_or(RestoreError::NoRoot)?;
        let mut set = TrustedSet::pin(first.1.as_ref()).map_err(RestoreError::Root)?;
        set.recall(files);
        Ok(set)
    }

    /// Takes in what of these stored files can be believed, as it was when they were stored.
    pub fn recall<Bytes: AsRef<[u8]>>(&mut self, files: impl IntoIterator<Item = (String, Bytes)>) {
        let mut stored: BTreeMap<Role, BTreeMap<u64, Bytes>> = BTreeMap::new();
        for (name, bytes) in files {
            if let Some((version, role)) = parse_stored_name(&name) {
                stored.entry(role).or_default().insert(version, bytes);
            }
        }
        let roots = stored.remove(&Role::Root).unwrap_or_default();
        let timestamps = stored.remove(&Role::Timestamp).unwrap_or_default();
        for root in roots.values() {
            let _ = self.offer(&Role::Root, root.as_ref());
        }
        // At most two timestamps were stored: the complete set's, and a newer one.
        for timestamp in timestamps.values() {
            let _ = self.offer(&Role::Timestamp, timestamp.as_ref());
            while self.needs().iter().any(|need| {
                let bytes = need.version.and_then(|version| stored.get(&need.role)?.get(&version));
                bytes.is_some_and(|bytes| self.offer(&need.role, bytes.as_ref()).is_ok())
            }) {}
        }
        if let Some((_, newest)) = stored.get(&Role::Snapshot).and_then(BTreeMap::last_key_value) {
            self.restore_floor(newest.as_ref());
        }
    }

    /// Takes back a stored snapshot that a newer timestamp had overtaken. No file names it any more, but
    /// it was believed, and what it named stays a floor.
    fn restore_floor(&mut self, bytes: &[u8]) {
        let Ok(envelope) = parse::<Snapshot>(&Role::Snapshot, bytes) else { return };
        if self.timestamp.is_some() && self.check_top_level(&Role::Snapshot, &envelope).is_ok() {
            self.snapshot = Some(Held::new(bytes, envelope));
        }
    }
}

fn store<B>(held: &Held<B>, role: &Role, files: &mut BTreeMap<String, Arc<[u8]>>) {
    files.entry(stored_name(held.signed.version, role)).or_insert_with(|| held.bytes.clone());
}

/// Unlike in a repository, a stored timestamp has its version in its name, because two may be stored.
fn stored_name(version: u64, role: &Role) -> String {
    format!("{version}.{}.json", role.name())
}

fn parse_stored_name(name: &str) -> Option<(u64, Role)> {
    let (version, rest) = name.split_once('.')?;
    Some((version.parse().ok()?, Role::from_name(rest.strip_suffix(".json")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Accepted;
    use crate::trust::sample::{Sample, os};
    use proptest::prelude::*;

    const ROLES: [Role; 4] = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];

    impl TrustedSet {
        /// The versions that nothing may go below: of the timestamp, and of all that snapshots named.
        fn floors(&self) -> (Option<u64>, BTreeMap<String, u64>) {
            let snapshot = self.snapshot.iter().flat_map(|held| &held.signed.body.meta);
            let named = snapshot.map(|(file, meta)| (file.clone(), meta.version)).collect();
            (self.timestamp.as_ref().map(|held| held.signed.version), named)
        }
    }

    #[test]
    fn a_spoiled_stored_file_is_fetched_again() {
        let repository = Sample::release(1);
        let set = repository.trusted();
        let files = set.files();
        assert_eq!(files.len(), 5);
        for spoiled in 0..files.len() {
            for garbage in [&b""[..], b"garbage", &files[spoiled].1[1..]] {
                let mut files = files.clone();
                files[spoiled].1 = garbage.into();
                match TrustedSet::restore(files.clone()) {
                    Err(RestoreError::Root(_)) => assert_eq!(files[spoiled].0, "1.root.json"),
                    Err(error) => panic!("{error}"),
                    Ok(mut restored) => {
                        assert_eq!(restored.head(), None);
                        repository.offer_all(&mut restored);
                        assert_eq!(restored, set);
                    }
                }
            }
        }
        assert!(matches!(TrustedSet::restore(Vec::<(String, Vec<u8>)>::new()), Err(RestoreError::NoRoot)));
    }

    /// Files of several releases, and of two more roots that rotate keys.
    fn pool() -> Vec<(Role, Vec<u8>)> {
        let first = Sample::release(1);
        let second = Sample { root: 2, targets: 1, ..Sample::release(2) };
        let third = Sample { root: 3, timestamp_keys: vec![8], os_keys: vec![9], ..Sample::release(3) };
        let fourth = Sample { root: 4, targets_keys: vec![7], timestamp: 4, snapshot: 4, ..third.clone() };
        let mut pool = Vec::new();
        for sample in [first, second, third, fourth] {
            for role in ROLES.into_iter().chain([os()]) {
                let bytes = sample.file(&role);
                pool.push((role, bytes));
            }
        }
        pool
    }

    /// One thing that happens to a trusted set.
    #[derive(Clone, Debug)]
    enum Step {
        /// Some file is offered, whether it fits or not.
        Any(prop::sample::Index),
        /// A file with a damaged byte is offered.
        Damaged(prop::sample::Index, u16, u8),
        /// The first file that is believed, going round from some file.
        Fitting(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<prop::sample::Index>().prop_map(Step::Any),
            any::<(prop::sample::Index, u16, u8)>().prop_map(|(pick, at, mask)| Step::Damaged(pick, at, mask)),
            any::<prop::sample::Index>().prop_map(Step::Fitting),
        ]
    }

    /// Offers a file; returns whether it was taken in, and fails if it was not and left a trace.
    fn offer(set: &mut TrustedSet, role: &Role, bytes: &[u8]) -> Result<bool, TestCaseError> {
        let before = set.clone();
        let accepted = matches!(set.offer(role, bytes), Ok(Accepted::New));
        prop_assert!(accepted || *set == before);
        Ok(accepted)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whatever_comes_a_refusal_leaves_no_trace_and_a_restart_forgets_nothing(
            steps in prop::collection::vec(step(), 0..30),
        ) {
            let pool = pool();
            let mut set = TrustedSet::pin(&pool[0].1).unwrap();
            for step in steps {
                match step {
                    Step::Any(pick) => {
                        let (role, bytes) = pick.get(&pool);
                        offer(&mut set, role, bytes)?;
                    }
                    Step::Damaged(pick, at, mask) => {
                        let (role, mut bytes) = pick.get(&pool).clone();
                        let at = usize::from(at) % bytes.len();
                        bytes[at] ^= mask;
                        offer(&mut set, &role, &bytes)?;
                    }
                    Step::Fitting(pick) => {
                        let from = pick.index(pool.len());
                        for (role, bytes) in pool[from..].iter().chain(&pool[..from]) {
                            if offer(&mut set, role, bytes)? {
                                break;
                            }
                        }
                    }
                }
            }
            let restored = TrustedSet::restore(set.files()).unwrap();
            prop_assert_eq!(restored.head(), set.head());
            prop_assert_eq!(restored.complete(), set.complete());
            prop_assert_eq!(restored.needs(), set.needs());
            prop_assert_eq!(restored.floors(), set.floors());
        }
    }
}
