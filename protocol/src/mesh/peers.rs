//! The peers that are connected: what they are for, and what they have been guilty of.

use super::Role;
use super::by_peer::ByPeer;
use crate::id::{PeerId, Signer};
use crate::limits::{ANSWERED_BYTES_MAX, STRIKES_MAX};
use crate::time::{Span, Time};

/// Over this span the bytes of answers to one peer are counted.
const ANSWERS_COUNTED: Span = Span::from_secs(30);

/// Connected peers by number.
#[derive(Debug, Default)]
pub struct Peers {
    peers: ByPeer<Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    /// Known once the peer has introduced itself.
    role: Option<Role>,
    /// Whether it belongs to the same school.
    is_of_school: bool,
    strikes: u32,
    answered_bytes: u64,
    /// Since when these are counted.
    answered_since: Time,
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

    /// The peer, which has introduced itself, says that it belongs to the same school.
    pub fn is_of_school(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.is_of_school = true;
        }
    }

    /// Whether a peer has said that it carries the same repository of this signer.
    pub fn carries(&self, peer: PeerId, signer: Signer) -> bool {
        let known = self.peers.get(peer).filter(|known| known.role.is_some());
        known.is_some_and(|known| signer == Signer::Publisher || known.is_of_school)
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

    /// Counts what a peer is answered for a few bytes that it sent. Returns whether that stays within bounds: who asks
    /// for more in so short a time has all that there is already.
    pub fn may_answer(&mut self, peer: PeerId, bytes: u64, now: Time) -> bool {
        self.peers.get_mut(peer).is_some_and(|known| {
            if now.since(known.answered_since) >= ANSWERS_COUNTED {
                (known.answered_bytes, known.answered_since) = (0, now);
            }
            known.answered_bytes = known.answered_bytes.saturating_add(bytes);
            known.answered_bytes <= ANSWERED_BYTES_MAX
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_without_end_is_not_answered_without_end() {
        const ANN: PeerId = PeerId(1);
        let mut peers = Peers::default();
        assert!(!peers.may_answer(ANN, 1, Time(0)), "nobody");
        [ANN, PeerId(2)].into_iter().for_each(|peer| peers.connected(peer));
        let file_bytes = ANSWERED_BYTES_MAX / 4;
        let answered = |peers: &mut Peers, now| (0..100).filter(|_| peers.may_answer(ANN, file_bytes, now)).count();
        assert_eq!(answered(&mut peers, Time(0)), 4);
        assert!(peers.may_answer(PeerId(2), file_bytes, Time(0)), "another pays nothing for it");
        assert_eq!(answered(&mut peers, Time(ANSWERS_COUNTED.0 - 1)), 0);
        assert_eq!(answered(&mut peers, Time(ANSWERS_COUNTED.0)), 4);
    }
}
