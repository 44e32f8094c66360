//! What a check's command runs: which test files surely, which tests of them, by which
//! runner. It follows `npm` scripts, `make` targets and scripts as far as their files were
//! handed over; what it cannot follow is known from the runner that the signals name.

use codex_worker_policy::{PassedCheck, TextFile};

use crate::language::{self, extension};
use crate::shell;

/// How a tool chooses its tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// Its name.
    pub name: &'static str,
    /// The language's name; `shell` for shell and bats.
    pub language: &'static str,
    /// The directory that it runs in, relative to the base, with a slash at the end unless
    /// it is the base.
    pub directory: String,
    /// What it was given of paths: files, directories, patterns. None: all.
    pub paths: Vec<String>,
    /// A directory stands for the files in it, not for those further below.
    pub flat: bool,
    /// The packages of Python that unittest's discovery descends into; none of other runners.
    pub packages: Vec<String>,
    /// Texts of which one must be in a test's name.
    pub filters: Vec<String>,
    /// It selects in a way that is not understood.
    pub opaque: bool,
    /// It stops at the first failure.
    pub stops: bool,
    /// Its paths are files that are run from top to bottom.
    pub script: bool,
}

/// What a check runs.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub runners: Vec<Runner>,
    /// The runners are known from the signals alone.
    pub guessed: bool,
}

/// Scripts that run scripts are followed this deep.
const MAX_DEPTH: usize = 4;
/// Bytes of a file that is followed.
const MAX_FOLLOWED: usize = 256 * 1024;
/// The most commands of a check that are looked at.
const MAX_COMMANDS: usize = 200;

/// Reads a check's command.
pub fn plan(check: &PassedCheck, files: &[TextFile]) -> Plan {
    let mut plan = read(check, files);
    if plan.runners.iter().any(|runner| runner.name == "unittest") {
        let packages = files.iter().filter_map(|file| file.path.strip_suffix("__init__.py"));
        let packages: Vec<String> = packages.map(str::to_owned).collect();
        for runner in plan.runners.iter_mut().filter(|runner| runner.name == "unittest") {
            runner.packages.clone_from(&packages);
        }
    }
    plan
}

fn read(check: &PassedCheck, files: &[TextFile]) -> Plan {
    let mut reader = Reader { files, runners: Vec::new(), left: MAX_COMMANDS };
    reader.line(&check.command, &directory(&check.directory), 0);
    let mut plan = Plan { runners: reader.runners, guessed: false };
    for signal in &check.signals {
        if signal.passed == 0 {
            continue;
        }
        let known = [
            &language::PYTHON,
            &language::JAVASCRIPT,
            &language::GO,
            &language::RUST,
            &language::JAVA,
            &language::KOTLIN,
            &language::RUBY,
            &language::PHP,
        ];
        for language in known {
            let spoken = language.runners.iter().find(|runner| **runner == signal.runner);
            let seen = plan.runners.iter().any(|runner| runner.language == language.name);
            if let Some(spoken) = spoken.filter(|_| !seen) {
                plan.guessed = true;
                plan.runners.push(runner(spoken, language.name, &directory(&check.directory)));
            }
        }
    }
    plan
}

fn directory(path: &str) -> String {
    join("", path)
}

/// A directory below another, with a slash at the end; empty for the base.
fn join(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = if path.starts_with('/') {
        Vec::new()
    } else {
        base.split('/').filter(|part| !part.is_empty()).collect()
    };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    if parts.is_empty() { String::new() } else { parts.join("/") + "/" }
}

fn runner(name: &'static str, language: &'static str, directory: &str) -> Runner {
    Runner {
        name,
        language,
        directory: directory.to_owned(),
        paths: Vec::new(),
        flat: false,
        packages: Vec::new(),
        filters: Vec::new(),
        opaque: false,
        stops: false,
        script: false,
    }
}

/// Words before the program itself.
const WRAPPERS: &[&str] = &[
    "env",
    "time",
    "timeout",
    "nice",
    "npx",
    "exec",
    "sudo",
    "xvfb-run",
    "command",
    "bunx",
    "pnpx",
    "dotenv",
    "cross-env",
    "stdbuf",
    "ionice",
    "-T",
];

struct Reader<'a> {
    files: &'a [TextFile],
    runners: Vec<Runner>,
    left: usize,
}

impl Reader<'_> {
    /// A command line, or a script.
    fn line(&mut self, text: &str, directory: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let mut directory = directory.to_owned();
        for words in shell::commands(text) {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let words = without_wrappers(&words);
            match words {
                ["cd", path, ..] => directory = join(&directory, path),
                [] => {}
                _ => self.command(words, &directory, depth),
            }
        }
    }

    /// A file that is followed, unless it is larger than anybody writes by hand.
    fn file(&self, path: &str) -> Option<&TextFile> {
        let found = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok();
        found.map(|at| &self.files[at]).filter(|file| file.content.len() <= MAX_FOLLOWED)
    }

    fn command(&mut self, words: &[&str], directory: &str, depth: usize) {
        let program = words[0].rsplit('/').next().unwrap_or(words[0]);
        let rest = &words[1..];
        match program {
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "." | "source" => self.shell(rest, directory, depth),
            "make" | "gmake" => self.make(rest, directory, depth),
            "npm" | "yarn" | "pnpm" => self.node_package(program, rest, directory, depth),
            "bundle" | "poetry" | "uv" | "pipenv" | "hatch" | "pdm" | "rye" | "coverage" | "nyc" | "c8"
            | "spring" => {
                let skip = usize::from(matches!(rest.first(), Some(&"exec" | &"run")));
                let rest = without_wrappers(&rest[skip.min(rest.len())..]);
                match rest {
                    [] => {}
                    ["-m", ..] => self.command(&[&["python"], rest].concat(), directory, depth),
                    _ if depth < MAX_DEPTH => self.command(rest, directory, depth + 1),
                    _ => {}
                }
            }
            _ if words[0].contains('/') || extension(program) == "sh" => {
                let path = join(directory, words[0]);
                let path = path.trim_end_matches('/').to_owned();
                match (extension(&path), self.file(&path).map(|file| file.content.clone())) {
                    ("sh" | "bash" | "", Some(content))
                        if !content.starts_with("#!") || is_shell(&content) =>
                    {
                        self.script("shell", path, directory, Some(content), depth);
                    }
                    ("", Some(content))
                        if content.starts_with("#!")
                            && content.lines().next().is_some_and(|l| l.contains("python")) => {}
                    _ => self.tool(program, rest, directory),
                }
            }
            _ => self.tool(program, rest, directory),
        }
    }

    /// A file that is run as it is.
    fn script(
        &mut self,
        language: &'static str,
        path: String,
        directory: &str,
        content: Option<String>,
        depth: usize,
    ) {
        let mut found = runner("script", language, directory);
        found.paths.push(path);
        found.script = true;
        self.runners.push(found);
        if let Some(content) = content {
            self.line(&content, directory, depth + 1);
        }
    }

    fn shell(&mut self, rest: &[&str], directory: &str, depth: usize) {
        if let Some(at) = rest
            .iter()
            .position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))
        {
            if let Some(line) = rest.get(at + 1) {
                self.line(line, directory, depth + 1);
            }
            return;
        }
        let Some(path) = rest.iter().find(|word| !word.starts_with('-')) else { return };
        let path = join(directory, path).trim_end_matches('/').to_owned();
        let content = self.file(&path).map(|file| file.content.clone());
        self.script("shell", path, directory, content, depth);
    }

    fn make(&mut self, rest: &[&str], directory: &str, depth: usize) {
        let content = ["GNUmakefile", "makefile", "Makefile"]
            .iter()
            .find_map(|name| self.file(&format!("{directory}{name}")))
            .map(|file| file.content.clone());
        let Some(content) = content else { return };
        let target = rest.iter().find(|word| !word.starts_with('-') && !word.contains('=')).copied();
        self.target(&content, target, directory, depth);
    }

    fn target(&mut self, content: &str, target: Option<&str>, directory: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let mut lines = content.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((names, needs)) = line.split_once(':') else { continue };
            if line.starts_with(['\t', '#', ' ', '.']) || needs.starts_with('=') {
                continue;
            }
            if target.is_some_and(|target| !names.split_whitespace().any(|name| name == target)) {
                continue;
            }
            for need in needs.split_whitespace() {
                self.target(content, Some(need), directory, depth + 1);
            }
            let mut recipe = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('\t') || line.trim().is_empty()) {
                recipe.push_str(line.trim_start_matches(['\t', '@', '-', '+']));
                recipe.push('\n');
            }
            self.line(&recipe, directory, depth + 1);
            return;
        }
    }

    /// `npm test`, `npm run unit`, `yarn jest`.
    fn node_package(&mut self, program: &str, rest: &[&str], directory: &str, depth: usize) {
        let mut directory = directory.to_owned();
        let mut words = rest;
        while let [first, more @ ..] = words {
            match (*first, more) {
                ("--prefix" | "--cwd" | "-C", [path, more @ ..]) => {
                    directory = join(&directory, path);
                    words = more;
                }
                (flag, _) if flag.starts_with('-') => words = more,
                _ => break,
            }
        }
        let Some((first, more)) = words.split_first() else { return };
        let (name, arguments) = match (*first, more) {
            ("run" | "run-script", [name, more @ ..]) => (*name, more),
            ("t" | "tst" | "test", more) => ("test", more),
            ("exec" | "x" | "dlx", more) => {
                let more = without_wrappers(more);
                if !more.is_empty() && depth < MAX_DEPTH {
                    self.command(more, &directory, depth + 1);
                }
                return;
            }
            (name, more) if program != "npm" => (name, more),
            _ => return,
        };
        let script = self.file(&format!("{directory}package.json")).and_then(|file| {
            let manifest: serde_json::Value = serde_json::from_str(&file.content).ok()?;
            manifest.get("scripts")?.get(name)?.as_str().map(str::to_owned)
        });
        let arguments: Vec<&str> = arguments.iter().copied().filter(|word| *word != "--").collect();
        match script {
            Some(script) => self.line(&format!("{script} {}", arguments.join(" ")), &directory, depth + 1),
            None if program != "npm" => self.tool(name, &arguments, &directory),
            None => {}
        }
    }

    /// A runner, or a program that runs a file.
    fn tool(&mut self, program: &str, rest: &[&str], directory: &str) {
        let python = program.starts_with("python") || program == "py" || program == "pypy3";
        let module = rest
            .iter()
            .position(|word| *word == "-m")
            .and_then(|at| Some((*rest.get(at + 1)?, &rest[at + 2..])));
        match program {
            _ if python => match module {
                Some(("pytest", rest)) => self.add("pytest", "Python", rest, directory),
                Some(("unittest", rest)) => self.unittest(rest, directory),
                Some(("coverage", rest)) => {
                    let at = rest.iter().position(|word| *word == "-m");
                    if let Some((&"pytest", more)) = at.and_then(|at| rest[at + 1..].split_first()) {
                        self.add("pytest", "Python", more, directory);
                    }
                }
                Some(_) => {}
                None => match rest.iter().position(|word| !word.starts_with('-')) {
                    // Django's
                    Some(at) if rest[at].ends_with("manage.py") && rest.get(at + 1) == Some(&"test") => {
                        self.unittest(&[], directory);
                    }
                    Some(at) => self.file_of("Python", rest[at], directory),
                    None => {}
                },
            },
            "pytest" | "py.test" => self.add("pytest", "Python", rest, directory),
            "jest" | "vitest" | "mocha" | "ava" | "tap" => {
                let name = match program {
                    "jest" => "jest",
                    "vitest" => "vitest",
                    "mocha" => "mocha",
                    _ => "tap",
                };
                let rest = if matches!(rest.first(), Some(&"run" | &"watch")) { &rest[1..] } else { rest };
                self.add(name, "JavaScript", rest, directory);
            }
            "react-scripts" | "bun" | "deno" if rest.first() == Some(&"test") => {
                self.add("jest", "JavaScript", &rest[1..], directory);
            }
            "node" | "tsx" | "ts-node" | "bun" | "nodejs" => {
                if rest.contains(&"--test") {
                    let rest: Vec<&str> = rest.iter().copied().filter(|word| *word != "--test").collect();
                    self.add("node-test", "JavaScript", &rest, directory);
                } else if let Some(path) = rest.iter().find(|word| !word.starts_with('-')) {
                    self.file_of("JavaScript", path, directory);
                }
            }
            "go" if rest.first() == Some(&"test") => self.add("go-test", "Go", &rest[1..], directory),
            "gotestsum" => self.add("go-test", "Go", rest, directory),
            "cargo" => {
                if let Some(at) = rest.iter().position(|word| matches!(*word, "test" | "t" | "nextest")) {
                    let rest = &rest[at + 1..];
                    let rest = if rest.first() == Some(&"run") { &rest[1..] } else { rest };
                    self.add("cargo-test", "Rust", rest, directory);
                }
            }
            "mvn" | "mvnw" | "gradle" | "gradlew"
                if rest.iter().any(|word| {
                    matches!(*word, "test" | "verify" | "package" | "install" | "check" | "build")
                        || word.ends_with(":test")
                }) =>
            {
                for language in ["Java", "Kotlin"] {
                    self.add(
                        if program.starts_with('m') { "maven" } else { "gradle" },
                        language,
                        rest,
                        directory,
                    );
                }
            }
            "rspec" => self.add("rspec", "Ruby", rest, directory),
            "rake" | "rails"
                if rest.is_empty() || rest.iter().any(|word| word.starts_with("test") || *word == "spec") =>
            {
                self.add("minitest", "Ruby", &[], directory);
            }
            "ruby" => {
                if let Some(path) = rest.iter().find(|word| word.ends_with(".rb")) {
                    self.file_of("Ruby", path, directory);
                }
            }
            "phpunit" => self.add("phpunit", "PHP", rest, directory),
            "pest" => self.add("pest", "PHP", rest, directory),
            "php" => match rest.iter().position(|word| !word.starts_with('-')) {
                Some(at) if rest[at].ends_with("phpunit") => {
                    self.add("phpunit", "PHP", &rest[at + 1..], directory)
                }
                Some(at) if rest[at].ends_with("pest") => self.add("pest", "PHP", &rest[at + 1..], directory),
                Some(at) => self.file_of("PHP", rest[at], directory),
                None => {}
            },
            "bats" => self.add("bats", "shell", rest, directory),
            _ => {}
        }
    }

    fn file_of(&mut self, language: &'static str, path: &str, directory: &str) {
        let path = join(directory, path).trim_end_matches('/').to_owned();
        let known = language::of(&path).is_some_and(|known| known.name == language);
        if known {
            self.script(language, path, directory, None, 0);
        }
    }

    fn unittest(&mut self, rest: &[&str], directory: &str) {
        let mut found = runner("unittest", "Python", directory);
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match *word {
                "-s" | "--start-directory" => {
                    found.paths.extend(words.next().map(|path| join(directory, path)));
                }
                "-k" => found.filters.extend(words.next().map(|text| text.trim_matches('*').to_owned())),
                "-p" | "--pattern" | "-t" => {
                    words.next();
                }
                "-f" | "--failfast" => found.stops = true,
                "discover" => {}
                word if word.starts_with('-') => {}
                word if word.ends_with(".py") || word.contains('/') => {
                    found.paths.push(path_argument(directory, word))
                }
                // `tests.test_money.MoneyTest.test_adds`
                word => {
                    let parts: Vec<&str> = word.split('.').collect();
                    let lower = parts.iter().take_while(|part| !part.starts_with(char::is_uppercase)).count();
                    found
                        .paths
                        .push(join(directory, &parts[..lower].join("/")).trim_end_matches('/').to_owned());
                    if let Some(test) = parts.get(lower + 1).or(parts.get(lower)) {
                        found.filters.push((*test).to_owned());
                    }
                }
            }
        }
        self.runners.push(found);
    }

    /// A runner with its arguments.
    fn add(&mut self, name: &'static str, language: &'static str, rest: &[&str], directory: &str) {
        let mut found = runner(name, language, directory);
        found.flat = matches!(name, "mocha" | "bats");
        let mut words = rest.iter().copied().peekable();
        let mut own = true;
        while let Some(word) = words.next() {
            // Everything behind it is the test binary's.
            if word == "--" {
                own = name == "cargo-test" && own;
                if name == "cargo-test" {
                    while let Some(word) = words.next() {
                        match word {
                            "--ignored" | "--skip" | "--exact" | "--include-ignored" => {
                                found.opaque |= word != "--exact" && word != "--include-ignored"
                            }
                            "--test-threads" => {
                                words.next();
                            }
                            word if !word.starts_with('-') => found.filters.push(word.to_owned()),
                            _ => {}
                        }
                    }
                }
                continue;
            }
            if word.starts_with('-') {
                let (flag, attached) = match word.split_once('=') {
                    Some((flag, value)) => (flag, Some(value)),
                    None => (word, None),
                };
                if matches!(flag, "--recursive" | "-r") && matches!(name, "mocha" | "bats") && flag != "-r"
                    || (name, flag) == ("bats", "-r")
                {
                    found.flat = false;
                }
                if stops(name, flag, attached) {
                    found.stops = true;
                }
                if takes_filter(name, flag) {
                    let value = attached.or_else(|| words.next()).unwrap_or_default();
                    filter(&mut found, flag, value);
                } else if let Some(scope) = cargo_scope(name, flag) {
                    let value = attached
                        .or_else(|| if scope.is_empty() { words.next() } else { None })
                        .unwrap_or_default();
                    self.cargo(&mut found, flag, value);
                } else if takes_value(name, flag) && attached.is_none() {
                    words.next();
                }
                continue;
            }
            match name {
                // Goals and tasks.
                "maven" | "gradle" => {}
                "cargo-test" if own => found.filters.push(word.to_owned()),
                "pytest" => {
                    let (path, test) = word.split_once("::").unwrap_or((word, ""));
                    found.paths.push(path_argument(directory, path));
                    if let Some(last) = test.rsplit("::").next().filter(|last| !last.is_empty()) {
                        found.filters.push(last.split('[').next().unwrap_or(last).to_owned());
                    }
                }
                "rspec" => found.paths.push(path_argument(directory, word.split(':').next().unwrap_or(word))),
                "go-test" => found.paths.push(match word.strip_suffix("...") {
                    Some(prefix) => join(directory, prefix),
                    // One package: its own files.
                    None => format!("{}*", join(directory, word)),
                }),
                _ => found.paths.push(path_argument(directory, word)),
            }
        }
        if name == "go-test" && found.paths.is_empty() {
            found.paths.push(format!("{directory}*"));
        }
        if name == "mocha" && found.paths.is_empty() {
            found.paths.push(format!("{directory}test"));
        }
        self.runners.push(found);
    }

    fn cargo(&self, found: &mut Runner, flag: &str, value: &str) {
        match flag {
            "--lib" | "--bins" | "--bin" => found.paths.push(format!("{}src/", found.directory)),
            "--test" => found.paths.push(format!("{}tests/{value}", found.directory)),
            "--doc" | "--benches" | "--examples" | "--example" | "--bench" => found.opaque = true,
            // A package's directory has its name, or the last part of it.
            "-p" | "--package" => {
                let named = self.files.iter().filter_map(|file| {
                    let directory = file
                        .path
                        .split("/src/")
                        .next()
                        .filter(|d| *d != file.path)
                        .or_else(|| file.path.split("/tests/").next().filter(|d| *d != file.path))?;
                    let last = directory.rsplit('/').next()?;
                    (value == last || value.ends_with(&format!("-{last}"))).then(|| format!("{directory}/"))
                });
                let before = found.paths.len();
                found.paths.extend(named);
                found.opaque |= found.paths.len() == before;
            }
            _ => {}
        }
    }
}

fn is_shell(content: &str) -> bool {
    content
        .lines()
        .next()
        .is_some_and(|line| line.trim_end().ends_with("sh") || line.contains("sh ") || line.contains("sh -"))
}

fn without_wrappers<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    let mut at = 0;
    let mut wrapped = false;
    while let Some(word) = words.get(at) {
        let assigns = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let keyword = matches!(*word, "if" | "then" | "else" | "do" | "{" | "!" | "while");
        if WRAPPERS.contains(word) {
            wrapped = true;
        } else if !assigns
            && !keyword
            && !(wrapped
                && (word.starts_with('-') || word.trim_end_matches(['s', 'm']).parse::<f64>().is_ok()))
        {
            break;
        }
        at += 1;
    }
    &words[at..]
}

/// A path or a pattern. What no quotes protect is the shell's, to which `**` is `*`.
fn path_argument(directory: &str, word: &str) -> String {
    let quoted = word.starts_with(['"', '\'']);
    let word = word.trim_matches(['"', '\'']);
    let path = join(directory, word);
    let path = if word.ends_with('/') { path.as_str() } else { path.trim_end_matches('/') };
    if quoted { path.to_owned() } else { path.replace("**", "*") }
}

fn stops(runner: &str, flag: &str, value: Option<&str>) -> bool {
    matches!(
        (runner, flag),
        ("pytest", "-x" | "--exitfirst" | "--maxfail")
            | (
                _,
                "--bail"
                    | "-failfast"
                    | "--failfast"
                    | "--fail-fast"
                    | "--stop-on-failure"
                    | "--stop-on-defect"
            )
    ) && value != Some("0")
        || runner == "mocha" && flag == "-b"
}

fn takes_filter(runner: &str, flag: &str) -> bool {
    matches!(
        (runner, flag),
        ("pytest", "-k" | "-m")
            | ("jest" | "vitest", "-t" | "--testNamePattern")
            | ("mocha", "-g" | "--grep" | "-f" | "--fgrep")
            | ("node-test", "--test-name-pattern" | "--test-skip-pattern")
            | ("go-test", "-run" | "--run" | "-skip")
            | ("rspec", "-e" | "--example" | "-t" | "--tag")
            | ("minitest", "-n" | "--name")
            | ("phpunit" | "pest", "--filter" | "--group" | "--testsuite" | "--exclude-group")
            | ("bats", "-f" | "--filter" | "--filter-tags")
            | ("maven", "-Dtest")
            | ("gradle", "--tests")
    )
}

fn filter(found: &mut Runner, flag: &str, value: &str) {
    let plain = value.trim_matches(['^', '$', '\'', '"']);
    let by_mark = matches!(
        flag,
        "-m" | "--tag"
            | "--group"
            | "--testsuite"
            | "--exclude-group"
            | "--filter-tags"
            | "-skip"
            | "--test-skip-pattern"
    ) || (found.name == "rspec" && flag == "-t");
    if by_mark {
        // `-m "not slow"` leaves most.
        found.opaque |= !plain.starts_with("not ");
        return;
    }
    let plain = plain.trim_end_matches('*').trim_start_matches('*');
    let alternatives: Vec<&str> = plain.split('|').map(|part| part.trim_matches(['(', ')'])).collect();
    let simple = |text: &&str| {
        !text.is_empty()
            && !text.contains(['[', '*', '+', '?', '(', '\\', '/'])
            && ![" and ", " or ", "not "].iter().any(|word| text.contains(word))
    };
    if alternatives.iter().all(simple) {
        let last = |text: &str| text.rsplit(['.', '#']).next().unwrap_or(text).to_owned();
        found.filters.extend(
            alternatives.into_iter().map(|text| {
                if matches!(found.name, "maven" | "gradle") { last(text) } else { text.to_owned() }
            }),
        );
    } else {
        found.opaque = true;
    }
}

/// Flags of `cargo test` that choose targets; those without a value give `flag`.
fn cargo_scope(runner: &str, flag: &str) -> Option<&'static str> {
    if runner != "cargo-test" {
        return None;
    }
    match flag {
        "--test" | "-p" | "--package" | "--bin" | "--example" | "--bench" => Some(""),
        "--lib" | "--bins" | "--doc" | "--benches" | "--examples" => Some("flag"),
        _ => None,
    }
}

/// Flags whose value is a word of its own.
fn takes_value(runner: &str, flag: &str) -> bool {
    match runner {
        "pytest" => matches!(
            flag,
            "-p" | "-c"
                | "-n"
                | "-o"
                | "-W"
                | "--rootdir"
                | "--junitxml"
                | "--junit-xml"
                | "--tb"
                | "--cov"
                | "--ignore"
                | "--deselect"
                | "--maxfail"
                | "--durations"
                | "--timeout"
        ),
        "go-test" => matches!(
            flag,
            "-count"
                | "-timeout"
                | "-p"
                | "-parallel"
                | "-tags"
                | "-cpu"
                | "-coverprofile"
                | "-covermode"
                | "-coverpkg"
        ),
        "cargo-test" => matches!(
            flag,
            "-j" | "--jobs"
                | "--features"
                | "-F"
                | "--target"
                | "--target-dir"
                | "--manifest-path"
                | "--profile"
                | "--color"
                | "--exclude"
                | "--message-format"
        ),
        "mocha" => matches!(
            flag,
            "-r" | "--require"
                | "-R"
                | "--reporter"
                | "-t"
                | "--timeout"
                | "--config"
                | "--extension"
                | "--import"
        ),
        "node-test" => matches!(flag, "--import" | "-r" | "--require" | "--loader"),
        "jest" | "vitest" => matches!(
            flag,
            "-c" | "--config"
                | "--reporter"
                | "--environment"
                | "--root"
                | "--project"
                | "-w"
                | "--maxWorkers"
        ),
        "rspec" => matches!(
            flag,
            "-f" | "--format" | "-r" | "--require" | "-I" | "-o" | "--out" | "--seed" | "--order"
        ),
        "phpunit" | "pest" => matches!(flag, "-c" | "--configuration" | "--bootstrap" | "--log-junit"),
        "bats" => matches!(flag, "-j" | "--jobs" | "--formatter" | "-F" | "--output" | "-o"),
        "maven" | "gradle" => matches!(flag, "-f" | "-p" | "-P" | "-pl" | "-D"),
        _ => false,
    }
}

impl Runner {
    /// Whether it surely runs this file.
    pub fn runs(&self, path: &str) -> bool {
        let Some(inside) = path.strip_prefix(&self.directory) else { return false };
        let named = self.paths.iter().any(|given| covers(given, path, self));
        if self.script {
            return self.paths.iter().any(|given| given == path);
        }
        if !self.paths.is_empty() && !named {
            return false;
        }
        let exact =
            self.paths.iter().any(|given| path.strip_suffix(".py").unwrap_or(path) == given || given == path);
        exact || self.collects(inside) && self.discovers(path)
    }

    /// unittest descends into packages alone.
    fn discovers(&self, path: &str) -> bool {
        if self.name != "unittest" {
            return true;
        }
        let start =
            self.paths.iter().find(|given| path.starts_with(given.as_str())).unwrap_or(&self.directory);
        let Some(inside) = path.strip_prefix(start.as_str()) else { return false };
        inside.match_indices('/').all(|(at, _)| {
            let directory = &path[..start.len() + at + 1];
            at == 0 || self.packages.iter().any(|package| package == directory)
        })
    }

    /// Whether its own patterns take a file, seen from its directory.
    fn collects(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let within = |names: &[&str]| path.split('/').rev().skip(1).any(|part| names.contains(&part));
        if within(&["node_modules", "vendor", "third_party", "target", "dist"]) {
            return false;
        }
        match self.name {
            "pytest" => stem.starts_with("test_") || stem.ends_with("_test"),
            "unittest" => stem.starts_with("test"),
            _ if self.language == "Go" => stem.ends_with("_test") && !within(&["testdata"]),
            "cargo-test" | "nextest" => !within(&["examples", "benches", "fixtures"]),
            "rspec" => stem.ends_with("_spec"),
            "minitest" | "test-unit" => {
                let ends = ["_test", "_spec"].iter().any(|end| stem.ends_with(end));
                ends || ["test_", "spec_"].iter().any(|start| stem.starts_with(start))
            }
            "phpunit" => stem.ends_with("Test"),
            "bats" => name.ends_with(".bats"),
            "maven" => {
                ["Test", "Tests", "TestCase"].iter().any(|end| stem.ends_with(end))
                    || stem.starts_with("Test")
            }
            _ if self.language == "JavaScript" => {
                // What a browser runs is not theirs.
                let browser = within(&["e2e", "cypress", "playwright", "wdio"])
                    || name.contains(".cy.")
                    || name.contains(".e2e");
                let marked = [".test", ".spec", "-test", "_test"].iter().any(|end| stem.ends_with(end))
                    || stem.starts_with("test-")
                    || stem == "test";
                !browser
                    && (marked
                        || within(&["__tests__"])
                        || matches!(self.name, "mocha" | "node-test" | "tap") && within(&["test", "tests"]))
            }
            _ => true,
        }
    }

    /// Whether it surely runs this test: of a file, with this name from the outermost suite
    /// inwards.
    pub fn runs_test(&self, path: &str, test: &[String]) -> bool {
        if self.name == "unittest" && test.len() < 2 {
            return false;
        }
        if self.filters.is_empty() {
            return true;
        }
        let separator = if self.language == "Rust" { "::" } else { " " };
        let name = test.join(separator);
        let whole = if self.language == "Rust" {
            let module = path.trim_end_matches(".rs").replace('/', "::");
            format!("{module}::{name}")
        } else {
            format!("{path} {name}")
        };
        self.filters.iter().any(|filter| whole.contains(filter.as_str()))
    }
}

/// Whether an argument takes a path: the file itself, a directory, a pattern.
fn covers(given: &str, path: &str, runner: &Runner) -> bool {
    if given.contains(['*', '?', '{']) {
        return matches(given, path);
    }
    if given.is_empty() || path == given {
        return true;
    }
    let directory = given.trim_end_matches('/');
    let below = path.strip_prefix(directory).is_some_and(|rest| {
        rest.strip_prefix('/').is_some_and(|inside| !runner.flat || !inside.contains('/'))
            // Without its extension.
            || rest.starts_with('.') && !given.ends_with('/')
    });
    below || matches!(runner.name, "jest" | "vitest") && path.contains(given)
}

/// A pattern with `*`, `?`, `{a,b}` (as any text within a component) and `**`.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut parts, mut names) = (pattern.split('/').peekable(), path.split('/'));
    while let Some(part) = parts.next() {
        if part == "**" {
            let rest: Vec<&str> = parts.collect();
            let names: Vec<&str> = names.collect();
            // At any depth: the last components decide.
            let rest = rest.join("/");
            return rest.is_empty()
                || (0..names.len())
                    .take(32)
                    .any(|from| !rest.contains("**") && matches(&rest, &names[from..].join("/")));
        }
        match names.next() {
            Some(name) if component(part.as_bytes(), name.as_bytes()) => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// One component of a path against one of a pattern.
fn component(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(b'{') => {
                back = Some((p + pattern[p..].iter().position(|byte| *byte == b'}').unwrap_or(0), n));
                p = back.map_or(p, |(at, _)| at) + 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p.min(pattern.len())..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One word for each file: does the command run it?
    fn check(command: &str, path: &str, expected: bool) {
        let files = [
            TextFile::definition("Makefile", "test: unit\n\nunit:\n\t@cd py && pytest -q\n"),
            TextFile::test("crates/money/src/lib.rs", ""),
            TextFile::definition(
                "package.json",
                r#"{"scripts": {"test": "npm run unit", "unit": "vitest run"}}"#,
            ),
            TextFile::test("other/test_a.py", ""),
            TextFile::definition("scripts/ci.sh", "#!/bin/sh\nset -e\ngo test ./...\n"),
            TextFile::test("tests/__init__.py", ""),
        ];
        let mut files = files;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let plan = plan(&PassedCheck::new("c", command), &files);
        let runs = plan.runners.iter().any(|runner| !runner.opaque && runner.runs(path));
        assert_eq!(runs, expected, "{command} {path} {plan:?}");
    }

    #[test]
    fn which_files_a_command_runs() {
        for (command, path, expected) in [
            ("pytest", "tests/test_a.py", true),
            ("pytest", "tests/helper.py", false),
            ("python3 -m pytest -q tests/", "tests/test_a.py", true),
            ("python -m pytest tests/test_b.py", "tests/test_a.py", false),
            ("pytest tests/test_a.py::test_x", "tests/test_a.py", true),
            ("cd py && pytest", "py/test_a.py", true),
            ("cd py && pytest", "test_a.py", false),
            ("PYTHONPATH=. timeout 60 pytest -x", "test_a.py", true),
            ("poetry run pytest", "test_a.py", true),
            ("python -m unittest", "test_a.py", true),
            ("python -m unittest", "tests/test_a.py", true),
            ("python -m unittest", "other/test_a.py", false),
            ("python -m unittest discover -s other", "other/test_a.py", true),
            ("mocha", "test/a.js", true),
            ("mocha test/", "test/a.js", true),
            ("mocha test/", "test/deep/a.js", false),
            ("mocha --recursive test", "test/deep/a.js", true),
            ("mocha 'test/**/*.js'", "test/deep/er/a.js", true),
            ("mocha test/**/*.js", "test/deep/er/a.js", false),
            ("mocha test/*.{js,ts}", "test/a.js", true),
            ("bats -r test", "test/deep/a.bats", true),
            ("bats test", "test/deep/a.bats", false),
            ("python -m unittest tests.test_a", "tests/test_a.py", true),
            ("python -m unittest tests.test_a.A.test_b", "tests/test_a.py", true),
            ("python -m unittest tests.test_b", "tests/test_a.py", false),
            ("python3 check.py", "check.py", true),
            ("make test", "py/test_a.py", true),
            ("make", "py/test_a.py", true),
            ("npm test", "src/a.test.ts", true),
            ("yarn unit", "src/a.test.ts", true),
            ("pnpm vitest run src/b", "src/a.test.ts", false),
            ("npx jest src/a", "src/a.test.ts", true),
            ("npx jest", "e2e/a.test.ts", false),
            ("node --test", "test/a.js", true),
            ("node --test test/*.test.js", "test/a.test.js", true),
            ("go test ./...", "pkg/a_test.go", true),
            ("go test", "pkg/a_test.go", false),
            ("go test ./pkg", "pkg/a_test.go", true),
            ("go test ./pkg", "pkg/deep/a_test.go", false),
            ("bash scripts/ci.sh", "pkg/a_test.go", true),
            ("./scripts/ci.sh", "pkg/a_test.go", true),
            ("cargo test", "src/lib.rs", true),
            ("cargo test --lib", "tests/a.rs", false),
            ("cargo test --test a", "tests/a.rs", true),
            ("cargo test -p shop-money", "crates/money/src/lib.rs", true),
            ("cargo test -p other", "crates/money/src/lib.rs", false),
            ("bundle exec rspec", "spec/a_spec.rb", true),
            ("ruby -Ilib test/a_test.rb", "test/a_test.rb", true),
            ("vendor/bin/phpunit tests", "tests/ATest.php", true),
            ("bats test", "test/a.bats", true),
            ("sh tests/run.sh", "tests/run.sh", true),
            ("cargo clippy", "src/lib.rs", false),
            ("tsc --noEmit", "src/a.test.ts", false),
        ] {
            check(command, path, expected);
        }
    }

    #[test]
    fn which_tests_a_command_runs() {
        for (command, path, test, expected) in [
            ("pytest -k adds", "test_a.py", &["test_adds"][..], true),
            ("pytest -k other", "test_a.py", &["test_adds"], false),
            ("cargo test money::", "src/money.rs", &["tests", "adds"], true),
            ("cargo test other", "src/money.rs", &["tests", "adds"], false),
            ("go test -run '^TestAdd$'", "a_test.go", &["TestAdd"], true),
            ("go test -run TestSub", "a_test.go", &["TestAdd"], false),
            ("npx jest -t adds", "a.test.js", &["sum", "adds two"], true),
            ("python -m unittest", "test_a.py", &["test_alone"], false),
        ] {
            let plan = plan(&PassedCheck::new("c", command), &[]);
            let test: Vec<String> = test.iter().map(|part| (*part).to_owned()).collect();
            assert_eq!(plan.runners[0].runs_test(path, &test), expected, "{command}");
        }
        let plan = plan(&PassedCheck::new("c", "pytest -k 'a and b'"), &[]);
        assert!(plan.runners[0].opaque);
    }
}
