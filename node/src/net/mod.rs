//! The network: libp2p over TCP with noise and yamux. The only place that names libp2p.
//!
//! A [`Network`] listens, dials, and keeps at most one connection to each peer. It numbers peers for
//! the protocol, which knows nothing of keys and addresses. Transport identities are made anew at
//! every start: they tell connections apart and trust nobody.

mod connection;
mod frames;
mod gather;
mod lanes;

pub use connection::OutgoingChunk;

use connection::PeerHandle;
use futures::StreamExt;
use gather::GatheredYamux;
use lanes::{Lane, LaneOpened, Lanes};
use libp2p::connection_limits::ConnectionLimits;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Stream, SwarmBuilder, allow_block_list, connection_limits, noise, ping, tcp};
use protocol::id::PeerId;
use protocol::message::{ChunkHeader, Message};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The port that Homeroom listens on unless told otherwise: HOMER on a telephone's keys.
pub const DEFAULT_PORT: u16 = 46637;

/// Messages that the node has not yet taken in; reading from peers pauses when so many wait.
const MESSAGES_WAITING_MAX: usize = 64;
/// Chunks that the node has not yet taken in, of at most 256 KiB each.
const CHUNKS_WAITING_MAX: usize = 16;
/// A peer that does not answer a ping for this long is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(5);
/// A connection whose lanes do not open within this is closed.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Connections being set up at once; a stranger can hold no more of them open.
const CONNECTIONS_PENDING_MAX: u32 = 32;
/// Identities that stay banned. A liar can make a new one at any time, so a longer list keeps nobody out.
const BANNED_MAX: usize = 1024;
/// Connections to one peer: two for a moment, when both have dialled.
const CONNECTIONS_PER_PEER_MAX: u32 = 2;

/// A transport identity, proven by the noise handshake; printed and parsed as libp2p does.
pub type TransportId = libp2p::PeerId;

/// Something happened on the network.
#[derive(Debug)]
pub enum Happening {
    /// A peer can be spoken to.
    Opened(PeerId),
    /// A peer is gone.
    Closed(PeerId),
    /// A peer spoke.
    Message(PeerId, Message),
    /// A peer sent something that is no message.
    BadFrame(PeerId, String),
    /// A chunk arrived, unchecked.
    Chunk(PeerId, ChunkHeader, Vec<u8>),
    /// A chunk has left.
    ChunkSent(PeerId, ChunkHeader),
}

/// Why the network cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Somebody listens there already.
    #[error(
        "cannot listen on {address}, where another program does; is a homeroom running? Choose another with --listen"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose an address of this machine, and a port you may use, with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// libp2p could not be set up.
    #[error("cannot set up the network")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where the tasks of a connection report. Chunks have a queue of their own, so that they can be held
/// back alone.
#[derive(Clone, Debug)]
struct Reports {
    happenings: mpsc::Sender<Happening>,
    chunks: mpsc::Sender<Happening>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    lanes: Lanes,
    ping: ping::Behaviour,
    limits: connection_limits::Behaviour,
    banned: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
}

/// A connection whose lanes are being opened.
struct Opening {
    transport: TransportId,
    dialled: bool,
    since: Instant,
    messages: Option<Stream>,
    chunks: Option<Stream>,
}

/// A connection in use.
struct Connection {
    id: ConnectionId,
    transport: TransportId,
    dialled: bool,
    handle: PeerHandle,
}

/// The network as one node uses it.
pub struct Network {
    swarm: libp2p::Swarm<Behaviour>,
    opening: BTreeMap<ConnectionId, Opening>,
    connections: BTreeMap<PeerId, Connection>,
    numbered: u64,
    peers_max: usize,
    reports: Reports,
    happenings: mpsc::Receiver<Happening>,
    chunks: mpsc::Receiver<Happening>,
    /// Opened and closed connections.
    ready: VecDeque<Happening>,
    /// Who is banned, the longest first.
    banned: VecDeque<TransportId>,
    /// Who answered at the addresses that a person named, once somebody has.
    answered: BTreeMap<SocketAddr, Option<TransportId>>,
}

impl Network {
    /// A network with a new transport identity, listening nowhere yet, that accepts so many peers.
    pub fn new(peers_max: usize) -> Result<Self, NetworkError> {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
            // What this node dials is its own affair; strangers must not keep it from its school.
            .with_max_established_incoming(u32::try_from(peers_max).ok())
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, GatheredYamux::default)
            .map_err(|error| NetworkError::Setup(error.into()))?
            .with_behaviour(|_| Behaviour {
                lanes: Lanes::default(),
                ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_TIMEOUT)),
                limits: connection_limits::Behaviour::new(limits),
                banned: allow_block_list::Behaviour::default(),
            })
            .map_err(|error| NetworkError::Setup(error.into()))?
            .build();
        let (happening_sender, happenings) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (chunk_sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        Ok(Self {
            swarm,
            opening: BTreeMap::new(),
            connections: BTreeMap::new(),
            numbered: 0,
            peers_max,
            reports: Reports { happenings: happening_sender, chunks: chunk_sender },
            happenings,
            chunks,
            ready: VecDeque::new(),
            banned: VecDeque::new(),
            answered: BTreeMap::new(),
        })
    }

    /// This node's transport identity.
    pub fn transport_id(&self) -> TransportId {
        *self.swarm.local_peer_id()
    }

    /// Listens on an address, and returns the one that was bound (a port of 0 lets the system choose).
    pub async fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, NetworkError> {
        let multiaddr = multiaddr(address);
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => NetworkError::Taken { address, source },
            _ => NetworkError::Listen { address, source },
        };
        // libp2p lets two processes share a port, and each would get half of the connections. A plain
        // socket is refused where somebody listens already.
        drop(std::net::TcpListener::bind(address).map_err(failed)?);
        let listener = self.swarm.listen_on(multiaddr).map_err(|error| failed(std::io::Error::other(error)))?;
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address: bound } if listener_id == listener => {
                    let port = socket_address(&bound).map_or(address.port(), |bound| bound.port());
                    return Ok(SocketAddr::new(address.ip(), port));
                }
                SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                    return Err(failed(error));
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                    return Err(failed(reason.err().unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into())));
                }
                _ => {}
            }
        }
    }

    /// Dials an address whose owner is not known, unless whoever answered there is still connected.
    /// Failures are silent, as the caller dials again. Returns whether there was need to dial.
    pub fn dial_address(&mut self, address: SocketAddr) -> bool {
        let answered = *self.answered.entry(address).or_default();
        let connected = answered.is_some_and(|answered| self.swarm.is_connected(&answered));
        if !connected && let Err(error) = self.swarm.dial(multiaddr(address)) {
            tracing::debug!(%address, %error, "cannot dial");
        }
        !connected
    }

    /// Dials a peer that was discovered at these addresses, unless it is connected or being dialled.
    pub fn dial_peer(&mut self, transport: TransportId, addresses: &[SocketAddr]) {
        let options = DialOpts::peer_id(transport)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses.iter().copied().map(multiaddr).collect())
            .build();
        // "Connected or being dialled already" is the usual refusal, and no news.
        let _ = self.swarm.dial(options);
    }

    /// Whether there is a connection to this transport identity, or one is being set up.
    pub fn is_connected_to(&self, transport: TransportId) -> bool {
        self.swarm.is_connected(&transport)
    }

    /// Closes connections whose lanes did not open in time.
    pub fn close_stuck(&mut self) {
        let stuck: Vec<ConnectionId> = self
            .opening
            .iter()
            .filter(|(_, opening)| opening.since.elapsed() > OPEN_WITHIN)
            .map(|(id, _)| *id)
            .collect();
        for id in stuck {
            self.opening.remove(&id);
            self.swarm.close_connection(id);
        }
    }

    /// How many peers can be spoken to.
    pub fn peer_count(&self) -> usize {
        self.connections.len()
    }

    /// Says something to a peer. One that does not take its messages is disconnected.
    pub fn send(&mut self, to: PeerId, message: &Message) {
        self.send_all(&[to], message);
    }

    /// Says the same to several peers, and encodes it once.
    pub fn send_all(&mut self, to: &[PeerId], message: &Message) {
        let frame: Arc<[u8]> = message.encode().into();
        for to in to {
            if self.connections.get(to).is_some_and(|connection| !connection.handle.say(&frame)) {
                self.disconnect(*to);
            }
        }
    }

    /// Sends a chunk to a peer; `ChunkSent` or `Closed` follows. Returns false if the peer is gone.
    pub fn send_chunk(&mut self, to: PeerId, chunk: OutgoingChunk) -> bool {
        self.connections.get(&to).is_some_and(|connection| connection.handle.chunks.try_send(chunk).is_ok())
    }

    /// Closes the connection to a peer; `Closed` follows.
    pub fn disconnect(&mut self, peer: PeerId) {
        if let Some(connection) = self.connections.remove(&peer) {
            connection.handle.task.abort();
            self.swarm.close_connection(connection.id);
            self.ready.push_back(Happening::Closed(peer));
        }
    }

    /// Closes the connection to a peer and accepts none from its identity again.
    pub fn ban(&mut self, peer: PeerId) {
        if let Some(connection) = self.connections.get(&peer) {
            self.swarm.behaviour_mut().banned.block_peer(connection.transport);
            self.banned.push_back(connection.transport);
        }
        if self.banned.len() > BANNED_MAX
            && let Some(pardoned) = self.banned.pop_front()
        {
            self.swarm.behaviour_mut().banned.unblock_peer(pardoned);
        }
        self.disconnect(peer);
    }

    /// The next thing that happens. Unless it `takes_chunks`, chunks are held back, so that a node whose
    /// disk is behind stops reading them from its peers.
    pub async fn next(&mut self, takes_chunks: bool) -> Happening {
        loop {
            if let Some(happening) = self.ready.pop_front() {
                return happening;
            }
            tokio::select! {
                Some(happening) = self.happenings.recv() => match happening {
                    Happening::Closed(peer) => self.disconnect(peer),
                    happening => return happening,
                },
                Some(chunk) = self.chunks.recv(), if takes_chunks => return chunk,
                event = self.swarm.select_next_some() => self.swarm_event(event),
            }
        }
    }

    fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let Some(address) = socket_address(endpoint.get_remote_address()) else { return };
                if let Some(answered) = self.answered.get_mut(&address).filter(|_| endpoint.is_dialer()) {
                    *answered = Some(peer_id);
                }
                let opening = Opening {
                    transport: peer_id,
                    dialled: endpoint.is_dialer(),
                    since: Instant::now(),
                    messages: None,
                    chunks: None,
                };
                self.opening.insert(connection_id, opening);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.opening.remove(&connection_id);
                let peer = self.connections.iter().find(|(_, known)| known.id == connection_id).map(|(peer, _)| *peer);
                peer.into_iter().for_each(|peer| self.disconnect(peer));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Lanes(LaneOpened { connection, lane, .. })) => {
                self.lane_opened(connection, lane);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { connection, result: Err(_), .. })) => {
                self.swarm.close_connection(connection);
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => tracing::debug!(%error, "dialling failed"),
            _ => {}
        }
    }

    fn lane_opened(&mut self, connection: ConnectionId, lane: Option<(Lane, Stream)>) {
        let Some(opening) = self.opening.get_mut(&connection) else { return };
        match lane {
            Some((Lane::Messages, stream)) => opening.messages = Some(stream),
            Some((Lane::Chunks, stream)) => opening.chunks = Some(stream),
            None => {
                self.swarm.close_connection(connection);
                return;
            }
        }
        if opening.messages.is_some() && opening.chunks.is_some() {
            self.connected(connection);
        }
    }

    /// Both lanes are open: the connection is used, unless a better one to the same peer is.
    fn connected(&mut self, id: ConnectionId) {
        let Some(opening) = self.opening.remove(&id) else { return };
        let (Some(messages), Some(chunks)) = (opening.messages, opening.chunks) else { return };
        let other = self.connections.iter().find(|(_, known)| known.transport == opening.transport);
        if let Some((other, known)) = other.map(|(peer, known)| (*peer, known)) {
            if known.dialled == opening.dialled || !self.prefers(opening.transport, opening.dialled) {
                self.swarm.close_connection(id);
                return;
            }
            self.disconnect(other);
        }
        if !opening.dialled && self.connections.len() >= self.peers_max {
            self.swarm.close_connection(id);
            return;
        }
        self.numbered += 1;
        let peer = PeerId(self.numbered);
        let handle = connection::start(peer, messages, chunks, &self.reports);
        let Opening { transport, dialled, .. } = opening;
        self.connections.insert(peer, Connection { id, transport, dialled, handle });
        self.ready.push_back(Happening::Opened(peer));
    }

    /// Two nodes that dial each other at once must keep the same one of two connections: the one that
    /// the smaller identity dialled.
    fn prefers(&self, other: TransportId, dialled: bool) -> bool {
        (self.transport_id() < other) == dialled
    }
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => IpAddr::from(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}
