//! The command line and the environment of Claude Code: pure, but for the host's own
//! allow-listed variables that [`environment`](contain::environment) passes.
//!
//! Mandatory whatever the job says: `--strict-mcp-config` and `--setting-sources ""`.
//! Without them Claude Code runs the hooks and servers that a repository's own files name,
//! with no prompt (measured on 2.1.330).

use std::collections::BTreeMap;
use std::path::Path;

use super::Pass;
use model::spec::PermissionMode;

/// The tools that are sent to the model; fewer tools are a shorter request.
const TOOLS: &str = "Bash,Read,Edit,Write,Glob,Grep";

/// The tools of a pass that must change nothing.
const READING_TOOLS: &str = "Read,Glob,Grep";

/// What surrounds a pass.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// A containment limits what any command can write.
    pub contained: bool,
    /// The host runs as root, for whom Claude Code refuses `bypassPermissions`.
    pub root: bool,
}

/// The arguments of one pass; the prompt goes to standard input (one argument holds 128 KiB
/// at most).
pub fn argv(claude: &Path, pass: &Pass, around: Surroundings) -> Vec<String> {
    let mut args: Vec<String> = vec![claude.to_string_lossy().into_owned()];
    let mut push = |parts: &[&str]| args.extend(parts.iter().map(|part| (*part).to_owned()));
    push(&["-p", "--output-format", "stream-json", "--verbose", "--model", &pass.model]);
    push(&["--strict-mcp-config", "--setting-sources", "", "--disable-slash-commands"]);
    push(&["--max-turns", &pass.max_turns.to_string()]);
    let (mode, tools, allowed) = permissions(pass, around);
    push(&["--permission-mode", mode, "--tools", tools]);
    if let Some(session) = &pass.session {
        push(&["--resume", session]);
    }
    if !allowed.is_empty() {
        // Last, because it takes every following argument that is no flag.
        push(&["--allowedTools"]);
        args.extend(allowed);
    }
    args
}

/// The mode's name, the tools, and the rules that allow more.
fn permissions(pass: &Pass, around: Surroundings) -> (&'static str, &'static str, Vec<String>) {
    let all = || ["Bash", "Edit", "Write"].map(str::to_owned).to_vec();
    match pass.permission_mode {
        PermissionMode::Plan => ("plan", READING_TOOLS, Vec::new()),
        PermissionMode::Default => ("default", TOOLS, Vec::new()),
        PermissionMode::AcceptEdits if around.contained => ("acceptEdits", TOOLS, vec!["Bash".to_owned()]),
        PermissionMode::AcceptEdits => ("acceptEdits", TOOLS, allowed_checks(&pass.check_commands)),
        PermissionMode::BypassPermissions if around.root => ("acceptEdits", TOOLS, all()),
        PermissionMode::BypassPermissions => ("bypassPermissions", TOOLS, Vec::new()),
    }
}

/// Rules that allow the check commands and nothing else. A compound command is checked part
/// by part, so each part gets a rule; a command with quotes or substitutions is allowed as a
/// whole only, and one that the rule syntax cannot hold not at all.
fn allowed_checks(commands: &[String]) -> Vec<String> {
    let mut rules = Vec::new();
    for command in commands.iter().map(|command| command.trim()) {
        let plain = !command.contains(['"', '\'', '$', '`', '\\', '(', ')', ',', '\n', '*', '<', '>']);
        if plain {
            let parts =
                command.split("&&").flat_map(|part| part.split("||")).flat_map(|part| part.split([';', '|']));
            for part in parts.map(str::trim).filter(|part| !part.is_empty() && !part.starts_with("cd ")) {
                rules.push(format!("Bash({part})"));
                rules.push(format!("Bash({part} *)"));
            }
        } else if !command.is_empty() && !command.contains(['(', ')', '\n', '*']) {
            rules.push(format!("Bash({command})"));
        }
    }
    rules.dedup();
    rules
}

/// The environment of one pass on top of `base`.
pub fn environment(mut base: BTreeMap<String, String>, pass: &Pass) -> BTreeMap<String, String> {
    let tmp = pass.tmp.to_string_lossy();
    let config = pass.home.join(".claude");
    for (name, value) in [
        ("ANTHROPIC_BASE_URL", pass.base_url.as_str()),
        ("ANTHROPIC_AUTH_TOKEN", pass.token.as_str()),
        ("CLAUDE_CONFIG_DIR", &config.to_string_lossy()),
        ("CLAUDE_CODE_TMPDIR", &tmp),
        // Nothing but model requests, and those as small and plain as possible.
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS", "1"),
        ("CLAUDE_CODE_DISABLE_THINKING", "1"),
        ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
        ("CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS", "1"),
        // A background task keeps the program alive after its result.
        ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
        ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "8192"),
        // The adapter retries; it knows Retry-After and the fallbacks. One try here bridges
        // a stream that broke in the middle.
        ("CLAUDE_CODE_MAX_RETRIES", "1"),
        ("DISABLE_PROMPT_CACHING", "1"),
        // Its hash changes with the prompt and would spoil the provider's prefix cache.
        ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
    ] {
        base.insert(name.to_owned(), value.to_owned());
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use contain::Limits;

    pub(crate) fn pass() -> Pass {
        Pass {
            prompt: "fix it".into(),
            cwd: "/w".into(),
            home: "/j/home".into(),
            tmp: "/j/tmp".into(),
            base_url: "http://127.0.0.1:4711".into(),
            token: "job-token".into(),
            model: "cheap-1".into(),
            permission_mode: PermissionMode::AcceptEdits,
            max_turns: 60,
            session: None,
            check_commands: vec![
                "cd web && npm test".into(),
                "grep -q 'a b' x".into(),
                "sh -c \"$(x)\"".into(),
            ],
            limits: Limits::default(),
            tag: "m".into(),
            timeout: std::time::Duration::from_secs(60),
        }
    }

    #[test]
    fn lean_and_strict() {
        let text =
            argv(Path::new("/bin/claude"), &pass(), Surroundings { contained: true, root: true }).join(" ");
        insta::assert_snapshot!(text, @"/bin/claude -p --output-format stream-json --verbose --model cheap-1 --strict-mcp-config --setting-sources  --disable-slash-commands --max-turns 60 --permission-mode acceptEdits --tools Bash,Read,Edit,Write,Glob,Grep --allowedTools Bash");
    }

    #[test]
    fn permission_table() {
        use PermissionMode::{AcceptEdits, BypassPermissions, Default, Plan};
        for (mode, contained, root, expected) in [
            (
                AcceptEdits,
                true,
                false,
                "acceptEdits --tools Bash,Read,Edit,Write,Glob,Grep --allowedTools Bash",
            ),
            (
                AcceptEdits,
                false,
                false,
                "acceptEdits --tools Bash,Read,Edit,Write,Glob,Grep --allowedTools Bash(npm test) Bash(npm test *) \
                 Bash(grep -q 'a b' x)",
            ),
            (Default, true, false, "default --tools Bash,Read,Edit,Write,Glob,Grep"),
            (Plan, true, false, "plan --tools Read,Glob,Grep"),
            (BypassPermissions, true, false, "bypassPermissions --tools Bash,Read,Edit,Write,Glob,Grep"),
            (
                BypassPermissions,
                true,
                true,
                "acceptEdits --tools Bash,Read,Edit,Write,Glob,Grep --allowedTools Bash Edit Write",
            ),
        ] {
            let pass = Pass { permission_mode: mode, ..pass() };
            let text = argv(Path::new("claude"), &pass, Surroundings { contained, root }).join(" ");
            let (_, tail) = text.split_once("--permission-mode ").expect("always given");
            assert_eq!(tail, expected, "{mode:?} contained={contained} root={root}");
        }
    }

    #[test]
    fn a_revise_pass_resumes() {
        let pass = Pass { session: Some("c0ffee".into()), ..pass() };
        let args = argv(Path::new("claude"), &pass, Surroundings { contained: true, root: false });
        assert!(args.windows(2).any(|pair| pair == ["--resume", "c0ffee"]), "{args:?}");
    }

    #[test]
    fn environment_of_a_pass() {
        let env = environment(BTreeMap::from([("HOME".into(), "/j/home".into())]), &pass());
        let text: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        ANTHROPIC_AUTH_TOKEN=job-token
        ANTHROPIC_BASE_URL=http://127.0.0.1:4711
        CLAUDE_CODE_ATTRIBUTION_HEADER=0
        CLAUDE_CODE_DISABLE_AUTO_MEMORY=1
        CLAUDE_CODE_DISABLE_BACKGROUND_TASKS=1
        CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS=1
        CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS=1
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
        CLAUDE_CODE_DISABLE_THINKING=1
        CLAUDE_CODE_MAX_OUTPUT_TOKENS=8192
        CLAUDE_CODE_MAX_RETRIES=1
        CLAUDE_CODE_TMPDIR=/j/tmp
        CLAUDE_CONFIG_DIR=/j/home/.claude
        DISABLE_AUTOUPDATER=1
        DISABLE_PROMPT_CACHING=1
        DISABLE_TELEMETRY=1
        HOME=/j/home
        ");
    }
}
