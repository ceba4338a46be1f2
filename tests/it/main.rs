//! it
mod laws;
