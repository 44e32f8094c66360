//! The tools of the built-in agent. Their names and arguments are Claude Code's, which
//! every coding model knows. File tools stay inside the given directories, links resolved;
//! commands are limited by the containment around the whole process.

use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Commands, Task};

/// Most bytes of a file that is read, edited or searched.
const FILE_MAX: u64 = 2 << 20;
/// Most bytes that a tool gives back; what is longer loses its middle.
const OUTPUT_MAX: usize = 30_000;
/// Lines of a file given when no limit is asked for.
const LINES_MAX: usize = 2000;
/// Entries of a listing and hits of a search.
const ENTRIES_MAX: usize = 500;
/// How long a command may take when it does not say, and at most.
const COMMAND_SECONDS: u64 = 120;
const COMMAND_SECONDS_MAX: u64 = 1800;

/// What a tool gave; the error goes to the model, which can act on it.
type Output = Result<String, Refusal>;

/// A tool that did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It failed.
    Failed(String),
    /// It is not permitted.
    Denied(String),
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Refusal::Failed(text)
    }
}

/// The tools as they are declared to the model.
pub(super) fn definitions(task: &Task) -> Value {
    let path =
        json!({"type": "string", "description": "Path, absolute or relative to the working directory"});
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| {
        json!({"name": name, "description": description,
               "input_schema": {"type": "object", "properties": properties, "required": required}})
    };
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let mut tools = vec![
        tool(
            "Read",
            "Read a text file; lines come with their numbers.",
            json!({"file_path": path, "offset": number, "limit": number}),
            &["file_path"],
        ),
        tool("LS", "List a directory, two levels deep.", json!({"path": path}), &[]),
        tool(
            "Grep",
            "Search files for a regular expression; gives path:line:text. `glob` limits the files.",
            json!({"pattern": text, "path": path, "glob": text}),
            &["pattern"],
        ),
        tool(
            "Glob",
            "List the files whose path matches a glob.",
            json!({"pattern": text, "path": path}),
            &["pattern"],
        ),
    ];
    if task.may_write {
        tools.push(tool(
            "Edit",
            "Replace old_string, which must occur exactly once (or give replace_all), by new_string.",
            json!({"file_path": path, "old_string": text, "new_string": text, "replace_all": {"type": "boolean"}}),
            &["file_path", "old_string", "new_string"],
        ));
        tools.push(tool(
            "Write",
            "Write a whole file; directories are made.",
            json!({"file_path": path, "content": text}),
            &["file_path", "content"],
        ));
    }
    if task.commands != Commands::Only(Vec::new()) {
        tools.push(tool(
            "Bash",
            "Run a shell command in the working directory; timeout in milliseconds.",
            json!({"command": text, "timeout": number}),
            &["command"],
        ));
    }
    Value::Array(tools)
}

/// Runs one call.
pub(super) async fn call(task: &Task, name: &str, input: &Value) -> Output {
    let wanted = |key: &str| {
        input
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| Refusal::Failed(format!("the argument {key} is missing")))
    };
    let path = input.get("path").and_then(Value::as_str).unwrap_or(".");
    let output = match name {
        "Read" => read(task, wanted("file_path")?, number(input, "offset"), number(input, "limit"))?,
        "LS" => list(task, path)?,
        "Grep" => grep(task, wanted("pattern")?, path, input.get("glob").and_then(Value::as_str))?,
        "Glob" => glob(task, wanted("pattern")?, path)?,
        "Edit" => {
            let all = input.get("replace_all").and_then(Value::as_bool).unwrap_or(false);
            edit(task, wanted("file_path")?, wanted("old_string")?, wanted("new_string")?, all)?
        }
        "Write" => write(task, wanted("file_path")?, wanted("content")?)?,
        "Bash" => command(task, wanted("command")?, number(input, "timeout")).await?,
        _ => return Err(Refusal::Failed(format!("there is no tool called {name}"))),
    };
    Ok(shorten(&output))
}

fn number(input: &Value, key: &str) -> Option<usize> {
    input.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
}

/// Keeps both ends: errors stand at the start or at the end of an output.
fn shorten(text: &str) -> String {
    if text.len() <= OUTPUT_MAX {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(OUTPUT_MAX / 2);
    let tail = text.ceil_char_boundary(text.len() - OUTPUT_MAX / 2);
    format!("{}\n… {} bytes left out …\n{}", &text[..head], tail - head, &text[tail..])
}

/// The resolved path, when it is inside one of the roots. The file itself need not exist;
/// the part that exists is resolved, so that no link leads out.
fn resolve(task: &Task, raw: &str) -> Result<PathBuf, Refusal> {
    let path = task.cwd.join(raw);
    let outside = || {
        let roots: Vec<_> = task.roots.iter().map(|root| root.display().to_string()).collect();
        Refusal::Denied(format!("{raw} is outside the allowed directories ({})", roots.join(", ")))
    };
    let mut existing = path.as_path();
    let mut rest = Vec::new();
    // `symlink_metadata` sees a dangling link too, which must not be written through.
    while existing.symlink_metadata().is_err() {
        match (existing.parent(), existing.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) => {
                rest.push(name.to_owned());
                existing = parent;
            }
            _ => return Err(outside()),
        }
    }
    let mut resolved = existing.canonicalize().map_err(|error| Refusal::Failed(format!("{raw}: {error}")))?;
    resolved.extend(rest.iter().rev());
    let inside =
        task.roots.iter().filter_map(|root| root.canonicalize().ok()).any(|root| resolved.starts_with(root));
    if inside { Ok(resolved) } else { Err(outside()) }
}

/// As [`resolve`], for changing: version control's own files are off limits.
fn resolve_for_writing(task: &Task, raw: &str) -> Result<PathBuf, Refusal> {
    if !task.may_write {
        return Err(Refusal::Denied("this job may not change files".into()));
    }
    let path = resolve(task, raw)?;
    if path.components().any(|part| part.as_os_str() == ".git") {
        return Err(Refusal::Denied(format!("{raw} belongs to git itself and is not edited")));
    }
    Ok(path)
}

fn text_of(path: &Path, raw: &str) -> Result<String, Refusal> {
    let meta = path.metadata().map_err(|error| format!("{raw}: {error}"))?;
    if !meta.is_file() {
        return Err(Refusal::Failed(format!("{raw} is not a regular file")));
    }
    if meta.len() > FILE_MAX {
        return Err(Refusal::Failed(format!("{raw} has {} bytes; the limit is {FILE_MAX}", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{raw}: {error}"))?;
    String::from_utf8(bytes).map_err(|_| Refusal::Failed(format!("{raw} is not UTF-8 text")))
}

fn read(task: &Task, raw: &str, offset: Option<usize>, limit: Option<usize>) -> Output {
    let text = text_of(&resolve(task, raw)?, raw)?;
    let total = text.lines().count();
    let first = offset.unwrap_or(1).max(1);
    let limit = limit.unwrap_or(LINES_MAX).min(LINES_MAX);
    let mut out = String::new();
    for (index, line) in text.lines().enumerate().skip(first - 1).take(limit) {
        out.push_str(&format!("{:>5}\t{line}\n", index + 1));
    }
    if out.is_empty() {
        out = format!("(no lines from {first} on; the file has {total})\n");
    } else if first - 1 + limit < total {
        out.push_str(&format!("(the file has {total} lines)\n"));
    }
    Ok(out)
}

fn write(task: &Task, raw: &str, content: &str) -> Output {
    let path = resolve_for_writing(task, raw)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| format!("{raw}: {error}"))?;
    }
    std::fs::write(&path, content).map_err(|error| format!("{raw}: {error}"))?;
    Ok(format!("wrote {} bytes to {raw}", content.len()))
}

fn edit(task: &Task, raw: &str, old: &str, new: &str, all: bool) -> Output {
    let path = resolve_for_writing(task, raw)?;
    if old.is_empty() && !path.exists() {
        return write(task, raw, new);
    }
    let text = text_of(&path, raw)?;
    if old.is_empty() || old == new {
        return Err(Refusal::Failed("old_string is empty or equals new_string".into()));
    }
    let count = text.matches(old).count();
    match (count, all) {
        (0, _) => {
            return Err(Refusal::Failed(format!("old_string does not occur in {raw}; read the file first")));
        }
        (2.., false) => {
            return Err(Refusal::Failed(format!(
                "old_string occurs {count} times in {raw}; give more context or replace_all"
            )));
        }
        _ => {}
    }
    std::fs::write(&path, text.replace(old, new)).map_err(|error| format!("{raw}: {error}"))?;
    Ok(format!("replaced {count} in {raw}"))
}

/// Files below `dir`, ignored ones left out, in order, paths relative to `dir`.
fn walk(dir: &Path, depth: Option<usize>) -> impl Iterator<Item = (PathBuf, bool)> {
    let mut builder = ignore::WalkBuilder::new(dir);
    builder
        .max_depth(depth)
        .hidden(false)
        .require_git(false)
        .follow_links(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_name(std::ffi::OsStr::cmp);
    let root = dir.to_owned();
    builder.build().flatten().filter_map(move |entry| {
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        let path = entry.path().strip_prefix(&root).ok()?.to_owned();
        (!path.as_os_str().is_empty()).then_some((path, is_dir))
    })
}

/// Joins lines, at most [`ENTRIES_MAX`], and says when there were more.
fn capped(lines: impl Iterator<Item = String>, nothing: &str) -> String {
    let mut out: Vec<String> = lines.take(ENTRIES_MAX + 1).collect();
    if out.is_empty() {
        return nothing.to_owned();
    }
    if out.len() > ENTRIES_MAX {
        out[ENTRIES_MAX] = format!("(more than {ENTRIES_MAX}; narrow it down)");
    }
    out.join("\n")
}

fn list(task: &Task, raw: &str) -> Output {
    let dir = resolve(task, raw)?;
    if !dir.is_dir() {
        return Err(Refusal::Failed(format!("{raw} is not a directory")));
    }
    let lines = walk(&dir, Some(2))
        .map(|(path, is_dir)| format!("{}{}", path.display(), if is_dir { "/" } else { "" }));
    Ok(capped(lines, "(empty)"))
}

fn glob(task: &Task, pattern: &str, raw: &str) -> Output {
    let dir = resolve(task, raw)?;
    let matcher = globset::Glob::new(pattern).map_err(|error| error.to_string())?.compile_matcher();
    let files = walk(&dir, None).filter(|(path, is_dir)| !is_dir && matcher.is_match(path));
    Ok(capped(files.map(|(path, _)| path.display().to_string()), "(no file matches)"))
}

fn grep(task: &Task, pattern: &str, raw: &str, glob: Option<&str>) -> Output {
    let start = resolve(task, raw)?;
    let regex = regex::Regex::new(pattern).map_err(|error| error.to_string())?;
    let matcher = match glob {
        Some(glob) => Some(globset::Glob::new(glob).map_err(|error| error.to_string())?.compile_matcher()),
        None => None,
    };
    let by_glob = |path: &Path| {
        matcher.as_ref().is_none_or(|glob| {
            glob.is_match(path) || path.file_name().is_some_and(|name| glob.is_match(name))
        })
    };
    let files: Box<dyn Iterator<Item = (PathBuf, PathBuf)>> = if start.is_file() {
        Box::new(std::iter::once((start.clone(), PathBuf::from(raw))))
    } else {
        let root = start.clone();
        Box::new(
            walk(&start, None).filter(|(_, is_dir)| !is_dir).map(move |(path, _)| (root.join(&path), path)),
        )
    };
    let hits = files.filter(|(_, shown)| by_glob(shown)).flat_map(|(file, shown)| {
        // A binary or huge file has no hits.
        let text = text_of(&file, "").unwrap_or_default();
        let hits: Vec<String> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| regex.is_match(line))
            .take(ENTRIES_MAX + 1)
            .map(|(index, line)| {
                format!("{}:{}:{}", shown.display(), index + 1, super::super::stream::cut(line, 400))
            })
            .collect();
        hits
    });
    Ok(capped(hits, "(no match)"))
}

async fn command(task: &Task, line: &str, timeout_ms: Option<usize>) -> Output {
    if let Commands::Only(allowed) = &task.commands
        && !allowed.iter().any(|command| command.trim() == line.trim())
    {
        return Err(Refusal::Denied(format!("only the check commands may be run: {}", allowed.join(" | "))));
    }
    let seconds =
        timeout_ms.map_or(COMMAND_SECONDS, |ms| (ms as u64).div_ceil(1000).clamp(1, COMMAND_SECONDS_MAX));
    let mut process = tokio::process::Command::new("/bin/sh");
    process.args(["-c", line]).current_dir(&task.cwd).stdin(Stdio::null()).kill_on_drop(true);
    process.stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    process.process_group(0);
    let mut child = process.spawn().map_err(|error| format!("start the shell: {error}"))?;
    let group = child.id();
    let (mut out, mut err) = (Ends::default(), Ends::default());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        // The exit counts, not the end of the pipes: a background process may hold them.
        let reading = async { tokio::join!(out.fill(stdout), err.fill(stderr)) };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => child.wait().await,
            status = child.wait() => {
                let _ = tokio::time::timeout(Duration::from_millis(200), &mut reading).await;
                status
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(seconds), work).await;
    if status.is_err() {
        kill_group(group);
    }
    let mut text = out.text();
    let err = err.text();
    if !text.is_empty() && !err.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&err);
    match status {
        Ok(Ok(status)) if status.success() => Ok(if text.is_empty() { "(no output)".into() } else { text }),
        Ok(Ok(status)) => Err(Refusal::Failed(format!("{}\n{}", status, shorten(&text)))),
        Ok(Err(error)) => Err(Refusal::Failed(error.to_string())),
        Err(_) => Err(Refusal::Failed(format!("stopped after {seconds} s\n{}", shorten(&text)))),
    }
}

fn kill_group(group: Option<u32>) {
    #[cfg(unix)]
    if let Some(pid) = group.and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        // Gone by itself meanwhile: just as well.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = group;
}

/// The first and the last bytes of an output of any length.
#[derive(Default)]
struct Ends {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    dropped: u64,
}

impl Ends {
    async fn fill(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0u8; 16 << 10];
        while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
            let room = (OUTPUT_MAX / 2).saturating_sub(self.head.len()).min(n);
            self.head.extend_from_slice(&buffer[..room]);
            self.tail.extend(&buffer[room..n]);
            while self.tail.len() > OUTPUT_MAX / 2 {
                self.tail.pop_front();
                self.dropped += 1;
            }
        }
    }

    fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let middle = if self.dropped > 0 {
            format!("\n… {} bytes left out …\n", self.dropped)
        } else {
            String::new()
        };
        format!("{}{middle}{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(dir: &Path) -> Task {
        Task {
            prompt: String::new(),
            cwd: dir.join("w"),
            roots: vec![dir.join("w")],
            home: dir.join("home"),
            base_url: String::new(),
            token: String::new(),
            model: String::new(),
            max_turns: 1,
            session: None,
            may_write: true,
            commands: Commands::Any,
        }
    }

    fn place() -> (tempfile::TempDir, Task) {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir_all(dir.path().join("w/src")).expect("writable");
        std::fs::write(dir.path().join("secret"), "s3cret").expect("writable");
        std::fs::write(dir.path().join("w/src/a.rs"), "one\ntwo\none\n").expect("writable");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../secret", dir.path().join("w/link")).expect("writable");
            std::os::unix::fs::symlink("../absent", dir.path().join("w/dangling")).expect("writable");
            std::os::unix::fs::symlink("..", dir.path().join("w/up")).expect("writable");
        }
        let task = task(dir.path());
        (dir, task)
    }

    #[tokio::test]
    async fn files_inside_only() {
        let (dir, task) = place();
        for (name, path) in [
            ("Read", "../secret"),
            ("Read", "link"),
            ("Read", "up/secret"),
            ("Read", "/etc/passwd"),
            ("Write", "../new"),
            ("Write", "dangling"),
            ("Write", "up/new/er"),
            ("Write", "src/../../new"),
            ("Write", "missing/../../new"),
            ("Write", ".git/hooks/pre-commit"),
        ] {
            let got = call(&task, name, &json!({"file_path": path, "content": "x"})).await;
            assert!(got.is_err(), "{name} {path}: {got:?}");
        }
        assert!(!dir.path().join("new").exists() && !dir.path().join("absent").exists());
    }

    #[tokio::test]
    async fn a_round_of_tools() {
        let (_dir, task) = place();
        for (name, input, expected) in [
            (
                "Read",
                json!({"file_path": "src/a.rs", "offset": 2, "limit": 1}),
                Ok("    2\ttwo\n(the file has 3 lines)\n"),
            ),
            (
                "Edit",
                json!({"file_path": "src/a.rs", "old_string": "one", "new_string": "1"}),
                Err("occurs 2 times"),
            ),
            (
                "Edit",
                json!({"file_path": "src/a.rs", "old_string": "two", "new_string": "2"}),
                Ok("replaced 1 in src/a.rs"),
            ),
            (
                "Edit",
                json!({"file_path": "src/a.rs", "old_string": "two", "new_string": "2"}),
                Err("does not occur"),
            ),
            (
                "Write",
                json!({"file_path": "new/b.rs", "content": "fn b() {}"}),
                Ok("wrote 9 bytes to new/b.rs"),
            ),
            ("Grep", json!({"pattern": "fn \\w"}), Ok("new/b.rs:1:fn b() {}")),
            ("Grep", json!({"pattern": "one", "glob": "*.rs", "path": "src"}), Ok("a.rs:1:one\na.rs:3:one")),
            ("Glob", json!({"pattern": "**/*.rs"}), Ok("new/b.rs\nsrc/a.rs")),
            ("Bash", json!({"command": "cat src/a.rs | wc -l"}), Ok("3")),
            ("Bash", json!({"command": "echo out; echo err >&2; exit 3"}), Err("exit status: 3\nout\nerr")),
            ("Bash", json!({"command": "sleep 9", "timeout": 1000}), Err("stopped after 1 s")),
            ("Fly", json!({}), Err("there is no tool called Fly")),
            ("Read", json!({}), Err("the argument file_path is missing")),
        ] {
            let got = call(&task, name, &input).await;
            match (&got, expected) {
                (Ok(text), Ok(expected)) => {
                    assert_eq!(text.trim_start_matches(' ').trim_end(), expected.trim(), "{name} {input}")
                }
                (Err(Refusal::Failed(text) | Refusal::Denied(text)), Err(expected)) => {
                    assert!(text.contains(expected), "{name} {input}: {text}");
                }
                _ => panic!("{name} {input}: {got:?}"),
            }
        }
    }

    #[tokio::test]
    async fn without_a_containment_only_the_checks() {
        let (_dir, mut task) = place();
        task.commands = Commands::Only(vec!["echo check".into()]);
        let run = |line: &str| json!({"command": line});
        assert_eq!(call(&task, "Bash", &run("echo check")).await, Ok("check\n".into()));
        let other = call(&task, "Bash", &run("echo check; rm -rf .")).await;
        assert!(matches!(other, Err(Refusal::Denied(_))), "{other:?}");
    }

    #[test]
    fn long_output_keeps_both_ends() {
        let text = format!("start{}end", "x".repeat(2 * OUTPUT_MAX));
        let short = shorten(&text);
        assert!(short.len() < OUTPUT_MAX + 100 && short.starts_with("start") && short.ends_with("end"));
    }
}
