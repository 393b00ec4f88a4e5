//! What comes back: what steps tell, what tasks come to, and what is made of a task that failed.

use std::any::Any;
use std::sync::Arc;

use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::{Carrier, Done, Finished, Owner};
use crate::backend::Told;
use crate::engine::{End, Input};
use crate::event::{Channel, Event, Exit, Fault};
use crate::plan::StepId;
use crate::scenario::Id as _;

impl Carrier<'_> {
    /// What a step tells.
    pub(in crate::run) fn told(&mut self, step: StepId, told: Told) {
        match told {
            Told::Started => self.begin_watch(step),
            Told::Staged => self.take(Input::Staged(step)),
            Told::Released(at) => self.let_go(step, Some(at)),
            Told::Output(channel, bytes) => {
                self.pieces += 1;
                let ready = self.watch(step).is_some_and(|watch| watch.reads(channel, &bytes));
                if let Some(live) = self.live.get_mut(&step) {
                    live.printed[channel as usize] += bytes.len() as u64;
                }
                let bytes = self.masker.chunk(step, channel, bytes);
                if !bytes.is_empty() {
                    self.write(Event::Output(step, channel, bytes));
                }
                if ready {
                    self.is_ready(step);
                }
            }
            Told::Cut(channel, bytes) => self.write(Event::OutputCut(step, channel, bytes)),
            Told::Leaked(leaks) => self.take(Input::Leaked(step, leaks)),
            Told::Ended(end) => self.ended(step, end),
        }
    }

    /// What has ended.
    pub(in crate::run) fn settle(&mut self, finished: Finished) {
        match finished {
            Finished::Task(task) => self.settle_task(task),
            Finished::Lost(stream, words) => self.take(Input::StreamFailed(stream, Fault::Lost(words.into()))),
        }
    }

    /// What a task came to, or that it panicked.
    fn settle_task(&mut self, finished: Result<(Id, Done), JoinError>) {
        let id = finished.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let owner = self.owners.swap_remove(&id);
        match (finished, owner) {
            (Ok((_, done)), _) => self.done_with(id, done),
            (Err(error), Some(owner)) => {
                if let Ok(panic) = error.try_into_panic() {
                    self.panicked(owner, &words_of(panic.as_ref()));
                }
            }
            (Err(_), None) => {}
        }
    }

    fn done_with(&mut self, id: Id, done: Done) {
        match done {
            Done::Opened(stream, Ok(session)) => {
                self.opening.swap_remove(&stream);
                let host = session.host();
                self.look_out(stream, &session);
                self.sessions[stream.index()] = Some(session);
                self.take(Input::Opened(stream, host));
            }
            Done::Opened(stream, Err(words)) => {
                self.opening.swap_remove(&stream);
                self.take(Input::StreamFailed(stream, Fault::Unreachable(words.into())));
            }
            Done::Closed(stream, leaks) => self.take(Input::Closed(stream, leaks)),
            Done::Copied(step, copied) => {
                let exit = copied.map_or_else(|words| Exit::Refused(words.into()), |()| Exit::Status(0));
                if self.copies.swap_remove(&step).is_some() {
                    self.take(Input::Ended(step, End { exit, captured: None }));
                }
            }
            Done::Ready(step) => self.is_ready(step),
            Done::Unhealthy(step, words) => self.take(Input::Unhealthy(step, words)),
            // All that it told was taken before this, its end too, unless the backend forgot to tell it.
            Done::Ran(step) if self.live.get(&step).is_some_and(|live| live.task.id() == id) => {
                self.panicked(Owner::Run(step), "the process of a step ended without saying how");
            }
            Done::Ran(_) => {}
        }
    }

    /// A task of ours failed: its step or stream ends, and the verdict says whose fault that is.
    fn panicked(&mut self, owner: Owner, words: &str) {
        self.internal = true;
        let words: Arc<str> = format!("mstream itself failed here, which is a bug: {words}").into();
        match owner {
            Owner::Open(stream) => {
                self.opening.swap_remove(&stream);
                self.take(Input::StreamFailed(stream, Fault::Unreachable(words)));
            }
            Owner::Close(stream) => self.take(Input::Closed(stream, Vec::new())),
            Owner::Run(step) => self.ended(step, End { exit: Exit::NotStarted(words), captured: None }),
            Owner::Copy(step) => {
                self.copies.swap_remove(&step);
                self.take(Input::Ended(step, End { exit: Exit::NotStarted(words), captured: None }));
            }
            Owner::Watch(step) => self.take(Input::Unhealthy(step, words)),
        }
    }

    fn ended(&mut self, step: StepId, end: End) {
        if let Some(live) = self.live.swap_remove(&step) {
            for (channel, printed) in [Channel::Stdout, Channel::Stderr].into_iter().zip(live.printed) {
                if let Some(rest) = self.masker.rest(step, channel) {
                    self.write(Event::Output(step, channel, rest));
                }
                if printed > self.world.home.keep {
                    self.write(Event::OutputCut(step, channel, printed - self.world.home.keep));
                }
            }
            if let Some(watch) = live.watch {
                watch.end();
            }
        }
        self.let_go(step, None);
        self.take(Input::Ended(step, end));
    }

    /// A step was released, or cannot be any more.
    fn let_go(&mut self, step: StepId, at: Option<Instant>) {
        if let Some((gate, skew)) = self.gates.passed(step, at) {
            self.take(Input::GateReleased(gate, skew));
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}
