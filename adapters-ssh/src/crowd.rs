//! How are many who want the same of a machine served? Together: whoever comes while somebody is served waits, and all who wait are
//! served in one go after that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Those who wait for the same kind of answer from one machine.
pub(crate) struct Crowd<Asked, Answer> {
    waiting: Mutex<Vec<(Asked, oneshot::Sender<Answer>)>>,
    /// Whoever has it serves.
    turn: tokio::sync::Mutex<()>,
}

impl<Asked, Answer> Default for Crowd<Asked, Answer> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<Asked, Answer> Crowd<Asked, Answer> {
    /// Asks together with others. `serve` is called for all who wait, by one of them, and answers each in the order they are given in;
    /// `None` where it has no answer for this one.
    pub(crate) async fn join(&self, asked: Asked, serve: impl AsyncFnOnce(Vec<Asked>) -> Vec<Answer>) -> Option<Answer> {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push((asked, answer));
        let _turn = self.turn.lock().await;
        // Somebody may have asked for this one, too.
        if let Ok(answer) = answered.try_recv() {
            return Some(answer);
        }
        let (crowd, answers): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting()).into_iter().unzip();
        for (answer, its) in answers.into_iter().zip(serve(crowd).await) {
            // Nobody listens any more where the caller has gone.
            let _ = answer.send(its);
        }
        answered.await.ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Asked, oneshot::Sender<Answer>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::join;
    use tokio::task::yield_now;

    /// Everybody who is served is told who else was.
    async fn served(crowd: &Crowd<&'static str, Vec<&'static str>>, who: &'static str) -> Vec<&'static str> {
        let serve = async |all: Vec<&'static str>| {
            for _ in 0..3 {
                yield_now().await;
            }
            vec![all.clone(); all.len()]
        };
        crowd.join(who, serve).await.unwrap()
    }

    #[tokio::test]
    async fn who_comes_while_somebody_is_served_is_served_with_the_others() {
        let crowd = Crowd::default();
        let late = async |who| {
            yield_now().await;
            served(&crowd, who).await
        };
        let (first, second, third) = join!(served(&crowd, "ada"), late("bob"), late("cyd"));
        assert_eq!((first, second, third), (vec!["ada"], vec!["bob", "cyd"], vec!["bob", "cyd"]));
        assert_eq!(served(&crowd, "dan").await, ["dan"]);
    }
}
