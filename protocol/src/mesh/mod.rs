//! WHO HAS IT: which peers hold which chunks of a release, what to ask of whom, what to send to whom.
//!
//! This wing knows chunks by their index in a release's chunk list and never touches bytes, keys or
//! manifests. A [`Swarm`] is one release as this node and its peers hold it, and [`Swarms`] are all in
//! which the node takes part; [`Uploads`] is what peers have asked of this node; `spread` is how a seed
//! chooses what to send to a peer that leaves the choice to it; `picker` orders chunks by rarity;
//! [`Pace`] says how fast. Methods return what should be said or done; `node.rs` turns that into outputs.
//!
//! The policy in one breath: a device asks its fellow devices for chunks that they announced, rarest
//! first, and gives each seed a credit of chunks to send unasked; a seed spends the credit on chunks
//! that no device holds yet, so that it sends each about once. A device that starves asks the seed by
//! name.

mod bucket;
mod by_peer;
mod in_flight;
mod pace;
mod peers;
mod picker;
mod source;
mod spread;
mod swarm;
mod swarms;
mod uploads;

pub use bucket::Bucket;
pub use pace::{Caps, Carried, Pace, Traffic};
pub use peers::Peers;
pub use swarm::{Ask, Swarm, Tally};
pub use swarms::Swarms;
pub use uploads::{Chooser, Grant, Uploads};

use serde::{Deserialize, Serialize};

/// Which rules of the swarm are at work: all, but in an experiment that asks what one of them is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// A device gives a seed credit, to spend on what no device holds; without, it asks a seed by name like any peer.
    pub super_seeding: bool,
    /// A device asks more of a peer that delivers faster; without, it asks the same of each.
    pub load_aware: bool,
}

impl Default for Strategy {
    fn default() -> Self {
        Self { super_seeding: true, load_aware: true }
    }
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Takes releases of one channel, applies them, and shares what it holds.
    Device,
    /// Keeps whole channels and stays: the school server.
    Seed,
}
