//! `homeroom apply`.

use super::HomeArgument;
use crate::control::{self, Request};
use crate::status::Status;
use crate::store::home::Home;
use crate::store::{Offline, apply_offline};
use anyhow::bail;

/// What `homeroom apply` is told.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
}

/// Applies what is complete: the running node does it, or this process where none runs.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let home = arguments.home.path();
    let Some(answer) = control::ask(&home, Request::Apply)? else {
        match apply_offline(Home::open(&home)?, super::now()?)? {
            Offline::Applied(version) => println!("{version} is applied"),
            Offline::AlreadyApplied(version) => println!("{version} is applied already"),
        }
        return Ok(());
    };
    let status: Status = serde_json::from_str(&answer)?;
    let Some(release) = status.releases.first() else { bail!("no release is known yet; wait until a peer is found") };
    match release.stage.as_str() {
        "applying" => println!("{} is being applied", release.version),
        "applied" => println!("{} is applied already", release.version),
        "complete" => bail!("{} {}", release.version, release.why.as_deref().unwrap_or("waits; see: homeroom status")),
        stage => bail!("{} is not complete yet ({stage}); see: homeroom status", release.version),
    }
    Ok(())
}
