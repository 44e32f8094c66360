//! Any text in, mutants or reasons out: nothing panics, ranges fit, a mutated file is still
//! read, the same input gives the same bytes, and the time stays in proportion.

use std::time::Duration;

use codex_worker_mutation::MutationPolicy;
use codex_worker_policy::{
    ChangeSet, ChangedFile, Mutant, MutantKind, Mutants, Mutation, MutationInput, PassedCheck, TextFile, Tier,
};
use proptest::prelude::*;

/// A path of each language, and a check that runs it.
const LANGUAGES: &[(&str, &str)] = &[
    ("tests/test_a.py", "pytest"),
    ("check.py", "python3 check.py"),
    ("test/a.test.ts", "npx jest"),
    ("pkg/a_test.go", "go test ./..."),
    ("src/lib.rs", "cargo test"),
    ("src/test/java/ATest.java", "mvn test"),
    ("src/test/kotlin/BTest.kt", "gradle test"),
    ("test/a_test.rb", "rake test"),
    ("spec/a_spec.rb", "rspec"),
    ("tests/ATest.php", "phpunit"),
    ("tests/run.sh", "sh tests/run.sh"),
    ("tests/a.bats", "bats tests"),
];

fn input(path: &str, command: &str, text: &str) -> MutationInput {
    let patch: String = text.lines().take(200).map(|line| format!("+{line}\n")).collect();
    let patch = format!("@@ -0,0 +1,{} @@\n{patch}", patch.lines().count());
    let source = format!("code_{path}");
    let mut input = MutationInput::new(
        [PassedCheck::new("c", command)],
        [TextFile::test(path, text), TextFile::source(source.clone(), text)],
    );
    input.changes = ChangeSet::of([ChangedFile::added(source).patch(patch)]);
    input.tier = Tier::Critical;
    input
}

/// What must hold of any answer.
fn sound(input: &MutationInput) -> Mutants {
    let made = MutationPolicy.mutate(input);
    assert_eq!(made, MutationPolicy.mutate(input), "the same input gives the same answer");
    assert!(made.mutants.len() <= input.budget.max_mutants as usize);
    for check in &input.checks {
        let named = made.mutants.iter().any(|mutant| mutant.checks.contains(&check.name))
            || made.not_mutated.iter().any(|not| not.check == check.name);
        assert!(named, "nothing is said of {}", check.name);
    }
    for file in &input.files {
        let of_file = |kind| move |mutant: &&Mutant| mutant.path == file.path && mutant.kind == kind;
        let mut oracles: Vec<&Mutant> = made.mutants.iter().filter(of_file(MutantKind::Oracle)).collect();
        oracles.sort_by_key(|mutant| mutant.start);
        for pair in oracles.windows(2) {
            assert!(pair[0].end <= pair[1].start && pair[0].start < pair[1].start, "{pair:?} overlap");
        }
        for mutant in made.mutants.iter().filter(|mutant| mutant.path == file.path) {
            let mutated = mutant.applied(&file.content).expect("the range is on character borders");
            assert_ne!(mutated, file.content);
            assert!(!mutant.altered.chars().any(char::is_control));
            if mutant.kind == MutantKind::Oracle {
                let mut again = input.clone();
                for other in &mut again.files {
                    if other.path == mutant.path {
                        other.content.clone_from(&mutated);
                    }
                }
                let again = MutationPolicy.mutate(&again);
                let broken = |reason: &str| reason.contains("cannot be read");
                assert!(
                    !again
                        .not_mutated
                        .iter()
                        .any(|not| not.path.as_ref() == Some(&mutant.path) && broken(&not.reason)),
                    "{mutant:?} breaks\n{mutated}"
                );
            }
        }
    }
    made
}

/// Pieces that languages are made of.
const PIECES: &[&str] = &[
    "assert ",
    "assertEqual(",
    "assert_eq!(",
    "expect(",
    ".toBe(",
    ".to eq(",
    "assert.equal(",
    "it('a', () => ",
    "def test_a():\n    ",
    "def test_a\n",
    "end\n",
    "class A:\n",
    "#[test]\nfn a() ",
    "@Test void a() ",
    "func TestA(t *testing.T) ",
    "describe('b', function() ",
    "if ",
    "for x in y ",
    "else ",
    "return ",
    "4",
    "0x1f",
    "1.5e-3",
    "'a'",
    "\"b\"",
    "'",
    "\"",
    "`",
    "${",
    "#{",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "\\",
    "\n",
    "\n    ",
    "; ",
    ", ",
    " == ",
    " != ",
    " = ",
    ": ",
    " => ",
    "->",
    ".",
    "::",
    "/",
    "/a/",
    "//",
    "#",
    "/*",
    "*/",
    "\"\"\"",
    "'''",
    "f\"{",
    "r#\"",
    "\"#",
    "<<EOF\n",
    "EOF\n",
    "<<~X",
    "%w[",
    "@test \"a\" {\n",
    "[ \"$x\" = 4 ] || exit 1\n",
    "if [ $x != a ]; then exit 1; fi\n",
    "$(",
    "x",
    "want",
    "tt.want",
    "expected = ",
    "é",
    "\u{0}",
    "\r\n",
    "<?php ",
    "?>",
    "$this->assertSame(",
    "é'",
    " && ",
    " || ",
    "not ",
    "in ",
    "@pytest.mark.parametrize('a, b', [(1, 2)])\n",
    "it.each([[1, 2]])('c', (a, b) => {",
    "fun a() {",
    "skip ",
    "raise ",
    "throw ",
    "t.Fatal()",
];

fn soup() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..80).prop_map(|pieces| pieces.concat())
}

/// A good file of each language, to be damaged.
const GOOD: &[&str] = &[
    "import m\n\nclass TestA:\n    def test_a(self):\n        x = f'{m.a(\"1\")}'\n        assert x == 'é'\n        assert m.b() == [1, {'a': 2}]\n",
    "import { it } from 'x';\ndescribe('a', () => {\n  it(`b ${1}`, async () => {\n    const re = /[/'\"]+/g;\n    expect(await f(re)).toEqual({ a: [1, 'x'] });\n  });\n});\n",
    "package a\nfunc TestA(t *testing.T) {\n\tfor _, tt := range []struct{ in, want string }{{\"a\", `b`}} {\n\t\tif got := F(tt.in); got != tt.want {\n\t\t\tt.Errorf(\"%q\", got)\n\t\t}\n\t}\n}\n",
    "#[cfg(test)]\nmod tests {\n    /* /* nested */ */\n    #[test]\n    fn a<'a>() {\n        let c = '\\'';\n        assert_eq!(f::<'a>(c), r#\"a \"b\"\"#);\n    }\n}\n",
    "class ATest {\n  @Test void a() { assertEquals(\"\"\"\n    x\n    \"\"\", f('\\'')); assertThat(g()).isEqualTo(1L); }\n}\n",
    "class ATest < T\n  def test_a\n    x = <<~EOS\n      it's \"x\n    EOS\n    assert_equal \"a#{f(\"b\")}\", x if true\n    assert_match(/a'b/, x)\n  end\nend\n",
    "<?php class ATest extends T { public function testA() { $x = <<<'E'\n  it's\n  E; $this->assertSame(['a' => 1], f(\"{$x['b']}\")); } }\n",
    "#!/bin/sh -e\nf() { echo \"$(cat <<EOF\nx\nEOF\n)\"; }\n[ \"$(f \"a b\")\" = 'x y' ]\nif [ $? -ne 0 ]; then exit 1; fi\n",
];

const WORDS: &[&str] = &[
    "pytest",
    "npm",
    "test",
    "run",
    "make",
    "cargo",
    "-p",
    "--",
    "-k",
    "'a and b'",
    "&&",
    "cd",
    "..",
    "/",
    "$(",
    "\"",
    "sh",
    "-c",
    "tests/run.sh",
    "go",
    "./...",
    "-run",
    "x",
    "python",
    "-m",
    "unittest",
    "a.b.C",
    "--filter",
    "=",
    "\n",
    "|",
    "bash",
    "env",
    "timeout",
    "5",
    "é",
    "npx",
    "jest",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn soups(text in soup(), language in 0..LANGUAGES.len()) {
        let (path, command) = LANGUAGES[language];
        sound(&input(path, command, &text));
    }

    #[test]
    fn damaged(
        good in 0..GOOD.len(),
        language in 0..LANGUAGES.len(),
        at in any::<proptest::sample::Index>(),
        piece in proptest::sample::select(PIECES),
        cut in 0..6usize,
    ) {
        let mut chars: Vec<char> = GOOD[good].chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, piece.chars());
        let text: String = chars.into_iter().collect();
        let (path, command) = LANGUAGES[language];
        sound(&input(path, command, &text));
    }

    #[test]
    fn commands(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..12)) {
        let command = words.join(" ");
        let files = [
            TextFile::test("tests/run.sh", command.clone()),
            TextFile::definition("package.json", "{\"scripts\": {\"test\": \"npm test\"}}"),
            TextFile::definition("Makefile", "test: test\n\tmake test\n"),
        ];
        sound(&MutationInput::new([PassedCheck::new("c", command)], files));
    }
}

/// Processor time where it can be had: the machine may be busy with other things.
fn now() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    {
        static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        BEGUN.get_or_init(std::time::Instant::now).elapsed()
    }
}

/// The time of one call.
fn time(path: &str, command: &str, text: &str) -> Duration {
    let input = input(path, command, text);
    let begun = now();
    MutationPolicy.mutate(&input);
    now() - begun
}

/// What would be looked at again and again by a reader that looks back or ahead.
const REPEATED: &[&str] = &[
    "f(function(){",
    "it('x', () => {",
    "t.Run(\"a\", func(t *testing.T) {\n",
    "if (x) {",
    "{ { ",
    "f() {\n",
    "( /[ ",
    "x = expect(x).",
    "assert x == (",
    "assert f(1) == expected\n    ",
    "[ a = b ",
    "if if ",
    "a.b().c().",
    "'a' 'b' ",
    "check() {\n[ \"$1\" = \"$2\" ] || exit 1\n}\n",
    "assert_equal 1, ",
    "do ",
    "fn a() { assert!(x == y); } ",
    "#[a] ",
    "@A ",
    "it.each([[1]])('a', (b) => { expect(b).toBe(c); });\n",
    "it('a', () => { expect(f()).toBe(want); });\n",
    "t.Run(\"a\", func(t *testing.T) { if x != tt.want { t.Fatal() } })\n",
    "struct { a, b int }",
    "!",
    "((((",
    "))))",
    "def test_a(x):\n    assert f() == x\n",
];

#[test]
fn time_stays_in_proportion() {
    let starts = [
        "",
        "def test_a():\n    ",
        "it('a', () => {\n",
        "func TestA(t *testing.T) {\n",
        "#[test]\nfn a() {\n",
        "class A { @Test void a() {\n",
        "def test_a\n",
        "<?php ",
    ];
    for (at, (path, command)) in LANGUAGES.iter().enumerate() {
        for (number, pattern) in PIECES.iter().chain(REPEATED).enumerate() {
            // Each pattern with one of the beginnings: all pairs would take long.
            let start = starts[(at + number) % starts.len()];
            let text = |bytes: usize| format!("{start}{}", pattern.repeat(bytes / pattern.len()));
            let small = time(path, command, &text(8 * 1024));
            let large = time(path, command, &text(64 * 1024));
            // Eight times the input; what is quadratic takes 64 times as long.
            let most = small * 30 + Duration::from_millis(200);
            assert!(large < most, "{path} {start:?} {pattern:?}: {small:?} for 8 KiB, {large:?} for 64 KiB");
        }
    }
}

#[test]
fn large_files_are_left_alone() {
    for (path, command) in LANGUAGES {
        let text = "assert 1 == 1; ".repeat(1024 * 1024);
        let begun = now();
        let check = PassedCheck::new("c", *command);
        let made = MutationPolicy.mutate(&MutationInput::new([check], [TextFile::test(*path, text)]));
        assert!(made.mutants.is_empty());
        assert!(
            made.not_mutated.iter().any(|not| not.reason.contains("larger than 1 MiB")),
            "{path}: {:?}",
            made.not_mutated
        );
        assert!(now() - begun < Duration::from_secs(10));
    }
}
