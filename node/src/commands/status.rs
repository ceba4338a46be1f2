//! `homeroom status`.

use super::{HomeArgument, now};
use crate::control::{self, Request};
use crate::report::megabytes;
use crate::status::{SchoolStatus, Status, idles};
use crate::store::home::Home;
use crate::store::node_at_rest;
use std::path::Path;

/// What `homeroom status` is told.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Tells where a device stands, whether it runs or not.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let home = arguments.home.path();
    let status: Option<Status> = match control::ask(&home, Request::Status)? {
        Some(answer) => Some(serde_json::from_str(&answer)?),
        None => None,
    };
    let resting = match &status {
        Some(_) => None,
        None => Some(Resting::open(&home)?),
    };
    let (current, previous) = match &resting {
        Some(resting) => (resting.current.clone(), resting.previous.clone()),
        None => (link(&home, "current"), link(&home, "previous")),
    };
    if arguments.json {
        let school = status.as_ref().map_or_else(|| resting.and_then(|it| it.school), |it| it.school.clone());
        let told = serde_json::json!({
            "running": status, "current": current, "previous": previous, "school": school,
        });
        println!("{told}");
        return Ok(());
    }
    println!("current:  {}", current.as_deref().unwrap_or("nothing is applied yet"));
    println!("previous: {}", previous.as_deref().unwrap_or("none"));
    status.iter().for_each(tell);
    if let Some(resting) = resting {
        resting.school.iter().for_each(tell_school);
        resting.idles.iter().for_each(|why| println!("{why}"));
        println!("not running; start it with: homeroom run --home {}", home.display());
    }
    Ok(())
}

/// A home that nobody runs.
struct Resting {
    current: Option<String>,
    previous: Option<String>,
    school: Option<SchoolStatus>,
    idles: Option<String>,
}

impl Resting {
    /// Opening it checks that it is enrolled and whole.
    fn open(home: &Path) -> anyhow::Result<Self> {
        let opened = Home::open(home)?;
        let node = node_at_rest(&opened, now().ok())?;
        Ok(Resting {
            current: opened.deployment.current().map(str::to_owned),
            previous: opened.deployment.previous().map(str::to_owned),
            school: node.school().map(|school| SchoolStatus::of(&node, school)),
            idles: idles(&node),
        })
    }
}

fn link(home: &Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(home.join(name)).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

fn tell(status: &Status) {
    println!("metadata: version {}, {}", status.timestamp.unwrap_or_default(), status.freshness);
    if let Some(school) = &status.school {
        tell_school(school);
        match school.silent_s {
            Some(seconds) => {
                println!("  its server has proven itself and stated the time {} minutes ago", seconds / 60)
            }
            None if school.group.is_some() => {
                println!("  its server has not proven itself since this device was started")
            }
            None => {}
        }
    }
    println!("peers:    {}", status.peers);
    println!("sent:     {}", megabytes(status.sent_bytes));
    status.pace.iter().for_each(|pace| println!("pace:     {pace}"));
    for release in &status.releases {
        println!(
            "{} {}: {}; {} of {}; {} here before, {} from the school, {} from laptops",
            release.channel,
            release.version,
            release.stage,
            megabytes(release.held_bytes),
            megabytes(release.total_bytes),
            megabytes(release.had_bytes),
            megabytes(release.from_seeds_bytes),
            megabytes(release.from_devices_bytes),
        );
        release.why.iter().for_each(|why| println!("  {why}"));
    }
    status.idles.iter().for_each(|why| println!("{why}"));
}

fn tell_school(school: &SchoolStatus) {
    println!("school:   version {}, {}", school.timestamp.unwrap_or_default(), school.freshness);
    if let Some(group) = &school.group {
        println!("  {group} should run {}", school.assigned.as_deref().unwrap_or("nothing yet"));
    }
    school.why.iter().for_each(|why| println!("  {why}"));
}
