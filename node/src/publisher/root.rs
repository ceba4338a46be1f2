//! A root in the making: who may sign as what, and how many must. Its keys lie on sticks in several people's drawers,
//! so it is a file that travels: drafted here, signed there, and put into use once enough have signed. Until then it is
//! *pending*, and what the repository serves is untouched. The file is a metadata file like any other; other TUF
//! programs can sign it too.

use super::edition::{ROOT_LIFE_S, after};
use super::standing::Standing;
use protocol::time::UnixTime;
use protocol::trust::Role;
use protocol::trust::envelope::{Envelope, MetadataError, Signed};
use protocol::trust::key::Key;
use protocol::trust::metadata::{Authority, Root};
use protocol::trust::sign::{SecretKey, add_signature, sign};
use std::collections::BTreeMap;

/// The roles whose keys a root names.
pub const TOP_LEVEL: [Role; 4] = [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp];

/// Why a root was not changed or signed.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The file is no root.
    #[error("it is no root metadata")]
    Unreadable(#[from] MetadataError),
    /// Delegated roles have their keys elsewhere.
    #[error("a root names the keys of root, targets, snapshot and timestamp, not of {0}")]
    NotTopLevel(Role),
    /// The key is there already.
    #[error("key {id} may sign as {role} already")]
    HasKey {
        /// The key's id.
        id: String,
        /// The role.
        role: Role,
    },
    /// There is no such key.
    #[error("no key {id} may sign as {role}; see: homeroom root show")]
    NoKey {
        /// The key's id.
        id: String,
        /// The role.
        role: Role,
    },
    /// Nobody waits for this signature.
    #[error(
        "key {0} is no root key of this draft; if it is one of the root before, name that with --after; or add it first: \
         homeroom root add-key"
    )]
    ForeignKey(String),
    /// A threshold that nobody can reach, or everybody.
    #[error("{threshold} of {keys} keys cannot have to sign as {role}; add keys first, or choose 1 to {keys}")]
    Threshold {
        /// The role.
        role: Role,
        /// How many must sign.
        threshold: u64,
        /// How many could.
        keys: usize,
    },
}

/// A root that can still be changed.
#[derive(Debug)]
pub struct Draft {
    signed: Signed<Root>,
    bytes: Vec<u8>,
}

impl Draft {
    /// The first root of a repository: nobody may sign yet.
    pub fn first(now: UnixTime) -> Self {
        let nobody = |role: Role| (role.name().to_owned(), Authority { keyids: Vec::new(), threshold: 1 });
        let roles = TOP_LEVEL.into_iter().map(nobody).collect();
        let body = Root { consistent_snapshot: true, keys: BTreeMap::new(), roles };
        Self::unsigned(Signed::new(1, after(now, ROOT_LIFE_S), body))
    }

    /// The root after `root`, with the same keys.
    pub fn following(root: &Signed<Root>, now: UnixTime) -> Self {
        Self::unsigned(Signed::new(root.version + 1, after(now, ROOT_LIFE_S), root.body.clone()))
    }

    /// A draft that was begun before.
    pub fn read(bytes: Vec<u8>) -> Result<Self, DraftError> {
        let Envelope { signed, .. } = Envelope::<Root>::parse(&bytes)?;
        Ok(Self { signed, bytes })
    }

    fn unsigned(signed: Signed<Root>) -> Self {
        Self { bytes: sign(&signed, &[]), signed }
    }

    /// The file, with the signatures so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub fn signed(&self) -> &Signed<Root> {
        &self.signed
    }

    /// Lets a key sign as `role`. Whoever signed the draft before has to sign it again, here and below.
    pub fn add_key(&mut self, role: &Role, key: Key) -> Result<(), DraftError> {
        let (id, authority) = (key.id(), self.authority(role)?);
        if authority.keyids.contains(&id) {
            return Err(DraftError::HasKey { id, role: role.clone() });
        }
        authority.keyids.push(id.clone());
        self.signed.body.keys.insert(id, key);
        self.drop_signatures();
        Ok(())
    }

    /// Lets a key sign as `role` no more.
    pub fn remove_key(&mut self, role: &Role, id: &str) -> Result<(), DraftError> {
        let authority = self.authority(role)?;
        let before = authority.keyids.len();
        authority.keyids.retain(|keyid| keyid != id);
        let (left, threshold) = (authority.keyids.len(), authority.threshold);
        if left == before {
            return Err(DraftError::NoKey { id: id.to_owned(), role: role.clone() });
        }
        if (left as u64) < threshold {
            authority.keyids.push(id.to_owned());
            return Err(DraftError::Threshold { role: role.clone(), threshold, keys: left });
        }
        let Root { keys, roles, .. } = &mut self.signed.body;
        keys.retain(|id, _| roles.values().any(|authority| authority.keyids.contains(id)));
        self.drop_signatures();
        Ok(())
    }

    /// So many keys must sign as `role`.
    pub fn set_threshold(&mut self, role: &Role, threshold: u64) -> Result<(), DraftError> {
        let authority = self.authority(role)?;
        if threshold == 0 || threshold > authority.keyids.len() as u64 {
            return Err(DraftError::Threshold { role: role.clone(), threshold, keys: authority.keyids.len() });
        }
        authority.threshold = threshold;
        self.drop_signatures();
        Ok(())
    }

    /// Signs it with one more key: of its own root role, or of that of the root `before` it.
    pub fn sign(&mut self, key: &SecretKey, before: Option<&Root>) -> Result<(), DraftError> {
        let id = key.public().id();
        let mut roots = [Some(&self.signed.body), before].into_iter().flatten();
        if !roots.any(|root| root.authority(&Role::Root).keyids.contains(&id)) {
            return Err(DraftError::ForeignKey(id));
        }
        if let Some((role, keys, threshold)) = self.unreachable() {
            return Err(DraftError::Threshold { role, threshold, keys });
        }
        self.bytes = add_signature::<Root>(&self.bytes, key)?;
        Ok(())
    }

    /// Who signed it, of those whom `root` lets sign: its own body, or that of the root before.
    pub fn standing(&self, root: &Root) -> Result<Standing, DraftError> {
        let envelope = Envelope::<Root>::parse(&self.bytes)?;
        Ok(Standing::of(&envelope, root.authority(&Role::Root), &root.keys))
    }

    /// A role for which fewer keys may sign than must: with how many there are, and how many must.
    fn unreachable(&self) -> Option<(Role, usize, u64)> {
        TOP_LEVEL.into_iter().find_map(|role| {
            let Authority { keyids, threshold } = self.signed.body.authority(&role);
            let (keys, threshold) = (keyids.len(), *threshold);
            ((keys as u64) < threshold).then_some((role, keys, threshold))
        })
    }

    fn authority(&mut self, role: &Role) -> Result<&mut Authority, DraftError> {
        self.signed.body.roles.get_mut(role.name()).ok_or_else(|| DraftError::NotTopLevel(role.clone()))
    }

    fn drop_signatures(&mut self) {
        self.bytes = sign(&self.signed, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::trust::{Rejection, TrustedSet};

    /// 2026-11-01T00:00:00Z.
    const NOW: UnixTime = UnixTime(1_793_491_200);

    fn key(number: u8) -> SecretKey {
        SecretKey::from_random(&[number; 32])
    }

    /// A first root that two of the keys 1, 2 and 3 must sign.
    fn two_of_three() -> Draft {
        let mut draft = Draft::first(NOW);
        (1..=3).for_each(|number| draft.add_key(&Role::Root, key(number).public()).unwrap());
        for (role, number) in [(Role::Targets, 4), (Role::Snapshot, 5), (Role::Timestamp, 6)] {
            draft.add_key(&role, key(number).public()).unwrap();
        }
        draft.set_threshold(&Role::Root, 2).unwrap();
        draft
    }

    #[test]
    fn a_root_waits_for_its_second_signature() {
        let mut draft = two_of_three();
        draft.sign(&key(2), None).unwrap();
        let standing = draft.standing(&draft.signed().body).unwrap();
        assert_eq!((standing.signed.len(), standing.missing.len(), standing.is_complete()), (1, 2, false));
        assert!(TrustedSet::pin(draft.bytes()).is_err());
        // On another machine.
        let mut draft = Draft::read(draft.bytes().to_vec()).unwrap();
        draft.sign(&key(2), None).unwrap();
        assert!(!draft.standing(&draft.signed().body).unwrap().is_complete(), "the same key counts once");
        draft.sign(&key(3), None).unwrap();
        assert!(draft.standing(&draft.signed().body).unwrap().is_complete());
        assert!(TrustedSet::pin(draft.bytes()).is_ok());
    }

    #[test]
    fn a_key_is_replaced_by_old_and_new_together() {
        let mut first = two_of_three();
        [1, 2].iter().for_each(|number| first.sign(&key(*number), None).unwrap());
        let mut set = TrustedSet::pin(first.bytes()).unwrap();
        let before = set.root().clone();
        let mut next = Draft::following(&before, NOW);
        next.add_key(&Role::Root, key(7).public()).unwrap();
        next.remove_key(&Role::Root, &key(1).public().id()).unwrap();
        next.sign(&key(7), None).unwrap();
        next.sign(&key(3), None).unwrap();
        assert!(next.standing(&next.signed().body).unwrap().is_complete());
        assert!(!next.standing(&before.body).unwrap().is_complete(), "of the old keys one has signed");
        assert!(matches!(set.offer(&Role::Root, next.bytes()), Err(Rejection::Signatures { .. })));
        assert!(matches!(next.sign(&key(1), None), Err(DraftError::ForeignKey(_))));
        next.sign(&key(1), Some(&before.body)).unwrap();
        assert!(next.standing(&before.body).unwrap().is_complete());
        assert!(set.offer(&Role::Root, next.bytes()).is_ok());
    }

    #[test]
    fn a_change_takes_back_all_signatures() {
        let mut draft = two_of_three();
        draft.sign(&key(1), None).unwrap();
        draft.set_threshold(&Role::Root, 1).unwrap();
        assert!(draft.standing(&draft.signed().body).unwrap().signed.is_empty());
    }

    #[test]
    fn a_draft_that_nobody_could_complete_is_refused() {
        let mut draft = two_of_three();
        let (one, targets) = (key(1).public(), Role::Targets);
        assert!(matches!(draft.add_key(&Role::Root, one), Err(DraftError::HasKey { .. })));
        assert!(matches!(draft.set_threshold(&Role::Root, 4), Err(DraftError::Threshold { keys: 3, .. })));
        assert!(matches!(draft.set_threshold(&Role::Root, 0), Err(DraftError::Threshold { .. })));
        assert!(matches!(draft.remove_key(&targets, "00"), Err(DraftError::NoKey { .. })));
        assert!(matches!(draft.remove_key(&targets, &key(4).public().id()), Err(DraftError::Threshold { .. })));
        let os = Role::Delegated("os".into());
        assert!(matches!(draft.set_threshold(&os, 1), Err(DraftError::NotTopLevel(_))));
        let mut empty = Draft::first(NOW);
        empty.add_key(&Role::Root, key(1).public()).unwrap();
        assert!(matches!(empty.sign(&key(1), None), Err(DraftError::Threshold { role: Role::Targets, keys: 0, .. })));
    }
}
