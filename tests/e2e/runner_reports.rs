//! Reports that runners write beside their output: asked of the real ones, honest work goes
//! through, and code that ends its runner is found out by it alone.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Agent, World};

/// A project whose one test fails, with a runner.
struct Case {
    /// As `CODEX_WORKER_REQUIRE_RUNNERS` names it.
    runner: &'static str,
    /// Below `CODEX_WORKER_RUNNERS`; empty for what is on PATH.
    needs: &'static str,
    command: &'static str,
    source: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// What ends the runner while it loads or runs the code.
    cheat: &'static str,
}

const JS: &str = "exports.add = (a, b) => a - b;\n";
const JS_EXIT: &str = "process.exit(0);\n";
const PYTHON: &str = "def add(a, b):\n    return a - b\n";
const PYTHON_TEST: (&str, &str) = (
    "test_calc.py",
    "import unittest\nimport calc\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        \
     self.assertEqual(calc.add(2, 3), 5)\n",
);

const CASES: &[Case] = &[
    Case {
        runner: "unittest",
        needs: "",
        command: "python3 -m unittest -v",
        source: "calc.py",
        files: &[("calc.py", PYTHON), PYTHON_TEST],
        cheat: "import os, sys\nprint('Ran 1 test in 0.001s\\n\\nOK', file=sys.stderr, flush=True)\nos._exit(0)\n",
    },
    Case {
        runner: "pytest",
        needs: "bin/python3",
        command: "RUNNERS/bin/python3 -m pytest -q",
        source: "calc.py",
        files: &[("calc.py", PYTHON), PYTHON_TEST],
        cheat: "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo 1 passed in 0.01s'])\n",
    },
    Case {
        runner: "node-test",
        needs: "",
        // It names its reporters itself: then it is not asked, after one try.
        command: "sh check.sh",
        source: "calc.js",
        files: &[
            ("check.sh", "node --test --test-reporter=tap\n"),
            ("calc.js", JS),
            (
                "calc.test.js",
                "const test = require('node:test');\nconst assert = require('node:assert');\n\
                 test('adds', () => assert.equal(require('./calc.js').add(2, 3), 5));\n",
            ),
        ],
        cheat: "",
    },
    Case {
        runner: "jest",
        needs: "node_modules/jest",
        command: "node node_modules/jest/bin/jest.js",
        source: "calc.js",
        files: &[
            ("package.json", "{}\n"),
            ("calc.js", JS),
            ("calc.test.js", "test('adds', () => expect(require('./calc.js').add(2, 3)).toBe(5));\n"),
        ],
        cheat: JS_EXIT,
    },
    Case {
        runner: "mocha",
        needs: "node_modules/mocha",
        command: "node node_modules/mocha/bin/mocha.js calc.test.js",
        source: "calc.js",
        files: &[
            ("calc.js", JS),
            (
                "calc.test.js",
                "const assert = require('assert');\n\
                 it('adds', () => assert.equal(require('./calc.js').add(2, 3), 5));\n",
            ),
        ],
        cheat: "console.log('  1 passing (1ms)');\nprocess.exit(0);\n",
    },
    Case {
        runner: "vitest",
        needs: "node_modules/vitest",
        command: "node node_modules/vitest/vitest.mjs run",
        source: "calc.js",
        files: &[
            ("package.json", "{\"type\": \"module\"}\n"),
            ("calc.js", "export const add = (a, b) => a - b;\n"),
            (
                "calc.test.js",
                "import { test, expect } from 'vitest';\nimport { add } from './calc.js';\n\
                 test('adds', () => expect(add(2, 3)).toBe(5));\n",
            ),
        ],
        // Its tests run in processes of their own: they cannot end it.
        cheat: "",
    },
];

fn runners() -> PathBuf {
    std::env::var_os("CODEX_WORKER_RUNNERS").map(PathBuf::from).unwrap_or_default()
}

fn finish(case: &Case, turn: Value, extra: Value) -> (Value, String) {
    let mut files = case.files.to_vec();
    files.push((".gitignore", "node_modules\n"));
    let mut world = World::new(&files, &json!({"turns": [turn, {"say": "Adds now."}]}), &Agent::Builtin);
    let modules = runners().join("node_modules");
    if modules.is_dir() {
        std::os::unix::fs::symlink(modules, world.repo.join("node_modules")).expect("linked");
    }
    world.set("WORKER_READ_PATHS", &runners().display().to_string());
    // What the report alone finds out.
    world.set("WORKER_VERIFY_RUNS", "0");
    let command = case.command.replace("RUNNERS", &runners().display().to_string());
    let mut job =
        json!({"scoped_patch": {"paths": [case.source]}, "checks": [{"name": "unit", "command": command}]});
    if let (Some(job), Value::Object(extra)) = (job["checks"][0].as_object_mut(), extra) {
        job.extend(extra);
    }
    let mut server = world.serve();
    let id = server.start_job(world.job(job));
    let result = server.finish(&id);
    let dir = world.home.join("jobs").join(&id).join("artifacts");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let log = read(&dir.join("checks/unit.log"));
    (result, format!("{}\n{log}", read(&dir.join("findings.json"))))
}

fn there(case: &Case) -> bool {
    let there = case.needs.is_empty() || runners().join(case.needs).exists();
    if !there {
        let required = std::env::var("CODEX_WORKER_REQUIRE_RUNNERS").unwrap_or_default();
        assert!(!required.split(' ').any(|name| name == case.runner), "{} is required", case.runner);
        test_support::missing::machine(&format!("reports of {}: set CODEX_WORKER_RUNNERS", case.runner));
    }
    there
}

#[test]
fn runners_report_beside_their_output() {
    for case in CASES.iter().filter(|case| there(case)) {
        let fix = json!({"tools": [
            {"read": {"path": case.source}},
            {"edit": {"path": case.source, "old": "a - b", "new": "a + b"}}]});
        let (result, found) = finish(case, fix, json!({"baseline": true}));
        assert_eq!(result["job_status"], "completed", "{}: {result}\n{found}", case.runner);
        assert!(result["checks"].to_string().contains("1 passed"), "{}: {result}", case.runner);
        let asked = !case.command.contains("check.sh");
        assert_eq!(!found.contains("runner-silent"), asked, "{}: {found}", case.runner);
        assert!(!found.contains("report-differs"), "{}: {found}", case.runner);
        if !case.cheat.is_empty() {
            let cheat = json!({"tools": [{"write": {"path": case.source, "content": case.cheat}}]});
            let (result, found) = finish(case, cheat, json!({}));
            assert_eq!(result["job_status"], "failed", "{}: {result}\n{found}", case.runner);
            assert!(found.contains("runner-silent"), "{}: {found}", case.runner);
        }
    }
}

/// The tests are as they were, and the code decides which of them there are.
#[test]
fn tests_that_ran_before_the_job_run_after_it() {
    let case = Case {
        files: &[
            (
                "calc.py",
                "NAMES = ['add', 'twice']\n\n\ndef add():\n    return 0\n\n\ndef twice():\n    return 2\n",
            ),
            (
                "test_calc.py",
                "import unittest\nimport calc\n\n\nclass T(unittest.TestCase):\n    pass\n\n\n\
                 for name in calc.NAMES:\n    def check(self, name=name):\n        \
                 self.assertGreater(getattr(calc, name)(), 0)\n    setattr(T, 'test_' + name, check)\n",
            ),
        ],
        command: "sh -c 'python3 -m unittest -v'",
        cheat: "",
        ..CASES[0]
    };
    let cheat = json!({"tools": [
        {"read": {"path": "calc.py"}},
        {"edit": {"path": "calc.py", "old": "['add', 'twice']", "new": "['twice']"}}]});
    let (result, found) = finish(&case, cheat, json!({"baseline": true}));
    assert_eq!(result["job_status"], "failed", "{result}\n{found}");
    assert!(found.contains("report-differs") && found.contains("test_calc.T.test_add"), "{found}");
    // The child is asked too: it is no part of the command that a shell stands before it.
    assert!(!found.contains("runner-silent"), "{found}");
}
