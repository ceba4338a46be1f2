//! Releases and their chunks: heard of, prepared, filled, applied.

use super::Node;
use super::peers::holdings;
use crate::bitmap::Bitmap;
use crate::content::name::TargetPath;
use crate::content::release::Release;
use crate::content::version::Version;
use crate::id::{ManifestId, PeerId};
use crate::input::{ApplyFault, UploadOutcome, Verdict};
use crate::limits::RELEASES_CARRIED_MAX;
use crate::listed::Listed;
use crate::mesh::{Role, Swarm};
use crate::message::{Chunks, Message};
use crate::node::Config;
use crate::output::{Event, Output};
use crate::school::{Assignment, Unfit};
use crate::time::Time;
use crate::update::{Stage, Update};
use std::sync::Arc;

/// Why a device has nothing to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Its publisher lists no release in its channel.
    EmptyChannel,
    /// Its publisher took back what it runs, and lists nothing newer for it.
    Withdrawn(Version),
    /// The newest release is one that nobody may go to who has run what this device has.
    BelowFloor(TargetPath),
}

impl Node {
    /// Looks what this node should have now, once metadata is whole. What the publisher took back meanwhile, or the
    /// school assigns to nobody any more, is given up, unless it is applied: then the device stays there until it should
    /// have another.
    pub(super) fn hear_of_releases(&mut self) {
        self.raise_floor();
        let wanted = self.wanted();
        self.give_up(&wanted);
        for listed in &wanted {
            if let Some(known) = self.updates.iter_mut().find(|update| update.listed.manifest == listed.manifest) {
                // The publisher may say something else of it by now.
                known.listed.clone_from(listed);
                continue;
            }
            let before = self.updates.iter().rfind(|update| update.listed.path.channel == listed.path.channel);
            // What is being applied comes to its end first; then this is looked at again.
            if before.is_some_and(|before| matches!(before.stage, Stage::Applying)) {
                continue;
            }
            self.outputs.push_back(Output::Event(Event::Heard {
                channel: listed.path.channel.to_string(),
                version: listed.path.version.to_string(),
                release: listed.manifest,
            }));
            let update = Update::new(listed.clone(), before);
            self.outputs.push_back(Output::ReadDocument(update.document()));
            self.take_up(update, &wanted);
        }
    }

    /// What this node should have. A seed carries what any device may take, and whatever its school assigns. A device has
    /// what its school assigns to its group, or else what its policy takes next; by itself it never goes back. None goes
    /// below what its publisher said nobody must go below.
    pub fn wanted(&self) -> Vec<Listed> {
        let (trust, Config { policy, applied, floor, .. }) = (self.trust(), &self.config);
        match (policy, self.school()) {
            (None, None) => Listed::carried(trust),
            (None, Some(school)) => {
                let mut wanted = Listed::carried(trust);
                let assigned = Listed::all(trust).filter(|listed| school.assigns(listed) && !wanted.contains(listed));
                let assigned: Vec<Listed> = assigned.take(RELEASES_CARRIED_MAX).collect();
                wanted.extend(assigned);
                wanted
            }
            (Some(_), Some(_)) => self.assigned().and_then(|(_, found)| found.ok()).into_iter().collect(),
            (Some(policy), None) => Listed::newest(trust, policy, applied.as_ref(), *floor).into_iter().collect(),
        }
    }

    /// What the school assigns to this device, and that release, if it may have it.
    pub fn assigned(&self) -> Option<(Assignment, Result<Listed, Unfit>)> {
        let Config { policy: Some(policy), floor, applied, .. } = &self.config else { return None };
        let assignment = self.school()?.assignment(&policy.channel)?;
        let fitting: Vec<Listed> = Listed::all(self.trust()).filter(|listed| policy.fits(listed)).collect();
        let lies_between = |listed: &Listed| {
            let version = &listed.path.version;
            let is_ahead = applied.as_ref().is_some_and(|applied| applied < version);
            listed.custom.required
                && listed.path.channel == policy.channel
                && is_ahead
                && *version < assignment.path.version
        };
        let between = fitting.iter().filter(|listed| lies_between(listed));
        let waypoint = between.map(|listed| &listed.path).min_by_key(|path| &path.version);
        let found = match (fitting.iter().find(|listed| assignment.is(listed)), waypoint) {
            _ if assignment.terms.is_none() => Err(Unfit::UnknownTerms),
            (None, _) if Listed::all(self.trust()).any(|listed| assignment.is(&listed)) => Err(Unfit::OtherHardware),
            (None, _) => Err(Unfit::NotListed),
            (Some(listed), _) if listed.custom.release_counter < *floor => Err(Unfit::BelowFloor),
            (Some(_), Some(waypoint)) => Err(Unfit::BehindWaypoint(waypoint.clone())),
            (Some(listed), None) => Ok(listed.clone()),
        };
        Some((assignment, found))
    }

    /// Why there is nothing for this device to take, where a person could help.
    pub fn idles(&self) -> Option<Idle> {
        let Config { policy: Some(policy), floor, applied, .. } = &self.config else { return None };
        self.trust().complete()?;
        let listed: Vec<Listed> =
            Listed::all(self.trust()).filter(|listed| listed.path.channel == policy.channel).collect();
        let runs = |listed: &Listed| applied.as_ref() == Some(&listed.path.version);
        let is_ahead = |listed: &Listed| applied.as_ref().is_none_or(|applied| *applied < listed.path.version);
        let below =
            |listed: &&Listed| policy.takes(listed) && is_ahead(listed) && listed.custom.release_counter < *floor;
        let skipped = listed.iter().filter(below).max_by_key(|listed| &listed.path.version);
        match applied {
            None if listed.is_empty() => Some(Idle::EmptyChannel),
            // What it should run the school says, and why it does not.
            _ if self.school().is_some() || self.wanted().iter().any(is_ahead) => None,
            Some(applied) if !listed.iter().any(runs) => Some(Idle::Withdrawn(applied.clone())),
            _ => skipped.map(|listed| Idle::BelowFloor(listed.path.clone())),
        }
    }

    /// A release takes the place of those of its channel that this node should not have any more.
    fn take_up(&mut self, update: Update, wanted: &[Listed]) {
        let path = update.listed.path.clone();
        let is_wanted = |listed: &Listed| wanted.iter().any(|it| it.manifest == listed.manifest);
        self.updates.retain(|it| it.listed.path.channel != path.channel || is_wanted(&it.listed));
        let at = self.updates.partition_point(|it| it.listed.path < path);
        // Most nodes have one, and room for four would be a good part of a simulated host.
        self.updates.reserve_exact(1);
        self.updates.insert(at, update);
    }

    fn give_up(&mut self, wanted: &[Listed]) {
        let is_listed = |listed: &Listed| Listed::all(self.trust()).any(|it| it.manifest == listed.manifest);
        let is_applied = |update: &Update| matches!(update.stage, Stage::Applied | Stage::Applying);
        // Another comes in its place, with what is here of this.
        let is_new = |listed: &Listed| self.updates.iter().all(|update| update.listed.manifest != listed.manifest);
        let is_followed = |gone: &Listed| wanted.iter().any(|it| it.path.channel == gone.path.channel && is_new(it));
        let keeps = |update: &Update| {
            let listed = &update.listed;
            wanted.iter().any(|it| it.manifest == listed.manifest)
                || (is_listed(listed) && is_followed(listed))
                || (is_applied(update) && self.config.role == Role::Device)
        };
        let unwanted = self.updates.iter().filter(|update| !keeps(update)).map(|update| &update.listed);
        let unwanted: Vec<_> = unwanted.map(|listed| (listed.manifest, is_listed(listed))).collect();
        for (release, is_listed) in unwanted {
            let event = if is_listed { Event::GivenUp(release) } else { Event::Withdrawn(release) };
            self.updates.retain(|update| update.listed.manifest != release);
            self.forget(|swarm| swarm.release() == release);
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Makes a place for a release. What a device has half fetched of the one before is left to the driver, which
    /// takes from it what it can use; what is whole goes on being served until the place is made.
    pub(super) fn prepare(&mut self, release: Arc<Release>) {
        let id = release.id();
        if let Some(update) = self.update_mut(id) {
            update.stage = Stage::Preparing;
        }
        if self.config.role == Role::Device {
            self.forget(|swarm| !swarm.held().is_full());
        }
        self.prepares.push(id);
        self.outputs.push_back(Output::Prepare(release));
    }

    /// The driver has answered one `Prepare`. Returns whether it is of use: of several for one release the last counts,
    /// because what was prepared between has taken from it.
    fn is_last_answer(&mut self, release: ManifestId) -> bool {
        if let Some(at) = self.prepares.iter().position(|asked| *asked == release) {
            self.prepares.remove(at);
        }
        !self.prepares.contains(&release)
    }

    pub(super) fn prepared(&mut self, now: Time, release: ManifestId, held: Bitmap, applied: bool) {
        let role = self.config.role;
        if !self.is_last_answer(release) {
            return;
        }
        let Some(update) = self.updates.iter_mut().find(|update| update.listed.manifest == release) else { return };
        let (Stage::Preparing, Some(content)) = (&update.stage, &update.release) else { return };
        update.stage = if applied { Stage::Applied } else { Stage::Filling };
        let swarm = Swarm::new(self.config.strategy, release, content.chunks().clone(), held, role, now);
        let current: Vec<ManifestId> = self.updates.iter().map(|update| update.listed.manifest).collect();
        self.forget(|swarm| !current.contains(&swarm.release()));
        let told = holdings(&swarm, true);
        self.swarms.insert(swarm);
        let to = self.peers.devices_first().collect();
        self.outputs.push_back(Output::SendAll { to, message: told });
    }

    /// What is applied, as its publisher lists it now, is where the device may go back to at most.
    fn raise_floor(&mut self) {
        let Config { policy: Some(policy), applied: Some(applied), floor, .. } = &mut self.config else { return };
        let is_applied = |listed: &Listed| listed.path.channel == policy.channel && listed.path.version == *applied;
        let listed = Listed::all(self.chains.publisher.trust()).filter(is_applied);
        let release_counter = listed.map(|listed| listed.custom.release_counter).max().unwrap_or_default();
        if release_counter > *floor {
            *floor = release_counter;
            self.outputs.push_back(Output::RaiseFloor(release_counter));
        }
    }

    pub(super) fn chunk_arrived(
        &mut self,
        now: Time,
        from: PeerId,
        release: ManifestId,
        index: u32,
        bytes: u64,
        verdict: Verdict,
    ) {
        match verdict {
            Verdict::Unwanted => {
                if let Some(swarm) = self.swarms.get_mut(release) {
                    swarm.unneeded(from, index, bytes);
                }
            }
            Verdict::WrongBytes => self.ban(from, format!("sent wrong bytes for chunk {index}")),
            Verdict::Stored => {
                let Some(swarm) = self.swarms.get_mut(release) else { return };
                // What was counted when it was asked for is set right: compression saves, and credit is a guess.
                let counted_bytes = swarm.counted_bytes(from, index);
                self.pace.down().give_back(counted_bytes.saturating_sub(bytes));
                self.pace.down().spend(bytes.saturating_sub(counted_bytes));
                let asks = swarm.arrived(from, index, bytes, now);
                super::say(&mut self.outputs, release, asks);
            }
        }
    }

    pub(super) fn uploaded(&mut self, to: PeerId, release: ManifestId, index: u32, outcome: UploadOutcome) {
        self.uploads.done(to);
        if let UploadOutcome::Sent { wire_bytes } = outcome {
            let plain_bytes = self.swarm(release).map_or(0, |swarm| swarm.chunk_bytes(index));
            self.pace.up().give_back(plain_bytes.saturating_sub(wire_bytes));
        }
        if outcome != UploadOutcome::Spoilt {
            return;
        }
        // An applied tree is never written to, nor one that is being applied.
        let filling = |update: &mut Update| matches!(update.stage, Stage::Filling | Stage::Complete);
        let replaceable = self.update_mut(release).is_some_and(filling);
        if let Some(swarm) = self.swarms.get_mut(release) {
            swarm.spoilt(index, replaceable);
        }
        if self.peers.role(to).is_some() {
            self.send(to, Message::Refuse(Chunks { release, indexes: vec![index] }));
        }
    }

    pub(super) fn applied(&mut self, release: ManifestId) {
        let Some(update) = self.update_mut(release) else { return };
        update.stage = Stage::Applied;
        let version = update.listed.path.version.clone();
        self.outputs.push_back(Output::Event(Event::Applied(release)));
        if self.config.role == Role::Device {
            self.config.applied = Some(version);
        }
        self.hear_of_releases();
    }

    pub(super) fn apply_failed(&mut self, now: Time, release: ManifestId, fault: ApplyFault) {
        match fault {
            ApplyFault::Failed(why) => self.blocked(now, release, why),
            ApplyFault::Damaged(indexes) => {
                if let Some(swarm) = self.swarms.get_mut(release) {
                    indexes.iter().for_each(|index| swarm.spoilt(*index, true));
                }
                if let Some(update) = self.update_mut(release) {
                    update.stage = Stage::Filling;
                }
            }
        }
        self.hear_of_releases();
    }

    /// There is no place for the release, or what it has can not be written any more.
    pub(super) fn prepare_failed(&mut self, now: Time, release: ManifestId, why: String) {
        let is_last = self.is_last_answer(release);
        let counts = self.update_mut(release).is_some_and(|update| match update.stage {
            Stage::Preparing => is_last,
            Stage::Filling | Stage::Complete | Stage::Applying => true,
            _ => false,
        });
        if counts {
            self.blocked(now, release, why);
        }
    }

    /// The release cannot go on for now, so nothing more is fetched of it.
    pub(super) fn blocked(&mut self, now: Time, release: ManifestId, why: String) {
        self.forget(|swarm| swarm.release() == release);
        if let Some(update) = self.update_mut(release) {
            update.block(why.clone(), now);
            self.outputs.push_back(Output::Event(Event::Blocked { release, why }));
        }
    }

    pub(super) fn retry_blocked(&mut self, now: Time) {
        let due = |update: &&Update| matches!(update.stage, Stage::Blocked { retry_at: Some(at), .. } if at <= now);
        let updates = self.updates.iter();
        let releases: Vec<_> = updates.filter(due).filter_map(|update| update.release.clone()).collect();
        releases.into_iter().for_each(|release| self.prepare(release));
    }

    pub(super) fn forget(&mut self, unneeded: impl Fn(&Swarm) -> bool) {
        let releases: Vec<ManifestId> =
            self.swarms.iter().filter(|swarm| unneeded(swarm)).map(|swarm| swarm.release()).collect();
        for release in releases {
            self.swarms.remove(release);
            self.uploads.forget(release);
            self.outputs.push_back(Output::Forget(release));
        }
    }

    pub(super) fn update_mut(&mut self, release: ManifestId) -> Option<&mut Update> {
        self.updates.iter_mut().find(|update| update.listed.manifest == release)
    }
}
