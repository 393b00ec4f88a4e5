//! Carries out the actions of the engine, each at once or as a task, and turns what comes of them into inputs.

mod answer;

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::gate::Gates;
use super::mask::Masker;
use super::probe::{Ready, Watch};
use super::{Batch, Home, PIECES, Recorder, files, job};
use crate::backend::{Backend, Job, Orders, Place, Session, Told, Voice};
use crate::diagnostic::Sources;
use crate::engine::{Action, End, Engine, Input, Limits, Past, Stop};
use crate::event::{Event, Exit, Fault, Leak, Record, Verdict};
use crate::plan::{Plan, StepId, StepKind, evaluate};
use crate::scenario::{Id as _, StreamId};
use crate::syntax::Value;

/// What does not change while a run lasts.
pub(super) struct World<'a> {
    pub(super) plan: Arc<Plan>,
    pub(super) backends: &'a IndexMap<Arc<str>, Arc<dyn Backend>>,
    pub(super) home: Home,
    pub(super) sources: &'a Sources,
    pub(super) past: &'a Past,
    /// What timeouts are multiplied by, in percent.
    pub(super) scale: u32,
}

/// The hands of the engine.
pub(super) struct Carrier<'a> {
    pub(super) world: World<'a>,
    pub(super) engine: Engine,
    record: &'a mut dyn Recorder,
    started: Instant,
    sequence: u64,
    /// Records that were not handed on yet: that is done while the processes that were started get going.
    unwritten: Vec<Record>,
    /// How many pieces of output were taken for them.
    pieces: usize,
    room: Arc<Semaphore>,
    internal: bool,
    inputs: VecDeque<Input>,
    voices: mpsc::Sender<(StepId, Told)>,
    tasks: JoinSet<Done>,
    owners: IndexMap<Id, Owner>,
    opening: IndexMap<StreamId, AbortHandle>,
    pub(super) sessions: Vec<Option<Arc<dyn Session>>>,
    /// Who looks whether a stream goes away while nothing runs on it.
    lookouts: JoinSet<(StreamId, String)>,
    looking: IndexMap<StreamId, AbortHandle>,
    pub(super) live: IndexMap<StepId, Live>,
    copies: IndexMap<StepId, AbortHandle>,
    gates: Gates,
    masker: Masker,
}

/// A step whose process runs.
pub(super) struct Live {
    orders: watch::Sender<Orders>,
    task: AbortHandle,
    /// How a background process is watched.
    pub(super) watch: Option<Watch>,
    /// How many bytes it has printed on stdout and stderr.
    pub(super) printed: [u64; 2],
}

/// What a task comes to.
pub(super) enum Done {
    Opened(StreamId, Result<Arc<dyn Session>, String>),
    Closed(StreamId, Vec<Leak>),
    /// The process of a step has told everything.
    Ran(StepId),
    Copied(StepId, Result<(), String>),
    Ready(StepId),
    Unhealthy(StepId, Arc<str>),
}

/// What may end while the run waits.
pub(super) enum Finished {
    /// A task.
    Task(Result<(Id, Done), JoinError>),
    /// A stream, by itself; why.
    Lost(StreamId, String),
}

/// The next stream that goes away.
async fn loss(lookouts: &mut JoinSet<(StreamId, String)>) -> (StreamId, String) {
    loop {
        match lookouts.join_next().await {
            Some(Ok(lost)) => return lost,
            // Its stream was closed before.
            Some(Err(_)) => {}
            None => return std::future::pending().await,
        }
    }
}

/// For whom a task works.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Open(StreamId),
    Close(StreamId),
    Run(StepId),
    Copy(StepId),
    Watch(StepId),
}

impl<'a> Carrier<'a> {
    pub(super) fn new(
        world: World<'a>,
        limits: Limits,
        secrets: Arc<IndexMap<Arc<str>, Value>>,
        voices: mpsc::Sender<(StepId, Told)>,
        record: &'a mut dyn Recorder,
    ) -> Self {
        Self {
            masker: Masker::new(&secrets),
            engine: Engine::resume(Arc::clone(&world.plan), limits, secrets, world.past),
            record,
            started: Instant::now(),
            sequence: 0,
            unwritten: Vec::new(),
            pieces: 0,
            room: Arc::new(Semaphore::new(PIECES)),
            internal: false,
            inputs: VecDeque::new(),
            voices,
            tasks: JoinSet::new(),
            owners: IndexMap::new(),
            opening: IndexMap::new(),
            sessions: vec![None; world.plan.streams.len()],
            lookouts: JoinSet::new(),
            looking: IndexMap::new(),
            live: IndexMap::new(),
            copies: IndexMap::new(),
            gates: Gates::default(),
            world,
        }
    }

    pub(super) fn done(&self) -> bool {
        self.engine.done()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.engine.deadline().map(|at| self.started + at)
    }

    /// Whether any task is on its way.
    pub(super) fn busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The next task that ends, or the next stream that goes away.
    pub(super) async fn finished(&mut self) -> Finished {
        let (tasks, lookouts) = (&mut self.tasks, &mut self.lookouts);
        tokio::select! {
            biased;
            Some(finished) = tasks.join_next_with_id() => Finished::Task(finished),
            (stream, words) = loss(lookouts) => Finished::Lost(stream, words),
        }
    }

    /// Looks out for the end of a stream that is open.
    fn look_out(&mut self, stream: StreamId, session: &Arc<dyn Session>) {
        if let Some(lost) = session.lost() {
            let looking = self.lookouts.spawn(async move { (stream, lost.await) });
            self.looking.insert(stream, looking);
        }
    }

    /// Hands an input to the engine, and carries out what follows, and what follows from that.
    pub(super) fn take(&mut self, input: Input) {
        let now = self.started.elapsed();
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            for action in self.engine.handle(input, now) {
                self.act(action);
            }
        }
    }

    /// Nothing can come any more, and the run is not over: that is our own fault.
    pub(super) fn give_up(&mut self) {
        self.internal = true;
        let verdict = self.engine.verdict();
        self.write(Event::RunEnded(verdict));
    }

    /// Ends what is left of the tasks, and says what the run came to.
    pub(super) async fn end(mut self) -> Verdict {
        self.flush();
        self.tasks.shutdown().await;
        let verdict = self.engine.verdict();
        Verdict { internal: verdict.internal || self.internal, ..verdict }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open(stream) => self.open(stream),
            Action::Close(stream) => self.close(stream),
            Action::Run(step) => {
                if let Err(words) = self.record.begins(step).and_then(|()| self.start(step)) {
                    let exit = Exit::Refused(words.into());
                    self.inputs.push_back(Input::Ended(step, End { exit, captured: None }));
                }
            }
            Action::Release(step) => self.release(step),
            Action::ReleaseAll(gate, steps) => {
                self.gates.open(gate, &steps);
                for step in steps {
                    self.release(step);
                }
            }
            Action::Stop(step, how) => self.stop(step, how),
            Action::Record(event) => self.write(event),
        }
    }

    fn open(&mut self, stream: StreamId) {
        let place = self.place(stream);
        let kind = &self.world.plan.streams[stream].kind;
        let backend = self.world.backends.get(kind).ok_or_else(|| format!("there is no backend `{kind}`"));
        match place.and_then(|place| Ok(backend?.open(place))) {
            Ok(opening) => {
                let task = self.spawn(Owner::Open(stream), async move { Done::Opened(stream, opening.await) });
                self.opening.insert(stream, task);
            }
            Err(words) => self.inputs.push_back(Input::StreamFailed(stream, Fault::Unreachable(words.into()))),
        }
    }

    fn place(&self, stream: StreamId) -> Result<Place, String> {
        let (it, home) = (&self.world.plan.streams[stream], &self.world.home);
        let mut keys = Vec::with_capacity(it.keys.len());
        for (key, expr) in &it.keys {
            keys.push((Arc::clone(key), evaluate(expr, &self.engine).map_err(|unknown| unknown.0)?));
        }
        let tmp = home.tmp.join(files::folder_name(&it.name));
        Ok(Place { name: Arc::clone(&it.name), keys, run: Arc::clone(&home.id), folder: home.folder.clone(), tmp })
    }

    fn close(&mut self, stream: StreamId) {
        let looking = self.looking.swap_remove(&stream);
        for task in self.opening.swap_remove(&stream).into_iter().chain(looking) {
            task.abort();
        }
        match self.sessions[stream.index()].take() {
            None => self.inputs.push_back(Input::Closed(stream, Vec::new())),
            Some(session) => {
                let passed = self.engine.passed(stream);
                self.spawn(Owner::Close(stream), async move { Done::Closed(stream, session.close(passed).await) });
            }
        }
    }

    /// Starts what a step does; the error is why it cannot, in words.
    fn start(&mut self, step: StepId) -> Result<(), String> {
        let plan = Arc::clone(&self.world.plan);
        let stream = plan.steps[step].stream;
        let open = self.sessions[stream.index()].clone();
        let session = open.ok_or_else(|| format!("`{}` is not open", plan.streams[stream].name))?;
        match plan.steps[step].kind {
            StepKind::Put => {
                let (from, to) = files::put(self, step)?;
                self.copy(step, async move { session.put(from, to).await });
            }
            StepKind::Get => {
                let (from, to) = files::get(self, step)?;
                self.copy(step, async move { session.get(from, to).await });
            }
            StepKind::Start(handle) => {
                let job = job::of_step(self, step)?;
                let ready = Ready::of(self, handle)?;
                self.launch(&session, job, Some(Watch::new(handle, ready)));
            }
            StepKind::Run(_)
            | StepKind::Capture(..)
            | StepKind::Evaluate(_)
            | StepKind::Stop(_)
            | StepKind::Prepare(_)
            | StepKind::Trigger(_)
            | StepKind::Join(_)
            | StepKind::Barrier(_)
            | StepKind::Signal
            | StepKind::Wait(_)
            | StepKind::Expect => {
                let job = job::of_step(self, step)?;
                self.launch(&session, job, None);
            }
        }
        Ok(())
    }

    fn launch(&mut self, session: &Arc<dyn Session>, job: Job, watch: Option<Watch>) {
        let step = job.step;
        let (orders, listening) = watch::channel(Orders { stop: Stop::No, released: false });
        let life = session.run(job, listening, Voice::new(step, self.voices.clone()).within(Arc::clone(&self.room)));
        let task = self.spawn(Owner::Run(step), async move {
            life.await;
            Done::Ran(step)
        });
        if let Some(before) = self.live.insert(step, Live { orders, task, watch, printed: [0; 2] }) {
            // The engine has given it up long ago.
            before.task.abort();
        }
    }

    fn copy(&mut self, step: StepId, copying: impl Future<Output = Result<(), String>> + Send + 'static) {
        let task = self.spawn(Owner::Copy(step), async move { Done::Copied(step, copying.await) });
        self.copies.insert(step, task);
    }

    fn release(&mut self, step: StepId) {
        match self.live.get(&step) {
            Some(live) => live.orders.send_modify(|orders| orders.released = true),
            None => {
                if let Some((gate, skew)) = self.gates.passed(step, None) {
                    self.inputs.push_back(Input::GateReleased(gate, skew));
                }
            }
        }
    }

    fn stop(&mut self, step: StepId, how: Stop) {
        if let Some(live) = self.live.get_mut(&step) {
            live.orders.send_modify(|orders| orders.stop = orders.stop.max(how));
            if let Some(watch) = live.watch.take() {
                watch.end();
            }
        }
        if let Some(copying) = self.copies.swap_remove(&step) {
            copying.abort();
            let signal = match how {
                Stop::Gently(signal) => signal,
                Stop::No | Stop::Now => libc::SIGKILL,
            };
            self.inputs.push_back(Input::Ended(step, End { exit: Exit::Signal(signal), captured: None }));
        }
    }

    fn watch(&mut self, step: StepId) -> Option<&mut Watch> {
        self.live.get_mut(&step)?.watch.as_mut()
    }

    pub(super) fn spawn(&mut self, owner: Owner, work: impl Future<Output = Done> + Send + 'static) -> AbortHandle {
        let task = self.tasks.spawn(work);
        self.owners.insert(task.id(), owner);
        task
    }

    fn write(&mut self, event: Event) {
        let mut event = event;
        if let Event::RunEnded(verdict) = &mut event {
            verdict.internal |= self.internal;
        }
        let event = self.masker.event(event);
        let record = Record { sequence: self.sequence, at: self.started.elapsed(), event };
        self.sequence += 1;
        self.unwritten.push(record);
    }

    /// Hands on what was recorded, in order.
    pub(super) fn flush(&mut self) {
        if self.unwritten.is_empty() && self.pieces == 0 {
            return;
        }
        let (records, pieces) = (std::mem::take(&mut self.unwritten), std::mem::take(&mut self.pieces));
        let batch = Batch { records, pieces, room: Arc::clone(&self.room) };
        if !batch.records.is_empty() {
            self.record.record(batch);
        }
    }
}
