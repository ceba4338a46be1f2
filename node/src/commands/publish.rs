//! `homeroom publish`.

use super::desk::DeskArguments;
use crate::publisher::channel::Channel;
use crate::publisher::files::read_file;
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
use protocol::limits::CUSTOM_BYTES_MAX;
use protocol::listed::Listed;
use protocol::policy::{Custom, CustomError, HardwareId};
use protocol::trust::Target;
use protocol::trust::json::Json;
use serde_json::{Map, Value};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// So many of the paths that would vanish are named.
const VANISHING_SHOWN: usize = 5;

/// What `homeroom publish` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.0 --new
  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.2.1
  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.3 --staged
  homeroom publish ./sugar --repo /srv/repo --channel stable --version 2.0 --required --hardware xo-1.75 --hardware xo-4
  homeroom publish ./sugar --repo /srv/repo --channel stable --version 2.1 --pending sugar-2.1.json

The release counter tells devices what they must not go below: raise it, by one, with a release that mends what must
never come back, and at no other time. Without --release-counter a release has the highest that its channel has had.

Where fewer keys are here than must sign, --pending writes what is to be signed: see homeroom sign and homeroom finish.")]
pub struct Arguments {
    /// The directory to publish
    tree: PathBuf,
    #[command(flatten)]
    desk: DeskArguments,
    /// The channel, such as stable, or apps/maker
    #[arg(long)]
    channel: ChannelName,
    /// The release's version, by PEP 440 (1.0, 2026.11, 1.0rc1)
    #[arg(long)]
    version: Version,
    /// A name for the tree, for people
    #[arg(long, default_value = "tree")]
    name: TreeName,
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
    /// A waypoint: devices that have an older release take this one before any later one
    #[arg(long)]
    required: bool,
    /// Only for devices of the test ring, until: homeroom promote
    #[arg(long, visible_alias = "stage")]
    staged: bool,
    /// What devices must not go below [default: the highest that the channel has had]
    #[arg(long, value_name = "N")]
    release_counter: Option<u64>,
    /// Let the release counter be lower than it was
    #[arg(long)]
    allow_lower_counter: bool,
    /// Only for this hardware; can be repeated
    #[arg(long, value_name = "ID")]
    hardware: Vec<HardwareId>,
    /// Fields of your own to say of the release, as a JSON object; devices keep them and do not look at them
    #[arg(long, value_name = "FILE")]
    custom: Option<PathBuf>,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
}

/// Why a tree cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
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
    /// What the publisher wants to say of it is no object of strict JSON.
    #[error("{} is not one JSON object without floating-point numbers; write fractions as strings", path.display())]
    Custom {
        /// The file.
        path: PathBuf,
    },
    /// A field of the publisher's own has a name that means something.
    #[error("{} says {field:?}, which has an option of its own; leave it out there", path.display())]
    Reserved {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
}

/// Publishes a tree: content first, then its metadata, then one switch of the timestamp.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    refuse_keys_in_tree(&arguments)?;
    let (mut repository, desk) = (Repository::open_to_publish(arguments.desk.repo())?, arguments.desk.open()?);
    let channel = desk.channel(&arguments.channel)?;
    let is_new = arguments.new || (channel.highest().is_none() && desk.channels().get(&arguments.channel).is_some());
    channel.check_version(&arguments.version, is_new)?;
    let custom = custom(&arguments, &channel)?;
    let of_channel = Listed::all(desk.trust()).filter(|listed| listed.path.channel == arguments.channel);
    let before = of_channel.max_by(|a, b| a.path.version.cmp(&b.path.version));

    let Arguments {
        tree, desk: arguments, channel, version, name, allow_remove, allow_setuid, mtime, epoch, json, ..
    } = arguments;
    let target = TargetPath { channel, name, version };
    let options = PublishOptions { allow_setuid, mtime_s: mtime, epoch, own_keys: desk.key_ids() };
    let bar = progress_bar();
    let published = publish_tree(&mut repository, &tree, &target, &options, &mut |progress: Progress| {
        bar.set_length(progress.tree_bytes);
        bar.set_position(progress.read_bytes);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let comparison = before.map(|before| compare(&repository, before, &published)).transpose()?;
    if !allow_remove {
        comparison.as_ref().map_or(Ok(()), |(before, comparison)| refuse_vanishing(before, comparison))?;
    }
    let Published { manifest, manifest_bytes, .. } = published;
    let entry = Target { length: manifest_bytes, sha256: manifest.0, custom: custom.to_value() };
    let change = desk.list(&target, entry).with_context(|| format!("cannot sign {target}"))?;
    let released = arguments.settle(&desk, change).with_context(|| format!("cannot sign {target}"))?;
    if json {
        println!("{}", as_json(&published, released));
    } else {
        tell(&published, released);
        comparison.iter().for_each(|(before, comparison)| tell_comparison(before, comparison));
    }
    Ok(())
}

/// What is said of the release beside its manifest.
fn custom(arguments: &Arguments, channel: &Channel) -> anyhow::Result<Custom> {
    let Arguments { release_counter, allow_lower_counter, epoch, required, staged, hardware, custom: file, .. } =
        arguments;
    let own = file.as_deref().map(read_custom).transpose()?.unwrap_or_default();
    let custom = Custom {
        release_counter: channel.next_counter(*release_counter, *allow_lower_counter)?,
        epoch: *epoch,
        required: *required,
        staged: *staged,
        hardware: (!hardware.is_empty()).then(|| hardware.iter().cloned().collect()),
        own,
    };
    custom.check().context("cannot say that of a release")?;
    Ok(custom)
}

/// The publisher's own fields.
fn read_custom(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let bytes = read_file(path, CUSTOM_BYTES_MAX as u64)?;
    if bytes.len() > CUSTOM_BYTES_MAX {
        return Err(CustomError::TooLong).with_context(|| format!("cannot say what {} says", path.display()));
    }
    // Metadata has no floating-point numbers, and no key twice.
    let strict = Json::parse(&bytes).ok().and_then(|_| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
    let own = strict.ok_or_else(|| Refused::Custom { path: path.to_owned() })?;
    match Custom::FIELDS.into_iter().find(|field| own.contains_key(*field)) {
        Some(field) => Err(Refused::Reserved { path: path.to_owned(), field }.into()),
        None => Ok(own),
    }
}

fn refuse_keys_in_tree(Arguments { tree, desk, .. }: &Arguments) -> Result<(), Refused> {
    match (tree.canonicalize(), desk.keys().canonicalize()) {
        (Ok(tree), Ok(keys)) if keys.starts_with(&tree) => Err(Refused::KeysInTree { tree, keys }),
        _ => Ok(()),
    }
}

fn refuse_vanishing(before: &Version, Comparison { vanished, .. }: &Comparison) -> Result<(), Refused> {
    let (before, count) = (before.clone(), vanished.paths.len());
    let examples = vanished.paths.iter().take(VANISHING_SHOWN).map(|path| path.escape_ascii().to_string()).collect();
    if count == 0 { Ok(()) } else { Err(Refused::Vanishing { before, count, examples }) }
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

fn as_json(published: &Published, released: bool) -> Value {
    serde_json::json!({
        "target": published.target.to_string(),
        "released": released,
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

fn tell(published: &Published, released: bool) {
    println!(
        "{} {}: {} entries, {} in {} chunks; {} chunks are new, {} ({} compressed)",
        if released { "published" } else { "in the repository, and not released yet, is" },
        published.target,
        published.entries,
        megabytes(published.tree_bytes),
        published.chunks,
        published.new.chunks,
        megabytes(published.new.plain_bytes),
        megabytes(published.new.wire_bytes),
    );
}
