//! What outlives mstream where nobody removes it. A backend says what it is about to make before it makes it.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Task;

/// Something that a run makes and that has to be gone when the run is over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A control group of this machine, by its folder.
    Cgroup(PathBuf),
    /// A temporary folder of this machine.
    Folder(PathBuf),
    /// A container.
    Container {
        /// The address of its engine.
        engine: Arc<str>,
        /// Its name there.
        name: Arc<str>,
        /// Whether the scenario wants to keep it, if only because the run did not pass.
        keep: bool,
    },
    /// A network of a container engine.
    Network {
        /// The address of the engine.
        engine: Arc<str>,
        /// Its name there.
        name: Arc<str>,
    },
    /// Processes out of reach, which end by themselves when they hear nothing of mstream any more.
    Remote {
        /// Where, for people.
        place: Arc<str>,
        /// After how many seconds of silence.
        lease: u64,
    },
}

/// Where resources are written down before they are made.
pub trait Ledger: Send + Sync + Debug {
    /// Writes it down for good. The error says why not; then it must not be made.
    fn enter(&self, resource: Resource) -> Task<Result<(), String>>;
}

/// The ledger of those who remember nothing: what is made under it has an owner that does not die.
#[derive(Debug)]
pub struct Unwritten;

impl Ledger for Unwritten {
    fn enter(&self, _resource: Resource) -> Task<Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
