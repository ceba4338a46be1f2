//! A forger: repositories that are signed as they should be, and everything that can be done to them, by a stranger or by
//! whoever has the keys.
//!
//! [`choices`] decides, from an rng_seed or from a fuzzer's bytes. [`document`] is one signed file, with keys and
//! signatures of its own: nothing here is computed by the code that judges it. [`history`] is what a good publisher serves
//! one after the other; [`tampering`] makes one thing in it wrong.

pub mod choices;
pub mod document;
mod edits;
pub mod history;
pub mod tampering;
