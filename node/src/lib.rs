//! A device, the school server and the publisher: Homeroom on a real machine.

pub mod deploy;
pub mod repository;
