//! Ctrl-C, SIGTERM or a closed terminal, as one more thing that the bench hears, so that everything is taken down in
//! order and by its owner.

use crate::member::Heard;
use std::sync::mpsc::Sender;
use tokio::signal::unix::{SignalKind, signal};

/// Tells of the first signal from now on.
///
/// # Errors
/// When the system has no descriptors or threads left.
pub fn listen(tell: Sender<Heard>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let [mut interrupt, mut terminate, mut hangup] = {
        let _in_runtime = runtime.enter();
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Nobody may be listening any more.
        let _ = tell.send(Heard::Interrupted);
    })?;
    Ok(())
}
