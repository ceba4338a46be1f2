//! Node.

pub mod publisher;
