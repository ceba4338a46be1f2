//! `homeroom sign`.

use super::desk::tell_standing;
use super::key::ask_password;
use crate::publisher::change::{CHANGE_BYTES_MAX, Change};
use crate::publisher::files::read_file;
use crate::publisher::keys;
use crate::repository::durable;
use anyhow::Context;
use protocol::policy::Custom;
use std::path::{Path, PathBuf};

/// What `homeroom sign` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example, on the machine where the key is, which needs no network:\n  homeroom sign sugar-2.1.json\n  homeroom sign sugar-2.1.json --key /media/ben/ben.pem\nThe first tells what would be signed, the second signs it; then it goes on to the next person, or back to be put into\nuse with: homeroom finish. A draft of a root is signed with: homeroom root sign."
)]
pub struct Arguments {
    /// The pending change
    file: PathBuf,
    /// The secret key; without one, it is told what the change says
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
}

/// Signs a pending change, or tells what it says.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { file, key } = arguments;
    let mut change = read(file)?;
    match key {
        None => tell(&change),
        Some(key) => {
            let key = keys::read_key(key, ask_password)?;
            change.sign(&key).with_context(|| format!("{} is as it was", file.display()))?;
            durable::write(file, &change.bytes()).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    tell_standing(&change);
    Ok(())
}

/// Reads a pending change.
pub fn read(file: &Path) -> anyhow::Result<Change> {
    let bytes = read_file(file, CHANGE_BYTES_MAX)?;
    let change = Change::read(&bytes).with_context(|| format!("cannot use {}", file.display()))?;
    anyhow::ensure!(!change.parts().is_empty(), "there is no change in {}", file.display());
    Ok(change)
}

fn tell(change: &Change) {
    for part in change.parts() {
        println!("{} metadata, version {}, expires {}", part.role, part.signed.version, part.signed.expires);
        for (path, file) in &part.signed.body.targets {
            let custom = match Custom::read(file.custom.as_ref()) {
                Ok(custom) => custom.to_value().map_or_else(String::new, |custom| format!("  {custom}")),
                Err(_) => "  malformed: no device takes it".to_owned(),
            };
            let sha256 = file.hashes.get("sha256").map_or("", String::as_str);
            println!("  lists {}  {}{custom}", path.escape_debug(), sha256.escape_debug());
        }
        for role in part.signed.body.delegations.iter().flat_map(|delegations| &delegations.roles) {
            let (threshold, keys) = (role.authority.threshold, role.authority.keyids.len());
            println!("  channel {}: {threshold} of {keys} keys must sign", role.name.escape_debug());
            role.authority.keyids.iter().for_each(|id| println!("    {}", id.escape_debug()));
        }
    }
}
