//! The peers that are connected: what they are for, and what they have been guilty of.

use super::Role;
use super::by_peer::ByPeer;
use crate::id::PeerId;
use crate::limits::STRIKES_MAX;

/// Connected peers by number.
#[derive(Debug, Default)]
pub struct Peers {
    peers: ByPeer<Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    /// Known once the peer has introduced itself.
    role: Option<Role>,
    strikes: u32,
}

impl Peers {
    /// A connection stands; its peer has not introduced itself.
    pub fn connected(&mut self, peer: PeerId) {
        *self.peers.get_or_insert_with(peer, Peer::default) = Peer::default();
    }

    /// The peer introduced itself. Returns false if it did so before.
    pub fn introduced(&mut self, peer: PeerId, role: Role) -> bool {
        self.peers.get_mut(peer).is_some_and(|known| known.role.replace(role).is_none())
    }

    /// A peer is gone. Returns whether it was here.
    pub fn left(&mut self, peer: PeerId) -> bool {
        self.peers.remove(peer).is_some()
    }

    /// Whether a peer is connected.
    pub fn is_here(&self, peer: PeerId) -> bool {
        self.peers.get(peer).is_some()
    }

    /// What a peer is for, if it is here and has introduced itself.
    pub fn role(&self, peer: PeerId) -> Option<Role> {
        self.peers.get(peer)?.role
    }

    /// Counts an offence. Returns whether patience has ended.
    pub fn strike(&mut self, peer: PeerId) -> bool {
        self.peers.get_mut(peer).is_some_and(|known| {
            known.strikes += 1;
            known.strikes >= STRIKES_MAX
        })
    }

    /// Those that have introduced themselves, devices before seeds, so that the school is spared.
    pub fn devices_first(&self) -> impl Iterator<Item = PeerId> {
        self.with_role(Role::Device).chain(self.with_role(Role::Seed))
    }

    /// Those that introduced themselves as this.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = PeerId> {
        self.peers.iter().filter(move |(_, peer)| peer.role == Some(role)).map(|(peer, _)| peer)
    }
}
