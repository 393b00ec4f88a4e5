//! What was made in an engine, so that all of it is removed: written down before it is made, crossed out when it is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, NetworkCreateRequest};
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use indexmap::IndexSet;
use tokio::sync::Mutex as Turns;
use tokio::time::{Instant, sleep, timeout};

use super::{Labels, reason};
use crate::backend::ledger::{Ledger, Resource};

/// How often a container that is not there yet is looked for again: its making may still be on its way.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for an engine that does not answer any more.
const RETURN: Duration = Duration::from_secs(15);

/// When a container that was made is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remove {
    Always,
    OnSuccess,
    Never,
}

/// A container that was made, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) remove: Remove,
    /// Whether it is in the network of the run.
    pub(super) networked: bool,
}

/// All that was made.
#[derive(Debug)]
pub(super) struct Made {
    ledger: Arc<dyn Ledger>,
    /// The id of the run: what does not have its label is not ours.
    run: Arc<str>,
    /// The address of the engine.
    engine: OnceLock<Arc<str>>,
    /// Tells names apart that look the same.
    numbers: AtomicUsize,
    containers: Arc<Mutex<IndexSet<String>>>,
    network: Arc<Turns<Network>>,
}

/// The network of the run, made with the first container in it and removed with the last.
#[derive(Debug, Default)]
struct Network {
    name: String,
    users: usize,
    /// A container that stays is in it.
    stays: bool,
}

impl Made {
    /// Nothing yet; what will be made stands in `ledger` first.
    pub(super) fn new(ledger: Arc<dyn Ledger>, run: Arc<str>) -> Self {
        Self {
            ledger,
            run,
            engine: OnceLock::new(),
            numbers: AtomicUsize::default(),
            containers: Arc::default(),
            network: Arc::default(),
        }
    }

    /// The engine answers at this address.
    pub(super) fn reached_at(&self, address: &str) {
        self.engine.get_or_init(|| address.into());
    }

    fn engine(&self) -> Arc<str> {
        self.engine.get().cloned().unwrap_or_default()
    }

    /// A number that nobody else has.
    pub(super) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes a container down, before it is made.
    pub(super) async fn note(&self, it: &Kept) -> Result<(), String> {
        let keep = it.remove != Remove::Always;
        let resource = Resource::Container { engine: self.engine(), name: it.name.as_str().into(), keep };
        self.ledger.enter(resource).await?;
        self.names().insert(it.name.clone());
        Ok(())
    }

    /// Crosses a container out that the engine has refused to make.
    pub(super) fn strike(&self, name: &str) {
        self.names().shift_remove(name);
    }

    fn is_noted(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    fn names(&self) -> std::sync::MutexGuard<'_, IndexSet<String>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the network of the run, with one more user.
    pub(super) async fn enter(&self, docker: &Docker, labels: &Labels) -> Result<String, String> {
        let mut network = self.network.lock().await;
        if network.users == 0 && !network.stays {
            network.name = format!("mstream-{}", labels.run);
            let request = NetworkCreateRequest {
                name: network.name.clone(),
                labels: Some(labels.map()),
                ..NetworkCreateRequest::default()
            };
            self.ledger.enter(Resource::Network { engine: self.engine(), name: network.name.as_str().into() }).await?;
            network.users += 1;
            // Nobody else makes one of this name: it may be there from a stream that was given up.
            match docker.create_network(request).await {
                Err(error) if !reason::of(&error).contains("already exists") => {
                    network.users -= 1;
                    return Err(format!("the network of the run cannot be made: {}", reason::of(&error)));
                }
                Ok(_) | Err(_) => {}
            }
        } else {
            network.users += 1;
        }
        Ok(network.name.clone())
    }

    /// Removes a container, and with the last one the network; or lets it be where it is to stay. The error says what is
    /// left.
    pub(super) async fn remove(&self, docker: &Docker, it: &Kept, passed: bool) -> Result<(), String> {
        let stays = match it.remove {
            Remove::Always => false,
            Remove::OnSuccess => !passed,
            Remove::Never => true,
        };
        let gone = if !stays && self.is_noted(&it.name) { remove(docker, &it.name, &self.run).await } else { Ok(()) };
        self.strike(&it.name);
        if it.networked {
            let mut network = self.network.lock().await;
            network.users = network.users.saturating_sub(1);
            network.stays |= stays;
            if network.users == 0 && !network.stays {
                remove_network(docker, &network.name).await;
            }
        }
        gone
    }

    /// Removes what is left, at the end of a run that did not get to it in order.
    pub(super) fn sweep(&self, docker: &Docker) {
        let left: Vec<String> = std::mem::take(&mut *self.names()).into_iter().collect();
        let network = self.network.try_lock().ok().filter(|network| network.users > 0 && !network.stays);
        let network = network.map(|network| network.name.clone());
        if left.is_empty() && network.is_none() {
            return;
        }
        let (docker, run) = (docker.clone(), Arc::clone(&self.run));
        // On a thread of its own: this one may belong to a runtime already.
        let sweeping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                for name in &left {
                    let _ = remove(&docker, name, &run).await;
                }
                if let Some(network) = network {
                    remove_network(&docker, &network).await;
                }
            });
        });
        let _ = sweeping.join();
    }
}

/// Removes a container with its volumes that have no name, if this run has made it: another one may have the name that
/// ours was to get. The error says why it may still be there.
async fn remove(docker: &Docker, name: &str, run: &str) -> Result<(), String> {
    let (mut looks, limit) = (LOOKS, Instant::now() + RETURN);
    loop {
        let Ok(gone) = timeout(RETURN, removed(docker, name, run)).await else {
            return Err(format!("the container {name} could not be removed: the engine does not answer"));
        };
        match gone {
            Ok(()) => return Ok(()),
            Err(error) if reason::is_missing(&error) && looks == 0 => return Ok(()),
            Err(error) if reason::is_missing(&error) => looks -= 1,
            // Somebody else is removing it; an engine has been seen to say so for ever.
            Err(error) if reason::of(&error).contains("already in progress") && Instant::now() <= limit => {}
            Err(error) if reason::is_refusal(&error) || Instant::now() > limit => {
                return Err(format!("the container {name} could not be removed: {}", reason::of(&error)));
            }
            // An engine that is started anew comes back, and one that stumbles over a container that is just ending does
            // not the next time.
            Err(_) => sleep(PAUSE).await,
        }
        sleep(PAUSE).await;
    }
}

async fn removed(docker: &Docker, name: &str, run: &str) -> Result<(), Error> {
    let found = docker.inspect_container(name, None).await?;
    if !is_of(&found, run) {
        return Ok(());
    }
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(&found.id.unwrap_or_else(|| name.to_owned()), Some(options)).await
}

fn is_of(found: &ContainerInspectResponse, run: &str) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get("dev.mstream.run")).is_some_and(|of| of == run)
}

async fn remove_network(docker: &Docker, name: &str) {
    for _ in 0..LOOKS {
        let Ok(gone) = timeout(RETURN, docker.remove_network(name)).await else { return };
        match gone {
            // It is being made still, or a container is only just leaving it.
            Err(error) if reason::is_missing(&error) || reason::of(&error).contains("active endpoints") => {
                sleep(PAUSE).await;
            }
            Ok(()) | Err(_) => return,
        }
    }
}
