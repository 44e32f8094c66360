//! `path:line` in an answer, checked against the files that were sent.

use std::sync::LazyLock;

use regex::Regex;

use super::files::File;

const SHOWN: usize = 10;

#[expect(clippy::expect_used, reason = "a constant pattern, covered by the test")]
static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"([\w@+.\-/]*[\w@+\-]\.\w+):(\d+)").expect("the pattern is valid"));

/// The references that lead nowhere: no such file, or fewer lines. At most ten.
pub fn wrong(answer: &str, files: &[File]) -> Vec<String> {
    let extension = |path: &str| path.rsplit_once('.').map(|(_, end)| end.to_owned());
    let extensions: Vec<String> = files.iter().filter_map(|file| extension(&file.path)).collect();
    let mut bad = Vec::new();
    for found in REFERENCE.captures_iter(answer) {
        let (path, number) = (&found[1], found[2].parse::<usize>().unwrap_or(usize::MAX));
        // `127.0.0.1:80` is no file of ours.
        if !extension(path).is_some_and(|end| extensions.contains(&end)) {
            continue;
        }
        let path = path.trim_start_matches("./");
        let lines = files
            .iter()
            .filter(|file| file.path == path || file.path.ends_with(&format!("/{path}")))
            .map(|file| file.text.lines().count());
        let right = lines.into_iter().any(|count| (1..=count).contains(&number));
        let text = format!("{path}:{number}");
        if !right && !bad.contains(&text) && bad.len() < SHOWN {
            bad.push(text);
        }
    }
    bad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_checked() {
        let files = [File { path: "repo/src/a.rs".to_owned(), text: "one\ntwo\n".to_owned() }];
        let answer = "See repo/src/a.rs:2 and `a.rs:1`, ./src/a.rs:2; not a.rs:3, other.rs:1, repo/src/a.rs:0. \
                      At 127.0.0.1:80 and a.rs:3 again.";
        assert_eq!(wrong(answer, &files), ["a.rs:3", "other.rs:1", "repo/src/a.rs:0"]);
    }
}
