//! Short ways to write the values of [`crate::types`]: findings in a policy, inputs in
//! examples and tests.

use crate::types::*;

impl Finding {
    /// A finding that fails the job (or sends it back for another pass).
    pub fn deny(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Deny, rule, message)
    }

    /// A finding that the reader is told.
    pub fn warn(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warn, rule, message)
    }

    /// A finding that is recorded and shown only when asked for.
    pub fn info(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, rule, message)
    }

    /// A finding of `severity`.
    pub fn new(severity: Severity, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { rule: rule.into(), severity, message: message.into(), ..Finding::default() }
    }

    /// The file it is about, as `ChangedFile::path` names it.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The line in the new file, counted from 1.
    pub fn line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    /// What would satisfy the rule; the repair prompt quotes it to the agent.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl JobFacts {
    /// A job with this task, in its first and only pass, that is expected to change files.
    pub fn new(task: impl Into<String>) -> Self {
        JobFacts {
            task: task.into(),
            attempt: 1,
            max_attempts: 1,
            expects_change: true,
            ..JobFacts::default()
        }
    }

    /// Declares where the job may write.
    pub fn scope<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        self.scope = Some(ScopeDeclaration { paths, max_diff_bytes: None });
        self
    }

    /// Declares a check command.
    pub fn check(mut self, name: impl Into<String>, command: impl Into<String>) -> Self {
        self.checks.push(CheckSpec { name: name.into(), command: command.into() });
        self
    }
}

impl ChangedFile {
    /// A new regular file.
    pub fn added(path: impl Into<String>) -> Self {
        ChangedFile {
            path: path.into(),
            kind: ChangeKind::Added,
            old_kind: FileKind::Absent,
            ..ChangedFile::default()
        }
    }

    /// A changed regular file.
    pub fn modified(path: impl Into<String>) -> Self {
        ChangedFile { path: path.into(), ..ChangedFile::default() }
    }

    /// A deleted regular file.
    pub fn deleted(path: impl Into<String>) -> Self {
        ChangedFile {
            path: path.into(),
            kind: ChangeKind::Deleted,
            new_kind: FileKind::Absent,
            ..ChangedFile::default()
        }
    }

    /// A renamed regular file.
    pub fn renamed(from: impl Into<String>, to: impl Into<String>) -> Self {
        ChangedFile {
            path: to.into(),
            old_path: Some(from.into()),
            kind: ChangeKind::Renamed,
            ..ChangedFile::default()
        }
    }

    /// A new symlink.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        ChangedFile {
            new_kind: FileKind::Symlink,
            symlink_target: Some(target.into()),
            ..ChangedFile::added(path)
        }
    }

    /// Sets the hunks, and counts their added and deleted lines.
    pub fn patch(mut self, patch: impl Into<String>) -> Self {
        let patch = patch.into();
        let count = |mark: char| patch.lines().filter(|line| line.starts_with(mark)).count() as u32;
        self.added_lines = count('+');
        self.deleted_lines = count('-');
        self.patch = Some(patch);
        self
    }

    /// The lines that the change added: number in the new file (from 1) and text, read from
    /// [`ChangedFile::patch`]; none for a binary file.
    pub fn added_text(&self) -> impl Iterator<Item = (u32, &str)> {
        let mut number = 0u32;
        self.patch.as_deref().unwrap_or_default().lines().filter_map(move |line| {
            match line.as_bytes().first() {
                Some(b'@') => {
                    number = hunk_start(line).unwrap_or(number);
                    None
                }
                Some(b'+') => {
                    let at = number;
                    number = number.saturating_add(1);
                    Some((at, &line[1..]))
                }
                Some(b'-' | b'\\') => None,
                _ => {
                    number = number.saturating_add(1);
                    None
                }
            }
        })
    }

    /// The lines that the change took away, without their numbers.
    pub fn deleted_text(&self) -> impl Iterator<Item = &str> {
        self.patch.as_deref().unwrap_or_default().lines().filter_map(|line| line.strip_prefix('-'))
    }
}

/// The first new line of `@@ -a,b +c,d @@`.
fn hunk_start(header: &str) -> Option<u32> {
    let new = header.split('+').nth(1)?;
    new.split([',', ' ']).next()?.parse().ok()
}

impl ChangeSet {
    /// These files, in byte order of their path, and nothing else.
    pub fn of(files: impl IntoIterator<Item = ChangedFile>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let diff_bytes =
            files.iter().filter_map(|file| file.patch.as_ref()).map(|patch| patch.len() as u64).sum();
        ChangeSet { total_files: files.len() as u32, diff_bytes, files, ..ChangeSet::default() }
    }

    /// The lines that were added anywhere: file, number in the new file and text, as
    /// [`ChangedFile::added_text`] gives them.
    pub fn added_text(&self) -> impl Iterator<Item = (&ChangedFile, u32, &str)> {
        self.files.iter().flat_map(|file| file.added_text().map(move |(line, text)| (file, line, text)))
    }
}

impl CheckResult {
    /// A check that ended with exit code 0.
    pub fn passed(name: impl Into<String>, command: impl Into<String>) -> Self {
        CheckResult {
            name: name.into(),
            command: command.into(),
            exit_code: Some(0),
            ..CheckResult::default()
        }
    }

    /// A check that ended with exit code 1 and this output.
    pub fn failed(name: impl Into<String>, command: impl Into<String>, output: impl Into<String>) -> Self {
        CheckResult {
            status: CheckStatus::Failed,
            exit_code: Some(1),
            output: output.into(),
            ..CheckResult::passed(name, command)
        }
    }
}

impl AgentOutcome {
    /// An agent that ended by itself and claims this.
    pub fn completed(claim: impl Into<String>) -> Self {
        AgentOutcome { claim: claim.into(), turns: 1, ..AgentOutcome::default() }
    }
}

impl VerifyInput {
    /// A pass of this job with these changes, no checks and an agent that ended by itself.
    pub fn new(job: JobFacts, changes: ChangeSet) -> Self {
        VerifyInput { job, changes, ..VerifyInput::default() }
    }
}

impl CommandOutput {
    /// What the command of this check printed.
    pub fn new(command: impl Into<String>, output: impl Into<String>) -> Self {
        CommandOutput { command: command.into(), output: output.into(), ..CommandOutput::default() }
    }
}

impl Found {
    /// These spans, put in order, with nothing open at the end.
    pub fn spans(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut spans: Vec<_> = spans.into_iter().collect();
        spans.sort_by_key(|span| (span.start, span.end));
        Found { spans, carry: String::new() }
    }
}

impl Span {
    /// The bytes `start..end`, found by `rule`.
    pub fn new(range: std::ops::Range<usize>, rule: impl Into<String>) -> Self {
        Span { start: range.start as u32, end: range.end as u32, rule: rule.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_lines_have_the_numbers_of_the_new_file() {
        let file = ChangedFile::modified("a").patch("@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n@@ -9 +9,2 @@ fn\n+nine\n nine\n\\ No newline at end of file\n");
        assert_eq!(file.added_text().collect::<Vec<_>>(), [(2, "zwei"), (9, "nine")]);
        assert_eq!(file.deleted_text().collect::<Vec<_>>(), ["two"]);
        assert_eq!((file.added_lines, file.deleted_lines), (2, 1));
    }
}
