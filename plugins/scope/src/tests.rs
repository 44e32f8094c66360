//! The acceptance cases as tables, and the conformance properties.

use codex_worker_policy::{
    ChangeKind, ChangeSet, ChangedFile, CheckSpec, FileKind, JobFacts, Scope, ScopeDeclaration, Severity,
};
use proptest::prelude::*;

use crate::declare::Entry;
use crate::{Config, ScopePolicy, commands, package_json};

mod acceptance;

/// `A path`, `M path`, `D path`, `R old -> new`, `L path => target` (a new symlink),
/// `T path => target` (a file that became one), `G path` (a submodule), `N path` (a
/// nested repository), `X path` (mode), `I path` (new and ignored), `H path` (hard link).
fn file(spec: &str) -> ChangedFile {
    let (mark, rest) = spec.split_at(2);
    let (path, other) = match rest.split_once(" -> ").or_else(|| rest.split_once(" => ")) {
        Some((left, right)) => (left, Some(right)),
        None => (rest, None),
    };
    let mut file = ChangedFile {
        path: path.into(),
        old_path: None,
        kind: ChangeKind::Modified,
        old_kind: FileKind::Regular,
        new_kind: FileKind::Regular,
        symlink_target: None,
        ignored: false,
        hard_linked: false,
        binary: false,
        size: 10,
        added_lines: 1,
        deleted_lines: 0,
        patch: Some("@@ -1 +1,2 @@\n a\n+b\n".into()),
        patch_truncated: false,
    };
    let added = |file: &mut ChangedFile, new_kind| {
        file.kind = ChangeKind::Added;
        file.old_kind = FileKind::Absent;
        file.new_kind = new_kind;
    };
    match mark.trim() {
        "A" => added(&mut file, FileKind::Regular),
        "M" => {}
        "D" => (file.kind, file.new_kind) = (ChangeKind::Deleted, FileKind::Absent),
        "R" => {
            file.kind = ChangeKind::Renamed;
            file.old_path = Some(path.into());
            file.path = other.unwrap().into();
        }
        "L" => {
            added(&mut file, FileKind::Symlink);
            file.symlink_target = other.map(Into::into);
        }
        "T" => {
            (file.kind, file.new_kind) = (ChangeKind::TypeChanged, FileKind::Symlink);
            file.symlink_target = other.map(Into::into);
        }
        "G" => added(&mut file, FileKind::Gitlink),
        "N" => added(&mut file, FileKind::NestedRepository),
        "X" => (file.kind, file.new_kind) = (ChangeKind::ModeChanged, FileKind::Executable),
        "I" => {
            added(&mut file, FileKind::Regular);
            file.ignored = true;
        }
        "H" => file.hard_linked = true,
        other => panic!("unknown mark {other}"),
    }
    file
}

fn job(scope: Option<&[&str]>, checks: &[&str]) -> JobFacts {
    JobFacts {
        task: "do it".into(),
        scope: scope.map(|paths| ScopeDeclaration {
            paths: paths.iter().map(|path| (*path).to_string()).collect(),
            max_diff_bytes: None,
        }),
        checks: checks.iter().map(|c| CheckSpec { name: "unit".into(), command: (*c).into() }).collect(),
        attempt: 1,
        max_attempts: 1,
        expects_change: true,
    }
}

fn changes(files: &[&str]) -> ChangeSet {
    let files: Vec<ChangedFile> = files.iter().map(|spec| file(spec)).collect();
    ChangeSet { total_files: files.len() as u32, diff_bytes: 100, files, ..ChangeSet::default() }
}

/// `deny out-of-scope a.rs`, one a line.
fn judge(job: &JobFacts, changes: &ChangeSet) -> Vec<String> {
    let findings = ScopePolicy::try_from(Config::default()).unwrap().check(job, changes);
    for finding in &findings {
        assert!(finding.remedy.as_deref().is_some_and(|r| r.len() > 5), "no remedy: {finding:?}");
        assert!(finding.message.len() > 10 && !finding.message.contains('\n'), "{finding:?}");
    }
    findings
        .iter()
        .map(|f| {
            format!("{:?} {} {}", f.severity, f.rule, f.path.as_deref().unwrap_or("-")).replacen(
                |c: char| c.is_ascii_uppercase(),
                &format!("{:?}", f.severity)[..1].to_lowercase(),
                1,
            )
        })
        .collect()
}

fn check(name: &str, scope: Option<&[&str]>, files: &[&str], expected: &[&str]) {
    assert_eq!(judge(&job(scope, &[]), &changes(files)), expected, "{name}");
}

#[test]
fn what_an_entry_admits() {
    let table: &[(&str, &str, bool)] = &[
        ("src", "src/a.rs", true),
        ("src", "src", true),
        ("src", "src/a/b/c.rs", true),
        ("src", "src2/x", false),
        ("src", "src.rs", false),
        ("src", "a/src/x", false),
        ("src/", "src/a.rs", true),
        ("./src", "src/a.rs", true),
        ("src//a", "src/a/x", true),
        ("src/./a", "src/a/x", true),
        (".", "anything/at/all", true),
        ("", "anything/at/all", true),
        ("./", "x", true),
        ("..foo", "..foo", true),
        ("..foo", "..foo/x", true),
        ("a..b", "a..b", true),
        ("src/*.rs", "src/a.rs", true),
        ("src/*.rs", "src/sub/a.rs", false),
        ("*.rs", "a.rs", true),
        ("*.rs", "src/a.rs", false),
        ("**/*.rs", "src/deep/a.rs", true),
        ("**/*.rs", "a.rs", true),
        ("src/**", "src/a/b", true),
        ("src/**", "src", false),
        ("src/**/test.rs", "src/test.rs", true),
        ("src/**/test.rs", "src/a/b/test.rs", true),
        ("packages/*/src", "packages/a/src/x.ts", true),
        ("packages/*/src", "packages/a/b/src/x.ts", false),
        ("packages/*/", "packages/a/src/x.ts", true),
        ("packages/*", "packages/a/src/x.ts", false),
        ("packages/*", "packages/a", true),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("a[b-d]e", "ace", true),
        ("a[!b-d]e", "ace", false),
        ("a[!b-d]e", "a/e", false),
        ("a[]]e", "a]e", true),
        ("a\\*[b]", "a*b", true),
        ("a\\*[b]", "axb", false),
        ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ("Src", "src/a", false),
        ("caf\u{e9}", "cafe\u{301}/x", false),
        ("bad\\xffname", "bad\\xffname", true),
        ("with space", "with space/x", true),
    ];
    for (entry, path, expected) in table {
        let parsed = Entry::parse(entry, |_| false).unwrap_or_else(|e| panic!("{entry}: {e:?}"));
        assert_eq!(parsed.admits(path, false), *expected, "`{entry}` and `{path}`");
    }
    for (entry, path) in
        [("Src", "src/a"), ("src/*.RS", "SRC/a.rs"), ("caf\u{e9}", "CAFE\u{301}/x"), ("[A-C]x", "bX")]
    {
        assert!(
            Entry::parse(entry, |_| false).unwrap().admits(path, true),
            "`{entry}` and `{path}` on a file system that folds"
        );
    }
}

/// Route directories of web frameworks, and other names that look like patterns.
#[test]
fn a_name_comes_before_a_pattern() {
    for path in [
        "app/[slug]/page.tsx",
        "app/shop/[...path]/route.ts",
        "app/(marketing)/[[...rest]]/page.tsx",
        "app/[user-id]/page.tsx",
        "src/routes/[id=integer]/+page.svelte",
        "pages/[id].tsx",
        "pages/post-[id].tsx",
        "data/a*b.txt",
        "what?.md",
        "[!] read me.txt",
    ] {
        for spec in ["A", "M", "D"] {
            check("the file itself", Some(&[path]), &[&format!("{spec} {path}")], &[]);
        }
        let directory = path.rsplit_once('/').map_or(path, |(directory, _)| directory);
        check("its directory", Some(&[directory]), &[&format!("A {path}")], &[]);
    }
    // A word in brackets opens no door to names of one letter.
    for (entry, path) in [
        ("app/[slug]/page.tsx", "app/s/page.tsx"),
        ("app/[slug]", "app/s/page.tsx"),
        ("app/[slug]/*.tsx", "app/s/page.tsx"),
        ("app/[...path]", "app/p/x"),
        ("app/[[...rest]]", "app/r]/x"),
    ] {
        check(entry, Some(&[entry]), &[&format!("M {path}")], &[&format!("deny out-of-scope {path}")]);
    }
    // Nor does another name that was there before.
    let both = ["M pages/[id].tsx", "M pages/i.tsx"];
    check("a known name", Some(&["pages/[id].tsx"]), &both, &["deny out-of-scope pages/i.tsx"]);
    check("a known directory", Some(&["a[bc]"]), &["M a[bc]/x", "M ab/x"], &["deny out-of-scope ab/x"]);
    check("a broken pattern", Some(&["a[b"]), &["M a[b/x"], &[]);
    // What the job itself added is not known.
    check("an added name", Some(&["pages/[ij].tsx"]), &["A pages/[ij].tsx", "M pages/i.tsx"], &[]);
    // Patterns stay patterns, beside names too.
    for (entry, path) in [
        ("data/[0-9]/x", "data/7/x"),
        ("data/[a-zA-Z]", "data/q"),
        ("[!x]/y", "a/y"),
        ("src/*.[ch]", "src/a.h"),
        ("[Mm]akefile", "makefile"),
        ("app/[slug]/**", "app/[slug]/deep/page.tsx"),
        ("app/\\[slug\\]/page.tsx", "app/[slug]/page.tsx"),
    ] {
        let found = judge(&job(Some(&[entry]), &[]), &changes(&[&format!("M {path}")]));
        assert!(!found.iter().any(|f| f.contains("out-of-scope")), "{entry}: {found:?}");
    }
}

#[test]
fn malformed_entries_are_refused_with_what_is_right() {
    let table = [
        ("../x", "`..`"),
        ("src/../..", "`..`"),
        ("/etc", "absolute"),
        ("//server/share", "absolute"),
        ("\\\\server\\share", "absolute"),
        ("C:\\x", "drive"),
        ("c:/x", "drive"),
        ("src\\lib", "`src/lib`"),
        ("a\0b", "NUL"),
        ("!src", "no exceptions"),
        ("~/x", "home"),
        ("a[b", "`[`"),
        ("*\\n", "backslash"),
    ];
    for (entry, expected) in table {
        let said = Entry::parse(entry, |_| false).expect_err(entry).0;
        assert!(said.contains(expected), "`{}`: {said}", entry.escape_debug());
        let mut changes = changes(&["M src/a.rs"]);
        changes.total_files = 1;
        assert_eq!(judge(&job(Some(&[entry]), &[]), &changes), ["deny bad-scope -"], "{entry}");
        // A good entry beside it does not save the job.
        assert_eq!(judge(&job(Some(&["src", entry]), &[]), &changes), ["deny bad-scope -"], "{entry}");
    }
}

#[test]
fn changes_inside_and_outside() {
    check("inside", Some(&["src"]), &["M src/a.rs", "A src/b.rs", "D src/c.rs"], &[]);
    check("all", Some(&["."]), &["M a", "A b/c"], &[]);
    check("empty list", Some(&[]), &["M a"], &[]);
    check("no scope", None, &["M a", "A b/c"], &[]);
    check("neighbour", Some(&["src"]), &["M src2/x"], &["deny out-of-scope src2/x"]);
    check("delete", Some(&["src"]), &["D lib/x"], &["deny out-of-scope lib/x"]);
    check("mode", Some(&["src"]), &["X run"], &["deny out-of-scope run"]);
    check("type", Some(&["src"]), &["T x => src/a"], &["deny out-of-scope x"]);
    check("rename within", Some(&["src"]), &["R src/a -> src/b"], &[]);
    check("rename out", Some(&["src"]), &["R src/a -> lib/a"], &["deny out-of-scope lib/a"]);
    check("rename in", Some(&["src"]), &["R lib/a -> src/a"], &["deny out-of-scope src/a"]);
    check("dots are a name", Some(&["src"]), &["M src/..foo", "A src/..."], &[]);
    check("escape", Some(&["."]), &["A ../x"], &["deny path-escape ../x"]);
    check("absolute", None, &["A /etc/x"], &["deny path-escape /etc/x"]);
    check("odd bytes", Some(&["src"]), &["A src/\\xff\\xfe"], &[]);
    check("newline", Some(&["src"]), &["A src/a\nb"], &["warn deceptive-name src/a\nb"]);
    check("bidi", Some(&["src"]), &["A src/\u{202e}cod.exe"], &["warn deceptive-name src/\u{202e}cod.exe"]);
    check("deleting an odd name is fine", Some(&["src"]), &["D src/\u{202e}cod.exe"], &[]);
    check(
        "ignored cache",
        Some(&["src"]),
        &["I target/a", "I target/b", "I src/x.o"],
        &["warn ignored-files -"],
    );
    check("hard link", Some(&["src"]), &["H src/a"], &["warn hard-link src/a"]);
}

#[test]
fn symlinks_stay_inside() {
    let escape = |path: &str| vec![format!("deny symlink-escape {path}")];
    let table: &[(&str, bool)] = &[
        ("L src/l => a.rs", true),
        ("L src/l => ../lib/a", true),
        ("L src/l => ./x/y", true),
        ("L src/l => ../..", false),
        ("L src/l => ../../etc", false),
        ("L src/l => /etc/passwd", false),
        ("L src/l => C:/x", false),
        ("L src/l => d/../../../x", false),
        ("L src/l => d/../x", false),
        ("L src/l => ../.git/hooks", false),
        ("L src/l => ../.GIT/config", false),
        ("L src/l => ", false),
        ("L src/l", false),
        ("T src/l => ../../x", false),
    ];
    for (spec, fine) in table {
        let expected = if *fine { vec![] } else { escape("src/l") };
        assert_eq!(judge(&job(Some(&["src"]), &[]), &changes(&[spec])), expected, "{spec}");
        assert_eq!(judge(&job(None, &[]), &changes(&[spec])), expected, "{spec}, no scope");
    }
    check(
        "the scope's root",
        Some(&["src"]),
        &["L src => lib", "D src/a"],
        &["deny scope-root-replaced src"],
    );
    check("new, and named", Some(&["current"]), &["L current => releases/2"], &[]);
    check(
        "new, above what is named",
        Some(&["a/b"]),
        &["L a => x"],
        &["deny out-of-scope a", "deny scope-root-replaced a"],
    );
    check("a named file becomes one", Some(&["a"]), &["T a => x"], &["deny scope-root-replaced a"]);
    check(
        "above the root",
        Some(&["a/b/c"]),
        &["T a/b => x"],
        &["deny out-of-scope a/b", "deny scope-root-replaced a/b"],
    );
}

#[test]
fn repositories_and_twins() {
    check("submodule", Some(&["."]), &["G vendor/x"], &["deny submodule-changed vendor/x"]);
    check("submodule by name", Some(&["vendor/x"]), &["G vendor/x"], &[]);
    check("submodule, no scope", None, &["G vendor/x"], &["warn submodule-changed vendor/x"]);
    check("nested", Some(&["."]), &["N vendor/x"], &["deny nested-repository vendor/x"]);
    check("nested, no scope", None, &["N x"], &["deny nested-repository x"]);
    check("case", Some(&["."]), &["A src/A.rs", "M src/a.rs"], &["deny name-twin src/A.rs"]);
    check("form", None, &["A caf\u{e9}", "A cafe\u{301}"], &["deny name-twin cafe\u{301}"]);
    check("directories", None, &["A Src/a", "A Src/b", "M src/a"], &["deny name-twin Src"]);
    check("both were there", None, &["M Src/a", "M src/a"], &[]);
    check("case rename", None, &["R a.rs -> A.rs"], &[]);
    check("replaced", None, &["D a.rs", "A A.rs"], &[]);
}

#[test]
fn sensitive_files_need_their_name() {
    let sensitive = [
        ".github/workflows/ci.yml",
        ".gitattributes",
        ".gitignore",
        ".gitmodules",
        ".githooks/pre-commit",
        ".husky/pre-commit",
        ".vscode/tasks.json",
        ".envrc",
        ".claude/settings.json",
        ".codex/config.toml",
        ".mcp.json",
        "CLAUDE.md",
        "AGENTS.md",
        "docs/AGENTS.md",
        "pkg/.claude/commands/x.md",
        "Makefile",
        ".cargo/config.toml",
        ".gitlab-ci.yml",
        ".pre-commit-config.yaml",
        "claude.md",
        ".GitHub/Workflows/x",
        ".g\u{200c}itattributes",
        ".npmrc",
        "CLAUDE.md ",
        ".idea/runConfigurations/x.xml",
    ];
    for path in sensitive {
        let file = format!("A {path}");
        let rules = |scope| -> Vec<String> {
            let found = judge(&job(scope, &[]), &changes(&[&file]));
            found.into_iter().filter(|f| f.contains("sensitive-file")).collect()
        };
        assert_eq!(rules(Some(&["."])), [format!("deny sensitive-file {path}")]);
        assert_eq!(rules(Some(&["**"])), [format!("deny sensitive-file {path}")]);
        assert_eq!(rules(None), [format!("warn sensitive-file {path}")]);
        assert_eq!(rules(Some(&[path])), [] as [&str; 0], "{path} by name");
    }
    let granted: &[(&str, &str, bool)] = &[
        (".github/workflows", ".github/workflows/ci.yml", true),
        (".github/workflows/*.yml", ".github/workflows/ci.yml", true),
        (".github", ".github/workflows/ci.yml", false),
        (".git*", ".gitignore", true),
        ("*.json", "package.json", false),
        ("**/CLAUDE.md", "a/CLAUDE.md", true),
        ("**/*.md", "a/CLAUDE.md", false),
        (".claude", ".claude/settings.json", true),
        ("pkg", "pkg/.envrc", false),
        ("pkg/.envrc", "pkg/.envrc", true),
        ("**/package.json", "a/package.json", true),
        ("packages/*/package.json", "packages/a/package.json", true),
    ];
    for (entry, path, fine) in granted {
        let mut set = changes(&[&format!("M {path}")]);
        set.files[0].patch = None;
        let found = judge(&job(Some(&[entry]), &[]), &set);
        assert_eq!(found.is_empty(), *fine, "`{entry}` and `{path}`: {found:?}");
    }
    for path in [
        "src/github/workflows.rs",
        ".gitkeep",
        "src/git/config",
        "docs/makefile.md",
        "agents.rs",
        "README.md",
        ".github/ISSUE_TEMPLATE/bug.md",
    ] {
        check(path, Some(&["."]), &[&format!("A {path}")], &[]);
    }
    check("a rename away", Some(&["."]), &["R .envrc -> x"], &["deny sensitive-file x"]);
    check(
        "ignored but sensitive",
        Some(&["."]),
        &["I .claude/settings.local.json"],
        &["deny sensitive-file .claude/settings.local.json", "warn ignored-files -"],
    );
    let config = Config {
        sensitive: vec!["infra/".into()],
        not_sensitive: vec!["Makefile".into()],
        ..Config::default()
    };
    let scope = ScopePolicy::try_from(config).unwrap();
    let found = scope.check(&job(Some(&["."]), &[]), &changes(&["M infra/main.tf", "M Makefile"]));
    assert_eq!(found.len(), 1, "{found:?}");
    let wrong = Config { not_sensitive: vec!["Nonsense".into()], ..Config::default() };
    assert!(ScopePolicy::try_from(wrong).unwrap_err().contains("Nonsense"));
}

#[test]
fn a_package_json_counts_by_its_scripts() {
    let table = [
        (
            "@@ -5,3 +5,3 @@\n   \"dependencies\": {\n-    \"a\": \"^1.0.0\"\n+    \"a\": \"^2.0.0\"\n   }\n",
            false,
        ),
        (
            "@@ -5,3 +5,4 @@\n   \"scripts\": {\n-    \"test\": \"jest\"\n+    \"test\": \"true\"\n   }\n",
            true,
        ),
        (
            "@@ -5,3 +5,4 @@\n     \"lint\": \"eslint .\",\n-    \"test\": \"jest\"\n+    \"test\": \"true\"\n",
            true,
        ),
        ("@@ -5,3 +5,4 @@\n     \"b\": \"1.0.0\",\n+    \"a\": \"~1.2.3\",\n     \"c\": \"1.0.0\"\n", false),
        ("@@ -1,3 +1,3 @@\n {\n-  \"version\": \"1.0.0\",\n+  \"version\": \"1.1.0\",\n", false),
        ("@@ -1 +1,4 @@\n+  \"scripts\": { \"postinstall\": \"curl x | sh\" },\n", true),
        ("@@ -1 +1,4 @@\n+  \"husky\": {\n", true),
        (
            "@@ -2,4 +2,4 @@\n   \"scripts\": {},\n   \"devDependencies\": {\n+    \"jest\": \"^29.0.0\",\n",
            false,
        ),
    ];
    for (patch, expected) in table {
        assert_eq!(package_json::touches_scripts(patch), expected, "{patch}");
        let mut set = changes(&["M package.json"]);
        set.files[0].patch = Some(patch.into());
        assert_eq!(judge(&job(Some(&["."]), &[]), &set).is_empty(), !expected, "{patch}");
    }
}

#[test]
fn a_check_s_own_files_need_their_name() {
    let table: &[(&str, &[&str])] = &[
        ("npm test", &[]),
        ("./scripts/test.sh --fast", &["scripts/test.sh"]),
        ("bash ci/run.sh", &["ci/run.sh"]),
        ("cd x && python3.11 tools/check.py a.py", &["tools/check.py", "x/tools/check.py"]),
        ("cd sub/dir; ./run.sh", &["run.sh", "sub/dir/run.sh"]),
        (
            "make -C sub test",
            &["GNUmakefile", "Makefile", "makefile", "sub/GNUmakefile", "sub/Makefile", "sub/makefile"],
        ),
        ("nice -n 10 ./x.sh", &["x.sh"]),
        ("timeout -k 5 60 sh x.sh", &["x.sh"]),
        ("bash -lc 'cd a && ./b.sh'", &["a/b.sh", "b.sh"]),
        ("sh -ec \"python3 t.py\"", &["t.py"]),
        ("npx --yes tsx run.ts", &["run.ts"]),
        ("python -m pytest tests/test_a.py", &[]),
        ("pytest tests/test_a.py", &[]),
        ("CI=1 timeout 60 sh -eu 'my run.sh'", &["my run.sh"]),
        ("make -f build/x.mk test", &["GNUmakefile", "Makefile", "build/x.mk", "makefile"]),
        ("npx jest --config jest.ci.js", &["jest.ci.js"]),
        ("tox -e py", &["tox.ini"]),
        ("cargo test && ./x.sh | tee log", &["x.sh"]),
        ("/usr/bin/env bash ../up.sh", &[]),
        ("node --test", &[]),
        ("node test.js", &["test.js"]),
        ("./gradlew test", &["gradle/wrapper/gradle-wrapper.properties", "gradlew"]),
        ("", &[]),
        ("'unclosed \"", &[]),
    ];
    for (command, expected) in table {
        assert_eq!(commands::files_of(command), *expected, "{command}");
    }
    let with_check = job(Some(&["scripts", "src"]), &["./scripts/test.sh"]);
    assert_eq!(judge(&with_check, &changes(&["M scripts/test.sh"])), ["deny check-file scripts/test.sh"]);
    assert_eq!(judge(&with_check, &changes(&["D scripts/test.sh"])), ["deny check-file scripts/test.sh"]);
    assert_eq!(
        judge(&with_check, &changes(&["R scripts/test.sh -> scripts/t.sh"])),
        ["deny check-file scripts/t.sh"]
    );
    let named = job(Some(&["scripts/test.sh", "src"]), &["./scripts/test.sh"]);
    assert_eq!(judge(&named, &changes(&["M scripts/test.sh"])), [] as [&str; 0]);
}

#[test]
fn limits_and_internals() {
    let mut set = changes(&["M src/a"]);
    set.internals_changed = vec!["config".into(), "hooks/post-commit".into()];
    assert_eq!(judge(&job(None, &[]), &set), ["deny internals-changed -"]);
    let mut limited = job(Some(&["src"]), &[]);
    limited.scope.as_mut().unwrap().max_diff_bytes = Some(99);
    assert_eq!(judge(&limited, &changes(&["M src/a"])), ["deny diff-too-large -"]);
    limited.scope.as_mut().unwrap().max_diff_bytes = Some(100);
    assert_eq!(judge(&limited, &changes(&["M src/a"])), [] as [&str; 0]);
    let mut capped = changes(&["M src/a"]);
    capped.total_files = 5000;
    assert_eq!(judge(&job(Some(&["src"]), &[]), &capped), ["deny unjudged-files -"]);
    assert_eq!(judge(&job(None, &[]), &capped), ["warn unjudged-files -"]);
    let many: Vec<String> = (0..500).map(|i| format!("A out/{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let found = judge(&job(Some(&["src"]), &[]), &changes(&many));
    assert_eq!(found.len(), 101, "one hundred, and one that counts the rest");
    let config = Config { max_files: Some(3), max_diff_bytes: Some(10), ..Config::default() };
    let found = ScopePolicy::try_from(config)
        .unwrap()
        .check(&job(None, &[]), &changes(&["A a", "A b", "A c", "A d"]));
    let rules: Vec<&str> = found.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!(rules, ["diff-too-large", "too-many-files"]);
}

#[test]
fn a_file_system_that_folds_admits_what_it_takes_for_the_same() {
    let mut set = changes(&["M SRC/a.rs"]);
    assert_eq!(judge(&job(Some(&["src"]), &[]), &set), ["deny out-of-scope SRC/a.rs"]);
    set.case_insensitive = true;
    assert_eq!(judge(&job(Some(&["src"]), &[]), &set), [] as [&str; 0]);
}

#[test]
fn messages_say_what_would_have_been_right() {
    let scope = ScopePolicy::try_from(Config::default()).unwrap();
    let found = scope.check(&job(Some(&["*.rs"]), &[]), &changes(&["M src/a.rs"]));
    assert_eq!(
        found[0].message,
        "`src/a.rs` was changed, outside the scope (`*.rs`); `*` does not cross `/`: `**/*.rs` would admit it"
    );
    assert_eq!(found[0].remedy.as_deref(), Some("restore `src/a.rs` exactly as it was before the job"));
    let found = scope.check(&job(Some(&["Src"]), &[]), &changes(&["A src/a.rs"]));
    assert!(
        found[0].message.ends_with("it differs from `Src` in case or Unicode form only"),
        "{}",
        found[0].message
    );
    assert_eq!(found[0].remedy.as_deref(), Some("delete `src/a.rs`"));
}

fn any_spec() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "src/a.rs",
        "src/b.rs",
        "lib/c.rs",
        "Makefile",
        ".github/workflows/x.yml",
        "package.json",
        "SRC/a.rs",
        "a\nb",
        ".claude/x",
        "docs/d.md",
        "src",
    ]);
    (prop::sample::select(vec!["A", "M", "D", "X", "I", "H", "G", "N", "L"]), path).prop_map(
        |(mark, path)| if mark == "L" { format!("L {path} => ../x") } else { format!("{mark} {path}") },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_files_does_not_matter(specs in prop::collection::vec(any_spec(), 0..8), seed in any::<u64>()) {
        let mut set = changes(&specs.iter().map(String::as_str).collect::<Vec<_>>());
        // Distinct paths, as in a real change set.
        set.files.sort_by(|a, b| a.path.cmp(&b.path));
        set.files.dedup_by(|a, b| a.path == b.path);
        set.total_files = set.files.len() as u32;
        let job = job(Some(&["src", "docs"]), &["make test"]);
        let before = judge(&job, &set);
        let shift = if set.files.is_empty() { 0 } else { (seed % set.files.len() as u64) as usize };
        set.files.rotate_left(shift);
        prop_assert_eq!(&before, &judge(&job, &set));
        set.files.reverse();
        prop_assert_eq!(&before, &judge(&job, &set));
    }

    #[test]
    fn one_more_file_outside_never_helps(specs in prop::collection::vec(any_spec(), 0..6), mark in prop::sample::select(vec!["A", "M", "D"])) {
        let job = job(Some(&["src"]), &[]);
        let set = changes(&specs.iter().map(String::as_str).collect::<Vec<_>>());
        let mut more = specs.clone();
        more.push(format!("{mark} outside/x"));
        let after = judge(&job, &changes(&more.iter().map(String::as_str).collect::<Vec<_>>()));
        prop_assert!(after.iter().any(|f| f.starts_with("deny ")));
        for before in judge(&job, &set).iter().filter(|f| f.starts_with("deny ")) {
            prop_assert!(after.contains(before), "{} was lost", before);
        }
    }

    #[test]
    fn total_on_any_declaration_and_path(entry in any::<String>(), path in any::<String>(), command in any::<String>(), patch in any::<String>(), target in any::<Option<String>>()) {
        let mut set = changes(&["A x"]);
        set.files[0].path = path;
        set.files[0].patch = Some(patch);
        set.files[0].new_kind = FileKind::Symlink;
        set.files[0].symlink_target = target;
        let found = ScopePolicy::try_from(Config::default()).unwrap().check(&job(Some(&[&entry]), &[&command]), &set);
        prop_assert!(found.iter().all(|f| f.severity >= Severity::Deny));
    }
}

/// The rules are documented where people look for them.
#[test]
fn every_rule_is_documented() {
    let page = include_str!("../../../docs/policies.md");
    let source = include_str!("rules.rs");
    // The first argument of each call of `finding`.
    let rules: Vec<&str> = source
        .match_indices("finding(\n")
        .filter_map(|(at, _)| source[at..].split('"').nth(1))
        .filter(|rule| !rule.contains(' '))
        .collect();
    assert!(rules.len() > 15, "{rules:?}");
    for rule in rules {
        assert!(page.contains(&format!("| `{rule}` |")), "docs/policies.md does not tell of {rule}");
    }
}
