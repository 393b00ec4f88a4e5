//! Removes from an engine what runs have left there. Only what carries our labels is ever looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::{Known, engine, reason};
use crate::backend::guard::Patience;

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the way to it may be silent.
const LEASE: Duration = Duration::from_secs(30);
/// How long one removal may take.
const REMOVAL: Duration = Duration::from_secs(30);
/// How often something that would not go is tried again.
const TRIES: u32 = 10;
/// How often it is looked for what somebody who was killed had only just asked for.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// A container or a network that carries our labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// Its id, which nobody else will ever have.
    id: String,
    /// Whether it is a network.
    network: bool,
    labels: HashMap<String, String>,
}

/// What has become of what a run had left.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// What is gone: `container x`, `network y`.
    pub removed: Vec<String>,
    /// What stays, because the scenario wants that.
    pub kept: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<String>,
}

/// An engine, asked without a run around it.
#[derive(Debug)]
pub struct Broom {
    runtime: Runtime,
    docker: Docker,
}

impl Thing {
    /// What one of our labels says; empty where it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(&format!("dev.mstream.{name}")).map_or("", String::as_str)
    }

    /// Whether the scenario wants to keep it.
    pub fn stays(&self) -> bool {
        !self.label("keep").is_empty()
    }

    /// `container x`
    pub fn shown(&self) -> String {
        format!("{} {}", if self.network { "network" } else { "container" }, self.name)
    }
}

impl Broom {
    /// For the engine that answers with what is `known`.
    pub fn take(known: &Known) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        let (docker, _) = runtime.block_on(engine::connect(known, Patience { connect: PATIENCE, lease: LEASE }))?;
        Ok(Self { runtime, docker })
    }

    /// All that carries this label, `run` or `owner`, with this value.
    pub fn things(&self, label: &str, value: &str) -> Result<Vec<Thing>, String> {
        self.runtime.block_on(list(&self.docker, label, value))
    }

    /// Removes what a run has made, and looks again for what it had only just asked for: `expected` are the names of
    /// all that it may have made.
    pub fn sweep(&self, run: &str, expected: &[Arc<str>]) -> Swept {
        self.runtime.block_on(sweep(&self.docker, run, expected))
    }
}

async fn sweep(docker: &Docker, run: &str, expected: &[Arc<str>]) -> Swept {
    let mut swept = Swept::default();
    let mut seen = BTreeSet::new();
    let mut tries = 0;
    for _ in 0..LOOKS {
        let things = match list(docker, "run", run).await {
            Ok(things) => things,
            Err(words) => {
                swept.failed.push(words);
                return swept;
            }
        };
        seen.extend(things.iter().map(|thing| thing.name.clone()));
        let (stay, go): (Vec<Thing>, Vec<Thing>) = things.into_iter().partition(Thing::stays);
        swept.kept = stay.iter().map(Thing::shown).collect();
        swept.failed.clear();
        for thing in &go {
            // The network of one that stays has to stay too.
            match remove(docker, thing).await {
                Ok(()) => swept.removed.push(thing.shown()),
                Err(_) if thing.network && !stay.is_empty() => swept.kept.push(thing.shown()),
                Err(words) => swept.failed.push(format!("{}: {words}", thing.shown())),
            }
        }
        tries += u32::from(!swept.failed.is_empty());
        let complete = expected.iter().all(|name| seen.contains(&**name));
        if swept.failed.is_empty() && complete || tries == TRIES {
            break;
        }
        sleep(PAUSE).await;
    }
    swept
}

async fn list(docker: &Docker, label: &str, value: &str) -> Result<Vec<Thing>, String> {
    let listing = async {
        let filters = HashMap::from([("label", vec![format!("dev.mstream.{label}={value}")])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let containers = docker.list_containers(Some(options)).await?;
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = docker.list_networks(Some(options)).await?;
        let containers = containers.into_iter().map(|it| {
            let name = it.names.into_iter().flatten().next().unwrap_or_default();
            (name.trim_start_matches('/').to_owned(), it.id, it.labels, false)
        });
        let networks = networks.into_iter().map(|it| (it.name.unwrap_or_default(), it.id, it.labels, true));
        // Containers first: a network that is in use cannot be removed.
        let all = containers.chain(networks).map(|(name, id, labels, network)| Thing {
            name,
            id: id.unwrap_or_default(),
            network,
            labels: labels.unwrap_or_default(),
        });
        Ok::<_, bollard::errors::Error>(all.collect::<Vec<_>>())
    };
    let listed = timeout(PATIENCE, listing).await.map_err(|_| "the engine does not answer".to_owned())?;
    let things = listed.map_err(|error| reason::of(&error))?;
    // An engine that knows no filters would answer with everything there is.
    Ok(things.into_iter().filter(|thing| thing.label(label) == value).collect())
}

async fn remove(docker: &Docker, thing: &Thing) -> Result<(), String> {
    let removing = async {
        if thing.network {
            return docker.remove_network(&thing.id).await;
        }
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        docker.remove_container(&thing.id, Some(options)).await
    };
    match timeout(REMOVAL, removing).await {
        Ok(Err(error)) if !reason::is_missing(&error) => Err(reason::of(&error)),
        Ok(_) => Ok(()),
        Err(_) => Err("the engine does not answer".to_owned()),
    }
}
