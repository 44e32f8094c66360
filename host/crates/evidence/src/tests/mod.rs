//! Evidence against real git: what a worker can do to hide a change, what it can plant,
//! and the formats of repositories.

mod actions;
mod formats;
mod hostile;
mod planted;

use super::{Limits, Recorded, Recorder};
use model::spec::AllowedDir;
use test_support::{TestDir, run_sh};

/// Records what happens in a test directory.
pub trait Record {
    /// Begins to record these directories of it.
    fn begin(&self, dirs: &[&str]) -> Recorder;
    /// Begins, lets the script work in the first directory, and records.
    fn judge(&self, dirs: &[&str], script: &str) -> (Recorder, Recorded);
}

impl Record for TestDir {
    fn begin(&self, dirs: &[&str]) -> Recorder {
        let dirs: Vec<AllowedDir> = dirs.iter().map(|d| AllowedDir::resolved(self.path(d))).collect();
        Recorder::begin(&dirs, &self.path("state")).unwrap()
    }

    fn judge(&self, dirs: &[&str], script: &str) -> (Recorder, Recorded) {
        let recorder = self.begin(dirs);
        run_sh(&self.path(dirs[0]), script);
        let recorded = recorder.record(Limits::default()).unwrap();
        (recorder, recorded)
    }
}

/// `kind path` of everything seen, internals as `internal name`, ignored ones marked.
pub fn seen(recorded: &Recorded) -> Vec<String> {
    let files = recorded.changes.files.iter().map(|f| {
        let kind = format!("{:?}", f.kind);
        let ignored = if f.ignored { " ignored" } else { "" };
        format!("{kind} {}{ignored}", f.path)
    });
    files.chain(recorded.changes.internals_changed.iter().map(|i| format!("internal {i}"))).collect()
}
