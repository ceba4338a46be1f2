//! Catching up with newer metadata: which file to ask of whom next.
//!
//! Peers are mirrors. One file is asked for at a time, roots first, so that a key rotation reaches a
//! node before anybody can mislead it with what the old keys signed. A source that fails or lies is
//! left alone for a while and the next one is asked; nothing ends a refresh but being up to date.

use crate::id::{PeerId, Source};
use crate::time::{Span, Time};
use crate::trust::{Head, Role, TrustedSet};
use std::collections::BTreeMap;

/// An answer takes one round trip and at most a few megabytes; after this the next source is asked.
const ANSWER_WITHIN: Span = Span::from_secs(3);
/// A source that failed is left alone for this long.
const BENCH: Span = Span::from_secs(30);
/// If it has news, only for this long: soon, yet a peer that claims news without end keeps no node busy.
const PARDON: Span = Span::from_secs(1);

/// One question to one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whom to ask.
    pub source: Source,
    /// Which role's file.
    pub role: Role,
    /// Which version; the newest if none is named.
    pub version: Option<u64>,
}

/// What is known of others' metadata, and the question under way.
#[derive(Debug, Default)]
pub struct Refresh {
    heads: BTreeMap<PeerId, Head>,
    /// The newest timestamp that any peer told of, and who told of it first.
    news: Option<(u64, PeerId)>,
    origin: Origin,
    asked: Option<(Request, Time)>,
    benched: BTreeMap<Source, Time>,
    /// Where a peer that failed stands in the queue: behind the newest peer of then, and behind who failed before. So
    /// whoever can be asked is, however many others keep silent, and under however many new names.
    turns: BTreeMap<PeerId, (PeerId, u64)>,
    failures: u64,
    /// The version of which two timestamps are known.
    contradicted: Option<u64>,
    /// There was nothing to ask when last looked, and only what is told here, or time, changes that.
    settled: bool,
}

/// How far the static repository has been read since it last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Origin {
    #[default]
    Read,
    ReadRoots,
    ReadTimestamp,
    ReadRest,
}

impl Refresh {
    /// A peer told what it has.
    pub fn peer_has(&mut self, peer: PeerId, head: Option<Head>, now: Time) {
        self.settled = false;
        if let Some(head) = head.filter(|head| self.news.is_none_or(|(newest, _)| head.timestamp > newest)) {
            self.news = Some((head.timestamp, peer));
        }
        // News may be good news: a peer that failed gets another chance when it moves on.
        match head {
            Some(head) if self.heads.insert(peer, head) != Some(head) => {
                if let Some(until) = self.benched.get_mut(&Source::Peer(peer)) {
                    *until = (*until).min(now + PARDON);
                }
            }
            Some(_) => {}
            None => {
                self.heads.remove(&peer);
            }
        }
    }

    /// What a peer said that it has.
    pub fn head_of(&self, peer: PeerId) -> Option<&Head> {
        self.heads.get(&peer)
    }

    /// Who told first of the newest metadata that this node heard of.
    pub fn herald(&self) -> Option<PeerId> {
        self.news.map(|(_, peer)| peer)
    }

    /// There is evidence that two timestamps of this version were signed.
    pub fn contradicted(&mut self, version: u64) {
        self.contradicted = Some(version);
    }

    /// A peer is gone.
    pub fn peer_left(&mut self, peer: PeerId) {
        self.settled = false;
        self.heads.remove(&peer);
        self.benched.remove(&Source::Peer(peer));
        self.turns.remove(&peer);
        self.asked.take_if(|(request, _)| request.source == Source::Peer(peer));
    }

    /// The static repository may hold something new.
    pub fn origin_changed(&mut self) {
        self.settled = false;
        self.origin = Origin::ReadRoots;
        self.benched.remove(&Source::Origin);
    }

    /// The question that this answer belongs to, if it was asked.
    pub fn answered(&mut self, source: Source, role: &Role) -> Option<Request> {
        self.settled = false;
        self.asked.take_if(|(request, _)| request.source == source && request.role == *role).map(|(request, _)| request)
    }

    /// A source did not have what it was asked for, or it was refused.
    pub fn failed(&mut self, request: &Request, now: Time) {
        self.settled = false;
        match (request.source, &request.role) {
            // There is no newer root: so much is as it should be.
            (Source::Origin, Role::Root) => self.origin = Origin::ReadTimestamp,
            (Source::Origin, _) => self.origin = Origin::Read,
            (Source::Peer(peer), _) => {
                self.benched.insert(request.source, now + BENCH);
                let newest = self.heads.last_key_value().map_or(peer, |(newest, _)| *newest);
                self.failures += 1;
                self.turns.insert(peer, (newest, self.failures));
            }
        }
    }

    /// A source's file is no news. Where news was claimed, or the next root asked for, that is as good as none, lest it is
    /// asked for without end.
    pub fn known_already(&mut self, request: &Request, now: Time) {
        match (request.source, &request.role) {
            (Source::Peer(_), _) | (Source::Origin, Role::Root) => self.failed(request, now),
            (Source::Origin, _) => self.accepted(request),
        }
    }

    /// A source's file was accepted.
    pub fn accepted(&mut self, request: &Request) {
        self.settled = false;
        if request.source == Source::Origin && request.role == Role::Timestamp {
            self.origin = Origin::ReadRest;
        }
    }

    /// The next question, if there is one and none is under way.
    pub fn next(&mut self, trust: &TrustedSet, now: Time) -> Option<Request> {
        if self.is_settled(now) {
            return None;
        }
        if let Some((late, _)) = self.asked.take_if(|(_, deadline)| *deadline <= now) {
            self.failed(&late, now);
        }
        self.benched.retain(|_, until| *until > now);
        self.settled = true;
        if self.asked.is_some() {
            return None;
        }
        let request = self.question_for_origin(trust).or_else(|| self.question_for_a_peer(trust))?;
        self.asked = Some((request.clone(), now + ANSWER_WITHIN));
        Some(request)
    }

    /// Whether there is nothing to ask, because there was not and nothing has been told since.
    pub fn is_settled(&self, now: Time) -> bool {
        self.settled && self.wakeup().is_none_or(|at| at > now)
    }

    /// When the question under way is given up, or a benched source may be asked again.
    pub fn wakeup(&self) -> Option<Time> {
        let deadline = self.asked.as_ref().map(|(_, deadline)| *deadline);
        self.benched.values().copied().chain(deadline).min()
    }

    fn question_for_origin(&mut self, trust: &TrustedSet) -> Option<Request> {
        let (role, version) = match self.origin {
            Origin::Read => return None,
            Origin::ReadRoots => (Role::Root, Some(trust.root().version + 1)),
            Origin::ReadTimestamp => (Role::Timestamp, None),
            Origin::ReadRest => {
                let Some(need) = trust.needs().into_iter().next() else {
                    self.origin = Origin::Read;
                    return None;
                };
                (need.role, need.version)
            }
        };
        Some(Request { source: Source::Origin, role, version })
    }

    fn question_for_a_peer(&self, trust: &TrustedSet) -> Option<Request> {
        let timestamp = trust.timestamp_version();
        // Asked at every input, so the costly question is asked only while something is missing.
        let complete = timestamp.is_some() && trust.head().map(|head| head.timestamp) == timestamp;
        let need = if complete { None } else { trust.needs().into_iter().next() };
        // Who has another timestamp of the same version has evidence against the publisher's keys.
        let mine = trust.timestamp_digest();
        let contradicts =
            |head: &Head| mine.is_some_and(|(version, digest)| version == head.timestamp && digest != head.digest);
        let asks = |head: &Head| {
            if head.root > trust.root().version {
                Some((Role::Root, Some(trust.root().version + 1)))
            } else if timestamp.is_none_or(|mine| head.timestamp > mine) {
                Some((Role::Timestamp, None))
            } else if contradicts(head) {
                // Once there is evidence such a peer has nothing that this node could use.
                (self.contradicted != Some(head.timestamp)).then_some((Role::Timestamp, None))
            } else {
                let need = need.as_ref().filter(|_| timestamp == Some(head.timestamp))?;
                Some((need.role.clone(), need.version))
            }
        };
        let may_be_asked = self.heads.iter().filter(|(peer, _)| !self.benched.contains_key(&Source::Peer(**peer)));
        let questions = may_be_asked.filter_map(|(peer, head)| Some((*peer, asks(head)?)));
        let turn = |peer: &PeerId| self.turns.get(peer).copied().unwrap_or((*peer, 0));
        let (peer, (role, version)) = questions.min_by_key(|(peer, _)| turn(peer))?;
        Some(Request { source: Source::Peer(peer), role, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::sample::Sample;

    const LIAR: PeerId = PeerId(1);
    const HONEST: PeerId = PeerId(2);
    const NOW: Time = Time(1_000_000);

    fn ahead(trust: &TrustedSet, by: u64) -> Option<Head> {
        trust.head().map(|head| Head { timestamp: head.timestamp + by, ..head })
    }

    #[test]
    fn a_peer_that_claims_news_and_has_none_gives_way_to_the_next() {
        let trust = Sample::release(1).trusted();
        let mut refresh = Refresh::default();
        refresh.peer_has(LIAR, ahead(&trust, 1_000_000), NOW);
        refresh.peer_has(HONEST, ahead(&trust, 1), NOW);
        let first = refresh.next(&trust, NOW).unwrap();
        assert_eq!((first.source, &first.role), (Source::Peer(LIAR), &Role::Timestamp));
        assert_eq!(refresh.next(&trust, NOW), None, "one question at a time");
        let asked = refresh.answered(Source::Peer(LIAR), &Role::Timestamp).unwrap();
        refresh.failed(&asked, NOW);
        assert_eq!(refresh.next(&trust, NOW).unwrap().source, Source::Peer(HONEST));
    }

    #[test]
    fn a_peer_that_does_not_answer_gives_way_to_the_next() {
        let trust = Sample::release(1).trusted();
        let mut refresh = Refresh::default();
        refresh.peer_has(LIAR, ahead(&trust, 1), NOW);
        refresh.peer_has(HONEST, ahead(&trust, 1), NOW);
        refresh.next(&trust, NOW);
        let late = refresh.wakeup().unwrap();
        assert_eq!(refresh.next(&trust, late).unwrap().source, Source::Peer(HONEST));
    }

    #[test]
    fn peers_that_tell_news_and_keep_silent_do_not_keep_the_last_one_from_being_asked() {
        let trust = Sample::release(1).trusted();
        let mut refresh = Refresh::default();
        let (silent, honest) = (20, PeerId(20));
        refresh.peer_has(honest, ahead(&trust, 1), NOW);
        let mut now = NOW;
        for by in 1.. {
            // Other news at every moment, so that no bench lasts.
            (0..silent).for_each(|peer| refresh.peer_has(PeerId(peer), ahead(&trust, by), now));
            if refresh.next(&trust, now).is_some_and(|request| request.source == Source::Peer(honest)) {
                break;
            }
            assert!(by <= silent, "each of them was asked, and some twice");
            now = refresh.wakeup().unwrap() + ANSWER_WITHIN;
        }
    }

    #[test]
    fn an_origin_whose_next_root_is_the_one_before_is_read_on() {
        let trust = Sample::release(1).trusted();
        let mut refresh = Refresh::default();
        refresh.origin_changed();
        let mut asked = Vec::new();
        while let Some(Request { source, role, .. }) = refresh.next(&trust, NOW) {
            let request = refresh.answered(source, &role).unwrap();
            refresh.known_already(&request, NOW);
            asked.push(role);
            assert!(asked.len() <= 2, "asked for ever: {asked:?}");
        }
        assert_eq!(asked, [Role::Root, Role::Timestamp]);
    }

    #[test]
    fn a_newer_root_is_asked_for_before_anything_else() {
        let trust = Sample::release(1).trusted();
        let mut refresh = Refresh::default();
        let head = trust.head().map(|head| Head { root: head.root + 2, timestamp: head.timestamp + 5, ..head });
        refresh.peer_has(HONEST, head, NOW);
        let request = refresh.next(&trust, NOW).unwrap();
        assert_eq!((request.role, request.version), (Role::Root, Some(trust.root().version + 1)));
    }
}
