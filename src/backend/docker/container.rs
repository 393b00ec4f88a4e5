//! A container as a stream wants it: read from the keys, got from the engine.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::container::AttachContainerResults;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, HostConfigLogConfig, ImageConfig,
    NetworkingConfig,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::time::sleep;

use super::made::{Kept, Made, Remove};
use super::way::map;
use super::{Labels, reason};
use crate::backend::Place;
use crate::backend::guard::SHELL;
use crate::scenario::keys;
use crate::syntax::Value;

/// How long a command that ends at once may take for that.
const SETTLING: Duration = Duration::from_millis(50);

/// When an image is pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pull {
    Missing,
    Never,
    Always,
}

/// What the keys of a stream say.
#[derive(Debug)]
pub(super) struct Wanted {
    image: Option<String>,
    container: Option<String>,
    create: Option<bool>,
    remove: Remove,
    pull: Pull,
    /// `NAME=value`, for all that runs in it.
    pub(super) env: Vec<String>,
    volumes: Vec<String>,
    network: Option<String>,
    /// Whom everything in it runs as.
    pub(super) user: Option<String>,
    /// Where everything in it starts.
    pub(super) dir: Option<String>,
    command: Vec<String>,
    init: Option<bool>,
    memory: Option<i64>,
    nano_cpus: Option<i64>,
    cap_add: Vec<String>,
    privileged: bool,
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    /// The address that others can use.
    pub(super) address: Arc<str>,
    /// The way to its first process, where that is a shell of ours.
    pub(super) attached: Option<AttachContainerResults>,
}

/// Shells that are the command of an image whose author had nothing else to run in it.
const SHELLS: [&str; 6] = ["sh", "/bin/sh", "bash", "/bin/bash", "ash", "/bin/ash"];

/// What runs first in a container that we make.
#[derive(Clone, PartialEq, Eq, Debug)]
enum First {
    /// What the user or the image says.
    Theirs(Option<Vec<String>>),
    /// The shell that a stream needs in any case: it saves an exec, which takes longer than all else.
    Ours,
}

/// A container that is about to be made.
struct New<'a> {
    wanted: &'a Wanted,
    image: &'a str,
    first: First,
    network: &'a str,
    labels: &'a Labels,
    place: &'a Place,
    kept: &'a Kept,
}

impl Wanted {
    /// Reads the keys of a stream; the error says which one is wrong.
    pub(super) fn of(place: &Place) -> Result<Self, String> {
        let mut it = Self {
            image: None,
            container: None,
            create: None,
            remove: Remove::Always,
            pull: Pull::Missing,
            env: Vec::new(),
            volumes: Vec::new(),
            network: None,
            user: None,
            dir: None,
            command: Vec::new(),
            init: None,
            memory: None,
            nano_cpus: None,
            cap_add: Vec::new(),
            privileged: false,
        };
        for (key, value) in &place.keys {
            keys::check("docker", key, value)?;
            let text = value.to_string();
            match &**key {
                "image" => it.image = Some(text),
                "container" => it.container = Some(text),
                "create" => it.create = keys::flag(value),
                "remove" if text == "on_success" => it.remove = Remove::OnSuccess,
                "remove" if text == "never" => it.remove = Remove::Never,
                "remove" => it.remove = Remove::Always,
                "pull" if text == "never" => it.pull = Pull::Never,
                "pull" if text == "always" => it.pull = Pull::Always,
                "pull" => it.pull = Pull::Missing,
                "env" => it.env = pairs(value).map(|(name, value)| format!("{name}={value}")).collect(),
                "volumes" => it.volumes = volumes(place, value),
                "network" => it.network = Some(text),
                "user" => it.user = Some(text),
                "dir" => it.dir = Some(text),
                "command" if matches!(value, Value::List(_)) => it.command = texts(value),
                "command" => it.command = ["sh", "-c", &text].map(str::to_owned).into(),
                "init" => it.init = keys::flag(value),
                "memory" => it.memory = keys::size(value).and_then(|bytes| bytes.try_into().ok()),
                #[expect(clippy::cast_possible_truncation, reason = "a number of processors is small")]
                "cpus" => it.nano_cpus = keys::number(value).map(|cpus| (cpus * 1e9) as i64),
                "cap_add" => it.cap_add = texts(value),
                "privileged" => it.privileged = keys::flag(value) == Some(true),
                other => return Err(format!("a container has no key `{other}`")),
            }
        }
        match (&it.image, &it.container, it.create) {
            (None, None, _) => Err("a container needs an `image`, or the name of an existing `container`".to_owned()),
            (None, Some(_), Some(true)) => Err("a container that is to be created needs an `image`".to_owned()),
            (Some(_), None, Some(false)) => {
                Err("`create = false` needs the name of an existing `container`".to_owned())
            }
            _ => Ok(it),
        }
    }

    /// The container: the existing one, else a new one, which is to be removed.
    pub(super) async fn get(
        &self,
        docker: &Docker,
        made: &Made,
        labels: &Labels,
        place: &Place,
    ) -> Result<(Container, Option<Kept>), String> {
        match (&self.container, &self.image) {
            (Some(name), None) => Ok((existing(docker, name).await?, None)),
            (Some(name), Some(_)) if self.create == Some(false) => Ok((existing(docker, name).await?, None)),
            (_, Some(image)) => {
                let config = self.image(docker, image).await?;
                let name = self.container.clone().unwrap_or_else(|| own_name(labels, place, made));
                let networked = self.network.is_none();
                let kept = Kept { name, remove: self.remove, networked };
                let network = match &self.network {
                    Some(network) => network.clone(),
                    None => made.enter(docker, labels).await?,
                };
                let first = self.first(config);
                let new = New { wanted: self, image, first, network: &network, labels, place, kept: &kept };
                match new.start(docker, made).await {
                    Ok(container) => Ok((container, Some(kept))),
                    Err(words) => {
                        // What did not even start is of no use to anybody.
                        let kept = Kept { remove: Remove::Always, ..kept };
                        let _ = made.remove(docker, &kept, false).await;
                        Err(words)
                    }
                }
            }
            (None, None) => Err("a container needs an `image`".to_owned()),
        }
    }

    /// Has the image there, as `pull` says; what it says of its containers.
    async fn image(&self, docker: &Docker, image: &str) -> Result<ImageConfig, String> {
        let there = match docker.inspect_image(image).await {
            Ok(found) => Some(found.config.unwrap_or_default()),
            Err(error) if reason::is_missing(&error) => None,
            Err(error) => {
                return Err(format!("the engine cannot look for the image `{image}`: {}", reason::of(&error)));
            }
        };
        match (self.pull, there) {
            (Pull::Missing | Pull::Never, Some(config)) => return Ok(config),
            (Pull::Never, None) => return Err(format!("there is no image `{image}`, and `pull = \"never\"`")),
            (Pull::Missing, None) | (Pull::Always, _) => {}
        }
        let last = image.rsplit('/').next().unwrap_or(image);
        // Without a tag, the engine would pull all that there are.
        let full = if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") };
        let options = CreateImageOptionsBuilder::new().from_image(&full).build();
        let mut progress = docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            step.map_err(|error| reason::no_image(image, &reason::of(&error)))?;
        }
        Ok(docker.inspect_image(image).await.ok().and_then(|found| found.config).unwrap_or_default())
    }

    /// What runs first in a new container. One that stays goes on without us.
    fn first(&self, config: ImageConfig) -> First {
        let (entrypoint, cmd) = (config.entrypoint.unwrap_or_default(), config.cmd.unwrap_or_default());
        let bare = entrypoint.is_empty() && (cmd.is_empty() || matches!(&cmd[..], [only] if SHELLS.contains(&&**only)));
        match &self.command[..] {
            [] if bare && self.remove == Remove::Always => First::Ours,
            [] if entrypoint.is_empty() && cmd.is_empty() => First::Theirs(Some(vec!["sh".to_owned()])),
            [] => First::Theirs(None),
            words => First::Theirs(Some(words.to_vec())),
        }
    }
}

impl New<'_> {
    /// What it is made of.
    fn body(&self) -> ContainerCreateBody {
        let Self { wanted, network, kept, place, .. } = self;
        let ours = self.first == First::Ours;
        let command = match &self.first {
            First::Ours => Some(["sh", "-c", SHELL].map(str::to_owned).into()),
            First::Theirs(command) => command.clone(),
        };
        let alias = EndpointSettings { aliases: Some(vec![place.name.to_string()]), ..EndpointSettings::default() };
        let own = map([((*network).to_owned(), alias)]);
        ContainerCreateBody {
            hostname: (*network != "host").then(|| host_name(&place.name)),
            image: Some(self.image.to_owned()),
            cmd: command,
            env: Some(wanted.env.clone()),
            user: wanted.user.clone(),
            working_dir: wanted.dir.clone(),
            // A shell that is the command of an image waits for what comes on its stdin, instead of ending at once.
            open_stdin: Some(true),
            // One of ours ends when we are gone.
            stdin_once: Some(ours),
            labels: Some(kept.labels(self.labels)),
            networking_config: kept.networked.then_some(NetworkingConfig { endpoints_config: Some(own) }),
            host_config: Some(HostConfig {
                binds: Some(wanted.volumes.clone()),
                network_mode: Some((*network).to_owned()),
                init: Some(wanted.init.unwrap_or(true)),
                memory: wanted.memory,
                memory_swap: wanted.memory,
                nano_cpus: wanted.nano_cpus,
                cap_add: Some(wanted.cap_add.clone()),
                privileged: Some(wanted.privileged),
                // What a shell of ours prints is for us.
                log_config: ours.then(|| HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// Makes it and starts it.
    async fn start(&self, docker: &Docker, made: &Made) -> Result<Container, String> {
        let (name, ours) = (&*self.kept.name, self.first == First::Ours);
        let failed = |error: &Error| reason::not_started(name, error);
        let options = || CreateContainerOptionsBuilder::new().name(name).build();
        let mut body = self.body();
        made.note(self.kept).await?;
        docker.create_container(Some(options()), body.clone()).await.map_err(|error| {
            // Where the engine has answered, nothing was made; a container of that name is somebody else's.
            if reason::is_answer(&error) {
                made.strike(name);
            }
            failed(&error)
        })?;
        let mut attached = if ours { Some(attach(docker, name).await?) } else { None };
        match docker.start_container(name, None).await {
            // An engine without an init of its own: the command of the container is the first process then.
            Err(error) if self.wanted.init.is_none() && reason::of(&error).contains("-init") => {
                let again = Kept { networked: false, remove: Remove::Always, ..self.kept.clone() };
                made.remove(docker, &again, false).await?;
                if let Some(host) = &mut body.host_config {
                    host.init = Some(false);
                }
                made.note(self.kept).await?;
                docker.create_container(Some(options()), body).await.map_err(|error| failed(&error))?;
                attached = if ours { Some(attach(docker, name).await?) } else { None };
                docker.start_container(name, None).await.map_err(|error| failed(&error))?;
            }
            started => started.map_err(|error| failed(&error))?,
        }
        let found = docker.inspect_container(name, None).await.map_err(|error| failed(&error))?;
        if !is_running(&found) {
            return Err(ended_at_once(docker, name, ours).await);
        }
        Ok(Container { attached, ..container(found, name) })
    }
}

/// The three streams of the first process of a container that has not been started yet.
async fn attach(docker: &Docker, name: &str) -> Result<AttachContainerResults, String> {
    let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
    docker.attach_container(name, Some(options)).await.map_err(|error| reason::not_started(name, &error))
}

/// Whether a container runs.
pub(super) async fn runs(docker: &Docker, name: &str) -> bool {
    docker.inspect_container(name, None).await.is_ok_and(|found| is_running(&found))
}

fn is_running(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().is_some_and(|state| state.running == Some(true))
}

/// Why a container that was started does not run; `ours` says whether what it runs is a shell of ours.
pub(super) async fn ended_at_once(docker: &Docker, name: &str, ours: bool) -> String {
    sleep(SETTLING).await;
    let state = docker.inspect_container(name, None).await.ok().and_then(|found| found.state).unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    let why = match code {
        126 | 127 => "its image does not have what it is to run; a stream needs an image with a `sh`",
        _ if ours => "a stream needs an image with a `sh` that goes on as long as it is asked to",
        _ => "the command of its image does; `command = [\"sleep\", \"infinity\"]` keeps it there",
    };
    format!("the container {name} has ended at once (exit code {code}): {why}")
}

/// A container that somebody else has made.
async fn existing(docker: &Docker, name: &str) -> Result<Container, String> {
    let found = match docker.inspect_container(name, None).await {
        Ok(found) => found,
        Err(error) if reason::is_missing(&error) => {
            return Err(format!("there is no container `{name}`: `docker ps -a` lists them; `image` makes a new one"));
        }
        Err(error) => return Err(format!("the engine cannot look for the container `{name}`: {}", reason::of(&error))),
    };
    let state = found.state.clone().unwrap_or_default();
    if state.running != Some(true) {
        return Err(format!("the container `{name}` does not run: `docker start {name}` starts it"));
    }
    if state.paused == Some(true) {
        return Err(format!("the container `{name}` is paused: `docker unpause {name}` lets it go on"));
    }
    Ok(container(found, name))
}

fn container(found: ContainerInspectResponse, name: &str) -> Container {
    let id = found.id.unwrap_or_else(|| name.to_owned());
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut addresses: Vec<(String, String)> = networks
        .into_iter()
        .filter_map(|(network, it)| Some((network, it.ip_address.filter(|address| !address.is_empty())?)))
        .collect();
    addresses.sort();
    // One in the network of the host has the addresses of the host.
    let address = addresses.into_iter().next().map_or_else(|| "127.0.0.1".to_owned(), |(_, address)| address);
    Container { id, name: name.to_owned(), address: address.into(), attached: None }
}

/// The name of a container that we make.
fn own_name(labels: &Labels, place: &Place, made: &Made) -> String {
    let good = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if place.name.chars().all(good) {
        return format!("mstream-{}-{}", labels.run, place.name);
    }
    let name: String = place.name.chars().map(|letter| if good(letter) { letter } else { '_' }).collect();
    format!("mstream-{}-{name}-{}", labels.run, made.number())
}

/// What a container calls itself.
fn host_name(name: &str) -> String {
    let letters = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let text: String = letters.take(63).collect();
    let text = text.trim_matches('-');
    if text.is_empty() { "stream".to_owned() } else { text.to_owned() }
}

fn pairs(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    let map = if let Value::Map(map) = value { Some(map) } else { None };
    map.into_iter().flat_map(|map| map.iter().map(|(key, value)| (key.to_string(), value.to_string())))
}

fn texts(value: &Value) -> Vec<String> {
    if let Value::List(items) = value { items.iter().map(Value::to_string).collect() } else { vec![value.to_string()] }
}

/// `from:to:options`; relative folders of this machine start beside the scenario.
fn volumes(place: &Place, value: &Value) -> Vec<String> {
    let mut all: Vec<String> = pairs(value).map(|(from, to)| format!("{from}:{to}")).collect();
    if all.is_empty() {
        all = texts(value);
    }
    let absolute = |volume: String| match volume.split_once(':') {
        Some((from, to)) if from.starts_with('.') => format!("{}:{to}", place.folder.join(from).display()),
        _ => volume,
    };
    all.into_iter().map(absolute).collect()
}

impl Kept {
    /// What is written on the container.
    fn labels(&self, labels: &Labels) -> std::collections::HashMap<String, String> {
        let mut map = labels.map();
        if self.remove != Remove::Always {
            map.insert("dev.mstream.keep".to_owned(), "yes".to_owned());
        }
        map
    }
}

impl Labels {
    pub(super) fn map(&self) -> std::collections::HashMap<String, String> {
        let labels = [("run", &self.run), ("owner", &self.owner), ("expires", &self.expires), ("folder", &self.folder)];
        map(labels.map(|(name, value)| (format!("dev.mstream.{name}"), value.to_string())))
    }
}
