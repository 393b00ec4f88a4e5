//! Which steps have begun, a byte each, written before any code of theirs runs. The journal is written a moment later,
//! and whoever kills mstream may kill it in that moment: who goes on with the run must know all the same.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;
use rustix::fs::FallocateFlags;

use super::folder::{create, open};
use super::inputs::Inputs;
use crate::plan::{Plan, StepId};

/// Its name in the folder of a run.
const NAME: &str = "begun";

/// The file.
pub(super) struct Begun {
    file: File,
    path: PathBuf,
}

impl Begun {
    /// With room for every step, so that a full disk is told of now; and beside it what the plan was made of. Where
    /// nothing runs, nobody will ask.
    pub(super) fn make(folder: &Path, plan: &Plan, inputs: &Inputs) -> io::Result<Option<Self>> {
        if plan.steps.is_empty() {
            return Ok(None);
        }
        inputs.write(folder)?;
        let path = folder.join(NAME);
        let file = create(&path)?;
        let size = plan.steps.len().max(1) as u64;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size)?,
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Self { file, path }))
    }

    /// The code of a step is about to run.
    pub(super) fn begins(&self, step: StepId) -> Result<(), String> {
        let written = self.file.write_all_at(&[1], step.0.into());
        written.map_err(|error| format!("`{}` cannot be written: {error}", self.path.display()))
    }
}

/// The steps that had begun. Where no file is, nothing had.
pub(super) fn begun(folder: &Path, plan: &Plan) -> io::Result<IndexSet<StepId>> {
    let file = match open(&folder.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(IndexSet::new()),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(plan.steps.len() as u64).read_to_end(&mut bytes)?;
    let begun = plan.steps.ids().zip(&bytes).filter(|(_, byte)| **byte != 0);
    Ok(begun.map(|(step, _)| step).collect())
}
