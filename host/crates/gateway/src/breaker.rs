//! One small file a gateway, shared by all worker processes, so that ten jobs do not each
//! find out about an outage. The rule is a pure function of the state, a signal and the time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// Failures further apart than this are not a row.
const ROW: Duration = Duration::from_secs(60);
/// The first time that it stays open; it doubles.
const FIRST_OPEN: Duration = Duration::from_secs(10);
const LONGEST_OPEN: Duration = Duration::from_secs(120);
/// Time that one probe has before the next may go.
const PROBE: Duration = Duration::from_secs(15);

/// What is known of a gateway. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerState {
    /// Format version.
    v: u32,
    failures: u32,
    last_failure: u64,
    open_until: u64,
    opened: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A request is about to go out.
    Ask,
    /// An answer came, whatever its status below 500.
    Success,
    /// No answer, or a 5xx.
    Failure,
}

impl BreakerState {
    /// The next state, and for how long requests must wait.
    pub fn on(mut self, signal: Signal, now: u64) -> (BreakerState, Option<Duration>) {
        self.v = 1;
        match signal {
            Signal::Ask if self.open_until > now => {
                let left = Duration::from_millis(self.open_until - now);
                (self, Some(left.min(LONGEST_OPEN)))
            }
            // It was open: this request is the probe, others wait for what becomes of it.
            Signal::Ask if self.failures >= FAILURES => {
                self.open_until = now + PROBE.as_millis() as u64;
                (self, None)
            }
            Signal::Ask => (self, None),
            Signal::Success => (BreakerState { v: 1, ..BreakerState::default() }, None),
            Signal::Failure => {
                let in_row = now.saturating_sub(self.last_failure) <= ROW.as_millis() as u64
                    || self.failures >= FAILURES;
                self.failures = if in_row { self.failures.saturating_add(1) } else { 1 };
                self.last_failure = now;
                if self.failures >= FAILURES {
                    let open = FIRST_OPEN.saturating_mul(1 << self.opened.min(8)).min(LONGEST_OPEN);
                    self.open_until = now + open.as_millis() as u64;
                    self.opened = self.opened.saturating_add(1);
                }
                (self, None)
            }
        }
    }
}

/// The breaker of one gateway.
#[derive(Clone, Debug)]
pub struct Breaker {
    file: PathBuf,
}

impl Breaker {
    /// The breaker of `base_url`, its file under the state directory.
    pub fn new(home: &Path, base_url: &str) -> Self {
        let digest = Sha256::digest(base_url.as_bytes());
        let name = model::hex::encode(&digest[..8]);
        Breaker { file: home.join("gateways").join(format!("{name}.json")) }
    }

    /// Tells what happened; gives the time to wait when the breaker is open. A file that
    /// cannot be read or written leaves the breaker closed: it only saves time.
    pub fn tell(&self, signal: Signal) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let read = std::fs::read(&self.file).ok();
        let before: BreakerState = match &read {
            None if signal != Signal::Failure => return None,
            read => read.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default(),
        };
        let (after, wait) = before.on(signal, now);
        if signal == Signal::Success {
            // No file is the healthy state, and costs nothing to find.
            let _ = std::fs::remove_file(&self.file);
        } else if after != before {
            let _ = self.write(&after);
        }
        wait
    }

    fn write(&self, state: &BreakerState) -> std::io::Result<()> {
        let dir = self.file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)?;
        let mut new = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer(&mut new, state)?;
        new.persist(&self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_probes_and_closes() {
        let mut state = BreakerState::default();
        let mut now = 1_000_000;
        for _ in 0..FAILURES {
            assert_eq!(state.on(Signal::Ask, now).1, None);
            state = state.on(Signal::Failure, now).0;
            now += 1_000;
        }
        assert_eq!(state.on(Signal::Ask, now).1, Some(Duration::from_secs(9)));
        now += 10_000;
        let (probing, wait) = state.on(Signal::Ask, now);
        assert_eq!(wait, None, "one probe goes");
        assert_eq!(probing.on(Signal::Ask, now + 1).1, Some(PROBE - Duration::from_millis(1)));
        let longer = probing.on(Signal::Failure, now).0;
        assert_eq!(longer.on(Signal::Ask, now).1, Some(Duration::from_secs(20)), "open for twice as long");
        assert_eq!(longer.on(Signal::Success, now).0.on(Signal::Ask, now).1, None);
        let apart = (0..20).fold(BreakerState::default(), |s, n| s.on(Signal::Failure, n * 61_000).0);
        assert_eq!(apart.on(Signal::Ask, 20 * 61_000).1, None, "failures far apart are no outage");
    }

    #[test]
    fn processes_share_the_file() {
        let home = tempfile::tempdir().expect("temporary directory");
        let one = Breaker::new(home.path(), "https://a.example");
        let two = Breaker::new(home.path(), "https://a.example");
        let other = Breaker::new(home.path(), "https://b.example");
        for _ in 0..FAILURES {
            assert_eq!(two.tell(Signal::Ask), None);
            one.tell(Signal::Failure);
        }
        assert!(two.tell(Signal::Ask).is_some());
        assert_eq!(other.tell(Signal::Ask), None);
        two.tell(Signal::Success);
        assert_eq!(one.tell(Signal::Ask), None);
    }
}
