//! Homeroom on a real machine: a device, the school server, the publisher.

pub mod deploy;
pub mod discovery;
pub mod net;
pub mod repository;
pub mod store;
