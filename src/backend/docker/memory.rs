//! Whether a step that failed in a container with a limit has run out of memory. An engine knows only of the first process
//! of a container; the kernel counts all that it has killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::backend::{Job, Orders, Session, Task, Told, Voice};
use crate::event::{Channel, Exit};

/// What the kernel counts, with cgroups of either version, as a container sees its own.
const COUNTS: [&str; 3] = ["cat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// How long the engine may take to read it.
const READING: Duration = Duration::from_secs(2);

/// A container whose memory is limited.
#[derive(Clone, Debug)]
pub(super) struct Limited {
    pub(super) docker: Docker,
    pub(super) id: String,
    /// How many were killed when it was last said.
    pub(super) said: Arc<AtomicU64>,
}

impl Limited {
    /// Runs a job, and says on its stderr where the container has run out of memory meanwhile.
    pub(super) fn run(&self, far: &dyn Session, job: Job, orders: watch::Receiver<Orders>, voice: Voice) -> Task<()> {
        let (proxy, mut told) = mpsc::channel(1);
        let step = job.step;
        let life = far.run(job, orders, Voice::new(step, proxy));
        let it = self.clone();
        Box::pin(async move {
            let telling = async {
                while let Some((_, told)) = told.recv().await {
                    if let Told::Ended(end) = &told
                        && it.ran_out(&end.exit).await
                    {
                        let words = "mstream: the container ran out of memory, and the kernel killed a process in it\n";
                        voice.tell(Told::Output(Channel::Stderr, Bytes::from_static(words.as_bytes()))).await;
                    }
                    voice.tell(told).await;
                }
            };
            tokio::join!(life, telling);
        })
    }

    /// Whether that has happened since it was last said.
    async fn ran_out(&self, exit: &Exit) -> bool {
        if *exit == Exit::Status(0) {
            return false;
        }
        let killed = timeout(READING, self.killed()).await.ok().flatten().unwrap_or_default();
        self.said.fetch_max(killed, Ordering::Relaxed) < killed
    }

    /// How many processes of the container were killed for memory.
    async fn killed(&self) -> Option<u64> {
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            cmd: Some(COUNTS.map(str::to_owned).into()),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(&self.id, options).await.ok()?.id;
        let started = self.docker.start_exec(&exec, None::<StartExecOptions>).await.ok()?;
        let StartExecResults::Attached { mut output, .. } = started else { return None };
        let mut text = Vec::new();
        while let Some(Ok(message)) = output.next().await {
            text.extend_from_slice(&message.into_bytes());
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}
