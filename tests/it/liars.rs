//! Peers that lie, over the real network. Whatever they say, the laptop ends with the right tree, the
//! liar is put out, and nobody else is.

use super::class::{Class, Published};
use super::judge::assert_same;
use super::needs::{Need, can_run};
use super::process::Process;
use super::stranger::Stranger;
use super::trees;
use node::net::{Happening, OutgoingChunk};
use protocol::content::encoding::Encoding;
use protocol::id::{ManifestId, RepositoryId};
use protocol::limits::{ANNOUNCED_CHUNKS_MAX, FRAME_BYTES_MAX};
use protocol::mesh::Role;
use protocol::message::{ChunkHeader, Chunks, Hello, Holdings, Message, Metadata, Slice};
use serde_bytes::ByteBuf;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use tests::manners::{Manners, Say};

/// A class with a release of noise, and what was published.
struct Lesson {
    class: Class,
    tree: PathBuf,
    published: Published,
}

impl Lesson {
    fn new() -> Lesson {
        let class = Class::new();
        let tree = class.path("tree");
        trees::bulk(&tree, 30, 300_000);
        let published = class.publish(&tree, "1.0");
        Lesson { class, tree, published }
    }

    fn manners(&self, role: Role) -> Manners {
        Manners::of(Path::new(&self.class.repo()), role).unwrap()
    }

    fn release(&self) -> ManifestId {
        let truth = self.manners(Role::Device).truth;
        let (_, target) = truth.targets().next().unwrap();
        ManifestId(target.sha256)
    }

    /// A laptop that is connected to the liar before anybody else, and then the school, which dials it.
    fn start(&self, liar: &Stranger) -> (Process, Process) {
        let mut ann = self.class.laptop("ann", &[liar.address]);
        liar.until("the laptop connects", |happening| matches!(happening, Happening::Opened(_)).then_some(()));
        let school = self.class.school_with(&["--listen", "127.0.0.1:0", "--no-mdns"], &[ann.address]);
        ann.until("somebody is there", |ann| !ann.said.is_empty());
        (ann, school)
    }

    /// The laptop ends with the right tree, has banned as many as `bans` says, and has kept the school:
    /// another laptop that knows only this one gets all from it.
    #[track_caller]
    fn ends_well(&self, ann: &mut Process, school: &mut Process, bans: usize) {
        ann.until_applied("1.0");
        assert_same(&self.tree, &self.class.current("ann"));
        let mut bob = self.class.laptop("bob", &[ann.address]);
        bob.until_applied("1.0");
        assert_same(&self.tree, &self.class.current("bob"));
        for process in [&mut bob, ann, school] {
            process.stop();
        }
        let banned = |process: &Process| process.notes.iter().filter(|note| note.contains("is banned")).count();
        assert_eq!((banned(ann), banned(&bob), banned(school)), (bans, 0, 0), "{:?}", ann.notes);
    }
}

fn wrong_chunk(release: ManifestId, index: u32) -> Say {
    chunk(release, index, vec![0x5a; 20_000])
}

fn chunk(release: ManifestId, index: u32, payload: Vec<u8>) -> Say {
    let wire_bytes = u32::try_from(payload.len()).unwrap();
    Say::Chunk(OutgoingChunk {
        header: ChunkHeader { release, index, encoding: Encoding::Raw, wire_bytes },
        payload: payload.into(),
    })
}

fn say(message: Message) -> Vec<Say> {
    vec![Say::Message(message)]
}

#[test]
fn a_laptop_that_sends_wrong_bytes_is_banned_and_the_chunks_come_from_others() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let liar = Stranger::start(move |happening| match happening {
        Happening::Message(_, Message::Want(want)) => {
            want.indexes.iter().map(|index| wrong_chunk(want.release, *index)).collect()
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    let note = ann.until_note("is banned");
    assert!(note.contains("wrong bytes for chunk"), "{note}");
    liar.until_left();
    lesson.ends_well(&mut ann, &mut school, 1);
    let applied = ann.release("1.0").unwrap();
    assert_eq!(applied.from_devices_bytes, 0, "nothing that the liar sent counts");
}

#[test]
fn a_false_school_that_spends_its_credit_on_wrong_bytes_is_banned() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Seed);
    let liar = Stranger::start(move |happening| match happening {
        Happening::Message(_, Message::Credit(credit)) => vec![wrong_chunk(credit.release, 3)],
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    ann.until_note("is banned");
    lesson.ends_well(&mut ann, &mut school, 1);
}

#[test]
fn chunks_that_nobody_asked_for_are_not_looked_at() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let (manners, release, chunks) = (lesson.manners(Role::Device), lesson.release(), lesson.published.chunks);
    let liar = Stranger::start(move |happening| match happening {
        // Before there is a place for the release, while it is fetched, of other releases, beyond the end.
        Happening::Opened(_) => {
            let mut says = manners.answer(happening);
            says.extend((0..4).map(|index| wrong_chunk(release, index)));
            says
        }
        Happening::Message(_, Message::Holdings(told)) => {
            let held = vec![0; chunks.div_ceil(8) as usize].into();
            let nothing = Holdings { release: told.release, held, answer: false };
            vec![
                Say::Message(Message::Holdings(nothing)),
                wrong_chunk(release, 7),
                wrong_chunk(release, chunks),
                wrong_chunk(release, 1_000_000),
                wrong_chunk(ManifestId([9; 32]), 0),
            ]
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    lesson.ends_well(&mut ann, &mut school, 0);
}

#[test]
fn a_peer_that_speaks_unlawfully_three_times_is_banned() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) => {
            let mut says = manners.answer(happening);
            let too_many = Chunks { release: ManifestId([1; 32]), indexes: vec![0; ANNOUNCED_CHUNKS_MAX + 1] };
            says.extend((0..3).map(|_| Say::Message(Message::Want(too_many.clone()))));
            says
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    ann.until_note("is banned");
    lesson.ends_well(&mut ann, &mut school, 1);
}

#[test]
fn a_frame_beyond_all_bounds_ends_the_connection() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let release = lesson.release();
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) => {
            let mut says = manners.answer(happening);
            let bytes = ByteBuf::from(vec![0; FRAME_BYTES_MAX as usize + 1]);
            let id = protocol::id::DocumentId::Manifest(release);
            let slice = Slice { id, base: None, encoded_bytes: bytes.len() as u64, offset: 0, bytes };
            says.push(Say::Message(Message::Slice(slice)));
            says
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    liar.until_left();
    lesson.ends_well(&mut ann, &mut school, 0);
}

#[test]
fn a_chunk_header_that_promises_a_gigabyte_ends_the_connection() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let (manners, release) = (lesson.manners(Role::Device), lesson.release());
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) => {
            let mut says = manners.answer(happening);
            let header = ChunkHeader { release, index: 0, encoding: Encoding::Zstd, wire_bytes: 1 << 30 };
            says.push(Say::Chunk(OutgoingChunk { header, payload: vec![0; 100].into() }));
            says
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    liar.until_left();
    lesson.ends_well(&mut ann, &mut school, 0);
}

#[test]
fn newer_metadata_of_another_publisher_is_refused() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    // The forger has a repository, keys and a "newer" release of its own.
    let forger = Class::new();
    for version in ["1.0", "1.1", "9.0"] {
        let tree = forger.path(version);
        trees::bulk(&tree, 1, 10_000);
        forger.publish(&tree, version);
    }
    let forger = Manners::of(Path::new(&forger.repo()), Role::Device).unwrap();
    let manners = lesson.manners(Role::Device);
    let mut head = forger.truth.head().unwrap();
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) => vec![Say::Message(manners.hello()), Say::Message(Message::Head(Some(head)))],
        Happening::Message(_, Message::WantMetadata(_)) => {
            let mut says = forger.answer(happening);
            // And it goes on as if there was ever more to be had.
            head.timestamp += 1;
            says.push(Say::Message(Message::Head(Some(head))));
            says
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    let note = ann.until_note("is refused");
    assert!(note.contains("metadata from peer"), "{note}");
    // It may be a node that a key rotation has not reached, so it is not banned.
    lesson.ends_well(&mut ann, &mut school, 0);
    let refused = ann.notes.iter().filter(|note| note.contains("is refused")).count();
    assert!(refused < 60, "a liar that claims news without end has {refused} answers looked at");
}

#[test]
fn metadata_with_a_flipped_byte_is_refused_and_its_bearer_banned() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let mut head = manners.truth.head().unwrap();
    let liar = Stranger::start(move |happening| match happening {
        Happening::Message(_, Message::WantMetadata(_)) => {
            head.timestamp += 1;
            let mut says = manners.answer(happening);
            for say in &mut says {
                if let Say::Message(Message::Metadata(Metadata { bytes: Some(bytes), .. })) = say {
                    let at = bytes.windows(9).position(|word| word == b"\"expires\"").unwrap() + 11;
                    bytes[at] = b'3';
                }
            }
            says.push(Say::Message(Message::Head(Some(head))));
            says
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    ann.until_note("is refused");
    ann.until_note("is banned");
    lesson.ends_well(&mut ann, &mut school, 1);
}

#[test]
fn a_document_that_is_not_what_its_name_says_costs_its_sender_the_connection() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let liar = Stranger::start(move |happening| match happening {
        Happening::Message(_, Message::WantDocument(want)) => {
            let bytes = ByteBuf::from(b"this is no manifest".to_vec());
            let encoded_bytes = bytes.len() as u64;
            say(Message::Slice(Slice { id: want.id, base: None, encoded_bytes, offset: want.offset, bytes }))
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    let note = ann.until_note("is banned");
    assert!(note.contains("document"), "{note}");
    lesson.ends_well(&mut ann, &mut school, 1);
}

#[test]
fn a_document_that_never_ends_is_given_up() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let liar = Stranger::start(move |happening| match happening {
        Happening::Message(_, Message::WantDocument(want)) => {
            // It claims more than any encoding of this document could take.
            let bytes = ByteBuf::from(vec![0; 65_536]);
            say(Message::Slice(Slice { id: want.id, base: None, encoded_bytes: 1 << 40, offset: want.offset, bytes }))
        }
        other => manners.answer(other),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    lesson.ends_well(&mut ann, &mut school, 0);
}

#[test]
fn a_peer_that_claims_everything_and_never_answers_costs_a_few_seconds() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) | Happening::Message(_, Message::Holdings(_)) => manners.answer(happening),
        _ => Vec::new(),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    let started = std::time::Instant::now();
    ann.until_applied("1.0");
    let seconds = started.elapsed().as_secs();
    assert!(seconds < 25, "silence about metadata, a manifest, a chunk list and chunks cost {seconds} s");
    lesson.ends_well(&mut ann, &mut school, 0);
}

#[test]
fn a_node_of_another_repository_is_parted_from_in_peace() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) => {
            say(Message::Hello(Hello { features: 0, repository: RepositoryId([7; 32]), role: Role::Seed }))
        }
        _ => Vec::new(),
    });
    let (mut ann, mut school) = lesson.start(&liar);
    liar.until_left();
    // And a whole other school that dials the laptop.
    let other = Class::new();
    let tree = other.path("tree");
    trees::bulk(&tree, 1, 10_000);
    other.publish(&tree, "99.0");
    let _other_school = other.school_with(&["--listen", "127.0.0.1:0", "--no-mdns"], &[ann.address]);
    lesson.ends_well(&mut ann, &mut school, 0);
}

#[test]
fn bytes_that_are_no_handshake_hurt_nobody() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let mut school = lesson.class.school();
    let mut ann = lesson.class.laptop("ann", &[school.address]);
    let noise = trees::noise("no handshake", 100_000);
    let connections: Vec<TcpStream> = [school.address, ann.address]
        .iter()
        .flat_map(|address| (0..20).map(|_| TcpStream::connect(*address).unwrap()))
        .map(|mut stream| {
            // It may hang up on us at any byte.
            let _ = stream.write_all(&noise);
            stream
        })
        .collect();
    lesson.ends_well(&mut ann, &mut school, 0);
    drop(connections);
}

#[test]
fn a_laptop_that_asks_the_school_for_more_than_is_lawful_is_banned_there() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let lesson = Lesson::new();
    let manners = lesson.manners(Role::Device);
    let release = lesson.release();
    let liar = Stranger::start(move |happening| match happening {
        Happening::Opened(_) => {
            let mut says = manners.answer(happening);
            let greedy = Chunks { release, indexes: (0..100).map(|index| index % 50).collect() };
            says.extend((0..30).map(|_| Say::Message(Message::Want(greedy.clone()))));
            says
        }
        other => manners.answer(other),
    });
    let options = ["--listen", "127.0.0.1:0", "--no-mdns"];
    let mut school = lesson.class.school_with(&options, &[liar.address]);
    school.until_note("is banned");
    let mut ann = lesson.class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");
    assert_same(&lesson.tree, &lesson.class.current("ann"));
}
