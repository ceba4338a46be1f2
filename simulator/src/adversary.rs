//! An adversary: a host whose speech about metadata is hostile. It runs no node and shares none of a node's code: it
//! has the repository's files and, where it is a thief, keys, which it signs with as a publisher does. What it says is
//! drawn from the rng_seed.

mod forgery;
mod garbage;

use crate::workload::{Keys, Publisher};
use forgery::Forgery;
use protocol::id::PeerId;
use protocol::input::Input;
use protocol::limits::DOCUMENT_SLICE_BYTES_MAX;
use protocol::mesh;
use protocol::message::{Equivocation, Hello, Message, Metadata, Slice, WantDocument, WantMetadata};
use protocol::rng::Rng;
use protocol::time::{Span, Time};
use protocol::trust::{Head, Role};
use serde::Deserialize;

/// Between two of its deeds lie so many milliseconds at least.
const RESTS_MS: u64 = 2000;
/// Old heads that a storm tells one peer at once.
const STORM_HEADS: usize = 50;

/// What an adversary does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Tells the newest head, and answers with bytes that are random, changed or another file's; says what is no answer
    /// to anything.
    Garbage,
    /// Tells old heads, and answers with old files.
    Replay,
    /// Stays for ever with what was the newest when it came.
    Freeze,
    /// Tells the newest head, and never answers.
    Withhold,
    /// Tells heads that are still to come, and has nothing.
    Tease,
    /// Tells old heads, hundreds at a time.
    Storm,
    /// Shows evidence of an equivocation that never was.
    Frame,
    /// With stolen timestamp and snapshot keys: tells half of its peers another timestamp of the newest version than the
    /// other half.
    Equivocate,
    /// With the same keys: runs the versions up to 2^63.
    FastForward,
    /// With the same keys and all but one of each other role's: lists releases of its own. Or without the former, but
    /// with all keys that list releases.
    Steal,
}

impl Attack {
    /// Every attack there is.
    pub const ALL: [Attack; 10] = [
        Attack::Garbage,
        Attack::Replay,
        Attack::Freeze,
        Attack::Withhold,
        Attack::Tease,
        Attack::Storm,
        Attack::Frame,
        Attack::Equivocate,
        Attack::FastForward,
        Attack::Steal,
    ];

    /// Whether it signs with the publisher's timestamp and snapshot keys.
    pub fn has_online_keys(self) -> bool {
        matches!(self, Attack::Equivocate | Attack::FastForward | Attack::Steal)
    }
}

/// An adversary that is switched on.
pub struct Adversary {
    attack: Attack,
    /// What it pretends to be for.
    role: mesh::Role,
    /// The publisher's keys as they were when it came. Those that it does not have it does not use.
    keys: Keys,
    /// Number of editions that it has seen.
    seen: usize,
    /// The edition that a freeze stays with.
    stays_with: Option<usize>,
    /// What it signed last; two where it tells different peers different things.
    forgeries: Vec<Forgery>,
    /// Versions of the timestamps that it signed since last asked.
    signed: Vec<u64>,
    peers: Vec<PeerId>,
    turn: usize,
    rng: Rng,
    every: Span,
    acts_at: Time,
}

impl Adversary {
    /// An adversary that comes now.
    pub fn new(attack: Attack, publisher: &Publisher, mut rng: Rng, now: Time) -> Self {
        let role = if rng.below(4) == 0 { mesh::Role::Seed } else { mesh::Role::Device };
        // Some hurry, most do not.
        let every = Span::from_millis(RESTS_MS << rng.below(4));
        Self {
            attack,
            role,
            keys: publisher.keys().clone(),
            seen: 0,
            stays_with: None,
            forgeries: Vec::new(),
            signed: Vec::new(),
            peers: Vec::new(),
            turn: 0,
            rng,
            every,
            acts_at: now + every,
        }
    }

    /// Something happened to it. Returns what it says to whom.
    pub fn handle(&mut self, now: Time, input: &Input, publisher: &Publisher) -> Vec<(PeerId, Message)> {
        let mut says = Vec::new();
        let acts = self.acts_at <= now || publisher.editions().len() > self.seen;
        if acts {
            self.prepare(now, publisher);
        }
        match input {
            Input::PeerConnected(peer) => {
                self.peers.push(*peer);
                let repository = publisher.first_trust().repository();
                says.push((*peer, Message::Hello(Hello { features: 0, repository, role: self.role })));
                says.extend(self.told(*peer, publisher).into_iter().map(|message| (*peer, message)));
            }
            Input::PeerDisconnected(peer) => self.peers.retain(|known| known != peer),
            Input::Message { from, message } => {
                let answer = match &**message {
                    Message::WantMetadata(want) => self.answer(*from, want, publisher),
                    // Its lies are about metadata. Documents it hands on, as what is honest does.
                    Message::WantDocument(want) => slice(want, publisher),
                    _ => None,
                };
                says.extend(answer.map(|answer| (*from, answer)));
            }
            _ => {}
        }
        if acts {
            self.acts_at = now + self.every;
            for peer in self.victims() {
                says.extend(self.told(peer, publisher).into_iter().map(|message| (peer, message)));
            }
        }
        says
    }

    /// When it acts by itself.
    pub fn next_wakeup(&self) -> Time {
        self.acts_at
    }

    /// The versions of the timestamps that it has signed since last asked.
    pub fn take_signed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.signed)
    }

    /// Before it acts: makes up its lies anew.
    fn prepare(&mut self, now: Time, publisher: &Publisher) {
        let news = publisher.editions().len() > self.seen;
        self.seen = publisher.editions().len();
        if self.seen == 0 {
            return;
        }
        self.stays_with.get_or_insert(self.seen - 1);
        let Self { attack, keys, rng, forgeries, .. } = self;
        *forgeries = match attack {
            Attack::Equivocate if news => forgery::two_of_one_version(keys, publisher, rng, now),
            Attack::FastForward if forgeries.is_empty() => vec![forgery::fast_forward(keys, publisher, rng, now)],
            Attack::Steal if news || rng.below(4) == 0 => vec![forgery::of_a_thief(keys, publisher, rng, now)],
            _ => return,
        };
        self.signed.extend(self.forgeries.iter().map(|forgery| forgery.head.timestamp));
    }

    /// Whom it speaks to this time.
    fn victims(&mut self) -> Vec<PeerId> {
        if self.attack != Attack::Storm || self.peers.is_empty() {
            return self.peers.clone();
        }
        self.turn += 1;
        vec![self.peers[self.turn % self.peers.len()]]
    }

    /// What it says to a peer unasked.
    fn told(&mut self, peer: PeerId, publisher: &Publisher) -> Vec<Message> {
        let Some(newest) = publisher.editions().last().map(|edition| edition.head) else { return Vec::new() };
        let head = |head| vec![Message::Head(Some(head))];
        match self.attack {
            Attack::Garbage => {
                let mut told = head(newest);
                told.extend(garbage::message(publisher, &mut self.rng));
                told
            }
            Attack::Replay => head(self.old_head(publisher)),
            Attack::Freeze => {
                head(self.stays_with.and_then(|at| publisher.editions().get(at)).map_or(newest, |edition| edition.head))
            }
            Attack::Withhold => head(newest),
            Attack::Tease => head(self.head_to_come(newest)),
            Attack::Storm => (0..STORM_HEADS).map(|_| Message::Head(Some(self.old_head(publisher)))).collect(),
            Attack::Frame => {
                vec![Message::Head(Some(newest)), Message::Equivocation(self.false_evidence(publisher))]
            }
            Attack::Equivocate | Attack::FastForward | Attack::Steal => {
                self.forgery_for(peer).map_or_else(Vec::new, |forgery| head(forgery.head))
            }
        }
    }

    /// What it answers to a peer that asks for a file, if it answers.
    fn answer(&mut self, peer: PeerId, want: &WantMetadata, publisher: &Publisher) -> Option<Message> {
        let genuine = || publisher.metadata(&want.role, want.version).map(|bytes| bytes.to_vec());
        let bytes = match self.attack {
            Attack::Garbage => Some(garbage::file(publisher, &want.role, &mut self.rng)),
            Attack::Replay => self.old_file(publisher, &want.role),
            Attack::Freeze => self.frozen_file(publisher, want),
            Attack::Withhold => return None,
            Attack::Tease if self.rng.below(2) == 0 => return None,
            Attack::Tease => None,
            Attack::Storm | Attack::Frame => genuine(),
            Attack::Equivocate | Attack::FastForward | Attack::Steal => {
                let forged = self.forgery_for(peer).and_then(|forgery| forgery.file(&want.role, want.version));
                forged.map(<[u8]>::to_vec).or_else(genuine)
            }
        };
        let bytes = bytes.map(Into::into);
        Some(Message::Metadata(Metadata { role: want.role.clone(), bytes }))
    }

    /// Half of its peers see the first, the others the last.
    fn forgery_for(&self, peer: PeerId) -> Option<&Forgery> {
        if peer.0.is_multiple_of(2) { self.forgeries.first() } else { self.forgeries.last() }
    }

    fn old_head(&mut self, publisher: &Publisher) -> Head {
        let mut head = publisher.editions()[self.below(publisher.editions().len())].head;
        if self.rng.below(4) == 0 {
            head.timestamp = 1 + self.rng.below(head.timestamp);
            head.digest = garbage::bytes(&mut self.rng);
        }
        head
    }

    fn head_to_come(&mut self, newest: Head) -> Head {
        let mut ahead = |most| self.rng.below(3).min(1) * self.rng.below(most);
        let (root, timestamp) = (newest.root + ahead(4), newest.timestamp + 1 + ahead(1_000_000));
        Head { root, timestamp, snapshot: timestamp, digest: garbage::bytes(&mut self.rng) }
    }

    /// A file as it was at some time: for one that has a version in its name, another version.
    fn old_file(&mut self, publisher: &Publisher, role: &Role) -> Option<Vec<u8>> {
        let edition = &publisher.editions()[self.below(publisher.editions().len())];
        let version = 1 + self.rng.below(edition.head.timestamp);
        match role {
            Role::Timestamp => Some(edition.timestamp.to_vec()),
            _ => publisher.metadata(role, Some(version)).map(|bytes| bytes.to_vec()),
        }
    }

    fn frozen_file(&self, publisher: &Publisher, want: &WantMetadata) -> Option<Vec<u8>> {
        let edition = self.stays_with.and_then(|at| publisher.editions().get(at))?;
        let known = match want.role {
            Role::Root => want.version? <= edition.head.root,
            Role::Timestamp => return Some(edition.timestamp.to_vec()),
            _ => want.version? <= edition.head.snapshot,
        };
        publisher.metadata(&want.role, want.version).filter(|_| known).map(|bytes| bytes.to_vec())
    }

    fn false_evidence(&mut self, publisher: &Publisher) -> Equivocation {
        let editions = publisher.editions();
        let some = &editions[self.below(editions.len())];
        let newest = editions.last().unwrap_or(some);
        let second = match self.rng.below(6) {
            0 => newest.timestamp.to_vec(),
            1 => some.timestamp.to_vec(),
            2 => garbage::file(publisher, &Role::Timestamp, &mut self.rng),
            // Another timestamp of this version, or of one to come, by a key that may not sign it.
            3 => forgery::by_a_strangers_key(newest.head.timestamp, &mut self.rng),
            4 => forgery::by_a_strangers_key(newest.head.timestamp + 1, &mut self.rng),
            _ => newest.timestamp.to_ascii_uppercase(),
        };
        let first = match self.rng.below(3) {
            0 => second.clone(),
            1 => forgery::by_a_strangers_key(newest.head.timestamp + 1, &mut self.rng),
            _ => newest.timestamp.to_vec(),
        };
        Equivocation { first: first.into(), second: second.into() }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap_or(0)
    }
}

/// What is asked for of a document, as far as a message carries it.
fn slice(want: &WantDocument, publisher: &Publisher) -> Option<Message> {
    let (document, _) = publisher.document(&want.id)?;
    let rest = document.get(usize::try_from(want.offset).ok()?..)?;
    let bytes = rest.get(..DOCUMENT_SLICE_BYTES_MAX as usize).unwrap_or(rest).to_vec();
    let encoded_bytes = document.len() as u64;
    Some(Message::Slice(Slice { id: want.id, base: None, encoded_bytes, offset: want.offset, bytes: bytes.into() }))
}
