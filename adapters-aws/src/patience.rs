//! How long does bldr wait for what EC2 does in its own time, and how often does it look?

use std::time::Duration;
use tokio::time::Instant;

/// How long to wait for a machine, and how often to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Between the first two looks.
    pub(crate) first: Duration,
    /// Between later ones, at most.
    pub(crate) longest: Duration,
    /// In all.
    pub(crate) limit: Duration,
}

impl Default for Patience {
    // Most machines are up in half a minute; one with much memory or many disks takes minutes to stop.
    fn default() -> Self {
        Self { first: Duration::from_secs(2), longest: Duration::from_secs(15), limit: Duration::from_secs(600) }
    }
}

impl Patience {
    /// Begins to wait.
    pub(crate) fn begin(self) -> Wait {
        Wait { deadline: Instant::now() + self.limit, pause: self.first, longest: self.longest }
    }
}

/// A wait that has begun.
pub(crate) struct Wait {
    deadline: Instant,
    pause: Duration,
    longest: Duration,
}

impl Wait {
    /// Pauses, each time for a little longer; `false`, and at once, where the time was up.
    pub(crate) async fn goes_on(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        tokio::time::sleep_until(self.deadline.min(Instant::now() + self.pause)).await;
        self.pause = self.longest.min(self.pause * 3 / 2);
        true
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}
