//! What happens, written down as it happens: the journal, the output of the streams byte for byte, the values.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use rustix::fs::FallocateFlags;
use tokio::sync::mpsc;

use super::folder::{Folder, create, private, sync_folder};
use super::sync::Syncer;
use crate::event::{Ask, Channel, Event, Made, Outcome, Record};
use crate::plan::{Plan, StepId, ValueId};
use crate::report::jsonl::Jsonl;
use crate::resume::{keep, seal};
use crate::scenario::StreamId;

/// So much room is kept free for the last records.
const RESERVE: usize = 16 << 10;

/// Writes down what happens.
pub(super) struct Journal {
    plan: Arc<Plan>,
    lines: Jsonl,
    buffer: Vec<u8>,
    records: File,
    /// How many lines it has, and how many bytes of whole ones.
    sequence: u64,
    length: u64,
    folder: PathBuf,
    /// One file a stream and channel, made when it first prints.
    outputs: IndexMap<(StreamId, Channel), File>,
    values: Option<File>,
    /// How much of a step's output is kept so far.
    kept: IndexMap<(StepId, Channel), u64>,
    /// How much of it could not be kept.
    lost: IndexMap<(StepId, Channel), u64>,
    /// How much of one step's output on one channel is kept.
    limit: u64,
    health: Health,
    /// Whether something was written that must come to the disk.
    due: bool,
    syncer: Option<Syncer>,
    asks: mpsc::Sender<Ask>,
    /// The first error.
    failed: Option<String>,
}

/// What can still be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    /// Everything.
    Well,
    /// Records, but no output: the disk it stands on has failed there.
    Mute,
    /// What was kept free for the end: results alone.
    Reserve,
    /// Nothing.
    Dead,
}

impl Journal {
    /// Begins the journal in `folder`. Where it fails later, `asks` is asked to stop the run.
    pub(super) fn open(
        folder: &Folder,
        plan: Arc<Plan>,
        lines: Jsonl,
        limit: u64,
        asks: mpsc::Sender<Ask>,
    ) -> io::Result<Self> {
        private(&folder.path.join("output"))?;
        let records = create(&folder.path.join("journal.jsonl"))?;
        // Where nothing runs, nothing has to outlive anything.
        let syncer = if plan.steps.is_empty() {
            None
        } else {
            reserve(&folder.path.join("reserve"))?;
            Some(Syncer::start(vec![records.try_clone()?], folder.path.clone())?)
        };
        Ok(Self {
            plan,
            lines,
            buffer: Vec::new(),
            records,
            sequence: 0,
            length: 0,
            folder: folder.path.clone(),
            outputs: IndexMap::new(),
            values: None,
            kept: IndexMap::new(),
            lost: IndexMap::new(),
            limit,
            health: Health::Well,
            due: false,
            syncer,
            asks,
            failed: None,
        })
    }

    /// Writes a record: one line in one write. Output and values go to their files.
    pub(super) fn record(&mut self, record: &Record) {
        self.beside(record);
        self.cut_before(record);
        if self.writes(&record.event) {
            self.line(record);
        }
    }

    /// Those of one moment are written: asks for what must come to the disk.
    pub(super) fn settle(&mut self) {
        let Some(syncer) = &self.syncer else { return };
        if let Some(error) = syncer.error().filter(|_| self.health != Health::Dead) {
            let words = self.words(&self.folder.join("journal.jsonl"), &error.to_string());
            self.fail(Health::Dead, words);
        } else if std::mem::take(&mut self.due) {
            syncer.ask();
        }
    }

    /// Whether all that was written so far is on the disk now.
    pub(super) fn on_disk(&mut self) -> bool {
        let files = [Some(&self.records), self.values.as_ref()];
        let synced = files.into_iter().flatten().try_for_each(File::sync_data);
        if let Err(error) = synced.and_then(|()| sync_folder(&self.folder)) {
            self.no_room(&self.folder.join("journal.jsonl"), &error, Health::Dead);
        }
        self.failed.is_none()
    }

    /// Waits until all is on the disk; the error says what is not.
    pub(super) fn end(&mut self) -> Option<&str> {
        self.settle();
        if let Some(Err(error)) = self.syncer.take().map(Syncer::end)
            && self.failed.is_none()
        {
            self.failed = Some(self.words(&self.folder.join("journal.jsonl"), &error));
        }
        let _ = std::fs::remove_file(self.folder.join("reserve"));
        self.failed.as_deref()
    }

    /// How much output is in no file and in no record.
    pub(super) fn undeclared(&self) -> u64 {
        self.lost.values().sum()
    }

    fn words(&self, path: &Path, error: &str) -> String {
        let path = path.strip_prefix(self.folder.ancestors().nth(3).unwrap_or(Path::new(""))).unwrap_or(path);
        format!("`{}` cannot be written: {error}", path.display())
    }

    /// What stands in files of its own.
    fn beside(&mut self, record: &Record) {
        if let Event::Output(step, channel, bytes) = &record.event {
            if let Err((path, error)) = self.store(*step, *channel, bytes) {
                self.no_room(&path, &error, Health::Mute);
            }
        } else if let Event::ValueMade(value, Some(made)) = &record.event
            && self.health == Health::Well
            && let Err(error) = self.keep(*value, made)
        {
            self.no_room(&self.folder.join("values"), &error, Health::Mute);
        }
    }

    /// Appends output to its file. What is not kept is counted, unless it is beyond the limit: whoever counts that has
    /// counted it.
    fn store(&mut self, step: StepId, channel: Channel, bytes: &[u8]) -> Result<(), (PathBuf, io::Error)> {
        let kept = self.kept.entry((step, channel)).or_default();
        let room = usize::try_from(self.limit - *kept).unwrap_or(usize::MAX).min(bytes.len());
        *kept += room as u64;
        if room == 0 {
            return Ok(());
        }
        if self.health != Health::Well {
            *self.lost.entry((step, channel)).or_default() += room as u64;
            return Ok(());
        }
        let stream = self.plan.steps[step].stream;
        let ending = if channel == Channel::Stdout { "out" } else { "err" };
        let path =
            || self.folder.join("output").join(format!("{}.{ending}", file_name(&self.plan.streams[stream].name)));
        let mut lose = |left: usize, error| {
            *self.lost.entry((step, channel)).or_default() += left as u64;
            (path(), error)
        };
        let file = match self.outputs.entry((stream, channel)) {
            indexmap::map::Entry::Occupied(found) => found.into_mut(),
            indexmap::map::Entry::Vacant(place) => match create(&path()) {
                Ok(file) => place.insert(file),
                Err(error) => return Err(lose(room, error)),
            },
        };
        append(file, &bytes[..room]).map_err(|(left, error)| lose(left, error))
    }

    fn keep(&mut self, value: ValueId, made: &Made) -> io::Result<()> {
        let file = if let Some(file) = &mut self.values {
            file
        } else {
            let file = create(&self.folder.join("values"))?;
            if let Some(syncer) = &self.syncer {
                syncer.watch(file.try_clone()?);
            }
            self.values.insert(file)
        };
        let mut bytes = Vec::new();
        keep(value, made, &mut bytes);
        file.write_all(&bytes)
    }

    /// Before a step ends, it is told how much of its output could not be kept; before the run does, of all.
    fn cut_before(&mut self, record: &Record) {
        if self.lost.is_empty() && self.kept.is_empty() {
            return;
        }
        let of = if let Event::StepEnded(step, _) | Event::ProcessEnded(step, _) | Event::StepRetried(step, ..) =
            &record.event
        {
            self.kept.swap_remove(&(*step, Channel::Stdout));
            self.kept.swap_remove(&(*step, Channel::Stderr));
            Some(*step)
        } else if let Event::RunEnded(_) = &record.event {
            None
        } else {
            return;
        };
        let due: Vec<(StepId, Channel)> =
            self.lost.keys().filter(|(step, _)| of.is_none_or(|of| of == *step)).copied().collect();
        for (step, channel) in due {
            let bytes = self.lost.get(&(step, channel)).copied().unwrap_or_default();
            let event = Event::OutputCut(step, channel, bytes);
            self.line(&Record { event, ..record.clone() });
            if self.health != Health::Dead {
                self.lost.swap_remove(&(step, channel));
            }
        }
    }

    /// Whether there is a line for it. What was kept free is for what somebody may have to know later.
    fn writes(&self, event: &Event) -> bool {
        match event {
            _ if self.health == Health::Dead => false,
            Event::RunStarted
            | Event::StreamFailed(..)
            | Event::CleanupStarted(_)
            | Event::StreamClosed(..)
            | Event::OutputCut(..)
            | Event::StepLeaked(..)
            | Event::ProcessEnded(..)
            | Event::BarrierReleased(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::JournalFailed(_)
            | Event::StepTaken(..)
            | Event::RunEnded(_) => true,
            Event::StepEnded(_, outcome) => self.health != Health::Reserve || *outcome != Outcome::Skipped,
            Event::StreamOpening(_)
            | Event::StreamOpened(..)
            | Event::StepStarted(..)
            | Event::StepWaiting(_)
            | Event::StepReady(_)
            | Event::StepReleased(_)
            | Event::Output(..)
            | Event::ValueMade(..)
            | Event::StepRetried(..)
            | Event::BarrierBroken(..)
            | Event::GateReleased(..) => self.health != Health::Reserve,
        }
    }

    /// One record as one line in one write. Where there is no room, it has what was kept free.
    fn line(&mut self, record: &Record) {
        self.buffer.clear();
        self.lines.line(record, self.sequence, &mut self.buffer);
        seal(&mut self.buffer, 0);
        if let Err(error) = self.write() {
            self.no_room(&self.folder.join("journal.jsonl"), &error, Health::Dead);
            if self.health == Health::Dead {
                return;
            }
            if self.write().is_err() {
                self.health = Health::Dead;
                return;
            }
        }
        self.due |= matches!(
            record.event,
            Event::StepEnded(..) | Event::ProcessEnded(..) | Event::BarrierReleased(..) | Event::RunEnded(_)
        );
    }

    fn write(&mut self) -> io::Result<()> {
        append(&mut self.records, &self.buffer).map_err(|(_, error)| error)?;
        self.length += self.buffer.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    /// Something could not be written: a full disk gets what was kept free, and any other error is final.
    fn no_room(&mut self, path: &Path, error: &io::Error, otherwise: Health) {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let words = self.words(path, &error.to_string());
        let health = match self.health {
            Health::Well | Health::Mute if !full => otherwise,
            Health::Well | Health::Mute => self.release().map_or(Health::Dead, |()| Health::Reserve),
            Health::Reserve | Health::Dead => Health::Dead,
        };
        self.fail(health, words);
    }

    fn fail(&mut self, health: Health, words: String) {
        self.health = health;
        if self.failed.is_none() {
            // There is room: nobody asks more than a few times.
            let _ = self.asks.try_send(Ask::JournalFailed(words.as_str().into()));
            self.failed = Some(words);
        }
    }

    /// Gives the journal the room that was kept free, before anybody else takes it, and takes back half a line.
    fn release(&mut self) -> io::Result<()> {
        std::fs::remove_file(self.folder.join("reserve"))?;
        self.records.set_len(self.length)?;
        self.records.seek(io::SeekFrom::Start(self.length))?;
        // Where the file system cannot, the room is taken line by line.
        let _ = rustix::fs::fallocate(&self.records, FallocateFlags::KEEP_SIZE, self.length, RESERVE as u64);
        Ok(())
    }
}

/// A file that takes room and holds nothing.
fn reserve(path: &Path) -> io::Result<()> {
    let mut file = create(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE as u64) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => file.write_all(&[1; RESERVE]),
        Err(error) => Err(error.into()),
    }
}

/// Appends; the error says how many bytes are not there.
fn append(file: &mut File, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err((bytes.len(), io::ErrorKind::WriteZero.into())),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((bytes.len(), error)),
        }
    }
    Ok(())
}

/// A stream's name as a file's name: what could leave the folder or hide is escaped.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    name.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}
