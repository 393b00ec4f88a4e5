//! The way into a container: the three streams of its first process, where that is a shell of ours, else of an exec.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ContainerStateStatusEnum as Status;
use futures_util::StreamExt as _;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::container::{Container, Wanted};
use super::reason;
use crate::backend::Task;
use crate::backend::guard::{Line, Transport};

/// How much may be on its way on each of two channels.
const PIPE: usize = 64 << 10;

/// What a shell ends with that the engine could not even start.
const NOT_STARTED: [i64; 2] = [126, 127];

/// What a shell ends with that was killed.
const KILLED: i64 = 137;

/// How often the engine is asked what became of a container.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The way into one container.
#[derive(Debug)]
pub(super) struct Way {
    docker: Docker,
    id: String,
    name: String,
    user: Option<String>,
    dir: Option<String>,
    env: Vec<String>,
    /// The way to the first process, until it is taken.
    attached: Mutex<Option<AttachContainerResults>>,
    /// Each brings the output of one line.
    carriers: Arc<Mutex<JoinSet<()>>>,
}

impl Way {
    pub(super) fn new(docker: Docker, container: &mut Container, wanted: &Wanted) -> Self {
        Self {
            docker,
            id: container.id.clone(),
            name: container.name.clone(),
            user: wanted.user.clone(),
            dir: wanted.dir.clone(),
            env: wanted.env.clone(),
            attached: Mutex::new(container.attached.take()),
            carriers: Arc::default(),
        }
    }
}

impl Transport for Way {
    /// The first process of a container that we make runs the one command that there is.
    fn dial(&self, command: &'static str) -> Task<Result<Line, String>> {
        let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (docker, id, name) = (self.docker.clone(), self.id.clone(), self.name.clone());
        let carriers = Arc::clone(&self.carriers);
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(["sh", "-c", command].map(str::to_owned).into()),
            user: self.user.clone(),
            working_dir: self.dir.clone(),
            env: Some(self.env.clone()),
            ..CreateExecOptions::default()
        };
        Box::pin(async move {
            let refused =
                |error: &bollard::errors::Error| format!("the container {name} takes no shell: {}", reason::of(error));
            let (output, input, exec) = if let Some(AttachContainerResults { output, input }) = attached {
                (output, input, None)
            } else {
                let exec = docker.create_exec(&id, options).await.map_err(|error| refused(&error))?.id;
                let start = StartExecOptions { output_capacity: Some(PIPE), ..StartExecOptions::default() };
                let started = docker.start_exec(&exec, Some(start)).await.map_err(|error| refused(&error))?;
                let StartExecResults::Attached { output, input } = started else {
                    return Err(format!("the container {name} takes no shell: the engine does not attach to it"));
                };
                (output, input, Some(exec))
            };
            let (stdout, mut to_stdout) = duplex(PIPE);
            let (stderr, mut to_stderr) = duplex(PIPE);
            let carry = async move {
                let mut output = output;
                while let Some(Ok(message)) = output.next().await {
                    let (pipe, message): (&mut DuplexStream, _) = match message {
                        LogOutput::StdErr { message } => (&mut to_stderr, message),
                        LogOutput::StdOut { message } | LogOutput::Console { message } => (&mut to_stdout, message),
                        LogOutput::StdIn { .. } => continue,
                    };
                    if pipe.write_all(&message).await.is_err() {
                        break;
                    }
                }
            };
            carriers.lock().unwrap_or_else(PoisonError::into_inner).spawn(carry);
            let end = Box::pin(async move { why(&docker, &id, &name, exec.as_deref()).await });
            Ok(Line { stdin: Box::new(input), stdout: Box::new(stdout), stderr: Box::new(stderr), end })
        })
    }
}

/// Why a line into a container has ended; `None`: its shell has, and the container has not. That of the first process
/// ends with the container.
async fn why(docker: &Docker, id: &str, name: &str, exec: Option<&str>) -> Option<String> {
    for _ in 0..LOOKS {
        if gone(docker, id, name).await.is_some() {
            // Some engines kill one that is removed by force before they say that it is being removed.
            sleep(PAUSE).await;
            return gone(docker, id, name).await;
        }
        let exec = match exec {
            Some(exec) => docker.inspect_exec(exec).await.ok(),
            None => None,
        };
        match exec.and_then(|exec| exec.exit_code) {
            Some(code) if NOT_STARTED.contains(&code) => {
                // Of one that has ended meanwhile the engine says the same, and learns it a moment later.
                sleep(PAUSE).await;
                let no_shell =
                    || format!("the container {name} has no `sh`, and a stream needs one: take an image with a shell");
                return Some(gone(docker, id, name).await.unwrap_or_else(no_shell));
            }
            // Killed: alone, or with all the others, of which the engine learns a moment later.
            Some(KILLED) | None => sleep(PAUSE).await,
            Some(_) => return None,
        }
    }
    None
}

/// Why nothing runs in a container any more; `None`: it could.
async fn gone(docker: &Docker, id: &str, name: &str) -> Option<String> {
    let removed = || Some(format!("the container {name} was removed"));
    let state = match docker.inspect_container(id, None).await {
        Ok(found) => found.state.unwrap_or_default(),
        Err(error) if reason::is_missing(&error) => return removed(),
        Err(error) => return Some(format!("the container engine does not answer any more: {}", reason::of(&error))),
    };
    // To remove one can take an engine seconds: its processes are killed first, its files deleted last.
    if matches!(state.status, Some(Status::REMOVING | Status::DEAD)) {
        return removed();
    }
    let code = state.exit_code.unwrap_or_default();
    if state.running != Some(true) {
        return Some(if state.oom_killed == Some(true) {
            format!("the container {name} ran out of memory and was killed (exit code {code})")
        } else {
            format!(
                "the container {name} has ended (exit code {code}): it was stopped or killed, or its command has ended"
            )
        });
    }
    None
}

/// Labels and endpoints are maps in the engine's language.
pub(super) fn map<V>(pairs: impl IntoIterator<Item = (String, V)>) -> HashMap<String, V> {
    pairs.into_iter().collect()
}
