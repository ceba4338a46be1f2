//! Homeroom on a real machine.

pub mod discovery;
pub mod net;
pub mod state;
