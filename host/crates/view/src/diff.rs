//! A unified diff in parts that can be shown: files, hunks, numbered lines. Pure; whatever it
//! does not understand is shown as a note.

/// One file of a diff.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its path after the change; of a deleted file, before it.
    pub path: String,
    /// Lines added.
    pub added: usize,
    /// Lines removed.
    pub removed: usize,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// Its number before the change.
    pub old: Option<u32>,
    /// Its number after the change.
    pub new: Option<u32>,
    /// Without the sign.
    pub text: String,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The head of a hunk.
    Hunk,
    /// The same on both sides.
    Context,
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Anything else: a new mode, a rename, a binary file.
    Note,
}

/// Bytes of a line that are shown.
const LINE_MAX: usize = 1000;

/// At most `max_lines` lines of the diff; and how many lines there are behind them.
pub fn parse(text: &str, max_lines: usize) -> (Vec<File>, usize) {
    let mut files: Vec<File> = Vec::new();
    let (mut old, mut new) = (0u32, 0u32);
    // Lines that the hunk still has on each side: `--- a` inside one is a removed line.
    let (mut old_left, mut new_left) = (0u32, 0u32);
    let (mut taken, mut more) = (0, 0);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    for line in lines {
        if taken >= max_lines {
            more += usize::from(!line.is_empty());
            continue;
        }
        let in_hunk = old_left > 0 || new_left > 0;
        // No line of a hunk begins so, whatever its head says of its length.
        if let Some(names) = line.strip_prefix("diff --git ") {
            (old_left, new_left) = (0, 0);
            files.push(File { path: new_path(names), ..File::default() });
            continue;
        }
        let Some(file) = files.last_mut() else { continue };
        let (kind, text) = match line.as_bytes().first() {
            Some(b'+') if in_hunk => (Kind::Added, &line[1..]),
            Some(b'-') if in_hunk => (Kind::Removed, &line[1..]),
            Some(b' ') if in_hunk => (Kind::Context, &line[1..]),
            Some(b'\\') => (Kind::Note, line),
            _ if in_hunk && line.is_empty() => (Kind::Context, ""),
            _ => match hunk(line) {
                Some((old_at, old_lines, new_at, new_lines)) => {
                    (old, new, old_left, new_left) = (old_at, new_at, old_lines, new_lines);
                    (Kind::Hunk, line)
                }
                None => {
                    for (head, side) in [("--- ", 0), ("+++ ", 1)] {
                        if let Some(path) = line.strip_prefix(head).and_then(plain_path)
                            && (side == 1 || file.path.is_empty())
                        {
                            file.path = path;
                        }
                    }
                    let known = ["--- ", "+++ ", "index "].iter().any(|head| line.starts_with(head));
                    if known || line.is_empty() {
                        continue;
                    }
                    (Kind::Note, line)
                }
            },
        };
        let (mut of_old, mut of_new) = (None, None);
        if matches!(kind, Kind::Context | Kind::Removed) {
            (of_old, old, old_left) = (Some(old), old.saturating_add(1), old_left.saturating_sub(1));
        }
        if matches!(kind, Kind::Context | Kind::Added) {
            (of_new, new, new_left) = (Some(new), new.saturating_add(1), new_left.saturating_sub(1));
        }
        file.added += usize::from(kind == Kind::Added);
        file.removed += usize::from(kind == Kind::Removed);
        file.lines.push(Line { kind, old: of_old, new: of_new, text: cut(text) });
        taken += 1;
    }
    (files, more)
}

/// The beginning of a line that is too long, and how much there is behind it.
pub fn cut(line: &str) -> String {
    if line.len() <= LINE_MAX {
        return line.to_owned();
    }
    let kept = &line[..line.floor_char_boundary(LINE_MAX)];
    format!("{kept}… ({} bytes more)", line.len() - kept.len())
}

fn new_path(names: &str) -> String {
    match names.rfind(" b/") {
        Some(at) => names[at + 3..].to_owned(),
        None => names.to_owned(),
    }
}

fn plain_path(name: &str) -> Option<String> {
    let name = name.trim_end_matches('\t');
    let name = name.strip_prefix("a/").or(name.strip_prefix("b/")).unwrap_or(name);
    (name != "/dev/null").then(|| name.to_owned())
}

/// The numbers of `@@ -1,4 +1,4 @@`.
fn hunk(line: &str) -> Option<(u32, u32, u32, u32)> {
    let (ranges, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(u32, u32)> {
        let (at, lines) = text.split_once(',').unwrap_or((text, "1"));
        Some((at.parse().ok()?, lines.parse().ok()?))
    };
    let ((old_at, old_lines), (new_at, new_lines)) = (range(old)?, range(new)?);
    Some((old_at, old_lines, new_at, new_lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,3 +1,3 @@ fn a\n one\n--- two\n+++ due\n three\ndiff --git a/b.png b/b.png\nnew file mode 100644\nBinary files /dev/null and b/b.png differ\n";

    #[test]
    fn files_and_numbered_lines() {
        let (files, rest) = parse(DIFF, 100);
        assert_eq!(rest, 0);
        assert_eq!(files[0].path, "src/a.rs");
        assert_eq!((files[0].added, files[0].removed), (1, 1));
        let shown: Vec<String> = files[0]
            .lines
            .iter()
            .map(|l| format!("{:?} {:?} {:?} {}", l.kind, l.old, l.new, l.text))
            .collect();
        assert_eq!(
            shown[1..],
            [
                "Context Some(1) Some(1) one",
                "Removed Some(2) None -- two",
                "Added None Some(2) ++ due",
                "Context Some(3) Some(3) three"
            ]
        );
        assert_eq!(files[1].path, "b.png");
        assert_eq!(files[1].lines.len(), 2);
    }

    #[test]
    fn what_is_long_or_strange_is_bounded() {
        let (files, rest) = parse(DIFF, 2);
        assert_eq!((files.len(), files[0].lines.len()), (1, 2));
        assert_eq!(rest, 6);
        let long = format!("diff --git a/x b/x\n@@ -1 +1 @@\n-{}\n", "x".repeat(2 << 20));
        let (files, _) = parse(&long, 100);
        assert!(files[0].lines[1].text.ends_with("… (2096152 bytes more)"));
        for text in
            ["", "@@ -1 +1 @@\n+x", "diff --git\n@@ -4294967295,9 +4294967295,9 @@\n \n \n", "+++ b/x\n"]
        {
            parse(text, 100);
        }
    }
}
