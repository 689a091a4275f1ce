//! What if EC2 said this? A loopback server that gives prepared answers, whatever it is asked.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Gives its answers one after the other, and the last one for ever. Ends when dropped.
pub(super) struct Canned {
    pub(super) endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Canned {
    pub(super) async fn answering(answers: impl IntoIterator<Item = (u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<_> = answers.into_iter().collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(form) = request(&mut stream).await else { continue };
                let turn = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(form);
                    heard.len() - 1
                };
                let (status, body) = &answers[turn.min(answers.len() - 1)];
                let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // Whoever does not wait for the answer does not get one.
                let _ = stream.write_all((head + body).as_bytes()).await;
            }
        });
        Self { endpoint, asked, server }
    }

    /// The forms it was sent.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The actions it was asked for.
    pub(super) fn actions(&self) -> Vec<String> {
        let action = |form: &String| form.split('&').find_map(|p| p.strip_prefix("Action=")).unwrap_or_default().to_owned();
        self.asked().iter().map(action).collect()
    }
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(body.to_owned());
            }
        }
        let mut part = [0; 4096];
        let n = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        text.push_str(std::str::from_utf8(&part[..n]).unwrap());
    }
}

/// An error as EC2 writes it.
pub(super) fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let inside = format!("<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>");
    (status, format!("<?xml version=\"1.0\"?><Response>{inside}<RequestID>r-1</RequestID></Response>"))
}

/// A page of instances, given as `(id, state, more elements)`.
pub(super) fn page<'a>(instances: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>, next: &str) -> (u16, String) {
    let item = |(id, state, more): (&str, &str, &str)| {
        format!(
            "<item><instanceId>{id}</instanceId><instanceState><code>0</code><name>{state}</name></instanceState>\
             <launchTime>2026-01-02T03:04:05.000Z</launchTime><privateIpAddress>10.0.0.7</privateIpAddress>{more}\
             <tagSet><item><key>Cluster</key><value>harbor--ci</value></item></tagSet></item>"
        )
    };
    let items: String = instances.into_iter().map(item).collect();
    let set = format!("<reservationSet><item><instancesSet>{items}</instancesSet></item></reservationSet>");
    (200, format!("<DescribeInstancesResponse>{set}<nextToken>{next}</nextToken></DescribeInstancesResponse>"))
}

/// One instance in a state.
pub(super) fn one(state: &str) -> (u16, String) {
    page([("i-1", state, "")], "")
}

/// EC2 does as it was told.
pub(super) fn done(action: &str) -> (u16, String) {
    (200, format!("<{action}Response><instancesSet/></{action}Response>"))
}
