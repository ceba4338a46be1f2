//! homeroom
fn main() {}
