//! What a node tells everybody on the network: its mDNS record, as it crosses the wire.

use super::class::Class;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use sha2::{Digest, Sha256};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// Where all of mDNS is said (RFC 6762, section 3).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;

/// Nobody waits so long for a node that announces itself.
const DEADLINE: Duration = Duration::from_secs(60);

/// An ear and a mouth on this host's loopback, beside those of nodes.
fn ear() -> UdpSocket {
    let ear = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&ear, true).unwrap();
    sockopt::set_socket_reuseport(&ear, true).unwrap();
    bind(&ear, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    sockopt::set_ip_multicast_if(&ear, &Ipv4Addr::LOCALHOST).unwrap();
    let ear = UdpSocket::from(ear);
    ear.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
    ear.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    ear
}

/// The strings of the TXT record in a packet in which `known` is one, if there is such a record.
fn strings(packet: &[u8], known: &str) -> Option<Vec<String>> {
    let first = packet.windows(4).position(|window| window == b"\x03v=1")?;
    let length = packet.get(first.checked_sub(2)?..first)?;
    let mut rest = packet.get(first..first + usize::from(u16::from_be_bytes(length.try_into().ok()?)))?;
    let mut strings = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        let (text, later) = after.split_at_checked(usize::from(*length))?;
        strings.push(String::from_utf8_lossy(text).into_owned());
        rest = later;
    }
    strings.iter().any(|text| text == known).then_some(strings)
}

/// The announcement of a school of the class, which has left again, and the strings of its TXT record.
fn announcement(class: &Class, ear: &UdpSocket) -> (Vec<u8>, Vec<String>) {
    let known = format!("r={}", repository(class));
    let mut school = class.school_with(&["--listen", "127.0.0.1:0"], &[]);
    let deadline = Instant::now() + DEADLINE;
    let mut buffer = [0; 9000];
    loop {
        assert!(Instant::now() < deadline, "the school never announced itself");
        let Ok(bytes) = ear.recv(&mut buffer) else { continue };
        if let Some(strings) = strings(&buffer[..bytes], &known) {
            let port = school.address.port().to_be_bytes();
            let packet = &buffer[..bytes];
            if packet.windows(2).any(|window| window == port) {
                school.stop();
                return (packet.to_vec(), strings);
            }
        }
    }
}

/// How a record names the repository of a class.
fn repository(class: &Class) -> String {
    hex::encode(&Sha256::digest(fs::read(class.root()).unwrap())[..8])
}

#[test]
fn the_record_says_what_docs_wire_says_and_names_no_device() {
    let class = Class::new();
    let (packet, strings) = announcement(&class, &ear());
    let repository = repository(&class);
    // Version, repository, head and role, as docs/wire.md has them.
    assert_eq!(strings.len(), 4, "{strings:?}");
    let value = |key: &str| strings.iter().find_map(|text| text.strip_prefix(key)).unwrap_or("missing");
    assert_eq!((value("v="), value("r="), value("o=")), ("1", &repository[..], "seed"), "{strings:?}");
    assert!(value("h=").len() <= 16 && value("h=").bytes().all(|digit| digit.is_ascii_hexdigit()), "{strings:?}");
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    // Words of every record, which may be part of a host's name.
    let told = String::from_utf8_lossy(&packet).to_lowercase().replace("_homeroom", "").replace("local", "");
    for secret in [name.trim(), class.path("").to_str().unwrap().trim_matches('/')] {
        assert!(!told.contains(&secret.to_lowercase()), "{secret} is told to the whole network: {told:?}");
    }
}
