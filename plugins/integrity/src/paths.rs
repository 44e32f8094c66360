//! What a path is by its name: its language, a script, a file that steers tests. What a test
//! is says `codex-worker-test-names`, to the host as well.

pub use codex_worker_test_names::{is_expectation, is_test};

/// The language, as far as comments and strings go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    Ruby,
    JavaScript,
    Rust,
    Go,
    /// Java, Kotlin, Scala, C, C++, C#, Swift, PHP, Dart: `//` and `/* */`.
    Braces,
    Shell,
    /// YAML, TOML, INI, make: `#`.
    Config,
    /// JSON and XML: no comments that matter.
    Data,
    /// Prose: nothing is looked for.
    Prose,
}

/// The file's own name.
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn extension(path: &str) -> &str {
    base(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// By extension and name.
pub fn language(path: &str) -> Language {
    match base(path) {
        "Makefile" | "makefile" | "GNUmakefile" | "justfile" | "Dockerfile" | ".npmrc" | ".rspec"
        | ".coveragerc" | ".nycrc" | ".env" => return Language::Config,
        "Jenkinsfile" => return Language::Braces,
        _ => {}
    }
    match extension(path) {
        "py" | "pyi" | "pyx" => Language::Python,
        "rb" | "rake" | "ex" | "exs" => Language::Ruby,
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" | "svelte" => {
            Language::JavaScript
        }
        "rs" => Language::Rust,
        "go" => Language::Go,
        "java" | "kt" | "kts" | "scala" | "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "cs" | "swift"
        | "php" | "dart" | "groovy" | "gradle" | "m" => Language::Braces,
        "sh" | "bash" | "zsh" | "bats" | "ps1" => Language::Shell,
        "yml" | "yaml" | "toml" | "ini" | "cfg" | "mk" | "conf" | "env" => Language::Config,
        "json" | "xml" | "json5" | "jsonc" => Language::Data,
        "md" | "rst" | "txt" | "adoc" | "html" | "svg" | "csv" | "lock" | "snap" | "diff" | "patch"
        | "log" => Language::Prose,
        "" if in_directory(path, &["scripts", "bin", "ci", "script", "tools"]) => Language::Shell,
        "" => Language::Config,
        _ => Language::Braces,
    }
}

fn in_directory(path: &str, names: &[&str]) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    parts.iter().any(|part| names.contains(part))
}

/// A test, what tests are made of, or a helper of theirs.
pub fn in_tests(path: &str) -> bool {
    codex_worker_test_names::in_tests(path) || in_directory(path, &["testing", "testutil", "testutils"])
}

/// A file that a runner reads by its very name, wherever it came from.
pub fn steers_tests(path: &str) -> bool {
    let name = base(path);
    matches!(
        name,
        "conftest.py"
            | "sitecustomize.py"
            | "usercustomize.py"
            | "pytest.ini"
            | "pytest.py"
            | "unittest.py"
            | "nextest.toml"
            | ".npmrc"
    ) || name.ends_with(".pth")
        || path.ends_with(".cargo/config.toml")
        || ["jest.config.", "jest.setup.", "vitest.config.", "vitest.setup.", ".mocharc"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// A file of shell commands or CI steps.
pub fn is_script(path: &str) -> bool {
    let name = base(path);
    matches!(language(path), Language::Shell)
        || matches!(
            name,
            "Makefile"
                | "makefile"
                | "GNUmakefile"
                | "justfile"
                | "package.json"
                | "tox.ini"
                | "noxfile.py"
                | "Taskfile.yml"
                | "Rakefile"
                | "Jenkinsfile"
                | "build.gradle"
                | "build.gradle.kts"
                | "pom.xml"
                | "azure-pipelines.yml"
                | ".gitlab-ci.yml"
                | ".travis.yml"
        )
        || path.contains(".github/workflows/")
        || path.starts_with(".circleci/")
        || path.starts_with(".buildkite/")
}
