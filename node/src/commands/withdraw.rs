//! `homeroom withdraw`.

use super::desk::DeskArguments;
use anyhow::Context;
use protocol::content::name::TargetPath;

/// What `homeroom withdraw` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  homeroom withdraw stable/sugar_1.1.manifest --repo /srv/repo\nDevices that have applied it stay there until a higher version is published; no other device applies it once it hears.\nIts version is not given to another release."
)]
pub struct Arguments {
    /// The release, as `homeroom publish` called it: CHANNEL/NAME_VERSION.manifest
    release: TargetPath,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Takes a release back.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { release, desk: arguments } = arguments;
    let desk = arguments.open()?;
    let withdrawn = desk.withdraw(release).map_err(anyhow::Error::from);
    if withdrawn
        .and_then(|change| arguments.settle(&desk, change))
        .with_context(|| format!("cannot withdraw {release}"))?
    {
        println!("withdrew {release}: no device that hears of it applies it any more");
    }
    Ok(())
}
