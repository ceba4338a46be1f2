//! The step counter behind the power-cut tests: every call that changes the disk passes here first.

#[cfg(not(test))]
pub(super) fn step() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use test::*;

#[cfg(test)]
mod test {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static STEPS_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Lets `steps` changes through on this thread; every later one fails, as after a cut.
    pub fn cut_after(steps: u64) {
        STEPS_LEFT.set(Some(steps));
    }

    /// Ends the cut; returns whether it had struck.
    pub fn restore() -> bool {
        STEPS_LEFT.replace(None) == Some(u64::MAX)
    }

    pub fn step() -> io::Result<()> {
        match STEPS_LEFT.get() {
            None => Ok(()),
            Some(0 | u64::MAX) => {
                STEPS_LEFT.set(Some(u64::MAX));
                Err(io::Error::other("power cut"))
            }
            Some(left) => {
                STEPS_LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
