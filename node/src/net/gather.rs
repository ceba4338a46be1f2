//! Yamux, with its small frames gathered.
//!
//! Yamux flushes after each frame of at most 16 KiB, so that each would be encrypted, sent and woken up
//! for alone. [`Gather`] lies between yamux and the encryption, and puts every flush off until yamux asks
//! to read, which it does whenever it has nothing more to write. Nothing waits for a timer.

use futures::future::Ready;
use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::yamux;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The yamux upgrade over a connection that gathers.
#[derive(Clone, Default)]
pub struct GatheredYamux(yamux::Config);

impl UpgradeInfo for GatheredYamux {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C> InboundConnectionUpgrade<C> for GatheredYamux
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Gather<C>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, connection: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Gather::new(connection), info)
    }
}

impl<C> OutboundConnectionUpgrade<C> for GatheredYamux
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Gather<C>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, connection: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Gather::new(connection), info)
    }
}

/// A connection whose flushes wait for the next read.
pub struct Gather<C> {
    connection: C,
    flush_due: bool,
}

impl<C> Gather<C> {
    fn new(connection: C) -> Self {
        Self { connection, flush_due: false }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<C> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.flush_due {
            // What cannot leave yet is tried again at the next read: the flush wakes the same task.
            self.flush_due = Pin::new(&mut self.connection).poll_flush(context)?.is_pending();
        }
        Pin::new(&mut self.connection).poll_read(context, bytes)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Gather<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush_due = true;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Takes everything; sends it when flushed, if it can.
    #[derive(Default)]
    struct Wire {
        buffered: Vec<u8>,
        sent: Vec<Vec<u8>>,
        is_stuck: bool,
    }

    impl AsyncRead for Wire {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Wire {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.buffered.extend(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.is_stuck {
                return Poll::Pending;
            }
            let bytes = std::mem::take(&mut self.buffered);
            self.sent.push(bytes);
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_flush(context)
        }
    }

    fn write_and_flush(gather: &mut Gather<Wire>, bytes: &[u8]) {
        let context = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut *gather).poll_write(context, bytes).is_ready());
        assert!(Pin::new(gather).poll_flush(context).is_ready());
    }

    fn read(gather: &mut Gather<Wire>) {
        assert!(Pin::new(gather).poll_read(&mut Context::from_waker(Waker::noop()), &mut [0; 8]).is_pending());
    }

    #[test]
    fn frames_leave_together_once_there_is_nothing_more_to_write() {
        let mut gather = Gather::new(Wire::default());
        write_and_flush(&mut gather, b"one ");
        write_and_flush(&mut gather, b"two");
        assert!(gather.connection.sent.is_empty());
        read(&mut gather);
        read(&mut gather);
        assert_eq!(gather.connection.sent, [b"one two"]);
    }

    #[test]
    fn what_could_not_leave_is_tried_again() {
        let mut gather = Gather::new(Wire { is_stuck: true, ..Wire::default() });
        write_and_flush(&mut gather, b"late");
        read(&mut gather);
        gather.connection.is_stuck = false;
        read(&mut gather);
        assert_eq!(gather.connection.sent, [b"late"]);
    }
}
