//! Where container engines are: what the environment and the files of docker's own client say.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::backend::docker::Known;
use crate::backend::guard::random;

/// How the moment is written after which nobody needs what a run has made.
pub(super) const EXPIRES: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Who runs mstream, and where: written on all that it makes in an engine.
pub(super) fn owner() -> String {
    let user = rustix::process::geteuid().as_raw();
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

/// A folder for the way to an engine, for those who have none of their own; nothing is there.
pub(super) fn passing() -> PathBuf {
    std::env::temp_dir().join(format!("mstream-{}", random()))
}

/// What is known of engines. The way to one on another host has its sockets in `folder`.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(super) fn engines(folder: PathBuf) -> Known {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let path = |name: &str| text(name).map(PathBuf::from);
    let config = path("DOCKER_CONFIG").or_else(|| Some(path("HOME")?.join(".docker")));
    let context = || of_context(text("DOCKER_CONTEXT"), &config?);
    let mut usual = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(runtime) = path("XDG_RUNTIME_DIR") {
        usual.extend([runtime.join("docker.sock"), runtime.join("podman/podman.sock")]);
    }
    usual.push("/run/podman/podman.sock".into());
    Known {
        named: text("DOCKER_HOST").map(Ok).or_else(context),
        usual: usual.iter().map(|path| format!("unix://{}", path.display())).collect(),
        tls: text("DOCKER_TLS_VERIFY").is_some(),
        folder,
    }
}

/// The address that the chosen context says; nothing where none is chosen.
fn of_context(chosen: Option<String>, config: &Path) -> Option<Result<String, String>> {
    let current = || read(&config.join("config.json"))?["currentContext"].as_str().map(str::to_owned);
    let context = chosen.or_else(current).filter(|name| !name.is_empty() && name != "default")?;
    let folders = std::fs::read_dir(config.join("contexts/meta")).into_iter().flatten().flatten();
    let mut metas = folders.filter_map(|folder| Some((folder.file_name(), read(&folder.path().join("meta.json"))?)));
    let found = metas.find(|(_, meta)| meta["Name"] == *context);
    let found =
        found.and_then(|(folder, meta)| Some((folder, meta["Endpoints"]["docker"]["Host"].as_str()?.to_owned())));
    let Some((folder, host)) = found else {
        return Some(Err(format!("there is no docker context `{context}`: `docker context ls` lists them")));
    };
    let keys = config.join("contexts/tls").join(folder).join("docker");
    if host.starts_with("tcp://") && keys.exists() {
        let words = "speaks TLS, which mstream does not: one of the same engine with `ssh://` serves as well";
        return Some(Err(format!("the docker context `{context}` {words}")));
    }
    Some(Ok(host))
}

#[expect(clippy::disallowed_methods, reason = "this is where files are read")]
fn read(path: &Path) -> Option<Json> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}
