//! The releases that a node carries: one or two, so a plain list, which is looked through at every message.

use super::Swarm;
use crate::id::ManifestId;

/// The swarms of a node.
#[derive(Debug, Default)]
pub struct Swarms(Vec<Swarm>);

impl Swarms {
    /// That of a release.
    pub fn get(&self, release: ManifestId) -> Option<&Swarm> {
        self.iter().find(|swarm| swarm.release() == release)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, release: ManifestId) -> Option<&mut Swarm> {
        self.iter_mut().find(|swarm| swarm.release() == release)
    }

    /// Carries a release from now on, instead of what was known of it.
    pub fn insert(&mut self, swarm: Swarm) {
        self.remove(swarm.release());
        // A swarm is large, and most nodes have one.
        self.0.reserve_exact(1);
        self.0.push(swarm);
    }

    /// Carries a release no longer.
    pub fn remove(&mut self, release: ManifestId) {
        self.0.retain(|swarm| swarm.release() != release);
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Swarm> {
        self.0.iter()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Swarm> {
        self.0.iter_mut()
    }
}
