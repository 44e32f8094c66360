//! What a path is by its name: a test, an expectation, a runner's configuration, a script.

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

/// A file that a runner collects tests from, by the usual patterns.
pub fn is_test(path: &str) -> bool {
    let name = base(path);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    match extension {
        "py" => stem.starts_with("test_") || stem.ends_with("_test") || stem == "tests" || stem == "test",
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" => {
            [".test", ".spec", "-test", "-spec", "_test", "_spec", ".cy", ".e2e"]
                .iter()
                .any(|end| stem.ends_with(end))
                || in_directory(path, &["__tests__"])
                || (in_directory(path, &["test", "tests", "spec"]) && !is_support(path))
        }
        "rs" => {
            (in_directory(path, &["tests"]) && !is_support(path))
                || stem.ends_with("_test")
                || stem.ends_with("_tests")
                || stem == "tests"
                || stem == "test"
        }
        "go" => stem.ends_with("_test"),
        "java" | "kt" | "scala" | "groovy" | "swift" | "cs" | "php" => {
            ["Test", "Tests", "IT", "Spec", "TestCase"].iter().any(|end| stem.ends_with(end))
                || stem.starts_with("Test")
        }
        "rb" => stem.ends_with("_spec") || stem.ends_with("_test") || stem.starts_with("test_"),
        "exs" | "dart" | "c" | "cc" | "cpp" => {
            stem.ends_with("_test") || stem.ends_with("_tests") || stem.starts_with("test_")
        }
        "bats" | "t" | "feature" => true,
        _ => false,
    }
}

fn is_support(path: &str) -> bool {
    in_directory(
        path,
        &["fixtures", "support", "helpers", "common", "utils", "mocks", "__mocks__", "data", "testdata"],
    )
}

/// A test, or anything that lies where tests lie: fixtures, helpers, expectations.
pub fn in_tests(path: &str) -> bool {
    is_test(path)
        || is_expectation(path)
        || matches!(base(path), "conftest.py")
        || in_directory(
            path,
            &[
                "test",
                "tests",
                "__tests__",
                "spec",
                "specs",
                "testdata",
                "__snapshots__",
                "__mocks__",
                "e2e",
                "testing",
            ],
        )
}

/// A recorded expectation: snapshot, golden file.
pub fn is_expectation(path: &str) -> bool {
    let name = base(path);
    name.ends_with(".snap")
        || name.ends_with(".golden")
        || name.ends_with(".expected")
        || name.ends_with(".ambr")
        || name.contains(".approved.")
        || name.contains(".snap.")
        || in_directory(path, &["__snapshots__", "snapshots", "golden", "goldens", "expected"])
        || (in_directory(path, &["fixtures", "testdata", "data"])
            && (name.starts_with("expected") || name.starts_with("golden"))
            && in_directory(path, &["test", "tests", "spec", "testdata", "fixtures"]))
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
