//! The publisher's desk: its keys, and the metadata of its repository.
//!
//! A repository is a plain directory. Beside it stands the directory of keys, which never leaves the
//! publisher. Everything that is signed here is first judged by the same
//! [`TrustedSet`](protocol::trust::TrustedSet) that every device has, so that no publish can put out
//! what the devices would refuse.

pub mod change;
pub mod channel;
pub mod channels;
pub mod desk;
pub mod edition;
pub mod files;
pub mod founding;
pub mod keys;
#[cfg(test)]
mod office;
pub mod root;
pub mod standing;
