//! Limits in time of a request and its attempts (node-proxy 8.3, 13.10): which of them is the tightest, what is said when it is
//! over, and what goes on as a deadline. All of them end at the response head; bodies have [`super::pump::Idle`].

use std::time::Duration;

use tokio::time::Instant;

use super::context::Deadline;
use super::policy::Walk;
use super::request::Request;
use super::respond::Failure;
use super::stats::Reason;
use super::wire::field::{Kind, values};
use super::worker::Server;
use crate::balance::Balancer;
use crate::config::Protocol;
use crate::route::Route;

/// A limit in time and the key that it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) time: Duration,
    key: &'static str,
}

impl Limit {
    /// The tightest of the service's, the server's and, for gRPC, the request's own (node-proxy 8.3, 13.10).
    pub(super) fn of(
        server: &Server,
        route: &Route,
        request: &Request,
        head: &[u8],
    ) -> Option<Self> {
        let total = route.service.total_timeout;
        let mut limits = [
            (total, "totalTimeoutMs"),
            (server.config.timeout, "timeoutMs"),
            (None, "grpc-timeout"),
            (None, "l5d-ctx-deadline"),
        ];
        let config = &server.router.config;
        if config.enforces_deadline && !server.config.clear_context {
            let values = values(head, &request.fields, Kind::CtxDeadline);
            limits[3].0 = Deadline::combine(values).map(|d| d.left());
        }
        if config.protocol == Protocol::H2 && config.honors_grpc_timeout {
            limits[2].0 = request.field(head, "grpc-timeout").and_then(grpc_timeout);
        }
        let limits = limits.into_iter();
        let limits = limits.filter_map(|(time, key)| Some(Self { time: time?, key }));
        limits.min_by_key(|limit| limit.time)
    }
}

impl Walk<'_> {
    /// What is left of the binding timeout, and of the limit of the whole request.
    pub(super) fn time_to_bind(&self) -> Duration {
        let binding = self.server.router.config.binding_timeout;
        let limit = self.limit.map_or(binding, |l| l.time.min(binding));
        limit.saturating_sub(self.start.elapsed())
    }

    /// When an attempt of this client that starts now must have a response head.
    pub(super) fn head_deadline(&self, balancer: &Balancer) -> Option<Instant> {
        let attempt = balancer.client.attempt_timeout.map(|t| Instant::now() + t);
        let total = self.limit.map(|l| self.start + l.time);
        attempt.into_iter().chain(total).min()
    }

    /// The deadline that goes on with an attempt of this client (node-proxy 8.3).
    pub(super) fn deadline(&self, balancer: &Balancer) -> Option<Deadline> {
        let attempt = balancer.client.attempt_timeout.map(Deadline::within);
        self.deadline
            .into_iter()
            .chain(attempt)
            .reduce(Deadline::and)
    }

    pub(super) fn timed_out(&self, balancer: &Balancer) -> Failure {
        let service = &self.route.shown;
        match (self.limit, balancer.client.attempt_timeout) {
            (Some(limit), _) if self.start.elapsed() >= limit.time => {
                Failure::timeout(limit.key, limit.time, service)
            }
            (_, limit) => Failure::timeout(
                "requestAttemptTimeoutMs",
                limit.unwrap_or_default(),
                service,
            ),
        }
    }

    /// What is said of a request that is not tried again: of one whose own limit is over by now, that one, and not the attempt's
    /// that ended a moment before it.
    pub(super) fn given_up(&self, failure: Failure) -> Failure {
        match self.limit {
            Some(limit)
                if failure.reason == Reason::Timeout && self.start.elapsed() >= limit.time =>
            {
                Failure::timeout(limit.key, limit.time, &self.route.shown)
            }
            _ => failure,
        }
    }

    pub(super) fn no_time_to_connect(&self, balancer: &Balancer) -> Failure {
        let (binding, service) = (self.server.router.config.binding_timeout, &self.route.shown);
        match self.limit {
            Some(limit) if limit.time < binding => Failure::timeout(limit.key, limit.time, service),
            _ => Failure::connecting_timeout(binding, service, balancer.id()),
        }
    }

    pub(super) fn still_pending(&self) -> Failure {
        let config = &self.server.router.config;
        let service = &self.route.shown;
        let is_over = |limit: &Limit| self.start.elapsed() >= limit.time;
        if let Some(limit) = self.limit.filter(is_over) {
            return Failure::timeout(limit.key, limit.time, service);
        }
        let why = self.server.router.routes.why_pending();
        Failure::binding_timeout(config.binding_timeout, service, &why)
    }
}

/// The value of `grpc-timeout`: up to eight digits and a unit.
fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(n * 3600)),
        b'M' => Some(Duration::from_secs(n * 60)),
        b'S' => Some(Duration::from_secs(n)),
        b'm' => Some(Duration::from_millis(n)),
        b'u' => Some(Duration::from_micros(n)),
        b'n' => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_read() {
        let ms = |value: &str| grpc_timeout(value.as_bytes()).map(|d| d.as_millis());
        assert_eq!(ms("1H"), Some(3_600_000));
        assert_eq!(ms("2M"), Some(120_000));
        assert_eq!(ms("3S"), Some(3_000));
        assert_eq!(ms("4m"), Some(4));
        assert_eq!(ms("5000u"), Some(5));
        assert_eq!(ms("99999999n"), Some(99));
        for bad in ["", "S", "1", "1s", "-1S", "123456789S", "1 S"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }
}
