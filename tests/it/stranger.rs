//! A peer that the test plays itself, over the real network: an observer, or a liar.

use node::net::{Happening, Network};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tests::manners::{Say, peer_of};
use tokio::sync::oneshot;

/// Nothing that a stranger waits for takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

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
                say.to(peer, &mut network);
            }
        }
        // Nobody may be listening any more.
        let _ = heard.send(happening);
    }
}
