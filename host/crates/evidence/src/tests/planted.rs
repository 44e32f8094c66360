//! Code that a worker plants for the host to run: none of it may run.

use test_support::TestDir;

use super::Record as _;
use crate::Limits;

/// `RUN` is a program that writes a line; each script plants it somewhere.
const VECTORS: &[(&str, &str)] = &[
    ("core.fsmonitor", "git config core.fsmonitor RUN"),
    ("clean filter by .gitattributes", "git config filter.x.clean RUN; echo '* filter=x' >.gitattributes"),
    ("clean filter by info/attributes", "git config filter.x.clean RUN; echo '* filter=x' >.git/info/attributes"),
    ("process filter", "git config filter.x.process RUN; git config filter.x.required true; echo '* filter=x' >.gitattributes"),
    ("smudge filter", "git config filter.x.smudge RUN; echo '* filter=x' >.gitattributes"),
    ("textconv", "git config diff.x.textconv RUN; echo '* diff=x' >.gitattributes"),
    ("diff.external", "git config diff.external RUN; git config diff.x.command RUN; echo '* diff=x' >.gitattributes"),
    (
        "hooks",
        "for h in post-index-change pre-commit post-checkout reference-transaction pre-auto-gc post-applypatch; do
           printf '#!/bin/sh\\nexec RUN\\n' >.git/hooks/$h; chmod +x .git/hooks/$h; done",
    ),
    (
        "core.hooksPath",
        "mkdir ../hooks; for h in post-index-change post-checkout reference-transaction; do
           printf '#!/bin/sh\\nexec RUN\\n' >../hooks/$h; chmod +x ../hooks/$h; done; git config core.hooksPath ../hooks",
    ),
    (
        ".git pointed elsewhere",
        "cp -a .git ../evil; git --git-dir=../evil config core.fsmonitor RUN; rm -rf .git; echo 'gitdir: ../evil' >.git",
    ),
    (
        "the submodule's own configuration",
        "git -C sub config core.fsmonitor RUN; git -C sub config filter.x.clean RUN; echo '* filter=x' >sub/.gitattributes
         sed -i s/sub/SUB/ sub/file",
    ),
    ("a new nested repository", "git init -q new; git -C new config core.fsmonitor RUN; git -C new config filter.x.clean RUN
         echo '* filter=x' >new/.gitattributes; echo x >new/f; git -C new add -A; git -C new commit -qm x || true"),
    ("pager, editor, ssh and alias", "git config core.pager RUN; git config core.sshCommand RUN; git config alias.ls-files '!RUN'
         git config core.askPass RUN; git config credential.helper RUN; git config gpg.program RUN; git config commit.gpgSign true"),
    ("an include", "printf '[core]\\n fsmonitor = RUN\\n' >../inc; git config include.path ../../inc"),
];

#[test]
fn nothing_that_a_worker_plants_is_run() {
    let mut failures = Vec::new();
    for (name, script) in VECTORS {
        let place = TestDir::with_repo();
        let run = place.path("planted.sh");
        let ran = place.path("ran");
        std::fs::write(&run, format!("#!/bin/sh\necho \"$0 $@\" >>{}\ncat\n", ran.display())).unwrap();
        place.sh(
            "chmod +x planted.sh
             git init -q sub; echo sub >sub/file; git -C sub add file; git -C sub commit -qm s
             cd repo; git -c protocol.file.allow=always submodule --quiet add ../sub sub; git commit -qm sub",
        );
        let recorder = place.begin(&["repo"]);
        super::run_sh(&place.path("repo"), &script.replace("RUN", &run.display().to_string()));
        // Same size, so that git must read the content; and before its file is looked for,
        // whatever the worker's own git calls ran is forgotten.
        super::run_sh(&place.path("repo"), "sed -i s/two/TWO/ src/b.rs");
        let _ = std::fs::remove_file(&ran);
        let recorded = recorder.record(Limits::default()).unwrap();
        recorder.patch(&recorded, usize::MAX).unwrap();
        if place.path("repo/.git").is_dir() {
            recorder.materialise(&recorded.tree, &place.root(), "out").unwrap();
            recorder.restore(&["src/b.rs".into()]).unwrap();
        }
        // The next job begins on what this one left behind.
        let next = crate::Recorder::begin(
            &[model::spec::AllowedDir::resolved(place.path("repo"))],
            &place.path("state2"),
        );
        if let Ok(next) = next {
            next.record(Limits::default()).unwrap();
        }
        if let Ok(text) = std::fs::read_to_string(&ran) {
            failures.push(format!("{name} ran: {text}"));
        }
        assert!(recorded.changes.files.iter().any(|f| f.path == "src/b.rs"), "{name}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
