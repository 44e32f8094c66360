//! One git process of the host, in an environment that nobody but the host decides: no
//! `GIT_*` variable of ours gets through, no system or user configuration, no hook, no
//! file system monitor, no lazy fetch; with a time limit and a cap on what it may print.
//! Every git call of the host goes through here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::confine::{self, Confinement};
use super::interrupt::Interrupt;

/// Why a git call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git, or it cannot be started.
    #[error("git cannot be started: {0}")]
    Spawn(#[source] std::io::Error),
    /// The pipes broke.
    #[error("talking to git {verb} failed: {source}")]
    Pipe {
        /// The git command.
        verb: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ran for too long and was killed.
    #[error("git {verb} took longer than {seconds} s and was ended")]
    TimedOut {
        /// The git command.
        verb: String,
        /// The limit.
        seconds: u64,
    },
    /// The job ended, or the caller's time was over, and it was killed.
    #[error("git {verb} was ended")]
    Interrupted {
        /// The git command.
        verb: String,
    },
    /// It printed more than it may.
    #[error("git {verb} printed more than {limit} bytes")]
    TooMuch {
        /// The git command.
        verb: String,
        /// The limit.
        limit: usize,
    },
    /// It ended with an error.
    #[error("git {verb} failed ({code}): {stderr}")]
    Failed {
        /// The git command.
        verb: String,
        /// The exit code, or `signal`.
        code: String,
        /// What it said, one line, without control characters, at most 400 bytes.
        stderr: String,
    },
}

/// What git reads on its standard input.
#[derive(Debug, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// This file from where it stands.
    File(File),
}

/// What git printed and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output, at most the call's limit.
    pub stdout: Vec<u8>,
    /// The first 64 KiB of standard error.
    pub stderr: Vec<u8>,
}

/// One git call being put together.
#[derive(Debug)]
pub struct Git {
    verb: String,
    args: Vec<OsString>,
    globals: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    user_config: bool,
    timeout: Duration,
    limit: usize,
    confined: Option<Confinement>,
    interrupt: Interrupt,
}

/// Written before the command of every call: what could start a program, or make git do
/// work in the background, is off whatever a configuration says.
const SAFE: &[&str] = &[
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.editor=true",
    "core.askPass=true",
    "core.attributesFile=/dev/null",
    "diff.external=",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "protocol.allow=never",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.defaultBranchName=false",
    "branch.autoSetupMerge=false",
    "commit.gpgSign=false",
];

impl Git {
    /// `git <verb>`; arguments follow with [`Git::arg`].
    pub fn new(verb: &str) -> Self {
        Git {
            verb: verb.to_owned(),
            args: Vec::new(),
            globals: Vec::new(),
            env: Vec::new(),
            dir: None,
            user_config: false,
            timeout: Duration::from_secs(600),
            limit: 512 << 20,
            confined: None,
            interrupt: Interrupt::current(),
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Runs in this directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Uses exactly this git directory: nothing is searched for.
    pub fn git_dir(self, dir: &Path) -> Self {
        self.env("GIT_DIR", dir)
    }

    /// Uses exactly this work tree.
    pub fn work_tree(self, dir: &Path) -> Self {
        self.env("GIT_WORK_TREE", dir)
    }

    /// Uses this index file.
    pub fn index(self, file: &Path) -> Self {
        self.env("GIT_INDEX_FILE", file)
    }

    /// Also reads objects from these directories.
    pub fn read_objects(self, dirs: &[PathBuf]) -> Self {
        if dirs.is_empty() {
            return self;
        }
        // The variable's own quoting: a double-quoted entry may hold the separator.
        let mut value = OsString::new();
        for dir in dirs {
            if !value.is_empty() {
                value.push(if cfg!(windows) { ";" } else { ":" });
            }
            let plain = dir.to_string_lossy();
            if plain.contains([':', '"', '\\', '\n']) && !cfg!(windows) {
                value.push(format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\"")));
            } else {
                value.push(dir);
            }
        }
        self.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", value)
    }

    /// Sets one variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets one configuration value (`-c`).
    pub fn config(mut self, pair: &str) -> Self {
        self.globals.push("-c".into());
        self.globals.push(pair.into());
        self
    }

    /// Reads the user's own configuration too. Only for calls that ask git about the
    /// user's repository (ownership exceptions and line-end settings stand there), never
    /// for one that touches files.
    pub fn with_user_config(mut self) -> Self {
        self.user_config = true;
        self
    }

    /// May use nothing of the user's but this, where the kernel can see to it. For a call
    /// that looks at files that a job can write.
    pub fn confined(mut self, to: Confinement) -> Self {
        self.confined = Some(to);
        self
    }

    /// Changes the time limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Changes the cap on standard output.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Runs it and gives its standard output; anything but exit code 0 is an error.
    pub fn output(self) -> Result<Vec<u8>, GitError> {
        self.output_with(Input::Null)
    }

    /// [`Git::output`] with something to read.
    pub fn output_with(self, input: Input) -> Result<Vec<u8>, GitError> {
        let verb = self.verb.clone();
        let out = self.run(input)?;
        if out.code == Some(0) { Ok(out.stdout) } else { Err(failed(verb, &out)) }
    }

    /// [`Git::output`] as one line of text.
    pub fn line(self) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.output()?).trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Runs it; the exit code is the caller's to judge.
    pub fn run(self, input: Input) -> Result<Output, GitError> {
        let mut command = Command::new("git");
        #[expect(clippy::disallowed_methods, reason = "names only, to take them away: no value is read")]
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("GIT_") {
                command.env_remove(key);
            }
        }
        let constants = [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_PAGER", "cat"),
            ("GIT_EDITOR", "true"),
            ("LC_ALL", "C"),
        ];
        command.envs(constants);
        if !self.user_config {
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        }
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        for pair in SAFE {
            command.arg("-c").arg(pair);
        }
        command.args(&self.globals).arg(&self.verb).args(&self.args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut bytes = None;
        match input {
            Input::Null => command.stdin(Stdio::null()),
            Input::Bytes(b) => {
                bytes = Some(b);
                command.stdin(Stdio::piped())
            }
            Input::File(f) => command.stdin(Stdio::from(f)),
        };
        if self.interrupt.is_set() {
            return Err(GitError::Interrupted { verb: self.verb });
        }
        let child = match &self.confined {
            Some(to) if confine::available() => confine::spawn(&mut command, to),
            _ => command.spawn(),
        };
        supervise(child.map_err(GitError::Spawn)?, bytes, &self)
    }
}

/// The error of a call that ended with something else than 0.
pub fn failed(verb: String, out: &Output) -> GitError {
    let text = String::from_utf8_lossy(&out.stderr);
    let mut stderr: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if stderr.len() > 400 {
        let mut at = 400;
        while !stderr.is_char_boundary(at) {
            at -= 1;
        }
        stderr.truncate(at);
        stderr.push('…');
    }
    let code = out.code.map_or_else(|| "signal".to_owned(), |c| c.to_string());
    GitError::Failed { verb, code, stderr }
}

/// Why a child was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Late,
    Interrupted,
}

/// How often the interrupt is asked while git works.
const ASK: Duration = Duration::from_millis(50);

/// Feeds, reads and ends the child. Three helper threads: its standard input, its standard
/// error, and one that kills it when the time is over while we read.
fn supervise(mut child: Child, input: Option<Vec<u8>>, git: &Git) -> Result<Output, GitError> {
    let verb = &git.verb;
    let started = Instant::now();
    let pipe = |source| GitError::Pipe { verb: verb.to_owned(), source };
    let killed = |why| match why {
        Killed::Late => GitError::TimedOut { verb: verb.to_owned(), seconds: git.timeout.as_secs() },
        Killed::Interrupted => GitError::Interrupted { verb: verb.to_owned() },
    };
    let end = || match () {
        () if started.elapsed() > git.timeout => Some(Killed::Late),
        () if git.interrupt.is_set() => Some(Killed::Interrupted),
        () => None,
    };
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let (done, over) = mpsc::channel::<()>();
    let mut too_much = false;
    let (read, ended, err) = std::thread::scope(|scope| {
        if let (Some(mut stdin), Some(bytes)) = (stdin, input) {
            scope.spawn(move || {
                // A git that ends early breaks the pipe; its exit code tells the story.
                let _broken = stdin.write_all(&bytes);
            });
        }
        let errors = scope.spawn(move || {
            let mut kept = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.by_ref().take(64 << 10).read_to_end(&mut kept);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            kept
        });
        let dog = scope.spawn(move || {
            while over.recv_timeout(ASK) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Some(why) = end() else { continue };
                // The child has not been waited for, so its id is still its own.
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                return Some(why);
            }
            None
        });
        let mut kept = Vec::new();
        let read = match stdout {
            Some(mut out) => out.by_ref().take(git.limit as u64 + 1).read_to_end(&mut kept).map(|_| ()),
            None => Ok(()),
        };
        if kept.len() > git.limit {
            too_much = true;
            let _ = child.kill();
        }
        let err = errors.join().unwrap_or_default();
        drop(done);
        let ended = dog.join().unwrap_or(None);
        (read.map(|()| kept), ended, err)
    });
    let status = loop {
        match child.try_wait().map_err(pipe)? {
            Some(status) => break status,
            None => {
                if let Some(why) = end() {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(killed(why));
                }
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    };
    if too_much {
        return Err(GitError::TooMuch { verb: verb.to_owned(), limit: git.limit });
    }
    if let Some(why) = ended {
        return Err(killed(why));
    }
    Ok(Output { code: status.code(), stdout: read.map_err(pipe)?, stderr: err })
}

/// Splits `-z` output; the empty piece after the last NUL is left out.
pub fn split_z(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_suffix(b"\0").unwrap_or(bytes).split(|b| *b == 0).filter(move |_| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_that_takes_too_long_is_ended() {
        let slow = Git::new("cat-file").arg("--batch").timeout(Duration::from_millis(300));
        let dir = tempfile::tempdir().unwrap();
        std::process::Command::new("git").arg("init").arg("-q").arg(dir.path()).status().unwrap();
        let (read_end, _write_end) = rustix::pipe::pipe().unwrap();
        let never: File = read_end.into();
        let started = Instant::now();
        let error = slow.dir(dir.path()).run(Input::File(never)).unwrap_err();
        assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_cancel_ends_git_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::process::Command::new("git").arg("init").arg("-q").arg(dir.path()).status().unwrap();
        let (read_end, _write_end) = rustix::pipe::pipe().unwrap();
        let never: File = read_end.into();
        let started = Instant::now();
        let error = Interrupt::after(Duration::from_millis(300)).scope(|| {
            Git::new("cat-file").arg("--batch").dir(dir.path()).run(Input::File(never)).unwrap_err()
        });
        assert!(matches!(error, GitError::Interrupted { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
        let late = Interrupt::after(Duration::ZERO).scope(|| Git::new("--version").output().unwrap_err());
        assert!(matches!(late, GitError::Interrupted { .. }), "{late}");
        assert!(!Interrupt::current().is_set(), "it holds in its scope alone");
    }

    #[test]
    fn output_is_capped_and_errors_are_one_line() {
        let error = Git::new("--version").limit(3).output().unwrap_err();
        assert!(matches!(error, GitError::TooMuch { limit: 3, .. }), "{error}");
        let error = Git::new("no-such-verb").output().unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    #[test]
    fn z_lists_are_split() {
        let cases: [(&[u8], usize); 3] = [(b"", 0), (b"a\0", 1), (b"a\0b\nc\0", 2)];
        for (bytes, count) in cases {
            assert_eq!(split_z(bytes).count(), count, "{bytes:?}");
        }
    }
}
