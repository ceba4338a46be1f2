//! The fuzzed functions, from the crate `tests`, without the node that it also builds.

#[path = "../src/forger/mod.rs"]
pub mod forger;
#[path = "../src/fuzzed.rs"]
pub mod fuzzed;
