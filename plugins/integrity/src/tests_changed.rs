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
            return;
        }
        let mut change = 0i64;
        for line in
            file.lines().filter(|line| line.mark != Mark::Context && defines_test(line, file.language))
        {
            change += if line.mark == Mark::Added { 1 } else { -1 };
        }
        if change < 0 && named(job, file.path) {
            continue;
        }
        net += change;
        if change < 0 && worst.as_ref().is_none_or(|(least, ..)| change < *least) {
            let first = file.removed().find(|line| defines_test(line, file.language));
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

fn has_skip(line: &Line<'_>, language: Language) -> bool {
    let code = line.bare.as_ref();
    let trimmed = code.trim_start();
    let any = |marks: &[&str]| marks.iter().any(|mark| code.contains(mark));
    let starts = |marks: &[&str]| marks.iter().any(|mark| trimmed.starts_with(mark));
    match language {
        Language::Python => {
            any(&[
                "pytest.mark.skip",
                "pytest.mark.xfail",
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
            any(&[
                "it.skip",
                "test.skip",
                "describe.skip",
                "suite.skip",
                "this.skip()",
                "it.todo(",
                "test.todo(",
                "test.fails(",
                "it.fails(",
                "it.failing(",
                "test.failing(",
                "test.fixme(",
                ".skipIf(",
            ]) || starts(&["xit(", "xdescribe(", "xtest(", "xcontext("])
        }
        Language::Rust => starts(&[
            "#[ignore",
            "#[cfg(any())]",
            "#[cfg(FALSE)]",
            "#[cfg(false)]",
            "#[cfg_attr(all(), ignore",
        ]),
        Language::Go => {
            any(&["t.Skip(", "t.SkipNow(", "t.Skipf(", "b.Skip("]) || trimmed.starts_with("//go:build ignore")
        }
        Language::Braces => {
            starts(&["@Disabled", "@Ignore", "[Ignore"])
                || any(&[
                    "Skip = \"",
                    "markTestSkipped(",
                    "markTestIncomplete(",
                    "XCTSkip",
                    "assumeTrue(false",
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
    let go_tag = file.added().find(|line| line.text.starts_with("//go:build ignore"));
    let first = file.added().find(|line| has_skip(line, file.language)).or(go_tag);
    let Some(first) = first else { return };
    let counts = |mark| file.lines().filter(|l| l.mark == mark && has_skip(l, file.language)).count();
    if counts(Mark::Added) <= counts(Mark::Removed) && go_tag.is_none() {
        return; // Moved, not added.
    }
    // A new file takes nothing away that ran before.
    let severity = if file.existed() {
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
    let whole = ["asserttrue", "assert1", "assert1==1", "asserttrue==true"];
    whole.contains(&lower.trim_end_matches(';'))
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
