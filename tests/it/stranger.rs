//! A peer that the test plays itself, over the real network: an observer, or a liar.

use super::class::Class;
use node::net::{Happening, Network, OutgoingChunk};
use node::publisher::files;
use protocol::id::PeerId;
use protocol::mesh::Role;
use protocol::message::{Chunks, Hello, Holdings, Message, Metadata};
use protocol::trust::TrustedSet;
use serde_bytes::ByteBuf;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Nothing that a stranger waits for takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Something that a stranger says to the peer to whom something happened.
#[derive(Debug)]
pub enum Say {
    Message(Message),
    Chunk(OutgoingChunk),
}

/// A peer that does as the test likes. It leaves when this is dropped.
pub struct Stranger {
    /// Where it listens.
    pub address: SocketAddr,
    heard: Receiver<Happening>,
    leave: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// A stranger that answers whatever happens by `manners`.
    pub fn start(manners: impl FnMut(&Happening) -> Vec<Say> + Send + 'static) -> Stranger {
        let (heard_sender, heard) = mpsc::channel();
        let (address_sender, address) = mpsc::channel();
        let (leave, left) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut network = Network::new(16).unwrap();
                let address = network.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
                address_sender.send(address).unwrap();
                tokio::select! {
                    _ = left => {}
                    () = behave(network, manners, heard_sender) => {}
                }
            });
        });
        let address = address.recv_timeout(DEADLINE).unwrap();
        Stranger { address, heard, leave: Some(leave), thread: Some(thread) }
    }

    /// Waits until something happens to the stranger of which `found` makes something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut found: impl FnMut(&Happening) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(happening) => {
                    if let Some(found) = found(&happening) {
                        return found;
                    }
                }
                Err(why) => panic!("this never happened to the stranger: {what} ({why})"),
            }
        }
    }

    /// Waits until a peer has closed the connection.
    #[track_caller]
    pub fn until_left(&self) {
        self.until("the peer leaves", |happening| matches!(happening, Happening::Closed(_)).then_some(()));
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have left already.
        let _ = self.leave.take().map(|leave| leave.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn behave(mut network: Network, mut manners: impl FnMut(&Happening) -> Vec<Say>, heard: Sender<Happening>) {
    loop {
        let happening = network.next(true).await;
        if let Some(peer) = peer_of(&happening) {
            for say in manners(&happening) {
                match say {
                    Say::Message(message) => network.send(peer, message),
                    Say::Chunk(chunk) => {
                        // The queue of a peer that does not read is full; that is its business.
                        let _ = network.send_chunk(peer, chunk);
                    }
                }
            }
        }
        // Nobody may be listening any more.
        let _ = heard.send(happening);
    }
}

fn peer_of(happening: &Happening) -> Option<PeerId> {
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
    /// The manners of a node of this class.
    pub fn of(class: &Class, role: Role) -> Manners {
        Manners { truth: files::read(Path::new(&class.repo())).unwrap(), role }
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
