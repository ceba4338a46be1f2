//! `homeroom join` and `homeroom leave`.

use super::HomeArgument;
use crate::store::home::{Home, OpenError};
use anyhow::Context;
use protocol::id::Signer;
use protocol::school::{ALL, GroupName};
use protocol::trust::TrustedSet;
use std::path::PathBuf;

/// What `homeroom join` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  homeroom join --root /media/usb/1.root.json --group class-4\nFrom then on the device applies only what both its publisher lists and this school assigns to its group."
)]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
    /// Version 1 of the school's root metadata, which you vouch for: SCHOOL/metadata/1.root.json
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The group that the device is in
    #[arg(long, default_value = ALL)]
    group: GroupName,
}

/// What `homeroom leave` is told.
#[derive(clap::Args)]
pub struct LeaveArguments {
    #[command(flatten)]
    home: HomeArgument,
}

/// Fixes a device's school, or moves it to another group there.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { home, root, group } = arguments;
    let bytes = std::fs::read(&root)
        .with_context(|| format!("cannot read {}; name the school's 1.root.json", root.display()))?;
    let school =
        TrustedSet::pin(&bytes).with_context(|| format!("{} is not version 1 of a school's root", root.display()))?;
    let path = home.path();
    let mut home = Home::open(&path)?;
    let before = match home.chains() {
        // What is spoilt of a school is made good by the root that a person vouches for now.
        Err(OpenError::Group(_) | OpenError::Trust { signer: Signer::School, .. }) => None,
        chains => chains?.school,
    };
    let publisher = home.publisher()?;
    anyhow::ensure!(
        school.repository() != publisher.trust().repository(),
        "{} is the publisher's root; name the school's",
        root.display()
    );
    let files = match &before {
        None => school.files(),
        Some(before) if before.chain.trust().repository() == school.repository() => before.chain.files(),
        Some(before) => anyhow::bail!(
            "{} has joined the school {} already; run first: homeroom leave",
            path.display(),
            before.chain.trust().repository()
        ),
    };
    home.state.join(&group.to_string(), &files)?;
    println!("{} is in group {group} of school {}", path.display(), school.repository());
    Ok(())
}

/// Frees a device of its school.
pub fn leave(arguments: LeaveArguments) -> anyhow::Result<()> {
    let path = arguments.home.path();
    let mut home = Home::open(&path)?;
    anyhow::ensure!(home.state.group()?.is_some(), "{} has joined no school", path.display());
    home.state.leave()?;
    println!("{} belongs to no school any more; it follows its publisher alone", path.display());
    Ok(())
}
