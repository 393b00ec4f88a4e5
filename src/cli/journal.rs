//! The folder of a run: its journal, the output of its streams byte for byte, the files it fetched.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{Channel, Event, Record};
use crate::plan::{Plan, StepId};
use crate::report::jsonl::Jsonl;
use crate::scenario::StreamId;

/// The folder of one run: `.mstream/runs/ID`.
#[derive(Debug)]
pub(super) struct Folder {
    /// The run's id.
    pub(super) id: Arc<str>,
    /// The folder itself.
    pub(super) path: PathBuf,
    /// When the run began, in UTC.
    pub(super) began: Timestamp,
}

impl Folder {
    /// Makes a folder of its own below `root`, for nobody else to read.
    pub(super) fn make(root: &Path) -> io::Result<Self> {
        let began = Timestamp::now();
        let mut random = [0_u8; 3];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let [a, b, c] = random;
        let id: Arc<str> = format!("{}-{a:02x}{b:02x}{c:02x}", began.strftime("%Y%m%d-%H%M%S")).into();
        let path = root.join(".mstream/runs").join(&*id);
        private(&path)?;
        Ok(Self { id, path, began })
    }
}

/// Makes a folder, and those above it, for its owner alone.
pub(super) fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes down what happens.
pub(super) struct Journal {
    plan: Arc<Plan>,
    lines: Jsonl,
    buffer: Vec<u8>,
    records: File,
    folder: PathBuf,
    /// One file a stream and channel, made when it first prints.
    outputs: IndexMap<(StreamId, Channel), File>,
    /// How much of a step's output is kept so far.
    kept: IndexMap<(StepId, Channel), u64>,
    /// How much of one step's output on one channel is kept.
    limit: u64,
    /// The first error: from then on nothing is written.
    pub(super) failed: Option<String>,
}

impl Journal {
    pub(super) fn open(folder: &Folder, plan: Arc<Plan>, lines: Jsonl, limit: u64) -> io::Result<Self> {
        private(&folder.path.join("output"))?;
        Ok(Self {
            plan,
            lines,
            buffer: Vec::new(),
            records: create(&folder.path.join("journal.jsonl"))?,
            folder: folder.path.clone(),
            outputs: IndexMap::new(),
            kept: IndexMap::new(),
            limit,
            failed: None,
        })
    }

    /// Writes a record: one line in one write. Output goes to its file; the journal says how much.
    pub(super) fn record(&mut self, record: &Record) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.write(record) {
            self.failed = Some(format!("the journal in `{}` cannot be written: {error}", self.folder.display()));
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.buffer.clear();
        self.lines.record(record, &mut self.buffer);
        self.records.write_all(&self.buffer)?;
        match &record.event {
            Event::Output(step, channel, bytes) => self.output(*step, *channel, bytes),
            Event::StepEnded(step, _) | Event::ProcessEnded(step, _) | Event::StepRetried(step, ..) => {
                self.kept.swap_remove(&(*step, Channel::Stdout));
                self.kept.swap_remove(&(*step, Channel::Stderr));
                Ok(())
            }
            Event::RunStarted
            | Event::StreamOpening(_)
            | Event::StreamOpened(..)
            | Event::StreamFailed(..)
            | Event::CleanupStarted(_)
            | Event::StreamClosed(..)
            | Event::StepStarted(..)
            | Event::StepWaiting(_)
            | Event::StepReady(_)
            | Event::StepReleased(_)
            | Event::OutputCut(..)
            | Event::StepLeaked(..)
            | Event::BarrierReleased(..)
            | Event::BarrierBroken(..)
            | Event::GateReleased(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::RunEnded(_) => Ok(()),
        }
    }

    fn output(&mut self, step: StepId, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        let kept = self.kept.entry((step, channel)).or_default();
        let room = usize::try_from(self.limit - *kept).unwrap_or(usize::MAX).min(bytes.len());
        *kept += room as u64;
        if room == 0 {
            return Ok(());
        }
        let stream = self.plan.steps[step].stream;
        let file = match self.outputs.entry((stream, channel)) {
            indexmap::map::Entry::Occupied(found) => found.into_mut(),
            indexmap::map::Entry::Vacant(place) => {
                let ending = if channel == Channel::Stdout { "out" } else { "err" };
                let name = format!("{}.{ending}", file_name(&self.plan.streams[stream].name));
                place.insert(create(&self.folder.join("output").join(name))?)
            }
        };
        file.write_all(&bytes[..room])
    }
}

/// A stream's name as a file's name: what could leave the folder or hide is escaped.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    name.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}
