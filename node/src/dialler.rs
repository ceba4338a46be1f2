//! Whom to dial, and when again: peers that were discovered and addresses that a person named.

use crate::discovery::Found;
use crate::net::{Network, TransportId};
use protocol::limits::{PEERS_MAX, SEED_PEERS_MAX};
use protocol::mesh::Role;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Of two nodes that discover each other, the one with the larger identity waits this long, so that
/// seldom both dial.
const YIELD: Duration = Duration::from_secs(2);
/// The first wait before an address is dialled again; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// Discovered peers remembered; on a larger network the oldest are found again by mDNS.
const KNOWN_MAX: usize = 1024;

/// Everybody who could be dialled.
#[derive(Debug, Default)]
pub struct Dialler {
    named: Vec<(String, Wait)>,
    known: BTreeMap<TransportId, (Found, Wait)>,
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

impl Dialler {
    /// Addresses that a person named, `HOST:PORT` each, to be dialled again and again.
    pub fn new(named: Vec<String>) -> Self {
        let now = Instant::now();
        Self { named: named.into_iter().map(|name| (name, Wait::from(now))).collect(), known: BTreeMap::new() }
    }

    /// A peer was discovered.
    pub fn found(&mut self, found: Found, own: TransportId) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&found.transport) {
            return;
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
        for (name, wait) in &mut self.named {
            if !wait.is_over(now) {
                continue;
            }
            match tokio::net::lookup_host(name.as_str()).await {
                Ok(mut addresses) => {
                    // While the peer is connected there is nothing to wait longer for.
                    if addresses.next().is_some_and(|address: SocketAddr| !network.dial_address(address)) {
                        wait.after = RETRY_FIRST;
                    }
                }
                Err(error) => tracing::warn!(%name, %error, "cannot find the address of a peer"),
            }
        }
        let peers_max = if role == Role::Seed { SEED_PEERS_MAX } else { PEERS_MAX };
        for (found, wait) in self.known.values_mut() {
            if network.is_connected_to(found.transport) {
                *wait = Wait::from(now + RETRY_FIRST);
            } else if (network.peer_count() < peers_max || found.role == Role::Seed) && wait.is_over(now) {
                network.dial_peer(found.transport, &found.addresses);
            }
        }
    }
}
