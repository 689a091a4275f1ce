//! What do bytes travel on? Sockets that notice a dead peer and can be cut from outside, whatever the library waits for.

use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf},
    net::TcpStream,
};

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Ends a connection at once, from anywhere. The library's session task may be blocked in a write, or wait for an agent:
/// it ends when its stream does.
#[derive(Clone)]
pub(crate) struct Cut(Arc<dyn Fn() + Send + Sync>);

impl Cut {
    pub(crate) fn new(cut: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(cut))
    }
    pub(crate) fn now(&self) {
        (self.0)();
    }
}

/// Cuts when dropped, unless it was disarmed: for futures that are given up half way.
pub(crate) struct CutOnDrop(pub(crate) Option<Cut>);

impl CutOnDrop {
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}
impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(cut) = &self.0 {
            cut.now();
        }
    }
}

/// Most packets are shorter than this.
const READ_AT_ONCE: usize = 4 << 10;

/// A stream, how to cut it, and the first bytes that came over it.
pub(crate) struct Link {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) cut: Cut,
    pub(crate) greeting: Greeting,
}

impl Link {
    pub(crate) fn new(stream: impl Stream + 'static, cut: Cut) -> Self {
        let greeting = Greeting::default();
        // The library asks for the length of each packet by itself.
        let stream = BufReader::with_capacity(READ_AT_ONCE, stream);
        Self { stream: Box::new(Overheard { stream, greeting: greeting.clone() }), cut, greeting }
    }

    /// A TCP connection to the first address of a host that takes one.
    pub(crate) async fn dial(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        let socket = SockRef::from(&stream);
        // Without TCP_NODELAY every round of small packets costs 40 ms.
        socket.set_tcp_nodelay(true)?;
        // thrussh sends no keepalives: without these a frozen machine or a cut cable is never noticed.
        socket.set_tcp_keepalive(
            &TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5)).with_retries(4),
        )?;
        socket.set_tcp_user_timeout(Some(Duration::from_secs(35)))?;
        let end = socket.try_clone()?;
        let cut = Cut::new(move || {
            // It may be closed already, which is what is wanted.
            let _ = end.shutdown(Shutdown::Both);
        });
        Ok(Self::new(stream, cut))
    }
}

/// The first bytes a server sent: enough to say which algorithms it offers when none of them will do.
#[derive(Clone, Default)]
pub(crate) struct Greeting(Arc<Mutex<Vec<u8>>>);

const GREETING_CAP: usize = 8 << 10;

impl Greeting {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Overheard<S> {
    stream: S,
    greeting: Greeting,
}

impl<S: Stream> AsyncRead for Overheard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            let mut heard = self.greeting.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = &buf.filled()[before..];
            let room = GREETING_CAP.saturating_sub(heard.len()).min(new.len());
            heard.extend_from_slice(&new[..room]);
        }
        polled
    }
}

impl<S: Stream> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
