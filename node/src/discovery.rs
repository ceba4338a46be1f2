//! Finding peers on the local network by mDNS. The only place that names mdns-sd.
//!
//! A record is a hint that anybody can forge: it says where to dial, and the noise handshake proves
//! who answers. It holds a format byte, the first bytes of the repository's name and of the head's
//! digest, the role, and nothing that names a person or a device (`docs/wire.md`).

use crate::net::TransportId;
use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use protocol::id::RepositoryId;
use protocol::mesh::Role;
use std::net::{IpAddr, SocketAddr};

const SERVICE: &str = "_homeroom._tcp.local.";
/// The record's format.
const FORMAT: &str = "1";
/// Interfaces that lead to containers and virtual machines, and never to a classroom.
const VIRTUAL_INTERFACES: [&str; 5] = ["docker", "br-", "virbr", "veth", "vnet"];
/// Bytes of a name that a record shows, enough to tell repositories apart.
const PREFIX_BYTES: usize = 8;

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct Advertisement {
    /// Its transport identity.
    pub transport: TransportId,
    /// Whose releases it carries.
    pub repository: RepositoryId,
    /// What it is for.
    pub role: Role,
    /// Digest of its newest metadata, if it has any whole.
    pub head: Option<[u8; 32]>,
    /// Where it listens. An unspecified address stands for all interfaces.
    pub listens_on: SocketAddr,
}

/// A peer that says it is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whom to expect when dialling.
    pub transport: TransportId,
    /// What it says it is for.
    pub role: Role,
    /// Where to dial.
    pub addresses: Vec<SocketAddr>,
}

/// mDNS could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start mDNS; name peers with --peer ADDRESS instead, and give --no-mdns")]
pub struct DiscoveryError(#[from] mdns_sd::Error);

/// Advertises this node, and listens for others of its repository.
pub struct Discovery {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    advertisement: Advertisement,
}

impl Discovery {
    /// Starts to advertise and to listen, on the interfaces that the node listens on.
    pub fn start(advertisement: Advertisement) -> Result<Self, DiscoveryError> {
        let daemon = ServiceDaemon::new()?;
        let address = advertisement.listens_on.ip();
        if address.is_unspecified() {
            let is_virtual = IfPredicate::new(|interface| {
                VIRTUAL_INTERFACES.iter().any(|prefix| interface.name.starts_with(prefix))
            });
            daemon.disable_interface(IfKind::Predicate(is_virtual))?;
        } else {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(if address.is_loopback() { IfKind::LoopbackV4 } else { IfKind::Addr(address) })?;
        }
        let events = daemon.browse(SERVICE)?;
        let discovery = Self { daemon, events, advertisement };
        discovery.register()?;
        Ok(discovery)
    }

    /// Tells that the node's newest metadata has changed.
    pub fn head_changed(&mut self, head: Option<[u8; 32]>) {
        if self.advertisement.head == head {
            return;
        }
        self.advertisement.head = head;
        // The record is a hint; an old one misleads nobody for longer than a handshake.
        if let Err(error) = self.register() {
            tracing::warn!(%error, "cannot renew the mDNS record");
        }
    }

    /// The next peer of the same repository that says it is there.
    pub async fn next(&mut self) -> Found {
        loop {
            match self.events.recv_async().await {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    if let Some(found) = self.read(&service) {
                        return found;
                    }
                }
                Ok(_) => {}
                // A listener that falls behind is dropped; ask again.
                Err(_) => match self.daemon.browse(SERVICE) {
                    Ok(events) => self.events = events,
                    Err(error) => {
                        tracing::warn!(%error, "mDNS has stopped");
                        std::future::pending::<()>().await;
                    }
                },
            }
        }
    }

    fn read(&self, service: &mdns_sd::ResolvedService) -> Option<Found> {
        let text = |key: &str| service.txt_properties.get_property_val_str(key);
        let transport: TransportId = service.fullname.strip_suffix(SERVICE)?.strip_suffix('.')?.parse().ok()?;
        let ours = text("v") == Some(FORMAT) && text("r") == Some(&prefix(&self.advertisement.repository.0));
        if !ours || transport == self.advertisement.transport {
            return None;
        }
        let role = if text("o") == Some("seed") { Role::Seed } else { Role::Device };
        let usable = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_loopback() || self.advertisement.listens_on.ip().is_loopback(),
            // A link-local address means nothing without an interface, which a dialled address has not.
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        };
        let addresses = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).filter(usable);
        let addresses = addresses.map(|address| SocketAddr::new(address, service.port)).collect();
        Some(Found { transport, role, addresses })
    }

    fn register(&self) -> Result<(), mdns_sd::Error> {
        let Advertisement { transport, repository, role, head, listens_on } = &self.advertisement;
        let head = head.as_ref().map(prefix).unwrap_or_default();
        let role = match role {
            Role::Seed => "seed",
            Role::Device => "device",
        };
        let properties = [("v", FORMAT), ("r", &prefix(&repository.0)), ("h", &head), ("o", role)];
        let name = transport.to_string();
        let host = format!("{name}.local.");
        let port = listens_on.port();
        let service = if listens_on.ip().is_unspecified() {
            ServiceInfo::new(SERVICE, &name, &host, "", port, &properties[..])?.enable_addr_auto()
        } else {
            ServiceInfo::new(SERVICE, &name, &host, listens_on.ip(), port, &properties[..])?
        };
        self.daemon.register(service)
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        // Says goodbye, so that others forget this node at once; nobody waits for it.
        let _ = self.daemon.shutdown();
    }
}

fn prefix(name: &[u8; 32]) -> String {
    hex::encode(&name[..PREFIX_BYTES])
}
