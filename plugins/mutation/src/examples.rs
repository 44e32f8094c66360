//! The examples that the component proves itself with.

use codex_worker_policy::{
    ChangeSet, ChangedFile, Example, Mutant, Mutants, MutationInput, NotMutated, PassedCheck, TextFile, Tier,
};

pub fn pytest() -> Example {
    let text = "from money import add\n\ndef test_add():\n    assert add(2, 2) == 4\n";
    let file = TextFile::test("tests/test_money.py", text);
    let at = text.len() - 2;
    let mutant =
        Mutant::oracle(&file, at..at + 1, "5", "expected 4 became 5").check("unit tests").test(["test_add"]);
    Example::mutation(
        "an expected number",
        MutationInput::new([PassedCheck::new("unit tests", "pytest -q").signal("pytest", 1)], [file]),
        Mutants { mutants: vec![mutant], not_mutated: vec![] },
    )
    .why("a check that still passes compares nothing")
}

pub fn two_checks() -> Example {
    let text = "import { add } from './add';\nit('adds', () => {\n  expect(add(2, 2)).toBe(4);\n});\n";
    let file = TextFile::test("src/add.test.ts", text);
    let at = text.len() - 8;
    let mutant = Mutant::oracle(&file, at..at + 1, "5", "expected 4 became 5").check("unit").test(["adds"]);
    let unknown =
        NotMutated::new("types", "it is not known to run tests, by its command or by what it printed");
    let manifest = TextFile::definition("package.json", r#"{"scripts": {"test": "vitest run"}}"#);
    Example::mutation(
        "a script of package.json, and a check without tests",
        MutationInput::new(
            [PassedCheck::new("unit", "npm test"), PassedCheck::new("types", "tsc --noEmit")],
            [file, manifest],
        ),
        Mutants { mutants: vec![mutant], not_mutated: vec![unknown] },
    )
    .why("npm test runs vitest; nothing is said in silence of the check that runs no tests")
}

pub fn inline_rust() -> Example {
    let text = "fn half(a: u8) -> u8 { a / 2 }\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn halves() {\n        \
                assert_eq!(super::half(254), 127);\n    }\n}\n";
    let file = TextFile::source("src/lib.rs", text);
    let at = text.find("127").unwrap_or_default();
    let mutant = Mutant::oracle(&file, at..at + 3, "126", "expected 127 became 126")
        .check("t")
        .test(["tests", "halves"]);
    Example::mutation(
        "tests within a source file",
        MutationInput::new([PassedCheck::new("t", "cargo test")], [file]),
        Mutants { mutants: vec![mutant], not_mutated: vec![] },
    )
    .why("the value stays within its type, so that the program compiles and the test decides")
}

pub fn source() -> Example {
    let test = TextFile::test("test_m.py", "def test_a():\n    assert m.a(1) == 'x'\n");
    let source = TextFile::source("m.py", "def a(n):\n    log(n)\n    return 'x'\n");
    let changed =
        ChangedFile::modified("m.py").patch("@@ -1,2 +1,3 @@\n def a(n):\n+    log(n)\n     return 'x'\n");
    let oracle =
        Mutant::oracle(&test, 35..38, "'y'", "expected 'x' became 'y'").check("unit").test(["test_a"]);
    let emptied =
        Mutant::source(&source, 14..14, "return None\n    ", "the body of `a` was emptied").check("unit");
    Example::mutation(
        "a changed function",
        MutationInput {
            changes: ChangeSet::of([changed]),
            tier: Tier::Strict,
            ..MutationInput::new([PassedCheck::new("unit", "pytest")], [test, source])
        },
        Mutants { mutants: vec![oracle, emptied], not_mutated: vec![] },
    )
    .why("in the strict tiers the tests must also notice that a changed function does nothing")
}

pub fn nothing() -> Example {
    let file = TextFile::test("tests/test_b.py", "@pytest.mark.skip\ndef test_b():\n    assert f() == 1\n");
    Example::mutation(
        "skipped tests",
        MutationInput::new([PassedCheck::new("unit", "pytest")], [file]),
        Mutants {
            mutants: vec![],
            not_mutated: vec![
                NotMutated::new("unit", "all of its tests are skipped or expected to fail")
                    .path("tests/test_b.py"),
                NotMutated::new(
                    "unit",
                    "no expected value, condition or exception that it surely reaches was found in its tests",
                ),
            ],
        },
    )
    .why("a skipped test cannot fail, so altering it would accuse an honest check")
}
