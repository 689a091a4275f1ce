//! How are many who want the same of a machine served? Together: whoever comes while somebody is served waits, and all who wait are
//! served in one go after that.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// Those who wait for the same kind of answer from one machine.
pub(crate) struct Crowd<Asked, Answer> {
    waiting: Mutex<Vec<(Asked, oneshot::Sender<Answer>)>>,
    /// How many times longer than it took it is not asked again.
    rest: u32,
    /// Whoever has it serves, and not before then.
    turn: tokio::sync::Mutex<Option<Instant>>,
}

const LONGEST_REST: Duration = Duration::from_secs(1);

impl<Asked, Answer> Default for Crowd<Asked, Answer> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), rest: 0, turn: tokio::sync::Mutex::default() }
    }
}

impl<Asked, Answer> Crowd<Asked, Answer> {
    /// For a question that costs the machine much, and one more in it hardly anything: while many ask it, it is asked again only after twice
    /// the time that it took, a second at most, and more of them come meanwhile.
    pub(crate) fn resting() -> Self {
        Self { rest: 2, ..Self::default() }
    }

    /// Asks together with others. `serve` is called for all who wait, by one of them, and answers each in the order they are given in;
    /// `None` where it has no answer for this one.
    pub(crate) async fn join(&self, asked: Asked, serve: impl AsyncFnOnce(Vec<Asked>) -> Vec<Answer>) -> Option<Answer> {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push((asked, answer));
        let mut turn = self.turn.lock().await;
        // Somebody may have asked for this one, too.
        if let Ok(answer) = answered.try_recv() {
            return Some(answer);
        }
        if let Some(rested) = *turn {
            sleep_until(rested).await;
        }
        let began = Instant::now();
        let (crowd, answers): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting()).into_iter().unzip();
        let together = crowd.len();
        for (answer, its) in answers.into_iter().zip(serve(crowd).await) {
            // Nobody listens any more where the caller has gone.
            let _ = answer.send(its);
        }
        let many = together > 1 || !self.waiting().is_empty();
        *turn = many.then(|| Instant::now() + (began.elapsed() * self.rest).min(LONGEST_REST));
        drop(turn);
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
    use tokio::{task::yield_now, time::sleep};

    /// Everybody who is served is told who else was.
    async fn served(crowd: &Crowd<&'static str, Vec<&'static str>>, who: &'static str) -> Vec<&'static str> {
        let serve = async |all: Vec<&'static str>| {
            sleep(Duration::from_millis(200)).await;
            vec![all.clone(); all.len()]
        };
        crowd.join(who, serve).await.unwrap()
    }

    #[tokio::test]
    async fn who_comes_while_somebody_is_served_or_the_machine_rests_is_served_with_the_others() {
        let crowd = Crowd::resting();
        let late = async |who| {
            yield_now().await;
            served(&crowd, who).await
        };
        let (first, second, third) = join!(served(&crowd, "ada"), late("bob"), late("cyd"));
        assert_eq!((first, second, third), (vec!["ada"], vec!["bob", "cyd"], vec!["bob", "cyd"]));
        // It rests: nobody of these is served alone.
        let (fourth, fifth) = join!(served(&crowd, "dan"), late("eve"));
        assert_eq!((fourth, fifth), (vec!["dan", "eve"], vec!["dan", "eve"]));
    }

    #[tokio::test]
    async fn nobody_waits_for_others_where_there_were_none() {
        let crowd = Crowd::resting();
        assert_eq!(served(&crowd, "ada").await, ["ada"]);
        let second = async {
            yield_now().await;
            served(&crowd, "cyd").await
        };
        assert_eq!(join!(served(&crowd, "bob"), second), (vec!["bob"], vec!["cyd"]));
    }
}
