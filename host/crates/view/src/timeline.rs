//! A job's events as bars over time: the agent's passes, each check, the further runs of
//! checks, the policies. Pure.

use job::store::Event;
use model::status::JobStatus;

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The lane that it is in: `agent`, a check's name.
    pub lane: String,
    /// What it is.
    pub kind: Kind,
    /// From 1; 0 before the first pass.
    pub pass: u32,
    /// Milliseconds since 1970, UTC.
    pub from_ms: i64,
    /// The same; for what goes on, the time of the look.
    pub to_ms: i64,
    /// One line, such as the check's verdict.
    pub text: String,
}

/// What a bar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Waiting for a worker.
    Queue,
    /// Preparing the workspace, and checks before the job.
    Prepare,
    /// The agent's pass.
    Agent,
    /// A check that passed, or a further run.
    Good,
    /// A check that did not pass, or a policy that denied.
    Bad,
    /// A policy that warned.
    Warn,
    /// The host's own work.
    Host,
}

/// Lanes of checks that are shown.
const CHECK_LANES: usize = 16;

/// The bars of a job, by their beginning; `now_ms` ends what goes on.
pub fn bars(events: &[Event], now_ms: i64) -> Vec<Bar> {
    let mut walk = Walk { bars: Vec::new(), pass: 0, since: 0, state: None, judged_from: 0 };
    for event in events {
        walk.on(event);
    }
    if let (Some(state), Some(last)) = (walk.state, events.last())
        && !state.is_final()
    {
        walk.close(now_ms.max(last.at_ms));
    }
    walk.bars
}

struct Walk {
    bars: Vec<Bar>,
    pass: u32,
    /// Where the piece began that goes on.
    since: i64,
    state: Option<JobStatus>,
    /// The last moment that a bar of this judging accounts for.
    judged_from: i64,
}

impl Walk {
    fn on(&mut self, event: &Event) {
        let at = event.at_ms;
        match event.kind.as_str() {
            "state" => {
                let Some(state) = JobStatus::parse(&event.text) else { return };
                self.close(at);
                if matches!(state, JobStatus::Running | JobStatus::Revising) {
                    self.pass += 1;
                }
                if state == JobStatus::Queued {
                    self.pass = 0;
                }
                (self.state, self.since, self.judged_from) = (Some(state), at, at);
            }
            "setup" => self.prepare(at, &event.text),
            "check" if self.state == Some(JobStatus::Running) => self.prepare(at, &event.text),
            "check" => self.check(at, &event.text),
            "policy" => {
                let denied = event.text.contains(" denied: ");
                let kind = if denied { Kind::Bad } else { Kind::Warn };
                self.push("policies", kind, self.judged_from, at, &event.text);
                self.judged_from = at;
            }
            _ => {}
        }
    }

    /// Ends what goes on.
    fn close(&mut self, at: i64) {
        match self.state {
            Some(JobStatus::Queued) => self.push("queue", Kind::Queue, self.since, at, "waiting"),
            Some(JobStatus::Running | JobStatus::Revising) => {
                let text = format!("pass {}", self.pass);
                self.push("agent", Kind::Agent, self.since, at, &text);
            }
            // What the events do not name: recording, policies that found nothing, the end.
            Some(JobStatus::Verifying) => {
                self.push("policies", Kind::Host, self.judged_from, at, "judging");
            }
            _ => {}
        }
    }

    fn prepare(&mut self, at: i64, text: &str) {
        self.push("setup", Kind::Prepare, self.since, at, text);
        self.since = at;
    }

    fn check(&mut self, at: i64, text: &str) {
        let Some((name, verdict, took)) = verdict(text) else {
            // `again without the change`: a further run, whose end the next event shows.
            self.push("re-runs", Kind::Host, self.judged_from, at, text);
            self.judged_from = at;
            return;
        };
        let kind = if verdict == "passed" { Kind::Good } else { Kind::Bad };
        let lanes = self.bars.iter().filter(|bar| matches!(bar.kind, Kind::Good | Kind::Bad));
        let mut known: Vec<&str> = lanes.map(|bar| bar.lane.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let lane = if known.len() < CHECK_LANES || known.contains(&name) { name } else { "other checks" };
        let lane = lane.to_owned();
        self.push(&lane, kind, at - took, at, text);
        self.judged_from = at;
    }

    fn push(&mut self, lane: &str, kind: Kind, from_ms: i64, to_ms: i64, text: &str) {
        let bar = Bar {
            lane: lane.to_owned(),
            kind,
            pass: self.pass,
            from_ms: from_ms.min(to_ms),
            to_ms,
            text: text.to_owned(),
        };
        self.bars.push(bar);
    }
}

/// Name, verdict and milliseconds of `unit tests: failed (64 ms)`.
fn verdict(text: &str) -> Option<(&str, &str, i64)> {
    let rest = text.strip_suffix(" ms)")?;
    let (said, took) = rest.rsplit_once(" (")?;
    let (name, verdict) = said.rsplit_once(": ")?;
    matches!(verdict, "passed" | "failed" | "timed out" | "not run")
        .then(|| Some((name, verdict, took.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(lines: &[(i64, &str, &str)]) -> Vec<Event> {
        let event = |(n, (at_ms, kind, text)): (usize, &(i64, &str, &str))| Event {
            seq: n as u64 + 1,
            at_ms: *at_ms,
            kind: (*kind).to_owned(),
            text: (*text).to_owned(),
        };
        lines.iter().enumerate().map(event).collect()
    }

    fn shown(bars: &[Bar]) -> Vec<String> {
        bars.iter().map(|b| format!("{} {:?} {} {}-{}", b.lane, b.kind, b.pass, b.from_ms, b.to_ms)).collect()
    }

    #[test]
    fn a_job_of_two_passes() {
        let mut lines = vec![
            (0, "state", "queued"),
            (20, "state", "running"),
            (30, "setup", "running npm ci"),
            (40, "check", "running 1 on the tree before the job"),
            (90, "tool", "Edit a"),
            (100, "state", "verifying"),
            (110, "evidence", "M a +1 -1"),
            (180, "check", "a: b: failed (60 ms)"),
            (200, "policy", "integrity@0.1.0 denied: no (r)"),
            (210, "state", "revising"),
            (300, "state", "verifying"),
            (390, "check", "a: b: passed (80 ms)"),
            (400, "check", "again without the change"),
        ];
        let first = [
            "queue Queue 0 0-20",
            "setup Prepare 1 20-30",
            "setup Prepare 1 30-40",
            "agent Agent 1 40-100",
            "a: b Bad 1 120-180",
            "policies Bad 1 180-200",
            "policies Host 1 200-210",
            "agent Agent 2 210-300",
            "a: b Good 2 310-390",
            "re-runs Host 2 390-400",
        ];
        let going = shown(&bars(&events(&lines), 450));
        assert_eq!(going[..10], first);
        assert_eq!(going[10..], ["policies Host 2 400-450"]);
        lines.push((500, "state", "completed"));
        assert_eq!(shown(&bars(&events(&lines), 9000))[10..], ["policies Host 2 400-500"]);
        assert!(bars(&[], 5).is_empty());
    }
}
