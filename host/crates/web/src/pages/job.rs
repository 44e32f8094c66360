//! One job: its timeline, checks, findings, mutants, events, files; its attempts side by side;
//! what may be done to it.

use job::store::{JobRow, JobStore as _};
use maud::{Markup, html};
use model::error::{Error, Kind, Result};
use model::outcome::{CheckEvidence, Verdict, check_log};
use model::result::LineWord;
use model::types::{CheckStatus, Severity};
use view::actions::Mode;
use view::files::Files;
use view::text::{bytes, clock, count, money, span};
use view::timeline;

use super::shared::{head, in_query, job_id, now, severity, state, took, when};
use super::{Section, frame};
use crate::answer::Values;
use crate::{Site, chart};

/// Events that are read for the timeline.
const EVENTS_MOST: u32 = 5000;
/// Of them, shown before somebody asks for all.
const EVENTS_SHOWN: usize = 60;
const FINDINGS_SHOWN: usize = 200;
const MUTANTS_SHOWN: usize = 200;

pub(super) fn page(site: &Site, id: &str, asked: &Values) -> Result<Markup> {
    let all_events = asked.get("events") == "all";
    let id = job_id(id)?;
    let row = site.store.get(&id)?;
    let files = Files::of(&site.config, &id);
    let events = site.store.events(&id, Some(0), EVENTS_MOST)?;
    let bars = timeline::bars(&events, now());
    let newest = if all_events { &events[..] } else { &events[events.len().saturating_sub(EVENTS_SHOWN)..] };
    let clean = |text: &str, max: usize| site.clean.line(text, max);
    let content = html! {
        (head(site, &row, "overview", files.attempts().len()))
        div data-part="facts" { (facts(site, &row)) }
        @if let Some(failure) = row.result.as_ref().and_then(|result| result.failure.as_ref()) {
            div.notice.bad role="note" {
                strong { (super::shared::words(&serde_json::json!(failure.kind))) }
                " " (clean(&failure.message, 400))
                @if !failure.hint.is_empty() { p { (clean(&failure.hint, 400)) } }
            }
        }
        div data-part="actions" { (actions(&row)) }
        section data-part="timeline" { h2 { "Timeline" } (chart::timeline(&bars, &clean)) }
        section data-part="checks" { h2 { "Checks" } (checks(site, &row, &files)) }
        section data-part="findings" { (findings(site, &files.findings(None))) }
        section data-part="mutants" { (mutants(site, &files.evidence())) }
        section { (request(site, &row)) }
        section data-part="events" {
            h2 { "Events" }
            @if newest.len() < events.len() {
                p { "The newest " (newest.len()) " of " (events.len()) ". " a href="?events=all" { "Show all" } }
            }
            table.events {
                thead.hidden { tr { th scope="col" { "Time" } th scope="col" { "Kind" } th scope="col" { "Text" } } }
                tbody {
                    @for event in newest.iter().rev() {
                        tr { td.time { (clock(event.at_ms)) } td { (clean(&event.kind, 20)) } td.text { (clean(&event.text, 400)) } }
                    }
                }
            }
        }
        section data-part="files" { (artifacts(&row, &files)) }
    };
    Ok(frame(&site.clean.line(&row.spec.prompt, 60), Section::Jobs, live(&row).as_deref(), content))
}

/// An ended job changes no more.
fn live(row: &JobRow) -> Option<String> {
    (!row.status.is_final()).then(|| format!("/live?job={}", row.id))
}

fn facts(site: &Site, row: &JobRow) -> Markup {
    let now = now();
    let result = row.result.as_ref();
    let sum = site.costs.table().ok().and_then(|table| table.job(row.id.as_str()));
    let usage = result.map(|result| &result.usage);
    let tokens = |of_result: Option<u64>, of_rows: Option<u64>| {
        of_result.or(of_rows).map_or_else(|| "–".to_owned(), count)
    };
    let directory = row.spec.allowed_dirs.first().map(|dir| dir.path().display().to_string());
    html! {
        dl.facts {
            div { dt { "State" } dd { (state(row)) } }
            div { dt { "Took" } dd { (took(row, now)) } }
            div { dt { "Created" } dd { (when(row.created_ms, now)) } }
            @if let Some(result) = result {
                div { dt { "Passes" } dd { (result.attempts) } }
                div { dt { "Files" } dd { (result.changed_files.len() + result.changed_files_omitted as usize) } }
            }
            div { dt { "Tokens in / out" } dd {
                (tokens(usage.and_then(|u| u.input_tokens), sum.map(|s| s.input))) " / "
                (tokens(usage.and_then(|u| u.output_tokens), sum.map(|s| s.output)))
            } }
            div { dt { "Cost" } dd { (sum.map_or_else(|| "–".to_owned(), |sum| money(sum.cost))) } }
            @if let Some(model) = &row.spec.model { div { dt { "Model" } dd { (site.clean.line(model, 80)) } } }
            @if let Some(directory) = directory {
                div.wide { dt { "Directory" } dd { code { (site.clean.line(&directory, 300)) } } }
            }
            @if let Some(branch) = result.and_then(|result| result.workspace.branch.as_ref()) {
                div.wide { dt { "Branch" } dd { code { (site.clean.line(branch, 300)) } } }
            }
            @for (name, value) in &row.spec.labels {
                div { dt { (site.clean.line(name, 60)) } dd { (site.clean.line(value, 100)) } }
            }
            @if let Some(earlier) = &row.spec.resume {
                div { dt { "Resumes" } dd { a href={ "/jobs/" (earlier) } { (&earlier.as_str()[..12]) } } }
            }
            @if let Some(reason) = &row.cancel_requested {
                div.wide { dt { "Cancel" } dd { (site.clean.line(reason, 300)) } }
            }
            @if let Some(result) = result {
                @if !result.summary.is_empty() {
                    div.wide { dt { "The agent says" } dd { (site.clean.line(&result.summary, 700)) } }
                }
                div.wide { dt { "Next" } dd { (site.clean.line(&result.next_action, 400)) } }
            }
        }
    }
}

fn actions(row: &JobRow) -> Markup {
    let id = &row.id;
    let changed = row.result.as_ref().is_some_and(|result| !result.changed_files.is_empty());
    html! {
        @if !row.status.is_final() {
            form.actions method="post" action={ "/jobs/" (id) "/cancel" } {
                button.bad type="submit" { "Cancel the job" }
            }
        } @else if changed && row.spec.isolation == config::Isolation::Worktree {
            form.actions method="post" action={ "/jobs/" (id) "/apply" } {
                button type="submit" name="mode" value="check" { "Try to apply" }
                button type="submit" name="mode" value="worktree" { "Apply to the files" }
                button type="submit" name="mode" value="branch" { "Apply as a branch" }
            }
        }
    }
}

fn checks(site: &Site, row: &JobRow, files: &Files) -> Markup {
    let id = &row.id;
    let Some(result) = &row.result else {
        return html! {
            @if row.spec.checks.is_empty() { p.quiet { "This job has no checks." } }
            @else {
                ul.checks { @for check in &row.spec.checks {
                    li { span.state.wait { "to run" } " " (site.clean.line(&check.name, 200))
                        " " code { (site.clean.line(&check.command, 300)) } }
                } }
            }
        };
    };
    let line = |n: usize, text: &str| {
        let verdict = result.check_verdicts.get(n);
        let word = verdict.map(|verdict| verdict.word);
        let (class, shown) = match word {
            Some(LineWord::Passed) => ("good", "passed"),
            Some(LineWord::Failed) => ("bad", "failed"),
            Some(LineWord::TimedOut) => ("bad", "timed out"),
            Some(LineWord::NotRun) => ("off", "not run"),
            Some(LineWord::Denied) => ("bad", "denied"),
            Some(LineWord::Warned) => ("warn", "warned"),
            Some(LineWord::Note) | None => ("off", "note"),
        };
        let name_bytes = verdict.map_or(0, |verdict| verdict.name_bytes);
        let name = text.get(..name_bytes).unwrap_or_default();
        let cut = name_bytes + word.map_or(0, |word| word.text().len());
        let detail = text.get(cut..).unwrap_or(text).trim();
        let detail = detail.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(detail);
        let declared = row.spec.checks.iter().find(|check| check.name == name);
        let log = declared.map(|check| check_log(&check.name)).filter(|log| files.has(log));
        html! {
            li {
                span.state.(class) { (shown) } " "
                @if !name.is_empty() { strong { (site.clean.line(name, 200)) } " " }
                @if let Some(log) = &log { a href={ "/jobs/" (id) "/log?name=" (in_query(log)) } { "log" } " " }
                @if let Some(check) = declared { code { (site.clean.line(&check.command, 200)) } " " }
                span.detail { (site.clean.line(detail, 400)) }
            }
        }
    };
    html! {
        @if result.checks.is_empty() { p.quiet { "Nothing was checked." } }
        @else { ul.checks { @for (n, text) in result.checks.iter().enumerate() { (line(n, text)) } } }
    }
}

fn place(site: &Site, verdict: &Verdict) -> Option<String> {
    let path = verdict.finding.path.as_ref()?;
    let path = site.clean.line(path, 300);
    Some(verdict.finding.line.map_or(path.clone(), |line| format!("{path}:{line}")))
}

/// What denies first.
fn sorted(verdicts: &[Verdict]) -> Vec<&Verdict> {
    let mut sorted: Vec<&Verdict> = verdicts.iter().collect();
    sorted.sort_by_key(|verdict| match verdict.finding.severity {
        Severity::Deny => 0,
        Severity::Warn => 1,
        Severity::Info => 2,
    });
    sorted
}

fn findings(site: &Site, verdicts: &[Verdict]) -> Markup {
    html! {
        @if !verdicts.is_empty() {
            h2 { "Findings " span.count { (verdicts.len()) } }
            ul.findings {
                @for verdict in sorted(verdicts).into_iter().take(FINDINGS_SHOWN) {
                    li {
                        (severity(verdict.finding.severity)) " "
                        strong { (site.clean.line(&verdict.finding.rule, 80)) } " "
                        span.by { (site.clean.line(&verdict.by, 80)) }
                        @if let Some(place) = place(site, verdict) { " " code { (place) } }
                        p { (site.clean.line(&verdict.finding.message, 600)) }
                        @if let Some(remedy) = &verdict.finding.remedy {
                            p.remedy { span.quiet { "Remedy: " } (site.clean.line(remedy, 600)) }
                        }
                    }
                }
            }
            @if verdicts.len() > FINDINGS_SHOWN {
                p { (verdicts.len() - FINDINGS_SHOWN) " more are in findings.json." }
            }
        }
    }
}

fn mutants(site: &Site, evidence: &[CheckEvidence]) -> Markup {
    let without = |status: CheckStatus| match status {
        CheckStatus::Passed => ("warn", "passes without the change"),
        CheckStatus::Failed => ("good", "fails without the change"),
        CheckStatus::TimedOut => ("off", "timed out without the change"),
        CheckStatus::NotRun => ("off", "could not be run without the change"),
    };
    let shown = |check: &CheckEvidence| {
        let killed = check.mutants.iter().filter(|mutant| mutant.killed).count();
        html! {
            h3 { (site.clean.line(&check.check, 200)) }
            @if let Some(status) = check.without_change {
                @let (class, word) = without(status);
                p { span.state.(class) { (word) } }
            }
            @if !check.mutants.is_empty() {
                p { (killed) " of " (check.mutants.len()) " mutants killed" }
                ul.mutants {
                    @for (n, mutant) in check.mutants.iter().take(MUTANTS_SHOWN).enumerate() {
                        li {
                            details id={ "mutant-" (site.clean.line(&check.check, 40).replace(' ', "-")) "-" (n) } {
                                summary {
                                    @if mutant.killed { span.state.good { "killed" } } @else { span.state.bad { "survived" } }
                                    " " (site.clean.line(&mutant.mutator, 60)) ": " (site.clean.line(&mutant.altered, 300))
                                    " " code { (site.clean.line(&mutant.path, 200)) ":" (mutant.line) }
                                }
                                (super::diff::snippet(site, &mutant.path, &mutant.diff))
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if !evidence.is_empty() {
            h2 { "What the checks can tell" }
            @for check in evidence { (shown(check)) }
        }
    }
}

fn request(site: &Site, row: &JobRow) -> Markup {
    let spec = &row.spec;
    html! {
        h2 { "Task" }
        pre.prose { (site.clean.prose(view::files::prefix(&spec.prompt, 20_000))) }
        dl.facts {
            @if let Some(scope) = &spec.scoped_patch {
                div.wide { dt { "Scope" } dd { code { (site.clean.line(&scope.paths.join(", "), 400)) } } }
            }
            div { dt { "Isolation" } dd { (super::shared::words(&serde_json::json!(spec.isolation))) } }
            div { dt { "Further passes" } dd { (spec.max_revise_passes) } }
            div { dt { "Time limit" } dd { (span(i64::try_from(spec.timeout_ms).unwrap_or(i64::MAX))) } }
        }
    }
}

fn artifacts(row: &JobRow, files: &Files) -> Markup {
    let id = &row.id;
    html! {
        @if !files.names.is_empty() {
            h2 { "Files" }
            ul.files {
                @for artifact in files.names.iter().take(200) {
                    @let name = in_query(&artifact.name);
                    li {
                        a href={ "/jobs/" (id) "/log?name=" (name) } { (artifact.name) }
                        " " span.quiet { (bytes(artifact.bytes)) } " "
                        a href={ "/jobs/" (id) "/file?name=" (name) } download { "download" }
                        @if artifact.redacted { " " span.state.warn { "masked" } }
                    }
                }
            }
        }
    }
}

/// The passes side by side.
pub(super) fn attempts(site: &Site, id: &str, _: &Values) -> Result<Markup> {
    let id = job_id(id)?;
    let row = site.store.get(&id)?;
    let files = Files::of(&site.config, &id);
    let bars = timeline::bars(&site.store.events(&id, Some(0), EVENTS_MOST)?, now());
    let last = bars.iter().map(|bar| bar.pass).max().unwrap_or(0);
    let passes: Vec<u32> = (1..=last.max(files.attempts().last().copied().unwrap_or(0)).min(20)).collect();
    let column = |pass: u32| {
        let kept = files.attempts().contains(&pass);
        let at = kept.then_some(pass);
        let verdicts = files.findings(at);
        let stat = files.diff(at).and_then(|name| files.head(&name, super::diff::DIFF_MAX).ok());
        let changed = stat.map(|piece| view::diff::parse(&piece.text, usize::MAX).0).unwrap_or_default();
        html! {
            article {
                h2 { "Pass " (pass) }
                ul.checks {
                    @for bar in bars.iter().filter(|bar| bar.pass == pass) {
                        @let class = match bar.kind {
                            timeline::Kind::Good => "good", timeline::Kind::Bad => "bad",
                            timeline::Kind::Warn => "warn", timeline::Kind::Agent => "go", _ => "off",
                        };
                        li { span.state.(class) { (site.clean.line(&bar.lane, 60)) } " "
                            (site.clean.line(&bar.text, 240)) " " span.quiet { (span(bar.to_ms - bar.from_ms)) } }
                    }
                }
                h3 { "Files" }
                @if changed.is_empty() { p.quiet { "None." } } @else {
                    ul.stat {
                        @for file in changed.iter().take(100) {
                            li { code { (site.clean.line(&file.path, 200)) } " "
                                span.plus { "+" (file.added) } " " span.minus { "−" (file.removed) } }
                        }
                    }
                    p { a href={ "/jobs/" (id) "/diff" (at.map_or(String::new(), |n| format!("?attempt={n}"))) } { "Diff of this pass" } }
                }
                @for (name, artifact) in files.logs(at) {
                    p { a href={ "/jobs/" (id) "/log?name=" (in_query(&artifact.name)) } { "Log: " (name) } }
                }
                @let said: Vec<&Verdict> = sorted(&verdicts).into_iter().filter(|v| v.finding.severity != Severity::Info).collect();
                @if !said.is_empty() {
                    h3 { "Findings" }
                    ul.findings { @for verdict in said.into_iter().take(50) {
                        li { (severity(verdict.finding.severity)) " " strong { (site.clean.line(&verdict.finding.rule, 80)) }
                            p { (site.clean.line(&verdict.finding.message, 400)) } }
                    } }
                }
            }
        }
    };
    let content = html! {
        (head(site, &row, "attempts", files.attempts().len()))
        div.attempts data-part="attempts" {
            @if passes.is_empty() { p.quiet { "The job has not begun." } }
            @for pass in passes { (column(pass)) }
        }
    };
    Ok(frame("Attempts", Section::Jobs, live(&row).as_deref(), content))
}

/// Ends the job; the page that follows says how that went.
pub(super) fn cancel(site: &Site, id: &str, _: &Values) -> Result<Markup> {
    let id = job_id(id)?;
    let said = (site.actions.cancel)(&id, "cancelled on the page".to_owned())?;
    Ok(done(site, &id, "Cancel", &said))
}

/// Brings the change to the user.
pub(super) fn apply(site: &Site, id: &str, form: &Values) -> Result<Markup> {
    let id = job_id(id)?;
    let mode = match form.get("mode") {
        "check" => Mode::Check,
        "worktree" => Mode::Worktree,
        "branch" => Mode::Branch,
        _ => return Err(Error::new(Kind::Usage, "mode must be check, worktree or branch")),
    };
    let said = (site.actions.apply)(&id, mode)?;
    Ok(done(site, &id, "Apply", &said))
}

fn done(site: &Site, id: &model::spec::JobId, what: &str, said: &str) -> Markup {
    let content = html! {
        p.up { a href={ "/jobs/" (id) } data-key="u" { "Back to the job" } }
        h1 { (what) }
        pre.prose { (site.clean.prose(said)) }
    };
    frame(what, Section::Jobs, None, content)
}
