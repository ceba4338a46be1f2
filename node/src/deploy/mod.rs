//! A release into a directory, all or nothing.
//!
//! This folder owns the trees of a device's home:
//!
//! ```text
//! HOME/                         0755
//!   releases/<name>/            applied trees, at most two; <name> = <version>-<12 digits of the manifest's id>
//!   staging/<name>/             a tree being filled, in a directory of mode 0700
//!   current  -> releases/<name> what the device runs; one rename switches it
//!   previous -> releases/<name> what it ran before
//! ```
//!
//! A [`Staging`] gets every chunk at its places. [`Deployment::apply`] verifies all of it again, sets
//! links and attributes, moves the tree to `releases/`, makes everything durable, and only then
//! switches: `.before` is made to lead where `current` leads, `.next` to the new tree; `.next` is
//! renamed to `current`, then `.before` to `previous`. Whatever moment the power fails at, the links
//! tell [`Deployment::open`] which side of the first rename it was: `.before` leads somewhere else
//! than `current` only after it. An applied tree is never written to.
//!
//! In reading order: [`deployment`](Deployment) (the home), [`need`](Need) (is there room),
//! [`staging`](Staging), [`reuse`](reuse()) (what is here already), [`apply`](Applied), `attributes`,
//! [`tree`](Tree) (reading), [`verify`](verify()); beneath them `directory` (every system call),
//! `handles`, `trash`.

mod apply;
mod attributes;
mod deployment;
mod directory;
mod handles;
mod need;
mod power;
mod reuse;
mod staging;
mod trash;
mod tree;
mod verify;

#[cfg(test)]
mod power_cuts;
#[cfg(test)]
mod room;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use apply::{Applied, ApplyError};
pub use attributes::{Authority, Skipped};
pub use deployment::{Deployment, HomeError, tree_name, tree_name_of};
pub use need::{DiskFull, Need};
pub use reuse::reuse;
pub use staging::{StageError, Staging, WriteError};
pub use trash::remove_tree;
pub use tree::{ReadError, Tree};
pub use verify::{Difference, What, verify};
