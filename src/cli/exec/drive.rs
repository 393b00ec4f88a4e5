//! Sets a run going on a runtime of its own, with the signals beside it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Exec;
use super::one::{KEPT, Start};
use crate::backend::Backend;
use crate::backend::docker::{DockerBackend, Labels};
use crate::backend::guard::Patience;
use crate::backend::ledger::{Ledger, Unwritten};
use crate::backend::local::{LocalBackend, remove_tree};
use crate::backend::ssh::SshBackend;
use crate::cli::Console;
use crate::cli::engines::{EXPIRES, engines, owner};
use crate::cli::folder::{Folder, private};
use crate::cli::guardian::Guarded;
use crate::cli::hand::Hand;
use crate::cli::secrets::Secrets;
use crate::engine::{Limits, Past};
use crate::event::{Ask, Urgency, Verdict};
use crate::run::{Home, Run, run};
use crate::sys;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// After so long nobody needs what a run has left in a container engine.
const EXPIRY: Duration = Duration::from_hours(24);

/// What goes into a run from outside.
pub(super) struct Links<'a> {
    pub(super) past: &'a Past,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) asked: mpsc::Receiver<Ask>,
}

/// Sets the run going on a runtime of its own, with the signals beside it.
pub(super) fn drive(
    start: &Start<'_>,
    links: Links<'_>,
    hand: &mut Hand<'_>,
    guard: Option<&mut Guarded>,
) -> Result<(Verdict, Option<u8>), String> {
    let Start { it, scenario, folder, .. } = *start;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    // Before anything is made that an end in the middle would leave.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    if let Some(guard) = guard.as_deref() {
        guard.listens();
    }
    let alive = guard.as_deref().map(Guarded::alive).transpose();
    let alive = alive.map_err(|error| format!("cannot hear the guardian: {error}"))?;
    // Where nothing runs, nobody needs a folder.
    let mut guard = guard;
    let (tmp, ledger): (_, Arc<dyn Ledger>) = match guard.as_mut() {
        None => (None, Arc::new(Unwritten)),
        Some(guard) => {
            guard.wait()?;
            (Some(Tmp::make(temporary(&folder.id)?)?), Arc::new(guard.book.clone()))
        }
    };
    let tmp_path = tmp.as_ref().map(|tmp| tmp.path.clone()).unwrap_or_default();
    let patience = Patience { connect: CONNECT.saturating_mul(it.timeout_scale) / 100, lease: it.lease };
    let local: Arc<dyn Backend> = Arc::new(LocalBackend::new(environment(&scenario.secrets)));
    let ssh: Arc<dyn Backend> = Arc::new(SshBackend::new(tmp_path.join(".ssh"), patience, Arc::clone(&ledger)));
    let docker: Arc<dyn Backend> =
        Arc::new(DockerBackend::new(engines(tmp_path.join(".engine")), labels(folder), patience, ledger));
    let backends =
        IndexMap::from([(Arc::from("local"), local), (Arc::from("ssh"), ssh), (Arc::from("docker"), docker)]);
    let base = scenario.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = base.canonicalize().map_err(|error| format!("cannot find `{}`: {error}", base.display()))?;
    let files = folder.path.join("files");
    let home = Home { id: Arc::clone(&folder.id), folder: base, tmp: tmp_path, files, keep: KEPT };
    runtime.block_on(async {
        let job = Run {
            plan: Arc::clone(&scenario.plan),
            limits: limits(it),
            secrets: Arc::clone(&scenario.secrets),
            backends: &backends,
            home,
            sources: &scenario.sources,
            stops: links.asked,
            past: links.past,
        };
        // A task of its own: what wakes the run does not wake it.
        let first = Arc::new(OnceLock::new());
        let mut beside = JoinSet::new();
        beside.spawn(hear(signals, alive, links.asks, Arc::clone(&first)));
        let verdict = run(job, hand).await;
        Ok((verdict, first.get().copied()))
    })
}

/// The signals that end a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot listen to signals: {error}"));
        let all = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let [interrupt, terminate, hang_up, quit] = all.map(listen);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hang_up: hang_up?, quit: quit? })
    }
}

/// Listens to signals, and to whether the guardian lives; the code of the first thing heard is kept in `first`.
async fn hear(mut signals: Signals, alive: Option<OwnedFd>, asks: mpsc::Sender<Ask>, first: Arc<OnceLock<u8>>) {
    let mut alone = std::pin::pin!(alone(alive));
    let mut guarded = true;
    loop {
        let code = tokio::select! {
            biased;
            _ = signals.interrupt.recv() => 130,
            _ = signals.terminate.recv() => 143,
            _ = signals.hang_up.recv() => 129,
            _ = signals.quit.recv() => 131,
            () = &mut alone, if guarded => {
                guarded = false;
                Console::progress("the guardian of this run was killed: stopping it in order\n");
                143
            }
        };
        let urgency = if first.set(code).is_ok() { Urgency::Orderly } else { Urgency::AtOnce };
        // The channel holds more than anybody needs: the second request is the last that counts.
        let _ = asks.try_send(Ask::Interrupt(urgency));
    }
}

/// Waits for the end of the guardian, where there is one.
async fn alone(alive: Option<OwnedFd>) {
    if let Some(Ok(alive)) = alive.map(sys::watch)
        && alive.readable().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn limits(it: &Exec) -> Limits {
    Limits { fail_fast: it.fail_fast, run: it.timeout, scale: it.timeout_scale, ..Limits::default() }
}

/// What local steps inherit: all but the secrets, which reach only those who ask for them.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(secrets: &Secrets) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_none_or(|name| !secrets.contains_key(name))).collect()
}

/// What is written on everything that a run makes in a container engine.
fn labels(folder: &Folder) -> Labels {
    let expires = jiff::Timestamp::now() + EXPIRY;
    Labels {
        run: Arc::clone(&folder.id),
        owner: owner().into(),
        expires: expires.strftime(EXPIRES).to_string().into(),
        folder: folder.path.to_string_lossy().into(),
    }
}

/// Where the temporary folder of a run is.
pub(super) fn temporary(run: &str) -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join(format!("mstream-{run}"));
    std::path::absolute(path).map_err(|error| format!("there is no temporary folder: {error}"))
}

/// A folder for the temporary folders of the streams; removed at the end.
struct Tmp {
    path: PathBuf,
}

impl Tmp {
    fn make(path: PathBuf) -> Result<Self, String> {
        private(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| {
                use std::os::unix::fs::DirBuilderExt as _;
                // Not one that is there already: it may be somebody else's.
                std::fs::DirBuilder::new().mode(0o700).create(&path)
            })
            .map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Tmp {
    fn drop(&mut self) {
        // What cannot be removed the streams have told.
        let _ = remove_tree(&self.path);
    }
}
