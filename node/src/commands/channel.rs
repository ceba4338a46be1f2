//! `homeroom channel`.

use super::desk::DeskArguments;
use super::key::ask_password;
use crate::publisher::change::Change;
use crate::publisher::channel::Channel;
use crate::publisher::channels::{Channels, Exchange};
use crate::publisher::desk::{Desk, ListError};
use crate::publisher::files::read;
use crate::publisher::keys;
use anyhow::Context;
use protocol::content::name::ChannelName;
use protocol::trust::Role;
use protocol::trust::key::Key;
use std::path::{Path, PathBuf};

/// What `homeroom channel` is told.
#[derive(clap::Subcommand)]
#[command(
    after_help = "The targets keys say which channels there are, and whose. A channel that nobody creates gets one key of its own with its\nfirst release; one that several people sign, or that is another maker's, is created before:\n\n  \
homeroom channel create stable --repo /srv/repo --key ann.pub --key ben.pub --key cleo.pub --threshold 2\n  \
homeroom channel create apps/paint --repo /srv/repo --key maker.pub\n  \
homeroom channel change stable --repo /srv/repo --add-key dora.pub --remove-key ID\n\n\
docs/keys.md tells what to do when a key is lost or stolen."
)]
pub enum Verb {
    /// Make a channel whose releases these keys sign
    Create {
        /// The channel, such as stable, or apps/maker
        channel: ChannelName,
        /// A key that may sign: its public half is enough; can be repeated
        #[arg(long = "key", value_name = "KEY", required = true)]
        may_sign: Vec<PathBuf>,
        /// How many must sign each release
        #[arg(long, default_value_t = 1)]
        threshold: u64,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Exchange keys of a channel, or change how many must sign; what it lists is signed anew by its new keys
    Change {
        /// The channel
        channel: ChannelName,
        /// A key that may sign from now on: its public half is enough; can be repeated
        #[arg(long, value_name = "KEY")]
        add_key: Vec<PathBuf>,
        /// The id of a key that may no more, as `channel show` and `key list` tell it; can be repeated
        #[arg(long, value_name = "ID")]
        remove_key: Vec<String>,
        /// How many must sign each release
        #[arg(long)]
        threshold: Option<u64>,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Tell whose a channel is, and what it lists
    Show {
        /// The channel
        channel: ChannelName,
        /// The repository
        #[arg(long, value_name = "DIR")]
        repo: PathBuf,
    },
}

/// Makes, changes and shows channels.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Create { channel, may_sign, threshold, desk } => {
            let keys = public_keys(may_sign)?;
            let create = |desk: &Desk| desk.create_channel(channel, keys, *threshold);
            if does(desk, channel, create)? {
                println!("made channel {channel}: {threshold} of {} keys sign it", may_sign.len());
            }
        }
        Verb::Change { channel, add_key, remove_key, threshold, desk } => {
            let (add, remove) = (public_keys(add_key)?, remove_key.clone());
            let exchange = Exchange { add, remove, threshold: *threshold };
            if does(desk, channel, |desk: &Desk| desk.change_channel(channel, exchange))? {
                println!("changed channel {channel}; devices believe its new keys alone from their next refresh on");
            }
        }
        Verb::Show { channel, repo } => show(channel, repo)?,
    }
    Ok(())
}

fn does(
    arguments: &DeskArguments,
    channel: &ChannelName,
    act: impl FnOnce(&Desk) -> Result<Change, ListError>,
) -> anyhow::Result<bool> {
    let desk = arguments.open()?;
    let drafted = act(&desk).map_err(anyhow::Error::from);
    drafted
        .and_then(|change| arguments.settle(&desk, change))
        .with_context(|| format!("channel {channel} is as it was"))
}

fn public_keys(files: &[PathBuf]) -> anyhow::Result<Vec<Key>> {
    Ok(files.iter().map(|file| keys::public_key(file, ask_password)).collect::<Result<_, _>>()?)
}

fn show(name: &ChannelName, repo: &Path) -> anyhow::Result<()> {
    let set = read(repo)?;
    let top = set.complete().and_then(|complete| complete.role(&Role::Targets));
    let channels = Channels(top.and_then(|top| top.body.delegations.clone()).unwrap_or_default());
    let delegated = channels.get(name).with_context(|| format!("{} has no channel {name}", repo.display()))?;
    println!("{} of {} keys must sign", delegated.authority.threshold, delegated.authority.keyids.len());
    delegated.authority.keyids.iter().for_each(|id| println!("  {id}"));
    let channel = Channel::of(&set, name)?;
    if let Some(highest) = channel.highest() {
        println!("highest version so far: {highest}; release counter: {}", channel.release_counter());
    }
    for (path, custom) in channel.releases() {
        let custom = custom.and_then(|custom| custom.to_value()).map_or_else(String::new, |it| format!("  {it}"));
        println!("lists {path}{custom}");
    }
    Ok(())
}
