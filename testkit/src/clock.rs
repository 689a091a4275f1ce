//! What time is it in a test? Whatever the test says; sleeping takes no time and moves the hands.

use async_trait::async_trait;
use bldr_core::{fleet::Timestamp, ports::Clock};
use futures::{channel::oneshot, task::ArcWake};
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// A clock that moves only when told to, or when somebody sleeps by it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows this time.
    pub fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.0))
    }
    /// Sets the hands, back as well.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::SeqCst);
    }
    /// Moves the hands.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// 2026-01-01 00:00 UTC.
    fn default() -> Self {
        Self::at(Timestamp(1_767_225_600_000))
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}

/// A clock by which any number of tasks sleep side by side, and which is put forward to the next of them once all of them wait: a day
/// of a fleet takes as long as what is done in it.
#[derive(Default)]
pub struct VirtualClock(Mutex<Day>);

#[derive(Default)]
struct Day {
    now: i64,
    /// By when they wake, and in which order they went to sleep.
    sleepers: BTreeMap<(i64, u64), oneshot::Sender<()>>,
    slept: u64,
}

struct Woken(AtomicBool);

impl ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        woken.0.store(true, Ordering::SeqCst);
    }
}

impl VirtualClock {
    fn day(&self) -> MutexGuard<'_, Day> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all of this, however long that takes by this clock. `None` where it waits for something else than this clock.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, woken) = (pin!(work), Arc::new(Woken(AtomicBool::new(true))));
        let waker = futures::task::waker(woken.clone());
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(done);
                }
            }
            let mut day = self.day();
            let ((now, _), next) = day.sleepers.pop_first()?;
            day.now = now;
            drop(day);
            // Who does not wait any more needs no waking.
            let _ = next.send(());
        }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.day().now)
    }
    async fn sleep(&self, duration: Duration) {
        let (wake, woken) = oneshot::channel();
        {
            let mut day = self.day();
            day.slept += 1;
            let until = day.now + i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2);
            let key = (until, day.slept);
            day.sleepers.insert(key, wake);
        }
        // It is there for as long as anybody sleeps by it.
        let _ = woken.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::{join_all, pending};

    #[test]
    fn a_thousand_sleep_side_by_side_and_wake_in_order() {
        let clock = VirtualClock::default();
        let order = Mutex::new(Vec::new());
        clock.run(join_all((0..1000_u64).rev().map(async |number| {
            clock.sleep(Duration::from_millis(number)).await;
            clock.sleep(Duration::from_secs(3600)).await;
            order.lock().unwrap().push(number);
        })));
        assert_eq!(clock.now(), Timestamp(3_600_999));
        assert!(order.lock().unwrap().is_sorted());
        assert_eq!(clock.run(pending::<()>()), None);
    }
}
