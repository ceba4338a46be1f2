//! Which channels there are, and whose they are: what the top-level targets of a repository delegate.

use protocol::content::name::ChannelName;
use protocol::limits::DELEGATIONS_PER_FILE_MAX;
use protocol::trust::key::Key;
use protocol::trust::metadata::{Authority, DelegatedRole, Delegations};

/// Why no channel was made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelsError {
    /// There is one.
    #[error("there is a channel {0} already; change its keys with: homeroom channel change")]
    Exists(ChannelName),
    /// There is none.
    #[error("there is no channel {0}; make it with: homeroom channel create")]
    Missing(ChannelName),
    /// There is no room for one more channel.
    #[error("the repository has {0} channels already, and devices accept no more")]
    TooMany(usize),
    /// The key is there already.
    #[error("key {id} may sign for channel {channel} already")]
    HasKey {
        /// The key's id.
        id: String,
        /// The channel.
        channel: ChannelName,
    },
    /// There is no such key.
    #[error("no key {id} may sign for channel {channel}; see: homeroom channel show")]
    NoKey {
        /// The key's id.
        id: String,
        /// The channel.
        channel: ChannelName,
    },
    /// A threshold that nobody can reach, or everybody.
    #[error("{threshold} of {keys} keys cannot have to sign for channel {channel}; add keys, or choose 1 to {keys}")]
    Threshold {
        /// The channel.
        channel: ChannelName,
        /// How many must sign.
        threshold: u64,
        /// How many could.
        keys: usize,
    },
    /// Nothing would be another.
    #[error("that changes nothing of channel {0}; say --add-key, --remove-key or --threshold")]
    Unchanged(ChannelName),
}

/// The channels of a repository.
#[derive(Clone, Debug, Default)]
pub struct Channels(pub Delegations);

/// Another authority for a channel.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Keys that may sign from now on.
    pub add: Vec<Key>,
    /// Ids of keys that may no more.
    pub remove: Vec<String>,
    /// How many must sign, if that changes.
    pub threshold: Option<u64>,
}

impl Channels {
    /// Who may sign for a channel.
    pub fn get(&self, name: &ChannelName) -> Option<&DelegatedRole> {
        self.0.roles.iter().find(|role| role.name == name.role_name())
    }

    /// Makes a channel, of which `threshold` of `keys` sign each release.
    pub fn create(&mut self, name: &ChannelName, keys: Vec<Key>, threshold: u64) -> Result<(), ChannelsError> {
        if self.get(name).is_some() {
            return Err(ChannelsError::Exists(name.clone()));
        }
        if self.0.roles.len() >= DELEGATIONS_PER_FILE_MAX {
            return Err(ChannelsError::TooMany(DELEGATIONS_PER_FILE_MAX));
        }
        let mut made = self.clone();
        made.0.roles.push(DelegatedRole {
            name: name.role_name(),
            authority: Authority { keyids: Vec::new(), threshold },
            terminating: true,
            paths: Some(vec![format!("{name}/*")]),
            path_hash_prefixes: None,
        });
        made.change(name, Exchange { add: keys, remove: Vec::new(), threshold: Some(threshold) })?;
        *self = made;
        Ok(())
    }

    /// Exchanges keys of a channel, or changes how many must sign. What is refused changes nothing.
    pub fn change(&mut self, name: &ChannelName, exchange: Exchange) -> Result<(), ChannelsError> {
        let role = self.get(name).ok_or_else(|| ChannelsError::Missing(name.clone()))?;
        let (before, mut authority, channel) = (&role.authority, role.authority.clone(), name.clone());
        let Exchange { add, remove, threshold } = exchange;
        for id in remove {
            let at = authority.keyids.iter().position(|known| *known == id);
            authority.keyids.remove(at.ok_or(ChannelsError::NoKey { id, channel: channel.clone() })?);
        }
        for key in &add {
            let id = key.id();
            if authority.keyids.contains(&id) {
                return Err(ChannelsError::HasKey { id, channel });
            }
            authority.keyids.push(id);
        }
        authority.threshold = threshold.unwrap_or(authority.threshold);
        let (threshold, keys) = (authority.threshold, authority.keyids.len());
        if threshold == 0 || threshold > keys as u64 {
            return Err(ChannelsError::Threshold { channel, threshold, keys });
        }
        if authority == *before {
            return Err(ChannelsError::Unchanged(channel));
        }
        let Delegations { keys, roles, .. } = &mut self.0;
        roles
            .iter_mut()
            .filter(|role| role.name == name.role_name())
            .for_each(|role| role.authority = authority.clone());
        keys.extend(add.into_iter().map(|key| (key.id(), key)));
        keys.retain(|id, _| roles.iter().any(|role| role.authority.keyids.contains(id)));
        Ok(())
    }
}
