//! Tests that are switched off, made unreachable, reversed or left aside.

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};
use crate::paths::{self, Language};

use super::definitions::defines_test;

/// `it.skip`, `test.concurrent.skip.each`, `describe['skip']`, `test.runIf(false)`.
fn javascript_skip(code: &str, bare: &str) -> bool {
    const OWNERS: &[&str] = &["it", "test", "describe", "suite", "context", "bench"];
    const MARKS: &[&str] =
        &["skip", "todo", "fails", "failing", "fixme", "skipIf", "runIf", "if", "todoIf", "failingIf"];
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
    let by_dot = OWNERS.iter().any(|owner| {
        bare.match_indices(owner).any(|(at, _)| {
            let starts = bare[..at].chars().next_back().is_none_or(|c| !word(c));
            let chain: &str = &bare[at + owner.len()..];
            let end = chain.find(|c: char| !word(c)).unwrap_or(chain.len());
            starts && chain[..end].split('.').skip(1).any(|part| MARKS.contains(&part))
        })
    });
    let by_index = ["'", "\"", "`"].iter().any(|q| {
        ["skip", "todo"]
            .iter()
            .any(|mark| OWNERS.iter().any(|owner| code.contains(&format!("{owner}[{q}{mark}{q}]"))))
    });
    by_dot || by_index
}

/// The checks run with CI=1: a test that gives up there says nothing.
fn gives_up_on_ci(line: &Line<'_>) -> bool {
    const ON_CI: &[&str] = &[
        "process.env.CI",
        "environ.get(\"CI\"",
        "environ.get('CI'",
        "environ[\"CI\"",
        "environ['CI'",
        "\"CI\" in os.environ",
        "'CI' in os.environ",
        "getenv(\"CI\"",
        "getenv('CI'",
        "Getenv(\"CI\"",
        "env::var(\"CI\"",
        "env::var_os(\"CI\"",
        "ENV['CI']",
        "ENV[\"CI\"]",
    ];
    ON_CI.iter().any(|form| line.code.contains(form))
        && ["return", "skip", "exit", "pass"].iter().any(|word| line.bare.contains(word))
}

fn has_skip(line: &Line<'_>, language: Language) -> bool {
    let code = line.bare.as_ref();
    let trimmed = code.trim_start();
    if gives_up_on_ci(line) {
        return true;
    }
    let any = |marks: &[&str]| marks.iter().any(|mark| code.contains(mark));
    let starts = |marks: &[&str]| marks.iter().any(|mark| trimmed.starts_with(mark));
    match language {
        Language::Python => {
            any(&[
                "mark.skip",
                "mark.xfail",
                "pytest.importorskip(",
                "pytest.exit(",
                "pytest.skip(",
                "pytest.xfail(",
                "unittest.skip",
                ".skipTest(",
                "SkipTest",
                "expectedFailure",
                "collect_ignore",
            ]) || starts(&["@skip", "__test__ = False"])
        }
        Language::JavaScript => {
            javascript_skip(&line.code, code)
                || ["this.skip(", "t.skip(", "ctx.skip(", "context.skip("]
                    .iter()
                    .any(|form| trimmed.starts_with(form))
                || any(&["{ skip: true", "{skip: true", "{ todo: true", "{todo: true"])
                || starts(&[
                    "xit(",
                    "xit.",
                    "xdescribe(",
                    "xdescribe.",
                    "xtest(",
                    "xtest.",
                    "xcontext(",
                    "pending(",
                ])
        }
        Language::Rust => {
            starts(&[
                "#[ignore",
                "#[cfg(any())]",
                "#[cfg(FALSE)]",
                "#[cfg(false)]",
                "#[cfg(never",
                "#[cfg(not(test))]",
            ]) || trimmed.starts_with("#[cfg_attr(") && any(&["ignore"])
        }
        Language::Go => any(&["t.Skip(", "t.SkipNow(", "t.Skipf(", "b.Skip(", "tb.Skip("]),
        Language::Braces => {
            starts(&["@Disabled", "@Ignore", "[Ignore"])
                || any(&[
                    "Skip = \"",
                    "markTestSkipped(",
                    "markTestIncomplete(",
                    "XCTSkip",
                    "assumeTrue(false",
                    "assumeFalse(true",
                    "assumeThat(false",
                    "Assume.That(false",
                    "throw new SkipException",
                    "GTEST_SKIP(",
                    "enabled = false",
                ])
        }
        Language::Ruby => {
            starts(&[
                "skip ",
                "skip(",
                "skip\"",
                "pending ",
                "pending(",
                "xit ",
                "xdescribe ",
                "xcontext ",
                "@tag :skip",
            ]) || trimmed == "skip"
        }
        Language::Shell => starts(&["skip ", "skip\""]) || trimmed == "skip",
        Language::Config | Language::Data | Language::Prose => false,
    }
}

pub fn skipped(file: &File<'_>, findings: &mut Findings<'_>) {
    // A build tag is a comment to the language.
    let tag = |line: &&Line<'_>| line.text.starts_with("//go:build") || line.text.starts_with("// +build");
    let go_tag = file.added().find(tag).filter(|_| file.language == Language::Go && file.existed());
    let dead = dead_code(file);
    let reversed = reversed(file);
    let first = file.added().find(|line| has_skip(line, file.language)).or(go_tag).or(dead).or(reversed);
    let Some(first) = first else { return };
    let counts = |mark| file.lines().filter(|l| l.mark == mark && has_skip(l, file.language)).count();
    if counts(Mark::Added) <= counts(Mark::Removed)
        && go_tag.is_none()
        && dead.is_none()
        && reversed.is_none()
    {
        return; // Moved, not added.
    }
    // A new file or test takes nothing away that ran before; what speaks for a directory may.
    let for_others = matches!(paths::base(file.path), "conftest.py" | "__init__.py");
    let old = file.added().find(|line| has_skip(line, file.language) && !of_new_test(file, line));
    let takes_away = old.is_some() || go_tag.is_some() || dead.is_some() || reversed.is_some();
    let first = old.unwrap_or(first);
    let severity = if file.existed() && takes_away || for_others {
        codex_worker_policy::Severity::Deny
    } else {
        codex_worker_policy::Severity::Warn
    };
    findings.add_as(
        "test-skipped",
        severity,
        Some((file.path, first.number)),
        format!("a test is switched off: {}", quote(first.text)),
        "take the marker out and make the test pass; a job that may skip tests names their file in its scope",
    );
}

/// The marker belongs to a test that the change itself adds.
fn of_new_test(file: &File<'_>, marker: &Line<'_>) -> bool {
    let Some(hunk) = file.hunks.iter().find(|hunk| hunk.iter().any(|l| std::ptr::eq(l, marker))) else {
        return false;
    };
    let Some(at) = hunk.iter().position(|l| std::ptr::eq(l, marker)) else { return false };
    // Where a test went away, this may be the one.
    if hunk.iter().any(|l| l.mark == Mark::Removed && is_head(l, file.language)) {
        return false;
    }
    if is_head(marker, file.language) {
        return true;
    }
    let decorates = marker.bare.trim_start().starts_with(['@', '#', '[']);
    let head = if decorates {
        hunk[at + 1..].iter().filter(|l| l.mark != Mark::Removed).take(8).find(|l| is_head(l, file.language))
    } else {
        hunk[..at].iter().rev().filter(|l| l.mark != Mark::Removed).find(|l| is_head(l, file.language))
    };
    head.is_some_and(|head| head.mark == Mark::Added)
}

/// The line on which a test, or a group of them, begins.
fn is_head(line: &Line<'_>, language: Language) -> bool {
    let code = line.bare.trim_start();
    let starts = |forms: &[&str]| forms.iter().any(|form| code.starts_with(form));
    match language {
        Language::Python => starts(&["def ", "async def ", "class "]),
        Language::Rust => starts(&["fn ", "async fn ", "pub fn ", "mod "]),
        Language::Go => starts(&["func "]),
        Language::JavaScript => {
            starts(&["it", "test", "describe", "suite", "xit", "xtest", "xdescribe"]) && code.contains('(')
        }
        Language::Braces => {
            (code.contains("void ")
                || code.contains("fun ")
                || code.contains("func ")
                || code.contains("class "))
                && code.contains(['(', '{'])
        }
        Language::Ruby => starts(&["it ", "xit ", "describe ", "def ", "test ", "context "]),
        _ => false,
    }
}

/// Code of tests that can no longer be reached: a bare return above lines of the same depth,
/// or a block comment opened above a test.
fn dead_code<'a, 'b>(file: &'a File<'b>) -> Option<&'a Line<'b>> {
    if !file.existed() {
        return None;
    }
    let depth = |line: &Line<'_>| line.text.len() - line.text.trim_start().len();
    for hunk in &file.hunks {
        for (index, line) in hunk.iter().enumerate().filter(|(_, line)| line.mark == Mark::Added) {
            let mut after = hunk[index + 1..].iter().filter(|l| l.mark != Mark::Removed);
            let bare = line.bare.trim().trim_end_matches(';');
            let text = line.text.trim();
            if file.in_tests
                && matches!(bare, "return" | "return None" | "return undefined" | "return Ok(())")
            {
                let next = after.next();
                let unreachable = next.is_some_and(|next| {
                    let code = next.code.trim();
                    next.mark == Mark::Context
                        && depth(next) == depth(line)
                        && !code.is_empty()
                        && !code.starts_with(['}', ')', ']', '#', '@'])
                        && !["case ", "default", "else", "elif ", "end", "def ", "func ", "fn ", "class "]
                            .iter()
                            .any(|start| code.starts_with(start))
                });
                if unreachable {
                    return Some(line);
                }
            } else if (text.starts_with("/*") && !text.contains("*/") && !text.starts_with("/**")
                || file.language == Language::Python && matches!(text, "\"\"\"" | "'''"))
                && after
                    .take_while(|l| l.mark == Mark::Context)
                    .take(30)
                    .any(|l| defines_test(l, file.language))
            {
                return Some(line);
            }
        }
    }
    None
}

/// `#[should_panic]` on a test that was there: what failed then passes.
fn reversed<'a, 'b>(file: &'a File<'b>) -> Option<&'a Line<'b>> {
    let is = |line: &&Line<'_>| line.bare.trim_start().starts_with("#[should_panic");
    let tests = file.added().filter(|line| defines_test(line, file.language)).count();
    let (added, removed) = (file.added().filter(is).count(), file.removed().filter(is).count());
    if file.language != Language::Rust || added <= removed + tests {
        return None;
    }
    file.added().find(is)
}

pub fn focused(file: &File<'_>, findings: &mut Findings<'_>) {
    let focus = |line: &&Line<'_>| {
        let code = line.bare.as_ref();
        let trimmed = code.trim_start();
        let marks = [
            "it.only(",
            "test.only(",
            "describe.only(",
            "suite.only(",
            "context.only(",
            ".only.each",
            "fdescribe(",
            "fcontext(",
        ];
        file.language == Language::JavaScript
            && (marks.iter().any(|mark| code.contains(mark)) || trimmed.starts_with("fit("))
            || file.language == Language::Ruby
                && (trimmed.starts_with("fit ") || trimmed.starts_with("fdescribe "))
    };
    if let Some(line) = file.added().find(focus) {
        findings.add(
            "test-focused",
            Some((file.path, line.number)),
            format!("only some tests run: {}", quote(line.text)),
            "take the focus out, so that all tests run",
        );
    }
}
