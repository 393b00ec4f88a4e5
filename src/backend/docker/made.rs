//! What was made in an engine, so that all of it is removed: written down before it is made, crossed out when it is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use indexmap::IndexSet;
use tokio::sync::Mutex as Turns;
use tokio::time::sleep;

use super::{Labels, reason};

/// How often a container that is not there yet is looked for again: its making may still be on its way.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

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
#[derive(Debug, Default)]
pub(super) struct Made {
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
    /// A number that nobody else has.
    pub(super) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes a container down, before it is made.
    pub(super) fn note(&self, name: &str) {
        self.names().insert(name.to_owned());
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

    /// Removes a container, and with the last one the network; or lets it be where it is to stay.
    pub(super) async fn remove(&self, docker: &Docker, it: &Kept, passed: bool) {
        let stays = match it.remove {
            Remove::Always => false,
            Remove::OnSuccess => !passed,
            Remove::Never => true,
        };
        if !stays {
            remove(docker, &it.name).await;
        }
        self.names().shift_remove(&it.name);
        if it.networked {
            let mut network = self.network.lock().await;
            network.users = network.users.saturating_sub(1);
            network.stays |= stays;
            if network.users == 0 && !network.stays {
                remove_network(docker, &network.name).await;
            }
        }
    }

    /// Removes what is left, at the end of a run that did not get to it in order.
    pub(super) fn sweep(&self, docker: &Docker) {
        let left: Vec<String> = std::mem::take(&mut *self.names()).into_iter().collect();
        let network = self.network.try_lock().ok().filter(|network| network.users > 0 && !network.stays);
        let network = network.map(|network| network.name.clone());
        if left.is_empty() && network.is_none() {
            return;
        }
        let docker = docker.clone();
        // On a thread of its own: this one may belong to a runtime already.
        let sweeping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                for name in &left {
                    remove(&docker, name).await;
                }
                if let Some(network) = network {
                    remove_network(&docker, &network).await;
                }
            });
        });
        let _ = sweeping.join();
    }
}

/// Removes a container with its volumes that have no name.
async fn remove(docker: &Docker, name: &str) {
    for _ in 0..LOOKS {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match docker.remove_container(name, Some(options)).await {
            // Somebody else is removing it.
            Err(error) if reason::of(&error).contains("already in progress") => sleep(PAUSE).await,
            Err(error) if reason::is_missing(&error) => sleep(PAUSE).await,
            Ok(()) | Err(_) => return,
        }
    }
}

async fn remove_network(docker: &Docker, name: &str) {
    for _ in 0..LOOKS {
        match docker.remove_network(name).await {
            // It is being made still, or a container is only just leaving it.
            Err(error) if reason::is_missing(&error) || reason::of(&error).contains("active endpoints") => {
                sleep(PAUSE).await;
            }
            Ok(()) | Err(_) => return,
        }
    }
}
