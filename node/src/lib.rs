//! Homeroom on a real machine: a device, the school server, the publisher.

pub mod discovery;
pub mod net;
pub mod repository;
