//! `homeroom enroll`.

use super::HomeArgument;
use crate::store::home::Home;
use anyhow::Context;
use protocol::content::name::ChannelName;
use protocol::trust::TrustedSet;
use std::path::PathBuf;

/// What `homeroom enroll` is told.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  homeroom enroll --root /media/usb/1.root.json --channel stable")]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
    /// Version 1 of the publisher's root metadata, which you vouch for: REPO/metadata/1.root.json
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The channel to follow
    #[arg(long)]
    channel: ChannelName,
}

/// Fixes a device's publisher and channel.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { home, root, channel } = arguments;
    let home = home.path();
    let bytes = std::fs::read(&root)
        .with_context(|| format!("cannot read {}; name the publisher's 1.root.json", root.display()))?;
    let trust = TrustedSet::pin(&bytes)
        .with_context(|| format!("{} is not version 1 of a publisher's root", root.display()))?;
    Home::enroll(&home, &trust, &channel)?;
    println!("{} follows channel {channel} of repository {}", home.display(), trust.repository());
    Ok(())
}
