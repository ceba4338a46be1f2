//! A value for each of a node's peers, ascending by peer: two plain arrays, because a device has two dozen peers and is
//! asked of one of them at every message. A new connection has the highest number, so it goes to the end.

use crate::id::PeerId;

/// Among more peers than this, which only a seed has, one is searched for by halves.
const COUNTED_MAX: usize = 32;

/// What is known of each of some peers.
#[derive(Debug)]
pub struct ByPeer<T> {
    peers: Vec<PeerId>,
    values: Vec<T>,
}

impl<T> Default for ByPeer<T> {
    fn default() -> Self {
        Self { peers: Vec::new(), values: Vec::new() }
    }
}

impl<T> ByPeer<T> {
    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// What is known of a peer.
    pub fn get(&self, peer: PeerId) -> Option<&T> {
        self.at(peer).ok().map(|at| &self.values[at])
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, peer: PeerId) -> Option<&mut T> {
        self.at(peer).ok().map(|at| &mut self.values[at])
    }

    /// What is known of a peer, which is `new` if nothing was.
    pub fn get_or_insert_with(&mut self, peer: PeerId, new: impl FnOnce() -> T) -> &mut T {
        let at = self.at(peer).unwrap_or_else(|at| {
            // By an eighth at a time: doubled, two dozen would take the room of 32.
            if self.peers.len() == self.peers.capacity() {
                let more = 1 + self.peers.len() / 8;
                self.peers.reserve_exact(more);
                self.values.reserve_exact(more);
            }
            self.peers.insert(at, peer);
            self.values.insert(at, new());
            at
        });
        &mut self.values[at]
    }

    /// Forgets a peer. Returns what was known of it.
    pub fn remove(&mut self, peer: PeerId) -> Option<T> {
        let at = self.at(peer).ok()?;
        self.peers.remove(at);
        Some(self.values.remove(at))
    }

    /// All peers with what is known of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        self.peers.iter().copied().zip(&self.values)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut T)> {
        self.peers.iter().copied().zip(&mut self.values)
    }

    /// What is known of all peers.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }

    /// The place of a peer, or the one that it should have. Among few it is counted off: that reads all of them at once,
    /// where a search by halves has to wait for each step's memory.
    fn at(&self, peer: PeerId) -> Result<usize, usize> {
        if self.peers.len() > COUNTED_MAX {
            return self.peers.binary_search(&peer);
        }
        let at = self.peers.iter().filter(|known| **known < peer).count();
        if self.peers.get(at) == Some(&peer) { Ok(at) } else { Err(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..9, any::<u8>()), 0..60)) {
            let mut by_peer = ByPeer::default();
            let mut model = BTreeMap::new();
            for (insert, peer, value) in steps {
                let peer = PeerId(peer);
                if insert {
                    *by_peer.get_or_insert_with(peer, || 0) = value;
                    model.insert(peer, value);
                } else {
                    prop_assert_eq!(by_peer.remove(peer), model.remove(&peer));
                }
                prop_assert_eq!(by_peer.get(peer), model.get(&peer));
            }
            prop_assert!(by_peer.iter().eq(model.iter().map(|(peer, value)| (*peer, value))));
            prop_assert_eq!(by_peer.len(), model.len());
        }
    }
}
