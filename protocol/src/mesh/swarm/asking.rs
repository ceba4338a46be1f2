//! What a swarm asks of whom next: the rarest chunks of fellow devices, credit for seeds, and what to do
//! when somebody does not deliver.

use super::{Ask, Swarm};
use crate::bitmap::Bitmap;
use crate::id::PeerId;
use crate::mesh::Role;
use crate::mesh::picker::Picker;
use crate::mesh::source::Source;
use crate::mesh::spread::Spread;
use crate::rng::Rng;
use crate::time::{Span, Time};

/// With nothing in flight and nothing arriving for this long, a device asks a seed by name.
pub(super) const STARVES_AFTER: Span = Span::from_millis(500);
/// The same though devices owe chunks: those that come, ask and go could else starve it for ever.
const STARVES_THOUGH_OWED_AFTER: Span = Span::from_secs(3);
/// At the end, a chunk in flight for this long is asked of a second, idle peer too.
const HEDGE_AFTER: Span = Span::from_millis(500);

impl Swarm {
    /// What to ask of whom now. Call it whenever something changed or a wakeup is due.
    pub fn asks(&mut self, now: Time, rng: &mut Rng) -> Vec<(PeerId, Ask)> {
        if let Some(spread) = &mut self.spread {
            spread.expire(now);
        }
        self.sources.values_mut().for_each(|(_, source)| source.resume(now));
        let mut asks = self.give_up_on_stalled(now);
        if self.picker.open_count() > 0 {
            let peers: Vec<PeerId> = self.sources.keys().copied().collect();
            for peer in peers {
                asks.extend(self.ask_source(peer, now, rng).map(|ask| (peer, ask)));
            }
            asks.extend(self.ask_seed_by_name(now, rng));
        }
        asks.extend(self.hedge(now));
        asks
    }

    /// The next moment at which `asks` or `announcement` has something to say though nothing happened.
    pub fn wakeup(&self) -> Option<Time> {
        let stalls = self.sources.values().filter_map(|(_, source)| source.stalls_at()).min();
        let missing = self.picker.open_count() > 0;
        let resumes = self.sources.values().filter_map(|(_, source)| source.resumes_at()).min().filter(|_| missing);
        let spread = self.spread.as_ref().and_then(Spread::wakeup);
        [stalls, resumes, spread, self.announce_at, self.hedge_at, self.starves_at()].into_iter().flatten().min()
    }

    fn ask_source(&mut self, peer: PeerId, now: Time, rng: &mut Rng) -> Option<Ask> {
        let (role, source) = self.sources.get_mut(&peer)?;
        if *role == Role::Seed {
            let credit = source.credit_room();
            source.credit += credit;
            return (credit > 0).then_some(Ask::Credit(credit));
        }
        if source.dry {
            return None;
        }
        self.fill_window(peer, now, |picker, held| picker.pick_rarest(rng, |index| held.contains(index)))
    }

    /// Asks a peer for as many chunks as it has room for; one that holds nothing to `pick` is dry.
    fn fill_window(
        &mut self,
        peer: PeerId,
        now: Time,
        mut pick: impl FnMut(&Picker, &Bitmap) -> Option<u32>,
    ) -> Option<Ask> {
        let (_, source) = self.sources.get_mut(&peer)?;
        let mut indexes = Vec::new();
        for _ in 0..source.room() {
            let Some(index) = pick(&self.picker, &source.held) else {
                source.dry = true;
                break;
            };
            source.asked(index, now);
            self.picker.close(index);
            self.askers[index as usize] += 1;
            indexes.push(index);
        }
        (!indexes.is_empty()).then_some(Ask::Chunks(indexes))
    }

    /// With nothing in flight and nothing arriving, the first seed that can is asked by name.
    fn ask_seed_by_name(&mut self, now: Time, rng: &mut Rng) -> Option<(PeerId, Ask)> {
        if self.starves_at().is_none_or(|at| now < at) {
            return None;
        }
        let can =
            |(_, (role, source)): &(&PeerId, &(Role, Source))| *role == Role::Seed && !source.dry && source.room() > 0;
        let peer = *self.sources.iter().find(can)?.0;
        self.starving = true;
        let pick = |picker: &Picker, held: &Bitmap| picker.pick_unheld_or_rarest(rng, |index| held.contains(index));
        Some((peer, self.fill_window(peer, now, pick)?))
    }

    /// When this device will have waited long enough in vain: only while something is missing and there is
    /// a seed to ask. It waits longer while a device owes something, and once it starves it does not wait
    /// again for each window.
    fn starves_at(&self) -> Option<Time> {
        let owes =
            |(role, source): &(Role, Source)| !source.in_flight.is_empty() && (*role == Role::Device || !self.starving);
        if self.picker.open_count() == 0 {
            return None;
        }
        let seeds = self.sources.values().filter(|(role, _)| *role == Role::Seed).map(|(_, source)| source);
        let ready = seeds.filter(|seed| !seed.dry && (seed.room() > 0 || seed.resumes_at().is_some()));
        let ready_at = ready.map(|seed| seed.resumes_at().unwrap_or_default()).min()?;
        let waits = match self.sources.values().any(owes) {
            true => STARVES_THOUGH_OWED_AFTER,
            false if self.starving => Span::default(),
            false => STARVES_AFTER,
        };
        Some(ready_at.max(self.progress_at + waits))
    }

    /// At the end, with every missing chunk in flight: asks an idle peer for one that another has owed for
    /// long, once per chunk. The school is spared unless nothing arrives at all.
    fn hedge(&mut self, now: Time) -> Vec<(PeerId, Ask)> {
        self.hedge_at = None;
        if self.picker.open_count() > 0 {
            return Vec::new();
        }
        let starves_at = self.progress_at + STARVES_AFTER;
        let idle: Vec<(PeerId, Role)> = self
            .sources
            .iter()
            .filter(|(_, (_, source))| source.in_flight.is_empty() && source.room() > 0)
            .map(|(peer, (role, _))| (*peer, *role))
            .collect();
        let mut asks = Vec::new();
        for (peer, role) in idle {
            let Some((asked, index)) = self.longest_owed_that(peer) else { continue };
            let late_at = asked + HEDGE_AFTER;
            let due = if role == Role::Seed { late_at.max(starves_at) } else { late_at };
            if due > now {
                self.hedge_at = Some(self.hedge_at.map_or(due, |at| at.min(due)));
                continue;
            }
            self.askers[index as usize] += 1;
            if let Some((_, source)) = self.sources.get_mut(&peer) {
                source.asked(index, now);
            }
            asks.push((peer, Ask::Chunks(vec![index])));
        }
        asks
    }

    /// Of the chunks that exactly one other peer owes and `peer` holds, the one asked first.
    fn longest_owed_that(&self, peer: PeerId) -> Option<(Time, u32)> {
        let (_, idle) = self.sources.get(&peer)?;
        let owed = self.sources.values().flat_map(|(_, source)| &source.in_flight);
        owed.filter(|(index, _)| self.askers[**index as usize] == 1 && idle.held.contains(**index))
            .map(|(index, asked)| (*asked, *index))
            .min()
    }

    fn give_up_on_stalled(&mut self, now: Time) -> Vec<(PeerId, Ask)> {
        let stalled: Vec<PeerId> = self
            .sources
            .iter()
            .filter(|(_, (_, source))| source.stalls_at().is_some_and(|at| at <= now))
            .map(|(peer, _)| *peer)
            .collect();
        let mut asks = Vec::new();
        for peer in stalled {
            let owed = self.sources.get_mut(&peer).map(|(_, source)| source.stalled(now)).unwrap_or_default();
            owed.iter().for_each(|index| self.unask(*index));
            asks.push((peer, Ask::Cancel(owed)));
        }
        asks
    }
}
