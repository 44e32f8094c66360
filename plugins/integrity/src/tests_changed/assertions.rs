//! Assertions that became fewer, weaker or empty, and edited expectations.

use codex_worker_policy::ChangeKind;

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};
use crate::paths::{self, Language};

pub fn is_assertion(code: &str, language: Language) -> bool {
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
pub fn swallowed_or_fewer_cases(file: &File<'_>, findings: &mut Findings<'_>) {
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
            "restore the cases; a job that may change them names their file in its scope",
        );
    }
}

pub fn assertions(file: &File<'_>, findings: &mut Findings<'_>) {
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
            "restore the assertions; a job that may change them names their file in its scope",
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

pub fn expectations(file: &File<'_>, findings: &mut Findings<'_>) {
    let remedy = "restore the expectation and change the code instead; a job that may change it names the file in its scope";
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

/// The line with every literal replaced by one character.
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
