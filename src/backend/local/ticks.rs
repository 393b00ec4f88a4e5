//! A coarse clock. All who wait for it wake together: a timer for each step would cost it a wake-up of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The time between two ticks. The clock stands still while nobody waits.
const PERIOD: Duration = Duration::from_millis(2);

/// The clock.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    tick: Notify,
    goes: AtomicBool,
    /// What makes it go.
    works: Mutex<JoinSet<()>>,
}

impl Ticks {
    /// Waits for longer than one period, and for two at most.
    pub(super) async fn pause(self: Arc<Self>) {
        for _ in 0..2 {
            let tick = self.tick.notified();
            if !self.goes.swap(true, Ordering::Relaxed) {
                let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
                while works.try_join_next().is_some() {}
                works.spawn(Arc::clone(&self).go());
            }
            tick.await;
        }
    }

    async fn go(self: Arc<Self>) {
        sleep(PERIOD).await;
        self.goes.store(false, Ordering::Relaxed);
        self.tick.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_waits_for_one_to_two_periods() {
        let ticks = Arc::new(Ticks::default());
        let began = Instant::now();
        let later = async {
            sleep(PERIOD / 2).await;
            Arc::clone(&ticks).pause().await;
        };
        tokio::join!(Arc::clone(&ticks).pause(), later);
        assert_eq!(began.elapsed(), 2 * PERIOD, "both at the same tick");
        sleep(10 * PERIOD).await;
        ticks.pause().await;
        assert_eq!(began.elapsed(), 14 * PERIOD, "it stood still meanwhile");
    }
}
