//! When a signer's keys contradict themselves: two timestamps of one version, both properly signed. Either it tells
//! different classes different things, or a thief has its keys. Which is genuine no device can know, so it keeps the
//! first, shows both to everybody, and applies nothing by itself until there is a higher version.

use super::Node;
use crate::id::{PeerId, Signer};
use crate::message::{self, Message};
use crate::output::{Event, Output};
use crate::time::Time;
use crate::trust::envelope::stated_version;
use crate::trust::{Blame, Role};

impl Node {
    /// The bytes may contradict the timestamp that is trusted: if so it is kept, and everybody is told.
    pub(super) fn contradicted(&mut self, signer: Signer, second: &[u8]) {
        let Some(chain) = self.chains.get_mut(signer).filter(|chain| chain.equivocation().is_none()) else { return };
        if !chain.contradicted(second) {
            return;
        }
        let (Some(version), Some(evidence)) = (chain.equivocation(), chain.current_evidence()) else { return };
        let message = Message::Equivocation(evidence.clone()).about(signer);
        let files = chain.files();
        let to = self.peers.devices_first().filter(|peer| self.peers.carries(*peer, signer)).collect();
        self.outputs.extend([
            Output::SaveTrust { signer, files },
            Output::Event(Event::Equivocation { signer, version }),
            Output::SendAll { to, message },
        ]);
    }

    /// A peer shows evidence. It is judged against the timestamp that is here, so nobody can make it up, or bring news
    /// past the roots; what is of a version that is still to come waits, the last that was shown.
    pub(super) fn shown(&mut self, now: Time, signer: Signer, from: PeerId, shown: &message::Equivocation) {
        let bytes = (shown.first.len() + shown.second.len()) as u64;
        if self.chains.get(signer).is_none_or(|chain| chain.equivocation().is_some())
            || !self.peers.may_answer(from, bytes, now)
        {
            return;
        }
        let Some(chain) = self.chains.get_mut(signer) else { return };
        let versions = [&shown.first, &shown.second].map(|bytes| stated_version(bytes));
        let [Some(version), Some(other)] = versions else {
            return self.strike(from, "showed evidence that is none".to_owned());
        };
        match chain.trust().timestamp_version() {
            Some(mine) if version == other && version == mine => {
                let plausible = self.judge(signer, shown);
                if !plausible {
                    self.strike(from, "showed evidence that is none".to_owned());
                }
            }
            mine if version == other && mine.is_none_or(|mine| mine < version) => {
                chain.shown_early = Some(shown.clone())
            }
            // Whoever was offline shows what is old by now.
            _ => {}
        }
    }

    /// A newer timestamp is here: what was shown early may be evidence against it. What is of a still newer one waits on,
    /// because to judge it would be to take it in, unsaved and past the roots.
    pub(super) fn judge_what_was_shown(&mut self, signer: Signer) {
        let Some(chain) = self.chains.get_mut(signer) else { return };
        let mine = chain.trust().timestamp_version();
        if let Some(shown) = chain.shown_early.take_if(|shown| stated_version(&shown.first) <= mine) {
            self.judge(signer, &shown);
        }
    }

    /// Returns whether it may have been shown in good faith.
    fn judge(&mut self, signer: Signer, shown: &message::Equivocation) -> bool {
        let mut plausible = false;
        for bytes in [&shown.first, &shown.second] {
            self.contradicted(signer, bytes);
            let Some(chain) = self.chains.get_mut(signer) else { continue };
            // Keys of another root may have signed it.
            let by_others = |blame| blame == Blame::Nobody;
            let offered = chain.trust.offer(&Role::Timestamp, bytes);
            plausible |= chain.equivocation().is_some() || offered.is_err_and(|rejection| by_others(rejection.blame()));
        }
        plausible
    }

    /// A peer that comes later hears of it too.
    pub(super) fn show_evidence(&mut self, signer: Signer, to: PeerId) {
        let Some(chain) = self.chains.get(signer) else { return };
        let Some(evidence) = chain.current_evidence() else { return };
        let message = Message::Equivocation(evidence.clone()).about(signer);
        self.outputs.push_back(Output::Send { to, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chains;
    use crate::input::Input;
    use crate::mesh;
    use crate::message::{Hello, Metadata};
    use crate::node::Config;
    use crate::trust::Head;
    use crate::trust::sample::Sample;
    use serde_bytes::ByteBuf;

    #[test]
    fn evidence_of_a_version_to_come_does_not_bring_that_version() {
        const ANN: PeerId = PeerId(1);
        let trust = Sample::release(1).trusted();
        let config = Config {
            role: mesh::Role::Device,
            policy: None,
            applied: None,
            floor: 0,
            applies: true,
            has_origin: false,
            strategy: mesh::Strategy::default(),
            upload_slots: 1,
            caps: mesh::Caps::default(),
        };
        let repository = trust.repository();
        let mut node = Node::restore(config, Chains::of_publisher(trust), [0; 32]);
        let bytes = |sample: &Sample| ByteBuf::from(sample.file(&Role::Timestamp));
        let third = Sample::release(3);
        let other = Sample { os_paths: vec!["os/other.manifest".to_owned()], ..third.clone() };
        node.handle(Time(1), Input::PeerConnected(ANN));
        let mut says = |message| {
            node.handle(Time(1), Input::Message { from: ANN, message: std::sync::Arc::new(message) });
            node.trust().timestamp_version()
        };
        says(Message::Hello(Hello { features: 0, repository, role: mesh::Role::Device }));
        says(Message::Equivocation(message::Equivocation { first: bytes(&third), second: bytes(&other) }));
        says(Message::Head(Some(Head { root: 1, timestamp: 2, snapshot: 2, digest: [2; 32] })));
        let second = Metadata { role: Role::Timestamp, bytes: Some(bytes(&Sample::release(2))) };
        assert_eq!(says(Message::Metadata(second)), Some(2));
    }
}
