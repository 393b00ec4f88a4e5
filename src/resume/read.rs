//! Reads a journal back, record by record, in bounded memory. What is not whole is refused, a torn end aside: whoever
//! was killed while it wrote leaves one.

use std::io::{self, BufRead, Read as _};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::line::{LONGEST, is_whole};
use crate::event::{Exit, Leak, Outcome, Reason};
use crate::plan::{BarrierId, StepId};

/// The version of the form that is read.
const VERSION: u64 = 1;

/// What of a record matters to who goes on. Ids are as they stand in the file: nobody has looked whether they exist.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// The run began: its id, the version of mstream, how many steps it has, the run that it goes on with.
    RunStarted {
        /// The id of the run.
        run: Arc<str>,
        /// The version of mstream.
        mstream: Arc<str>,
        /// How many steps its plan has.
        steps: u64,
        /// The run that it goes on with, if it does.
        resumed: Option<Arc<str>>,
    },
    /// A step began.
    StepStarted(StepId),
    /// A step ended; nothing where its stream did not get past it in any case.
    StepEnded(StepId, Option<Outcome>),
    /// An earlier run had done it.
    StepTaken(StepId, Option<Outcome>),
    /// It left processes behind.
    StepLeaked(StepId, Vec<Leak>),
    /// The value of a `let` step; whether a secret is in it.
    ValueMade(StepId, bool),
    /// A background process ended.
    ProcessEnded(StepId, Exit),
    /// All parties have met.
    BarrierReleased(BarrierId),
    /// The `finally` of that stream began.
    CleanupStarted(Arc<str>),
    /// That stream was closed.
    StreamClosed(Arc<str>),
    /// The timelines were ended from outside.
    Halted,
    /// The run was over; its exit code.
    RunEnded(u8),
    /// Something else.
    Other,
}

/// How far a journal could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// How many records it has.
    pub records: u64,
    /// How many bytes of a record that was not written to its end were left out.
    pub torn: usize,
}

/// Why a journal is not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// The disk says no.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A byte of it is not what was written.
    #[error("record {0} is damaged: its checksum does not fit")]
    Damaged(u64),
    /// A line without an end.
    #[error("record {0} is longer than {max} MiB, which none is", max = LONGEST >> 20)]
    TooLong(u64),
    /// Something was taken out or put in.
    #[error("record {0} is missing: record {1} stands in its place")]
    Missing(u64, u64),
    /// Written by a newer mstream.
    #[error("record {0} has form {1}, and this mstream reads form {VERSION}")]
    OtherForm(u64, u64),
    /// It has its checksum and is no record all the same.
    #[error("record {0} cannot be understood: {1}")]
    Strange(u64, String),
}

/// Hands every record of a journal to `each`, which may find one strange, in words.
pub fn read(mut input: impl BufRead, each: &mut dyn FnMut(u64, Entry) -> Result<(), String>) -> Result<Extent, Broken> {
    let mut line = Vec::new();
    let mut records = 0;
    loop {
        line.clear();
        let limit = LONGEST as u64 + 1;
        let got = input.by_ref().take(limit).read_until(b'\n', &mut line);
        match got.map_err(|error: io::Error| Broken::Unreadable(error.to_string()))? {
            0 => return Ok(Extent { records, torn: 0 }),
            _ if line.last() == Some(&b'\n') => line.truncate(line.len() - 1),
            _ if line.len() > LONGEST => return Err(Broken::TooLong(records)),
            // Not torn: all of it is there, and something else stands where the line should end.
            torn if is_whole(&line[..torn - 1]) => return Err(Broken::Damaged(records)),
            torn => return Ok(Extent { records, torn }),
        }
        if !is_whole(&line) {
            return Err(Broken::Damaged(records));
        }
        let entry = Line::parse(&line, records)?.entry(records)?;
        each(records, entry).map_err(|words| Broken::Strange(records, words))?;
        records += 1;
    }
}

/// The fields of all events that matter.
#[derive(Deserialize)]
struct Line {
    v: u64,
    seq: u64,
    event: String,
    run: Option<Arc<str>>,
    resumed: Option<Arc<str>>,
    mstream: Option<Arc<str>>,
    steps: Option<u64>,
    stream: Option<Arc<str>>,
    step: Option<u32>,
    meeting: Option<u32>,
    #[serde(default)]
    secret: bool,
    outcome: Option<String>,
    status: Option<i32>,
    #[serde(default)]
    out_of_memory: bool,
    signal: Option<i32>,
    not_started: Option<Arc<str>>,
    refused: Option<Arc<str>>,
    lost: Option<Arc<str>>,
    error: Option<Arc<str>>,
    unmet: Option<Vec<String>>,
    limit: Option<f64>,
    leaks: Option<Vec<LeakLine>>,
    exit_code: Option<u8>,
}

#[derive(Deserialize)]
struct LeakLine {
    pid: u32,
    command: Arc<str>,
}

impl Line {
    fn parse(line: &[u8], record: u64) -> Result<Self, Broken> {
        let it: Self = serde_json::from_slice(line).map_err(|error| Broken::Strange(record, error.to_string()))?;
        match it {
            it if it.v != VERSION => Err(Broken::OtherForm(record, it.v)),
            it if it.seq != record => Err(Broken::Missing(record, it.seq)),
            it => Ok(it),
        }
    }

    fn entry(self, record: u64) -> Result<Entry, Broken> {
        let lacks = |field: &str| Broken::Strange(record, format!("it lacks `{field}`"));
        let step = self.step.map(StepId).ok_or_else(|| lacks("step"));
        let stream = self.stream.clone().ok_or_else(|| lacks("stream"));
        Ok(match &*self.event {
            "run_started" => Entry::RunStarted {
                run: self.run.ok_or_else(|| lacks("run"))?,
                mstream: self.mstream.ok_or_else(|| lacks("mstream"))?,
                steps: self.steps.ok_or_else(|| lacks("steps"))?,
                resumed: self.resumed,
            },
            "step_started" => Entry::StepStarted(step?),
            "step_ended" => Entry::StepEnded(step?, self.outcome()),
            "step_taken" => Entry::StepTaken(step?, self.outcome()),
            "step_leaked" => {
                let leaks = self.leaks.unwrap_or_default().into_iter();
                Entry::StepLeaked(step?, leaks.map(|it| Leak { pid: it.pid, command: it.command }).collect())
            }
            "value_made" => Entry::ValueMade(step?, self.secret),
            "process_ended" => Entry::ProcessEnded(step?, self.exit().unwrap_or(Exit::Status(0))),
            "barrier_released" => Entry::BarrierReleased(self.meeting.map(BarrierId).ok_or_else(|| lacks("meeting"))?),
            "cleanup_started" => Entry::CleanupStarted(stream?),
            "stream_closed" => Entry::StreamClosed(stream?),
            "interrupted" | "run_timed_out" | "journal_failed" => Entry::Halted,
            "run_ended" => Entry::RunEnded(self.exit_code.ok_or_else(|| lacks("exit_code"))?),
            _ => Entry::Other,
        })
    }

    /// How a step ended that its stream may have got past.
    fn outcome(&self) -> Option<Outcome> {
        match self.outcome.as_deref()? {
            "passed" => Some(Outcome::Passed),
            "skipped" => Some(Outcome::Skipped),
            "failed" => Some(Outcome::Failed(self.reason())),
            "timed_out" => Some(Outcome::TimedOut(Duration::try_from_secs_f64(self.limit?).ok()?)),
            _ => None,
        }
    }

    fn reason(&self) -> Reason {
        match (self.exit(), &self.unmet, &self.error) {
            (Some(exit), ..) => Reason::Exit(exit),
            (None, Some(parts), _) => Reason::Unmet(parts.clone()),
            (None, None, why) => Reason::Error(why.clone().unwrap_or_default()),
        }
    }

    fn exit(&self) -> Option<Exit> {
        let of = |why: &Option<Arc<str>>, make: fn(Arc<str>) -> Exit| why.clone().map(make);
        let status = if self.out_of_memory { Exit::OutOfMemory } else { Exit::Status };
        let number = self.status.map(status).or(self.signal.map(Exit::Signal));
        number
            .or_else(|| of(&self.not_started, Exit::NotStarted))
            .or_else(|| of(&self.refused, Exit::Refused))
            .or_else(|| of(&self.lost, Exit::Lost))
    }
}
