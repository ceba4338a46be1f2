//! Two long-lived streams per connection, opened by its dialer: one for messages, one for chunks, so
//! that a message never queues behind bulk data. This is the whole libp2p behaviour; what is said on
//! the streams is the business of `frames` and of the tasks in `connection`.
//!
//! A stream per chunk would cost a negotiation each, and the ready-made stream behaviour drops inbound
//! streams under load, so these two are asked for once and kept.

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, Stream,
    StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, StreamProtocol as Protocol};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll, Waker};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Messages.
    Messages,
    /// Chunks.
    Chunks,
}

impl Lane {
    const ALL: [Lane; 2] = [Lane::Messages, Lane::Chunks];

    fn protocol(self) -> StreamProtocol {
        match self {
            Lane::Messages => Protocol::new("/homeroom/1"),
            Lane::Chunks => Protocol::new("/homeroom/1/chunks"),
        }
    }
}

/// A lane of a connection is ready for use, or cannot be had.
#[derive(Debug)]
pub struct LaneOpened {
    /// Which connection.
    pub connection: ConnectionId,
    /// Which lane, and its stream; nothing if the peer does not speak this protocol.
    pub lane: Option<(Lane, Stream)>,
}

/// The behaviour: passes the opened lanes of all connections on.
#[derive(Default)]
pub struct Lanes {
    opened: VecDeque<LaneOpened>,
    waker: Option<Waker>,
}

impl NetworkBehaviour for Lanes {
    type ConnectionHandler = Handler;
    type ToSwarm = LaneOpened;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler { to_open: Lane::ALL.into(), ..Handler::default() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, connection: ConnectionId, lane: THandlerOutEvent<Self>) {
        self.opened.push_back(LaneOpened { connection, lane });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(opened) = self.opened.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(opened));
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// One connection's handler: opens the lanes if this side dialled, and hands over every lane.
#[derive(Default)]
pub struct Handler {
    to_open: VecDeque<Lane>,
    opened: VecDeque<Option<(Lane, Stream)>>,
    waker: Option<Waker>,
}

impl Handler {
    fn hand_over(&mut self, lane: Option<(Lane, Stream)>) {
        self.opened.push_back(lane);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Option<(Lane, Stream)>;
    type InboundProtocol = LaneUpgrade;
    type OutboundProtocol = LaneUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<LaneUpgrade> {
        SubstreamProtocol::new(LaneUpgrade(Lane::ALL.to_vec()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<LaneUpgrade, (), Option<(Lane, Stream)>>> {
        if let Some(lane) = self.to_open.pop_front() {
            let protocol = SubstreamProtocol::new(LaneUpgrade(vec![lane]), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        if let Some(lane) = self.opened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(lane));
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<LaneUpgrade, LaneUpgrade>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
            | ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.hand_over(Some(protocol));
            }
            ConnectionEvent::DialUpgradeError(_) => self.hand_over(None),
            _ => {}
        }
    }
}

/// Negotiates one of some lanes.
pub struct LaneUpgrade(Vec<Lane>);

impl UpgradeInfo for LaneUpgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|lane| lane.protocol()).collect::<Vec<_>>().into_iter()
    }
}

/// The lane that a negotiated protocol names.
fn lane_of(protocol: &StreamProtocol) -> Lane {
    if *protocol == Lane::Chunks.protocol() { Lane::Chunks } else { Lane::Messages }
}

impl InboundUpgrade<Stream> for LaneUpgrade {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<(Lane, Stream), Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((lane_of(&protocol), stream)))
    }
}

impl OutboundUpgrade<Stream> for LaneUpgrade {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<(Lane, Stream), Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((lane_of(&protocol), stream)))
    }
}
