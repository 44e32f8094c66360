//! What follows a judged pass: the end, another pass, or a stop with its reason. Pure.

use std::time::Duration;

use verify::fingerprint::Fingerprint;

/// Less time than this is not worth another pass.
pub const LEAST_TIME: Duration = Duration::from_secs(20);

/// What may be spent on a job. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Requests to the gateway.
    pub requests: Option<u64>,
    /// Input and output tokens together.
    pub tokens: Option<u64>,
}

/// What was spent so far. Unknown tokens do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests that a gateway answered.
    pub requests: u64,
    /// Input and output tokens, as far as they are known.
    pub tokens: u64,
}

/// Everything that decides about another pass.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The pass completed.
    pub completed: bool,
    /// Another pass could repair it.
    pub repairable: bool,
    /// Passes made.
    pub attempt: u32,
    /// Passes there may be.
    pub max_attempts: u32,
    /// The failures of all passes so far, this one's last.
    pub fingerprints: &'a [Fingerprint],
    /// Until the job's time limit.
    pub time_left: Duration,
    /// Spent so far.
    pub spent: Spent,
    /// What may be spent.
    pub budget: Budget,
    /// `WORKER_ESCALATE_MODEL`.
    pub escalate_to: Option<&'a str>,
    /// The escalation model is in use already.
    pub escalated: bool,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The job ends with this pass's outcome, for no other reason than the outcome.
    Finish,
    /// Another pass, with another model where one is named.
    Revise {
        /// The model to go on with, if not the one in use.
        model: Option<String>,
    },
    /// No further pass although one could help; the sentence says why.
    Stop {
        /// One line.
        reason: String,
    },
}

/// The budget that is used up, if one is, as a sentence.
pub fn exhausted(spent: Spent, budget: Budget) -> Option<String> {
    if let Some(most) = budget.requests.filter(|most| spent.requests >= *most) {
        return Some(format!("the budget of {most} requests is used up ({} made)", spent.requests));
    }
    if let Some(most) = budget.tokens.filter(|most| spent.tokens >= *most) {
        return Some(format!("the budget of {most} tokens is used up ({} moved)", spent.tokens));
    }
    None
}

/// Another pass while passes, time and budget last and the failure changes. The same failure
/// twice, or a third pass, goes to the stronger model where there is one.
pub fn decide(state: State<'_>) -> Next {
    if state.completed || !state.repairable || state.max_attempts <= 1 {
        return Next::Finish;
    }
    let stop = |reason: String| Next::Stop { reason };
    if state.attempt >= state.max_attempts {
        return stop(format!("all {} passes are used", state.max_attempts));
    }
    if state.time_left < LEAST_TIME {
        return stop(format!("{} s are left, too little for another pass", state.time_left.as_secs()));
    }
    if let Some(reason) = exhausted(state.spent, state.budget) {
        return stop(reason);
    }
    let repeated = match state.fingerprints {
        [.., before, now] => before == now,
        _ => false,
    };
    let stronger = state.escalate_to.filter(|_| !state.escalated);
    match stronger {
        Some(model) if repeated || state.attempt >= 2 => Next::Revise { model: Some(model.to_owned()) },
        _ if repeated => stop("two passes ended with the same failure".to_owned()),
        _ => Next::Revise { model: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> Fingerprint {
        serde_json::from_value(serde_json::json!(text)).expect("a string")
    }

    #[test]
    fn what_follows_a_pass() {
        let (a, b) = (print("a"), print("b"));
        let once = [a.clone()];
        let changed = [a.clone(), b];
        let same = [a.clone(), a];
        let base = State {
            completed: false,
            repairable: true,
            attempt: 1,
            max_attempts: 4,
            fingerprints: &once,
            time_left: Duration::from_secs(600),
            spent: Spent { requests: 10, tokens: 5000 },
            budget: Budget::default(),
            escalate_to: None,
            escalated: false,
        };
        let strong = State { escalate_to: Some("strong"), ..base };
        let cases: [(&str, State<'_>); 14] = [
            ("finish", State { completed: true, ..base }),
            ("finish", State { repairable: false, ..base }),
            ("finish", State { max_attempts: 1, ..base }),
            ("revise", base),
            ("revise", State { attempt: 2, fingerprints: &changed, ..base }),
            (
                "stop: two passes ended with the same failure",
                State { attempt: 2, fingerprints: &same, ..base },
            ),
            ("stop: all 4 passes are used", State { attempt: 4, ..base }),
            (
                "stop: 19 s are left, too little for another pass",
                State { time_left: Duration::from_secs(19), ..base },
            ),
            (
                "stop: the budget of 10 requests is used up (10 made)",
                State { budget: Budget { requests: Some(10), tokens: None }, ..base },
            ),
            (
                "stop: the budget of 4000 tokens is used up (5000 moved)",
                State { budget: Budget { requests: Some(11), tokens: Some(4000) }, ..base },
            ),
            ("revise", strong),
            ("revise strong", State { attempt: 2, fingerprints: &same, ..strong }),
            ("revise strong", State { attempt: 2, fingerprints: &changed, ..strong }),
            (
                "stop: two passes ended with the same failure",
                State { attempt: 3, fingerprints: &same, escalated: true, ..strong },
            ),
        ];
        for (expected, state) in cases {
            let next = match decide(state) {
                Next::Finish => "finish".to_owned(),
                Next::Revise { model: None } => "revise".to_owned(),
                Next::Revise { model: Some(model) } => format!("revise {model}"),
                Next::Stop { reason } => format!("stop: {reason}"),
            };
            assert_eq!(next, expected, "{state:?}");
        }
    }
}
