//! `homeroom status`.

use super::HomeArgument;
use crate::control::{self, Request};
use crate::report::megabytes;
use crate::status::Status;
use crate::store::home::Home;

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
    let (current, previous) = match &status {
        Some(_) => (link(&home, "current"), link(&home, "previous")),
        None => resting(&home)?,
    };
    if arguments.json {
        println!("{}", serde_json::json!({ "running": status, "current": current, "previous": previous }));
        return Ok(());
    }
    println!("current:  {}", current.as_deref().unwrap_or("nothing is applied yet"));
    println!("previous: {}", previous.as_deref().unwrap_or("none"));
    match status {
        Some(status) => tell(&status),
        None => println!("not running; start it with: homeroom run --home {}", home.display()),
    }
    Ok(())
}

/// The applied trees of a home that nobody runs. Opening it checks that it is enrolled and whole.
fn resting(home: &std::path::Path) -> anyhow::Result<(Option<String>, Option<String>)> {
    let opened = Home::open(home)?;
    opened.chains()?;
    Ok((opened.deployment.current().map(str::to_owned), opened.deployment.previous().map(str::to_owned)))
}

fn link(home: &std::path::Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(home.join(name)).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

fn tell(status: &Status) {
    println!("metadata: version {}, {}", status.timestamp.unwrap_or_default(), status.freshness);
    if let Some(school) = &status.school {
        let (timestamp, freshness) = (school.timestamp.unwrap_or_default(), &school.freshness);
        println!("school:   version {timestamp}, {freshness}");
        match school.silent_s {
            Some(seconds) => {
                println!("  its server has proven itself and stated the time {} minutes ago", seconds / 60)
            }
            None if school.group.is_some() => {
                println!("  its server has not proven itself since this device was started")
            }
            None => {}
        }
        if let Some(group) = &school.group {
            println!("  {group} should run {}", school.assigned.as_deref().unwrap_or("nothing yet"));
        }
        school.why.iter().for_each(|why| println!("  {why}"));
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
}
