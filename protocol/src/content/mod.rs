//! WHAT is shared: chunks, manifests, versions. Knows no peer and no key.

pub mod manifest;
