//! The rules, each a function from the change set to findings.

use std::collections::BTreeMap;

use codex_worker_policy::{ChangeKind, ChangeSet, ChangedFile, FileKind, Finding, JobFacts, Severity};

use crate::Config;
use crate::commands;
use crate::declare::{Declaration, has_drive};
use crate::names::{components, deceives, fold, visible};
use crate::package_json;
use crate::sensitive::Sensitive;

/// Findings of one rule that are listed one by one; the rest are counted.
const LISTED: usize = 100;

/// What the rules look at.
pub struct Case<'a> {
    /// The job.
    pub job: &'a JobFacts,
    /// What changed.
    pub changes: &'a ChangeSet,
    /// The files in order of their path, whatever order they came in.
    pub files: Vec<&'a ChangedFile>,
    /// The declaration, when the job has one.
    pub scope: Option<Declaration>,
    /// The operator's settings.
    pub config: &'a Config,
    /// The list of sensitive files in force.
    pub sensitive: &'a Sensitive,
}

/// All findings, the strictest first, then by path.
pub fn judge(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    declaration(case, &mut findings);
    internals(case, &mut findings);
    size(case, &mut findings);
    let mut ignored: BTreeMap<String, u32> = BTreeMap::new();
    let check_files: Vec<(String, &str)> = case
        .job
        .checks
        .iter()
        .flat_map(|check| {
            commands::files_of(&check.command).into_iter().map(|file| (fold(&file), check.name.as_str()))
        })
        .collect();
    for file in &case.files {
        outside(case, file, &mut ignored, &mut findings);
        symlink(case, file, &mut findings);
        repositories(case, file, &mut findings);
        sensitive(case, file, &check_files, &mut findings);
        oddities(file, &mut findings);
    }
    twins(case, &mut findings);
    report_ignored(case, ignored, &mut findings);
    findings.sort_by(|a, b| {
        (a.severity, &a.path, &a.rule, &a.message).cmp(&(b.severity, &b.path, &b.rule, &b.message))
    });
    cap(findings)
}

fn finding(rule: &str, severity: Severity, path: Option<&str>, message: String, remedy: String) -> Finding {
    Finding {
        rule: rule.into(),
        severity,
        message,
        path: path.map(Into::into),
        line: None,
        remedy: Some(remedy),
    }
}

fn declaration(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let Some(scope) = &case.scope else { return };
    for why in &scope.refused {
        findings.push(finding(
            "bad-scope",
            Severity::Deny,
            None,
            format!("the scope cannot be used: {}", visible(why)),
            "the agent cannot satisfy this: start the job again with a corrected `scoped_patch.paths`".into(),
        ));
    }
}

fn internals(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let changed = &case.changes.internals_changed;
    if changed.is_empty() {
        return;
    }
    let mut names: Vec<String> = changed.iter().map(|name| format!("`{}`", visible(name))).collect();
    names.sort();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    findings.push(finding(
        "internals-changed",
        Severity::Deny,
        None,
        format!("the repository's own internals changed: {}{tail}", names.join(", ")),
        "leave git's configuration, hooks and references alone: undo what was done to them, and use no git command that writes".into(),
    ));
}

fn size(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let declared = case.job.scope.as_ref().and_then(|scope| scope.max_diff_bytes);
    if let Some(limit) = declared.or(case.config.max_diff_bytes)
        && case.changes.diff_bytes > limit
    {
        findings.push(finding(
            "diff-too-large",
            Severity::Deny,
            None,
            format!("the diff has {} bytes, and {limit} are allowed", case.changes.diff_bytes),
            "make the change smaller: undo what the task does not need, such as reformatting and generated files".into(),
        ));
    }
    let total = case.changes.total_files as usize;
    if let Some(limit) = case.config.max_files
        && total > limit as usize
    {
        findings.push(finding(
            "too-many-files",
            Severity::Deny,
            None,
            format!("{total} files changed, and {limit} are allowed"),
            "change fewer files: undo what the task does not need".into(),
        ));
    }
    if total > case.files.len() {
        // With a scope, what was not seen was not judged: fail closed.
        let severity = if case.scope.is_some() { Severity::Deny } else { Severity::Warn };
        findings.push(finding(
            "unjudged-files",
            severity,
            None,
            format!(
                "{total} files changed and only the first {} were handed to this policy",
                case.files.len()
            ),
            "change fewer files: remove what builds and package managers left behind".into(),
        ));
    }
}

fn outside(
    case: &Case<'_>,
    file: &ChangedFile,
    ignored: &mut BTreeMap<String, u32>,
    findings: &mut Vec<Finding>,
) {
    let shown = visible(&file.path);
    if escapes(&file.path) || file.old_path.as_deref().is_some_and(escapes) {
        findings.push(finding(
            "path-escape",
            Severity::Deny,
            Some(&file.path),
            format!("`{shown}` does not lie below the job's directory"),
            "write below the job's directory only".into(),
        ));
        return;
    }
    if file.ignored {
        let names = components(&file.path);
        let top = if names.len() > 1 { format!("{}/", names[0]) } else { file.path.clone() };
        *ignored.entry(top).or_default() += 1;
    }
    let Some(scope) = &case.scope else { return };
    if !scope.refused.is_empty() && scope.entries.is_empty() {
        return; // `bad-scope` has said it.
    }
    let loose = case.changes.case_insensitive;
    let inside = scope.admits(&file.path, loose);
    let old_outside = file.old_path.as_deref().filter(|old| !scope.admits(old, loose));
    if inside && old_outside.is_none() {
        return;
    }
    // Caches and build output that git ignores are counted in `ignored-files` instead.
    if file.ignored && old_outside.is_none() && case.config.ignored != Severity::Deny {
        return;
    }
    let verb = verb(file.kind);
    let (message, remedy) = match (inside, old_outside) {
        (true, Some(old)) => (
            format!(
                "`{}` was renamed to `{shown}`: the old path is outside the scope ({}), and a rename changes both",
                visible(old),
                scope.shown()
            ),
            format!("restore `{}` exactly as it was, and remove `{shown}` or write it anew", visible(old)),
        ),
        (false, _) => {
            let from =
                file.old_path.as_deref().map(|old| format!(" from `{}`", visible(old))).unwrap_or_default();
            (
                format!(
                    "`{shown}` was {verb}{from}, outside the scope ({}){}",
                    scope.shown(),
                    hint(scope, &file.path)
                ),
                undo(file),
            )
        }
        (true, None) => return,
    };
    findings.push(finding("out-of-scope", Severity::Deny, Some(&file.path), message, remedy));
}

fn escapes(path: &str) -> bool {
    path.is_empty() || path.starts_with('/') || path.contains('\0') || path.split('/').any(|c| c == "..")
}

fn verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Renamed => "renamed",
        ChangeKind::TypeChanged => "turned into another kind of file",
        ChangeKind::ModeChanged => "given another mode",
    }
}

/// What a near miss of the declaration was probably meant to be.
fn hint(scope: &Declaration, path: &str) -> String {
    for entry in &scope.entries {
        if entry.admits(path, true) {
            return format!("; it differs from `{}` in case or Unicode form only", entry.raw);
        }
        if entry.admits_deeper(path) {
            return format!("; `*` does not cross `/`: `**/{}` would admit it", entry.raw);
        }
    }
    String::new()
}

/// What takes a change back, in words that the agent can act on.
pub fn undo(file: &ChangedFile) -> String {
    let path = visible(&file.path);
    match (file.kind, file.old_path.as_deref()) {
        (ChangeKind::Added, _) => format!("delete `{path}`"),
        (ChangeKind::Renamed, Some(old)) => {
            format!("restore `{}` exactly as it was before the job, and delete `{path}`", visible(old))
        }
        _ => format!("restore `{path}` exactly as it was before the job"),
    }
}

fn symlink(case: &Case<'_>, file: &ChangedFile, findings: &mut Vec<Finding>) {
    if file.new_kind != FileKind::Symlink {
        return;
    }
    let shown = visible(&file.path);
    let target = file.symlink_target.as_deref();
    let problem = match target {
        None => Some("at a target that is not known".to_string()),
        Some(target) => leaves(&file.path, target).map(|why| format!("at `{}`: {why}", visible(target))),
    };
    if let Some(problem) = problem {
        findings.push(finding(
            "symlink-escape",
            Severity::Deny,
            Some(&file.path),
            format!("the symlink `{shown}` points {problem}"),
            format!("{}, or let it point at a file below the job's directory, relatively and without `..` in the middle", undo(file)),
        ));
    }
    let Some(scope) = &case.scope else { return };
    let own = fold(&file.path);
    // Where nothing was, a symlink at the very path of an entry is what the entry asks for.
    let was_there =
        file.old_kind != FileKind::Absent || case.files.iter().any(|other| held_before(other, &own));
    let replaced = scope.entries.iter().find(|entry| {
        entry.plain().is_some_and(|plain| {
            let plain = fold(&plain);
            plain == own && was_there || plain.strip_prefix(&own).is_some_and(|rest| rest.starts_with('/'))
        })
    });
    if let Some(entry) = replaced
        && file.old_kind != FileKind::Symlink
    {
        findings.push(finding(
            "scope-root-replaced",
            Severity::Deny,
            Some(&file.path),
            format!("`{shown}`, which the scope entry `{}` lies at or below, is now a symlink", entry.raw),
            format!(
                "restore `{shown}` as it was before the job: a directory of the scope cannot become a symlink"
            ),
        ));
    }
}

/// Whether the folded path was a directory before the job, which held this file.
fn held_before(file: &ChangedFile, directory: &str) -> bool {
    let old = fold(file.old_path.as_deref().unwrap_or(&file.path));
    file.old_kind != FileKind::Absent && old.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Why a symlink at `path` with this target may lead out of the base, if it may.
fn leaves(path: &str, target: &str) -> Option<&'static str> {
    if target.is_empty() || target.contains('\0') {
        return Some("that is no path");
    }
    if target.starts_with('/') || target.starts_with('\\') || has_drive(target) {
        return Some("an absolute target is another file in every other checkout");
    }
    let mut depth = components(path).len().saturating_sub(1);
    let mut descended = false;
    let mut resolved: Vec<&str> = components(path)[..depth].to_vec();
    for name in components(target) {
        if name != ".." {
            descended = true;
            resolved.push(name);
            continue;
        }
        if descended {
            // What precedes it may itself be a symlink, so `..` may lead anywhere.
            return Some("`..` after a directory may lead outside");
        }
        if depth == 0 {
            return Some("that lies outside the job's directory");
        }
        depth -= 1;
        resolved.pop();
    }
    if resolved.iter().any(|name| fold(name) == ".git") {
        return Some("that lies in the repository's own internals");
    }
    None
}

fn repositories(case: &Case<'_>, file: &ChangedFile, findings: &mut Vec<Finding>) {
    let shown = visible(&file.path);
    let named = case.scope.as_ref().is_some_and(|scope| {
        scope.entries.iter().any(|entry| entry.plain().as_deref() == Some(file.path.as_str()))
    });
    if file.new_kind == FileKind::NestedRepository {
        findings.push(finding(
            "nested-repository",
            Severity::Deny,
            Some(&file.path),
            format!("`{shown}` is a git repository of its own: what is in it cannot be seen or judged"),
            format!("remove `{shown}/.git`, or the whole directory if the task does not need it"),
        ));
    } else if (file.new_kind == FileKind::Gitlink || file.old_kind == FileKind::Gitlink) && !named {
        findings.push(finding(
            "submodule-changed",
            if case.scope.is_some() { Severity::Deny } else { Severity::Warn },
            Some(&file.path),
            format!(
                "the submodule `{shown}` was {}: another repository's code comes in by its commit",
                verb(file.kind)
            ),
            format!("{}; a job that may change it names `{shown}` in its scope", undo(file)),
        ));
    }
}

fn sensitive(
    case: &Case<'_>,
    file: &ChangedFile,
    check_files: &[(String, &str)],
    findings: &mut Vec<Finding>,
) {
    let severity = if case.scope.is_some() { Severity::Deny } else { case.config.without_scope };
    for path in std::iter::once(file.path.as_str()).chain(file.old_path.as_deref()) {
        let shown = visible(path);
        let names = components(path);
        let own = fold(path);
        let last = names.last().copied().unwrap_or_default();
        let granted = |anchor: &[&str]| case.scope.as_ref().is_some_and(|scope| scope.grants(path, anchor));
        if let Some((_, check)) = check_files.iter().find(|(file, _)| *file == own)
            && !granted(&[last])
        {
            findings.push(finding(
                "check-file",
                severity,
                Some(&file.path),
                format!("`{shown}`, which the check `{}` runs, was {}", visible(check), verb(file.kind)),
                format!("{}; a job that may change it names `{shown}` in its scope", undo(file)),
            ));
            continue;
        }
        if let Some(hit) = case.sensitive.find(path) {
            if !granted(&hit.anchor) {
                findings.push(finding(
                    "sensitive-file",
                    severity,
                    Some(&file.path),
                    format!(
                        "`{shown}` was {}: {}, so it needs a scope entry of its own",
                        verb(file.kind),
                        hit.why
                    ),
                    format!(
                        "{}; a job that may change it names `{}` in its scope",
                        undo(file),
                        visible(&hit.name_it)
                    ),
                ));
            }
            continue;
        }
        let readable = matches!(file.kind, ChangeKind::Added | ChangeKind::Modified | ChangeKind::Renamed);
        let scripts = last == "package.json"
            && (!readable
                || file.patch_truncated
                || file.patch.as_deref().is_none_or(package_json::touches_scripts));
        if scripts && !granted(&[last]) {
            findings.push(finding(
                "sensitive-file",
                severity,
                Some(&file.path),
                format!("`{shown}` was {}, not only in its dependencies: package managers run the scripts in it, so it needs a scope entry of its own", verb(file.kind)),
                format!("take the change of the scripts in `{shown}` back; a job that may change them names `{shown}` in its scope"),
            ));
        }
    }
}

fn oddities(file: &ChangedFile, findings: &mut Vec<Finding>) {
    let shown = visible(&file.path);
    if file.hard_linked && file.new_kind != FileKind::Absent {
        findings.push(finding(
            "hard-link",
            Severity::Warn,
            Some(&file.path),
            format!("`{shown}` has more than one hard link: what was written to it is also in another file"),
            format!("write `{shown}` as a file of its own: copy it, remove it and move the copy into place"),
        ));
    }
    if file.new_kind != FileKind::Absent && file.path.chars().any(deceives) {
        findings.push(finding(
            "deceptive-name",
            Severity::Warn,
            Some(&file.path),
            format!("the name `{shown}` holds characters that a reader cannot see"),
            "give the file a name of visible characters".into(),
        ));
    }
}

/// Names that one file system keeps apart and another takes for the same. Directories
/// count as well; a pair that existed before the job is not the job's doing.
fn twins(case: &Case<'_>, findings: &mut Vec<Finding>) {
    // Folded prefix -> each spelling, and whether everything in it is new.
    let mut spellings: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
    for file in case.files.iter().filter(|file| file.new_kind != FileKind::Absent) {
        let new = matches!(file.kind, ChangeKind::Added | ChangeKind::Renamed);
        let names = components(&file.path);
        for end in 1..=names.len() {
            let prefix = names[..end].join("/");
            let all_new = spellings.entry(fold(&prefix)).or_default().entry(prefix).or_insert(true);
            *all_new &= new;
        }
    }
    let mut reported: Vec<String> = Vec::new();
    for (folded, group) in &spellings {
        if group.len() < 2 || !group.values().any(|new| *new) {
            continue;
        }
        // Everything below twin directories differs as well; the directory says it.
        if reported.iter().any(|above| folded.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))) {
            continue;
        }
        reported.push(folded.clone());
        let names: Vec<String> = group.keys().map(|name| format!("`{}`", name.escape_default())).collect();
        let new = group.iter().find(|(_, new)| **new).map(|(name, _)| name.as_str());
        findings.push(finding(
            "name-twin",
            Severity::Deny,
            new,
            format!(
                "{} differ in case or Unicode form only: many file systems keep but one of them",
                names.join(" and ")
            ),
            format!("keep one of them: rename or delete `{}`", new.map(visible).unwrap_or_default()),
        ));
    }
}

fn report_ignored(case: &Case<'_>, ignored: BTreeMap<String, u32>, findings: &mut Vec<Finding>) {
    let total: u32 = ignored.values().sum();
    if total == 0 {
        return;
    }
    let mut tops: Vec<(String, u32)> = ignored.into_iter().collect();
    tops.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let shown: Vec<String> =
        tops.iter().take(5).map(|(top, count)| format!("`{}` ({count})", visible(top))).collect();
    findings.push(finding(
        "ignored-files",
        case.config.ignored,
        None,
        format!("{total} changed files are hidden by git's ignore rules: {}", shown.join(", ")),
        "delete them, unless the task or a build needs them: they are not part of the result".into(),
    ));
}

/// At most [`LISTED`] findings of a rule; the rest become one that counts them.
fn cap(findings: Vec<Finding>) -> Vec<Finding> {
    let mut counts: BTreeMap<(String, Severity), usize> = BTreeMap::new();
    let mut kept = Vec::with_capacity(findings.len().min(LISTED * 4));
    for finding in findings {
        let count = counts.entry((finding.rule.clone(), finding.severity)).or_default();
        *count += 1;
        if *count <= LISTED {
            kept.push(finding);
        }
    }
    for ((rule, severity), count) in counts {
        if count > LISTED {
            kept.push(finding(
                &rule,
                severity,
                None,
                format!("{} more findings of `{rule}` are not listed", count - LISTED),
                "satisfy the listed ones in the same way everywhere".into(),
            ));
        }
    }
    kept
}
