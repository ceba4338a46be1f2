//! The house seen from outside: the tests are in `it/`, measurements in `bench/`; here is what both stand on.

pub mod forger;
pub mod fuzzed;
pub mod lan;
pub mod manners;
