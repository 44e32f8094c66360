//! Reports beside the output: test runners that can are asked to write what they ran into a
//! directory that no test knows, outside of the tree. Asked by variables that the runner's
//! language reads (`PYTHONPATH`, `NODE_OPTIONS`), so that the command stays as it is; the
//! runner's own processes see neither. A runner leaves a file when it starts and another when
//! it ends: one that ends without saying what it ran has been ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jobfs::{Kind, Tree};
use serde::Deserialize;

/// Bytes of one report.
const REPORT_MAX: u64 = 4 << 20;
/// Runs of runners in one check, whose reports are read.
const RUNS_MAX: usize = 32;
/// Tests that are compared by name.
const TESTS_MAX: usize = 50_000;

const PYTHON: &str = include_str!("out_of_band/sitecustomize.py");
const NODE: &str = include_str!("out_of_band/node.cjs");
const NODE_TEST: &str = include_str!("out_of_band/node-test.mjs");
const VITEST: &str = include_str!("out_of_band/vitest.mjs");

/// What one command was asked for.
#[derive(Debug)]
pub struct Asked {
    dir: PathBuf,
    reports: PathBuf,
}

/// What the runners of one command wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// Those that ran to their end.
    pub ended: Vec<Report>,
    /// The runners that started and never came to their end.
    pub silent: Vec<String>,
    /// Why the reports are not all that there was.
    pub unread: Option<String>,
}

/// One run of a runner, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// By the name that signals use.
    pub runner: String,
    /// It came to run tests.
    pub session: bool,
    /// Without a session it cannot have printed a summary.
    pub silent: bool,
    /// Not all names are there.
    pub cut: bool,
    /// How many tests.
    pub counts: Counts,
    /// Their names.
    pub tests: Tests,
}

/// Tests by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the words say it")]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

/// Names of tests by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the words say it")]
pub struct Tests {
    pub passed: Vec<String>,
    pub failed: Vec<String>,
    pub skipped: Vec<String>,
}

/// Asks the runners of `command`: writes what they read into a new directory `dir`, which the
/// command must be able to write, and sets variables of `env`. None if the command sets these
/// itself.
///
/// # Errors
/// A file that cannot be written.
pub fn ask(
    dir: PathBuf,
    name: &str,
    command: &str,
    env: &mut BTreeMap<String, String>,
) -> std::io::Result<Option<Asked>> {
    let overridden = ["NODE_OPTIONS", "PYTHONPATH", "--test-reporter", "env -i"];
    if overridden.iter().any(|word| command.contains(word)) {
        return Ok(None);
    }
    let (python, reports) = (dir.join("python"), dir.join(name));
    for made in [&dir, &python, &reports] {
        jobfs::own::create_dir_all(made)?;
    }
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let own = |name: &str| env.get(name).map(|value| quoted(value));
    let of_python = format!(
        "({}, {{\"PYTHONPATH\": {}, \"NODE_OPTIONS\": {}}})",
        quoted(&path(&reports)),
        own("PYTHONPATH").unwrap_or("None".into()),
        own("NODE_OPTIONS").unwrap_or("None".into()),
    );
    let of_node = serde_json::json!({
        "reports": path(&reports),
        "environment": {"PYTHONPATH": env.get("PYTHONPATH"), "NODE_OPTIONS": env.get("NODE_OPTIONS")},
        "vitest": path(&dir.join("vitest.mjs")),
    });
    let named = quoted(&path(&reports));
    for (file, text) in [
        (python.join("sitecustomize.py"), PYTHON.replace("\"@SETTINGS@\"", &of_python)),
        (dir.join("node.cjs"), NODE.replace("\"@SETTINGS@\"", &of_node.to_string())),
        (dir.join("node-test.mjs"), NODE_TEST.replace("\"@REPORTS@\"", &named)),
        (dir.join("vitest.mjs"), VITEST.replace("\"@REPORTS@\"", &named)),
    ] {
        jobfs::own::write(file, text)?;
    }
    let before = |name: &str, separator: &str, first: String| match env.get(name) {
        Some(own) if !own.is_empty() => format!("{first}{separator}{own}"),
        _ => first,
    };
    let python = before("PYTHONPATH", ":", path(&python));
    let word = |file: &str| path(&dir.join(file)).replace('\\', r"\\").replace('"', "\\\"");
    let node = before(
        "NODE_OPTIONS",
        " ",
        format!(
            "--require=\"{}\" --test-reporter=spec --test-reporter-destination=stdout \
             --test-reporter=\"{}\" --test-reporter-destination=\"{}\"",
            word("node.cjs"),
            word("node-test.mjs"),
            word("unused"),
        ),
    );
    env.insert("PYTHONPATH".to_owned(), python);
    env.insert("NODE_OPTIONS".to_owned(), node);
    Ok(Some(Asked { dir, reports }))
}

impl Asked {
    /// The command may have failed because it was asked: an option that this version of a
    /// program does not know, or that the command's own options contradict.
    pub fn disturbs(&self, log: &str) -> bool {
        log.contains(&*self.dir.to_string_lossy())
            || log.contains("NODE_OPTIONS")
            || log.contains("--test-reporter")
    }

    /// What is there. Everything in it may be the work of the code under test. Blocks.
    pub fn read(self) -> Reports {
        let mut found = Reports::default();
        let unread = |why: &str| Some(why.to_owned());
        let Ok(tree) = Tree::open(&self.reports) else {
            found.unread = unread("their directory cannot be opened");
            return found;
        };
        let Ok(entries) = tree.entries(b"") else { return found };
        let files: BTreeSet<String> = entries
            .into_iter()
            .filter(|entry| entry.kind == Kind::File)
            .filter_map(|entry| String::from_utf8(entry.name).ok())
            .collect();
        let starts: Vec<&str> = files.iter().filter_map(|name| name.strip_suffix(".start")).collect();
        if starts.len() > RUNS_MAX {
            found.unread = unread("there are too many");
        }
        let mut tests = 0;
        for start in starts.into_iter().take(RUNS_MAX) {
            let end = format!("{start}.end");
            if !files.contains(&end) {
                let runner = tree.read(format!("{start}.start").as_bytes(), 64).unwrap_or_default();
                let runner = String::from_utf8_lossy(&runner).into_owned();
                let plain = !runner.is_empty() && runner.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                found.silent.push(if plain { runner } else { "a runner".to_owned() });
                continue;
            }
            let report = tree.read(end.as_bytes(), REPORT_MAX).ok();
            match report.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok()) {
                Some(report) => {
                    tests +=
                        report.tests.passed.len() + report.tests.failed.len() + report.tests.skipped.len();
                    if tests > TESTS_MAX {
                        found.unread = unread("they name too many tests");
                        break;
                    }
                    found.ended.push(report);
                }
                None => found.unread = unread("one of them is no report"),
            }
        }
        found
    }
}

impl Reports {
    /// Tests that passed by the words of this runner; none where it ran no tests.
    pub fn passed(&self, runner: &str) -> Option<u64> {
        let mut counts = self
            .ended
            .iter()
            .filter(|report| report.runner == runner && (report.session || report.silent))
            .map(|report| report.counts.passed)
            .peekable();
        counts.peek()?;
        Some(counts.fold(0, u64::saturating_add))
    }

    /// Some runner ran tests and said which.
    pub fn tell(&self) -> bool {
        self.ended.iter().any(|report| report.session)
    }

    /// All names are there.
    pub fn whole(&self) -> bool {
        self.tell() && self.unread.is_none() && self.silent.is_empty() && !self.ended.iter().any(|r| r.cut)
    }

    /// Every test that ran or was skipped, without the digits in its name: parameters may be
    /// addresses, dates and the like.
    pub fn ran(&self) -> BTreeSet<String> {
        let all = |report: &Report| {
            let Tests { passed, failed, skipped } = &report.tests;
            [passed, failed, skipped].into_iter().flatten().map(|name| stable(name)).collect::<Vec<_>>()
        };
        self.ended.iter().flat_map(all).collect()
    }

    /// Each test that passed.
    pub fn passed_tests(&self) -> Vec<String> {
        self.ended.iter().flat_map(|report| &report.tests.passed).cloned().collect()
    }
}

/// `test_a[0x7f3a]` and `test_a[0x10bc]` are the same test.
fn stable(name: &str) -> String {
    let mut stable = String::with_capacity(name.len());
    let mut in_number = false;
    for c in name.chars() {
        let digit = c.is_ascii_digit() || in_number && matches!(c, 'a'..='f' | 'x');
        if !digit {
            stable.push(c);
        } else if !in_number {
            stable.push('#');
        }
        in_number = digit;
    }
    stable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(dir: &Path) -> (Asked, BTreeMap<String, String>) {
        let mut env = BTreeMap::from([("PYTHONPATH".to_owned(), "/own".to_owned())]);
        let asked = ask(dir.join("a"), "secret", "pytest", &mut env).expect("written").expect("asked");
        (asked, env)
    }

    #[test]
    fn what_is_asked_and_what_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (_, env) = asked(dir.path());
        assert_eq!(env["PYTHONPATH"], format!("{}:/own", dir.path().join("a/python").display()));
        assert!(env["NODE_OPTIONS"].starts_with("--require=\"/") && !env["NODE_OPTIONS"].contains("secret"));
        let written = std::fs::read_to_string(dir.path().join("a/python/sitecustomize.py")).expect("there");
        assert!(
            written.contains("\"PYTHONPATH\": \"/own\", \"NODE_OPTIONS\": None")
                && !written.contains("@SETTINGS")
        );
        for command in ["NODE_OPTIONS=--experimental-vm-modules npx jest", "PYTHONPATH=src pytest"] {
            let none = ask(dir.path().join("b"), "secret", command, &mut BTreeMap::new()).expect("nothing");
            assert!(none.is_none(), "{command}");
        }
    }

    #[test]
    fn hostile_reports_are_bounded() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (asked, _) = asked(dir.path());
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join("a/secret").join(name), text).expect("written");
        };
        write("1-1.start", "pytest");
        write("2-1.start", "\u{1b}[31mevil");
        write("3-1.start", "jest");
        write("3-1.end", &"x".repeat(5 << 20));
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("a/secret/4-1.start")).expect("linked");
        write("5-1.start", "unittest");
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("a/secret/5-1.end")).expect("linked");
        let reports = asked.read();
        assert_eq!(reports.silent, ["pytest", "a runner", "unittest"]);
        assert_eq!((reports.ended.len(), reports.unread.as_deref()), (0, Some("one of them is no report")));
    }

    #[test]
    fn names_without_what_differs_from_run_to_run() {
        for (name, expected) in [
            ("t::test_a[0x7f3a2b]", "t::test_a[#]"),
            ("test_add", "test_add"),
            ("test_1_b", "test_#_b"),
            ("d x", "d x"),
        ] {
            assert_eq!(stable(name), expected, "{name}");
        }
    }
}
