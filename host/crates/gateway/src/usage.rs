//! One line of JSON for every request that reached a gateway: versioned, appended with one
//! write so that several processes share the file, rotated by size. Never a key, a prompt or
//! an answer.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use config::Prices;

/// The file is moved to `<name>.1` when it is larger than this.
const ROTATE_AT: u64 = 16 * 1024 * 1024;

/// One request. Unknown numbers are `null`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Format version, now 1.
    pub v: u32,
    /// When the request came in, RFC 3339.
    pub time: String,
    /// The job's label.
    pub job: Option<String>,
    /// The job's pass, from 1.
    pub attempt: u32,
    /// `messages`, `relay` or `ask`.
    pub route: String,
    /// Host of the gateway that answered last.
    pub gateway: String,
    /// What the client asked for.
    pub model_asked: String,
    /// What the gateway was asked for.
    pub model_sent: String,
    /// What the gateway says it was.
    pub model_answered: Option<String>,
    /// The gateway's last status; `null` when nothing answered.
    pub status: Option<u16>,
    /// `ok`, `error` or `cancelled`.
    pub outcome: String,
    /// Requests sent for this one.
    pub tries: u32,
    /// Until the first byte of the answer.
    pub first_byte_ms: Option<u64>,
    /// Until the end.
    pub total_ms: u64,
    /// All input, cached included.
    pub input_tokens: Option<u64>,
    /// Of it, cached.
    pub cached_tokens: Option<u64>,
    /// All output.
    pub output_tokens: Option<u64>,
    /// Of it, reasoning.
    pub reasoning_tokens: Option<u64>,
    /// The gateway gave no counts.
    pub unmetered: bool,
    /// By the price table, in its currency.
    pub cost_estimate: Option<f64>,
    /// A fallback answered, or was asked last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
}

/// Token counts of one answer. Unknown ones are absent, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input, cached included.
    pub input: Option<u64>,
    /// Of it, from the provider's cache.
    pub cached: Option<u64>,
    /// Written to the provider's cache (Anthropic only).
    pub cache_written: Option<u64>,
    /// Output as the gateway counts it, mostly with reasoning.
    pub output: Option<u64>,
    /// Of it, reasoning.
    pub reasoning: Option<u64>,
    /// Reasoning that `output` leaves out: xAI and Gemini count it apart.
    pub apart: u64,
}

impl Tokens {
    /// Whether there is what a meter needs: input and output. A gateway that says 0 input
    /// tokens has not counted.
    pub fn metered(&self) -> bool {
        self.input.is_some_and(|n| n > 0) && self.output.is_some()
    }

    /// All output, reasoning included: what is paid for.
    pub fn all_output(&self) -> Option<u64> {
        self.output.map(|n| n + self.apart)
    }

    /// Later counts replace earlier ones where they are known.
    pub fn update(&mut self, later: Tokens) {
        self.input = later.input.or(self.input);
        self.cached = later.cached.or(self.cached);
        self.cache_written = later.cache_written.or(self.cache_written);
        self.output = later.output.or(self.output);
        self.reasoning = later.reasoning.or(self.reasoning);
        self.apart = later.apart.max(self.apart);
    }
}

/// The cost of an answer; none when a price or a count is missing.
pub fn cost(tokens: &Tokens, prices: &Prices) -> Option<f64> {
    let (input, output) = (tokens.input?, tokens.all_output()?);
    let cached = tokens.cached.unwrap_or(0).min(input);
    let (per_input, per_output) = (prices.input?, prices.output?);
    let per_cached = prices.cache.unwrap_or(per_input);
    let sum = (input - cached) as f64 * per_input + cached as f64 * per_cached + output as f64 * per_output;
    Some(sum / 1e6)
}

/// The file of rows.
#[derive(Clone, Debug)]
pub struct Rows {
    file: PathBuf,
    rotate_at: u64,
}

/// Where the rows of the metrics file `file` are, oldest first: what was set aside when it grew
/// too large, and the file.
pub fn files(file: &Path) -> [PathBuf; 2] {
    [beside(file, "1"), file.to_owned()]
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

impl Rows {
    /// Rows in `file`; its directory is made when needed.
    pub fn new(file: &Path) -> Self {
        Rows { file: file.to_owned(), rotate_at: ROTATE_AT }
    }

    /// Appends a row. Metering must never fail a request: an error goes to the log.
    pub fn append(&self, row: &Row) {
        if let Err(error) = self.try_append(row) {
            tracing::warn!(%error, file = %self.file.display(), "a usage row could not be written");
        }
    }

    fn try_append(&self, row: &Row) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        let open = || {
            let mut options = OpenOptions::new();
            options.append(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(&self.file)
        };
        let mut file = match open() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if let Some(dir) = self.file.parent() {
                    std::fs::create_dir_all(dir)?;
                }
                open()?
            }
            other => other?,
        };
        // One write with O_APPEND: lines of several processes do not mix.
        file.write_all(&line)?;
        if file.metadata()?.len() > self.rotate_at {
            self.rotate()?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn rotate(&self) -> std::io::Result<()> {
        let lock = OpenOptions::new().create(true).append(true).open(beside(&self.file, "lock"))?;
        // Who does not get the lock leaves it to who has.
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        // Another process may have rotated between our look and the lock.
        if std::fs::metadata(&self.file)?.len() > self.rotate_at {
            std::fs::rename(&self.file, beside(&self.file, "1"))?;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn rotate(&self) -> std::io::Result<()> {
        std::fs::rename(&self.file, beside(&self.file, "1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_many_writers_stay_whole_and_rotate() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let rows = Rows { file: dir.path().join("state/metrics.jsonl"), rotate_at: 40_000 };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let rows = rows.clone();
                scope.spawn(move || {
                    for n in 0..50 {
                        let job = Some(format!("job-{writer}-{n}"));
                        rows.append(&Row { v: 1, job, ..Row::default() });
                    }
                });
            }
        });
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let all = read(beside(&rows.file, "1")) + &read(rows.file.clone());
        let parsed: Vec<Row> = all.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
        assert!(beside(&rows.file, "1").exists(), "was rotated");
        assert!(parsed.len() >= 100 && parsed.len() <= 200, "{}", parsed.len());
        assert!(parsed.iter().all(|r| r.v == 1 && r.input_tokens.is_none()));
    }

    #[test]
    fn the_first_version_is_still_read() {
        let line = r#"{"v":1,"time":"2026-11-22T21:00:00Z","job":null,"attempt":1,"route":"messages","gateway":"h","model_asked":"a","model_sent":"b","model_answered":null,"status":200,"outcome":"ok","tries":1,"first_byte_ms":3,"total_ms":9,"input_tokens":10,"cached_tokens":4,"output_tokens":5,"reasoning_tokens":null,"unmetered":false,"cost_estimate":null}"#;
        let row: Row = serde_json::from_str(line).expect("version 1");
        assert_eq!(serde_json::to_string(&row).expect("writes"), line);
    }

    #[test]
    fn costs() {
        let prices = Prices { input: Some(1.0), output: Some(10.0), cache: Some(0.1) };
        let tokens = |input, cached, output| Tokens { input, cached, output, ..Tokens::default() };
        let cases = [
            (tokens(Some(1_000_000), Some(500_000), Some(100_000)), prices, Some(1.55)),
            (tokens(Some(1_000_000), None, Some(0)), Prices { cache: None, ..prices }, Some(1.0)),
            (tokens(None, None, Some(5)), prices, None),
            (tokens(Some(5), None, Some(5)), Prices::default(), None),
        ];
        for (tokens, prices, expected) in cases {
            assert_eq!(cost(&tokens, &prices), expected);
        }
    }
}
