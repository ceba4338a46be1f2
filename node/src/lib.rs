//! Homeroom on a real machine.

pub mod net;
