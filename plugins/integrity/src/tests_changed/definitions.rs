//! Where tests are defined, and how many fewer there are.

use codex_worker_policy::{CheckResult, FileKind, JobFacts};

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, named, quote};
use crate::paths::Language;

/// How many tests a line defines: none or one.
pub fn defines_test(line: &Line<'_>, language: Language) -> bool {
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

pub fn functions_removed(
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
        let remedy = "restore the tests; a job that may remove them names their file in its scope";
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
