//! How a peer behaves that is none of ours: from good manners a liar departs in one thing at a time.

use node::net::{Happening, Network, OutgoingChunk};
use node::publisher::files::{self, ReadError};
use protocol::id::PeerId;
use protocol::mesh::Role;
use protocol::message::{Chunks, Hello, Holdings, Message, Metadata};
use protocol::trust::TrustedSet;
use serde_bytes::ByteBuf;
use std::path::Path;

/// Something that a stranger says to the peer to whom something happened.
#[derive(Debug)]
pub enum Say {
    /// A message.
    Message(Message),
    /// A chunk, right or wrong.
    Chunk(OutgoingChunk),
}

impl Say {
    /// Says it to a peer.
    pub fn to(self, peer: PeerId, network: &mut Network) {
        match self {
            Say::Message(message) => network.send(peer, &message),
            Say::Chunk(chunk) => {
                // The queue of a peer that does not read is full; that is its business.
                let _ = network.send_chunk(peer, chunk);
            }
        }
    }
}

/// To whom something happened.
pub fn peer_of(happening: &Happening) -> Option<PeerId> {
    match happening {
        Happening::Opened(peer) | Happening::Message(peer, _) | Happening::BadFrame(peer, _) => Some(*peer),
        Happening::Chunk(peer, ..) => Some(*peer),
        Happening::Closed(_) | Happening::ChunkSent(..) => None,
    }
}

/// A peer's good manners, from which a liar departs in one thing: it has the newest metadata, says
/// that it holds everything, and has nothing when it is asked.
pub struct Manners {
    /// The repository's metadata.
    pub truth: TrustedSet,
    /// What it says it is.
    pub role: Role,
}

impl Manners {
    /// The manners of a node of this repository.
    ///
    /// # Errors
    /// If there is no such repository.
    pub fn of(repository: &Path, role: Role) -> Result<Manners, ReadError> {
        Ok(Manners { truth: files::read(repository)?, role })
    }

    /// The answer to whatever happens.
    pub fn answer(&self, happening: &Happening) -> Vec<Say> {
        let messages = match happening {
            Happening::Opened(_) => vec![self.hello(), Message::Head(self.truth.head())],
            Happening::Message(_, Message::WantMetadata(want)) => {
                let bytes = self.truth.metadata(&want.role, want.version);
                let bytes = bytes.map(|(_, bytes)| ByteBuf::from(bytes.to_vec()));
                vec![Message::Metadata(Metadata { role: want.role.clone(), bytes })]
            }
            Happening::Message(_, Message::WantDocument(want)) => vec![Message::NoDocument(want.id)],
            Happening::Message(_, Message::Holdings(told)) if told.answer => {
                vec![Message::Holdings(Holdings { release: told.release, held: ByteBuf::new(), answer: false })]
            }
            Happening::Message(_, Message::Want(Chunks { release, indexes })) => {
                vec![Message::Refuse(Chunks { release: *release, indexes: indexes.clone() })]
            }
            _ => Vec::new(),
        };
        messages.into_iter().map(Say::Message).collect()
    }

    /// Its first word.
    pub fn hello(&self) -> Message {
        Message::Hello(Hello { features: 0, repository: self.truth.repository(), role: self.role })
    }
}
