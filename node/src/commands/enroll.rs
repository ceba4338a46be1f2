//! `homeroom enroll`.

use super::HomeArgument;
use crate::store::home::Home;
use anyhow::Context;
use protocol::content::name::ChannelName;
use protocol::content::version::Maturity;
use protocol::policy::{HardwareId, Policy};
use protocol::trust::TrustedSet;
use std::path::PathBuf;

/// What `homeroom enroll` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  homeroom enroll --root /media/usb/1.root.json --channel stable
  homeroom enroll --root 1.root.json --channel stable --maturity rc --test-ring --hardware xo-1.75

A device takes the highest version of its channel, with these exceptions: none that is less mature than it was told here
(1.0a1 is alpha, as is 1.0.dev1; 1.0b1 is beta, 1.0rc1 rc, 1.0 stable); none that is staged, unless it is of the test
ring; and none that is for other hardware. Behind a release that its publisher calls required, it takes that first.")]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
    /// Version 1 of the publisher's root metadata, which you vouch for: REPO/metadata/1.root.json
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The channel to follow
    #[arg(long)]
    channel: ChannelName,
    /// Take nothing less mature: stable, rc, beta or alpha
    #[arg(long, default_value_t = Maturity::Stable)]
    maturity: Maturity,
    /// Take staged releases too, which are to be tried out before everybody gets them
    #[arg(long)]
    test_ring: bool,
    /// What this device is, as its publisher calls it
    #[arg(long, value_name = "ID")]
    hardware: Option<HardwareId>,
}

/// Fixes a device's publisher, and what it takes of it.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { home, root, channel, maturity, test_ring, hardware } = arguments;
    let home = home.path();
    let bytes = std::fs::read(&root)
        .with_context(|| format!("cannot read {}; name the publisher's 1.root.json", root.display()))?;
    let trust = TrustedSet::pin(&bytes)
        .with_context(|| format!("{} is not version 1 of a publisher's root", root.display()))?;
    let policy = Policy { channel, maturity, test_ring, hardware };
    Home::enroll(&home, &trust, &policy)?;
    println!("{} follows channel {} of repository {}", home.display(), policy.channel, trust.repository());
    Ok(())
}
