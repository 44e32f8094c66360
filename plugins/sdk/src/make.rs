//! Short ways to write the values of [`crate::types`]: findings in a policy, inputs in
//! examples and tests.

use crate::types::*;

impl Finding {
    /// A finding that fails the job (or sends it back for another pass).
    pub fn deny(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Deny, rule, message)
    }

    /// A finding for information.
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

impl TextFile {
    /// A test, or what tests compare with.
    pub fn test(path: impl Into<String>, content: impl Into<String>) -> Self {
        TextFile { path: path.into(), content: content.into(), role: FileRole::Test }
    }

    /// A changed file that is no test.
    pub fn source(path: impl Into<String>, content: impl Into<String>) -> Self {
        TextFile { role: FileRole::Source, ..TextFile::test(path, content) }
    }

    /// What defines a check.
    pub fn definition(path: impl Into<String>, content: impl Into<String>) -> Self {
        TextFile { role: FileRole::Definition, ..TextFile::test(path, content) }
    }
}

impl PassedCheck {
    /// A check that passed in the base directory.
    pub fn new(name: impl Into<String>, command: impl Into<String>) -> Self {
        PassedCheck { name: name.into(), command: command.into(), ..PassedCheck::default() }
    }

    /// What a signals policy read from its output.
    pub fn signal(mut self, runner: impl Into<String>, passed: u32) -> Self {
        self.signals.push(Signal { runner: runner.into(), passed, ..Signal::default() });
        self
    }
}

impl MutationInput {
    /// These checks and files, a job that changed nothing, and a budget of ten mutants.
    pub fn new(
        checks: impl IntoIterator<Item = PassedCheck>,
        files: impl IntoIterator<Item = TextFile>,
    ) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        MutationInput {
            job: JobFacts::new("make it work"),
            checks: checks.into_iter().collect(),
            files,
            budget: Budget { max_mutants: 10, max_bytes: 64 * 1024 },
            ..MutationInput::default()
        }
    }
}

impl Mutant {
    /// Puts `text` in the place of what a test expects, the bytes `range` of the file.
    pub fn oracle(
        file: &TextFile,
        range: std::ops::Range<usize>,
        text: impl Into<String>,
        altered: impl Into<String>,
    ) -> Self {
        let before = file.content.as_bytes().get(..range.start).unwrap_or_default();
        Mutant {
            path: file.path.clone(),
            start: range.start as u32,
            end: range.end as u32,
            text: text.into(),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count() as u32,
            mutator: "expected-value".into(),
            altered: altered.into(),
            ..Mutant::default()
        }
    }

    /// Puts `text` in the place of what the change made.
    pub fn source(
        file: &TextFile,
        range: std::ops::Range<usize>,
        text: impl Into<String>,
        altered: impl Into<String>,
    ) -> Self {
        Mutant {
            kind: MutantKind::Source,
            mutator: "function-body".into(),
            ..Mutant::oracle(file, range, text, altered)
        }
    }

    /// The mutator's stable name.
    pub fn mutator(mut self, name: impl Into<String>) -> Self {
        self.mutator = name.into();
        self
    }

    /// A check that must fail.
    pub fn check(mut self, name: impl Into<String>) -> Self {
        self.checks.push(name.into());
        self
    }

    /// The test's name, from the outermost suite inwards.
    pub fn test<S: Into<String>>(mut self, parts: impl IntoIterator<Item = S>) -> Self {
        self.test = parts.into_iter().map(Into::into).collect();
        self
    }

    /// The file's content with the alteration; `None` if the range is none of it.
    pub fn applied(&self, content: &str) -> Option<String> {
        let (start, end) = (self.start as usize, self.end as usize);
        let kept = (content.get(..start)?, content.get(end..)?);
        (start <= end).then(|| [kept.0, &self.text, kept.1].concat())
    }
}

impl NotMutated {
    /// The check as a whole could not be mutated.
    pub fn new(check: impl Into<String>, reason: impl Into<String>) -> Self {
        NotMutated { check: check.into(), path: None, reason: reason.into() }
    }

    /// The file it is about.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
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

    #[test]
    fn a_mutant_is_applied_within_its_file_alone() {
        let file = TextFile::test("a.py", "x = 1\nassert x == 1\n");
        let mutant = Mutant::oracle(&file, 18..19, "2", "expected 1 became 2");
        assert_eq!(mutant.line, 2);
        assert_eq!(mutant.applied(&file.content).as_deref(), Some("x = 1\nassert x == 2\n"));
        assert_eq!(mutant.applied("short"), None);
        assert_eq!(Mutant { end: 3, ..mutant }.applied(&file.content), None);
    }

    #[test]
    fn a_test_is_named_by_its_parts() {
        let mutant = Mutant::default().test(["Money", "adds"]);
        for (id, expected) in [
            ("tests/test_a.py::Money::adds", true),
            ("Money > adds two numbers", true),
            ("m.Money.adds", true),
            ("adds(Money)", true),
            ("Money#test_0001_adds", true),
            ("Money::adds_typed", false),
            ("MoneyTest::adds", false),
            ("Money", false),
        ] {
            assert_eq!(mutant.is_of_test(id), expected, "{id}");
        }
        assert!(!Mutant::default().is_of_test("anything"));
    }
}
