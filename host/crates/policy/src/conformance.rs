//! The conformance kit: properties that every policy of an interface keeps, tried on generated
//! inputs. `plugin check` and the tests of the shipped policies run them.

use serde::Serialize;

use super::accept;
use super::ask::{Answer, OwnedQuestion};
use super::compose;
use super::inspect::Interface;
use super::limits::Limits;
use super::plugin::{Example, Plugin};
use model::types::*;

/// How a property was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The interface.
    pub interface: Interface,
    /// The property, as a sentence.
    #[serde(rename = "law")]
    pub property: &'static str,
    /// Inputs tried; 0 when the plugin gives nothing to try it with.
    pub cases: u32,
    /// The first input that broke it, and how.
    pub broken: Option<String>,
}

/// Lines that hold no secret and look a little as if: none of them may be masked.
pub const BENIGN: [&str; 12] = [
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "index 83baae6..57f9a1c 100644",
    "id: 6f1c2f1e-5b0a-4c3f-9d57-0c6f3b1b2a77",
    "\"integrity\": \"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==\"",
    "checksum = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
    "    at Object.<anonymous> (/home/user/project/src/index.test.ts:12:34)",
    "test result: ok. 120 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 4.21s",
    "fn token_count(tokens: &[Token]) -> usize { tokens.len() }",
    "password: String,",
    "let api_key = env(\"API_KEY\")?;",
    "https://example.com/path?query=value#fragment",
    "2026-11-22T21:10:16.123456Z INFO server listening on 127.0.0.1:8080",
];

const CASES: u32 = 40;
/// Bytes of the largest input that a policy is ever asked about.
const LARGE: usize = Limits::MAX_INPUT as usize;
/// Bytes of the longest task that a job may have.
const LONGEST_TASK: usize = 1_000_000;

/// Tries the properties of each interface that the plugin exports. `examples` are its own: they
/// hold the secrets that a redaction policy knows.
pub fn try_all(plugin: &Plugin, examples: &[Example]) -> Vec<Tried> {
    let kit = Kit { plugin, examples };
    let mut tried = Vec::new();
    for interface in plugin.id.interfaces.iter().copied() {
        tried.push(kit.property(
            interface,
            "the same input gives the same bytes twice and in a fresh instance",
            |k, g| k.same_bytes(interface, g),
        ));
        match interface {
            Interface::Scope => {
                tried.push(kit.property(
                    interface,
                    "another file out of scope never turns deny into allow",
                    Kit::monotone,
                ));
                tried.push(kit.property(interface, "the order of the files does not matter", Kit::order));
            }
            Interface::Verifier => {}
            Interface::Signals => {
                tried.push(kit.property(interface, "any bytes are read without failing", Kit::total));
            }
            Interface::Redaction => {
                tried.push(kit.property(
                    interface,
                    "what is masked stays masked, nothing else is found, and the number of lines stays",
                    Kit::idempotent,
                ));
                let planted = "a secret of its examples is found wherever the text is cut, with CRLF and beside other scripts";
                tried.push(match kit.secrets().is_empty() {
                    true => Tried { interface, property: planted, cases: 0, broken: None },
                    false => kit.property(interface, planted, Kit::planted),
                });
                tried.push(kit.once(interface, "lines without a secret are left alone", Kit::benign));
            }
            Interface::Prompt => {
                tried.push(kit.property(interface, "the task's text survives verbatim", Kit::verbatim));
                tried.push(kit.property(
                    interface,
                    "two jobs that differ in the task alone share the stable part",
                    Kit::stable,
                ));
            }
            Interface::Mutation => tried.push(kit.property(
                interface,
                "every check is named by a mutant, or it is said why there is none",
                Kit::spoken_for,
            )),
        }
        tried.push(
            kit.once(interface, "the largest input is answered within the limits", |k| k.large(interface)),
        );
    }
    tried
}

struct Kit<'a> {
    plugin: &'a Plugin,
    examples: &'a [Example],
}

/// A small generator: the same cases on every machine, so that a broken property can be seen again.
struct Gen(u64);

impl Gen {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.next(from.len())]
    }

    fn path(&mut self) -> String {
        const PARTS: [&str; 14] = [
            "src",
            "tests",
            "SRC",
            "a",
            "ä",
            "..x",
            ".git",
            ".github",
            "workflows",
            "lib.rs",
            "Makefile",
            "x y",
            "\\x80",
            "package.json",
        ];
        let parts: Vec<_> = (0..1 + self.next(3)).map(|_| *self.pick(&PARTS)).collect();
        parts.join("/")
    }

    fn text(&mut self, most: usize) -> String {
        const PIECES: [&str; 16] = [
            "a",
            " ",
            "\n",
            "\r\n",
            "\u{1b}[31m",
            "é",
            "𝄞",
            "passed",
            "FAILED",
            "test result: ok. ",
            "12",
            "::",
            "=== ",
            "<testsuite tests=\"1\"",
            "{\"a\":",
            "\u{202e}",
        ];
        let mut text = String::new();
        for _ in 0..self.next(most) {
            match self.next(5) {
                // Any character at all, NUL and the highest planes included.
                0 => text.extend(char::from_u32(self.next(0x11_0000) as u32)),
                _ => {
                    let piece = *self.pick(&PIECES);
                    text.push_str(piece);
                }
            }
        }
        text
    }

    fn file(&mut self) -> ChangedFile {
        let kinds = [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted, ChangeKind::Renamed];
        let kind = *self.pick(&kinds);
        let is = |yes, kind| if yes { FileKind::Absent } else { kind };
        let patch = format!(
            "@@ -1 +1,2 @@\n-{}\n+{}\n",
            self.text(6).replace(['\n', '\r'], ""),
            self.text(6).replace(['\n', '\r'], "")
        );
        ChangedFile {
            path: self.path(),
            old_path: (kind == ChangeKind::Renamed).then(|| self.path()),
            kind,
            old_kind: is(kind == ChangeKind::Added, FileKind::Regular),
            new_kind: is(kind == ChangeKind::Deleted, FileKind::Regular),
            symlink_target: None,
            ignored: self.next(8) == 0,
            hard_linked: self.next(16) == 0,
            binary: false,
            size: 10,
            added_lines: 1,
            deleted_lines: 1,
            patch: Some(patch),
            patch_truncated: false,
        }
    }

    fn changes(&mut self) -> ChangeSet {
        let mut files: Vec<_> = (0..self.next(8)).map(|_| self.file()).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        ChangeSet { total_files: files.len() as u32, diff_bytes: 100, files, ..ChangeSet::default() }
    }

    fn job(&mut self) -> JobFacts {
        JobFacts {
            task: format!("fix {}", self.text(8)),
            scope: Some(ScopeDeclaration {
                paths: vec!["src".into(), "lib.rs".into()],
                max_diff_bytes: None,
            }),
            checks: vec![CheckSpec { name: "unit".into(), command: "make test".into() }],
            attempt: 1,
            max_attempts: 2,
            expects_change: true,
        }
    }

    fn verify(&mut self) -> VerifyInput {
        let check = CheckResult {
            name: "unit".into(),
            command: "make test".into(),
            status: *self.pick(&[CheckStatus::Passed, CheckStatus::Failed, CheckStatus::TimedOut]),
            exit_code: Some(0),
            signal: None,
            duration_ms: 5,
            output: self.text(20),
            output_truncated: false,
            signals: Vec::new(),
            baseline: None,
            baseline_signals: Vec::new(),
            guarded: None,
        };
        VerifyInput {
            job: self.job(),
            changes: self.changes(),
            checks: vec![check],
            agent: AgentOutcome {
                ended: AgentEnd::Completed,
                turns: 2,
                tool_calls: 3,
                permission_denials: 0,
                claim: self.text(10),
                commands: vec!["make test".into()],
            },
        }
    }

    fn output(&mut self, most: usize) -> CommandOutput {
        CommandOutput {
            name: "unit".into(),
            command: "make test".into(),
            exit_code: Some(1),
            output: self.text(most),
            reports: vec![ReportFile { path: "report.xml".into(), content: self.text(most) }],
        }
    }

    fn prompt(&mut self) -> PromptInput {
        let job = self.job();
        let draft = Draft { stable: String::new(), body: job.task.clone() };
        PromptInput { job, draft, repair: None, fence: "f00d".into() }
    }

    fn mutation(&mut self, most: usize) -> MutationInput {
        let test = format!("def test_a():\n    assert f({}) == {}\n", self.next(9), self.next(9));
        let file = |path: &str, content: String, role| TextFile { path: path.into(), content, role };
        MutationInput {
            job: self.job(),
            changes: self.changes(),
            checks: vec![PassedCheck {
                name: "unit".into(),
                command: "python3 -m pytest".into(),
                ..PassedCheck::default()
            }],
            files: vec![
                file("a.py", self.text(most), FileRole::Source),
                file("test_a.py", test, FileRole::Test),
            ],
            tier: Tier::Standard,
            budget: Budget { max_mutants: 8, max_bytes: 4096 },
        }
    }

    fn question(&mut self, interface: Interface) -> OwnedQuestion {
        match interface {
            Interface::Scope => OwnedQuestion::Scope(ScopeInput { job: self.job(), changes: self.changes() }),
            Interface::Verifier => OwnedQuestion::Verifier(self.verify()),
            Interface::Signals => OwnedQuestion::Signals(self.output(60)),
            Interface::Redaction => {
                OwnedQuestion::Redaction(RedactInput { text: self.text(60), carry: String::new() })
            }
            Interface::Prompt => OwnedQuestion::Prompt(self.prompt()),
            Interface::Mutation => OwnedQuestion::Mutation(self.mutation(60)),
        }
    }
}

type Kept = Result<(), String>;

impl Kit<'_> {
    fn property(
        &self,
        interface: Interface,
        property: &'static str,
        holds: impl Fn(&Self, &mut Gen) -> Kept,
    ) -> Tried {
        let mut generator = Gen(0x9e37_79b9_7f4a_7c15);
        let broken = (0..CASES).find_map(|_| holds(self, &mut generator).err());
        Tried {
            interface,
            property,
            cases: CASES,
            broken: broken.map(|text| redact::sanitize::line(&text, 600)),
        }
    }

    fn once(&self, interface: Interface, property: &'static str, holds: impl Fn(&Self) -> Kept) -> Tried {
        let broken = holds(self).err().map(|text| redact::sanitize::line(&text, 600));
        Tried { interface, property, cases: 1, broken }
    }

    fn ask(&self, question: &OwnedQuestion) -> Result<Answer, String> {
        let size = match question {
            OwnedQuestion::Redaction(input) => input.text.len() as u64,
            _ => 4096,
        };
        self.plugin.ask(question.as_question(), size).answer.map_err(|error| error.to_string())
    }

    fn scope(&self, job: &JobFacts, changes: ChangeSet) -> Result<Vec<Finding>, String> {
        let question = OwnedQuestion::Scope(ScopeInput { job: job.clone(), changes });
        match self.ask(&question)? {
            Answer::Findings(findings) => Ok(findings),
            other => Err(format!("answered {other:?}")),
        }
    }

    fn found(&self, text: &str, carry: &str) -> Result<Found, String> {
        let question = OwnedQuestion::Redaction(RedactInput { text: text.into(), carry: carry.into() });
        match self.ask(&question)? {
            Answer::Found(found) => Ok(found),
            other => Err(format!("answered {other:?}")),
        }
    }

    fn draft(&self, input: PromptInput) -> Result<Draft, String> {
        match self.ask(&OwnedQuestion::Prompt(input))? {
            Answer::Draft(draft) => Ok(draft),
            other => Err(format!("answered {other:?}")),
        }
    }

    fn same_bytes(&self, interface: Interface, g: &mut Gen) -> Kept {
        let question = g.question(interface);
        let first = self.ask(&question)?;
        let second = self.ask(&question)?;
        self.plugin.forget();
        let fresh = self.ask(&question)?;
        match first == second && second == fresh {
            true => Ok(()),
            false => Err(format!("{question:?} gave {first:?}, then {second:?}, then fresh {fresh:?}")),
        }
    }

    fn monotone(&self, g: &mut Gen) -> Kept {
        let (job, mut changes) = (g.job(), g.changes());
        let before = compose::verdict(&self.scope(&job, changes.clone())?);
        changes.files.push(ChangedFile { path: "zzz-out-of-scope/file".into(), ..g.file() });
        changes.total_files += 1;
        let after = compose::verdict(&self.scope(&job, changes.clone())?);
        match before == Some(Severity::Deny) && after != Some(Severity::Deny) {
            true => Err(format!("{changes:?} is denied only without its last file")),
            false => Ok(()),
        }
    }

    fn order(&self, g: &mut Gen) -> Kept {
        let (job, changes) = (g.job(), g.changes());
        let mut reversed = changes.clone();
        reversed.files.reverse();
        let sorted = |mut findings: Vec<Finding>| {
            findings.sort_by(|a, b| (&a.rule, &a.path, &a.message).cmp(&(&b.rule, &b.path, &b.message)));
            findings
        };
        let (one, other) = (sorted(self.scope(&job, changes.clone())?), sorted(self.scope(&job, reversed)?));
        if one == other { Ok(()) } else { Err(format!("{changes:?} gave {one:?}, reversed {other:?}")) }
    }

    fn total(&self, g: &mut Gen) -> Kept {
        self.ask(&OwnedQuestion::Signals(g.output(400))).map(drop)
    }

    fn idempotent(&self, g: &mut Gen) -> Kept {
        let mut text = g.text(40);
        if let Some((line, _)) = self.secrets().get(g.next(64)) {
            text = format!("{text}\n{line}\n");
        }
        let once = mask(&text, &self.found(&text, "")?);
        let twice = mask(&once, &self.found(&once, "")?);
        let lines = |text: &str| text.matches('\n').count();
        match once == twice && lines(&once) == lines(&text) {
            true => Ok(()),
            false => Err(format!("{text:?} became {once:?}, then {twice:?}")),
        }
    }

    /// Text and masked parts of the plugin's own examples that carry nothing in or out.
    fn secrets(&self) -> Vec<(String, Vec<String>)> {
        let own = self.examples.iter().filter(|e| e.interface == "redaction" && e.config.trim().is_empty());
        own.filter_map(|example| {
            let input: RedactInput = serde_json::from_str(&example.input).ok()?;
            let found: Found = serde_json::from_str(&example.expected).ok()?;
            if !input.carry.is_empty() || !found.carry.is_empty() || found.spans.is_empty() {
                return None;
            }
            let part =
                |span: &Span| input.text.get(span.start as usize..span.end as usize).map(str::to_owned);
            let parts = found.spans.iter().filter_map(part).collect();
            Some((input.text.trim_end_matches(['\r', '\n']).to_owned(), parts))
        })
        .collect()
    }

    fn planted(&self, g: &mut Gen) -> Kept {
        let secrets = self.secrets();
        let (line, parts) = g.pick(&secrets).clone();
        let around = ["", "ünï\u{2003}çødé 𝄞", "plain text", "\u{1b}[1mbold\u{1b}[0m"];
        let (before, after) = (*g.pick(&around), *g.pick(&around));
        let text = format!("{before}\n{line}\n{after}\n");
        let crlf = text.replace('\n', "\r\n");
        for text in [text, crlf] {
            // Whole, and cut behind each line in turn.
            let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
            for cut in ends {
                let first = self.found(&text[..cut], "")?;
                let mut masked = mask(&text[..cut], &first);
                if cut < text.len() {
                    let second = self.found(&text[cut..], &first.carry)?;
                    masked += &mask(&text[cut..], &second);
                }
                if let Some(part) =
                    parts.iter().filter(|part| part.len() >= 6).find(|part| masked.contains(part.as_str()))
                {
                    return Err(format!("{part:?} came through in {text:?} cut at {cut}"));
                }
                if masked.matches('\n').count() != text.matches('\n').count() {
                    return Err(format!("the number of lines of {text:?} changed"));
                }
            }
        }
        Ok(())
    }

    fn benign(&self) -> Kept {
        for line in BENIGN {
            let found = self.found(&format!("{line}\n"), "")?;
            if let Some(span) = found.spans.first() {
                return Err(format!("rule {} masks a part of {line:?}", span.rule));
            }
        }
        Ok(())
    }

    fn verbatim(&self, g: &mut Gen) -> Kept {
        let input = g.prompt();
        let task = input.job.task.clone();
        let draft = self.draft(input)?;
        if draft.body.contains(&task) { Ok(()) } else { Err(format!("{task:?} became {:?}", draft.body)) }
    }

    fn stable(&self, g: &mut Gen) -> Kept {
        let one = g.prompt();
        let mut other = one.clone();
        other.job.task = format!("another task {}", g.next(1000));
        other.draft.body = other.job.task.clone();
        let (one, other) = (self.draft(one)?.stable, self.draft(other)?.stable);
        if one == other { Ok(()) } else { Err(format!("{one:?} and {other:?}")) }
    }

    fn spoken_for(&self, g: &mut Gen) -> Kept {
        let input = g.mutation(60);
        let Answer::Mutants(mutants) = self.ask(&OwnedQuestion::Mutation(input.clone()))? else {
            return Err("answered something else".to_owned());
        };
        for check in &input.checks {
            let mutated = mutants.mutants.iter().any(|mutant| mutant.checks.contains(&check.name));
            if !mutated && !mutants.not_mutated.iter().any(|not| not.check == check.name) {
                return Err(format!("nothing is said of the check {}", check.name));
            }
        }
        Ok(())
    }

    fn large(&self, interface: Interface) -> Kept {
        let mut g = Gen(7);
        let line = format!("{} {}\n", BENIGN[0], BENIGN[6]);
        let lines = line.repeat(LARGE / line.len());
        // Some tools print everything on one line.
        let one_line = lines.replace('\n', " ");
        let questions = match interface {
            Interface::Scope | Interface::Verifier => {
                const FILES: usize = 2_000;
                let added = "+    let value = compute(1, 2, 3);\n";
                let hunk = format!("@@ -1 +1,400 @@\n{}", added.repeat(LARGE / FILES / added.len() - 4));
                let file = |at: usize| ChangedFile {
                    path: format!("src/dir{}/file{at}.rs", at % 50),
                    patch: Some(hunk.clone()),
                    ..g.file()
                };
                let files: Vec<_> = (0..FILES).map(file).collect();
                let total_files = FILES as u32;
                let changes =
                    ChangeSet { total_files, diff_bytes: LARGE as u64, files, ..ChangeSet::default() };
                vec![match interface {
                    Interface::Scope => OwnedQuestion::Scope(ScopeInput { job: g.job(), changes }),
                    _ => OwnedQuestion::Verifier(VerifyInput { changes, ..g.verify() }),
                }]
            }
            Interface::Signals => [lines, one_line]
                .into_iter()
                .map(|output| OwnedQuestion::Signals(CommandOutput { output, ..g.output(3) }))
                .collect(),
            Interface::Redaction => [lines, one_line]
                .into_iter()
                .map(|text| OwnedQuestion::Redaction(RedactInput { text, carry: String::new() }))
                .collect(),
            Interface::Prompt => {
                let mut input = g.prompt();
                let line = "line of a task\n";
                input.job.task = line.repeat(LONGEST_TASK / line.len());
                input.draft.body = input.job.task.clone();
                vec![OwnedQuestion::Prompt(input)]
            }
            Interface::Mutation => [lines, one_line]
                .into_iter()
                .map(|content| {
                    let mut input = g.mutation(3);
                    input.files[0].content = content;
                    OwnedQuestion::Mutation(input)
                })
                .collect(),
        };
        for question in questions {
            let call = self.plugin.ask(question.as_question(), LARGE as u64);
            call.answer.map_err(|error| format!("{error}, after {} ms", call.micros / 1000))?;
        }
        Ok(())
    }
}

/// Replaces what was found by the host's own marker.
pub fn mask(text: &str, found: &Found) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for span in &found.spans {
        out.push_str(&text[from..span.start as usize]);
        out.push_str("[REDACTED:");
        out.push_str(&accept::rule(&span.rule));
        out.push(']');
        from = span.end as usize;
    }
    out.push_str(&text[from..]);
    out
}
