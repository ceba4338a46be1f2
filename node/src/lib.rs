//! Node.
pub mod repository;
