//! When a publisher's keys contradict themselves: two timestamps of one version, both properly signed. Either the
//! publisher tells different classes different things, or a thief has its keys. Which is genuine no device can know, so
//! it keeps the first, shows both to everybody, and applies nothing by itself until there is a higher version.

use super::Node;
use crate::id::PeerId;
use crate::message::{self, Message};
use crate::output::{Event, Output};
use crate::trust::{Accepted, Blame, Rejection, Role};
use serde_bytes::ByteBuf;

/// The evidence.
#[derive(Debug)]
pub(super) struct Equivocation {
    version: u64,
    told: message::Equivocation,
}

impl Node {
    /// The version of which the publisher's keys signed two timestamps, while it is the newest.
    pub fn equivocation(&self) -> Option<u64> {
        let version = self.equivocation.as_ref()?.version;
        (self.trust.timestamp_version() == Some(version)).then_some(version)
    }

    /// The bytes contradict the timestamp that is trusted.
    pub(super) fn contradicted(&mut self, version: u64, second: &[u8]) {
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

    /// A peer shows evidence. It is judged like any metadata, so nobody can make it up.
    pub(super) fn shown(&mut self, from: PeerId, shown: &message::Equivocation) {
        if self.equivocation().is_some() {
            return;
        }
        let mut saw = false;
        for bytes in [&shown.first, &shown.second] {
            match self.trust.offer(&Role::Timestamp, bytes) {
                Ok(Accepted::New) => {
                    saw = true;
                    self.outputs.push_back(Output::SaveTrust(self.trust.files()));
                }
                Ok(Accepted::AlreadyKnown) => {}
                Err(Rejection::Equivocation { version, .. }) => {
                    saw = true;
                    self.contradicted(version, bytes);
                }
                // Whoever is behind, or ahead, may be shown what is old by now, or signed by keys of another root.
                Err(rejection) => saw |= rejection.blame() != Blame::Peer,
            }
        }
        if !saw {
            self.strike(from, "showed evidence that is none".to_owned());
        }
    }

    /// A peer that comes later hears of it too.
    pub(super) fn show_evidence(&mut self, to: PeerId) {
        if let Some(Equivocation { told, .. }) = self.equivocation.as_ref().filter(|_| self.equivocation().is_some()) {
            let message = Message::Equivocation(told.clone());
            self.outputs.push_back(Output::Send { to, message });
        }
    }
}
