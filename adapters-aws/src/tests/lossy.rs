//! What if an answer of S3 is lost on its way, or nothing gets through at all? A loopback server in front of another one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Hands on what it is asked, one question a connection. Ends when dropped.
pub(super) struct Lossy {
    pub(super) endpoint: String,
    way: Arc<Way>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Way {
    to_lose: AtomicUsize,
    lost: AtomicUsize,
    cut: AtomicBool,
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Lossy {
    pub(super) async fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = endpoint.strip_prefix("http://").unwrap().to_owned();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let way = Arc::new(Way::default());
        let shared = way.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(handed_on(stream, address.clone(), shared.clone()));
            }
        });
        Self { endpoint: own, way, server }
    }

    /// Drops the answers to this many writes: they are done, and whoever asked does not hear of it.
    pub(super) fn loses_the_answers_to(&self, writes: usize) {
        self.way.to_lose.store(writes, Ordering::SeqCst);
    }

    pub(super) fn lost(&self) -> usize {
        self.way.lost.load(Ordering::SeqCst)
    }

    /// Whether nothing gets through.
    pub(super) fn cut(&self, cut: bool) {
        self.way.cut.store(cut, Ordering::SeqCst);
    }
}

async fn handed_on(mut stream: TcpStream, address: String, way: Arc<Way>) -> Option<()> {
    let mut question = Vec::new();
    let body = loop {
        if let Some(end) = question.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(&mut question).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&question[..body]).into_owned();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    while question.len() < body + length.unwrap_or(0) {
        (stream.read_buf(&mut question).await.ok()? > 0).then_some(())?;
    }
    if way.cut.load(Ordering::SeqCst) {
        return None;
    }
    let mut server = TcpStream::connect(address).await.ok()?;
    // The server closes the connection then, which is how the end of its answer is known.
    let closing = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(closing.as_bytes()).await.ok()?;
    server.write_all(&question[body..]).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    let is_write = head.starts_with("PUT");
    if is_write && way.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        way.lost.fetch_add(1, Ordering::SeqCst);
        return None;
    }
    stream.write_all(&answer).await.ok()
}
