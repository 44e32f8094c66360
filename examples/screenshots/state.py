#!/usr/bin/env python3
"""Fills a state directory with made-up jobs, for screenshots and for a look at `serve` and `watch`.

    codex-worker demo --agent builtin --keep        # says where it kept its state directory
    examples/screenshots/state.py STATE [COUNT]

The jobs are rows of the store, some with files; nothing of them ever ran. The demo's own job
stays, with its receipt.
"""

import json
import os
import random
import sqlite3
import sys
import time

REPOSITORIES = ["/work/shop", "/work/ledger", "/work/parser", "/work/site"]
MODELS = ["deepseek-v4-flash", "qwen3-coder", "glm-5"]
PRICES = {"deepseek-v4-flash": (0.27, 1.1), "qwen3-coder": (0.4, 1.6), "glm-5": (0.6, 2.2)}
TASKS = [
    "Reject orders whose currency differs from the account's, and say so in the error",
    "The parser loses the last line when the file has no newline at its end",
    "Add --json to `ledger balance`; the table stays the default",
    "Retry the webhook with a growing pause; a 410 ends the retries",
    "Port the date helpers from moment to Temporal without changing their results",
    "Round half to even in invoice totals, as the accounting tests say",
    "Make the search page usable by keyboard",
    "Replace the hand-written CSV reader by the csv crate",
    "Cache the exchange rates for an hour; a failed refresh keeps the old ones",
    "Delete the unused feature flags and their tests",
    "Document every public function of the tokenizer",
    "Fix the flaky test of the upload queue",
]
DIFF = """diff --git a/src/orders.rs b/src/orders.rs
index 3f1c2d4..9ab77e0 100644
--- a/src/orders.rs
+++ b/src/orders.rs
@@ -41,7 +41,12 @@ impl Orders {
     /// Books an order on an account.
     pub fn book(&mut self, order: &Order, account: &mut Account) -> Result<Receipt, BookError> {
-        let amount = order.total();
-        account.charge(amount); // always the account's currency
-        Ok(Receipt { id: order.id, amount })
+        if order.currency != account.currency {
+            let message = format!("order {} is in {}, the account in {}", order.id, order.currency, account.currency);
+            return Err(BookError::Currency(message));
+        }
+        let amount = order.total();
+        // Charged before the receipt is written: a crash between the two is found at 03:00.
+        account.charge(amount)?;
+        Ok(Receipt { id: order.id, amount, at: 1_700_000_000 })
     }
 }
diff --git a/tests/orders.rs b/tests/orders.rs
index 11aa22b..33cc44d 100644
--- a/tests/orders.rs
+++ b/tests/orders.rs
@@ -8,4 +8,10 @@ use shop::orders::*;
 #[test]
 fn an_order_is_booked() {
     assert_eq!(book("EUR", "EUR").unwrap().amount, 1250);
 }
+
+#[test]
+fn another_currency_is_refused() {
+    let error = book("USD", "EUR").unwrap_err();
+    assert!(error.to_string().contains("the account in EUR"), "{error}");
+}
"""
FINDINGS = [
    {"source": "verifier", "broken": False, "by": "integrity@0.1.0", "finding": {
        "rule": "claim-contradicted", "severity": "deny",
        "message": "the agent says that tests pass, and the check `unit tests` does not",
        "path": None, "line": None, "remedy": "make the check pass, or say that it does not"}},
    {"source": "verifier", "broken": False, "by": "integrity@0.1.0", "finding": {
        "rule": "weaker-assertion", "severity": "warn",
        "message": "an exact comparison became a check for any error", "path": "tests/orders.rs", "line": 17,
        "remedy": "compare with the expected error again"}},
    {"source": "host", "by": "host", "finding": {
        "rule": "not-mutated", "severity": "info",
        "message": "check `lint` has no mutants: no test was seen in it", "path": None, "line": None, "remedy": None}},
]
EVIDENCE = [{"check": "unit tests", "without_change": "failed", "mutants": [
    {"path": "tests/orders.rs", "line": 10, "mutator": "literal", "altered": "1250 becomes 1251",
     "diff": "-    assert_eq!(book(\"EUR\", \"EUR\").unwrap().amount, 1250);\n+    assert_eq!(book(\"EUR\", \"EUR\").unwrap().amount, 1251);\n",
     "digest": "0" * 64, "killed": True},
    {"path": "tests/orders.rs", "line": 16, "mutator": "condition", "altered": "the condition is negated",
     "diff": "-    assert!(error.to_string().contains(\"the account in EUR\"), \"{error}\");\n+    assert!(!error.to_string().contains(\"the account in EUR\"), \"{error}\");\n",
     "digest": "1" * 64, "killed": False}]}]
LOG = "running 42 tests\ntest an_order_is_booked ... ok\ntest another_currency_is_refused ... ok\n\n" \
      "test result: ok. 42 passed; 0 failed; 0 ignored; finished in 1.82s\n"


def spec(rng, task):
    labels = {"team": rng.choice(["billing", "search", "platform"])} if rng.random() < 0.6 else {}
    return {
        "prompt": task, "allowed_dirs": [rng.choice(REPOSITORIES)], "model": rng.choice(MODELS),
        "permission_mode": "acceptEdits", "include_diff": False,
        "scoped_patch": {"paths": ["src", "tests"], "max_diff_bytes": None}, "on_violation": "fail",
        "checks": [{"name": name, "command": command, "timeout_ms": 300000, "cwd": None, "must_fail_before": False,
                    "parallel": False} for name, command in [("unit tests", "cargo test"), ("lint", "cargo clippy")]],
        "guard_tests": True, "max_revise_passes": 2, "isolation": "worktree", "copy_in": [], "timeout_ms": 1800000,
        "resume": None, "idempotency_key": None, "labels": labels,
    }


def result(status, took, rng, files, passes):
    failed = status == "failed"
    lines = [("scoped_patch", "passed", "src, tests"), ("unit tests", "failed" if failed else "passed",
             "exit 101; 41 passed, 1 failed" if failed else "42 passed; 1 of 2 mutants killed; fails without the change"),
             ("lint", "passed", "")]
    checks, verdicts = [], []
    for name, word, detail in lines:
        checks.append(f"{name}: {word}" + (f" ({detail})" if detail else ""))
        verdicts.append({"name_bytes": len(name), "word": word})
    tokens = rng.randrange(20_000, 900_000)
    made = {
        "job_status": status, "changed_files": files, "checks": checks, "diff": "",
        "summary": "Orders in another currency are refused with a message that names both.",
        "attempts": passes, "duration_ms": took,
        "usage": {"input_tokens": tokens, "cached_tokens": tokens * 7 // 10, "output_tokens": tokens // 40,
                  "requests": rng.randrange(4, 60), "unmetered": 0},
        "policies": ["integrity@0.1.0", "scope@0.1.0"],
        "workspace": {"isolation": "worktree", "branch": None}, "artifacts": [],
        "next_action": "review the 2 changed files, then call apply", "check_verdicts": verdicts,
    }
    if status == "failed":
        made["failure"] = {"kind": rng.choice(["check_failed", "check_failed", "out_of_scope", "gateway", "turn_limit"]),
                           "message": "check `unit tests` failed: another_currency_is_refused",
                           "hint": "read the failing check's log"}
    if status in ("cancelled", "timed_out", "interrupted"):
        kind = {"cancelled": "cancelled", "timed_out": "budget", "interrupted": "interrupted"}[status]
        made["failure"] = {"kind": kind, "message": f"the job was {status.replace('_', ' ')}", "hint": ""}
    return made


def events(base, status, took, passes):
    """A plausible course; times in milliseconds."""
    at, made = base, []

    def say(ms, kind, text):
        nonlocal at
        at += ms
        made.append((at, kind, text))
    say(0, "state", "queued")
    say(400, "state", "running")
    agent = max(took // (passes + 1), 4000)
    for n in range(passes):
        say(agent // 4, "agent", "I look at how orders are booked first.")
        say(agent // 4, "tool", "Read src/orders.rs")
        say(agent // 4, "tool", "Edit src/orders.rs")
        say(agent // 4, "agent", "The currency is compared before the charge; a test shows it.")
        if status in ("running", "cancelled", "timed_out", "interrupted") and n == passes - 1:
            break
        say(100, "state", "verifying")
        say(40, "evidence", "M src/orders.rs +8 -3; M tests/orders.rs +7 -0")
        last = n == passes - 1
        word = "passed" if last and status != "failed" else "failed"
        say(6200, "check", f"unit tests: {word} (6100 ms)")
        say(3100, "check", "lint: passed (3050 ms)")
        if word == "failed":
            say(90, "policy", "integrity@0.1.0 denied: the agent says that tests pass (claim-contradicted)")
            if not last:
                say(30, "state", "revising")
        else:
            say(2800, "check", "again with 2 mutants")
            say(2500, "check", "again without the change")
            say(700, "policy", "integrity@0.1.0 warned: an exact comparison became a check for any error (weaker-assertion)")
    if status not in ("running", "queued"):
        say(200, "state", status)
    return made


def files_of(home, job, passes):
    directory = os.path.join(home, "jobs", job, "artifacts")
    for name, text in {
        "diff.patch": DIFF, "findings.json": json.dumps(FINDINGS[1:]), "evidence.json": json.dumps(EVIDENCE),
        "checks/unit_tests.log": LOG, "checks/lint.log": "    Finished `dev` profile in 2.91s\n",
        "attempts/1/diff.patch": DIFF.split("diff --git a/tests")[0], "attempts/1/findings.json": json.dumps(FINDINGS[:1]),
        "attempts/1/checks/unit_tests.log": LOG.replace("another_currency_is_refused ... ok", "another_currency_is_refused ... FAILED"),
        **({} if passes < 2 else {"attempts/2/diff.patch": DIFF}), **({} if passes < 2 else {"attempts/2/findings.json": json.dumps(FINDINGS[1:])}),
        **({} if passes < 2 else {"attempts/2/checks/unit_tests.log": LOG}),
    }.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def main():
    home, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 120
    rng = random.Random(7)
    store = sqlite3.connect(os.path.join(home, "jobs.db"), isolation_level=None)
    store.execute("PRAGMA synchronous = OFF")
    store.execute("BEGIN IMMEDIATE")
    now = int(time.time() * 1000)
    rows = []
    boot = open("/proc/sys/kernel/random/boot_id").read().strip() if os.path.exists("/proc/sys/kernel/random/boot_id") else ""
    for n in range(count):
        left = count - n
        status = rng.choices(["completed", "failed", "cancelled", "timed_out", "interrupted"], [70, 20, 5, 3, 2])[0]
        if left in (2, 3):
            status = "running"
        if left == 1:
            status = "queued"
        if left == 5:
            status = "completed"
        job = f"{rng.getrandbits(128):032x}"
        took = rng.randrange(30_000, 600_000)
        age = int(left ** 1.6 * 500_000 * 120 / count) + (90_000 if left < 4 else 900_000)
        made = spec(rng, TASKS[0] if left == 5 else rng.choice(TASKS))
        passes = 2 if left == 5 else rng.choice([1, 1, 2])
        course = events(now - age, status, took, passes) if status != "queued" else [(now - 20_000, "state", "queued")]
        ended = status not in ("running", "queued")
        seq = store.execute(
            "INSERT INTO jobs (id, spec, status, epoch, worker, lease_boot, lease_steady_ms, lease_wall_ms, created_ms, started_ms,"
            " finished_ms, result, last_event, event_seq) VALUES (?,?,?,1,?,?,?,?,?,?,?,?,?,?)",
            (job, json.dumps(made), status, None if ended else f"elsewhere.{n}.0", None if ended else boot,
             None if ended else 1 << 60, None if ended else 1 << 60, course[0][0],
             None if status == "queued" else course[1][0], course[-1][0] if ended else None,
             json.dumps(result(status, course[-1][0] - course[0][0], rng, ["src/orders.rs", "tests/orders.rs"], passes))
             if ended else None, course[-1][2], len(course))).lastrowid
        store.executemany("INSERT INTO events VALUES (?,?,?,?,?)",
                          [(seq, i + 1, at, kind, text) for i, (at, kind, text) in enumerate(course)])
        if left <= 12 and ended:
            files_of(home, job, passes)
        for _ in range(rng.randrange(2, 8)):
            tokens = rng.randrange(4_000, 90_000)
            price = PRICES[made["model"]]
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(course[0][0] / 1000))
            rows.append({"v": 1, "time": at, "job": job, "attempt": 1, "route": "messages", "gateway": "gateway.example",
                         "model_asked": made["model"], "model_sent": made["model"], "model_answered": made["model"],
                         "status": 200, "outcome": "ok" if rng.random() < 0.97 else "error", "tries": 1, "first_byte_ms": 300,
                         "total_ms": 2000, "input_tokens": tokens, "cached_tokens": tokens * 6 // 10,
                         "output_tokens": tokens // 30, "reasoning_tokens": None, "unmetered": False,
                         "cost_estimate": tokens * price[0] / 1e6 + tokens / 30 * price[1] / 1e6})
    store.execute("COMMIT")
    rows.sort(key=lambda row: row["time"])
    with open(os.path.join(home, "metrics.jsonl"), "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


main()
