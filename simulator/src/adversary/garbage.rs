//! Bytes and messages that mean nothing, or nearly something.

use crate::workload::{Publisher, channel};
use protocol::id::{DocumentId, ManifestId};
use protocol::message::{Chunks, Credit, Equivocation, Hello, Holdings, Message, Metadata, WantDocument, WantMetadata};
use protocol::rng::Rng;
use protocol::trust::{Head, Role};

/// Random bytes.
pub fn bytes<const N: usize>(rng: &mut Rng) -> [u8; N] {
    std::array::from_fn(|_| byte(rng))
}

/// What is offered as a role's file: random bytes, another file, or a genuine one with a few bytes changed, some missing
/// or some too many.
pub fn file(publisher: &Publisher, role: &Role, rng: &mut Rng) -> Vec<u8> {
    let genuine = |role: &Role, rng: &mut Rng| {
        let version = 1 + rng.below(publisher.editions().len() as u64);
        let file = publisher.metadata(role, None).or_else(|| publisher.metadata(role, Some(version)));
        file.map(|file| file.to_vec()).unwrap_or_default()
    };
    match rng.below(8) {
        0 => random(rng, 2_000),
        1 => genuine(&some_role(rng), rng),
        2 => Vec::new(),
        _ => changed(genuine(role, rng), rng),
    }
}

/// A message that is lawful to read, and means nothing: a genuine kind with made-up content, changed once more on the
/// wire. Nothing if it became no message by that.
pub fn message(publisher: &Publisher, rng: &mut Rng) -> Option<Message> {
    let message = made_up(publisher, rng);
    if rng.below(2) == 0 {
        return Some(message);
    }
    Message::decode(&changed(message.encode(), rng)).ok().flatten()
}

fn made_up(publisher: &Publisher, rng: &mut Rng) -> Message {
    let known = publisher.published().last().map(|published| published.release.id());
    let release = known.filter(|_| rng.below(2) == 0).unwrap_or_else(|| ManifestId(bytes(rng)));
    let mut indexes = || -> Vec<u32> { (0..rng.below(20)).map(|_| u32::from(byte(rng))).collect() };
    let chunks = Chunks { release, indexes: indexes() };
    let role = some_role(rng);
    match rng.below(14) {
        0 => Message::Hello(Hello {
            features: rng.next_u64(),
            repository: publisher.first_trust().repository(),
            role: protocol::mesh::Role::Seed,
        }),
        1 => Message::Head(None),
        2 => Message::Head(Some(Head {
            root: rng.next_u64(),
            timestamp: rng.next_u64(),
            snapshot: rng.next_u64(),
            digest: bytes(rng),
        })),
        3 => Message::WantMetadata(WantMetadata { role, version: Some(rng.below(9)) }),
        4 => {
            let bytes = file(publisher, &role, rng);
            Message::Metadata(Metadata { role, bytes: Some(bytes.into()) })
        }
        5 => Message::WantDocument(WantDocument {
            id: DocumentId::Manifest(release),
            base: Some(DocumentId::Manifest(release)),
            offset: rng.next_u64(),
        }),
        6 => Message::NoDocument(DocumentId::Manifest(release)),
        7 => Message::Holdings(Holdings { release, held: random(rng, 20).into(), answer: rng.below(2) == 0 }),
        8 => Message::Gained(chunks),
        9 => Message::Want(chunks),
        10 => Message::Credit(Credit { release, chunks: byte(rng).into() }),
        11 => Message::Cancel(chunks),
        12 => Message::Refuse(chunks),
        _ => Message::Equivocation(Equivocation { first: random(rng, 500).into(), second: random(rng, 500).into() }),
    }
}

fn some_role(rng: &mut Rng) -> Role {
    match rng.below(6) {
        0 => Role::Root,
        1 => Role::Timestamp,
        2 => Role::Snapshot,
        3 => Role::Targets,
        4 => Role::Delegated("nobody".to_owned()),
        _ => channel(),
    }
}

fn random(rng: &mut Rng, bytes_max: u64) -> Vec<u8> {
    (0..rng.below(bytes_max)).map(|_| byte(rng)).collect()
}

fn changed(mut file: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let place = |file: &[u8], rng: &mut Rng| usize::try_from(rng.below(file.len() as u64)).unwrap_or(0);
    match rng.below(4) {
        0 => file.truncate(place(&file, rng)),
        1 => file.extend(random(rng, 40)),
        _ => {
            for _ in 0..=rng.below(3) {
                let at = place(&file, rng);
                if let Some(here) = file.get_mut(at) {
                    *here = byte(rng);
                }
            }
        }
    }
    file
}

fn byte(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(256)).unwrap_or(0)
}
