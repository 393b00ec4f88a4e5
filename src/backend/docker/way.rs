//! The way into a container: the three streams of its first process, where that is a shell of ours, else of an exec.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
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
    match docker.inspect_container(id, None).await {
        Ok(found) => over(&found.state.unwrap_or_default(), name),
        Err(error) if reason::is_missing(&error) => Some(removed(name)),
        Err(error) => Some(format!("the container engine does not answer any more: {}", reason::of(&error))),
    }
}

/// Why nothing runs any more in a container that is in this state.
fn over(state: &ContainerState, name: &str) -> Option<String> {
    let code = state.exit_code.unwrap_or_default();
    // To remove one can take an engine seconds: its processes are killed first, its files deleted last.
    if matches!(state.status, Some(Status::REMOVING | Status::DEAD)) {
        Some(removed(name))
    } else if state.running == Some(true) {
        None
    } else if state.oom_killed == Some(true) {
        Some(format!("the container {name} ran out of memory and was killed (exit code {code})"))
    } else {
        Some(format!(
            "the container {name} has ended (exit code {code}): it was stopped or killed, or its command has ended"
        ))
    }
}

fn removed(name: &str) -> String {
    format!("the container {name} was removed")
}

/// Labels and endpoints are maps in the engine's language.
pub(super) fn map<V>(pairs: impl IntoIterator<Item = (String, V)>) -> HashMap<String, V> {
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_why_nothing_runs_any_more() {
        let state = |running, oom_killed, status| ContainerState {
            running: Some(running),
            oom_killed: Some(oom_killed),
            exit_code: Some(137),
            status: Some(status),
            ..ContainerState::default()
        };
        for (state, words) in [
            (state(true, false, Status::RUNNING), None),
            (state(false, false, Status::EXITED), Some("has ended (exit code 137)")),
            (state(false, true, Status::EXITED), Some("ran out of memory and was killed (exit code 137)")),
            // One that is removed by force has ended, and that is not what happened to it.
            (state(false, false, Status::REMOVING), Some("was removed")),
            (state(false, false, Status::DEAD), Some("was removed")),
        ] {
            let told = over(&state, "db");
            assert_eq!(told.is_some(), words.is_some(), "{state:?}: {told:?}");
            assert!(told.unwrap_or_default().contains(words.unwrap_or_default()), "{state:?}");
        }
    }
}
