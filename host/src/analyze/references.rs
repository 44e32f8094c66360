//! `path:line` and `path:line-line` in an answer, checked against the files that were sent.

use std::sync::LazyLock;

use regex::Regex;

use super::files::File;

const SHOWN: usize = 10;

#[expect(clippy::expect_used, reason = "a constant pattern, covered by the test")]
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    // What follows `/` or `:` is a part of an address, not a path of ours.
    let pattern =
        r"(?:^|[^\w@+.\-/:])((?:\./)?(?:[\w@+.\-]+/)*[\w@+.\-]*[\w@+\-]):(?:L)?(\d+)(?:\s?[-–]\s?L?(\d+))?";
    Regex::new(pattern).expect("the pattern is valid")
});

/// The references that lead nowhere: no such file, or fewer lines. At most ten.
pub fn wrong(answer: &str, files: &[File]) -> Vec<String> {
    let sent: Vec<(&str, usize)> = files.iter().map(|f| (f.path.as_str(), f.text.lines().count())).collect();
    let mut bad = Vec::new();
    for found in REFERENCE.captures_iter(answer) {
        let path = found[1].trim_start_matches("./");
        let number = |at: usize| found.get(at).map(|m| m.as_str().parse::<usize>().unwrap_or(usize::MAX));
        let (first, last) = (number(2).unwrap_or(0), number(3).or(number(2)).unwrap_or(0));
        let is_it =
            |whole: &str| whole.strip_suffix(path).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
        let mut lengths = sent.iter().filter(|(whole, _)| is_it(whole)).map(|(_, lines)| *lines).peekable();
        if lengths.peek().is_none() && !looks_like_a_path(path, &sent) {
            continue;
        }
        let right = lengths.any(|lines| first >= 1 && first <= last && last <= lines);
        let text = match number(3) {
            Some(last) => format!("{path}:{first}-{last}"),
            None => format!("{path}:{first}"),
        };
        if !right && !bad.contains(&text) && bad.len() < SHOWN {
            bad.push(text);
        }
    }
    bad
}

/// Whether a name that was not sent is meant as a file: it has directories, or an ending that
/// files of ours have. `127.0.0.1:80` and `localhost:3000` are no files.
fn looks_like_a_path(path: &str, sent: &[(&str, usize)]) -> bool {
    let ending = |path: &str| path.rsplit_once('.').map(|(_, end)| end.to_owned());
    let own = ending(path).filter(|end| end.chars().any(char::is_alphabetic));
    match own {
        Some(end) => path.contains('/') || sent.iter().any(|(whole, _)| ending(whole).as_ref() == Some(&end)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_checked() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file("repo/src/a.rs", "one\ntwo\n"), file("repo/Makefile", "all:\n")];
        let cases: &[(&str, &[&str])] = &[
            ("See repo/src/a.rs:2 and `a.rs:1`, ./src/a.rs:2, (a.rs:1-2) and Makefile:1.", &[]),
            (
                "Not a.rs:3, other.rs:1, repo/src/a.rs:0; a.rs:3 again.",
                &["a.rs:3", "other.rs:1", "repo/src/a.rs:0"],
            ),
            ("A range a.rs:1-9 and one backwards a.rs:2-1.", &["a.rs:1-9", "a.rs:2-1"]),
            ("A file of another kind: src/main.py:7, Makefile:2.", &["src/main.py:7", "Makefile:2"]),
            ("At 127.0.0.1:80, localhost:3000, http://x.example/a.rs:80 and 10:30.", &[]),
            ("With a column a.rs:1:5 and as a.rs:L2.", &[]),
        ];
        for (answer, expected) in cases {
            assert_eq!(wrong(answer, &files), *expected, "{answer}");
        }
    }
}
