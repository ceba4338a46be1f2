//! When a publisher's keys contradict themselves: two timestamps of one version, both properly signed. Either the
//! publisher tells different classes different things, or a thief has its keys. Which is genuine no device can know, so
//! it keeps the first, shows both to everybody, and applies nothing by itself until there is a higher version.

use super::Node;
use crate::id::PeerId;
use crate::message::{self, Message};
use crate::output::{Event, Output};
use crate::time::Time;
use crate::trust::envelope::stated_version;
use crate::trust::{Blame, Rejection, Role};
use serde_bytes::ByteBuf;

/// The evidence.
#[derive(Debug)]
pub(super) struct Equivocation {
    version: u64,
    told: message::Equivocation,
}

impl Node {
    /// The version of which the publisher's keys signed two timestamps, while one of them is the newest.
    pub fn equivocation(&self) -> Option<u64> {
        let Equivocation { version, told } = self.equivocation.as_ref()?;
        let newest = self.trust.metadata(&Role::Timestamp, Some(*version)).map(|(_, bytes)| bytes);
        let is_current = self.trust.timestamp_version() == Some(*version);
        (is_current && newest.is_some_and(|newest| newest[..] == told.first[..])).then_some(*version)
    }

    /// The bytes contradict the timestamp that is trusted.
    pub(super) fn contradicted(&mut self, version: u64, second: &[u8]) {
        self.refresh.contradicted(version);
        if self.equivocation() == Some(version) {
            return;
        }
        let Some((_, first)) = self.trust.metadata(&Role::Timestamp, Some(version)) else { return };
        let (first, second) = (ByteBuf::from(first.to_vec()), ByteBuf::from(second));
        let told = message::Equivocation { first, second };
        self.equivocation = Some(Equivocation { version, told: told.clone() });
        self.outputs.push_back(Output::Event(Event::Equivocation { version }));
        let to = self.peers.devices_first().collect();
        self.outputs.push_back(Output::SendAll { to, message: Message::Equivocation(told) });
    }

    /// A peer shows evidence. It is judged against the timestamp that is here, so nobody can make it up, or bring news
    /// past the roots; what is of a version that is still to come waits, the last that was shown.
    pub(super) fn shown(&mut self, now: Time, from: PeerId, shown: &message::Equivocation) {
        let bytes = (shown.first.len() + shown.second.len()) as u64;
        if self.equivocation().is_some() || !self.peers.may_answer(from, bytes, now) {
            return;
        }
        let versions = [&shown.first, &shown.second].map(|bytes| stated_version(bytes));
        let [Some(version), Some(other)] = versions else {
            return self.strike(from, "showed evidence that is none".to_owned());
        };
        match self.trust.timestamp_version() {
            Some(mine) if version == other && version == mine => {
                let plausible = self.judge(shown);
                if !plausible {
                    self.strike(from, "showed evidence that is none".to_owned());
                }
            }
            mine if version == other && mine.is_none_or(|mine| mine < version) => {
                self.shown_early = Some(shown.clone())
            }
            // Whoever was offline shows what is old by now.
            _ => {}
        }
    }

    /// A newer timestamp is here: what was shown early may be evidence against it.
    pub(super) fn judge_what_was_shown(&mut self) {
        if let Some(shown) = self.shown_early.take() {
            self.judge(&shown);
        }
    }

    /// Returns whether it may have been shown in good faith.
    fn judge(&mut self, shown: &message::Equivocation) -> bool {
        [&shown.first, &shown.second].into_iter().any(|bytes| match self.trust.offer(&Role::Timestamp, bytes) {
            Err(Rejection::Equivocation { version, .. }) => {
                self.contradicted(version, bytes);
                true
            }
            Ok(_) => false,
            // Keys of another root may have signed it.
            Err(rejection) => rejection.blame() == Blame::Nobody,
        })
    }

    /// A peer that comes later hears of it too.
    pub(super) fn show_evidence(&mut self, to: PeerId) {
        if let Some(Equivocation { told, .. }) = self.equivocation.as_ref().filter(|_| self.equivocation().is_some()) {
            let message = Message::Equivocation(told.clone());
            self.outputs.push_back(Output::Send { to, message });
        }
    }
}
