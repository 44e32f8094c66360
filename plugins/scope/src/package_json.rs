//! Whether a patch of a `package.json` touches what npm and its kind run.

/// Keys whose values are run, or name what is run.
const RUNNING: &[&str] =
    &["scripts", "husky", "lint-staged", "simple-git-hooks", "gypfile", "bin", "pre-commit"];
/// Keys of the top level under which nothing is run by naming a version or a word.
const QUIET: &[&str] = &[
    "dependencies",
    "devDependencies",
    "peerDependencies",
    "optionalDependencies",
    "engines",
    "keywords",
    "files",
    "repository",
    "bugs",
    "author",
    "contributors",
    "funding",
    "publishConfig",
    "browserslist",
    "exports",
    "sideEffects",
    "peerDependenciesMeta",
    "workspaces",
    "resolutions",
    "overrides",
    "directories",
    "eslintConfig",
    "prettier",
    "volta",
    "types",
    "license",
    "packageManager",
];

/// Reads the hunks: which key a changed line is under is taken from the context where
/// it shows it; where it does not, a value that looks like a version is taken for a
/// dependency, and everything else for a script.
pub fn touches_scripts(patch: &str) -> bool {
    let mut section: Option<bool> = None;
    for line in patch.lines() {
        if line.starts_with("@@") {
            section = None;
            continue;
        }
        let (mark, text) = line.split_at(usize::from(!line.is_empty()));
        let text = text.trim();
        let changed = mark == "+" || mark == "-";
        let Some((key, value)) = pair(text) else {
            if text.starts_with('}') {
                section = None;
            } else if changed && section == Some(true) {
                return true;
            }
            continue;
        };
        let opens = value.starts_with('{') || value.starts_with('[');
        if RUNNING.contains(&key) && changed {
            return true;
        }
        if opens && (RUNNING.contains(&key) || QUIET.contains(&key)) {
            let closed = value.trim_end_matches(',').ends_with(['}', ']']);
            section = if closed { None } else { Some(RUNNING.contains(&key)) };
            continue;
        }
        if !changed {
            continue;
        }
        match section {
            Some(runs) if runs => return true,
            Some(_) => {}
            None if QUIET.contains(&key)
                || matches!(
                    key,
                    "name" | "version" | "private" | "description" | "main" | "module" | "type" | "homepage"
                ) => {}
            None if opens || is_version(value) => {}
            None => return true,
        }
    }
    false
}

/// `"key": value`.
fn pair(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('"')?;
    let (key, rest) = rest.split_once('"')?;
    Some((key, rest.trim_start().strip_prefix(':')?.trim()))
}

fn is_version(value: &str) -> bool {
    let text = value.trim_end_matches(',').trim_matches('"');
    let start = text.trim_start_matches(['^', '~', '=', '>', '<', 'v', ' ']);
    start.starts_with(|c: char| c.is_ascii_digit())
        || matches!(text, "*" | "latest" | "next" | "true" | "false")
        || ["workspace:", "npm:", "file:", "link:", "catalog:", "git+", "github:", "https://"]
            .iter()
            .any(|start| text.starts_with(start))
}
