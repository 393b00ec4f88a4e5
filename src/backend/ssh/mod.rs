//! Streams on other hosts, through the user's own OpenSSH: its configuration, agent, jump hosts and known hosts.

mod askpass;
mod config;
mod login;
mod master;
mod reason;

use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

pub use askpass::{SOCKET as ASKPASS_SOCKET, ask};

use self::login::Login;
use self::master::Host;
use super::guard::{Far, Line, Patience, Transport};
use super::ledger::{Ledger, Resource};
use super::local::remove_tree;
use super::{Backend, Place, Session, Task};

/// Opens streams on ssh hosts.
#[derive(Debug)]
pub struct SshBackend {
    folder: PathBuf,
    patience: Patience,
    hosts: Mutex<Vec<Arc<Host>>>,
    /// Names the sockets.
    numbers: Arc<AtomicUsize>,
    ledger: Arc<dyn Ledger>,
}

/// The way to one host.
struct Ssh(Arc<Host>);

impl SshBackend {
    /// Streams whose connections have their sockets and logs in `folder`, which the backend makes, and removes with
    /// what is in it. The hosts stand in `ledger` before anything runs there.
    pub fn new(folder: PathBuf, patience: Patience, ledger: Arc<dyn Ledger>) -> Self {
        Self { folder, patience, hosts: Mutex::default(), numbers: Arc::default(), ledger }
    }

    /// The way to the host of `place`, for something that is no stream.
    pub(in crate::backend) fn way(&self, place: &Place) -> Result<Arc<dyn Transport>, String> {
        let host = Login::of(place, self.patience, &self.folder).and_then(|login| self.host(login))?;
        Ok(Arc::new(Ssh(host)))
    }

    /// The host of a login: one that is known, else a new one.
    fn host(&self, login: Login) -> Result<Arc<Host>, String> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.iter().find(|host| host.login == login) {
            return Ok(Arc::clone(host));
        }
        if hosts.is_empty() {
            self.make_folder()?;
        }
        login.config.write()?;
        let host = Arc::new(Host::new(login, self.folder.clone(), self.patience, Arc::clone(&self.numbers)));
        hosts.push(Arc::clone(&host));
        Ok(host)
    }

    fn make_folder(&self) -> Result<(), String> {
        let shown = self.folder.display();
        if !master::fits(&self.folder) {
            return Err(format!("the path {shown} is too long for a socket: set TMPDIR to a shorter one"));
        }
        // Not one that is there already: it may be somebody else's.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&self.folder);
        made.map_err(|error| format!("cannot make the folder {shown}: {error}"))
    }
}

impl Drop for SshBackend {
    fn drop(&mut self) {
        let _ = remove_tree(&self.folder);
    }
}

impl Backend for SshBackend {
    fn open(&self, place: Place) -> Task<Result<Arc<dyn Session>, String>> {
        let host = Login::of(&place, self.patience, &self.folder).and_then(|login| self.host(login));
        let (patience, ledger) = (self.patience, Arc::clone(&self.ledger));
        Box::pin(async move {
            let host = host?;
            let place_shown = host.login.shown.as_str().into();
            ledger.enter(Resource::Remote { place: place_shown, lease: patience.lease.as_secs() }).await?;
            let opening = Far::open(Arc::new(Ssh(Arc::clone(&host))), place, patience);
            if host.login.is_address() {
                return opening.await.map(|far| far.reached_at(Arc::clone(&host.login.host)));
            }
            let (resolved, opened) = tokio::join!(host.login.resolved(), opening);
            opened.map(|far| far.reached_at(resolved.hostname))
        })
    }
}

impl Transport for Ssh {
    fn dial(&self, command: &'static str) -> Task<Result<Line, String>> {
        let host = Arc::clone(&self.0);
        Box::pin(async move { host.dial(command).await })
    }
}

/// The text of a file of ours; nothing where there is none.
fn read(path: &Path) -> String {
    let mut text = Vec::new();
    let _ = std::fs::File::open(path).and_then(|file| file.take(64 << 10).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}
