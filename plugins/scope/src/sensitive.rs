//! Files that decide what runs later, and for whom: they need an entry of their own.

use crate::glob::Component;
use crate::names::{components, fold, invisible};

/// Why a group of files needs an explicit grant, and the files. A pattern is a run of
/// components at any depth; one that ends with `/` also means everything below.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "git reads it, and may run what it names",
        &[".git/", ".gitattributes", ".gitignore", ".gitmodules", ".gitconfig", ".lfsconfig"],
    ),
    (
        "git hooks run on the next commit or checkout",
        &[
            ".githooks/",
            ".husky/",
            ".hooks/",
            ".lefthook/",
            "lefthook.y*ml",
            ".lefthook.y*ml",
            ".pre-commit-config.y*ml",
            ".lintstagedrc*",
            "lint-staged.config.*",
            ".overcommit.yml",
        ],
    ),
    (
        "continuous integration runs it, with the project's secrets",
        &[
            ".github/workflows/",
            ".github/actions/",
            ".github/dependabot.y*ml",
            "CODEOWNERS",
            ".gitlab-ci.y*ml",
            ".gitlab/",
            ".circleci/",
            ".travis.yml",
            "azure-pipelines.y*ml",
            "Jenkinsfile",
            ".drone.y*ml",
            ".buildkite/",
            "bitbucket-pipelines.yml",
            "appveyor.y*ml",
            ".appveyor.yml",
            ".woodpecker/",
            ".woodpecker.y*ml",
            ".forgejo/workflows/",
            ".gitea/workflows/",
            "cloudbuild.y*ml",
            ".ci/",
        ],
    ),
    (
        "coding agents take their orders and tools from it",
        &[
            ".claude/",
            ".codex/",
            ".agents/",
            ".mcp.json",
            "CLAUDE.md",
            "CLAUDE.local.md",
            "AGENTS.md",
            "AGENTS.override.md",
            "AGENT.md",
            "GEMINI.md",
            ".gemini/",
            ".cursor/",
            ".cursorrules",
            ".cursorignore",
            ".windsurf/",
            ".windsurfrules",
            ".clinerules",
            ".clinerules/",
            ".roo/",
            ".kiro/",
            ".continue/",
            ".opencode/",
            "opencode.json*",
            ".goosehints",
            ".aider*",
            ".github/copilot-*",
            ".github/instructions/",
            ".github/prompts/",
            ".github/chatmodes/",
            ".github/agents/",
            ".amazonq/",
            ".junie/",
            ".trae/",
            "codex-worker.toml",
            "codex-mcp.toml",
        ],
    ),
    (
        "an editor or a shell runs it when the directory is opened",
        &[
            ".vscode/tasks.json",
            ".vscode/settings.json",
            ".vscode/launch.json",
            ".vscode/mcp.json",
            "*.code-workspace",
            ".idea/",
            ".devcontainer/",
            ".devcontainer.json",
            ".envrc",
            ".direnv/",
            ".tool-versions",
            "mise.toml",
            ".mise.toml",
            ".mise/",
            ".bashrc",
            ".bash_profile",
            ".profile",
            ".zshrc",
            ".zshenv",
            ".zprofile",
            ".vimrc",
            ".exrc",
            ".nvim.lua",
            ".dir-locals.el",
            ".ssh/",
            ".netrc",
            ".emacs",
        ],
    ),
    (
        "a build tool or package manager runs what it names",
        &[
            "Makefile",
            "makefile",
            "GNUmakefile",
            "justfile",
            ".justfile",
            "Taskfile.y*ml",
            "Rakefile",
            ".npmrc",
            ".yarnrc",
            ".yarnrc.yml",
            ".pnpmfile.cjs",
            ".pypirc",
            "pip.conf",
            ".cargo/config",
            ".cargo/config.toml",
            ".bazelrc",
            "sitecustomize.py",
            "usercustomize.py",
            ".mvn/",
        ],
    ),
];

/// One rule of the list, ready to match.
#[derive(Debug)]
pub struct Rule {
    parts: Vec<Component>,
    below: bool,
    why: &'static str,
    pattern: String,
}

/// The list in force.
#[derive(Debug)]
pub struct Sensitive {
    rules: Vec<Rule>,
}

/// A sensitive path: the components that an entry must spell out, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// The components of the path that the rule matched.
    pub anchor: Vec<&'a str>,
    /// The path up to the matched part's end: what to write into the scope.
    pub name_it: String,
    /// One clause.
    pub why: &'static str,
}

impl Sensitive {
    /// The shipped list, with the operator's additions and without what was taken out.
    pub fn new(more: &[String], without: &[String]) -> Result<Sensitive, String> {
        let mut rules = Vec::new();
        for (why, patterns) in GROUPS {
            for pattern in *patterns {
                rules.push(rule(pattern, why)?);
            }
        }
        for taken_out in without {
            let before = rules.len();
            rules.retain(|rule: &Rule| fold(&rule.pattern) != fold(taken_out));
            if rules.len() == before {
                return Err(format!("`not_sensitive` names `{taken_out}`, which is not in the list"));
            }
        }
        for pattern in more {
            rules.push(rule(pattern, "this policy's configuration says so")?);
        }
        Ok(Sensitive { rules })
    }

    /// The first rule that `path` falls under. Case and invisible characters are
    /// ignored: the repository may be checked out where they do not count.
    pub fn find<'a>(&self, path: &'a str) -> Option<Hit<'a>> {
        let names = components(path);
        let plain: Vec<String> = names.iter().map(|name| strip(&fold(name))).collect();
        for rule in &self.rules {
            let length = rule.parts.len();
            for start in 0..=names.len().saturating_sub(length) {
                let end = start + length;
                if end > names.len() || (!rule.below && end != names.len()) {
                    continue;
                }
                if rule.parts.iter().zip(&plain[start..end]).all(|(part, name)| part.matches(name)) {
                    return Some(Hit {
                        anchor: names[start..end].to_vec(),
                        name_it: names[..end].join("/"),
                        why: rule.why,
                    });
                }
            }
        }
        None
    }
}

fn rule(pattern: &str, why: &'static str) -> Result<Rule, String> {
    let parts: Result<Vec<Component>, _> =
        components(pattern).into_iter().map(|name| Component::parse(&fold(name))).collect();
    let parts = parts.map_err(|malformed| malformed.0)?;
    if parts.is_empty() {
        return Err("a sensitive pattern must name at least one component".into());
    }
    Ok(Rule { parts, below: pattern.ends_with('/'), why, pattern: pattern.to_string() })
}

/// HFS+ ignores invisible characters, and NTFS trailing dots and spaces: `.g\u{200c}it`
/// and `.git ` are `.git` there.
fn strip(name: &str) -> String {
    let seen: String = name.chars().filter(|c| !invisible(*c)).collect();
    let short = seen.trim_end_matches(['.', ' ']);
    if short.is_empty() { seen } else { short.to_string() }
}
