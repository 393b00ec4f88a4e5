//! A bound on every run of the program: one that hangs is killed, so that its test fails instead of hanging too.

use std::process::{Child, Command};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// No run of the program in a test may take longer.
pub(crate) const BOUND: Duration = Duration::from_mins(1);

/// Kills a process when its time is over. Dropped, it lets the process be.
pub(crate) struct Watchdog {
    _over: Sender<()>,
}

impl Watchdog {
    /// Watches over `child`, which has to be waited for before the watchdog is dropped.
    pub(crate) fn over(child: &Child) -> Self {
        Self::within(child, BOUND)
    }

    fn within(child: &Child, bound: Duration) -> Self {
        let pid = child.id().to_string();
        let (over, dropped) = channel::<()>();
        std::thread::spawn(move || {
            if dropped.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                // The one that runs the scenario first: it would stop it in order if its guardian went alone.
                for pid in children(&pid).into_iter().chain([pid.clone()]) {
                    let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
                }
            }
        });
        Self { _over: over }
    }
}

/// The processes that a process has started; of mstream, the one that runs the scenario.
pub(crate) fn children(pid: &str) -> Vec<String> {
    let found = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    found.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_process_that_hangs_is_killed() {
    use std::os::unix::process::ExitStatusExt as _;
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let _watchdog = Watchdog::within(&child, Duration::from_millis(20));
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}
