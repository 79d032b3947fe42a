//! Starting runtimes again that die at their start: ever more slowly, so that a host whose runtimes
//! cannot run does not do nothing else.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{refusal::Refusal, waiting::lock};

/// The pause after the first that died.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);

/// How long none is started. What clients do has no part in it: it counts those that died before they
/// dialed in, and ends with one that does.
#[derive(Default)]
pub(super) struct Backoff(Mutex<Option<Pause>>);

struct Pause {
    length: Duration,
    until: Instant,
    /// Why the last one died, for people.
    why: String,
}

impl Backoff {
    /// Refuses a start that would come too early.
    ///
    /// # Errors
    /// 502 `runtime-failed`, which says when the next one is started.
    pub(super) fn check(&self, now: Instant) -> Result<(), Refusal> {
        let pause = lock(&self.0);
        let Some(pause) = pause.as_ref().filter(|pause| now < pause.until) else {
            return Ok(());
        };
        let seconds = (pause.until - now).as_secs() + 1;
        let message = format!(
            "the last runtime died at its start, and the next is started in {seconds} s: {}",
            pause.why
        );
        let refusal = Refusal::new(StatusCode::BAD_GATEWAY, "runtime-failed", message);
        Err(refusal.later(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }

    /// One died before it dialed in.
    pub(super) fn died(&self, now: Instant, why: String) {
        let mut pause = lock(&self.0);
        let length = match &*pause {
            Some(pause) => LONGEST.min(pause.length * 2),
            None => FIRST,
        };
        let until = now + length;
        tracing::warn!(pause = ?length, "a runtime died at its start: {why}");
        *pause = Some(Pause { length, until, why });
    }

    /// One dialed in.
    pub(super) fn dialed_in(&self) {
        *lock(&self.0) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_end_with_a_runtime_that_dials_in() {
        let backoff = Backoff::default();
        let mut now = Instant::now();
        assert!(backoff.check(now).is_ok());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            backoff.died(now, "no reason".into());
            let refused = backoff.check(now).unwrap_err();
            assert_eq!(refused.code, "runtime-failed");
            assert_eq!(refused.retry_after, Some(seconds + 1));
            assert!(refused.message.contains("no reason"));
            now += Duration::from_secs(seconds.into());
            assert!(backoff.check(now - Duration::from_millis(1)).is_err());
            assert!(backoff.check(now).is_ok());
        }
        backoff.died(now, String::new());
        backoff.dialed_in();
        assert!(backoff.check(now).is_ok());
        backoff.died(now, String::new());
        assert_eq!(backoff.check(now).unwrap_err().retry_after, Some(2));
    }
}
