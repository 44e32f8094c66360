//! The acceptance cases of a scope declaration, one test each. What only the host can see
//! (untracked directories, the base commit, a dirty start, `.git` taken away, …) has its
//! tests in `host/src/evidence/tests` and `tests/e2e/escape.rs`.

use super::*;

#[test]
fn case_01_prefixes_are_compared_by_component() {
    for (entry, path, inside) in [
        ("src", "src/x", true),
        ("src", "src2/x", false),
        ("src", "src.rs", false),
        ("src/", "src/x", true),
        ("./src", "src/x", true),
        ("src//a", "src/a/x", true),
        (".", "any/x", true),
        ("", "any/x", true),
    ] {
        let expected = format!("deny out-of-scope {path}");
        let expected: &[&str] = if inside { &[] } else { &[&expected] };
        check(entry, Some(&[entry]), &[&format!("M {path}")], expected);
    }
    check("an empty list means everything", Some(&[]), &["M any/x"], &[]);
}

#[test]
fn case_02_declarations_that_lead_out_are_refused_and_dots_in_a_name_are_not() {
    for entry in ["../x", "a/../b", "/etc", "C:\\x", "c:/x", "\\\\server\\share", "a\0b", "src\\lib"] {
        assert_eq!(
            judge(&job(Some(&[entry]), &[]), &changes(&["M src/a"])),
            ["deny bad-scope -"],
            "{entry:?}"
        );
    }
    check("a file called ..foo", Some(&["..foo"]), &["M ..foo", "A ..foo/x"], &[]);
}

#[test]
fn case_03_a_glob_stays_in_its_component_and_there_are_no_exceptions() {
    check("one level", Some(&["src/*.rs"]), &["M src/a.rs"], &[]);
    check("not two", Some(&["src/*.rs"]), &["M src/b/a.rs"], &["deny out-of-scope src/b/a.rs"]);
    check("any depth", Some(&["src/**/*.rs"]), &["M src/b/c/a.rs"], &[]);
    check("exception", Some(&["src", "!src/a.rs"]), &["M src/a.rs"], &["deny bad-scope -"]);
}

#[test]
fn case_04_case_counts_unless_the_file_system_folds_it() {
    let mut set = changes(&["M SRC/a"]);
    assert_eq!(judge(&job(Some(&["src"]), &[]), &set), ["deny out-of-scope SRC/a"]);
    set.case_insensitive = true;
    assert_eq!(judge(&job(Some(&["src"]), &[]), &set), [] as [&str; 0]);
}

#[test]
fn case_05_twins_in_case_or_unicode_form_are_denied() {
    check("case", Some(&["."]), &["A src/A.rs", "M src/a.rs"], &["deny name-twin src/A.rs"]);
    check("form", Some(&["."]), &["A caf\u{e9}", "A cafe\u{301}"], &["deny name-twin cafe\u{301}"]);
    let mut set = changes(&["M cafe\u{301}/x"]);
    set.case_insensitive = true;
    assert_eq!(judge(&job(Some(&["caf\u{e9}"]), &[]), &set), [] as [&str; 0], "NFC of both is compared");
}

#[test]
fn case_06_a_rename_needs_both_paths_inside() {
    check("within", Some(&["src"]), &["R src/a -> src/b"], &[]);
    check("out", Some(&["src"]), &["R src/a -> lib/a"], &["deny out-of-scope lib/a"]);
    check("in", Some(&["src"]), &["R lib/a -> src/a"], &["deny out-of-scope src/a"]);
}

#[test]
fn case_07_deletions_modes_and_types_count() {
    check("delete", Some(&["src"]), &["D lib/x"], &["deny out-of-scope lib/x"]);
    check("mode", Some(&["src"]), &["X lib/x"], &["deny out-of-scope lib/x"]);
    check("file to symlink", Some(&["src"]), &["T lib/x => ../src/a"], &["deny out-of-scope lib/x"]);
    check(
        "directory to symlink",
        Some(&["src"]),
        &["L lib => src", "D lib/x"],
        &["deny out-of-scope lib", "deny out-of-scope lib/x"],
    );
}

#[test]
fn case_08_a_symlink_must_point_inside_and_no_scope_root_becomes_one() {
    check("inside", Some(&["src"]), &["L src/l => a.rs"], &[]);
    check("outside the scope", Some(&["src"]), &["L l => src/a.rs"], &["deny out-of-scope l"]);
    for target in ["../../etc", "/etc/passwd", "a/../../..", "../.git/hooks"] {
        check(target, Some(&["src"]), &[&format!("L src/l => {target}")], &["deny symlink-escape src/l"]);
    }
    check("the scope's root", Some(&["src"]), &["T src => lib"], &["deny scope-root-replaced src"]);
}

#[test]
fn case_09_a_hard_link_warns() {
    check("hard link", Some(&["src"]), &["H src/a"], &["warn hard-link src/a"]);
}

#[test]
fn case_10_submodules_and_nested_repositories_need_more_than_a_wide_scope() {
    check("gitlink", Some(&["."]), &["G vendor/x"], &["deny submodule-changed vendor/x"]);
    check("by name", Some(&["vendor/x"]), &["G vendor/x"], &[]);
    check("gitmodules", Some(&["."]), &["M .gitmodules"], &["deny sensitive-file .gitmodules"]);
    check("nested", Some(&["."]), &["N vendor/x"], &["deny nested-repository vendor/x"]);
    check("a .git anywhere", Some(&["."]), &["A a/.git/config"], &["deny sensitive-file a/.git/config"]);
}

#[test]
fn case_11_what_runs_later_needs_its_name_and_so_do_the_check_s_own_files() {
    for path in [
        ".gitattributes",
        ".gitignore",
        ".gitmodules",
        ".github/workflows/ci.yml",
        ".githooks/pre-commit",
        ".husky/pre-push",
        ".vscode/tasks.json",
        ".envrc",
        "Makefile",
        ".gitlab-ci.yml",
    ] {
        check(path, Some(&["."]), &[&format!("M {path}")], &[&format!("deny sensitive-file {path}")]);
        check(path, Some(&[path]), &[&format!("M {path}")], &[]);
    }
    let mut scripts = changes(&["M package.json"]);
    scripts.files[0].patch = Some("@@ -1 +1,2 @@\n+  \"scripts\": { \"test\": \"true\" },\n".into());
    assert_eq!(judge(&job(Some(&["."]), &[]), &scripts), ["deny sensitive-file package.json"]);
    let checked = job(Some(&["."]), &["./tools/check.sh"]);
    assert_eq!(judge(&checked, &changes(&["M tools/check.sh"])), ["deny check-file tools/check.sh"]);
    let named = job(Some(&["tools/check.sh"]), &["./tools/check.sh"]);
    assert_eq!(judge(&named, &changes(&["M tools/check.sh"])), [] as [&str; 0]);
}

#[test]
fn case_12_configuration_of_agents_needs_its_name() {
    for path in [".claude/settings.json", ".codex/config.toml", ".mcp.json", "CLAUDE.md", "sub/AGENTS.md"] {
        check(path, Some(&["."]), &[&format!("A {path}")], &[&format!("deny sensitive-file {path}")]);
        check(path, Some(&[path]), &[&format!("A {path}")], &[]);
    }
}

#[test]
fn case_13_ignored_files_are_counted_with_their_directories() {
    let set = changes(&["I target/a", "I target/b", "I x.log"]);
    let found = ScopePolicy::try_from(Config::default()).unwrap().check(&job(Some(&["src"]), &[]), &set);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].message,
        "3 changed files are hidden by git's ignore rules: `target/` (2), `x.log` (1)"
    );
}

#[test]
fn case_15_names_of_any_bytes_are_judged_and_shown_safely() {
    check("0xff", Some(&["src"]), &["A src/\\xff"], &[]);
    check("0xff outside", Some(&["src"]), &["A lib/\\xff"], &["deny out-of-scope lib/\\xff"]);
    check("a tab", Some(&["src"]), &["A src/a\tb"], &["warn deceptive-name src/a\tb"]);
    check("a quote", Some(&["src"]), &["A src/a\"b"], &[]);
    let set = changes(&["A lib/a\n\u{202e}b"]);
    let found = ScopePolicy::try_from(Config::default()).unwrap().check(&job(Some(&["src"]), &[]), &set);
    for finding in found {
        let remedy = finding.remedy.unwrap_or_default();
        assert!(!(finding.message + &remedy).contains(['\n', '\u{202e}']));
    }
}

#[test]
fn case_17_a_binary_file_counts_like_any_other() {
    let mut set = changes(&["A lib/x.png"]);
    (set.files[0].binary, set.files[0].patch) = (true, None);
    assert_eq!(judge(&job(Some(&["src"]), &[]), &set), ["deny out-of-scope lib/x.png"]);
    assert_eq!(judge(&job(Some(&["lib"]), &[]), &set), [] as [&str; 0]);
}

#[test]
fn case_18_too_large_is_denied_and_what_was_not_listed_is_not_let_through() {
    let mut limited = job(Some(&["src"]), &[]);
    limited.scope.as_mut().unwrap().max_diff_bytes = Some(99);
    assert_eq!(judge(&limited, &changes(&["M src/a"])), ["deny diff-too-large -"]);
    let mut capped = changes(&["M src/a"]);
    capped.total_files = 20_000;
    assert_eq!(judge(&job(Some(&["src"]), &[]), &capped), ["deny unjudged-files -"]);
}
