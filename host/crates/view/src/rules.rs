//! Which rules fire, counted from the decisions that jobs recorded. A job's count is kept: its
//! record only grows while it runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use config::Config;
use job::paths::JobPaths;
use model::spec::JobId;
use policy::plugin::{Example, Prepared, read_file};
use policy::tally::{self, Tally};
use policy::{Settings, load, record, replay, shipped};

/// Jobs whose records are read: the newest.
pub const JOBS_MOST: usize = 1000;
/// A larger record is left out: no viewer may cost so much memory.
const RECORD_MAX: u64 = 32 << 20;

type Stamp = (u64, SystemTime);

/// The counts of each job, as far as they were read.
#[derive(Default)]
pub struct Rules {
    jobs: Mutex<HashMap<String, (Stamp, Tally)>>,
    known: Arc<OnceLock<Vec<(String, Vec<Example>)>>>,
    asked: AtomicBool,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// By policy.
    pub policies: Tally,
    /// Jobs that have a record.
    pub jobs: usize,
    /// There are more jobs than were read.
    pub more: bool,
    /// What the policies' own examples show is not known yet.
    pub loading: bool,
}

impl Rules {
    /// Counts the newest jobs. Blocks. The first call begins to load the policies, which takes a
    /// while where they are in no cache: until then no rule is said never to fire.
    pub fn count(&self, config: &Config) -> Counted {
        let mut found: Vec<(SystemTime, u64, JobId)> = std::fs::read_dir(config.home.join("jobs"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let id = JobId::parse(entry.file_name().to_str()?)?;
                let meta = std::fs::metadata(JobPaths::new(&config.home, &id).decisions()).ok()?;
                Some((meta.modified().ok()?, meta.len(), id))
            })
            .collect();
        found.sort_by_key(|(written, ..)| std::cmp::Reverse(*written));
        let more = found.len() > JOBS_MOST;
        found.truncate(JOBS_MOST);
        let mut counted = Counted { jobs: found.len(), more, ..Counted::default() };
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for (written, bytes, id) in found {
            let stamp = (bytes, written);
            let known = jobs.get(id.as_str()).is_some_and(|(known, _)| *known == stamp);
            if !known {
                let path = JobPaths::new(&config.home, &id).decisions();
                let text = jobfs::own::text_at_most(path, RECORD_MAX).ok();
                let decisions = replay::read(&text.unwrap_or_default()).decisions;
                jobs.insert(id.as_str().to_owned(), (stamp, tally::of_job(&decisions)));
            }
            if let Some((_, tally)) = jobs.get(id.as_str()) {
                tally::add(&mut counted.policies, tally);
            }
        }
        if !self.asked.swap(true, Ordering::Relaxed) {
            let (known, config) = (self.known.clone(), config.clone());
            std::thread::spawn(move || known.set(examples(&config)));
        }
        let known = self.known.get();
        counted.loading = known.is_none();
        tally::conclude(
            &mut counted.policies,
            known.into_iter().flatten().map(|(name, examples)| (name.as_str(), examples.as_slice())),
        );
        counted
    }
}

/// The examples of the policies that can be found now.
fn examples(config: &Config) -> Vec<(String, Vec<Example>)> {
    let Ok(runtime) = Settings::from_config(config).runtime() else { return Vec::new() };
    let files = load::component_files(&config.plugins_dir).unwrap_or_default();
    let files = files.iter().filter_map(|file| read_file(file).ok());
    let shipped = shipped::COMPONENTS.iter().map(|(_, bytes)| bytes.to_vec());
    let prepare = |bytes: Vec<u8>| {
        let prepared = Prepared::new(&runtime, &bytes, record::digest(&bytes)).ok()?;
        let examples = prepared.examples().ok()?;
        Some((prepared.about.name, examples))
    };
    shipped.chain(files).filter_map(prepare).collect()
}
