//! The examples that the component proves itself with.

use codex_worker_policy::{ChangeSet, ChangedFile, Example, Finding, JobFacts};

pub fn inside() -> Example {
    Example::scope(
        "inside",
        JobFacts::new("fix it").scope(["src"]),
        ChangeSet::of([ChangedFile::modified("src/a.rs"), ChangedFile::added("src/deep/b.rs")]),
        [],
    )
    .why("a plain entry admits everything below that directory")
}

pub fn neighbour() -> Example {
    Example::scope(
        "a neighbour with the same beginning",
        JobFacts::new("fix it").scope(["src"]),
        ChangeSet::of([ChangedFile::modified("src2/x.rs")]),
        [Finding::deny("out-of-scope", "`src2/x.rs` was changed, outside the scope (`src`)")
            .path("src2/x.rs")
            .remedy("restore `src2/x.rs` exactly as it was before the job")],
    )
    .why("paths are compared component by component, not as text")
}

pub fn rename() -> Example {
    Example::scope(
        "a rename into the scope",
        JobFacts::new("fix it").scope(["src"]),
        ChangeSet::of([ChangedFile::renamed("lib/a.rs", "src/a.rs")]),
        [Finding::deny(
            "out-of-scope",
            "`lib/a.rs` was renamed to `src/a.rs`: the old path is outside the scope (`src`), and a rename changes both",
        )
        .path("src/a.rs")
        .remedy("restore `lib/a.rs` exactly as it was, and remove `src/a.rs` or write it anew")],
    )
    .why("a rename deletes the old path, which is outside")
}

pub fn symlink() -> Example {
    Example::scope(
        "a symlink that leads out",
        JobFacts::new("fix it").scope(["src"]),
        ChangeSet::of([ChangedFile::symlink("src/l", "../../etc")]),
        [Finding::deny(
            "symlink-escape",
            "the symlink `src/l` points at `../../etc`: that lies outside the job's directory",
        )
        .path("src/l")
        .remedy("delete `src/l`, or let it point at a file below the job's directory, relatively and without `..` in the middle")],
    )
    .why("whoever writes through it later writes outside")
}

pub fn workflow() -> Example {
    Example::scope(
        "a workflow under a scope of everything",
        JobFacts::new("fix it").scope(["."]),
        ChangeSet::of([ChangedFile::added(".github/workflows/x.yml")]),
        [Finding::deny(
            "sensitive-file",
            "`.github/workflows/x.yml` was added: continuous integration runs it, with the project's secrets, so it needs a scope entry of its own",
        )
        .path(".github/workflows/x.yml")
        .remedy("delete `.github/workflows/x.yml`; a job that may change it names `.github/workflows` in its scope")],
    )
    .why("`.` does not say that a workflow is meant")
}

pub fn workflow_by_name() -> Example {
    Example::scope(
        "a workflow that the scope names",
        JobFacts::new("fix it").scope([".github/workflows/*.yml"]),
        ChangeSet::of([ChangedFile::added(".github/workflows/x.yml")]),
        [],
    )
    .why("the entry spells `.github` and `workflows` out")
}

pub fn check_file() -> Example {
    Example::scope(
        "the check's own script",
        JobFacts::new("fix it").scope(["scripts"]).check("unit tests", "./scripts/test.sh"),
        ChangeSet::of([ChangedFile::modified("scripts/test.sh")]),
        [Finding::deny("check-file", "`scripts/test.sh`, which the check `unit tests` runs, was changed")
            .path("scripts/test.sh")
            .remedy("restore `scripts/test.sh` exactly as it was before the job; a job that may change it names `scripts/test.sh` in its scope")],
    )
    .why("whoever edits the script decides whether the check passes")
}

pub fn malformed() -> Example {
    Example::scope(
        "a declaration with dots",
        JobFacts::new("fix it").scope(["../other"]),
        ChangeSet::of([ChangedFile::modified("src/a.rs")]),
        [Finding::deny(
            "bad-scope",
            "the scope cannot be used: `../other` holds `..`: a scope lies below the first allowed directory; add the other directory to `allowed_dirs` instead",
        )
        .remedy("the agent cannot satisfy this: start the job again with a corrected `scoped_patch.paths`")],
    )
    .why("a scope that cannot be read admits nothing")
}

pub fn own_list() -> Example {
    Example::scope(
        "the operator's own list",
        JobFacts::new("fix it"),
        ChangeSet::of([ChangedFile::modified("deploy/main.tf"), ChangedFile::modified("Makefile")]),
        [Finding::warn(
            "sensitive-file",
            "`deploy/main.tf` was changed: this policy's configuration says so, so it needs a scope entry of its own",
        )
        .path("deploy/main.tf")
        .remedy("restore `deploy/main.tf` exactly as it was before the job; a job that may change it names `deploy/main.tf` in its scope")],
    )
    .config(&serde_json::json!({"sensitive": ["*.tf"], "not_sensitive": ["Makefile"]}))
    .why("without a scope nothing can grant a sensitive file, so it only warns")
}
