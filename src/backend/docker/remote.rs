//! An engine on another host, reached as docker's own client reaches it: over ssh, by a program there that hands on what
//! it reads and writes.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Join, join};
use tokio::time::timeout;
use tower_service::Service;

use super::engine::REQUEST;
use crate::backend::guard::{Patience, Transport};
use crate::backend::ledger::Unwritten;
use crate::backend::ssh::SshBackend;
use crate::backend::{Place, Task};
use crate::syntax::Value;

/// The program.
const DIAL: &str = "docker system dial-stdio";

/// So much of a complaint is read.
const COMPLAINT: u64 = 4 << 10;

/// The way there; each connection to the engine is a session of its own on few connections to the host.
#[derive(Clone)]
pub(super) struct Remote {
    way: Arc<dyn Transport>,
    /// Keeps what the way needs.
    _ssh: Arc<SshBackend>,
}

impl Remote {
    /// The way to `address`, an `ssh://user@host:port`, with its sockets in `folder`, which is made and removed. The
    /// error says what is wrong with the address.
    pub(super) fn new(address: &str, folder: &Path, patience: Patience) -> Result<Self, String> {
        let ssh = SshBackend::new(folder.to_owned(), patience, Arc::new(Unwritten));
        let way = ssh.way(&place(address)?)?;
        Ok(Self { way, _ssh: Arc::new(ssh) })
    }

    /// The engine at its end.
    pub(super) fn docker(&self) -> Result<Docker, Error> {
        let client = Client::builder(TokioExecutor::new()).build(self.clone());
        let request = move |request: BollardRequest| {
            let asking = client.request(request);
            async move { asking.await.map_err(Error::from) }
        };
        Docker::connect_with_custom_transport(request, Some("http://engine"), REQUEST, API_DEFAULT_VERSION)
    }

    /// What is said there, or on the way there, in place of an answer.
    pub(super) async fn complaint(&self, patience: Duration) -> String {
        let asking = async {
            let line = self.way.dial(DIAL).await?;
            drop(line.stdin);
            let mut said = Vec::new();
            let _ = line.stderr.take(COMPLAINT).read_to_end(&mut said).await;
            Ok(String::from_utf8_lossy(&said).trim().to_owned())
        };
        timeout(patience, asking).await.unwrap_or_else(|_| Ok(String::new())).unwrap_or_else(|words: String| words)
    }
}

impl Service<Uri> for Remote {
    type Response = Wire;
    type Error = io::Error;
    type Future = Task<io::Result<Wire>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.way);
        Box::pin(async move {
            let line = way.dial(DIAL).await.map_err(io::Error::other)?;
            Ok(Wire { both: TokioIo::new(join(line.stdout, line.stdin)), _session: line.end })
        })
    }
}

/// A connection to the engine.
pub(super) struct Wire {
    both: TokioIo<Join<Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>>>,
    /// The session lasts as long as this is kept.
    _session: Task<Option<String>>,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.both).poll_read(context, into)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.both).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.both).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.both).poll_shutdown(context)
    }
}

/// The host of an address, as an ssh stream has it.
fn place(address: &str) -> Result<Place, String> {
    let rest = address.trim_start_matches("ssh://").trim_end_matches('/');
    if rest.contains('/') {
        return Err(
            "a socket cannot be named behind the host: the engine there is the one that `docker` uses".to_owned()
        );
    }
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, behind)) => (host, behind.strip_prefix(':')),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let keys = [("host", Some(host)), ("user", user), ("port", port)];
    let keys = keys.into_iter().filter_map(|(key, text)| Some((key.into(), Value::Text(text?.into()))));
    let none = std::path::PathBuf::new;
    Ok(Place { name: host.into(), keys: keys.collect(), run: "".into(), folder: none(), tmp: none() })
}
