//! Situations of one swarm.

use super::asking::STARVES_AFTER;
use super::*;
use crate::id::ChunkId;
use crate::mesh::Bucket;

const RELEASE: ManifestId = ManifestId([1; 32]);
const SCHOOL: PeerId = PeerId(1);
const ANN: PeerId = PeerId(2);
const BOB: PeerId = PeerId(3);
const START: Time = Time(1_000_000);

impl Swarm {
    /// What it asks where nothing holds it back.
    fn asks(&mut self, now: Time, rng: &mut Rng) -> Vec<(PeerId, Ask)> {
        self.asks_within(&mut Bucket::default(), now, rng)
    }
}

fn device(chunks: u32, held: &[u32]) -> Swarm {
    let refs: Vec<ChunkRef> = (0..chunks).map(|_| ChunkRef { id: ChunkId([0; 32]), bytes: 1000 }).collect();
    Swarm::new(Strategy::default(), RELEASE, refs.into(), set(chunks, held), Role::Device, START)
}

fn set(chunks: u32, held: &[u32]) -> Bitmap {
    let mut bitmap = Bitmap::new(chunks);
    held.iter().for_each(|index| assert!(bitmap.insert(*index)));
    bitmap
}

fn rng() -> Rng {
    Rng::new(&[4; 32], 0, "test")
}

/// Everything asked of a peer by name.
fn asked_of(peer: PeerId, asks: &[(PeerId, Ask)]) -> Vec<u32> {
    let mut asked: Vec<u32> = asks
        .iter()
        .filter_map(|(to, ask)| match ask {
            Ask::Chunks(indexes) if *to == peer => Some(indexes.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    asked.sort_unstable();
    asked
}

/// Wakes the swarm whenever it wants until it has something to say.
fn next_asks(swarm: &mut Swarm) -> (Time, Vec<(PeerId, Ask)>) {
    loop {
        let now = swarm.wakeup().unwrap();
        let asks = swarm.asks(now, &mut rng());
        if !asks.is_empty() {
            return (now, asks);
        }
    }
}

#[test]
fn the_rarest_chunk_is_asked_first_and_no_chunk_of_two_peers() {
    let mut swarm = device(4, &[]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(4), START);
    swarm.peer_holds(BOB, Role::Device, set(4, &[0, 1]), START);
    let asks = swarm.asks(START, &mut rng());
    assert_eq!(asked_of(ANN, &asks), [2, 3]);
    assert_eq!(asked_of(BOB, &asks), [0, 1]);
}

#[test]
fn a_seed_gets_credit_and_is_asked_by_name_only_by_a_device_that_starves() {
    let mut swarm = device(10, &[]);
    swarm.peer_holds(SCHOOL, Role::Seed, Bitmap::full(10), START);
    let asks = swarm.asks(START, &mut rng());
    assert!(matches!(asks[..], [(SCHOOL, Ask::Credit(credit))] if credit > 0));
    let hungry = swarm.wakeup().unwrap();
    assert_eq!(hungry, START + STARVES_AFTER);
    let asks = swarm.asks(hungry, &mut rng());
    assert!(!asked_of(SCHOOL, &asks).is_empty());
}

#[test]
fn what_a_stalled_peer_owes_is_asked_of_another() {
    let mut swarm = device(2, &[]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(2), START);
    assert_eq!(asked_of(ANN, &swarm.asks(START, &mut rng())), [0, 1]);
    swarm.peer_holds(BOB, Role::Device, Bitmap::full(2), START);
    swarm.asks(START, &mut rng());
    let later = START + Span::from_secs(60);
    let asks = swarm.asks(later, &mut rng());
    assert!(asks.contains(&(ANN, Ask::Cancel(vec![0, 1]))));
    assert_eq!(asked_of(BOB, &asks), [0, 1]);
    assert!(swarm.expects(ANN, 0), "it may still come late");
}

#[test]
fn at_the_end_an_idle_peer_is_asked_too_and_the_loser_is_told() {
    let mut swarm = device(2, &[0]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(2), START);
    swarm.asks(START, &mut rng());
    swarm.peer_holds(BOB, Role::Device, Bitmap::full(2), START);
    assert_eq!(asked_of(BOB, &swarm.asks(START, &mut rng())), [] as [u32; 0]);
    let (due, asks) = next_asks(&mut swarm);
    assert_eq!(asked_of(BOB, &asks), [1]);
    assert_eq!(swarm.arrived(BOB, 1, 900, due), [(ANN, Ask::Cancel(vec![1]))]);
}

#[test]
fn a_chunk_is_announced_only_once_it_is_durable() {
    let mut swarm = device(3, &[]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(3), START);
    swarm.asks(START, &mut rng());
    swarm.arrived(ANN, 0, 900, START);
    assert!(!swarm.held().contains(0));
    assert_eq!(swarm.announcement(START + ANNOUNCE_AFTER), None);
    swarm.durable(&[0], START);
    assert_eq!(swarm.announcement(START), None, "others may join it");
    assert_eq!(swarm.announcement(START + ANNOUNCE_AFTER), Some(vec![0]));
    assert_eq!((swarm.held_bytes(), swarm.tally().from_devices_bytes), (1000, 900));
}

#[test]
fn a_peer_that_leaves_takes_its_copies_and_frees_what_it_owed() {
    let mut swarm = device(1, &[]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(1), START);
    swarm.asks(START, &mut rng());
    swarm.peer_left(ANN);
    assert_eq!((swarm.picker.copies(0), swarm.picker.open_count()), (0, 1));
    assert!(!swarm.expects(ANN, 0));
}

#[test]
fn a_refused_chunk_is_not_asked_of_that_peer_again() {
    let mut swarm = device(1, &[]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(1), START);
    swarm.asks(START, &mut rng());
    swarm.refused(ANN, 0);
    assert_eq!(swarm.asks(START, &mut rng()), []);
}

#[test]
fn a_seed_that_lacks_a_chunk_is_not_asked_for_it_again_and_again() {
    let mut swarm = device(1, &[]);
    swarm.peer_holds(SCHOOL, Role::Seed, Bitmap::full(1), START);
    swarm.asks(START, &mut rng());
    let hungry = swarm.wakeup().unwrap();
    assert_eq!(asked_of(SCHOOL, &swarm.asks(hungry, &mut rng())), [0]);
    swarm.refused(SCHOOL, 0);
    let later = hungry + Span::from_secs(60);
    assert_eq!(asked_of(SCHOOL, &swarm.asks(later, &mut rng())), [] as [u32; 0]);
    assert_eq!(swarm.wakeup(), None, "nothing is due before somebody has the chunk");
}

#[test]
fn chunks_that_are_of_no_use_do_not_keep_a_peer_from_stalling() {
    let gives_up = |useless: u32| {
        let mut swarm = device(2, &[0]);
        swarm.peer_holds(ANN, Role::Device, Bitmap::full(2), START);
        assert_eq!(asked_of(ANN, &swarm.asks(START, &mut rng())), [1]);
        (0..useless).for_each(|_| swarm.unneeded(ANN, 0, 900));
        next_asks(&mut swarm)
    };
    let (stalls_at, asks) = gives_up(0);
    assert!(asks.contains(&(ANN, Ask::Cancel(vec![1]))));
    assert_eq!(gives_up(5).0, stalls_at);
}

#[test]
fn a_chunk_that_nobody_asked_for_is_not_expected() {
    let mut swarm = device(2, &[1]);
    swarm.peer_holds(ANN, Role::Device, set(2, &[1]), START);
    assert!(!swarm.expects(ANN, 0));
    assert!(!swarm.expects(ANN, 1));
    assert!(!swarm.expects(BOB, 0));
    assert!(!swarm.expects(ANN, 99));
}

#[test]
fn what_a_peer_that_stalled_is_asked_for_again_is_asked_of_others_too() {
    let mut swarm = device(1, &[]);
    swarm.peer_holds(ANN, Role::Device, Bitmap::full(1), START);
    swarm.asks(START, &mut rng());
    let mut next = || next_asks(&mut swarm);
    assert_eq!(next().1, [(ANN, Ask::Cancel(vec![0]))]);
    let (now, asks) = next();
    assert_eq!(asked_of(ANN, &asks), [0], "it may have recovered");
    swarm.peer_holds(BOB, Role::Device, Bitmap::full(1), now);
    assert_eq!(asked_of(BOB, &swarm.asks(now, &mut rng())), [0]);
    assert_eq!(swarm.arrived(BOB, 0, 900, now), [(ANN, Ask::Cancel(vec![0]))]);
}

#[test]
fn what_a_seed_sent_is_announced_soon_though_boasters_claim_to_hold_it() {
    let announced_by = |sender: PeerId, role: Role| {
        let mut swarm = device(2, &[]);
        [PeerId(8), PeerId(9)].into_iter().for_each(|boaster| {
            swarm.peer_holds(boaster, Role::Device, Bitmap::full(2), START);
        });
        swarm.peer_holds(sender, role, Bitmap::full(2), START);
        swarm.arrived(sender, 0, 900, START);
        swarm.durable(&[0], START);
        swarm.announcement(START + ANNOUNCE_AFTER)
    };
    assert_eq!(announced_by(SCHOOL, Role::Seed), Some(vec![0]));
    assert_eq!(announced_by(ANN, Role::Device), None);
}
