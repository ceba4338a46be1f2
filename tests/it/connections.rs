//! Who gets a connection: nobody in another's name, and no more than there are places.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use node::net::{Happening, Network};
use protocol::id::{ManifestId, PeerId};
use protocol::limits::FRAME_BYTES_MAX;
use protocol::message::{Holdings, Message};
use serde_bytes::ByteBuf;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Nothing here takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Somewhere on this host, on a port that the system chooses.
const ANYWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

async fn listening(peers_max: usize) -> (Network, SocketAddr) {
    let mut network = Network::new(peers_max).unwrap();
    let address = network.listen(SocketAddr::from(ANYWHERE)).await.unwrap();
    (network, address)
}

/// A stretch of wire to an address, which shows when its ends have hung up.
struct Wire {
    end: SocketAddr,
    listener: TcpListener,
    to: SocketAddr,
}

impl Wire {
    async fn to(to: SocketAddr) -> Wire {
        let listener = TcpListener::bind(SocketAddr::from(ANYWHERE)).await.unwrap();
        Wire { end: listener.local_addr().unwrap(), listener, to }
    }

    /// Carries one connection until it is over.
    async fn carry(self) {
        let (mut from, _) = self.listener.accept().await.unwrap();
        let mut to = TcpStream::connect(self.to).await.unwrap();
        // However it ends.
        let _ = copy_bidirectional(&mut from, &mut to).await;
    }
}

/// The next opening of a connection: to whom.
async fn opened(network: &mut Network) -> PeerId {
    loop {
        if let Happening::Opened(peer) = network.next(true).await {
            return peer;
        }
    }
}

#[tokio::test]
async fn whoever_answers_in_anothers_name_is_not_spoken_to() {
    let (mut impostor, address) = listening(4).await;
    let mut dialler = Network::new(4).unwrap();
    let absent = Network::new(4).unwrap().transport_id();

    let wire = Wire::to(address).await;
    dialler.dial_peer(absent, &[wire.end]);
    let refused = async {
        tokio::select! {
            () = wire.carry() => true,
            _ = opened(&mut dialler) => false,
            _ = opened(&mut impostor) => false,
        }
    };
    assert!(timeout(DEADLINE, refused).await.unwrap(), "a peer with another identity than was dialled is spoken to");
    assert_eq!((dialler.peer_count(), dialler.is_connected_to(impostor.transport_id())), (0, false));

    // The same peer, dialled by its own name.
    let wire = Wire::to(address).await;
    dialler.dial_peer(impostor.transport_id(), &[wire.end]);
    let accepted = async {
        tokio::select! {
            () = wire.carry() => false,
            (_, _) = async { tokio::join!(opened(&mut dialler), opened(&mut impostor)) } => true,
        }
    };
    assert!(timeout(DEADLINE, accepted).await.unwrap(), "a peer with the identity that was dialled is refused");
}

#[tokio::test]
async fn whoever_comes_when_all_places_are_taken_is_sent_away() {
    let (mut host, address) = listening(3).await;
    let mut wires = FuturesUnordered::new();
    let mut guests = Vec::new();
    for _ in 0..5 {
        let wire = Wire::to(address).await;
        let mut guest = Network::new(4).unwrap();
        guest.dial_address(wire.end);
        wires.push(wire.carry());
        guests.push(tokio::spawn(async move {
            loop {
                guest.next(true).await;
            }
        }));
    }
    let two_left = async {
        let (mut came, mut left) = (0, 0);
        while (came, left) != (3, 2) {
            tokio::select! {
                _ = opened(&mut host) => came += 1,
                Some(()) = wires.next() => left += 1,
            }
            assert!(came <= 3 && left <= 2, "{came} of 5 guests found a place among 3, and {left} went");
        }
    };
    timeout(DEADLINE, two_left).await.unwrap();
    assert_eq!(host.peer_count(), 3);
    guests.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_takes_few_places() {
    let (mut host, address) = listening(3).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut ends: FuturesUnordered<_> = silent
        .iter_mut()
        .map(|stream| async {
            // What is not sent away is greeted first.
            while stream.read_u8().await.is_ok() {}
        })
        .collect();
    // 32 may be being set up at once (`CONNECTIONS_PENDING_MAX`).
    let eight_left = async {
        for _ in 0..8 {
            tokio::select! {
                _ = ends.next() => {}
                _ = opened(&mut host) => panic!("silence was taken for a peer"),
            }
        }
    };
    // Less than a handshake may take (10 s), after which all are sent away.
    timeout(Duration::from_secs(8), eight_left).await.expect("more than 32 strangers were let in");
}

#[tokio::test]
async fn whoever_does_not_take_its_messages_is_parted_from() {
    let (mut host, address) = listening(3).await;
    let mut guest = Network::new(3).unwrap();
    guest.dial_address(address);
    let both = async { tokio::join!(opened(&mut host), opened(&mut guest)).0 };
    let deaf = timeout(DEADLINE, both).await.unwrap();
    // From here on nobody asks the guest's network for anything.
    let held = ByteBuf::from(vec![0; 200_000]);
    let message = Message::Holdings(Holdings { release: ManifestId([1; 32]), held, answer: false });
    // Two of the largest frames may be queued here, and the rest is on its way.
    let bytes_max = 2 * u64::from(FRAME_BYTES_MAX) + 20_000_000;
    let mut sent_bytes = 0;
    while host.peer_count() > 0 {
        host.send(deaf, &message);
        sent_bytes += message.encoded_bytes();
        assert!(sent_bytes < bytes_max, "{sent_bytes} bytes are kept for a peer that takes none");
        tokio::select! {
            biased;
            _ = host.next(true) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(sent_bytes > u64::from(FRAME_BYTES_MAX), "a peer is parted from after {sent_bytes} bytes");
}
