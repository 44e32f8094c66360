//! What to do after a failure, as a pure function: try again after a pause, go to the next
//! gateway or model, or give up. It reads no clock and draws no random numbers.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing answered: DNS, connect, TLS, a reset before the status line.
    Connect,
    /// No status line in time.
    HeaderTimeout,
    /// The answer stopped for too long.
    Idle,
    /// The answer ended before its end.
    Cut,
    /// The answer cannot be read.
    Malformed,
    /// The gateway cannot answer now: 408, 409, 425 or 5xx, also when named inside the stream.
    Unavailable(u16),
    /// Too many requests.
    RateLimited,
    /// The gateway does not know the model or the address.
    NotFound,
    /// The key, the account or the permission: nothing helps.
    Final(u16),
    /// The request is wrong for this gateway.
    Invalid(u16),
    /// The conversation does not fit: its tokens and the limit, where they are named.
    TooLong {
        /// Tokens of the request.
        asked: Option<u64>,
        /// Tokens that the model takes.
        limit: Option<u64>,
    },
    /// The breaker of the gateway is open for this long.
    Open(Duration),
}

/// Everything that the decision depends on.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// How it failed.
    pub failure: Failure,
    /// Tries made on this route, this one included.
    pub tries: u32,
    /// Since the request came in.
    pub elapsed: Duration,
    /// The pause that the gateway asked for.
    pub retry_after: Option<Duration>,
    /// Whether another gateway or model is left.
    pub more_routes: bool,
    /// Whether the client has seen content.
    pub visible: bool,
    /// From 0 to 1, drawn by the caller.
    pub jitter: f64,
}

/// The limits of retrying.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Tries on one route.
    pub tries: u32,
    /// The first pause; it doubles.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// No new try begins after this time.
    pub budget: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tries: 4,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(20),
            budget: Duration::from_secs(180),
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same route again after a pause.
    Retry(Duration),
    /// The next route, at once.
    Fallback,
    /// Tell the client.
    GiveUp,
}

/// Decides.
pub fn decide(attempt: &Attempt, policy: &Policy) -> Decision {
    if attempt.visible {
        return Decision::GiveUp;
    }
    let next = if attempt.more_routes { Decision::Fallback } else { Decision::GiveUp };
    match &attempt.failure {
        // Another gateway has another key and other limits; the same one has not.
        Failure::Final(_) => return next,
        Failure::Invalid(_) | Failure::TooLong { .. } => return Decision::GiveUp,
        // A model that this gateway does not know may be known to the next.
        Failure::NotFound => return next,
        Failure::Open(_) if attempt.more_routes => return next,
        Failure::Open(_)
        | Failure::Unavailable(_)
        | Failure::RateLimited
        | Failure::Connect
        | Failure::HeaderTimeout
        | Failure::Idle
        | Failure::Cut
        | Failure::Malformed => {}
    }
    // A gateway that was silent for minutes will be so again.
    let tries = if attempt.failure == Failure::HeaderTimeout { policy.tries.min(2) } else { policy.tries };
    if attempt.tries >= tries {
        return next;
    }
    let pause = match (&attempt.failure, attempt.retry_after) {
        (Failure::Open(left), _) => *left,
        // A little more than asked for, so that ten clients do not come back as one.
        (_, Some(asked)) => asked + policy.base.mul_f64(attempt.jitter / 2.0),
        (_, None) => {
            let doubled = policy.base.saturating_mul(1 << attempt.tries.saturating_sub(1).min(16));
            // Equal jitter: half fixed, half drawn.
            doubled.min(policy.cap).mul_f64(0.5 + attempt.jitter.clamp(0.0, 1.0) / 2.0)
        }
    };
    let fits = attempt.elapsed.saturating_add(pause) <= policy.budget;
    // A long pause is not waited for when somebody else can answer now.
    if !fits || (attempt.more_routes && pause > policy.cap) {
        return next;
    }
    Decision::Retry(pause)
}

/// A `Retry-After` value: seconds or a date (RFC 9110, 10.2.3). `now` is seconds since 1970.
pub fn retry_after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0)
            .then(|| Duration::from_secs_f64(seconds.min(86_400.0)));
    }
    let at = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(at.saturating_sub(now).min(86_400)))
}

static PAUSE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?i)(?:"retryDelay"\s*:\s*"|(?:try again|retry|available) (?:again )?(?:in|after) )"#,
        r"(?:(\d+)m)?(\d+(?:\.\d+)?)\s?(ms|s)"
    ))
    .ok()
});

/// The pause that an error's message asks for, where there is no header: "Please try again
/// in 1m7.66s" (OpenAI, Groq), `"retryDelay": "34s"` (Gemini).
pub fn pause_in_message(body: &str) -> Option<Duration> {
    let found = PAUSE.as_ref()?.captures(body)?;
    let number = |at: usize| found.get(at).and_then(|m| m.as_str().parse::<f64>().ok());
    let unit = if found.get(3)?.as_str().eq_ignore_ascii_case("ms") { 1e-3 } else { 1.0 };
    let seconds = number(1).unwrap_or(0.0) * 60.0 + number(2)? * unit;
    Some(Duration::from_secs_f64(seconds.min(86_400.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Fallback, GiveUp, Retry};

    #[test]
    fn decisions() {
        let ms = Duration::from_millis;
        let policy = Policy { tries: 3, base: ms(400), cap: ms(2000), budget: ms(10_000) };
        let base = Attempt {
            failure: Failure::Connect,
            tries: 1,
            elapsed: ms(0),
            retry_after: None,
            more_routes: false,
            visible: false,
            jitter: 0.0,
        };
        let with = |f: Failure, change: &dyn Fn(&mut Attempt)| {
            let mut attempt = Attempt { failure: f, ..base.clone() };
            change(&mut attempt);
            attempt
        };
        let nothing = |_: &mut Attempt| {};
        let cases: Vec<(&str, Attempt, Decision)> = vec![
            ("first failure", with(Failure::Connect, &nothing), Retry(ms(200))),
            ("full jitter", with(Failure::Connect, &|a| a.jitter = 1.0), Retry(ms(400))),
            ("second failure doubles", with(Failure::Connect, &|a| a.tries = 2), Retry(ms(400))),
            ("tries used up", with(Failure::Connect, &|a| a.tries = 3), GiveUp),
            (
                "tries used up, another route",
                with(Failure::Connect, &|a| (a.tries, a.more_routes) = (3, true)),
                Fallback,
            ),
            (
                "429 with a pause",
                with(Failure::RateLimited, &|a| a.retry_after = Some(ms(1500))),
                Retry(ms(1500)),
            ),
            (
                "429 with a pause over the budget",
                with(Failure::RateLimited, &|a| a.retry_after = Some(ms(60_000))),
                GiveUp,
            ),
            (
                "429, long pause, another route",
                with(Failure::RateLimited, &|a| (a.retry_after, a.more_routes) = (Some(ms(5_000)), true)),
                Fallback,
            ),
            ("500", with(Failure::Unavailable(500), &nothing), Retry(ms(200))),
            ("529", with(Failure::Unavailable(529), &nothing), Retry(ms(200))),
            ("501 is 5xx", with(Failure::Unavailable(501), &nothing), Retry(ms(200))),
            ("404", with(Failure::NotFound, &nothing), GiveUp),
            ("404, another route", with(Failure::NotFound, &|a| a.more_routes = true), Fallback),
            ("400", with(Failure::Invalid(400), &|a| a.more_routes = true), GiveUp),
            (
                "too long",
                with(Failure::TooLong { asked: None, limit: None }, &|a| a.more_routes = true),
                GiveUp,
            ),
            ("bad key", with(Failure::Final(401), &nothing), GiveUp),
            ("bad key, another gateway", with(Failure::Final(401), &|a| a.more_routes = true), Fallback),
            ("header time-out", with(Failure::HeaderTimeout, &nothing), Retry(ms(200))),
            ("header time-out twice", with(Failure::HeaderTimeout, &|a| a.tries = 2), GiveUp),
            ("idle before content", with(Failure::Idle, &nothing), Retry(ms(200))),
            ("cut before content", with(Failure::Cut, &nothing), Retry(ms(200))),
            ("unreadable", with(Failure::Malformed, &nothing), Retry(ms(200))),
            ("cut after content", with(Failure::Cut, &|a| (a.visible, a.more_routes) = (true, true)), GiveUp),
            ("breaker open", with(Failure::Open(ms(900)), &nothing), Retry(ms(900))),
            (
                "breaker open, another route",
                with(Failure::Open(ms(900)), &|a| a.more_routes = true),
                Fallback,
            ),
            ("breaker open for long", with(Failure::Open(ms(90_000)), &nothing), GiveUp),
            ("budget used up", with(Failure::Connect, &|a| a.elapsed = ms(9_900)), GiveUp),
        ];
        for (name, attempt, expected) in cases {
            assert_eq!(decide(&attempt, &policy), expected, "{name}");
        }
    }

    #[test]
    fn pauses_in_messages() {
        let cases = [
            ("Rate limit reached … Please try again in 7.66s. Visit", Some(7.66)),
            ("Please try again in 1m2.5s", Some(62.5)),
            ("try again in 250ms", Some(0.25)),
            (r#"{"@type": "RetryInfo", "retryDelay": "34s"}"#, Some(34.0)),
            ("Please retry after 2 seconds", Some(2.0)),
            ("try again later", None),
        ];
        for (message, seconds) in cases {
            assert_eq!(pause_in_message(message), seconds.map(Duration::from_secs_f64), "{message}");
        }
    }

    #[test]
    fn retry_after_values() {
        let now = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
        let cases = [
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            (" 7 ", Some(7.0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60.0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0.0)),
            ("soon", None),
            ("-1", None),
            ("999999999", Some(86_400.0)),
        ];
        for (value, seconds) in cases {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs_f64), "{value}");
        }
    }
}
