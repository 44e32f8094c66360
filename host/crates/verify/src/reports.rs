//! Machine-readable test reports that a check left behind: JUnit XML files in its directory
//! that are newer than its start. A file that the agent planted before is not one: the
//! change time, which no program can set, must lie after the start too.

use std::path::Path;
use std::time::SystemTime;

use jobfs::{Kind, Tree};
use model::types::ReportFile;

/// Bytes of one report; a larger one is left out.
const FILE_MAX: u64 = 256 << 10;
/// Reports of one check (Maven and Gradle write one for each class), and their bytes.
const FILES_MAX: usize = 64;
const BYTES_MAX: usize = 2 << 20;
/// Directory entries looked at.
const ENTRIES_MAX: usize = 20_000;
/// How deep a report may lie: `build/test-results/test/x.xml` is 3.
const DEPTH_MAX: usize = 6;

/// Directories that hold other people's files.
const SKIPPED: &[&str] = &[".git", "node_modules", ".venv", "venv", "vendor", ".cargo"];

/// What a check left.
#[derive(Debug, Default)]
pub struct Left {
    /// In path order.
    pub reports: Vec<ReportFile>,
    /// New files that look like reports and were too many or too large to be read.
    pub unread: usize,
    bytes: usize,
}

/// The reports below `dir`, an absolute path without links, that were written since `start`.
/// Nothing is read through a link. Blocks.
pub fn newer_than(dir: &Path, start: SystemTime) -> Left {
    let mut found = Left::default();
    let mut left = ENTRIES_MAX;
    let since = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    if let (Ok(tree), Ok(since)) = (Tree::open(dir), i64::try_from(since)) {
        walk(&tree, "", since, DEPTH_MAX, &mut left, &mut found);
    }
    found.reports.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(tree: &Tree, dir: &str, since: i64, depth: usize, left: &mut usize, found: &mut Left) {
    for entry in tree.entries(dir.as_bytes()).unwrap_or_default() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
        let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
        if entry.kind == Kind::Dir {
            if depth > 0 && !SKIPPED.contains(&name) {
                walk(tree, &path, since, depth - 1, left, found);
            }
        } else if name.ends_with(".xml") {
            read(tree, path, since, found);
        }
    }
}

fn read(tree: &Tree, path: String, since: i64, found: &mut Left) {
    let Ok(meta) = tree.meta(path.as_bytes()) else { return };
    if !meta.is_file() || meta.modified_ns < since || meta.changed_ns < since {
        return;
    }
    if found.reports.len() >= FILES_MAX || found.bytes >= BYTES_MAX {
        found.unread += 1;
        return;
    }
    let Ok(bytes) = tree.read(path.as_bytes(), FILE_MAX) else {
        found.unread += 1;
        return;
    };
    let Ok(content) = String::from_utf8(bytes) else { return };
    let head = content.get(..content.floor_char_boundary(2000));
    if head.is_some_and(|head| head.contains("<testsuite")) {
        found.bytes += content.len();
        found.reports.push(ReportFile { path, content });
    }
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
        // What a check planted so that the host reads another file, or waits.
        write("elsewhere/real.txt", "<testsuite/>");
        std::os::unix::fs::symlink("elsewhere/real.txt", dir.path().join("link.xml")).expect("linked");
        std::os::unix::fs::symlink("build", dir.path().join("twice")).expect("linked");
        let pipe = std::process::Command::new("mkfifo").arg(dir.path().join("pipe.xml")).status();
        assert!(pipe.expect("mkfifo").success());
        let real = dir.path().canonicalize().expect("its real path");
        let paths: Vec<String> = newer_than(&real, start).reports.into_iter().map(|r| r.path).collect();
        assert_eq!(paths, ["build/test-results/TEST-a.xml"]);
        write("large.xml", &format!("<testsuite>{}</testsuite>", " ".repeat(300 << 10)));
        for n in 0..70 {
            write(&format!("many/TEST-{n}.xml"), "<testsuite/>");
        }
        let left = newer_than(&real, start);
        assert_eq!((left.reports.len(), left.unread), (64, 8));
    }
}
