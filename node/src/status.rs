//! What a node says of itself, to people and to scripts.

use crate::net::Network;
use protocol::id::Signer;
use protocol::node::{Idle, Node, Wait};
use protocol::school::{School, Timekeeper, Unfit};
use protocol::trust::{ClockFault, Freshness};
use protocol::update::{Stage, Update};
use serde::{Deserialize, Serialize};

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The publisher's repository, by the SHA-256 of its first root.
    pub repository: String,
    /// Version of the newest whole metadata; nothing before the first.
    pub timestamp: Option<u64>,
    /// How far the metadata can be trusted to be current.
    pub freshness: String,
    /// The school that it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub school: Option<SchoolStatus>,
    /// Peers that are connected.
    pub peers: usize,
    /// Chunks and documents sent to peers so far, in bytes on the wire.
    pub sent_bytes: u64,
    /// Why it goes slowly of its own will: "quiet until 13:00", or "yielding" while others use this host's link.
    pub pace: Option<String>,
    /// The newest release of each channel that the node follows.
    pub releases: Vec<ReleaseStatus>,
    /// Why there is nothing to take, where a person could help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idles: Option<String>,
}

/// What a node knows of its school.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchoolStatus {
    /// The school's repository, by the SHA-256 of its first root.
    pub repository: String,
    /// The device's group; nothing for a seed.
    pub group: Option<String>,
    /// Version of the school's newest whole metadata; nothing before the first.
    pub timestamp: Option<u64>,
    /// How far that can be trusted to be current.
    pub freshness: String,
    /// For how many seconds its server has not been heard from; nothing if it was not since the node started.
    pub silent_s: Option<u64>,
    /// The release that the device should run, if any.
    pub assigned: Option<String>,
    /// Why it does not, where a person could help.
    pub why: Option<String>,
}

/// Where one release stands on a node. Bytes are of this run of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// Its channel.
    pub channel: String,
    /// Its version.
    pub version: String,
    /// Its manifest's SHA-256.
    pub release: String,
    /// heard, preparing, fetching, complete, applying, applied or blocked.
    pub stage: String,
    /// What would help, when it is blocked.
    pub why: Option<String>,
    /// Plain bytes of all its chunks, each once; 0 until its documents are here.
    pub total_bytes: u64,
    /// Plain bytes of the chunks that are here and durable.
    pub held_bytes: u64,
    /// Plain bytes of the chunks that were here when it was prepared.
    pub had_bytes: u64,
    /// Bytes that came from seeds, on the wire.
    pub from_seeds_bytes: u64,
    /// Bytes that came from fellow devices, on the wire.
    pub from_devices_bytes: u64,
    /// Bytes that came twice, on the wire.
    pub duplicate_bytes: u64,
    /// Chunks in all.
    pub chunks: u32,
    /// Chunks that came over the network in this run.
    pub fetched_chunks: u32,
}

impl Status {
    /// The status of a running node.
    pub fn of(node: &Node, network: &Network, sent_bytes: u64) -> Self {
        Self {
            repository: node.trust().repository().to_string(),
            timestamp: node.trust().head().map(|head| head.timestamp),
            freshness: freshness_of(node, Signer::Publisher),
            school: node.school().map(|school| SchoolStatus::of(node, school)),
            peers: network.peer_count(),
            sent_bytes,
            pace: None,
            releases: node.updates().map(|update| ReleaseStatus::of(node, update)).collect(),
            idles: idles(node),
        }
    }
}

/// Why a node has nothing to take, in a sentence.
pub fn idles(node: &Node) -> Option<String> {
    let channel = &node.policy()?.channel;
    Some(match node.idles()? {
        Idle::EmptyChannel => format!(
            "the publisher lists no release in the channel {channel}; if that is misspelled, remove this home and enroll it \
             again"
        ),
        Idle::Withdrawn(version) => format!(
            "{version} was withdrawn by its publisher, and this device stays there until there is a newer release in \
             {channel}"
        ),
        Idle::BelowFloor(path) => format!(
            "{path} is not taken: this device has run a release below which its publisher lets nobody go, and this one's \
             release counter is lower; ask the publisher"
        ),
    })
}

impl SchoolStatus {
    /// Of a node, running or not.
    pub fn of(node: &Node, school: &School) -> Self {
        let trust = school.chain.trust();
        let (assignment, found) = node.assigned().unzip();
        let why = found.and_then(Result::err).map(|unfit| match unfit {
            Unfit::NotListed => "its publisher lists no such release, or took it back; assign another".to_owned(),
            Unfit::OtherHardware => "it is for other hardware than this device's; assign another".to_owned(),
            Unfit::UnknownTerms => "on terms that this homeroom does not know; use a newer homeroom".to_owned(),
            Unfit::BehindWaypoint(path) => {
                format!("its publisher lets nobody pass by {path}, which lies between; assign that first")
            }
            Unfit::BelowFloor => {
                "this device has run a release below which its publisher lets nobody go; assign a newer".to_owned()
            }
        });
        Self {
            repository: trust.repository().to_string(),
            group: school.group.as_ref().map(ToString::to_string),
            timestamp: trust.head().map(|head| head.timestamp),
            freshness: freshness_of(node, Signer::School),
            silent_s: node.school_silent_s(),
            assigned: assignment.map(|assignment| assignment.path.to_string()),
            why,
        }
    }
}

impl ReleaseStatus {
    fn of(node: &Node, update: &Update) -> Self {
        let swarm = node.swarm(update.listed.manifest);
        let tally = swarm.map(|swarm| swarm.tally()).unwrap_or_default();
        let why = match &update.stage {
            Stage::Blocked { why, .. } => Some(why.clone()),
            Stage::Complete => node.waits_for(&update.listed).map(|wait| {
                let help = if wait.yields_to_a_person() { "; or run: homeroom apply" } else { "" };
                waits(node, wait) + help
            }),
            _ => None,
        };
        Self {
            channel: update.listed.path.channel.to_string(),
            version: update.listed.path.version.to_string(),
            release: update.listed.manifest.to_string(),
            stage: update.stage_name().to_owned(),
            why,
            total_bytes: update.release.as_ref().map_or(0, |release| release.total_bytes()),
            held_bytes: swarm.map_or(0, |swarm| swarm.held_bytes()),
            had_bytes: swarm.map_or(0, |swarm| swarm.had_bytes()),
            from_seeds_bytes: tally.from_seeds_bytes,
            from_devices_bytes: tally.from_devices_bytes,
            duplicate_bytes: tally.duplicate_bytes,
            chunks: swarm.map_or(0, |swarm| swarm.held().len()),
            fetched_chunks: tally.chunks,
        }
    }

    /// Whether there is nothing left to do for this release.
    pub fn is_applied(&self) -> bool {
        self.stage == "applied"
    }
}

/// Why what is complete is not applied by itself.
pub fn waits(node: &Node, wait: Wait) -> String {
    match wait {
        Wait::ForPerson => "waits for a person, as this node was told".to_owned(),
        Wait::Stale(signer, age) => {
            format!("the {signer}'s metadata is {}", freshness(age, node.timekeeper(signer)))
        }
        Wait::Equivocation(signer) => {
            format!("waits: the {signer}'s keys signed two different things; ask the {signer}")
        }
        Wait::Held => "waits: the school holds it".to_owned(),
        Wait::NotBefore(at) => format!("waits: the school says not before {at}"),
    }
}

fn freshness_of(node: &Node, signer: Signer) -> String {
    let words = |age| freshness(age, node.timekeeper(signer));
    node.freshness(signer).map_or_else(|| "unknown".to_owned(), words)
}

/// What the metadata's age means for people, and what to do about it.
fn freshness(freshness: Freshness, timekeeper: Timekeeper) -> String {
    let since =
        |age_s: Option<u64>| age_s.map_or_else(String::new, |age_s| format!(", {} since it was signed", days(age_s)));
    let fault = match freshness {
        Freshness::Incomplete => return "no complete metadata yet".to_owned(),
        Freshness::Fresh { age_s } => return format!("fresh{}", since(age_s)),
        Freshness::Stale { role, expired_s, age_s } => {
            let clock = match timekeeper {
                Timekeeper::Device => "the clock",
                Timekeeper::Server => "the clock of the school's server",
            };
            return format!(
                "stale{}: trusted, but the {role} metadata expired {} ago, so nothing is applied by itself; \
                 connect the school to its publisher, or set {clock} if it is ahead",
                since(age_s),
                days(expired_s),
            );
        }
        Freshness::TimeUnverified(fault) => fault,
    };
    let words = match (fault, timekeeper) {
        (ClockFault::Behind { .. }, Timekeeper::Device) => {
            "the clock is wrong, it shows a time before the metadata was signed; set it"
        }
        (ClockFault::FarAhead, Timekeeper::Device) => "the clock is wrong, it is years ahead of the metadata; set it",
        (ClockFault::Behind { .. }, Timekeeper::Server) => {
            "the school's server states a time before the metadata was signed; its clock is wrong, or was when it \
             signed: set it on the server"
        }
        (ClockFault::FarAhead, Timekeeper::Server) => {
            "the clock of the school's server is wrong, it is years ahead of the metadata; set it on the server"
        }
    };
    format!("time unverified: {words}")
}

fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_to_set_a_clock_is_named() {
        let faults = [ClockFault::Behind { seconds: 1 }, ClockFault::FarAhead].map(Freshness::TimeUnverified);
        let stale = Freshness::Stale { role: protocol::trust::Role::Timestamp, expired_s: 1, age_s: None };
        for age in faults.into_iter().chain([stale]) {
            assert!(freshness(age.clone(), Timekeeper::Server).contains("server"), "{age:?}");
            let own = freshness(age.clone(), Timekeeper::Device);
            assert!(own.contains("clock") && !own.contains("server"), "{own}");
        }
    }
}
