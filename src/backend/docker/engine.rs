//! Which engine: the one that is named, else the first that answers where engines usually do.

use std::path::PathBuf;

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::time::timeout;

use super::reason;
use super::remote::Remote;
use crate::backend::guard::Patience;

/// How long one request to the engine may take.
pub(super) const REQUEST: u64 = 600;

/// Where engines may be.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The one that the environment or the current context names; the error says why there is none of that name.
    pub named: Option<Result<String, String>>,
    /// Where they usually are, the likeliest first.
    pub usual: Vec<String>,
    /// Whether engines are asked over TLS only.
    pub tls: bool,
    /// Where the sockets of the way to an engine on another host will be; nothing is there yet.
    pub folder: PathBuf,
}

/// Connects to the engine, which has to answer within `patience`: it, and its address. The error says where it was
/// looked for.
pub(super) async fn connect(known: &Known, patience: Patience) -> Result<(Docker, String), String> {
    if let Some(named) = &known.named {
        let address = named.as_ref().map_err(Clone::clone)?;
        let docker = ask(address, known, patience).await.map_err(|words| reason::no_engine(address, &words))?;
        return Ok((docker, address.clone()));
    }
    let mut tried = Vec::new();
    for address in &known.usual {
        match ask(address, known, patience).await {
            Ok(docker) => return Ok((docker, address.clone())),
            Err(words) => tried.push(format!("{address}: {words}")),
        }
    }
    Err(reason::no_engine_at_all(&tried))
}

async fn ask(address: &str, known: &Known, patience: Patience) -> Result<Docker, String> {
    let mut remote = None;
    let docker = if let Some(path) = address.strip_prefix("unix://") {
        Docker::connect_with_unix(path, REQUEST, API_DEFAULT_VERSION)
    } else if (address.starts_with("tcp://") || address.starts_with("http://")) && !known.tls {
        Docker::connect_with_http(address, REQUEST, API_DEFAULT_VERSION)
    } else if address.starts_with("ssh://") {
        remote.insert(Remote::new(address, &known.folder, patience)?).docker()
    } else {
        return Err("mstream reaches engines over unix://, ssh:// and plain tcp:// only".to_owned());
    };
    let docker = docker.map_err(|error| reason::of(&error))?;
    let answer = timeout(patience.connect, docker.negotiate_version()).await;
    let words = match answer {
        Ok(Ok(docker)) => return Ok(docker),
        Ok(Err(error)) => reason::of(&error),
        Err(_) => format!("no answer within {}", crate::syntax::duration(patience.connect)),
    };
    let complaint = match remote {
        Some(remote) => remote.complaint(patience.connect).await,
        None => String::new(),
    };
    Err(if complaint.is_empty() { words } else { complaint })
}
