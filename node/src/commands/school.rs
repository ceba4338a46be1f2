//! `homeroom school`.

use super::key::ask_password;
use super::{default_keys, now};
use crate::publisher::files::{read, read_file};
use crate::publisher::founding;
use crate::school::{Office, said};
use anyhow::Context;
use protocol::content::name::TargetPath;
use protocol::limits::ROOT_BYTES_MAX;
use protocol::listed::Listed;
use protocol::school::{GroupName, Terms, assignments};
use protocol::trust::date::Date;
use std::path::{Path, PathBuf};

/// What `homeroom school` is told.
#[derive(clap::Subcommand)]
#[command(
    after_help = "A school says which releases its devices should run, out of those that the publisher lists. Its server \
serves both:\n\n  \
homeroom school init /srv/school\n  \
homeroom run --seed --repo /srv/repo --school /srv/school\n  \
homeroom school assign all stable/sugar_1.0.manifest --school /srv/school --repo /srv/repo\n  \
homeroom school assign class-4 stable/sugar_1.1.manifest --school /srv/school --repo /srv/repo --not-before 2026-11-23T15:00:00Z\n  \
homeroom school hold class-4 --school /srv/school\n\n\
A device belongs to it after: homeroom join --root 1.root.json --group class-4\n\
An older release can be assigned too: that is the way back. docs/school.md tells more."
)]
pub enum Verb {
    /// Make a school, and the keys that sign for it
    Init {
        /// Where it will be
        school: PathBuf,
        /// Where its keys will be, or, with --root, are [default: SCHOOL.keys]
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
        /// The first root, drafted and signed elsewhere (see: homeroom root --help)
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Say which release a group should run, in place of the one before
    Assign {
        /// The group; all devices are in the group "all", and a group's own assignment counts before that
        group: GroupName,
        /// The release, as `homeroom publish` called it: CHANNEL/NAME_VERSION.manifest
        release: TargetPath,
        #[command(flatten)]
        office: OfficeArguments,
        /// The publisher's repository, which must list it
        #[arg(long, value_name = "DIR")]
        repo: PathBuf,
        /// Devices fetch it, and do not apply it before `homeroom school resume`
        #[arg(long)]
        held: bool,
        /// Devices fetch it at once, and apply it no earlier
        #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ")]
        not_before: Option<Date>,
        /// Devices may go forward to it though metadata expired so many days ago
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        stale_grace_days: u16,
    },
    /// Say nothing of a group any more: its devices stay where they are, or do as all
    Unassign {
        /// The group
        group: GroupName,
        #[command(flatten)]
        office: OfficeArguments,
    },
    /// Let no device of a group apply what it is assigned; it is fetched all the same
    Hold {
        /// The group; "all" holds every group
        group: GroupName,
        #[command(flatten)]
        office: OfficeArguments,
    },
    /// Let devices of a group apply what they are assigned
    Resume {
        /// The group; "all" resumes every group
        group: GroupName,
        #[command(flatten)]
        office: OfficeArguments,
    },
    /// Say anew that what is assigned is the newest; a school's server that runs does so daily
    Refresh {
        #[command(flatten)]
        office: OfficeArguments,
        /// Of a school that was restored from a copy: the version that its devices have seen, as `homeroom status` tells
        #[arg(long, value_name = "VERSION", default_value_t = 0)]
        after: u32,
    },
    /// Tell what every group should run
    Show {
        /// The school
        #[arg(long, value_name = "DIR")]
        school: PathBuf,
        /// The publisher's repository: tell also what it does not list any more
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
    },
}

/// The school and its keys.
#[derive(clap::Args)]
pub struct OfficeArguments {
    /// The school
    #[arg(long, value_name = "DIR")]
    school: PathBuf,
    /// The keys that sign [default: SCHOOL.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl OfficeArguments {
    fn open(&self) -> anyhow::Result<Office> {
        self.open_if(false)
    }

    fn open_if(&self, is_sure_of_clock: bool) -> anyhow::Result<Office> {
        let keys = self.keys.clone().unwrap_or_else(|| default_keys(&self.school));
        Ok(Office::open(&self.school, &keys, ask_password, now()?, is_sure_of_clock)?)
    }
}

/// Does what a school is told.
pub fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Init { school, keys, root } => init(&school, keys, root),
        Verb::Assign { group, release, office, repo, held, not_before, stale_grace_days } => {
            let publisher = read(&repo)?;
            let terms = Terms { held, not_before, stale_grace_days };
            office
                .open()?
                .assign(&group, &release, terms, &publisher)
                .with_context(|| format!("cannot assign {release}"))?;
            let when = not_before.map_or_else(String::new, |at| format!(", not before {at}"));
            println!("{group} should run {release}{when}");
            Ok(())
        }
        Verb::Unassign { group, office } => {
            office.open()?.unassign(&group)?;
            println!("nothing is said of {group} any more");
            Ok(())
        }
        Verb::Hold { group, office } => {
            let groups = office.open()?.hold(&group, true)?;
            println!("held: {}; devices fetch what they are assigned, and do not apply it", names(&groups));
            Ok(())
        }
        Verb::Resume { group, office } => {
            let groups = office.open()?.hold(&group, false)?;
            println!("resumed: {}", names(&groups));
            Ok(())
        }
        Verb::Refresh { office, after } => {
            let head = office.open_if(true)?.refresh(after.into())?;
            println!("what is assigned is the newest: version {} of the school's metadata", head.timestamp);
            Ok(())
        }
        Verb::Show { school, repo } => show(&school, repo.as_deref()),
    }
}

fn names(groups: &[GroupName]) -> String {
    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn init(school: &Path, keys: Option<PathBuf>, root: Option<PathBuf>) -> anyhow::Result<()> {
    let keys = keys.unwrap_or_else(|| default_keys(school));
    match root {
        Some(root) => {
            founding::create_under(school, &keys, ask_password, &read_file(&root, ROOT_BYTES_MAX)?, now()?)?;
        }
        None => founding::create(school, &keys, now()?)?,
    }
    // A school's word is fresh for a week, not for a publisher's term.
    Office::open(school, &keys, ask_password, now()?, true)?.refresh(0)?;
    println!("made the school {}; its keys are in {}: never serve them", school.display(), keys.display());
    println!("devices join with {}", school.join("metadata/1.root.json").display());
    Ok(())
}

fn show(school: &Path, repo: Option<&Path>) -> anyhow::Result<()> {
    let set = said(school)?;
    let publisher = repo.map(read).transpose()?;
    let listed: Option<Vec<Listed>> = publisher.as_ref().map(|publisher| Listed::all(publisher).collect());
    let mut any = false;
    for (group, assignment) in assignments(&set) {
        let is_gone = listed.as_ref().is_some_and(|listed| !listed.iter().any(|listed| assignment.is(listed)));
        let gone = if is_gone { "; the publisher does not list it, assign another" } else { "" };
        println!("{group}: {}{}{gone}", assignment.path, assignment.terms.as_ref().map_or_else(unknown, shown));
        any = true;
    }
    if !any {
        println!("no group is assigned anything yet");
    }
    Ok(())
}

fn unknown() -> String {
    ", on terms that this homeroom does not know".to_owned()
}

fn shown(Terms { held, not_before, stale_grace_days }: &Terms) -> String {
    let held = if *held { ", held" } else { "" };
    let not_before = not_before.map_or_else(String::new, |at| format!(", not before {at}"));
    let grace = if *stale_grace_days > 0 { format!(", {stale_grace_days} days of grace") } else { String::new() };
    format!("{held}{not_before}{grace}")
}
