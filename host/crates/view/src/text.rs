//! Texts for people: what others wrote without secrets and control characters, and times,
//! sizes and sums in a form that is read at a glance.

use config::Config;
use redact::{Redactor, sanitize};

/// Takes secrets, terminal sequences, invisible and direction-changing characters out of what
/// others wrote.
#[derive(Clone, Debug)]
pub struct Clean {
    redactor: Redactor,
}

impl Clean {
    /// With the secrets that this configuration knows. What the store and the artifacts hold was
    /// masked when it was written, but not of a secret that was configured later.
    pub fn new(config: &Config) -> Self {
        Clean { redactor: Redactor::new(config.known_secrets.clone(), None) }
    }

    /// One line of at most `max` bytes.
    pub fn line(&self, text: &str, max: usize) -> String {
        sanitize::line(&self.redactor.known_secrets_only(text), max)
    }

    /// Lines, whole.
    pub fn prose(&self, text: &str) -> String {
        sanitize::prose(&self.redactor.known_secrets_only(text))
    }

    /// The exact bytes but for secrets: for a file that is downloaded.
    pub fn exact(&self, text: &str) -> String {
        self.redactor.known_secrets_only(text)
    }
}

/// A length of time in one or two units: `64ms`, `4.2s`, `1m05s`, `2h03m`, `3d`.
pub fn span(ms: i64) -> String {
    let ms = ms.max(0);
    let seconds = ms / 1000;
    match seconds {
        0 if ms < 1000 => format!("{ms}ms"),
        0..10 => format!("{seconds}.{}s", ms % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago, in one unit: `now`, `40s ago`, `5m ago`, `3h ago`, `12d ago`.
pub fn ago(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..5 => "now".to_owned(),
        5..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// `12:04:31` in UTC.
pub fn clock(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%T").to_string()
}

/// `2026-11-27 12:04:31 UTC`.
pub fn moment(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.to_string().replace('T', " ").chars().take(19).collect::<String>() + " UTC"
}

/// `5 B`, `2.0 KiB`, `3.1 MiB`.
pub fn bytes(n: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", n / unit, n % unit * 10 / unit);
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

/// `980`, `12.3k`, `4.5M`.
pub fn count(n: u64) -> String {
    match n {
        0..1000 => n.to_string(),
        1000..1_000_000 => format!("{}.{}k", n / 1000, n % 1000 / 100),
        _ => format!("{}.{}M", n / 1_000_000, n % 1_000_000 / 100_000),
    }
}

/// A sum in the currency of the price table; one that is not known is no 0.
pub fn money(sum: Option<f64>) -> String {
    match sum {
        None => "unknown".to_owned(),
        Some(sum) if sum == 0.0 || sum >= 1.0 => format!("{sum:.2}"),
        Some(sum) => format!("{sum:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let spans = [-5, 64, 4_250, 12_000, 65_000, 7_380_000, 260_000_000].map(span);
        assert_eq!(spans, ["0ms", "64ms", "4.2s", "12s", "1m05s", "2h03m", "3d"]);
        assert_eq!([0, 41_000, 300_000, 90_000_000].map(ago), ["now", "41s ago", "5m ago", "1d ago"]);
        assert_eq!(moment(1_700_000_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(clock(1_700_000_000_000), "22:13:20");
        assert_eq!([5, 2048, 3_250_586].map(bytes), ["5 B", "2.0 KiB", "3.1 MiB"]);
        assert_eq!([980, 12_345, 4_567_890].map(count), ["980", "12.3k", "4.5M"]);
        assert_eq!(
            [None, Some(0.0), Some(0.01234), Some(12.3)].map(money),
            ["unknown", "0.00", "0.0123", "12.30"]
        );
    }
}
