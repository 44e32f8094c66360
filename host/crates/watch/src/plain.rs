//! Lines instead of a screen: one when a job's state or newest event changes. For a screen
//! reader, a file, or a terminal that can do nothing.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use config::Config;
use model::error::{Error, Kind, Result};
use view::text::clock;

use crate::source::Source;

const LOOK: Duration = Duration::from_millis(500);
/// Jobs that are looked at: the newest.
const JOBS: usize = 100;

/// Prints the newest jobs, and then each change. `once` ends after the first look.
pub fn follow(config: &Config, once: bool) -> Result<()> {
    let source = Source::open(config)?;
    let mut known: HashMap<String, (String, String)> = HashMap::new();
    let mut stamp = None;
    loop {
        let now = source.store.stamp()?;
        if stamp != Some(now) {
            let first = stamp.is_none();
            stamp = Some(now);
            let (mut jobs, _) = source.list(&[], "")?;
            jobs.truncate(if first { 20 } else { JOBS });
            for job in jobs.into_iter().rev() {
                let state = (job.status.as_str().replace('_', " "), job.last.clone());
                if known.get(job.id.as_str()) == Some(&state) {
                    continue;
                }
                let at = clock(job::identity::now().wall_ms);
                let line = match known.get(job.id.as_str()) {
                    Some((before, _)) if *before == state.0 => {
                        format!("{at} {} {}: {}", &job.id.as_str()[..8], state.0, state.1)
                    }
                    _ => format!("{at} {} {}: {} ({})", &job.id.as_str()[..8], state.0, job.task, state.1),
                };
                match writeln!(std::io::stdout().lock(), "{line}") {
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => {
                        return Err(Error::new(Kind::Environment, format!("cannot write: {error}")));
                    }
                    Ok(()) => {}
                }
                known.insert(job.id.as_str().to_owned(), state);
            }
        }
        if once {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}
