//! When a run is done, and what must hold then.

use super::{Event, Sim};
use crate::check::{Check, Ledger};
use crate::host::{Behaviour, Host};
use crate::outcome::Outcome;
use crate::scenario::HostId;
use crate::workload::School;
use protocol::trust::{Head, TrustedSet};
use std::io;

impl Sim<'_> {
    /// The hosts that must end with the newest release: those that are up and tell no lies.
    fn must_converge(&self) -> impl Iterator<Item = &Host> {
        self.must_agree().filter(|host| host.id != HostId::SEED)
    }

    /// The hosts that must end with the newest metadata: the same, and the seed.
    fn must_agree(&self) -> impl Iterator<Item = &Host> {
        let takes = |host: &&Host| matches!(host.behaviour, Behaviour::Honest | Behaviour::Stalls);
        self.hosts.iter().filter(|host| host.is_up()).filter(takes)
    }

    pub(super) fn is_done(&self) -> bool {
        let (newest, head) = (self.publisher.newest(), self.newest_head());
        let said = self.school.as_ref().and_then(School::head);
        let is_current = |host: &Host| host.trust().and_then(TrustedSet::head) == head && host.school_head() == said;
        let agree = || self.must_agree().all(is_current);
        // Whoever has applied what was withdrawn since stays there.
        let converged = || self.must_converge().all(|host| host.applied() >= newest) && agree();
        // If the first of them knows of no contradiction, all do only if there is none, and that is seen soonest.
        let first_knows = self.must_agree().next().is_some_and(|host| host.equivocation().is_some());
        self.world_left == 0
            && (first_knows || converged())
            && match self.contradicted() {
                None => !first_knows || converged(),
                Some(version) => first_knows && self.must_agree().all(|host| host.equivocation() == Some(version)),
            }
    }

    fn newest_head(&self) -> Option<Head> {
        self.publisher.editions().last().map(|edition| edition.head)
    }

    /// The version of which somebody knows two timestamps, so that nothing is applied. Whoever does not know the newest
    /// root may not know that the keys have been replaced.
    fn contradicted(&self) -> Option<u64> {
        let root = self.newest_head().map(|head| head.root);
        let knows_root = |host: &&Host| host.trust().map(|trust| trust.root().version) == root;
        self.must_agree().filter(knows_root).filter_map(Host::equivocation).max()
    }

    pub(super) fn finish(mut self) -> io::Result<Outcome> {
        let mut check = std::mem::take(&mut self.check);
        // Where a check failed the run did not come to its end, so nobody can be left behind.
        if check.violations().is_empty() {
            self.check_end(&mut check);
        }
        let ledger = self.ledger();
        check.conserved(self.now, &ledger, self.on_the_way_bytes());
        let releases = Outcome::of_releases(self.scenario, &self.troubles, &self.publisher, &self.hosts, &self.spreads);
        for release in &releases {
            if let Some(time) = release.time {
                [Some(release.bound), release.rounds_bound].into_iter().flatten().for_each(|bound| {
                    check.bounded(self.now, time, bound);
                });
            }
        }
        Ok(Outcome {
            scenario: self.scenario.name.clone(),
            model: self.scenario.model,
            strategy: self.scenario.strategy,
            rng_seed: self.rng_seed,
            trace_hash: self.trace.finish()?,
            events: self.events,
            ended_at: self.now,
            releases,
            hosts: Outcome::of_hosts(&self.publisher, &self.hosts),
            ledger,
            traffic: self.traffic,
            violations: check.into_violations(),
        })
    }

    fn check_end(&self, check: &mut Check) {
        if let Some(version) = self.contradicted() {
            let unshown = self.must_agree().filter(|_| check.is_known_long(version, self.now));
            let unshown: Vec<_> = unshown.map(|host| (host.id, host.equivocation())).collect();
            return unshown.into_iter().for_each(|(host, known)| check.shown(self.now, host, known, version));
        }
        let (newest, head) = (self.publisher.newest(), self.newest_head());
        for host in self.must_converge() {
            check.alive(self.now, host.id, host.stage(), host.applied(), newest);
        }
        for host in self.must_agree().filter(|host| host.applied() >= newest || host.id == HostId::SEED) {
            check.current(self.now, host.id, host.trust().and_then(TrustedSet::head), head);
            check.current(self.now, host.id, host.school_head(), self.school.as_ref().and_then(School::head));
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        let mut total = Ledger { lost_bytes: self.lost_bytes, ..Ledger::default() };
        for ledger in self.hosts.iter().map(|host| &host.record.ledger) {
            total.sent_bytes += ledger.sent_bytes;
            total.received_bytes += ledger.received_bytes;
            total.duplicate_bytes += ledger.duplicate_bytes;
            total.wrong_bytes += ledger.wrong_bytes;
        }
        total
    }

    pub(super) fn on_the_way_bytes(&self) -> u64 {
        let between = self.queue.iter().filter_map(|event| match event {
            Event::ParcelArrives(parcel) | Event::ParcelDelivered(parcel) => Some(&**parcel),
            _ => None,
        });
        self.network.parcels().chain(between).map(|parcel| parcel.wire_bytes).sum()
    }
}
