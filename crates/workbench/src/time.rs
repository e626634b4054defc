//! What time it is, and how much of it is left.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oci_client::Client;
use tokio::time::Instant;

/// When to stop waiting.
pub type Deadline = Instant;

/// A call's time: nothing is begun after `soft`, and everything ends by `deadline`.
#[derive(Debug, Clone, Copy)]
pub struct CallTime {
    /// What is begun later might not be brought to an end.
    pub soft: Deadline,
    /// When the call ends.
    pub deadline: Deadline,
}

impl CallTime {
    /// That of a call that ends at `deadline`: one of `shares` of what is left, and at most `reserve_max`, is for ending
    /// what was begun.
    pub fn before(deadline: Deadline, shares: u32, reserve_max: Duration) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        Self { soft: deadline - (left / shares.max(1)).min(reserve_max), deadline }
    }

    /// Whether nothing may be begun any more.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.soft
    }
}

/// No answer of a service has told the time yet, or none that can be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service gave no time")]
pub struct NoTime;

/// The time by the service's clock, as its last answers told it; the container's own may be off.
///
/// # Errors
/// Where none has told it.
pub fn service_time(client: &Client) -> Result<Timestamp, NoTime> {
    client.service_time().ok_or(NoTime)
}

/// Until when a receipt is held, by the service's clock: a little longer than this call can last, so that the sweep
/// never gives away what is still worked on.
pub fn hold_until(service_time: Timestamp, deadline: Deadline) -> Timestamp {
    const MARGIN: SignedDuration = SignedDuration::from_secs(60);
    let left = deadline.saturating_duration_since(Instant::now());
    let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::ZERO);
    service_time.saturating_add(left + MARGIN).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_keeps_a_share_of_its_time_for_its_end() {
        for (left, shares, expected) in [(300, 4, 280), (40, 4, 30), (40, 2, 20), (0, 4, 0), (10, 0, 0)] {
            let now = Instant::now();
            let time = CallTime::before(now + Duration::from_secs(left), shares, Duration::from_secs(20));
            assert_eq!(time.soft - now, Duration::from_secs(expected), "{left} s, {shares}");
            assert_eq!(time.is_over(), expected == 0);
        }
    }
}
