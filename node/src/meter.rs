//! What this host's network interfaces carry, and how much of it is this node's own: the kernel counts both, the
//! first for each interface in /proc/net/dev, the second for each TCP connection, which it tells on a netlink socket
//! (sock_diag(7), as `ss -i` shows it). The same answer tells how long packets wait in queues.

use protocol::mesh::{Carried, Traffic};
use protocol::time::Span;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Bytes of Ethernet, IPv4 and TCP with timestamps around each segment.
const HEADER_BYTES: u64 = 14 + 20 + 32;
/// The kernel writes its answer in parts of at most this size, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What it tells of one connection takes less, in bytes.
const LOOKED_UP_BYTES_MAX: usize = 4 * 1024;

/// Reads what was carried since it last did.
///
/// To list all connections takes the kernel a millisecond, as it walks through the whole of its table; to look one up
/// takes microseconds. So they are listed only when there is a new one.
pub struct Meter {
    diag: OwnedFd,
    /// The connections of this process, by what the kernel knows each by.
    connections: BTreeMap<SocketId, Connection>,
    is_listed: bool,
    interfaces: BTreeMap<String, Bytes>,
    read_at: Instant,
}

/// What was carried out and in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    up: u64,
    down: u64,
}

/// `inet_diag_sockid` of linux/inet_diag.h, behind the address family: ports, addresses, interface and cookie.
type SocketId = [u8; 49];

/// What the kernel tells of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    carried: Bytes,
    /// How long a packet and its answer take lately, and the least that they took within minutes.
    round_trip: Span,
    round_trip_least: Span,
}

impl Meter {
    /// A meter that starts at nothing.
    ///
    /// # Errors
    /// Where the kernel does not tell what it counts.
    pub fn start() -> io::Result<Self> {
        let diag =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
        let mut meter = Self {
            diag,
            connections: BTreeMap::new(),
            is_listed: false,
            interfaces: BTreeMap::new(),
            read_at: Instant::now(),
        };
        meter.read()?;
        Ok(meter)
    }

    /// This process has a connection that it had not before.
    pub fn has_new_connection(&mut self) {
        self.is_listed = false;
    }

    /// What was carried since this was last called.
    ///
    /// # Errors
    /// Where the kernel does not tell what it counts.
    pub fn read(&mut self) -> io::Result<Traffic> {
        let connections = if self.is_listed { self.look_up()? } else { self.list()? };
        self.is_listed = true;
        let interfaces = interfaces(&std::fs::read_to_string("/proc/net/dev")?);
        let mut own = Bytes::default();
        let mut queueing: Option<Span> = None;
        for (id, connection) in &connections {
            // A new connection has carried all of its bytes since.
            let before = self.connections.get(id).map(|known| known.carried).unwrap_or_default();
            let since = connection.carried.since(before);
            own = Bytes { up: own.up + since.up, down: own.down + since.down };
            if since.up > 0 {
                let waits = Span(connection.round_trip.0.saturating_sub(connection.round_trip_least.0));
                queueing = Some(queueing.map_or(waits, |least| least.min(waits)));
            }
        }
        // The busiest interface alone: what goes through a bridge is counted on its ports as well.
        let mut all = Bytes::default();
        for (name, carried) in &interfaces {
            let before = self.interfaces.get(name).copied().unwrap_or(*carried);
            let since = carried.since(before);
            all = Bytes { up: all.up.max(since.up), down: all.down.max(since.down) };
        }
        let now = Instant::now();
        let span = Span(u64::try_from((now - self.read_at).as_micros()).unwrap_or(u64::MAX));
        (self.connections, self.interfaces, self.read_at) = (connections, interfaces, now);
        let up = Carried { own_bytes: own.up, all_bytes: all.up };
        let down = Carried { own_bytes: own.down, all_bytes: all.down };
        Ok(Traffic { span, up, down, queueing })
    }

    /// All connections of this process.
    fn list(&self) -> io::Result<BTreeMap<SocketId, Connection>> {
        let own = own_sockets()?;
        let mut connections = BTreeMap::new();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            let mut id = [0; 49];
            id[0] = u8::try_from(family.as_raw()).unwrap_or(0);
            send(&self.diag, &question(&id, true), SendFlags::empty())?;
            let mut buffer = vec![0; ANSWER_BYTES_MAX];
            loop {
                let (bytes, _) = recv(&self.diag, &mut buffer[..], RecvFlags::empty())?;
                let mut answer = Answer(&buffer[..bytes]);
                let known = answer.by_ref().filter(|(_, inode, _)| own.contains(inode));
                connections.extend(known.map(|(id, _, connection)| (id, connection)));
                if answer.is_last()? {
                    break;
                }
            }
        }
        Ok(connections)
    }

    /// The connections that were there before, without those that are gone.
    fn look_up(&self) -> io::Result<BTreeMap<SocketId, Connection>> {
        let mut connections = BTreeMap::new();
        let mut buffer = vec![0; LOOKED_UP_BYTES_MAX];
        for id in self.connections.keys() {
            send(&self.diag, &question(id, false), SendFlags::empty())?;
            let (bytes, _) = recv(&self.diag, &mut buffer[..], RecvFlags::empty())?;
            connections.extend(Answer(&buffer[..bytes]).next().map(|(_, _, connection)| (*id, connection)));
        }
        Ok(connections)
    }
}

impl Bytes {
    fn since(self, before: Bytes) -> Bytes {
        Bytes { up: self.up.saturating_sub(before.up), down: self.down.saturating_sub(before.down) }
    }
}

/// The inodes of the sockets of this process.
fn own_sockets() -> io::Result<Vec<u32>> {
    let links = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect())
}

/// Interfaces but the loopback, by name, as /proc/net/dev tells of them (proc_pid_net(5)).
fn interfaces(table: &str) -> BTreeMap<String, Bytes> {
    let row = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let mut counts = counts.split_whitespace().map(|count| count.parse().ok());
        let down = counts.next()??;
        let up = counts.nth(7)??; // After eight counts of what came in.
        Some((name.trim().to_owned(), Bytes { up, down }))
    };
    table.lines().filter_map(row).filter(|(name, _)| name != "lo").collect()
}

/// Asks for one TCP connection, or for `all` of its address family: a netlink header and `inet_diag_req_v2` of
/// linux/inet_diag.h.
fn question(id: &SocketId, all: bool) -> Vec<u8> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const REQUEST: u16 = 1;
    const DUMP: u16 = 0x300;
    const TCP: u8 = 6;
    const INFO: u8 = 1 << 1;
    /// All states of TCP but listening and those in which no process holds the socket.
    const STATES: u32 = 0b0000_1001_0011_0110;
    let mut question = Vec::with_capacity(72);
    question.extend(72_u32.to_ne_bytes());
    question.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend((if all { REQUEST | DUMP } else { REQUEST }).to_ne_bytes());
    question.extend([0; 8]); // Number and port, which nobody looks at.
    question.extend([id[0], TCP, INFO, 0]);
    question.extend(STATES.to_ne_bytes());
    question.extend(&id[1..]);
    question
}

/// What the kernel answered: connections, with what it knows each by and its inode.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    const DONE: u16 = 3;
    const ERROR: u16 = 2;

    /// Whether nothing follows.
    fn is_last(&self) -> io::Result<bool> {
        match number(self.0, 4, u16::from_ne_bytes) {
            Some(Self::DONE) => Ok(true),
            Some(Self::ERROR) => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(false),
        }
    }
}

impl Iterator for Answer<'_> {
    type Item = (SocketId, u32, Connection);

    fn next(&mut self) -> Option<(SocketId, u32, Connection)> {
        loop {
            let length = number(self.0, 0, u32::from_ne_bytes)? as usize;
            if matches!(number(self.0, 4, u16::from_ne_bytes)?, Self::DONE | Self::ERROR) {
                return None;
            }
            let message = self.0.get(16..length)?;
            self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
            if let Some(connection) = connection(message) {
                return Some(connection);
            }
        }
    }
}

/// Reads an `inet_diag_msg` and the `tcp_info` (linux/tcp.h) behind it.
fn connection(message: &[u8]) -> Option<(SocketId, u32, Connection)> {
    const INFO: u16 = 2;
    let mut id = [0; 49];
    id[0] = *message.first()?;
    id[1..].copy_from_slice(message.get(4..52)?);
    let inode = number(message, 68, u32::from_ne_bytes)?;
    let mut attributes = message.get(72..)?;
    loop {
        let length = usize::from(number(attributes, 0, u16::from_ne_bytes)?);
        if number(attributes, 2, u16::from_ne_bytes)? == INFO {
            let info = attributes.get(4..length)?;
            let micros = |at| Some(Span(number(info, at, u32::from_ne_bytes)?.into()));
            let segments = |at| Some(u64::from(number(info, at, u32::from_ne_bytes)?) * HEADER_BYTES);
            let carried = Bytes {
                up: number(info, 200, u64::from_ne_bytes)? + segments(136)?,
                down: number(info, 128, u64::from_ne_bytes)? + segments(140)?,
            };
            return Some((id, inode, Connection { carried, round_trip: micros(68)?, round_trip_least: micros(148)? }));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn number<const BYTES: usize, N>(bytes: &[u8], at: usize, read: impl Fn([u8; BYTES]) -> N) -> Option<N> {
    Some(read(bytes.get(at..at + BYTES)?.try_into().ok()?))
}
