//! Whether a background process is ready, and whether it still is: asked again and again where the stream is, until
//! it ends or is stopped.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::carry::{Carrier, Done, Owner};
use super::job;
use crate::backend::{Job, Orders, Session, Told, Voice};
use crate::engine::{Input, Stop};
use crate::event::{Channel, Exit};
use crate::plan::{Expr, HandleId, Probe, StepId, evaluate};
use crate::scenario::Id as _;

/// How long the code of a probe may take, where it names no time of its own.
const ONE_PROBE: Duration = Duration::from_secs(10);
/// The shortest pause between two probes.
const BREATH: Duration = Duration::from_millis(10);
/// The longest line of output that is compared; of longer ones this much.
const LINE: usize = 64 << 10;

/// How one background process is watched.
#[derive(Debug)]
pub(super) struct Watch {
    handle: HandleId,
    /// What it waits for; nothing once it is ready.
    ready: Option<Ready>,
    task: Option<AbortHandle>,
}

/// What makes a background process ready.
#[derive(Debug)]
pub(super) enum Ready {
    /// That it runs.
    Started,
    /// A line of its output.
    Output(Lines),
    /// What a question to the stream gives.
    Asked(Question),
}

/// The output of a process, line by line.
#[derive(Debug)]
pub(super) struct Lines {
    wanted: Regex,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A question to a stream.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Port(u16),
    File(String),
    Code(Box<Job>, Duration),
}

impl Ready {
    /// What makes the process of `handle` ready, its values filled in; the error is what they lack, in words.
    pub(super) fn of(carrier: &Carrier<'_>, handle: HandleId) -> Result<Self, String> {
        match &carrier.world.plan.handles[handle].ready {
            None => Ok(Self::Started),
            Some(Probe::Output(pattern)) => {
                let wanted = Regex::new(pattern).map_err(|error| format!("`ready`: {error}"))?;
                Ok(Self::Output(Lines { wanted, stdout: Vec::new(), stderr: Vec::new() }))
            }
            Some(probe @ (Probe::Port(_) | Probe::File(_) | Probe::Code(_))) => {
                Ok(Self::Asked(Question::of(carrier, handle, probe)?))
            }
        }
    }
}

impl Question {
    fn of(carrier: &Carrier<'_>, handle: HandleId, probe: &Probe) -> Result<Self, String> {
        let plan = &carrier.world.plan;
        let value = |expr: &Expr| evaluate(expr, &carrier.engine).map_err(|unknown| unknown.0);
        match probe {
            Probe::Port(port) => {
                let port = value(port)?.to_string();
                Ok(Self::Port(port.trim().parse().map_err(|_| format!("`{port}` is not a TCP port"))?))
            }
            Probe::File(path) => Ok(Self::File(value(path)?.to_string())),
            Probe::Code(code) => {
                let code = &plan.codes[*code];
                let job = job::of_code(carrier, plan.handles[handle].step, code, false)?;
                let limit = code.options.as_ref().and_then(|options| options.timeout).unwrap_or(ONE_PROBE);
                Ok(Self::Code(Box::new(job), limit.saturating_mul(carrier.world.scale) / 100))
            }
            Probe::Output(_) => Err("`output` tells when a process is ready, not whether it is still alive".to_owned()),
        }
    }

    /// Asks once: `None` if all is well, else what is not, in words.
    async fn ask(&self, session: &Arc<dyn Session>) -> Option<String> {
        match self {
            Self::Port(port) => (!session.listens(*port).await).then(|| format!("nothing listens on port {port}")),
            Self::File(path) => (!session.exists(path.clone()).await).then(|| format!("there is no file {path}")),
            Self::Code(job, limit) => try_code(session, job, *limit).await,
        }
    }
}

/// Runs the code of a probe. Nobody is told what it prints.
async fn try_code(session: &Arc<dyn Session>, job: &Job, limit: Duration) -> Option<String> {
    let (orders, listening) = watch::channel(Orders { stop: Stop::No, released: false });
    let (voice, mut told) = mpsc::channel(16);
    let life = session.run(job.clone(), listening, Voice::new(job.step, voice));
    let end = async {
        while let Some((_, told)) = told.recv().await {
            if let Told::Ended(end) = told {
                return Some(end.exit);
            }
        }
        None
    };
    let both = async { tokio::join!(life, end).1 };
    let exit = timeout(limit, both).await;
    drop(orders);
    match exit {
        Ok(Some(Exit::Status(0))) => None,
        Ok(Some(Exit::Status(status))) => Some(format!("the probe ended with status {status}")),
        Ok(Some(Exit::Signal(signal))) => Some(format!("the probe was ended by signal {signal}")),
        Ok(Some(Exit::OutOfMemory(_))) => Some("there was no memory left for the probe".to_owned()),
        Ok(Some(Exit::NotStarted(words) | Exit::Refused(words) | Exit::Lost(words))) => {
            Some(format!("the probe could not run: {words}"))
        }
        Ok(None) => Some("the probe ended without saying how".to_owned()),
        Err(_) => Some(format!("the probe took longer than {}", crate::syntax::duration(limit))),
    }
}

impl Lines {
    /// Whether a line that ends in `bytes` is the wanted one.
    fn find(&mut self, channel: Channel, bytes: &[u8]) -> bool {
        let line = match channel {
            Channel::Stdout => &mut self.stdout,
            Channel::Stderr => &mut self.stderr,
        };
        let mut found = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = LINE.saturating_sub(line.len()).min(text.len());
            line.extend_from_slice(&text[..room]);
            if ends {
                found |= self.wanted.is_match(line.strip_suffix(b"\r").unwrap_or(line));
                line.clear();
            }
        }
        found
    }
}

impl Watch {
    pub(super) fn new(handle: HandleId, ready: Ready) -> Self {
        Self { handle, ready: Some(ready), task: None }
    }

    /// Looks at output while the process is not ready, and says whether this made it so.
    pub(super) fn reads(&mut self, channel: Channel, bytes: &[u8]) -> bool {
        if let Some(Ready::Output(lines)) = &mut self.ready { lines.find(channel, bytes) } else { false }
    }

    /// Nobody asks any more.
    pub(super) fn end(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

impl Carrier<'_> {
    /// The process of a step has been started: from now on it is asked whether it is ready.
    pub(super) fn begin_watch(&mut self, step: StepId) {
        let Some(watch) = self.live.get(&step).and_then(|live| live.watch.as_ref()) else { return };
        match &watch.ready {
            Some(Ready::Started) => self.is_ready(step),
            Some(Ready::Asked(question)) => {
                let (question, handle) = (question.clone(), watch.handle);
                self.ask_ready(step, handle, question);
            }
            Some(Ready::Output(_)) | None => {}
        }
    }

    /// A background process is ready: from now on it is asked whether it is alive.
    pub(super) fn is_ready(&mut self, step: StepId) {
        let Some(watch) = self.live.get_mut(&step).and_then(|live| live.watch.as_mut()) else { return };
        if watch.ready.take().is_none() {
            return;
        }
        let handle = watch.handle;
        self.take(Input::Ready(step));
        let plan = Arc::clone(&self.world.plan);
        let Some(alive) = &plan.handles[handle].alive else { return };
        match Question::of(self, handle, alive) {
            Ok(question) => self.ask_alive(step, handle, question),
            Err(words) => self.take(Input::Unhealthy(step, words.into())),
        }
    }

    /// Asks again and again until all is well: at first often, since most processes are ready soon, then every `every`.
    fn ask_ready(&mut self, step: StepId, handle: HandleId, question: Question) {
        let every = self.world.plan.handles[handle].every.max(BREATH);
        let Some(session) = self.session_of(step) else { return };
        let task = self.spawn(Owner::Watch(step), async move {
            let mut pause = BREATH.min(every);
            while question.ask(&session).await.is_some() {
                sleep(pause).await;
                pause = (pause * 2).min(every);
            }
            Done::Ready(step)
        });
        self.watched_by(step, task);
    }

    /// Asks again and again until something is not well.
    fn ask_alive(&mut self, step: StepId, handle: HandleId, question: Question) {
        let every = self.world.plan.handles[handle].every.max(BREATH);
        let Some(session) = self.session_of(step) else { return };
        let task = self.spawn(Owner::Watch(step), async move {
            loop {
                sleep(every).await;
                if let Some(words) = question.ask(&session).await {
                    break Done::Unhealthy(step, words.into());
                }
            }
        });
        self.watched_by(step, task);
    }

    fn session_of(&self, step: StepId) -> Option<Arc<dyn Session>> {
        self.sessions[self.world.plan.steps[step].stream.index()].clone()
    }

    fn watched_by(&mut self, step: StepId, task: AbortHandle) {
        match self.live.get_mut(&step).and_then(|live| live.watch.as_mut()) {
            Some(watch) => watch.task = Some(task),
            None => task.abort(),
        }
    }
}
