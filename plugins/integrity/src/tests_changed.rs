//! What was done to tests: taken away, skipped, weakened, focused, their expectations
//! edited. A test file that the scope names by its path may be changed at will.

use codex_worker_policy::{ChangeKind, CheckResult, CheckStatus, FileKind, JobFacts};

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, named, quote};
use crate::paths::{self, Language};

/// All rules about test files.
pub fn judge(job: &JobFacts, files: &[File<'_>], checks: &[CheckResult], findings: &mut Findings<'_>) {
    removed(job, files, findings);
    functions_removed(job, files, checks, findings);
    for file in files {
        if named(job, file.path) || file.file.old_path.as_deref().is_some_and(|old| named(job, old)) {
            continue;
        }
        let rust = file.language == Language::Rust;
        if file.in_tests || rust {
            skipped(file, findings);
        }
        if file.in_tests {
            focused(file, findings);
            assertions(file, findings);
            swallowed_or_fewer_cases(file, findings);
            expectations(file, findings);
        }
    }
}

fn removed(job: &JobFacts, files: &[File<'_>], findings: &mut Findings<'_>) {
    for file in files {
        let old = file.file.old_path.as_deref().unwrap_or(file.path);
        if !paths::is_test(old) || named(job, old) || file.file.kind == ChangeKind::Added {
            continue;
        }
        let remedy = "put the test file back; a job that may remove it names it in its scope";
        match file.file.kind {
            ChangeKind::Deleted => {
                // Moved and edited, so that git saw no rename.
                let moved = files.iter().any(|other| {
                    other.file.kind == ChangeKind::Added
                        && paths::is_test(other.path)
                        && paths::base(other.path) == paths::base(old)
                        && other.file.added_lines.saturating_mul(5)
                            >= file.file.deleted_lines.saturating_mul(4)
                });
                if !moved {
                    findings.add(
                        "test-removed",
                        Some((file.path, 0)),
                        format!("the test file `{old}` was deleted"),
                        remedy,
                    );
                }
            }
            ChangeKind::Renamed if !paths::is_test(file.path) => {
                let message =
                    format!("the test file `{old}` was renamed to `{}`, which no runner collects", file.path);
                findings.add("test-removed", Some((file.path, 0)), message, remedy);
            }
            _ if file.file.new_kind == FileKind::Symlink => {
                findings.add(
                    "test-removed",
                    Some((file.path, 0)),
                    format!("the test file `{old}` became a symlink"),
                    remedy,
                );
            }
            _ if file.file.size == 0 && file.file.deleted_lines > 0 && file.file.added_lines == 0 => {
                findings.add(
                    "test-removed",
                    Some((file.path, 0)),
                    format!("the test file `{old}` was emptied"),
                    remedy,
                );
            }
            _ => {}
        }
    }
}

/// How many tests a line defines: none or one.
fn defines_test(line: &Line<'_>, language: Language) -> bool {
    let code = line.bare.trim_start();
    let starts = |starts: &[&str]| starts.iter().any(|start| code.starts_with(start));
    match language {
        Language::Python => starts(&["def test", "async def test"]),
        Language::JavaScript => starts(&[
            "it(",
            "test(",
            "it.each",
            "test.each",
            "specify(",
            "it.concurrent",
            "test.concurrent",
            "it.skip",
            "test.skip",
            "it.only",
            "test.only",
            "it.fails",
            "it.failing",
            "test.fails",
            "test.failing",
            "xit(",
            "xtest(",
        ]),
        Language::Rust => starts(&[
            "#[test]",
            "#[tokio::test",
            "#[rstest",
            "#[test_case",
            "#[async_std::test",
            "#[wasm_bindgen_test",
        ]),
        Language::Go => starts(&["func Test"]),
        Language::Ruby => starts(&["it \"", "it '", "it(", "test \"", "specify ", "def test_"]),
        Language::Braces => starts(&[
            "@Test",
            "@ParameterizedTest",
            "[Fact",
            "[Test]",
            "[Theory",
            "[TestMethod",
            "#[Test]",
            "public function test",
            "func test",
            "TEST(",
            "TEST_F(",
            "TEST_P(",
        ]),
        Language::Shell => starts(&["@test "]),
        Language::Config | Language::Data | Language::Prose => false,
    }
}

fn functions_removed(
    job: &JobFacts,
    files: &[File<'_>],
    checks: &[CheckResult],
    findings: &mut Findings<'_>,
) {
    // Runs before and after say it better than the text does.
    if checks.iter().any(crate::outcome::counts_held) {
        return;
    }
    let mut net = 0i64;
    let mut worst: Option<(i64, &File<'_>, u32, String)> = None;
    for file in files {
        // A deleted test file has a rule of its own.
        if !(file.in_tests || file.language == Language::Rust) || file.file.new_kind == FileKind::Absent {
            continue;
        }
        if file.file.patch_truncated {
            continue; // What is left of it would be miscounted.
        }
        let mut change = 0i64;
        for line in
            file.lines().filter(|line| line.mark != Mark::Context && defines_test(line, file.language))
        {
            change += if line.mark == Mark::Added { 1 } else { -1 };
        }
        change -= modules_removed(file);
        if change < 0 && named(job, file.path) {
            continue;
        }
        net += change;
        if change < 0 && worst.as_ref().is_none_or(|(least, ..)| change < *least) {
            let first = file
                .removed()
                .find(|line| defines_test(line, file.language) || is_test_module(line, file.language));
            let (number, text) = first.map_or((0, String::new()), |line| (line.number, quote(line.text)));
            worst = Some((change, file, number, text));
        }
    }
    if net < 0
        && let Some((_, file, number, text)) = worst
    {
        let message =
            format!("{} tests fewer are defined than before, such as {text} in `{}`", -net, file.path);
        let remedy = "put the tests back; a job that may remove them names their file in its scope";
        findings.add("test-functions-removed", Some((file.path, number)), message, remedy);
    }
}

/// A module of tests that is no longer compiled takes at least one test away.
fn modules_removed(file: &File<'_>) -> i64 {
    let count =
        |mark| file.lines().filter(|l| l.mark == mark && is_test_module(l, file.language)).count() as i64;
    (count(Mark::Removed) - count(Mark::Added)).max(0)
}

fn is_test_module(line: &Line<'_>, language: Language) -> bool {
    let code = line.bare.trim();
    language == Language::Rust
        && (code == "#[cfg(test)]"
            || ["mod test", "pub mod test"].iter().any(|start| code.starts_with(start))
                && code.ends_with(';'))
}

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

fn has_skip(line: &Line<'_>, language: Language) -> bool {
    let code = line.bare.as_ref();
    let trimmed = code.trim_start();
    // The checks run with CI=1: a test that gives up there says nothing.
    let on_ci = [
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
    if on_ci.iter().any(|form| line.code.contains(form))
        && ["return", "skip", "exit", "pass"].iter().any(|word| code.contains(word))
    {
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

fn skipped(file: &File<'_>, findings: &mut Findings<'_>) {
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

fn focused(file: &File<'_>, findings: &mut Findings<'_>) {
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

fn is_assertion(code: &str, language: Language) -> bool {
    let trimmed = code.trim_start();
    match language {
        Language::Python => {
            trimmed.starts_with("assert ")
                || trimmed.starts_with("assert(")
                || trimmed.contains("self.assert")
                || trimmed.contains("pytest.raises(")
        }
        Language::JavaScript => {
            trimmed.contains("expect(") || trimmed.contains("assert") || trimmed.contains(".should")
        }
        Language::Rust => {
            trimmed.contains("assert!(")
                || trimmed.contains("assert_eq!(")
                || trimmed.contains("assert_ne!(")
                || trimmed.contains("assert_matches!(")
        }
        Language::Go => {
            trimmed.contains("t.Error")
                || trimmed.contains("t.Fatal")
                || trimmed.contains("assert.")
                || trimmed.contains("require.")
        }
        Language::Ruby => {
            trimmed.contains("expect(") || trimmed.starts_with("assert") || trimmed.contains(".should")
        }
        Language::Braces => {
            trimmed.contains("assert") || trimmed.contains("Assert") || trimmed.contains("EXPECT_")
        }
        _ => false,
    }
}

const STRONG: &[&str] = &[
    " == ",
    ".toBe(",
    ".toEqual(",
    ".toStrictEqual(",
    "assertEqual(",
    "assertEquals(",
    "assert_eq!(",
    ".Equal(",
    "deepEqual(",
    "strictEqual(",
    "assertListEqual(",
    "assertDictEqual(",
    "EXPECT_EQ(",
    "isEqualTo(",
    "to eq",
    "assert_equal",
    "toThrow(",
    "AreEqual(",
    "assertSame(",
];
const WEAK: &[&str] = &[
    ".toBeDefined(",
    ".toBeTruthy(",
    ".not.toBeNull(",
    ".not.toBeUndefined(",
    "expect.anything(",
    "assertIsNotNone(",
    "assertTrue(",
    "assertIn(",
    " in ",
    "is not None",
    "is_ok()",
    "is_some()",
    ".ok(",
    "isNotNull(",
    "assertNotNull(",
    "NotNil(",
    "not_to be_nil",
    "be_truthy",
    ">= 0",
    "is_err()",
    "isinstance(",
    "!= ",
    ".toContain(",
    "assert_ne!(",
    ".toMatchObject(",
    "EXPECT_TRUE(",
    "len(",
];

/// An assertion that cannot fail.
fn is_empty_assertion(code: &str) -> bool {
    let packed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let lower = packed.to_ascii_lowercase();
    let whole = ["asserttrue", "assert1", "assert1==1", "asserttrue==true", "assertnotfalse"];
    whole.contains(&lower.trim_end_matches(';'))
        || same_on_both_sides(code)
        || ["asserttrueor", "assert1or", "assert(trueor", "assert!(true||", "assert(true||", "expect(true||"]
            .iter()
            .any(|form| lower.starts_with(form))
        || ["||true)", "||true);", "||true,"].iter().any(|form| lower.contains(form))
        || [
            "asserttrue(true",
            "assert(true)",
            "assert!(true",
            "assert.ok(true",
            "assert.istrue(true",
            "assert.true(true",
            "assert.true(t,true",
            "expect(true).tobe(true",
            "expect(true).tobetruthy(",
            "expect(1).tobe(1",
            "expect(1).toequal(1",
            "expect(true).toequal(true",
            "assertequal(1,1",
            "assertequal(true,true",
            "assert_eq!(1,1",
            "assert_eq!(true,true",
            "expect(true).to.be.true",
            "assertfalse(false",
        ]
        .iter()
        .any(|form| lower.contains(form))
        || ((lower.starts_with("assert") && !lower.contains('(')) && lower.ends_with("ortrue"))
}

/// `assert_eq!(x, x)`, `expect(a).toBe(a)`, `assert a == a`.
fn same_on_both_sides(code: &str) -> bool {
    let packed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let same = |a: &str, b: &str| !a.is_empty() && a == b && !a.contains('(');
    let two = |rest: &str| {
        rest.split_once(')').and_then(|(inner, _)| inner.split_once(',')).is_some_and(|(a, b)| same(a, b))
    };
    ["assert_eq!(", "assertEqual(", "assertEquals(", "assertSame(", "assert.equal(", "assert.strictEqual("]
        .iter()
        .filter_map(|form| packed.split_once(form))
        .any(|(_, rest)| two(rest))
        || packed.split_once("expect(").is_some_and(|(_, rest)| {
            [").toBe(", ").toEqual(", ").toStrictEqual("].iter().any(|form| {
                rest.split_once(form).is_some_and(|(a, b)| b.split_once(')').is_some_and(|(b, _)| same(a, b)))
            })
        })
        || code
            .trim()
            .strip_prefix("assert ")
            .and_then(|rest| rest.split_once("=="))
            .is_some_and(|(a, b)| same(a.trim(), b.split(',').next().unwrap_or_default().trim()))
}

/// Failures of assertions that are caught, and rows of a table of cases.
fn swallowed_or_fewer_cases(file: &File<'_>, findings: &mut Findings<'_>) {
    let catches = |line: &&Line<'_>| {
        let packed: String = line.bare.chars().filter(|c| !c.is_whitespace()).collect();
        match file.language {
            Language::Python => {
                packed.starts_with("exceptAssertionError")
                    || packed.starts_with("except(AssertionError")
                    || packed.starts_with("except:pass")
                    || packed.contains("suppress(AssertionError")
                    || packed.contains("suppress(Exception")
                    || packed.contains("suppress(BaseException")
            }
            Language::JavaScript => packed.contains(".catch(()=>{})") || packed.contains("catch{}"),
            Language::Rust => packed.starts_with("let_=") && packed.contains("catch_unwind("),
            Language::Braces => packed.contains("catch(AssertionError"),
            Language::Ruby => {
                packed.contains("rescueMinitest::Assertion") || packed.contains("rescueRSpec::")
            }
            _ => false,
        }
    };
    if let Some(line) = file.added().find(catches) {
        findings.add(
            "assertions-weakened",
            Some((file.path, line.number)),
            format!("failures of assertions are caught: {}", quote(line.text)),
            "let the assertion fail the test",
        );
        return;
    }
    let row = |line: &&Line<'_>| {
        let code = line.code.trim().trim_end_matches(',');
        code.len() > 2
            && [('(', ')'), ('[', ']'), ('{', '}')]
                .iter()
                .any(|(a, b)| code.starts_with(*a) && code.ends_with(*b))
    };
    let (added, removed) = (file.added().filter(row).count(), file.removed().filter(row).count());
    if file.existed() && removed > added && file.added().count() < removed {
        let first = file.removed().find(row);
        let (number, text) = first.map_or((0, String::new()), |line| (line.number, quote(line.text)));
        findings.add(
            "assertions-weakened",
            Some((file.path, number)),
            format!("{} cases fewer than before, such as {text}", removed - added),
            "put the cases back; a job that may change them names their file in its scope",
        );
    }
}

fn assertions(file: &File<'_>, findings: &mut Findings<'_>) {
    if let Some(line) =
        file.added().find(|line| is_assertion(&line.bare, file.language) && is_empty_assertion(&line.code))
    {
        findings.add(
            "assertion-empty",
            Some((file.path, line.number)),
            format!("an assertion that cannot fail: {}", quote(line.text)),
            "assert what the code under test gives",
        );
    }
    if !file.existed() {
        return;
    }
    let count =
        |mark| file.lines().filter(|l| l.mark == mark && is_assertion(&l.bare, file.language)).count();
    let (added, removed) = (count(Mark::Added), count(Mark::Removed));
    if removed > added {
        let first = file.removed().find(|line| is_assertion(&line.bare, file.language));
        let (number, text) = first.map_or((0, String::new()), |line| (line.number, quote(line.text)));
        findings.add(
            "assertions-weakened",
            Some((file.path, number)),
            format!("{} assertions fewer than before, such as {text}", removed - added),
            "put the assertions back; a job that may change them names their file in its scope",
        );
        return;
    }
    for hunk in &file.hunks {
        let of = |mark: Mark, forms: &[&str]| {
            hunk.iter()
                .filter(|l| {
                    l.mark == mark
                        && is_assertion(&l.bare, file.language)
                        && forms.iter().any(|form| l.bare.contains(form))
                })
                .count()
        };
        if of(Mark::Removed, STRONG) > of(Mark::Added, STRONG)
            && of(Mark::Added, WEAK) > of(Mark::Removed, WEAK)
        {
            let line =
                hunk.iter().find(|l| l.mark == Mark::Added && WEAK.iter().any(|form| l.bare.contains(form)));
            let (number, text) = line.map_or((0, String::new()), |line| (line.number, quote(line.text)));
            findings.add(
                "assertions-weakened",
                Some((file.path, number)),
                format!("an exact comparison became a weaker one: {text}"),
                "compare exactly, as before; a job that may change it names the file in its scope",
            );
            return;
        }
    }
}

fn expectations(file: &File<'_>, findings: &mut Findings<'_>) {
    let remedy = "put the expectation back and change the code instead; a job that may change it names the file in its scope";
    if paths::is_expectation(file.path) && file.file.kind != ChangeKind::Added {
        let message = format!("the recorded expectation `{}` was changed", file.path);
        findings.add("expectation-edited", Some((file.path, 0)), message, remedy);
        return;
    }
    if !file.existed() {
        return;
    }
    for hunk in &file.hunks {
        let removed: Vec<&Line<'_>> = hunk
            .iter()
            .filter(|l| l.mark == Mark::Removed && is_assertion(&l.bare, file.language))
            .take(200)
            .collect();
        let edited = hunk
            .iter()
            .filter(|l| l.mark == Mark::Added && is_assertion(&l.bare, file.language))
            .take(200)
            .find(|added| {
                let masked = mask(&added.code);
                removed.iter().any(|old| old.code.trim() != added.code.trim() && mask(&old.code) == masked)
            });
        if let Some(line) = edited {
            let message = format!("an expected value was edited: {}", quote(line.text));
            findings.add("expectation-edited", Some((file.path, line.number)), message, remedy);
            return;
        }
    }
}

/// The line with every literal as one mark.
fn mask(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut quote: Option<char> = None;
    let mut literal = false;
    for c in code.trim().chars() {
        match quote {
            Some(open) => {
                if c == open {
                    quote = None;
                }
            }
            None if matches!(c, '"' | '\'' | '`') => {
                quote = Some(c);
                out.push('§');
                literal = false;
            }
            None => {
                let digit = c.is_ascii_digit() || (literal && matches!(c, '.' | '_'));
                let word = out.chars().last().is_some_and(|last| last.is_alphanumeric() || last == '_');
                if digit && (literal || !word) {
                    if !literal {
                        out.push('§');
                    }
                    literal = true;
                } else {
                    literal = false;
                    out.push(c);
                }
            }
        }
    }
    out.replace("True", "§")
        .replace("False", "§")
        .replace("true", "§")
        .replace("false", "§")
        .replace("-§", "§")
}

/// Whether tests that were there before changed, and the scope names all of those files:
/// then base versions of them prove nothing.
pub fn all_changed_tests_named(job: &JobFacts, files: &[File<'_>]) -> bool {
    let mut any = false;
    for file in files.iter().filter(|file| file.in_tests && file.file.kind != ChangeKind::Added) {
        let old = file.file.old_path.as_deref().unwrap_or(file.path);
        if !named(job, file.path) && !named(job, old) {
            return false;
        }
        any = true;
    }
    any
}

/// A check that passes only with the agent's versions of the tests.
pub fn guarded(job: &JobFacts, files: &[File<'_>], checks: &[CheckResult], findings: &mut Findings<'_>) {
    if all_changed_tests_named(job, files) {
        return;
    }
    for check in checks {
        if check.status == CheckStatus::Passed
            && check.guarded.is_some_and(|guarded| guarded != CheckStatus::Passed)
        {
            let changed: Vec<String> = files
                .iter()
                .filter(|file| file.in_tests && file.file.kind != ChangeKind::Added)
                .take(3)
                .map(|file| format!("`{}`", file.path))
                .collect();
            let which = if changed.is_empty() {
                String::new()
            } else {
                format!(" (changed: {})", changed.join(", "))
            };
            findings.add(
                "tests-weakened",
                None,
                format!("the check `{}` passes only with the agent's versions of the tests{which}", check.name),
                "put the tests back as they were and make the code pass them; a job that may change them names their files in its scope",
            );
        }
    }
}
