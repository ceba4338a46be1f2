//! What a host says and sends to others: the truth, or what its behaviour makes of it.

use super::places::Place;
use super::{Effect, Host, Said, Scene};
use crate::adversary::Attack;
use crate::check::Rule;
use crate::workload::Publisher;
use protocol::bitmap::Bitmap;
use protocol::id::{ChunkId, ManifestId, PeerId};
use protocol::input::Input;
use protocol::limits::DOCUMENT_SLICE_BYTES_MAX;
use protocol::message::{Chunks, Holdings, Message, Slice, WantDocument};

/// How a host treats others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Honest,
    /// Sends wrong bytes for every chunk.
    Lies,
    /// Never sends a chunk.
    Stalls,
    /// Says that it holds every chunk, and never sends one.
    Boasts {
        /// Whether it says no to each request; it keeps silent otherwise.
        refuses: bool,
    },
    /// It runs no node, but an [adversary](crate::adversary).
    Attacks(Attack),
}

impl Host {
    /// What happens to an adversary, and what it says to that.
    pub(super) fn drive_adversary(&mut self, input: &Input, scene: &mut Scene) {
        let Some(adversary) = &mut self.adversary else { return };
        scene.trace.input(scene.now, self.id, input);
        let says = adversary.handle(scene.now, input, scene.publisher);
        scene.check.thief_signed(adversary.take_signed());
        scene.effects.extend(says.into_iter().map(|(to, message)| Effect::Say(to, Said::new(message))));
        self.plan_wake(scene.now, scene.effects);
    }

    pub(super) fn slice(&self, want: &WantDocument, publisher: &Publisher) -> Message {
        let Some((bytes, _)) = publisher.document(&want.id).filter(|_| self.has(&want.id)) else {
            return Message::NoDocument(want.id);
        };
        let start = usize::try_from(want.offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = (start + DOCUMENT_SLICE_BYTES_MAX as usize).min(bytes.len());
        let bytes_here = bytes[start..end].to_vec().into();
        Message::Slice(Slice {
            id: want.id,
            base: None,
            encoded_bytes: bytes.len() as u64,
            offset: want.offset,
            bytes: bytes_here,
        })
    }

    pub(super) fn say(&self, message: Message, effect: impl FnOnce(Said) -> Effect, scene: &mut Scene) {
        let message = match (self.behaviour, message) {
            // No bit at all means every chunk.
            (Behaviour::Boasts { .. }, Message::Holdings(told)) => {
                Message::Holdings(Holdings { held: Default::default(), ..told })
            }
            (Behaviour::Boasts { refuses: false }, Message::Refuse(_)) => return,
            (_, message) => message,
        };
        self.check_announced(&message, scene);
        scene.effects.push(effect(Said::new(message)));
    }

    fn check_announced(&self, message: &Message, scene: &mut Scene) {
        let held = match message {
            _ if self.behaviour != Behaviour::Honest => return,
            Message::Gained(gained) => {
                let (durable, indexes) = (self.held(gained.release), gained.indexes.iter().copied());
                return scene.check.announced(scene.now, self.id, durable, indexes);
            }
            Message::Holdings(told) => told,
            _ => return,
        };
        let durable = self.held(held.release);
        let len = durable.map_or(0, Bitmap::len);
        let told = if held.held.is_empty() { Some(Bitmap::full(len)) } else { Bitmap::from_bytes(len, &held.held) };
        scene.check.announced(scene.now, self.id, durable, told.unwrap_or(Bitmap::full(len)).iter());
    }

    pub(super) fn upload(&mut self, to: PeerId, release: ManifestId, index: u32, scene: &mut Scene) {
        let place = self.places.get(release);
        let missing = |place: &Place| (0..place.durable.len()).find(|index| !place.durable.contains(*index));
        let missing = place.filter(|_| scene.check.is_broken(Rule::Uploaded)).and_then(missing);
        let index = missing.unwrap_or(index);
        scene.check.uploaded(scene.now, self.id, place.map(|place| &place.durable), index);
        let Some(place) = place else { return };
        let genuine = place.release.chunks()[index as usize].id;
        match self.behaviour {
            Behaviour::Honest => scene.effects.push(Effect::Upload(to, release, index, genuine)),
            Behaviour::Lies => {
                let polluted = ChunkId(*blake3::hash(&genuine.0).as_bytes());
                scene.effects.push(Effect::Upload(to, release, index, polluted));
            }
            Behaviour::Stalls | Behaviour::Boasts { refuses: false } | Behaviour::Attacks(_) => {}
            Behaviour::Boasts { refuses: true } => {
                let refusal = Message::Refuse(Chunks { release, indexes: vec![index] });
                scene.effects.push(Effect::Say(to, Said::new(refusal)));
            }
        }
    }
}
