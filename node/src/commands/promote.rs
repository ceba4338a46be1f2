//! `homeroom promote`.

use super::desk::DeskArguments;
use anyhow::Context;
use protocol::content::name::TargetPath;

/// What `homeroom promote` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  homeroom publish ./sugar --repo /srv/repo --channel stable --version 1.2 --staged\n  homeroom promote stable/sugar_1.2.manifest --repo /srv/repo\nThe first goes to devices of the test ring (see: homeroom enroll --help), the second gives the very same release to all."
)]
pub struct Arguments {
    /// The release, as `homeroom publish` called it: CHANNEL/NAME_VERSION.manifest
    release: TargetPath,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Gives a staged release to every device.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { release, desk: arguments } = arguments;
    let desk = arguments.open()?;
    let promoted = desk.promote(release).map_err(anyhow::Error::from);
    if promoted
        .and_then(|change| arguments.settle(&desk, change))
        .with_context(|| format!("cannot promote {release}"))?
    {
        println!("promoted {release}: it is for every device now");
    }
    Ok(())
}
