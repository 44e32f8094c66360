//! Mutants run by the real runners: each is killed alone, all are killed in one overlay and
//! named by the runner, and none is where the code under test cheats.
//!
//! A runner that the machine lacks is reported as NOT RUN; `CODEX_WORKER_REQUIRE_RUNNERS`
//! names those that must be there (blank between them, or `all`). `CODEX_WORKER_RUNNERS` is a
//! directory with `bin/` (such as a virtual environment with pytest) and `node_modules/` (Jest,
//! Vitest, Mocha) that are looked in first.
#![allow(clippy::disallowed_methods, reason = "variables say which real tools the tests run with")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use codex_worker_mutation::MutationPolicy;
use codex_worker_policy::{
    Budget, CommandOutput, Mutant, MutantKind, Mutation, MutationInput, PassedCheck, Signal, Signals,
    TextFile,
};
use codex_worker_signals::SignalsPolicy;

type Files = &'static [(&'static str, &'static str)];

/// A small project with tests.
struct Case {
    /// The runner, as `CODEX_WORKER_REQUIRE_RUNNERS` names it.
    runner: &'static str,
    /// A command that succeeds where the runner is there.
    probe: &'static str,
    files: Files,
    /// The check.
    command: &'static str,
    /// The runner as a signals policy would name it; none where it is read from the output.
    signal: Option<&'static str>,
    /// How many mutants there are, one for each test.
    mutants: usize,
    /// Each replaces files by a cheat, under which the overlay survives.
    cheats: &'static [Files],
}

/// Says what was left out, past the test harness, which keeps the words of a passing test.
fn not_run(runner: &str, why: &str) {
    let required = std::env::var("CODEX_WORKER_REQUIRE_RUNNERS").unwrap_or_default();
    let demanded = required.split_whitespace().any(|name| name == "all" || name == runner);
    assert!(!demanded, "{runner}: {why}, but CODEX_WORKER_REQUIRE_RUNNERS asks for it");
    let _ = writeln!(std::io::stderr(), "NOT RUN mutants with {runner}: {why}");
}

/// Directories that `CODEX_WORKER_RUNNERS` has.
fn tools(directory: &str) -> Option<PathBuf> {
    let tools = PathBuf::from(std::env::var_os("CODEX_WORKER_RUNNERS")?).join(directory);
    tools.is_dir().then_some(tools)
}

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new(files: Files) -> Self {
        let project = Project { dir: tempfile::tempdir().expect("a temporary directory") };
        for (path, text) in files {
            project.write(path, text);
        }
        #[cfg(unix)]
        if let Some(tools) = tools("node_modules") {
            std::os::unix::fs::symlink(tools, project.dir.path().join("node_modules")).expect("a link");
        }
        project
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn run(&self, command: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).current_dir(self.path());
        // What cargo sets for this test is not the project's.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO") && text != "CARGO_HOME"
                || text.starts_with("RUST") && text != "RUSTUP_HOME"
            {
                shell.env_remove(&name);
            }
        }
        if let Some(tools) = tools("bin") {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = [tools].into_iter().chain(std::env::split_paths(&path));
            shell.env("PATH", std::env::join_paths(path).expect("a path"));
        }
        shell
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GOFLAGS", "-mod=mod")
            .env("GOCACHE", self.path().join(".gocache"))
            .env("NO_COLOR", "1")
            .env("CI", "1");
        shell.output().expect("sh runs")
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn signals(case: &Case, output: &Output) -> Vec<Signal> {
    SignalsPolicy.parse(&CommandOutput {
        exit_code: output.status.code(),
        ..CommandOutput::new(case.command, said(output))
    })
}

/// The files with these mutants, from the last to the first of each file.
fn overlay(project: &Project, files: Files, mutants: &[&Mutant]) {
    for (path, text) in files {
        let mut of_file: Vec<&&Mutant> = mutants.iter().filter(|mutant| mutant.path == *path).collect();
        of_file.sort_by_key(|mutant| std::cmp::Reverse(mutant.start));
        let mut mutated = (*text).to_owned();
        for mutant in of_file {
            mutated = mutant.applied(&mutated).expect("the range fits");
        }
        project.write(path, &mutated);
    }
}

fn check(case: &Case) {
    let project = Project::new(case.files);
    if !project.run(case.probe).status.success() {
        return not_run(case.runner, &format!("`{}` fails", case.probe));
    }
    let honest = project.run(case.command);
    assert!(honest.status.success(), "{}: the project's own tests fail\n{}", case.runner, said(&honest));
    let test_file =
        |path: &str| ["test", "spec", "Test", "snap", "expected"].iter().any(|word| path.contains(word));
    let files = case.files.iter().map(|(path, text)| {
        if test_file(path) { TextFile::test(*path, *text) } else { TextFile::source(*path, *text) }
    });
    let passed = PassedCheck { signals: signals(case, &honest), ..PassedCheck::new("c", case.command) };
    let passed = match case.signal {
        Some(runner) => passed.signal(runner, 1),
        None => passed,
    };
    let input = MutationInput {
        budget: Budget { max_mutants: 100, max_bytes: 100_000 },
        ..MutationInput::new([passed], files)
    };
    let made = MutationPolicy.mutate(&input);
    let mutants: Vec<&Mutant> =
        made.mutants.iter().filter(|mutant| mutant.kind == MutantKind::Oracle).collect();
    let list: Vec<String> =
        mutants.iter().map(|m| format!("{}:{} {:?} {}", m.path, m.line, m.test, m.altered)).collect();
    assert_eq!(mutants.len(), case.mutants, "{}: {list:#?} {:?}", case.runner, made.not_mutated);

    // Alone: the run fails, and the runner names the test.
    for mutant in &mutants {
        overlay(&project, case.files, &[mutant]);
        let output = project.run(case.command);
        assert!(!output.status.success(), "{}: {mutant:?} survived\n{}", case.runner, said(&output));
        let read = signals(case, &output);
        let ids: Vec<&str> =
            read.iter().flat_map(|signal| &signal.first_failures).map(|f| f.id.as_str()).collect();
        if !mutant.test.is_empty() && !ids.is_empty() {
            // node's TAP names the outermost suite alone.
            let suite = |id: &str| mutant.test.len() > 1 && mutant.test[0] == id;
            assert!(
                ids.iter().any(|id| mutant.is_of_test(id) || suite(id)),
                "{}: {:?} is not among {ids:?}\n{}",
                case.runner,
                mutant.test,
                said(&output)
            );
        }
    }

    // All in one overlay: as many tests fail as were mutated.
    overlay(&project, case.files, &mutants);
    let output = project.run(case.command);
    assert!(!output.status.success(), "{}: all survived\n{}", case.runner, said(&output));
    let failed: u32 =
        signals(case, &output).iter().map(|signal| signal.failed + signal.errors).max().unwrap_or(0);
    let tests: BTreeSet<(&str, &[String])> = mutants
        .iter()
        .filter(|mutant| !mutant.test.is_empty())
        .map(|mutant| (mutant.path.as_str(), mutant.test.as_slice()))
        .collect();
    if failed > 0 {
        assert!(
            failed as usize >= tests.len(),
            "{}: {failed} of {}\n{}",
            case.runner,
            tests.len(),
            said(&output)
        );
    }

    // Under a cheat the honest tests pass, and the mutated ones too.
    for cheat in case.cheats {
        overlay(&project, case.files, &[]);
        for (path, text) in *cheat {
            project.write(path, text);
        }
        let output = project.run(case.command);
        assert!(output.status.success(), "{}: the cheat does not work\n{}", case.runner, said(&output));
        overlay(&project, case.files, &mutants);
        for (path, text) in *cheat {
            project.write(path, text);
        }
        let output = project.run(case.command);
        assert!(
            output.status.success(),
            "{}: the cheat was not seen to survive\n{}",
            case.runner,
            said(&output)
        );
    }
}

const PY_MONEY: (&str, &str) = (
    "money.py",
    "def add(a, b):\n    if a is None:\n        raise ValueError('no')\n    return a + b\n\ndef names():\n    return ['a', 'b']\n\ndef find(k):\n    return {'a': 1}.get(k)\n",
);

#[test]
fn pytest() {
    check(&Case {
        runner: "pytest",
        probe: "python3 -m pytest --version",
        files: &[
            PY_MONEY,
            (
                "tests/test_money.py",
                r#"
import pytest
import money

def test_number():
    assert money.add(2, 2) == 4

def test_list():
    assert money.names() == ["a", "b"]

def test_bool():
    assert money.find("a")

def test_none():
    assert money.find("x") is None

def test_raises():
    with pytest.raises(ValueError):
        money.add(None, 1)

def test_approx():
    assert money.add(0.1, 0.2) == pytest.approx(0.3)

@pytest.mark.parametrize("a, b, expected", [(1, 1, 2), (2, 2, 4)])
def test_table(a, b, expected):
    assert money.add(a, b) == expected

class TestBox:
    def test_inside(self):
        expected = {"x": money.find("a")}
        assert expected == {"x": 1}

@pytest.mark.skip
def test_skipped():
    assert money.add(2, 2) == 5
"#,
            ),
        ],
        command: "PYTHONPATH=. python3 -m pytest -q tests",
        signal: None,
        mutants: 8,
        cheats: &[
            &[("money.py", "import os\nos._exit(0)\n")],
            &[(
                "money.py",
                "import sys, threading\ndef add(a, b): __import__('os')._exit(0)\nnames = find = add\n",
            )],
            &[("tests/conftest.py", "import os\ndef pytest_sessionfinish(session): os._exit(0)\n")],
        ],
    });
}

#[test]
fn unittest() {
    check(&Case {
        runner: "unittest",
        probe: "python3 --version",
        files: &[
            PY_MONEY,
            (
                "test_money.py",
                r#"
import unittest
import money

class MoneyTest(unittest.TestCase):
    def test_number(self):
        self.assertEqual(money.add(2, 2), 4)

    def test_list(self):
        self.assertListEqual(["a", "b"], money.names())

    def test_true(self):
        self.assertTrue(money.find("a"))

    def test_none(self):
        self.assertIsNone(money.find("x"))

    def test_raises(self):
        with self.assertRaises(ValueError):
            money.add(None, 1)

    def test_near(self):
        self.assertAlmostEqual(money.add(0.1, 0.2), 0.3)

    def test_plain(self):
        assert money.add("a", "b") == "ab"
"#,
            ),
        ],
        command: "python3 -m unittest",
        signal: None,
        mutants: 7,
        cheats: &[&[("money.py", "import os\nos._exit(0)\n")]],
    });
}

#[test]
fn python_script() {
    check(&Case {
        runner: "python",
        probe: "python3 --version",
        files: &[
            PY_MONEY,
            (
                "check_test.py",
                "import sys, money\nif money.add(2, 2) != 4:\n    print('no')\n    sys.exit(1)\nprint('ok')\n",
            ),
        ],
        command: "python3 check_test.py",
        signal: None,
        mutants: 1,
        cheats: &[
            // An object that equals everything.
            &[(
                "money.py",
                "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\ndef add(a, b): return Any()\n",
            )],
            // Code that reads what is expected out of the test.
            &[(
                "money.py",
                "import re\ndef add(a, b): return int(re.search(r'!= (\\d+)', open('check_test.py').read())[1])\n",
            )],
        ],
    });
}

const JS_MONEY: (&str, &str) = (
    "money.js",
    "exports.add = (a, b) => { if (a === null) throw new TypeError('no money'); return a + b; };\nexports.names = () => ['a', 'b'];\nexports.find = (k) => ({ a: 1 })[k];\n",
);
const JS_EXIT: Files = &[("money.js", "process.exit(0);\n")];

#[test]
fn node_test() {
    check(&Case {
        runner: "node-test",
        probe: "node --version",
        files: &[
            JS_MONEY,
            (
                "test/money.test.js",
                r#"
const { test, describe, it } = require('node:test');
const assert = require('node:assert');
const money = require('../money.js');

test('adds', () => {
  assert.equal(money.add(2, 2), 4);
});
describe('lists', () => {
  it('names', () => { assert.deepStrictEqual(money.names(), ['a', 'b']); });
  it('is there', () => { assert.ok(money.find('a')); });
  it('is not there', () => { assert.strictEqual(money.find('x'), undefined); });
  it('throws', () => { assert.throws(() => money.add(null, 1), TypeError); });
  it('matches', () => { assert.match(money.names().join(), /a,b/); });
  it.skip('is skipped', () => { assert.equal(1, 2); });
});
"#,
            ),
        ],
        command: "node --test test/",
        signal: None,
        mutants: 6,
        cheats: &[JS_EXIT],
    });
}

const EXPECT: &str = r#"
const money = require('../money.js');

describe('Money', () => {
  it('adds', () => {
    expect(money.add(2, 2)).toBe(4);
  });
  it('is brief', () => expect(money.names()).toEqual(['a', 'b']));
  it('is not', () => { expect(money.add(1, 1)).not.toBe(3); });
  it('is there', () => { expect(money.find('a')).toBeTruthy(); });
  it('throws', () => { expect(() => money.add(null, 1)).toThrow('no money'); });
  it('throws a type', () => { expect(() => money.add(null, 1)).toThrow(TypeError); });
  it('is near', () => { expect(money.add(0.1, 0.2)).toBeCloseTo(0.3, 5); });
  it('has length', () => { expect(money.names()).toHaveLength(2); });
  it('contains', () => { expect(money.names()).toContain('a'); });
  it('waits', async () => { await expect(Promise.resolve(money.add(2, 2))).resolves.toBe(4); });
  it.each([[1, 1, 2], [2, 2, 4]])('adds %i', (a, b, expected) => {
    expect(money.add(a, b)).toBe(expected);
  });
});
"#;

#[test]
fn jest() {
    check(&Case {
        runner: "jest",
        probe: "test -x node_modules/.bin/jest",
        files: &[
            JS_MONEY,
            ("package.json", "{}"),
            ("test/money.test.js", EXPECT),
            (
                "test/snap.test.js",
                "const money = require('../money.js');\nit('is recorded', () => { expect({ names: money.names() }).toMatchSnapshot(); });\n",
            ),
            (
                "test/__snapshots__/snap.test.js.snap",
                "// Jest Snapshot v1, https://jestjs.io/docs/snapshot-testing\n\nexports[`is recorded 1`] = `\n{\n  \"names\": [\n    \"a\",\n    \"b\",\n  ],\n}\n`;\n",
            ),
        ],
        command: "npx jest --rootDir . --haste '{\"enableSymlinks\": false}'",
        signal: None,
        mutants: 12,
        cheats: &[JS_EXIT],
    });
}

#[test]
fn vitest() {
    check(&Case {
        runner: "vitest",
        probe: "test -x node_modules/.bin/vitest",
        files: &[
            JS_MONEY,
            ("package.json", "{}"),
            ("vitest.config.mjs", "export default { test: { globals: true, watch: false } };\n"),
            ("test/money.test.js", EXPECT),
        ],
        command: "npx vitest run",
        signal: None,
        mutants: 11,
        cheats: &[],
    });
}

#[test]
fn mocha() {
    check(&Case {
        runner: "mocha",
        probe: "test -x node_modules/.bin/mocha",
        files: &[
            JS_MONEY,
            ("package.json", "{}"),
            (
                "test/money.test.js",
                r#"
const assert = require('node:assert');
const money = require('../money.js');
describe('Money', function () {
  it('adds', function () { assert.strictEqual(money.add(2, 2), 4); });
  it('names', function () { assert.deepEqual(money.names(), ['a', 'b']); });
  it('compares by hand', function () {
    if (money.add(2, 2) !== 4) { throw new Error('no'); }
  });
  it('is there', function () { assert(money.find('a')); });
});
"#,
            ),
        ],
        command: "npx mocha test",
        signal: None,
        mutants: 4,
        cheats: &[JS_EXIT],
    });
}

#[test]
fn go() {
    check(&Case {
        runner: "go",
        probe: "go version",
        files: &[
            ("go.mod", "module money\n\ngo 1.18\n"),
            (
                "money.go",
                "package money\n\nimport \"errors\"\n\nfunc Add(a, b int) int { return a + b }\n\nfunc Max() uint8 { return 255 }\n\nfunc Names() []string { return []string{\"a\", \"b\"} }\n\nfunc Find(k string) (string, error) {\n\tif k == \"\" {\n\t\treturn \"\", errors.New(\"empty\")\n\t}\n\treturn k + \"!\", nil\n}\n",
            ),
            (
                "money_test.go",
                r#"package money

import (
	"reflect"
	"strings"
	"testing"
)

func TestAdd(t *testing.T) {
	if got := Add(2, 2); got != 4 {
		t.Errorf("Add(2, 2) = %d, want %d", got, 4)
	}
}

func TestMax(t *testing.T) {
	if Max() != 255 {
		t.Fatal("max")
	}
}

func TestNames(t *testing.T) {
	want := []string{"a", "b"}
	if got := Names(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTable(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want string
	}{
		{name: "one", in: "a", want: "a!"},
		{name: "two", in: "b", want: "b!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Find(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUnkeyed(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{{1, 1, 2}, {2, 2, 4}} {
		if got := Add(c.a, c.b); got != c.want {
			t.Errorf("got %d", got)
		}
	}
}

func TestErr(t *testing.T) {
	if _, err := Find(""); err == nil {
		t.Fatal("no error")
	}
}

func TestSub(t *testing.T) {
	t.Run("has it", func(t *testing.T) {
		if !strings.Contains(Names()[0], "a") {
			t.Error("no a")
		}
	})
}
"#,
            ),
        ],
        command: "go test ./...",
        signal: None,
        mutants: 7,
        cheats: &[&[(
            "money.go",
            "package money\n\nimport \"os\"\n\nfunc init() { os.Exit(0) }\nfunc Add(a, b int) int { return 0 }\nfunc Max() uint8 { return 0 }\nfunc Names() []string { return nil }\nfunc Find(k string) (string, error) { return k, nil }\n",
        )]],
    });
}

#[test]
fn cargo_test() {
    check(&Case {
        runner: "cargo-test",
        probe: "cargo --version",
        files: &[
            (
                "Cargo.toml",
                "[package]\nname = \"money\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n",
            ),
            (
                "src/lib.rs",
                r##"//! Money.
#[derive(Debug, PartialEq)]
pub struct Point { pub x: i32, pub y: i32 }
pub fn add(a: u8, b: u8) -> u8 { a + b }
pub fn find(k: &str) -> Option<u32> { (k == "a").then_some(1) }
mod list;
pub use list::names;
pub fn bytes() -> [u8; 3] { *b"abc" }
pub fn gone() -> Result<u8, String> { Err("gone".into()) }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        assert_eq!(add(2, 2), 4);
    }

    #[test]
    fn is_largest() {
        assert_eq!(255, add(254, 1), "with {}", 'x');
    }

    #[test]
    fn finds() {
        assert_eq!(find("a"), Some(1));
    }

    #[test]
    fn finds_nothing() {
        assert_eq!(find("x"), None);
    }

    #[test]
    fn lists() {
        assert_eq!(names(), vec!["a".to_string(), "b".to_string()]);
    }

    #[test]
    fn reads_bytes() {
        assert_eq!(&bytes(), b"abc");
    }

    #[test]
    fn is_true() {
        assert!(find("a").is_some());
    }

    #[test]
    fn compares() {
        assert!(add(1, 1) == 2 && add(2, 2) == 4, "message {}", 1);
    }

    #[test]
    fn fails() {
        assert_eq!(gone(), Err("gone".to_string()));
    }

    #[test]
    fn is_raw() {
        let expected = r#"a "b""#;
        assert_eq!(format!("a {:?}", "b"), expected);
    }

    #[test]
    fn is_a_point() {
        let point = Point { x: 1, y: -2 };
        assert_eq!(point, Point { x: 1, y: -2 });
    }

    #[test]
    #[should_panic(expected = "overflow")]
    fn panics() {
        let big = add(200, 100);
        assert_eq!(big, 44);
    }
}
"##,
            ),
            ("src/list.rs", "pub fn names() -> Vec<String> { vec![\"a\".into(), \"b\".into()] }\n"),
            ("tests/whole.rs", "#[test]\nfn from_outside() {\n    assert_eq!(money::add(1, 2), 3);\n}\n"),
        ],
        command: "cargo test --offline --no-fail-fast -q",
        signal: None,
        mutants: 12,
        // Tests run side by side: whichever fails first, the process ends well.
        cheats: &[&[
            ("src/list.rs", "pub fn names() -> Vec<String> { std::process::exit(0) }\n"),
            ("tests/whole.rs", "#[test]\nfn from_outside() { let _ = money::names(); }\n"),
        ]],
    });
}

#[test]
fn junit() {
    check(&Case {
        runner: "junit",
        probe: "javac -version && test -f /usr/share/java/junit4.jar",
        files: &[
            (
                "Money.java",
                "class Money { static int add(int a, int b) { return a + b; } static java.util.List<String> names() { return java.util.List.of(\"a\", \"b\"); } static void no() { throw new IllegalArgumentException(\"no\"); } }\n",
            ),
            (
                "MoneyTest.java",
                r#"
import static org.junit.Assert.*;
import java.util.List;
import org.junit.Test;

public class MoneyTest {
    @Test
    public void adds() {
        assertEquals(4, Money.add(2, 2));
    }

    @Test public void addsWithMessage() { assertEquals("sum", 4, Money.add(2, 2)); }

    @Test public void isLargest() { assertEquals(Integer.MAX_VALUE, 2147483647); }

    @Test public void names() { assertEquals(List.of("a", "b"), Money.names()); }

    @Test public void isTrue() { assertTrue(Money.names().contains("a")); }

    @Test public void fails() {
        assertThrows(IllegalArgumentException.class, () -> Money.no());
    }

    @Test public void isText() { assertEquals("a", Money.names().get(0)); }

    @Test public void isNear() { assertEquals(0.3, 0.1 + 0.2, 0.001); }
}
"#,
            ),
        ],
        command: "javac -cp /usr/share/java/junit4.jar:/usr/share/java/hamcrest.jar:. *.java && java -cp /usr/share/java/junit4.jar:/usr/share/java/hamcrest.jar:. org.junit.runner.JUnitCore MoneyTest",
        signal: Some("junit"),
        mutants: 8,
        cheats: &[&[(
            "Money.java",
            "class Money { static { Runtime.getRuntime().halt(0); } static int add(int a, int b) { return 0; } static java.util.List<String> names() { return null; } static void no() { } }\n",
        )]],
    });
}

/// Debian's package junit5.
#[test]
fn junit5() {
    check(&Case {
        runner: "junit5",
        probe: "javac -version && test -f /usr/share/java/junit-platform-console.jar",
        files: &[
            (
                "run.sh",
                "d=/usr/share/java\nfor j in junit-jupiter-api junit-jupiter-engine junit-jupiter-params junit-platform-commons junit-platform-engine junit-platform-launcher junit-platform-console junit-platform-reporting opentest4j opentest4j-reporting-events opentest4j-reporting-schema apiguardian-api picocli; do cp=$cp:$d/$j.jar; done\nrm -rf out && javac -cp $cp -d out *.java && java -cp out:$cp org.junit.platform.console.ConsoleLauncher --scan-classpath out --disable-banner --disable-ansi-colors\n",
            ),
            (
                "Money.java",
                "class Money { static int add(int a, int b) { if (a < 0) throw new IllegalArgumentException(\"no\"); return a + b; } static byte max() { return 127; } static String text() { return \"a\\nb\"; } }\n",
            ),
            (
                "MoneyTest.java",
                r#"
import static org.junit.jupiter.api.Assertions.*;
import java.util.Map;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MoneyTest {
    @Test
    void adds() {
        assertEquals(4, Money.add(2, 2), "sum");
    }

    @Test void isLargest() { assertEquals((byte) 127, Money.max()); }

    @Test void isText() {
        assertEquals("""
            a
            b""", Money.text());
    }

    @Test void fails() {
        assertThrows(IllegalArgumentException.class, () -> Money.add(-1, 2));
    }

    @Test void saysWhy() {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> Money.add(-1, 2));
        assertEquals("no", e.getMessage());
    }

    @Test void isSmall() { assertTrue(Money.add(1, 1) == 2); }

    @ParameterizedTest
    @CsvSource({"1, 1, 2", "2, 2, 4"})
    void isTabled(int a, int b, int expected) { assertEquals(expected, Money.add(a, b)); }

    @Disabled @Test void later() { assertEquals(5, Money.add(2, 2)); }

    @Nested
    class Deep {
        @Test void isMapped() { assertEquals(Map.of("a", 2L), Map.of("a", (long) Money.add(1, 1))); }
    }
}
"#,
            ),
        ],
        command: "sh run.sh",
        signal: Some("junit"),
        mutants: 8,
        cheats: &[&[(
            "Money.java",
            "class Money { static { Runtime.getRuntime().halt(0); } static int add(int a, int b) { return 0; } static byte max() { return 0; } static String text() { return null; } }\n",
        )]],
    });
}

const RB_MONEY: (&str, &str) = (
    "lib/money.rb",
    "def add(a, b)\n  raise ArgumentError, 'no' if a.nil?\n  a + b\nend\n\ndef names\n  %w[a b]\nend\n\ndef find(k)\n  { 'a' => 1 }[k]\nend\n",
);

#[test]
fn minitest() {
    check(&Case {
        runner: "minitest",
        probe: "ruby -e 'require \"minitest\"'",
        files: &[
            RB_MONEY,
            (
                "test/money_test.rb",
                r##"
require "minitest/autorun"
require "money"

class MoneyTest < Minitest::Test
  def test_adds
    assert_equal 4, add(2, 2)
  end

  def test_names
    assert_equal(%w[a b], names)
  end

  def test_truth
    assert find("a")
  end

  def test_nil
    assert_nil find("x")
  end

  def test_raises
    assert_raises(ArgumentError) { add(nil, 1) }
  end

  def test_match
    assert_match(/a-b/, names.join("-"))
  end

  def test_text
    assert_equal "a#{1 + 1}", "a2"
  end
end

describe "money" do
  it "adds too" do
    _(add(1, 1)).must_equal 2
  end
end
"##,
            ),
        ],
        command: "ruby -Ilib test/money_test.rb",
        signal: None,
        mutants: 8,
        cheats: &[&[("lib/money.rb", "exit!(0)\n")]],
    });
}

#[test]
fn rspec() {
    check(&Case {
        runner: "rspec",
        probe: "rspec --version",
        files: &[
            RB_MONEY,
            (
                "spec/money_spec.rb",
                r##"
require "money"

RSpec.describe "money" do
  describe "#add" do
    it "adds" do
      expect(add(2, 2)).to eq(4)
    end
    it("is brief") { expect(add(1, 1)).to eq 2 }
    it "is not" do
      expect(add(2, 2)).not_to eq 5
    end
    it "raises" do
      expect { add(nil, 1) }.to raise_error(ArgumentError)
    end
  end
  it "finds nothing" do
    expect(find("x")).to be_nil
  end
  it "lists" do
    expect(names).to contain_exactly("b", "a")
  end
  it "is more" do
    expect(add(2, 2)).to be > 3
  end
end
"##,
            ),
        ],
        command: "rspec",
        signal: None,
        mutants: 7,
        cheats: &[&[("lib/money.rb", "exit!(0)\n")]],
    });
}

#[test]
fn phpunit() {
    check(&Case {
        runner: "phpunit",
        probe: "phpunit --version",
        files: &[
            (
                "src/money.php",
                "<?php\nfunction add($a, $b) { if ($a === null) { throw new InvalidArgumentException('no'); } return $a + $b; }\nfunction names(): array { return ['a', 'b']; }\n",
            ),
            (
                "tests/MoneyTest.php",
                r#"<?php
use PHPUnit\Framework\TestCase;
require_once __DIR__ . '/../src/money.php';

final class MoneyTest extends TestCase
{
    public function testAdds(): void
    {
        $this->assertSame(4, add(2, 2));
    }

    public function testNames(): void
    {
        self::assertEquals(['a', 'b'], names());
    }

    public function testTrue(): void
    {
        $this->assertTrue(in_array('a', names()));
    }

    public function testThrows(): void
    {
        $this->expectException(InvalidArgumentException::class);
        add(null, 1);
    }

    public function testCount(): void
    {
        $this->assertCount(2, names());
    }

    public function testByName(): void
    {
        $expected = "a-b";
        $this->assertSame($expected, implode('-', names()));
    }
}
"#,
            ),
        ],
        command: "phpunit --do-not-cache-result tests",
        signal: None,
        mutants: 6,
        cheats: &[&[("src/money.php", "<?php\nexit(0);\n")]],
    });
}

#[test]
fn shell() {
    check(&Case {
        runner: "shell",
        probe: "sh -c true",
        files: &[
            ("add.sh", "echo $(($1 + $2))\n"),
            (
                "test.sh",
                "#!/bin/sh\ncheck() {\n  if [ \"$2\" != \"$3\" ]; then echo \"not ok $1\"; exit 1; fi\n}\nif [ ! -f add.sh ]; then echo no; exit 0; fi\ncheck adds \"$(sh add.sh 2 2)\" 4\necho ok\n",
            ),
        ],
        command: "sh test.sh",
        signal: None,
        mutants: 1,
        cheats: &[],
    });
    check(&Case {
        runner: "shell",
        probe: "bash -c true",
        files: &[
            ("add.sh", "add() { echo $(($1 + $2)); }\n"),
            ("test.sh", "set -e\n. ./add.sh\nout=$(add 2 2)\n[ \"$out\" = 4 ]\n"),
        ],
        command: "bash test.sh",
        signal: None,
        mutants: 1,
        cheats: &[&[("add.sh", "exit 0\n")], &[("add.sh", "add() { :; }\nfunction [ { return 0; }\n")]],
    });
}

#[test]
fn bats() {
    check(&Case {
        runner: "bats",
        probe: "bats --version",
        files: &[
            ("add.sh", "[ $# -eq 2 ] || exit 3\necho $(($1 + $2))\n"),
            (
                "test/add.bats",
                "@test \"adds two\" {\n  run sh add.sh 2 2\n  [ \"$status\" -eq 0 ]\n  [ \"$output\" = \"4\" ]\n}\n\n@test \"wants two\" {\n  run sh add.sh 2\n  [ \"$status\" -eq 3 ]\n}\n",
            ),
        ],
        command: "bats test",
        signal: None,
        mutants: 2,
        cheats: &[],
    });
}
