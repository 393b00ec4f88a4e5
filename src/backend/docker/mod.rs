//! Streams in containers, of docker or of an engine that speaks its language.

mod container;
mod engine;
mod made;
mod reason;
mod remote;
mod sweep;
mod way;

use std::sync::Arc;

use bollard::Docker;
use tokio::sync::{OnceCell, watch};

use self::container::Wanted;
pub use self::engine::Known;
use self::made::{Kept, Made};
pub use self::sweep::{Broom, Swept, Thing};
use self::way::Way;
use super::guard::{Far, Patience};
use super::ledger::Ledger;
use super::{Backend, Job, Orders, Place, Session, Task, Voice};
use crate::event::Leak;

/// Opens streams in containers.
#[derive(Debug)]
pub struct DockerBackend {
    shared: Arc<Shared>,
}

/// What all streams of a run have in common.
#[derive(Debug)]
struct Shared {
    known: Known,
    patience: Patience,
    labels: Labels,
    /// Looked for once: what one stream is told holds for all.
    docker: OnceCell<Result<Docker, String>>,
    made: Made,
}

/// What is written on all that is made, so that it can be found and told from what is not ours.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// `dev.mstream.run`: the id of the run.
    pub run: Arc<str>,
    /// `dev.mstream.owner`: who runs it, and where.
    pub owner: Arc<str>,
    /// `dev.mstream.expires`: from then on nobody needs it any more.
    pub expires: Arc<str>,
    /// `dev.mstream.folder`: the folder of the run, which says whether the run lives.
    pub folder: Arc<str>,
}

impl DockerBackend {
    /// Streams in containers of the engine that is found with what is `known`. What is made stands in `ledger` first.
    pub fn new(known: Known, labels: Labels, patience: Patience, ledger: Arc<dyn Ledger>) -> Self {
        let made = Made::new(ledger, Arc::clone(&labels.run));
        let shared = Shared { known, patience, labels, docker: OnceCell::new(), made };
        Self { shared: Arc::new(shared) }
    }
}

impl Drop for DockerBackend {
    fn drop(&mut self) {
        // A stream that was given up while it was opened has left what it had made.
        if let Some(Ok(docker)) = self.shared.docker.get() {
            self.shared.made.sweep(docker);
        }
    }
}

impl Shared {
    async fn docker(&self) -> Result<&Docker, String> {
        let connect = || async {
            let (docker, address) = engine::connect(&self.known, self.patience).await?;
            self.made.reached_at(&address);
            Ok(docker)
        };
        self.docker.get_or_init(connect).await.as_ref().map_err(Clone::clone)
    }
}

impl Backend for DockerBackend {
    fn open(&self, place: Place) -> Task<Result<Arc<dyn Session>, String>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let wanted = Wanted::of(&place)?;
            let docker = shared.docker().await?;
            let (mut container, kept) = wanted.get(docker, &shared.made, &shared.labels, &place).await?;
            let ours = container.attached.is_some();
            let way = Way::new(docker.clone(), &mut container, &wanted);
            let opened = Far::open(Arc::new(way), place, shared.patience).await;
            match opened {
                Ok(far) => {
                    let far = far.reached_at(container.address);
                    Ok(Arc::new(Inside { far, shared: Arc::clone(&shared), id: container.id, kept })
                        as Arc<dyn Session>)
                }
                Err(words) => {
                    let ended = !container::runs(docker, &container.id).await;
                    let words =
                        if ended { container::ended_at_once(docker, &container.name, ours).await } else { words };
                    if let Some(kept) = kept {
                        let _ = shared.made.remove(docker, &kept, false).await;
                    }
                    Err(words)
                }
            }
        })
    }
}

/// A stream in a container.
struct Inside {
    far: Arc<dyn Session>,
    shared: Arc<Shared>,
    id: String,
    /// The container, where it was made for this stream.
    kept: Option<Kept>,
}

impl Session for Inside {
    fn host(&self) -> Arc<str> {
        self.far.host()
    }

    fn run(&self, job: Job, orders: watch::Receiver<Orders>, voice: Voice) -> Task<()> {
        self.far.run(job, orders, voice)
    }

    fn put(&self, from: std::path::PathBuf, to: String) -> Task<Result<(), String>> {
        self.far.put(from, to)
    }

    fn get(&self, from: String, to: std::path::PathBuf) -> Task<Result<(), String>> {
        self.far.get(from, to)
    }

    fn listens(&self, port: u16) -> Task<bool> {
        self.far.listens(port)
    }

    fn exists(&self, path: String) -> Task<bool> {
        self.far.exists(path)
    }

    fn lost(&self) -> Option<Task<String>> {
        self.far.lost()
    }

    fn close(&self, passed: bool) -> Task<Vec<Leak>> {
        let (far, shared) = (Arc::clone(&self.far), Arc::clone(&self.shared));
        let (id, kept) = (self.id.clone(), self.kept.clone());
        Box::pin(async move {
            let Ok(docker) = shared.docker().await else { return far.close(passed).await };
            // In a container that has ended nothing is left.
            let mut leaks = if container::runs(docker, &id).await { far.close(passed).await } else { Vec::new() };
            if let Some(kept) = kept {
                let left = shared.made.remove(docker, &kept, passed).await.err();
                leaks.extend(left.map(|words| Leak { pid: 0, command: words.into() }));
            }
            leaks
        })
    }
}
