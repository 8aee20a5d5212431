//! Connections: how many, how long, and how slowly they may speak.
//!
//! A peer has [`HEAD`] for the head of a request, also of the next on a kept connection, and must take what it is
//! sent within [`STALL`] at a time. At most [`MOST`] connections are open; more wait in the kernel's queue. Heads
//! are limited in bytes and in number of headers by hyper.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

/// Connections at a time.
const MOST: usize = 512;
/// Time for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Time in which a peer must take something of what it is sent.
const STALL: Duration = Duration::from_secs(20);
/// Time for what is under way when the server ends.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of a head.
const HEAD_BYTES: usize = 32 << 10;

/// Serves every connection until the end.
pub(super) async fn serve(listener: TcpListener, routes: Router, mut ending: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MOST));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended(&mut ending) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (routes, ending) = (routes.clone(), ending.clone());
                open.spawn(async move {
                    talk(stream, routes, ending).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, or a peer that left: neither ends the server.
                tracing::debug!(%error, "a connection was not accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let all = async { while open.join_next().await.is_some() {} };
    let _late = tokio::time::timeout(FAREWELL, all).await;
}

/// Returns once the end is wished, or nobody is left to wish it.
pub(super) async fn ended(ending: &mut watch::Receiver<bool>) {
    let _gone = ending.wait_for(|ends| *ends).await;
}

async fn talk(stream: TcpStream, routes: Router, mut ending: watch::Receiver<bool>) {
    let _slow = stream.set_nodelay(true);
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    tokio::pin!(connection);
    let spoken = tokio::select! {
        spoken = connection.as_mut() => spoken,
        () = ended(&mut ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = spoken {
        tracing::trace!(%error, "a connection ended");
    }
}

/// A stream that gives up on a peer that takes nothing.
struct Patient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self { stream, stalled: None }
    }

    /// What came of a write; one that waits has a deadline.
    fn within<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.within(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within(cx, shut)
    }
}
