//! The rules of the Homeroom mesh, as plain state machines.
//!
//! Nothing here does I/O, reads a clock, starts a thread or draws randomness of its own: a driver
//! (the `node` crate on a real machine, the `simulator` crate in virtual time) hands in every
//! [`Input`](input::Input) with the time it happened, and carries out every
//! [`Output`](output::Output). Both drivers therefore run the very same decisions.
//!
//! Modules in reading order:
//!
//! 1. the ground floor: [`id`], [`time`], [`limits`], [`rng`], [`cbor`], [`bitmap`];
//! 2. the wings, which do not know each other: [`content`] (what is shared), [`trust`] (who may say
//!    so), [`mesh`] (who has it);
//! 3. what crosses the seam: [`message`] (between peers), [`input`] and [`output`] (between a node
//!    and its driver);
//! 4. the nouns above the wings: [`refresh`] (catching up with metadata), [`fetch`] (one document from
//!    peers), [`policy`] (what a publisher says of a release, and what a device takes), [`listed`] (the releases that a
//!    publisher lists, and which of them a node should have), [`update`] (the life of one release on one node);
//! 5. [`node`], which only dispatches.

pub mod bitmap;
pub mod cbor;
pub mod chain;
pub mod content;
pub mod fetch;
pub mod id;
pub mod input;
pub mod limits;
pub mod listed;
pub mod mesh;
pub mod message;
pub mod node;
pub mod output;
pub mod policy;
pub mod refresh;
pub mod rng;
pub mod school;
pub mod time;
pub mod trust;
pub mod update;
