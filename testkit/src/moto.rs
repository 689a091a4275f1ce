//! Where are an EC2 and an S3 to test against? moto, started by a test on a free loopback port and ended with it.

use crate::disturbance::{Disturbance, counts};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Error, ErrorKind},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A moto server with an empty account. Gone once it is dropped, and ends by itself when the test dies.
#[derive(Debug)]
pub struct Moto {
    /// What to set `AWS_ENDPOINT_URL` to.
    pub endpoint: String,
    address: String,
    // moto ends when this closes, even if the test is killed.
    _life: Option<ChildStdin>,
    server: Child,
}

/// What EC2 answers to a call that it refuses, or whatever else stood in the way.
pub type Answer = Result<String, Error>;

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    /// The region [`Moto::call`] talks to.
    pub const REGION: &'static str = "eu-west-1";

    /// Starts a server and waits until it listens. Uses the Python of `BLDR_VENV`, or of `.build/venv` at the top of the
    /// workspace, which `testkit/python/venv.sh` makes.
    ///
    /// # Errors
    /// There is no such Python, or moto does not start; its own words are on stderr.
    pub async fn start() -> Result<Self, Error> {
        let testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
        let venv = std::env::var_os("BLDR_VENV").map_or_else(|| testkit.with_file_name(".build").join("venv"), PathBuf::from);
        let python = venv.join("bin/python");
        let mut server = Command::new(&python)
            .arg(testkit.join("python/moto_server.py"))
            // moto must not pick up the operator's own AWS settings.
            .env_clear()
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::new(e.kind(), format!("{}: {e}; run testkit/python/venv.sh", python.display())))?;
        let (life, words) = (server.stdin.take(), server.stdout.take());
        // Dropped on every way out from here, which ends the server.
        let mut moto = Self { endpoint: String::new(), address: String::new(), _life: life, server };
        let first_line = move || {
            let mut line = String::new();
            words.map_or(Ok(0), |words| BufReader::new(words).read_line(&mut line)).map(|_| line)
        };
        let port = tokio::task::spawn_blocking(first_line).await??;
        let port: u16 = port.trim().parse().map_err(|_| Error::other("moto ended before it listened; run testkit/python/venv.sh"))?;
        moto.address = format!("127.0.0.1:{port}");
        moto.endpoint = format!("http://{}", moto.address);
        Ok(moto)
    }

    /// Calls EC2's API without an SDK: `call("StopInstances", &[("InstanceId.1", "i-1")])`. Returns the XML of the answer.
    ///
    /// # Errors
    /// moto is gone, or refuses the call; the error has its XML.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let mut form = format!("Action={action}&Version=2016-11-15");
        for (key, value) in parameters {
            form += &format!("&{key}={}", escaped(value));
        }
        let scope = format!("AKIATEST/20260101/{}/ec2/aws4_request", Self::REGION);
        let head = format!(
            "POST / HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none\r\n\r\n",
            form.len()
        );
        self.exchange(&(head + &form)).await
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// moto is gone, or refuses it; the error has its XML.
    pub async fn bucket(&self, name: &str) -> Answer {
        let place =
            format!("<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>", Self::REGION);
        self.s3("PUT", &format!("/{name}"), &place).await
    }

    /// Has a bucket keep what is replaced in it, or not (`Enabled`, `Suspended`).
    ///
    /// # Errors
    /// moto is gone, or refuses it; the error has its XML.
    pub async fn versioning(&self, bucket: &str, status: &str) -> Answer {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.s3("PUT", &format!("/{bucket}?versioning"), &body).await
    }

    /// Calls S3's API without an SDK: `s3("PUT", "/bucket/key", "text")`. Returns the body of the answer.
    ///
    /// # Errors
    /// moto is gone, or refuses the call; the error has its XML.
    pub async fn s3(&self, method: &str, path: &str, body: &str) -> Answer {
        let scope = format!("AKIATEST/20260101/{}/s3/aws4_request", Self::REGION);
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none\r\n\r\n",
            self.address,
            body.len()
        );
        self.exchange(&(head + body)).await
    }

    /// How often this action has been called so far, by anybody.
    ///
    /// # Errors
    /// moto is gone.
    pub async fn asked(&self, action: &str) -> Result<usize, Error> {
        let counts = self.exchange("GET /bldr/asked HTTP/1.0\r\n\r\n").await?;
        let mut lines = counts.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.find(|(name, _)| *name == action).and_then(|(_, n)| n.parse().ok()).unwrap_or(0))
    }

    /// How often S3 has been asked what begins so, by anybody: `asked_of_s3("PUT:bldr/runs/")`, a folder and those in it.
    ///
    /// # Errors
    /// moto is gone.
    pub async fn asked_of_s3(&self, question: &str) -> Result<usize, Error> {
        let counts = self.exchange("GET /bldr/asked HTTP/1.0\r\n\r\n").await?;
        let lines = counts.lines().filter_map(|line| line.strip_prefix("s3:")?.rsplit_once(' '));
        Ok(lines.filter(|(name, _)| name.starts_with(question)).filter_map(|(_, n)| n.parse::<usize>().ok()).sum())
    }

    /// From now on something goes wrong. Its number, for [`Moto::disturbed`].
    ///
    /// # Errors
    /// moto is gone.
    pub async fn disturb(&self, disturbance: &Disturbance) -> Result<usize, Error> {
        let order = disturbance.order()?;
        let head = format!("POST /bldr/disturbances HTTP/1.0\r\nContent-Length: {}\r\n\r\n", order.len());
        self.exchange(&(head + &order)).await?.trim().parse().map_err(Error::other)
    }

    /// How often each of them happened so far, by its number.
    ///
    /// # Errors
    /// moto is gone.
    pub async fn disturbed(&self) -> Result<BTreeMap<usize, usize>, Error> {
        Ok(counts(&self.exchange("GET /bldr/disturbances HTTP/1.0\r\n\r\n").await?))
    }

    /// Ends all of them. How often each happened.
    ///
    /// # Errors
    /// moto is gone.
    pub async fn undisturbed(&self) -> Result<BTreeMap<usize, usize>, Error> {
        Ok(counts(&self.exchange("DELETE /bldr/disturbances HTTP/1.0\r\n\r\n").await?))
    }

    /// The headers of an object: `head("/bucket/key")`.
    ///
    /// # Errors
    /// moto is gone.
    pub async fn head(&self, path: &str) -> Answer {
        let scope = format!("AKIATEST/20260101/{}/s3/aws4_request", Self::REGION);
        let head = format!(
            "HEAD {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none\r\n\r\n",
            self.address
        );
        Ok(self.answer(&head).await?.0)
    }

    async fn exchange(&self, request: &str) -> Answer {
        let (head, body) = self.answer(request).await?;
        if head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) { Ok(body) } else { Err(Error::other(body)) }
    }

    /// Head and body.
    async fn answer(&self, request: &str) -> Result<(String, String), Error> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        Ok((head.to_owned(), body.to_owned()))
    }
}

/// The text between the first `<name>` and what closes it.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

fn escaped(value: &str) -> String {
    value.bytes().fold(String::new(), |text, b| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text + &char::from(b).to_string(),
        _ => text + &format!("%{b:02X}"),
    })
}
