//! Which engine: the one that is named, else the first that answers where engines usually do.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::time::timeout;

use super::reason;

/// How long one request to the engine may take.
const REQUEST: u64 = 600;

/// Where engines may be.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The one that the environment or the current context names; the error says why there is none of that name.
    pub named: Option<Result<String, String>>,
    /// Where they usually are, the likeliest first.
    pub usual: Vec<String>,
    /// Whether engines are asked over TLS only.
    pub tls: bool,
}

/// Connects to the engine, which has to answer within `patience`: it, and its address. The error says where it was
/// looked for.
pub(super) async fn connect(known: &Known, patience: Duration) -> Result<(Docker, String), String> {
    if let Some(named) = &known.named {
        let address = named.as_ref().map_err(Clone::clone)?;
        let docker = ask(address, known.tls, patience).await.map_err(|words| reason::no_engine(address, &words))?;
        return Ok((docker, address.clone()));
    }
    let mut tried = Vec::new();
    for address in &known.usual {
        match ask(address, false, patience).await {
            Ok(docker) => return Ok((docker, address.clone())),
            Err(words) => tried.push(format!("{address}: {words}")),
        }
    }
    Err(reason::no_engine_at_all(&tried))
}

async fn ask(address: &str, tls: bool, patience: Duration) -> Result<Docker, String> {
    let docker = if let Some(path) = address.strip_prefix("unix://") {
        Docker::connect_with_unix(path, REQUEST, API_DEFAULT_VERSION)
    } else if (address.starts_with("tcp://") || address.starts_with("http://")) && !tls {
        Docker::connect_with_http(address, REQUEST, API_DEFAULT_VERSION)
    } else {
        return Err(
            "mstream reaches engines over unix:// and plain tcp:// only: `ssh -L` forwards any other".to_owned()
        );
    };
    let docker = docker.map_err(|error| reason::of(&error))?;
    match timeout(patience, docker.negotiate_version()).await {
        Ok(Ok(docker)) => Ok(docker),
        Ok(Err(error)) => Err(reason::of(&error)),
        Err(_) => Err(format!("no answer within {}", crate::syntax::duration(patience))),
    }
}
