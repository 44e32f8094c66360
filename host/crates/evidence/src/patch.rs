//! Unified diff text: split into files and hunks, cut at their borders only, in order of
//! importance. Pure.

use super::kinds;

/// A patch that was made to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Still a well-formed patch, with `#` lines that say what was left out.
    pub text: String,
    /// Files of which nothing but a line is left, or not even that.
    pub files_omitted: u32,
    /// Hunks left out of files that are shown.
    pub hunks_omitted: u32,
}

/// The parts of a patch that begin with `diff --git`. A hunk's lines never do.
pub fn split_files(patch: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    for line in patch.split_inclusive('\n') {
        if line.starts_with("diff --git ") {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    starts.iter().zip(ends).map(|(s, e)| &patch[*s..e]).collect()
}

/// What begins at the first `@@` line of one file's part; none without hunks.
pub fn hunks_of(file: &str) -> Option<&str> {
    let mut at = 0;
    for line in file.split_inclusive('\n') {
        if line.starts_with("@@ ") {
            return Some(&file[at..]);
        }
        at += line.len();
    }
    None
}

/// The single hunks of a text that begins with one.
fn split_hunks(hunks: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in hunks.split_inclusive('\n') {
        if line.starts_with("@@ ") {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([hunks.len()]);
    starts.iter().zip(ends).map(|(s, e)| &hunks[*s..e]).collect()
}

/// As many whole hunks as fit into `max` bytes; empty if the first does not.
pub fn cut_hunks(hunks: &str, max: usize) -> &str {
    if hunks.len() <= max {
        return hunks;
    }
    let mut end = 0;
    for hunk in split_hunks(hunks) {
        if end + hunk.len() > max {
            break;
        }
        end += hunk.len();
    }
    &hunks[..end]
}

/// The path that a file's part is about, as its header names it.
fn path_of(file: &str) -> String {
    for line in file.lines().take_while(|l| !l.starts_with("@@ ")) {
        for start in ["+++ b/", "rename to ", "--- a/"] {
            if let Some(rest) = line.strip_prefix(start)
                && line != "+++ /dev/null"
            {
                return rest.trim_end_matches('\t').trim_matches('"').to_owned();
            }
        }
    }
    // A mode change or a binary file has no such line.
    let first = file.lines().next().unwrap_or_default();
    let pair = first.strip_prefix("diff --git ").unwrap_or(first);
    match pair.split_once(" b/") {
        Some((_, path)) => path.trim_end_matches('"').to_owned(),
        None => pair.to_owned(),
    }
}

/// Small numbers are shown first.
fn importance(path: &str) -> u8 {
    if kinds::is_generated(path) {
        2
    } else if kinds::is_prose(path) {
        1
    } else {
        0
    }
}

/// Makes `patch` fit into `max_bytes`: generated files become one line each; then whole
/// files in order of importance (source, prose, generated; small before large), and of the
/// last one that does not fit whole, its first hunks. The order of the files stays.
pub fn trim(patch: &str, max_bytes: usize) -> Trimmed {
    let files = split_files(patch);
    if patch.len() <= max_bytes && !files.iter().any(|f| collapses(f)) {
        return Trimmed { text: patch.to_owned(), ..Trimmed::default() };
    }
    let mut order: Vec<usize> = (0..files.len()).collect();
    let rank = |i: &usize| (importance(&path_of(files[*i])), files[*i].len(), *i);
    order.sort_by_key(rank);
    let mut shown: Vec<Option<String>> = vec![None; files.len()];
    let mut out = Trimmed::default();
    // Room for the closing line, if there will be one.
    let mut left = max_bytes.saturating_sub(CLOSING);
    for i in order {
        let file = files[i];
        let path = path_of(file);
        let line = format!("# {path}: {} lines of diff left out\n", file.lines().count());
        if !collapses(file) {
            if file.len() <= left {
                left -= file.len();
                shown[i] = Some(file.to_owned());
                continue;
            }
            if let Some(part) = first_hunks(file, left) {
                left -= part.0.len();
                out.hunks_omitted += part.1;
                shown[i] = Some(part.0);
                continue;
            }
        }
        out.files_omitted += 1;
        if line.len() <= left {
            left -= line.len();
            shown[i] = Some(line);
        }
    }
    out.text = shown.into_iter().flatten().collect();
    if out.files_omitted + out.hunks_omitted > 0 {
        let closing = format!("# left out: {} files, {} hunks\n", out.files_omitted, out.hunks_omitted);
        if out.text.len() + closing.len() <= max_bytes {
            out.text.push_str(&closing);
        }
    }
    out
}

const CLOSING: usize = 48;

/// Generated files of more than a few lines are not worth their bytes.
fn collapses(file: &str) -> bool {
    kinds::is_generated(&path_of(file)) && file.lines().count() > 40
}

fn first_hunks(file: &str, room: usize) -> Option<(String, u32)> {
    let hunks = hunks_of(file)?;
    let header = &file[..file.len() - hunks.len()];
    let note_room = 40;
    let kept = cut_hunks(hunks, room.checked_sub(header.len() + note_room)?);
    if kept.is_empty() {
        return None;
    }
    let omitted = (split_hunks(hunks).len() - split_hunks(kept).len()) as u32;
    let text = format!("{header}{kept}# {omitted} more hunks left out\n");
    (text.len() <= room).then_some((text, omitted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, hunks: usize, lines: usize) -> String {
        let mut out =
            format!("diff --git a/{path} b/{path}\nindex 1..2 100644\n--- a/{path}\n+++ b/{path}\n");
        for h in 0..hunks {
            out.push_str(&format!("@@ -{h},0 +{h},{lines} @@\n"));
            for l in 0..lines {
                out.push_str(&format!("+line {h} {l}\n"));
            }
        }
        out
    }

    /// Every line belongs to a header, a hunk with its full count of lines, or is a comment.
    fn assert_well_formed(text: &str) {
        let mut missing = 0usize;
        for line in text.lines() {
            if missing > 0 {
                assert!(line.starts_with(['+', '-', ' ']), "hunk cut inside: {line:?} in\n{text}");
                missing -= 1;
            } else if let Some(rest) = line.strip_prefix("@@ ") {
                missing = rest.split(' ').nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
            }
        }
        assert_eq!(missing, 0, "the last hunk is cut in\n{text}");
    }

    #[test]
    fn a_patch_that_fits_is_not_touched() {
        let patch = file("src/a.rs", 2, 3);
        assert_eq!(trim(&patch, 10_000), Trimmed { text: patch, ..Trimmed::default() });
    }

    #[test]
    fn every_size_gives_a_well_formed_patch_within_it() {
        let patch = [
            file("Cargo.lock", 3, 30),
            file("README.md", 1, 5),
            file("src/a.rs", 4, 10),
            file("src/long.rs", 1, 200),
            file("tests/__snapshots__/a.snap", 2, 50),
        ]
        .concat();
        for max in (0..patch.len() + 200).step_by(37) {
            let trimmed = trim(&patch, max);
            assert!(trimmed.text.len() <= max, "{} > {max}", trimmed.text.len());
            assert_well_formed(&trimmed.text);
        }
    }

    #[test]
    fn source_comes_before_prose_and_generated_files_are_a_line() {
        let patch = [file("Cargo.lock", 1, 90), file("README.md", 1, 30), file("src/a.rs", 1, 30)].concat();
        let trimmed = trim(&patch, 700);
        assert!(trimmed.text.contains("+++ b/src/a.rs"), "{}", trimmed.text);
        assert!(!trimmed.text.contains("+++ b/README.md"), "{}", trimmed.text);
        assert!(trimmed.text.contains("# Cargo.lock: 95 lines of diff left out"), "{}", trimmed.text);
        assert_eq!((trimmed.files_omitted, trimmed.hunks_omitted), (2, 0));
    }

    #[test]
    fn the_last_file_keeps_its_first_hunks() {
        let trimmed = trim(&file("src/a.rs", 4, 10), 480);
        assert_eq!((trimmed.files_omitted, trimmed.hunks_omitted), (0, 2), "{}", trimmed.text);
        assert!(trimmed.text.contains("# 2 more hunks left out"), "{}", trimmed.text);
    }

    #[test]
    fn files_without_hunks_have_a_name() {
        let cases = [
            ("diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n", "run.sh"),
            ("diff --git a/x b/y z\nsimilarity index 100%\nrename from x\nrename to y z\n", "y z"),
            ("diff --git a/i.png b/i.png\nBinary files a/i.png and b/i.png differ\n", "i.png"),
            (
                "diff --git a/d b/d\ndeleted file mode 100644\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
                "d",
            ),
        ];
        for (text, path) in cases {
            assert_eq!(path_of(text), path);
        }
    }
}
