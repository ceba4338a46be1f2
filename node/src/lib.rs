//! Homeroom on a real machine: a device, the school server, the publisher.

pub mod commands;
pub mod control;
pub mod daemon;
pub mod deploy;
pub mod dialler;
pub mod discovery;
pub mod interrupt;
pub mod meter;
pub mod net;
pub mod place;
pub mod publisher;
pub mod quiet;
pub mod report;
pub mod repository;
pub mod school;
pub mod status;
pub mod store;
