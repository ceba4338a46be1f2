//! The search for a target through delegations (TUF 1.0.34, section 5.6.7): the top-level role's own word first, then
//! depth first through the roles that may name the path, the most trusted first, until one has it. A terminating
//! delegation ends the search with what is beneath it. No role is asked twice, so a ring of delegations ends.

use super::delegation::Sought;
use super::key::Key;
use super::metadata::{DelegatedRole, Delegations, TargetFile, Targets};
use super::role::Role;
use super::verify::Warrant;
use crate::limits::DELEGATIONS_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// A delegation: who delegates to whom, and the keys of which some must sign for it.
#[derive(Clone, Copy)]
pub struct Edge<'a> {
    /// The name of the delegating role.
    pub delegator: &'a str,
    /// The keys in its file.
    pub keys: &'a BTreeMap<String, Key>,
    /// To whom it delegates.
    pub delegation: &'a DelegatedRole,
}

impl Targets {
    /// The delegations that stand in this file of the role `delegator`, in order.
    pub fn edges<'a>(&'a self, delegator: &'a str) -> impl Iterator<Item = Edge<'a>> {
        let edges = move |all: &'a Delegations| {
            all.roles.iter().map(move |delegation| Edge { delegator, keys: &all.keys, delegation })
        };
        self.delegations.iter().flat_map(edges)
    }
}

impl<'a> Edge<'a> {
    /// The role that is delegated to.
    pub fn role(&self) -> Role {
        Role::Delegated(self.delegation.name.clone())
    }

    /// Who must sign for it.
    pub fn warrant(&self) -> Warrant<'a> {
        Warrant { authority: &self.delegation.authority, keys: self.keys }
    }
}

/// Where a search ended.
#[derive(Debug)]
pub enum Found<'a, Stop> {
    /// At a role that has the path.
    File(&'a TargetFile),
    /// No role that may name the path has it.
    Nothing,
    /// At a role whose file could not be opened.
    Stopped(Stop),
}

/// Searches from the top-level targets. `open` gives the file of the role at the end of an edge, if it is one that the
/// delegator on this very edge vouches for.
pub fn search<'a, Stop>(
    top: &'a Targets,
    path: &str,
    mut open: impl FnMut(Edge<'a>) -> Result<&'a Targets, Stop>,
) -> Found<'a, Stop> {
    let mut sought = Sought::new(path);
    let mut visited = BTreeSet::new();
    let mut pending: Vec<Edge> = Vec::new();
    let (mut name, mut targets) = ("targets", top);
    loop {
        if let Some(file) = targets.targets.get(path) {
            return Found::File(file);
        }
        let mut below = Vec::new();
        for edge in targets.edges(name) {
            if !edge.delegation.may_name(&mut sought) {
                continue;
            }
            below.push(edge);
            if edge.delegation.terminating {
                pending.clear(); // Nothing that would have come after it is asked any more.
                break;
            }
        }
        // A delegation further down might have been the one, so none of those found is followed.
        if sought.is_given_up() {
            return Found::Nothing;
        }
        pending.extend(below.into_iter().rev());
        let next = loop {
            match pending.pop() {
                None => return Found::Nothing,
                Some(_) if visited.len() >= DELEGATIONS_MAX => return Found::Nothing,
                Some(edge) if visited.insert(&edge.delegation.name) => break edge,
                Some(_) => {}
            }
        };
        match open(next) {
            Ok(file) => (name, targets) = (&next.delegation.name, file),
            Err(stop) => return Found::Stopped(stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Authority;
    use super::*;

    fn file(length: u64) -> TargetFile {
        TargetFile { length, hashes: BTreeMap::new(), custom: None }
    }

    /// A role's file: paths that it names, all of one length, and delegations as (name, terminating, pattern).
    fn role(length: u64, paths: &[&str], delegations: &[(&str, bool, &str)]) -> Targets {
        let roles = delegations.iter().map(|(name, terminating, pattern)| DelegatedRole {
            name: (*name).to_owned(),
            authority: Authority { keyids: vec![], threshold: 1 },
            terminating: *terminating,
            paths: Some(vec![(*pattern).to_owned()]),
            path_hash_prefixes: None,
        });
        Targets {
            targets: paths.iter().map(|path| ((*path).to_owned(), file(length))).collect(),
            delegations: Some(Delegations { roles: roles.collect(), ..Delegations::default() }),
        }
    }

    /// The roles that a search opens, and the length of what it finds.
    fn trace(roles: &[(&str, Targets)], path: &str) -> (Vec<String>, Result<Option<u64>, String>) {
        let files: BTreeMap<&str, &Targets> = roles.iter().map(|(name, file)| (*name, file)).collect();
        let mut opened = Vec::new();
        let open = |edge: Edge<'_>| {
            let name = &edge.delegation.name;
            opened.push(name.clone());
            files.get(&**name).copied().ok_or_else(|| name.clone())
        };
        let found = match search(files["targets"], path, open) {
            Found::File(file) => Ok(Some(file.length)),
            Found::Nothing => Ok(None),
            Found::Stopped(name) => Err(name),
        };
        (opened, found)
    }

    #[test]
    fn the_search_goes_in_order_and_ends_with_a_terminating_role() {
        let roles = [
            (
                "targets",
                role(0, &[], &[("a", false, "x/*"), ("b", true, "x/b*"), ("absent", true, "y/*"), ("c", false, "*/*")]),
            ),
            ("a", role(1, &["x/1", "x/b1"], &[])),
            ("b", role(2, &["x/1", "x/b1", "x/b2"], &[])),
            ("c", role(3, &["x/1", "x/3", "x/b3", "y/1", "z/1"], &[])),
        ];
        let found = |path| trace(&roles, path).1;
        assert_eq!(found("x/1"), Ok(Some(1)), "the first that has it");
        assert_eq!(found("x/b1"), Ok(Some(1)));
        assert_eq!(found("x/b2"), Ok(Some(2)), "a role without it passes on");
        assert_eq!(found("x/3"), Ok(Some(3)), "a role that may not name it is passed over");
        assert_eq!(found("x/b3"), Ok(None), "a terminating role ends the search");
        assert_eq!(found("y/1"), Err("absent".to_owned()), "even one that is not here");
        assert_eq!(found("z/1"), Ok(Some(3)));
    }

    #[test]
    fn the_search_goes_down_before_it_goes_on() {
        let roles = [
            ("targets", role(0, &[], &[("a", false, "*"), ("b", false, "*")])),
            ("a", role(1, &[], &[("a1", false, "*"), ("a2", false, "*")])),
            ("a1", role(2, &[], &[])),
            ("a2", role(3, &[], &[("b", false, "*"), ("a", false, "*")])),
            ("b", role(4, &["found"], &[("c", true, "*"), ("d", false, "*")])),
            ("c", role(5, &[], &[])),
            ("d", role(6, &["late"], &[])),
        ];
        assert_eq!(trace(&roles, "found"), (["a", "a1", "a2", "b"].map(str::to_owned).to_vec(), Ok(Some(4))));
        // A ring ends, and nobody is asked twice.
        let all = ["a", "a1", "a2", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(trace(&roles, "late"), (all, Ok(None)));
    }

    #[test]
    fn a_terminating_role_ends_the_search_above_it_too() {
        let roles = [
            ("targets", role(0, &[], &[("a", false, "*"), ("z", false, "*")])),
            ("a", role(1, &[], &[("deep", true, "*"), ("after", false, "*")])),
            ("deep", role(2, &[], &[("deeper", false, "*")])),
            ("deeper", role(3, &[], &[])),
            ("after", role(4, &["x"], &[])),
            ("z", role(5, &["x"], &[])),
        ];
        assert_eq!(trace(&roles, "x"), (["a", "deep", "deeper"].map(str::to_owned).to_vec(), Ok(None)));
    }

    #[test]
    fn a_chain_of_delegations_without_end_is_not_followed_for_ever() {
        let names: Vec<String> = (0..100).map(|at| format!("r{at}")).collect();
        let file = |next: usize| role(0, &[], &[(&names[next.min(99)], false, "*")]);
        let mut roles = vec![("targets", file(0))];
        roles.extend((0..99).map(|at| (&*names[at], file(at + 1))));
        assert_eq!(trace(&roles, "x").0.len(), DELEGATIONS_MAX);
    }
}
