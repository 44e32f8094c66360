//! The files that a check command itself runs: whoever may edit them decides the check.

use crate::names::components;

/// Files that the command runs or is steered by, relative to the base: scripts that it
/// starts, a file after `-f`/`--config`, and what `make`, `just`, `npm` and the like read.
/// What a runner is merely given as an argument, such as a test file, is not meant.
pub fn files_of(command: &str) -> Vec<String> {
    let mut files = Vec::new();
    of_line(command, 0, &mut files);
    files.sort();
    files.dedup();
    files
}

/// Shells within shells that are looked into.
const DEPTH: u32 = 4;

fn of_line(command: &str, depth: u32, files: &mut Vec<String>) {
    let mut directory = String::new();
    for simple in split(command) {
        let from = files.len();
        of_simple(&simple, depth, files);
        // After `cd x`, or where a subshell has ended, both readings count.
        if !directory.is_empty() {
            let moved: Vec<_> = files[from..].iter().map(|file| format!("{directory}/{file}")).collect();
            files.extend(moved);
        }
        if let [cd, to, ..] = simple.as_slice()
            && matches!(cd.as_str(), "cd" | "pushd")
        {
            let mut names = components(&directory);
            names.extend(components(to));
            directory =
                if names.contains(&"..") || to.starts_with('/') { String::new() } else { names.join("/") };
        }
    }
}

/// Splits a shell line into simple commands of words. Quotes keep a word together;
/// nothing is expanded.
fn split(command: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, ';' | '|' | '&' | '\n' | '(' | ')' | '{' | '}' | '`') => {
                end_word(&mut word, &mut words);
                if !words.is_empty() {
                    commands.push(std::mem::take(&mut words));
                }
            }
            (None, c) if c.is_whitespace() => end_word(&mut word, &mut words),
            (None, c) => word.push(c),
        }
    }
    end_word(&mut word, &mut words);
    if !words.is_empty() {
        commands.push(words);
    }
    commands
}

fn end_word(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Words that start another command.
const WRAPPERS: &[&str] = &[
    "env", "time", "nice", "exec", "command", "sudo", "npx", "bunx", "poetry", "uv", "run", "pipenv",
    "timeout", "xvfb-run", "if", "then", "else", "do", "while", "!", "bundle", "pnpx", "dlx",
];
const SHELLS: &[&str] = &["sh", "bash", "zsh", "dash", "ksh"];
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "zsh", "dash", "ksh", "fish", "python", "python2", "python3", "node", "nodejs", "ruby",
    "perl", "php", "deno", "bun", "tsx", "ts-node", "source", ".", "pwsh", "Rscript", "lua", "julia",
];

fn of_simple(words: &[String], depth: u32, files: &mut Vec<String>) {
    let Some((first, arguments)) = unwrapped(words).split_first() else { return };
    let name = first.rsplit('/').next().unwrap_or(first);
    if first.contains('/') && !first.starts_with('/') {
        push(files, first);
    }
    of_interpreter(name, arguments, depth, files);
    of_options(arguments, files);
    let directory = arguments.windows(2).find(|pair| matches!(pair[0].as_str(), "-C" | "--directory"));
    for file in read_by(name) {
        files.push((*file).to_string());
        if let Some(pair) = directory {
            push(files, &format!("{}/{file}", pair[1]));
        }
    }
}

/// The command itself, without the assignments and wrappers before it.
fn unwrapped(mut words: &[String]) -> &[String] {
    let mut wrapped = false;
    while let Some(first) = words.first() {
        let assignment = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let number = first.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b's');
        let wrapper = WRAPPERS.contains(&first.as_str());
        // A wrapper's own options precede the command that it starts.
        let option = wrapped && first.starts_with('-');
        wrapped |= wrapper;
        if !(assignment || wrapper || option || (number && first != ".")) {
            break;
        }
        words = &words[1..];
    }
    words
}

/// The script of an interpreter, or what the code that a shell is given runs.
fn of_interpreter(name: &str, arguments: &[String], depth: u32, files: &mut Vec<String>) {
    let interpreter = INTERPRETERS.contains(&name)
        || (name.starts_with("python") && name[6..].bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    let code = SHELLS.contains(&name).then(|| {
        arguments.iter().position(|a| a.starts_with('-') && !a.starts_with("--") && a.contains('c'))
    });
    if let Some(line) = code.flatten().and_then(|at| arguments.get(at + 1)) {
        if depth < DEPTH {
            of_line(line, depth + 1, files);
        }
    } else if interpreter {
        // `-m module` and `-c code` run no file of their own.
        let code = arguments.iter().any(|a| matches!(a.as_str(), "-m" | "-c" | "-e" | "--eval" | "--test"));
        if !code && let Some(script) = arguments.iter().find(|a| !a.starts_with('-') && *a != "run") {
            push(files, script);
        }
    }
}

/// Files that options name: `-f Makefile.ci`, `--config=jest.ci.js`.
fn of_options(arguments: &[String], files: &mut Vec<String>) {
    for pair in arguments.windows(2) {
        let steers = matches!(
            pair[0].as_str(),
            "-f" | "--file"
                | "--makefile"
                | "--config"
                | "--rcfile"
                | "--config-file"
                | "--justfile"
                | "--settings-file"
                | "--project"
                | "--manifest-path"
                | "--setup-show"
        );
        if steers && (pair[1].contains('.') || pair[1].contains('/')) {
            push(files, &pair[1]);
        }
    }
    for argument in arguments {
        if let Some((option, value)) = argument.split_once('=')
            && matches!(
                option,
                "--config" | "--file" | "--makefile" | "--rcfile" | "--config-file" | "--rootconfig"
            )
        {
            push(files, value);
        }
    }
}

/// Files that a program reads by default.
fn read_by(name: &str) -> &'static [&'static str] {
    match name {
        "make" | "gmake" => &["Makefile", "makefile", "GNUmakefile"],
        "just" => &["justfile", ".justfile", "Justfile"],
        "task" => &["Taskfile.yml", "Taskfile.yaml"],
        "tox" => &["tox.ini"],
        "nox" => &["noxfile.py"],
        "rake" => &["Rakefile"],
        "invoke" | "inv" => &["tasks.py"],
        "pre-commit" => &[".pre-commit-config.yaml"],
        "gradlew" => &["gradlew", "gradle/wrapper/gradle-wrapper.properties"],
        "mvnw" => &["mvnw", ".mvn/wrapper/maven-wrapper.properties"],
        _ => &[],
    }
}

fn push(files: &mut Vec<String>, word: &str) {
    let names = components(word);
    if names.is_empty() || names.contains(&"..") || word.starts_with('/') || word.contains('$') {
        return;
    }
    files.push(names.join("/"));
}
