//! The tree of delegations: which targets files of a snapshot count, and which are still missing.
//!
//! Each role to which the top-level targets delegates is a channel, and each channel has the same room beneath it, which
//! is given out breadth first. Who delegates to more roles, or to larger files, loses what is deepest in his own
//! channel, and takes nothing from others.

use super::metadata::{FileMeta, Root, Snapshot};
use super::role::Role;
use super::role_file::RoleFile;
use super::search::Edge;
use super::trusted_set::Need;
use super::verify::Warrant;
use crate::limits::{DELEGATIONS_BENEATH_MAX, TARGETS_BYTES_MAX};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a snapshot's targets files are, as far as they are here.
pub struct Tree<'a> {
    snapshot: &'a Snapshot,
    files: &'a BTreeMap<Role, RoleFile>,
    /// The files for which a delegator vouches, and its delegators down from the root.
    pub vouched: BTreeMap<Role, &'a RoleFile>,
    /// The files that are here, and for which nobody vouches. They say nothing.
    pub disowned: BTreeMap<Role, &'a RoleFile>,
    /// Every delegation that was followed, by the name of the role.
    warrants: BTreeMap<&'a str, Vec<Warrant<'a>>>,
    /// The files that are missing, or that one of their delegators has not judged; channels first.
    pub missing: Vec<Need>,
}

impl<'a> Tree<'a> {
    /// Follows the delegations from the top-level targets as far as files are here.
    pub fn grow(root: &'a Root, snapshot: &'a Snapshot, files: &'a BTreeMap<Role, RoleFile>) -> Self {
        let (vouched, disowned, warrants) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut tree = Tree { snapshot, files, vouched, disowned, warrants, missing: Vec::new() };
        let Some(top) = tree.follow("targets", root.warrant(&Role::Targets)) else { return tree };
        let channels: Vec<_> =
            top.signed.body.edges("targets").filter_map(|edge| Some((edge, tree.follow_edge(edge)?))).collect();
        for (edge, file) in channels {
            tree.grow_beneath(&edge.delegation.name, file);
        }
        tree
    }

    /// All who delegate to a role.
    pub fn warrants(&self, role: &Role) -> &[Warrant<'a>] {
        self.warrants.get(role.name()).map_or(&[], Vec::as_slice)
    }

    fn grow_beneath(&mut self, channel: &'a str, file: &'a RoleFile) {
        let (mut delegations_left, mut bytes_left) = (DELEGATIONS_BENEATH_MAX, TARGETS_BYTES_MAX);
        let mut expanded = BTreeSet::from([channel]);
        let mut chosen = BTreeMap::new();
        let mut pending = VecDeque::from([(channel, file)]);
        while let Some((name, file)) = pending.pop_front() {
            for edge in file.signed.body.edges(name).take(delegations_left) {
                delegations_left -= 1;
                let (name, digest) = (&*edge.delegation.name, edge.warrant().digest());
                // Whoever chooses other keys for a role that he has delegated to already could let one file be checked
                // against as many keys as he has delegations.
                let known = chosen.get(name);
                if known.is_some_and(|known| *known != digest) {
                    continue;
                }
                if known.is_none() {
                    let Some(rest) = bytes_left.checked_sub(self.bytes(&edge.role())) else { continue };
                    bytes_left = rest;
                    chosen.insert(name, digest);
                }
                if let Some(file) = self.follow_edge(edge)
                    && expanded.insert(name)
                {
                    pending.push_back((name, file));
                }
            }
        }
    }

    /// The length of a role's file. Where the snapshot does not state it, that of the file that is here.
    fn bytes(&self, role: &Role) -> u64 {
        let stated = self.snapshot.file(role).and_then(|named| named.length);
        stated.or_else(|| self.files.get(role).map(|file| file.bytes.len() as u64)).unwrap_or(0)
    }

    fn follow_edge(&mut self, edge: Edge<'a>) -> Option<&'a RoleFile> {
        self.follow(&edge.delegation.name, edge.warrant())
    }

    /// The file of a role, if it is here and who delegates so vouches for it.
    fn follow(&mut self, name: &'a str, warrant: Warrant<'a>) -> Option<&'a RoleFile> {
        let role = Role::from_name(name);
        let named = self.snapshot.file(&role)?;
        self.warrants.entry(name).or_default().push(warrant);
        let file = self.files.get(&role).filter(|file| file.is(named));
        match file.and_then(|file| Some((file, file.verdict(&warrant)?))) {
            None => {
                self.miss(role, named);
                None
            }
            Some((file, true)) => {
                self.disowned.remove(&role);
                self.vouched.insert(role, file);
                Some(file)
            }
            Some((file, false)) => {
                if !self.vouched.contains_key(&role) {
                    self.disowned.insert(role, file);
                }
                None
            }
        }
    }

    fn miss(&mut self, role: Role, named: &FileMeta) {
        if self.missing.iter().all(|need| need.role != role) {
            self.missing.push(Need::of(role, named, TARGETS_BYTES_MAX));
        }
    }
}
