//! Peers come, speak and go.

use super::Node;
use crate::bitmap::Bitmap;
use crate::id::{PeerId, Signer, Source};
use crate::limits::TIME_ANSWER_BYTES;
use crate::mesh::{Role, Swarm};
use crate::message::{Chunks, Credit, Hello, Holdings, Message, Metadata};
use crate::output::{Event, Output};
use crate::time::Time;
use crate::trust::stated_time::Nonce;
use crate::update::Stage;

impl Node {
    pub(super) fn peer_connected(&mut self, peer: PeerId) {
        self.peers.connected(peer);
        for chain in self.chains.iter() {
            let hello = Hello { features: 0, repository: chain.trust().repository(), role: self.config.role };
            let message = Message::Hello(hello).about(chain.signer());
            self.outputs.push_back(Output::Send { to: peer, message });
        }
        let holdings: Vec<Message> = self.swarms.iter().map(|swarm| holdings(swarm, true)).collect();
        holdings.into_iter().for_each(|message| self.send(peer, message));
    }

    pub(super) fn peer_left(&mut self, peer: PeerId) {
        if !self.peers.left(peer) {
            return;
        }
        // A peer may also leave because of what it sent with a chunk.
        self.rest_at = Time::default();
        self.uploads.peer_left(peer);
        for signer in Signer::BOTH {
            self.chains.get_mut(signer).into_iter().for_each(|chain| chain.refresh.peer_left(peer));
        }
        self.swarms.iter_mut().for_each(|swarm| swarm.peer_left(peer));
        for update in self.updates.iter_mut() {
            if let Stage::Fetching(fetch) = &mut update.stage {
                fetch.peer_left(peer);
            }
        }
    }

    pub(super) fn message(&mut self, now: Time, from: PeerId, message: &Message) {
        match message {
            Message::Hello(hello) => return self.hello(from, hello),
            // Whoever told what it holds has introduced itself; this is most of what is said, so nothing more is looked up.
            Message::Gained(Chunks { release, indexes })
                if self.swarms.get_mut(*release).is_some_and(|swarm| swarm.peer_gained(from, indexes)) =>
            {
                return;
            }
            _ => {}
        }
        let Some(role) = self.peers.role(from) else {
            return self.strike(from, "spoke before it introduced itself".to_owned());
        };
        match message {
            // Dealt with above; a gain of whoever has not told what it holds says too little.
            Message::Hello(_) | Message::Gained(_) => {}
            Message::Head(_) | Message::WantMetadata(_) | Message::Metadata(_) | Message::Equivocation(_) => {
                self.of_repository(now, Signer::Publisher, from, message);
            }
            Message::School(message) => self.of_school(now, from, message),
            Message::WantTime(nonce) => self.want_time(now, from, nonce),
            Message::Time(stated) => self.time_stated(now, from, stated),
            Message::WantDocument(want) => {
                self.outputs.push_back(Output::SendDocument { to: from, want: want.clone() })
            }
            Message::Slice(slice) => self.slice(now, from, slice),
            Message::NoDocument(id) => {
                for update in self.updates.iter_mut() {
                    if let Stage::Fetching(fetch) = &mut update.stage
                        && fetch.document().id() == *id
                    {
                        fetch.lacks(from, now);
                    }
                }
            }
            Message::Holdings(told) => self.peer_holds(now, from, role, told),
            Message::Want(want) => self.want(from, want),
            Message::Credit(Credit { release, chunks }) => {
                if self.config.role == Role::Seed && self.swarms.get(*release).is_some() {
                    self.uploads.credit(from, *release, *chunks);
                }
            }
            Message::Cancel(Chunks { release, indexes }) => self.uploads.cancel(from, *release, indexes),
            Message::Refuse(Chunks { release, indexes }) => {
                if let Some(swarm) = self.swarms.get_mut(*release) {
                    indexes.iter().for_each(|index| swarm.refused(from, *index));
                }
            }
        }
    }

    /// What a peer says of its school's repository, which counts once it has said that it is the same as this node's.
    fn of_school(&mut self, now: Time, from: PeerId, message: &Message) {
        let Some(school) = &mut self.chains.school else { return };
        if let Message::Hello(hello) = message
            && hello.repository == school.chain.trust().repository()
            && !self.peers.carries(from, Signer::School)
        {
            self.peers.is_of_school(from);
            school.chain.introduced(from);
            if hello.role == Role::Seed {
                school.met_server(now);
            }
            self.show_evidence(Signer::School, from);
        } else if self.peers.carries(from, Signer::School) {
            self.of_repository(now, Signer::School, from, message);
        }
    }

    /// A device asks what time it is. A school's server answers, as often as it lawfully may.
    fn want_time(&mut self, now: Time, from: PeerId, nonce: &[u8]) {
        if let Ok(nonce) = Nonce::try_from(nonce)
            && self.config.role == Role::Seed
            && self.peers.carries(from, Signer::School)
            && self.peers.may_answer(from, TIME_ANSWER_BYTES, now)
        {
            self.outputs.push_back(Output::StateTime { to: from, nonce });
        }
    }

    fn time_stated(&mut self, now: Time, from: PeerId, stated: &[u8]) {
        let Some(school) = &mut self.chains.school else { return };
        if let Err(error) = school.time_stated(from, stated, now) {
            self.strike(from, format!("stated a time that is none: {error}"));
        }
    }

    /// What a peer says of a signer's repository.
    fn of_repository(&mut self, now: Time, signer: Signer, from: PeerId, message: &Message) {
        match message {
            Message::Head(head) => {
                self.chains.get_mut(signer).into_iter().for_each(|chain| chain.refresh.peer_has(from, *head, now));
            }
            Message::WantMetadata(want) => self.want_metadata(now, signer, from, want),
            Message::Metadata(Metadata { role, bytes }) => {
                let bytes = bytes.as_ref().map(|bytes| bytes.as_slice());
                self.metadata(now, signer, Source::Peer(from), role, bytes);
            }
            Message::Equivocation(shown) => self.shown(now, signer, from, shown),
            _ => {}
        }
    }

    pub(super) fn hello(&mut self, from: PeerId, hello: &Hello) {
        if hello.repository != self.trust().repository() {
            // Another school's node, on the same network by no fault of its own.
            self.peer_left(from);
            self.outputs.push_back(Output::Disconnect(from));
        } else if !self.peers.introduced(from, hello.role) {
            self.strike(from, "introduced itself twice".to_owned());
        } else {
            self.chains.publisher.introduced(from);
            self.show_evidence(Signer::Publisher, from);
        }
    }

    pub(super) fn peer_holds(&mut self, now: Time, from: PeerId, role: Role, told: &Holdings) {
        let Some(swarm) = self.swarms.get_mut(told.release) else { return };
        let chunks = swarm.held().len();
        // A few bytes can say that all is held or nothing, and each chunk is then looked at: who says so again and
        // again is not heard for ever.
        if swarm.knows(from) && !self.peers.may_answer(from, chunks.into(), now) {
            return;
        }
        let held = match told.held.as_slice() {
            [] => Some(Bitmap::full(chunks)),
            bytes => Bitmap::from_bytes(chunks, bytes),
        };
        let Some(held) = held else {
            return self.strike(from, "told holdings that do not fit the release".to_owned());
        };
        swarm.peer_holds(from, role, held, now);
        if told.answer {
            let answer = holdings(swarm, false);
            if self.peers.may_answer(from, answer.encoded_bytes(), now) {
                self.send(from, answer);
            }
        }
    }

    pub(super) fn want(&mut self, from: PeerId, Chunks { release, indexes }: &Chunks) {
        let held = self.swarm(*release).map(Swarm::held);
        let (have, lack): (Vec<u32>, Vec<u32>) =
            indexes.iter().partition(|index| held.is_some_and(|held| held.contains(**index)));
        if !lack.is_empty() {
            self.send(from, Message::Refuse(Chunks { release: *release, indexes: lack }));
        }
        if !self.uploads.want(from, *release, &have) {
            self.strike(from, "asked for more chunks at once than is lawful".to_owned());
        }
    }

    /// Counts an offence against a peer, and bans it once patience has ended.
    pub(super) fn strike(&mut self, peer: PeerId, why: String) {
        if self.peers.strike(peer) {
            self.ban(peer, why);
        }
    }

    /// Bans a peer, unless it is gone: of several chunks that it sent, the first wrong one ends it.
    pub(super) fn ban(&mut self, peer: PeerId, why: String) {
        if !self.peers.is_here(peer) {
            return;
        }
        self.peer_left(peer);
        self.outputs.push_back(Output::Ban(peer));
        self.outputs.push_back(Output::Event(Event::Banned { peer, why }));
    }

    pub(super) fn send(&mut self, to: PeerId, message: Message) {
        self.outputs.push_back(Output::Send { to, message });
    }
}

/// What a node holds of a release, as it tells a peer.
pub(super) fn holdings(swarm: &Swarm, answer: bool) -> Message {
    let held = if swarm.held().is_full() { Vec::new() } else { swarm.held().to_bytes() };
    Message::Holdings(Holdings { release: swarm.release(), held: held.into(), answer })
}
