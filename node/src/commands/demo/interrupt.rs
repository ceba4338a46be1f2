//! Somebody wants the demo to end: Ctrl-C, SIGTERM, or a terminal that was closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the demo was told to end. What takes long looks at it again and again, so that everything is
/// ended in order and by its owner.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

/// The demo was told to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; every process of the demo is stopped")]
pub struct Interrupted;

impl Interrupt {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// When the system has no descriptors or threads left.
    pub fn listen() -> std::io::Result<Self> {
        let told = Self(Arc::new(AtomicBool::new(false)));
        let heard = told.clone();
        crate::interrupt::at_first(move || heard.0.store(true, Ordering::Relaxed))?;
        Ok(told)
    }

    /// Whether it was told to end.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on, unless it was told to end.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_told() { Err(Interrupted) } else { Ok(()) }
    }
}
