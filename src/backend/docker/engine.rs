//! Which engine: the one that is named, that of the current context, or the first that answers where engines usually do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::Value as Json;
use tokio::time::timeout;

use super::reason;

/// How long one request to the engine may take.
const REQUEST: u64 = 600;

/// What the environment says of engines.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// `DOCKER_HOST`
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`
    pub context: Option<String>,
    /// `DOCKER_CONFIG`, else `~/.docker`
    pub config: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`
    pub runtime: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is set.
    pub tls: bool,
}

/// Connects to the engine, which has to answer within `patience`. The error says where it was looked for.
pub(super) async fn connect(known: &Known, patience: Duration) -> Result<Docker, String> {
    if let Some(address) = named(known)? {
        return ask(&address, known.tls, patience).await.map_err(|words| reason::no_engine(&address, &words));
    }
    let mut tried = Vec::new();
    for address in usual(known) {
        match ask(&address, false, patience).await {
            Ok(docker) => return Ok(docker),
            Err(words) => tried.push(format!("{address}: {words}")),
        }
    }
    Err(reason::no_engine_at_all(&tried))
}

/// The address that `DOCKER_HOST` or the current context says.
fn named(known: &Known) -> Result<Option<String>, String> {
    if let Some(host) = known.host.as_ref().filter(|host| !host.is_empty()) {
        return Ok(Some(host.clone()));
    }
    let Some(config) = &known.config else { return Ok(None) };
    let current = || read(&config.join("config.json"))?["currentContext"].as_str().map(str::to_owned);
    let Some(context) = known.context.clone().filter(|name| !name.is_empty()).or_else(current) else { return Ok(None) };
    if context == "default" {
        return Ok(None);
    }
    let folders = std::fs::read_dir(config.join("contexts/meta")).into_iter().flatten().flatten();
    let metas = folders.filter_map(|folder| read(&folder.path().join("meta.json")));
    let meta = metas.into_iter().find(|meta| meta["Name"] == *context);
    let host = meta.and_then(|meta| meta["Endpoints"]["docker"]["Host"].as_str().map(str::to_owned));
    host.map(Some).ok_or_else(|| format!("there is no docker context `{context}`: `docker context ls` lists them"))
}

fn read(path: &Path) -> Option<Json> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Where engines usually answer.
fn usual(known: &Known) -> Vec<String> {
    let mut paths = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(runtime) = &known.runtime {
        paths.extend([runtime.join("docker.sock"), runtime.join("podman/podman.sock")]);
    }
    paths.push("/run/podman/podman.sock".into());
    paths.iter().map(|path| format!("unix://{}", path.display())).collect()
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
