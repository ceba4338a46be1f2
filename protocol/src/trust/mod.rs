//! WHO may say so: TUF metadata, keys, the trusted set. Knows no peer and no chunk.
//!
//! The trust of a repository hangs on one chain. The **root** role names the keys of all four
//! top-level roles, its own included; a new root needs the old root's signatures beside its own.
//! **timestamp** names one snapshot, **snapshot** names one version of every other file, **targets**
//! delegates each channel to a role of its own, and a channel's role lists its manifests by length
//! and SHA-256. Each is a JSON file of [TUF 1.0.34](https://theupdateframework.github.io/specification/)
//! that any other TUF program can read and write.
//!
//! Files come from anybody. [`TrustedSet`] takes them one by one, in any order, from any peer, and
//! believes each only when the chain reaches it; a refused file changes nothing. What it still
//! misses it tells with [`TrustedSet::needs`]; who is at fault, with [`Rejection::blame`].
//!
//! In reading order: [`json`] (one reading of a file, one form to sign), [`date`], [`role`], [`key`],
//! [`envelope`] (what all files share), [`metadata`] (the four kinds of file), [`verify`] (the one signature check), [`delegation`] (who
//! may name which path), [`search`] (where the search for a path ends), `held` (a file that is believed), `role_file` (a targets file and its delegators' word), `tree` (which of them count), [`trusted_set`], [`complete_set`], [`rejection`]; and [`sign`], the publisher's side; [`stated_time`], for whose clock is dead.

pub mod complete_set;
pub mod date;
pub mod delegation;
pub mod envelope;
mod held;
pub mod json;
pub mod key;
pub mod metadata;
pub mod rejection;
pub mod role;
mod role_file;
pub mod search;
pub mod sign;
pub mod stated_time;
mod tree;
pub mod trusted_set;
pub mod verify;

pub use complete_set::{ClockFault, Freshness, Target};
pub use rejection::{Blame, Rejection};
pub use role::Role;
pub use trusted_set::{Accepted, Head, Need, Resolution, RestoreError, TrustedSet};

#[cfg(test)]
mod attacks;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod siblings;
#[cfg(test)]
mod vouched;
