//! `homeroom publish`.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::desk::Desk;
use crate::publisher::files;
use crate::report::megabytes;
use crate::repository::Repository;
use crate::repository::comparison::{Comparison, Paths};
use crate::repository::publish::{Progress, PublishOptions, Published, publish_tree};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::content::manifest::VerifiedManifest;
use protocol::content::name::{ChannelName, TargetPath, TreeName};
use protocol::content::version::Version;
use protocol::id::ManifestId;
use protocol::trust::Target;
use protocol::update::Listed;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// So many of the paths that would vanish are named.
const VANISHING_SHOWN: usize = 5;

/// What `homeroom publish` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.0 --new\n  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.2.1"
)]
pub struct Arguments {
    /// The directory to publish
    tree: PathBuf,
    /// The repository to publish into
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// The channel
    #[arg(long)]
    channel: ChannelName,
    /// The release's version, by PEP 440 (1.0, 2026.11, 1.0rc1)
    #[arg(long)]
    version: Version,
    /// A name for the tree, for people
    #[arg(long, default_value = "tree")]
    name: TreeName,
    /// The keys that sign [default: REPO.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// This is the channel's first release
    #[arg(long)]
    new: bool,
    /// Let paths vanish that the release before has
    #[arg(long)]
    allow_remove: bool,
    /// Allow files with setuid, setgid or capabilities, and list them
    #[arg(long)]
    allow_setuid: bool,
    /// Give every entry this time (seconds since 1970), so that releases share more
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    mtime: Option<i64>,
    /// The data-format epoch, which is written into the release; devices do not look at it yet
    #[arg(long, default_value_t = 0)]
    epoch: u32,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
}

/// Why a version cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It was published before.
    #[error("version {version} of channel {channel} is taken; publish under a higher one")]
    Taken {
        /// The channel.
        channel: ChannelName,
        /// The version.
        version: Version,
    },
    /// It would be the channel's first release, and nobody said so.
    #[error("channel {0} has no release in this repository yet; if it is not misspelled, say --new")]
    First(ChannelName),
    /// It would not be.
    #[error("channel {channel} is not new, its newest release is {newest}; leave --new out")]
    NotFirst {
        /// The channel.
        channel: ChannelName,
        /// The newest.
        newest: Version,
    },
    /// Paths would vanish, and nobody said so.
    #[error("{count} paths of {before} would vanish, {}; if they should, say --allow-remove; nothing is released", examples.join(", "))]
    Vanishing {
        /// The release before.
        before: Version,
        /// How many.
        count: usize,
        /// The first of them.
        examples: Vec<String>,
    },
    /// The keys would be published with the tree.
    #[error("the secret keys {} lie inside the tree {}; move them out, lest everybody gets them", keys.display(), tree.display())]
    KeysInTree {
        /// The tree.
        tree: PathBuf,
        /// The keys.
        keys: PathBuf,
    },
    /// A newer one was published before.
    #[error("version {version} is older than {newest}, the newest of channel {channel}, so no device would take it")]
    Older {
        /// The channel.
        channel: ChannelName,
        /// The version.
        version: Version,
        /// The newest.
        newest: Version,
    },
}

/// Publishes a tree: content first, then its metadata, then one switch of the timestamp.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { tree, repo, channel, version, name, keys, new, allow_remove, allow_setuid, mtime, epoch, json } =
        arguments;
    let keys = keys.unwrap_or_else(|| default_keys(&repo));
    if let (Ok(tree), Ok(keys)) = (tree.canonicalize(), keys.canonicalize())
        && keys.starts_with(&tree)
    {
        return Err(Refused::KeysInTree { tree, keys }.into());
    }
    let now = now()?;
    let mut repository = Repository::open_to_publish(&repo)?;
    let trust = files::read(&repo)?;
    let of_channel = Listed::all(&trust).filter(|listed| listed.path.channel == channel);
    let before = of_channel.max_by(|a, b| a.path.version.cmp(&b.path.version));
    check_version(before.as_ref().map(|before| &before.path.version), &channel, &version, new)?;
    let target = TargetPath { channel, name, version };
    let options = PublishOptions { allow_setuid, mtime_s: mtime, epoch };
    let bar = progress_bar();
    let published = publish_tree(&mut repository, &tree, &target, &options, &mut |progress: Progress| {
        bar.set_length(progress.tree_bytes);
        bar.set_position(progress.read_bytes);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let comparison = before.map(|before| compare(&repository, before, &published)).transpose()?;
    if let Some((before, comparison)) =
        comparison.as_ref().filter(|(_, comparison)| !comparison.vanished.paths.is_empty())
        && !allow_remove
    {
        let (before, vanished) = (before.clone(), &comparison.vanished.paths);
        let examples = vanished.iter().take(VANISHING_SHOWN).map(|path| path.escape_ascii().to_string()).collect();
        return Err(Refused::Vanishing { before, count: vanished.len(), examples }.into());
    }
    let entry = Target { length: published.manifest_bytes, sha256: published.manifest.0, custom: None };
    Desk::open(&repo, &keys, ask_password, now)
        .and_then(|desk| desk.list(&target.channel, &target.to_string(), entry))
        .with_context(|| format!("cannot sign {target}"))?;
    if json {
        println!("{}", as_json(&published))
    } else {
        tell(&published);
        comparison.iter().for_each(|(before, comparison)| tell_comparison(before, comparison));
    }
    Ok(())
}

fn check_version(newest: Option<&Version>, channel: &ChannelName, version: &Version, new: bool) -> Result<(), Refused> {
    let (channel, version) = (channel.clone(), version.clone());
    match newest.cloned() {
        None if !new => Err(Refused::First(channel)),
        Some(newest) if new => Err(Refused::NotFirst { channel, newest }),
        Some(newest) if newest == version => Err(Refused::Taken { channel, version }),
        Some(newest) if newest > version => Err(Refused::Older { channel, version, newest }),
        _ => Ok(()),
    }
}

/// What a tree that was just put into the repository changes of the release before.
fn compare(repository: &Repository, before: Listed, published: &Published) -> anyhow::Result<(Version, Comparison)> {
    let read = |target: &TargetPath, id: &ManifestId, bytes| {
        anyhow::Ok(VerifiedManifest::verify(&repository.manifest(target, id)?, *id, bytes)?)
    };
    let older = read(&before.path, &before.manifest, before.manifest_bytes)?;
    let newer = read(&published.target, &published.manifest, published.manifest_bytes)?;
    Ok((before.path.version, Comparison::of(&older.entries, &newer.entries)))
}

fn tell_comparison(before: &Version, Comparison { changed, appeared, vanished }: &Comparison) {
    let part = |paths: &Paths, what: &str| format!("{} {what} ({})", paths.paths.len(), megabytes(paths.bytes));
    let parts = [part(changed, "changed"), part(appeared, "new"), part(vanished, "gone")];
    println!("beside {before}: of its paths {}", parts.join(", "));
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    // A template of our own that does not parse would be seen by the first person who publishes.
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn as_json(published: &Published) -> serde_json::Value {
    serde_json::json!({
        "target": published.target.to_string(),
        "release": published.manifest.to_string(),
        "entries": published.entries,
        "tree_bytes": published.tree_bytes,
        "chunks": published.chunks,
        "chunk_bytes": published.chunk_bytes,
        "new_chunks": published.new.chunks,
        "new_bytes": published.new.plain_bytes,
        "new_wire_bytes": published.new.wire_bytes,
        "manifest_bytes": published.manifest_bytes,
        "chunk_list_bytes": published.chunk_list.bytes,
    })
}

fn tell(published: &Published) {
    println!(
        "published {}: {} entries, {} in {} chunks; {} chunks are new, {} ({} compressed)",
        published.target,
        published.entries,
        megabytes(published.tree_bytes),
        published.chunks,
        published.new.chunks,
        megabytes(published.new.plain_bytes),
        megabytes(published.new.wire_bytes),
    );
}
