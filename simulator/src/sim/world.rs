//! What the scenario does to the world: releases, power, partitions; and what becomes of connections by it.

use super::{Event, SILENCE_NOTICED_AFTER, Sim, World};
use crate::host::Task;
use crate::maxmin::FlowId;
use crate::network::{Parcel, State};
use crate::outcome::Spread;
use crate::scenario::{AssignmentPlan, HostId};
use protocol::bitmap::Bitmap;
use protocol::id::{PeerId, Signer};
use protocol::input::{Input, UploadOutcome};

impl Sim<'_> {
    pub(super) fn change_world(&mut self, world: World) {
        self.trace.world(self.now, format_args!("{world:?}"));
        match world {
            World::Publish(number) => {
                self.publisher.publish(&self.scenario.releases[number], self.now);
                let chunks = self.publisher.published()[number].release.chunk_count();
                self.spreads.push(Spread { held: Bitmap::new(chunks), whole_at: None });
                self.give(HostId::SEED, Input::OriginChanged(Signer::Publisher));
            }
            World::Withdraw(number) => {
                self.publisher.withdraw(&self.scenario.withdrawals[number].version, self.now);
                self.give(HostId::SEED, Input::OriginChanged(Signer::Publisher));
            }
            World::Assign(number) => {
                let AssignmentPlan { version, forged, .. } = &self.scenario.assignments[number];
                let release = self.publisher.published().iter().find(|release| release.version == *version);
                if let (Some(school), Some(release)) = (&mut self.school, release) {
                    school.assign(release, *forged, self.now);
                }
                self.give(HostId::SEED, Input::OriginChanged(Signer::School));
            }
            World::Rotate(number) => {
                self.publisher.rotate(&self.scenario.rotations[number].keys, self.now);
                self.give(HostId::SEED, Input::OriginChanged(Signer::Publisher));
            }
            World::SwitchOn(host) => self.switch_on(host),
            World::PowerCut(host) => self.power_cut(host),
            World::Cut(number) => {
                self.network.cut(number, &self.scenario.partitions[number].hosts);
                let silent = self.network.open_where(|a, b| !self.network.may_connect(a, b));
                silent.into_iter().for_each(|peer| self.silence(peer));
            }
            World::Heal(number) => {
                self.network.heal(number);
                (0..self.hosts.len()).map(HostId).for_each(|host| self.connect_to_neighbours(host));
            }
        }
    }

    fn switch_on(&mut self, host: HostId) {
        if self.hosts[host.0].is_up() {
            return;
        }
        for neighbour in self.network.peers(host).to_vec() {
            if let Some(stale) = self.network.between(host, neighbour) {
                self.close(stale);
            }
        }
        self.with(host, |host, scene| host.switch_on(scene));
        self.connect_to_neighbours(host);
    }

    fn power_cut(&mut self, host: HostId) {
        self.hosts[host.0].power_cut();
        let port = self.network.port(host);
        port.down.clear();
        let mut lost = port.up.clear();
        if let Some(flows) = self.network.flows() {
            lost.extend(flows.sent_by(host).into_iter().flat_map(|flow| flows.close(flow)));
        }
        self.lost_bytes += lost.iter().map(|parcel| parcel.wire_bytes).sum::<u64>();
        let silent = self.network.open_where(|a, b| a == host || b == host);
        silent.into_iter().for_each(|peer| self.silence(peer));
    }

    /// Connects a host to every neighbour that is up and can be reached.
    pub(super) fn connect_to_neighbours(&mut self, host: HostId) {
        for other in self.network.peers(host).to_vec() {
            let both_up = self.hosts[host.0].is_up() && self.hosts[other.0].is_up();
            if !both_up || !self.network.may_connect(host, other) {
                continue;
            }
            match self.network.between(host, other) {
                Some(peer) if self.network.state(peer) == State::Open => continue,
                Some(stale) => self.close(stale),
                None => {}
            }
            let peer = self.network.connect(host, other);
            [host, other].into_iter().for_each(|end| self.give(end, Input::PeerConnected(peer)));
        }
    }

    /// What is sent on a connection is lost from now on, and noticed later.
    fn silence(&mut self, peer: PeerId) {
        if self.network.change(peer, State::Silent) {
            let (now, ends) = (self.now, self.network.ends(peer));
            if let Some(flows) = self.network.flows() {
                ends.into_iter().for_each(|from| flows.stick(FlowId { peer, from }, now));
            }
            self.queue.push(self.now + SILENCE_NOTICED_AFTER, Event::Closes(peer));
        }
    }

    /// Both ends of a connection know that it is gone, and what waited for it is lost.
    pub(super) fn close(&mut self, peer: PeerId) {
        if !self.network.change(peer, State::Closed) {
            return;
        }
        for end in self.network.ends(peer) {
            let queued = self.network.port(end).up.withdraw(|parcel| parcel.peer == peer);
            let flowing = self.network.flows().map(|flows| flows.close(FlowId { peer, from: end }));
            for parcel in queued.into_iter().chain(flowing.into_iter().flatten()) {
                self.lost_bytes += parcel.wire_bytes;
                let Parcel { release, index, .. } = *parcel;
                self.give(end, Input::Uploaded { to: peer, release, index, outcome: UploadOutcome::Lost });
            }
            self.give(end, Input::PeerDisconnected(peer));
        }
    }

    /// Hands a host an input at this moment, behind all that is planned for it already.
    pub(super) fn give(&mut self, host: HostId, input: Input) {
        if self.hosts[host.0].is_up() {
            self.queue.push(self.now, Event::Task(host, self.hosts[host.0].boot, Task::Input(Box::new(input))));
        }
    }
}
