//! Carries what a process prints from its pipe to its voice, as bytes, in pieces of bounded size.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::fstat;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::backend::{KEPT, Voice};
use crate::event::Channel;
use crate::sys;

/// The largest piece, and the size of a new pipe: a piece of this size says that the process is busy.
const PIECE: usize = 64 << 10;
/// The size of the pipe of a busy process.
const WIDE: usize = 1 << 20;
/// The first piece of a process that may never print more.
const SIP: usize = 4 << 10;
/// The pause between two looks where this user may watch no more descriptors.
const UNWATCHED: Duration = Duration::from_millis(5);
/// How much a drain reads at most: all that a pipe can hold, and no more where somebody goes on filling it.
const DRAINED: usize = 2 * WIDE;

/// One channel of one process.
#[derive(Debug)]
pub(super) struct Pump {
    channel: Channel,
    /// The pipe, as long as nobody has waited for it, or where nothing more can be watched.
    plain: Option<OwnedFd>,
    /// The pipe, once somebody waits for it.
    watched: Option<AsyncFd<OwnedFd>>,
    /// Whether nobody can write to it any more.
    ended: bool,
    wide: bool,
    buffer: Vec<u8>,
    /// Read, and not yet told.
    piece: Option<Bytes>,
    captured: Option<Vec<u8>>,
    dropped: u64,
}

/// How far to carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Until {
    /// As long as anybody can write.
    End,
    /// What is there now.
    Dry,
}

impl Pump {
    /// Carries from `pipe`, whose reading end does not block, and keeps it too where `capture`.
    pub(super) fn new(channel: Channel, pipe: OwnedFd, capture: bool) -> Self {
        let captured = capture.then(Vec::new);
        Self {
            channel,
            plain: Some(pipe),
            watched: None,
            ended: false,
            wide: false,
            buffer: Vec::new(),
            piece: None,
            captured,
            dropped: 0,
        }
    }

    /// Carries on. What this loses when it is dropped half-way: nothing, the next call goes on from there.
    pub(super) async fn carry(&mut self, voice: &Voice, until: Until) {
        let mut read = 0;
        loop {
            if self.piece.is_some() {
                let turn = voice.turn().await;
                if let (Some(turn), Some(piece)) = (turn, self.piece.take()) {
                    turn.print(self.channel, piece);
                }
            }
            let more = match until {
                Until::Dry if read >= DRAINED => return,
                Until::Dry => self.read(),
                Until::End => self.wait().await,
            };
            match more {
                Some(length) => read += length,
                None => return,
            }
        }
    }

    /// Whether nobody can write any more and all has been told.
    pub(super) fn ended(&self) -> bool {
        self.ended && self.piece.is_none()
    }

    /// The name of the pipe as `/proc/PID/fd` shows it, while somebody may hold it.
    pub(super) fn name(&self) -> Option<String> {
        let found = fstat(self.descriptor().filter(|_| !self.ended)?);
        found.ok().map(|it| format!("pipe:[{}]", it.st_ino))
    }

    /// What was captured, and how much was not.
    pub(super) fn captured(&mut self) -> (Vec<u8>, u64) {
        (self.captured.take().unwrap_or_default(), self.dropped)
    }

    fn descriptor(&self) -> Option<&OwnedFd> {
        self.watched.as_ref().map(AsyncFd::get_ref).or(self.plain.as_ref())
    }

    /// Reads what is there: how much, `None` if nothing.
    fn read(&mut self) -> Option<usize> {
        if self.ended {
            return None;
        }
        let pipe = self.watched.as_ref().map(AsyncFd::get_ref).or(self.plain.as_ref())?;
        let read = fill(pipe, &mut self.buffer);
        self.take(read)
    }

    /// Reads what comes next: how much, `None` at the end.
    async fn wait(&mut self) -> Option<usize> {
        if self.ended {
            return None;
        }
        self.watch();
        let buffer = &mut self.buffer;
        let Some(pipe) = &self.watched else {
            tokio::time::sleep(UNWATCHED).await;
            self.read();
            return (!self.ended).then_some(0);
        };
        let read = pipe.async_io(Interest::READABLE, |pipe| Ok(fill(pipe, buffer)?)).await;
        self.take(read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }

    fn watch(&mut self) {
        if let Some(pipe) = self.plain.take() {
            match sys::watch(pipe) {
                Ok(pipe) => self.watched = Some(pipe),
                Err((pipe, _)) => self.plain = Some(pipe),
            }
        }
    }

    fn take(&mut self, read: Result<usize, Errno>) -> Option<usize> {
        match read {
            Ok(length @ 1..) => {
                self.keep();
                self.piece = Some(self.cut());
                Some(length)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == ErrorKind::Interrupted => Some(0),
            Ok(0) | Err(_) => {
                self.ended = true;
                None
            }
        }
    }

    /// Keeps what the buffer holds for the `let`, as far as there is room.
    fn keep(&mut self) {
        let Some(captured) = &mut self.captured else { return };
        let room = (KEPT - captured.len()).min(self.buffer.len());
        captured.extend_from_slice(&self.buffer[..room]);
        self.dropped += (self.buffer.len() - room) as u64;
    }

    /// The buffer as a piece of its own: given away if it is well filled, else copied, so that many small pieces do
    /// not hold many large buffers.
    fn cut(&mut self) -> Bytes {
        let length = self.buffer.len();
        if self.buffer.capacity() < PIECE {
            let piece = Bytes::from(std::mem::take(&mut self.buffer));
            if length == SIP {
                self.buffer.reserve_exact(PIECE);
            }
            return piece;
        }
        if length * 2 >= PIECE {
            self.widen();
            return Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        }
        let piece = Bytes::copy_from_slice(&self.buffer);
        self.buffer.clear();
        piece
    }

    fn widen(&mut self) {
        if let Some(pipe) = &self.watched
            && !std::mem::replace(&mut self.wide, true)
        {
            // Refused where the user's share of pipe memory is used up: then it stays as it is.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, WIDE);
        }
    }
}

fn fill(pipe: &OwnedFd, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    if buffer.capacity() == 0 {
        let mut sip = [const { MaybeUninit::uninit() }; SIP];
        let (sip, _) = rustix::io::read(pipe, &mut sip)?;
        buffer.extend_from_slice(sip);
        return Ok(sip.len());
    }
    rustix::io::read(pipe, spare_capacity(buffer))
}
