//! `homeroom root`.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::files::read_file;
use crate::publisher::root::{Draft, TOP_LEVEL};
use crate::publisher::standing::Standing;
use crate::publisher::{founding, keys};
use crate::repository::durable;
use anyhow::Context;
use protocol::limits::ROOT_BYTES_MAX;
use protocol::trust::Role;
use protocol::trust::metadata::Root;
use std::path::{Path, PathBuf};

/// What `homeroom root` is told.
#[derive(clap::Subcommand)]
#[command(
    after_help = "A root names who may sign as root, targets, snapshot and timestamp, and how many must. Draft it, \
let enough people sign it on their own machines, and put it into use:\n\n  \
homeroom root init root.json\n  \
homeroom root add-key root.json --role root --key ann.pub\n  \
homeroom root set-threshold root.json root 2\n  \
homeroom root sign root.json --key /media/ann/ann.pem\n  \
homeroom init /srv/repo --root root.json\n\n\
docs/keys.md has a whole ceremony, with a lost key and a stolen one."
)]
pub enum Verb {
    /// Begin a draft: of a first root, or of the one after another
    Init {
        /// The draft to write
        file: PathBuf,
        /// The root that is in use: REPO/metadata/N.root.json
        #[arg(long, value_name = "ROOT")]
        after: Option<PathBuf>,
    },
    /// Let a key sign as a role; whoever signed the draft before has to sign it again
    AddKey {
        /// The draft
        file: PathBuf,
        /// root, targets, snapshot or timestamp
        #[arg(long, value_parser = top_level, required = true)]
        role: Vec<Role>,
        /// The key: its public half is enough
        #[arg(long, value_name = "KEY")]
        key: PathBuf,
    },
    /// Let a key sign as a role no more
    RemoveKey {
        /// The draft
        file: PathBuf,
        /// root, targets, snapshot or timestamp
        #[arg(long, value_parser = top_level, required = true)]
        role: Vec<Role>,
        /// The key's id, as `root show` and `key list` tell it
        #[arg(long, value_name = "ID")]
        key_id: String,
    },
    /// Say how many keys must sign as a role
    SetThreshold {
        /// The draft
        file: PathBuf,
        /// root, targets, snapshot or timestamp
        #[arg(value_parser = top_level)]
        role: Role,
        /// How many
        threshold: u64,
    },
    /// Sign the draft with one more key, and tell who has to sign yet
    Sign {
        /// The draft
        file: PathBuf,
        /// The secret key
        #[arg(long, value_name = "KEY")]
        key: PathBuf,
        /// The root that is in use, whose keys have to sign the next one too
        #[arg(long, value_name = "ROOT")]
        after: Option<PathBuf>,
    },
    /// Tell who may sign as what, and who has to sign yet
    Show {
        /// A root, drafted or in use
        file: PathBuf,
        /// The root before it
        #[arg(long, value_name = "ROOT")]
        after: Option<PathBuf>,
    },
    /// Put a signed draft into use as a repository's next root
    Rotate {
        /// The draft
        file: PathBuf,
        /// The repository
        #[arg(long, value_name = "DIR")]
        repo: PathBuf,
        /// The keys that sign the other roles' files anew [default: REPO.keys]
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
    },
}

fn top_level(name: &str) -> Result<Role, String> {
    let role = Role::from_name(name);
    match TOP_LEVEL.contains(&role) {
        true => Ok(role),
        false => Err("a root names the keys of root, targets, snapshot and timestamp".to_owned()),
    }
}

/// Drafts, signs and rotates roots.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Init { file, after } => {
            anyhow::ensure!(!file.exists(), "{} exists already; choose another name", file.display());
            let draft = match after {
                Some(root) => Draft::following(read(root)?.signed(), now()?),
                None => Draft::first(now()?),
            };
            println!("{} is a draft of root version {}", file.display(), draft.signed().version);
            write(file, &draft)
        }
        Verb::AddKey { file, role, key } => {
            let public = keys::public_key(key, ask_password)?;
            println!("key {}", public.id());
            change(file, |draft| role.iter().try_for_each(|role| Ok(draft.add_key(role, public.clone())?)))
        }
        Verb::RemoveKey { file, role, key_id } => {
            change(file, |draft| role.iter().try_for_each(|role| Ok(draft.remove_key(role, key_id)?)))
        }
        Verb::SetThreshold { file, role, threshold } => {
            change(file, |draft| Ok(draft.set_threshold(role, *threshold)?))
        }
        Verb::Sign { file, key, after } => {
            let before = after.as_deref().map(read).transpose()?;
            let key = keys::read_key(key, ask_password)?;
            change(file, |draft| Ok(draft.sign(&key, before.as_ref().map(|root| &root.signed().body))?))?;
            tell_standing(&read(file)?, before.as_ref())
        }
        Verb::Show { file, after } => show(&read(file)?, after.as_deref().map(read).transpose()?.as_ref()),
        Verb::Rotate { file, repo, keys } => {
            let keys = keys.clone().unwrap_or_else(|| default_keys(repo));
            let version = founding::rotate(repo, &keys, ask_password, read(file)?.bytes(), now()?)
                .with_context(|| format!("{} was not put into use", file.display()))?;
            println!(
                "{} follows root version {version} now; every device takes it with its next refresh",
                repo.display()
            );
            Ok(())
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Draft> {
    Draft::read(read_file(file, ROOT_BYTES_MAX)?).with_context(|| format!("cannot use {}", file.display()))
}

fn write(file: &Path, draft: &Draft) -> anyhow::Result<()> {
    durable::write(file, draft.bytes()).with_context(|| format!("cannot write {}", file.display()))
}

fn change(file: &Path, change: impl FnOnce(&mut Draft) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut draft = read(file)?;
    change(&mut draft).with_context(|| format!("{} is as it was", file.display()))?;
    write(file, &draft)
}

fn show(draft: &Draft, before: Option<&Draft>) -> anyhow::Result<()> {
    println!("root version {}, expires {}", draft.signed().version, draft.signed().expires);
    for role in TOP_LEVEL {
        let authority = draft.signed().body.authority(&role);
        println!("{role}: {} of {} keys must sign", authority.threshold, authority.keyids.len());
        authority.keyids.iter().for_each(|id| println!("  {id}"));
    }
    tell_standing(draft, before)
}

fn tell_standing(draft: &Draft, before: Option<&Draft>) -> anyhow::Result<()> {
    let say = |whose: &str, root: &Root| -> anyhow::Result<()> {
        let standing = draft.standing(root)?;
        let Standing { signed, missing, threshold } = &standing;
        println!("{} of the {threshold} root keys {whose} that must sign have signed", signed.len());
        if !standing.is_complete() {
            println!("pending; take it to whoever holds one of these:");
            missing.iter().for_each(|id| println!("  {id}"));
        }
        Ok(())
    };
    say("of its own", &draft.signed().body)?;
    before.map_or(Ok(()), |before| say("of the root before", &before.signed().body))
}
