//! How a release comes to be listed, is taken back, and stays fresh.
//!
//! Whatever happens here is drafted first, and signed with the keys that are here: a [`Change`]. If those are enough, it
//! is put out at once; if not, it waits for others, and nothing of it is in the repository yet.

use super::change::{Change, ChangeError};
use super::channel::{Channel, ChannelError};
use super::channels::{Channels, ChannelsError, Exchange};
use super::edition::{Edition, PUBLISHERS, PutOutError, TARGETS_LIFE_S, after, not_before};
use super::files::{ReadError, read};
use super::keys::{AskPassword, KeyDirectory, KeyError};
use protocol::content::name::{ChannelName, TargetPath};
use protocol::time::UnixTime;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::envelope::{Body, Signed};
use protocol::trust::key::Key;
use protocol::trust::metadata::{Authority, DelegatedRole, Targets};
use protocol::trust::{Head, Role, Target, TrustedSet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Why nothing was listed, or changed. The repository serves what it served before.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The channel is not to be changed so.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// There is no such channel, or it cannot have such keys.
    #[error(transparent)]
    Channels(#[from] ChannelsError),
    /// Something else was put out since the change was drafted.
    #[error(
        "the repository has version {} of the {role} metadata by now, and this would be {drafted}; draft the change again",
        drafted.saturating_sub(1).max(*here)
    )]
    Outdated {
        /// Whose file.
        role: Role,
        /// The version that would be put out.
        drafted: u64,
        /// The version that is here.
        here: u64,
    },
    /// The change could not be signed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The repository cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It could not be put out.
    #[error(transparent)]
    PutOut(#[from] PutOutError),
}

/// A publisher at work on a repository: what devices believe of it, and the keys, which nobody else uses meanwhile.
pub struct Desk {
    repo: PathBuf,
    keys: KeyDirectory,
    set: TrustedSet,
    /// The time of signing: never before that of the last release, though the clock was set back.
    now: UnixTime,
}

impl Desk {
    /// Opens the metadata of `repo` and the keys in `keys`.
    pub fn open(repo: &Path, keys: &Path, ask_password: AskPassword, now: UnixTime) -> Result<Self, ListError> {
        let keys = KeyDirectory::open(keys, ask_password)?;
        let set = read(repo)?;
        let now = not_before(complete(&set), now);
        Ok(Self { repo: repo.to_owned(), keys, set, now })
    }

    /// What devices believe of the repository.
    pub fn trust(&self) -> &TrustedSet {
        &self.set
    }

    /// A channel with its releases; an empty one if there is none of this name.
    pub fn channel(&self, name: &ChannelName) -> Result<Channel, ListError> {
        Ok(Channel::of(&self.set, name)?)
    }

    /// Which channels there are, and whose they are.
    pub fn channels(&self) -> Channels {
        Channels(self.top_level().body.delegations.clone().unwrap_or_default())
    }

    /// Lists one more release. A channel that there is not yet gets a key of its own, here.
    pub fn list(&self, path: &TargetPath, target: Target) -> Result<Change, ListError> {
        let mut channel = self.channel(&path.channel)?;
        channel.list(path, target)?;
        let mut channels = self.channels();
        let is_new = channels.get(&path.channel).is_none();
        if is_new {
            let key = self.keys.load_or_create(&Role::Delegated(path.channel.role_name()))?;
            channels.create(&path.channel, vec![key.public()], 1)?;
        }
        self.draft(&path.channel, Some(&channel), channels, is_new)
    }

    /// Takes a release back: no device that hears of it applies it any more.
    pub fn withdraw(&self, path: &TargetPath) -> Result<Change, ListError> {
        let mut channel = self.channel(&path.channel)?;
        channel.withdraw(path)?;
        self.draft(&path.channel, Some(&channel), self.channels(), false)
    }

    /// Gives a staged release to every device.
    pub fn promote(&self, path: &TargetPath) -> Result<Change, ListError> {
        let mut channel = self.channel(&path.channel)?;
        channel.promote(path)?;
        self.draft(&path.channel, Some(&channel), self.channels(), false)
    }

    /// Makes a channel of which `threshold` of `keys` sign each release.
    pub fn create_channel(&self, name: &ChannelName, keys: Vec<Key>, threshold: u64) -> Result<Change, ListError> {
        let mut channels = self.channels();
        channels.create(name, keys, threshold)?;
        self.draft(name, None, channels, true)
    }

    /// Exchanges keys of a channel. What it lists is signed anew by the keys that it has then.
    pub fn change_channel(&self, name: &ChannelName, exchange: Exchange) -> Result<Change, ListError> {
        let mut channels = self.channels();
        channels.change(name, exchange)?;
        let has_file = complete(&self.set).role(&Role::Delegated(name.role_name())).is_some();
        let channel = if has_file { Some(self.channel(name)?) } else { None };
        self.draft(name, channel.as_ref(), channels, true)
    }

    /// Says once more that what is listed is the newest: snapshot and timestamp are signed anew with any change, even one
    /// of nothing, and with it the targets files of which half of the life is over. Those come in two changes: what can be
    /// signed here, and what has to be signed where its keys are, which may wait while the old files are valid.
    pub fn refresh(&self) -> Result<(Change, Change), ListError> {
        let (mut here, mut elsewhere, channels) = (Change::default(), Change::default(), self.channels());
        for delegated in &channels.0.roles {
            let role = Role::Delegated(delegated.name.clone());
            let Some(file) = complete(&self.set).role(&role).filter(|file| self.is_old(file)) else { continue };
            let change = if self.can_sign(&role, &delegated.authority)? { &mut here } else { &mut elsewhere };
            // A role that another program delegated to may have a name that no channel has.
            match ChannelName::of_role(&delegated.name) {
                Some(name) => self.add(change, &role, self.channel(&name)?.listing(), &channels, delegated)?,
                None => self.add(change, &role, &file.body, &channels, delegated)?,
            }
        }
        if self.is_old(self.top_level()) {
            let authority = self.set.root().body.authority(&Role::Targets);
            let change = if self.can_sign(&Role::Targets, authority)? { &mut here } else { &mut elsewhere };
            self.add_top_level(change, channels)?;
        }
        self.sign(&mut here)?;
        self.sign(&mut elsewhere)?;
        Ok((here, elsewhere))
    }

    /// Ids of the keys that sign for the repository.
    pub fn key_ids(&self) -> BTreeSet<String> {
        let (root, channels) = (self.set.root().body.keys.values(), self.channels());
        root.chain(channels.0.keys.values()).map(Key::id).collect()
    }

    /// Puts out what enough have signed, with a snapshot and a timestamp, all of it at once.
    pub fn put_out(&self, change: Change) -> Result<Head, ListError> {
        for part in change.parts() {
            let (role, drafted) = (part.role.clone(), part.signed.version);
            let here = complete(&self.set).role(&role).map_or(0, |file| file.version);
            if drafted != here.saturating_add(1) {
                return Err(ListError::Outdated { role, drafted, here });
            }
            let standing = part.standing();
            if !standing.is_complete() {
                return Err(self.keys.too_few(&role, standing).into());
            }
        }
        let (judge, targets) = (self.set.clone(), change.into_files());
        let edition = Edition { judge, before: Some(&self.set), root: None, targets, above: 0, lives: PUBLISHERS };
        Ok(edition.put_out(&self.repo, &self.keys, self.now)?)
    }

    /// What a channel lists from now on, if that changes, and the channels, signed with the keys that are here.
    fn draft(
        &self,
        name: &ChannelName,
        channel: Option<&Channel>,
        channels: Channels,
        channels_changed: bool,
    ) -> Result<Change, ListError> {
        let mut change = Change::default();
        if let Some(channel) = channel {
            let delegated = channels.get(name).ok_or_else(|| ChannelsError::Missing(name.clone()))?;
            self.add(&mut change, &Role::Delegated(name.role_name()), channel.listing(), &channels, delegated)?;
        }
        let (targets, authority) = (self.top_level(), self.set.root().body.authority(&Role::Targets));
        let is_expired = targets.expires.unix_time() <= self.now;
        if channels_changed || is_expired || (self.is_old(targets) && self.can_sign(&Role::Targets, authority)?) {
            self.add_top_level(&mut change, channels)?;
        }
        self.sign(&mut change)?;
        Ok(change)
    }

    /// Adds a delegated role's file under its next version.
    fn add<B: Body + Clone>(
        &self,
        change: &mut Change,
        role: &Role,
        body: &B,
        Channels(delegations): &Channels,
        DelegatedRole { authority, .. }: &DelegatedRole,
    ) -> Result<(), ChangeError> {
        let version = complete(&self.set).role(role).map_or(1, |before| before.version + 1);
        let signed = Signed::new(version, after(self.now, TARGETS_LIFE_S), body.clone());
        change.add(role.clone(), &signed, authority, &delegations.keys)
    }

    /// Adds the top-level targets under their next version.
    fn add_top_level(&self, change: &mut Change, Channels(delegations): Channels) -> Result<(), ChangeError> {
        let (before, root) = (self.top_level(), &self.set.root().body);
        let body = Targets { delegations: Some(delegations), ..before.body.clone() };
        let signed = Signed::new(before.version + 1, after(self.now, TARGETS_LIFE_S), body);
        change.add(Role::Targets, &signed, root.authority(&Role::Targets), &root.keys)
    }

    /// Whether enough keys are here. They may lie in a drawer.
    fn can_sign(&self, role: &Role, authority: &Authority) -> Result<bool, KeyError> {
        match self.keys.signers(role, authority) {
            Err(KeyError::TooFew { .. }) => Ok(false),
            keys => keys.map(|_| true),
        }
    }

    /// Signs with the keys that are here, of those that may.
    fn sign(&self, change: &mut Change) -> Result<(), ListError> {
        let authorities: Vec<_> = change.parts().iter().map(|part| part.authority.clone()).collect();
        for authority in authorities {
            for key in self.keys.found(&authority)? {
                change.sign(&key)?;
            }
        }
        Ok(())
    }

    fn top_level(&self) -> &Signed<Targets> {
        complete(&self.set).role(&Role::Targets).expect("a complete set has targets")
    }

    fn is_old(&self, file: &Signed<Targets>) -> bool {
        file.expires < after(self.now, TARGETS_LIFE_S / 2)
    }
}

fn complete(set: &TrustedSet) -> &CompleteSet {
    set.complete().expect("a set that needs nothing is complete")
}

#[cfg(test)]
mod signers;
#[cfg(test)]
mod tests;
