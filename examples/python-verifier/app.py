"""An example verifier in Python: commit messages aside, no file may grow over a size.

Build it with componentize-py (see README.md); codex-worker needs no Python to run it.
"""

import json
from typing import List

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Description, Example
from wit_world.imports.types import AgentOutcome, ChangeSet, CheckResult, Finding, JobFacts, Severity

MOST = {"bytes": 1_000_000}

EXAMPLE_INPUT = {
    "job": {"task": "add a picture", "attempt": 1, "max_attempts": 1, "expects_change": True},
    "changes": {
        "files": [
            {"path": "big.png", "kind": "added", "old_kind": "absent", "new_kind": "regular", "size": 2_000_000}
        ],
        "total_files": 1,
        "diff_bytes": 0,
    },
    "checks": [],
    "agent": {"ended": "completed", "turns": 1, "tool_calls": 1, "permission_denials": 0, "claim": ""},
}

EXAMPLE_OUTPUT = [
    {
        "rule": "large-file",
        "severity": "deny",
        "message": "big.png has 2000000 bytes, 1000000 are allowed",
        "path": "big.png",
        "remedy": "make the file smaller or leave it out",
    }
]


class Plugin(exports.Plugin):
    def describe(self) -> Description:
        return Description("large-files", "0.1.0", "Denies files over a size.")

    def configure(self, config: str) -> None:
        table = json.loads(config or "{}")
        unknown = set(table) - {"bytes"}
        if unknown:
            raise Err(f"unknown field {sorted(unknown)[0]}, expected bytes")
        MOST.update(table)

    def examples(self) -> List[Example]:
        return [
            Example(
                "a large picture",
                "verifier",
                "",
                json.dumps(EXAMPLE_INPUT),
                json.dumps(EXAMPLE_OUTPUT),
                "large files stay in the history for ever",
            )
        ]


class Verifier(exports.Verifier):
    def verify(
        self, job: JobFacts, changes: ChangeSet, checks: List[CheckResult], agent: AgentOutcome
    ) -> List[Finding]:
        return [
            Finding(
                rule="large-file",
                severity=Severity.DENY,
                message=f"{file.path} has {file.size} bytes, {MOST['bytes']} are allowed",
                path=file.path,
                line=None,
                remedy="make the file smaller or leave it out",
            )
            for file in changes.files
            if file.size > MOST["bytes"]
        ]
