//! Node.

pub mod deploy;
