//! Whom to dial, and when again: peers that were discovered and addresses that a person named.

use crate::discovery::Found;
use crate::net::{Network, TransportId};
use protocol::limits::{PEERS_MAX, SEED_PEERS_MAX};
use protocol::mesh::Role;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Of two nodes that discover each other, the one with the larger identity waits this long, so that
/// seldom both dial.
const YIELD: Duration = Duration::from_secs(2);
/// The first wait before an address is dialled again; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// Connections beyond a device's peers: its school, and a second one while two are sorted out.
pub const SEED_CONNECTIONS: usize = 4;
/// Discovered peers remembered.
const KNOWN_MAX: usize = 1024;

/// Everybody who could be dialled.
#[derive(Debug, Default)]
pub struct Dialler {
    named: Vec<Named>,
    known: BTreeMap<TransportId, (Found, Wait)>,
}

/// An address that a person named.
#[derive(Debug)]
struct Named {
    name: String,
    wait: Wait,
    /// The name is being looked up, which may take long where there is no name server.
    lookup: Option<JoinHandle<std::io::Result<Option<SocketAddr>>>>,
}

/// When to try next, and how long to wait after that.
#[derive(Clone, Copy, Debug)]
struct Wait {
    next: Instant,
    after: Duration,
}

impl Wait {
    fn from(next: Instant) -> Self {
        Self { next, after: RETRY_FIRST }
    }

    /// Whether it is time; if so, the next time is set.
    fn is_over(&mut self, now: Instant) -> bool {
        let over = self.next <= now;
        if over {
            self.next = now + self.after;
            self.after = (self.after * 2).min(RETRY_LAST);
        }
        over
    }
}

impl Named {
    /// Looks the name up, and dials what was found, when it is time. Never waits.
    async fn dial(&mut self, network: &mut Network, now: Instant) {
        if self.lookup.is_none() && self.wait.is_over(now) {
            let name = self.name.clone();
            match name.parse() {
                Ok(address) => return self.dial_address(network, address),
                Err(_) => {
                    self.lookup = Some(tokio::spawn(async move { Ok(tokio::net::lookup_host(name).await?.next()) }));
                }
            }
        }
        let Some(lookup) = self.lookup.take_if(|lookup| lookup.is_finished()) else { return };
        match lookup.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(Some(address)) => self.dial_address(network, address),
            Ok(None) => tracing::warn!(name = %self.name, "a peer's name has no address"),
            Err(error) => tracing::warn!(name = %self.name, %error, "cannot find the address of a peer"),
        }
    }

    fn dial_address(&mut self, network: &mut Network, address: SocketAddr) {
        if !network.dial_address(address) {
            // While the peer is connected there is nothing to wait longer for.
            self.wait.after = RETRY_FIRST;
        }
    }
}

/// A school is dialled though the class fills every other place; whoever claims to be one can take only these.
fn seeds_beyond(role: Role) -> usize {
    if role == Role::Seed { SEED_CONNECTIONS } else { 0 }
}

impl Dialler {
    /// Addresses that a person named, `HOST:PORT` each, to be dialled again and again.
    pub fn new(named: Vec<String>) -> Self {
        let now = Instant::now();
        let named = named.into_iter().map(|name| Named { name, wait: Wait::from(now), lookup: None }).collect();
        Self { named, known: BTreeMap::new() }
    }

    /// A peer was discovered.
    pub fn found(&mut self, found: Found, own: TransportId) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&found.transport) {
            // Identities are new at every start, so most of the known are gone for good.
            let longest_failing = self.known.iter().max_by_key(|(_, (_, wait))| wait.after).map(|(known, _)| *known);
            longest_failing.and_then(|known| self.known.remove(&known));
        }
        let now = Instant::now();
        let wait = Wait::from(if own < found.transport { now } else { now + YIELD });
        match self.known.entry(found.transport) {
            Entry::Occupied(mut known) => known.get_mut().0 = found,
            Entry::Vacant(unknown) => {
                unknown.insert((found, wait));
            }
        }
    }

    /// Dials whoever is due.
    pub async fn dial(&mut self, network: &mut Network, role: Role) {
        let now = Instant::now();
        for named in &mut self.named {
            named.dial(network, now).await;
        }
        let peers_max = if role == Role::Seed { SEED_PEERS_MAX } else { PEERS_MAX };
        let mut dialled = 0;
        for (found, wait) in self.known.values_mut() {
            if network.is_connected_to(found.transport) {
                *wait = Wait::from(now + RETRY_FIRST);
            } else if network.peer_count() + dialled < peers_max + seeds_beyond(found.role) && wait.is_over(now) {
                dialled += 1;
                network.dial_peer(found.transport, &found.addresses);
            }
        }
    }
}
