//! The house seen from outside: real processes, real sockets, real disks, judged by other people's
//! programs. `class` says where a test happens and `process` who acts in it; a theme is a file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod caps;
mod carries;
mod class;
mod clocks;
mod connections;
mod contradicted;
mod corpus;
mod disks;
mod interop;
mod judge;
mod keys;
mod kills;
mod lab;
mod laws;
mod liars;
mod mistakes;
mod needs;
mod oracle;
mod parity;
mod policies;
mod process;
mod record;
mod school;
mod spoilt;
mod stranger;
mod trees;
mod verdicts;
mod withdrawn;
