//! Machine-readable test reports that a check left behind: JUnit XML files in its directory
//! that are newer than its start. A file that the agent planted before is not one: the
//! change time, which no program can set, must lie after the start too.

use std::path::Path;
use std::time::SystemTime;

use model::types::ReportFile;

/// Bytes of one report; a larger one is left out.
const FILE_MAX: u64 = 256 << 10;
/// Reports of one check.
const FILES_MAX: usize = 8;
/// Directory entries looked at.
const ENTRIES_MAX: usize = 20_000;
/// How deep a report may lie: `build/test-results/test/x.xml` is 3.
const DEPTH_MAX: usize = 6;

/// Directories that hold other people's files.
const SKIPPED: &[&str] = &[".git", "node_modules", ".venv", "venv", "vendor", ".cargo"];

/// The reports below `dir` that were written since `start`, in path order. Blocks.
pub fn newer_than(dir: &Path, start: SystemTime) -> Vec<ReportFile> {
    let mut found = Vec::new();
    let mut left = ENTRIES_MAX;
    walk(dir, dir, start, DEPTH_MAX, &mut left, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(
    top: &Path,
    dir: &Path,
    start: SystemTime,
    depth: usize,
    left: &mut usize,
    found: &mut Vec<ReportFile>,
) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if *left == 0 || found.len() >= FILES_MAX {
            return;
        }
        *left -= 1;
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        let name = entry.file_name();
        if kind.is_dir() {
            if depth > 0 && !SKIPPED.iter().any(|skipped| name == *skipped) {
                walk(top, &path, start, depth - 1, left, found);
            }
        } else if kind.is_file() && path.extension().is_some_and(|e| e == "xml") {
            found.extend(read(top, &path, start));
        }
    }
}

fn read(top: &Path, path: &Path, start: SystemTime) -> Option<ReportFile> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    if meta.len() > FILE_MAX || meta.modified().ok()? < start || changed(&meta) < start {
        return None;
    }
    let content = std::fs::read_to_string(path).ok()?;
    let head = content.get(..content.floor_char_boundary(2000))?;
    let path = path.strip_prefix(top).ok()?.to_str()?.to_owned();
    head.contains("<testsuite").then_some(ReportFile { path, content })
}

#[cfg(unix)]
fn changed(meta: &std::fs::Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = u64::try_from(meta.ctime()).unwrap_or_default();
    let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::new(seconds, nanos)
}

#[cfg(not(unix))]
fn changed(meta: &std::fs::Metadata) -> SystemTime {
    meta.created().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::newer_than;
    use std::time::{Duration, SystemTime};

    #[test]
    fn only_reports_written_since_the_start() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("made");
            std::fs::write(&path, text).expect("written");
            path
        };
        let planted = write("old.xml", "<testsuite tests='99'/>");
        let future = std::fs::File::options().write(true).open(&planted).expect("opened");
        future.set_modified(SystemTime::now() + Duration::from_secs(9999)).expect("set");
        std::thread::sleep(Duration::from_millis(30));
        let start = SystemTime::now();
        std::thread::sleep(Duration::from_millis(30));
        write("build/test-results/TEST-a.xml", "<?xml version='1.0'?><testsuites><testsuite/></testsuites>");
        write("pom.xml", "<project/>");
        write("node_modules/x/junit.xml", "<testsuite/>");
        let paths: Vec<String> = newer_than(dir.path(), start).into_iter().map(|r| r.path).collect();
        assert_eq!(paths, ["build/test-results/TEST-a.xml"]);
    }
}
