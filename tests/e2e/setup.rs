//! `setup` on an empty home: with options, in a terminal, again, undone; and the real Codex
//! reads what it wrote.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Agent, BIN, GATEWAY_KEY, World, cli};

/// A user who has a repository and a gateway, and nothing else.
struct Newcomer {
    world: World,
    dir: tempfile::TempDir,
    gateway: String,
}

impl Newcomer {
    fn new() -> Newcomer {
        Newcomer::with(json!([{"tools": [{"raw": {"name": "report_ready", "arguments": "{}"}}]}]))
    }

    fn with(turns: serde_json::Value) -> Newcomer {
        let world = World::new(&[("a.txt", "a\n")], &json!({"turns": turns}), &Agent::Builtin);
        let gateway = world.value("ONEAPI_BASE_URL");
        Newcomer { world, dir: tempfile::tempdir().expect("a temporary directory"), gateway }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("its real path")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.args(args).env_clear().current_dir(&self.world.repo);
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.home());
        command
    }

    /// Standard output and error together, and the exit code.
    fn run(&self, args: &[&str], input: &str) -> (String, i32) {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("codex-worker starts");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        let out = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (text, out.status.code().unwrap_or(-1))
    }

    fn setup(&self, more: &[&str], input: &str) -> (String, i32) {
        let repo = self.world.repo.display().to_string();
        let mut args = vec!["setup", "--sandbox-root", &repo, "--gateway", &self.gateway];
        args.extend(["--model", "scripted-coder", "--agent", "builtin"]);
        args.extend(more);
        self.run(&args, input)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.home().join(path)).unwrap_or_default()
    }

    /// Every file of the home directory but those of the state.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut dirs = vec![self.home()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).expect("readable").flatten() {
                match entry.path().is_dir() {
                    true => dirs.push(entry.path()),
                    false => found.push(entry.path().display().to_string()),
                }
            }
        }
        found.retain(|path| !path.contains("metrics") && !path.contains("/breaker"));
        found.sort();
        found
    }
}

const SETTINGS: &str = ".config/codex-worker/codex-worker.toml";
const CODEX: &str = ".codex/config.toml";
const KEY: &str = ".local/state/codex-worker/gateway.key";

#[test]
fn from_an_empty_home_to_a_server_and_back() {
    let new = Newcomer::new();
    std::fs::create_dir_all(new.home().join(".codex")).expect("writable");
    let mine = "# mine\nmodel = \"gpt\" # the good one\n\n[mcp_servers.other]\ncommand = \"true\"\n";
    std::fs::write(new.home().join(CODEX), mine).expect("writable");

    // Nothing is asked without a terminal.
    let (said, code) = new.run(&["setup"], "");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no terminal to ask in") && said.contains("--sandbox-root DIR"), "{said}");

    let (said, code) = new.setup(&["--key", "file", "--dry-run"], GATEWAY_KEY);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("+[mcp_servers.worker]") && said.contains("+sandbox_root = "), "{said}");
    assert!(said.contains("streams, calls tools and counts tokens"), "{said}");
    assert!(!said.contains(GATEWAY_KEY) && !new.home().join(KEY).exists(), "{said}");
    assert_eq!(new.read(CODEX), mine);

    let (said, code) = new.setup(&["--key", "file"], GATEWAY_KEY);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Codex will call these without asking you") && said.contains("start"), "{said}");
    assert_eq!(new.read(KEY).trim(), GATEWAY_KEY);
    let mode = std::os::unix::fs::MetadataExt::mode(&new.home().join(KEY).metadata().expect("it is there"));
    assert_eq!(mode & 0o777, 0o600);
    for file in [SETTINGS, CODEX] {
        assert!(!new.read(file).contains(GATEWAY_KEY) && !new.read(file).is_empty());
    }
    assert!(new.read(CODEX).starts_with(mine));
    let kept: Vec<String> = new.files().into_iter().filter(|path| path.contains(".before-")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(std::fs::read_to_string(&kept[0]).expect("the copy"), mine);

    // What was written is what is in force, without a variable.
    let (said, code) = new.run(&["config", "show"], "");
    assert!(code == 0 && said.contains(&new.gateway) && !said.contains(GATEWAY_KEY), "{said}");
    let (said, _) = new.run(&["doctor", "--network"], "");
    assert!(said.contains("streams, calls tools, counts tokens"), "{said}");
    assert!(said.contains("Codex runs `start` without asking you"), "{said}");

    // A second run: nothing is asked, nothing changes.
    let before = (new.read(CODEX), new.read(SETTINGS), new.files());
    let (said, code) = new.run(&["setup", "--yes"], "");
    assert!(code == 0 && said.contains("nothing to change"), "{said}");
    assert_eq!(before, (new.read(CODEX), new.read(SETTINGS), new.files()));

    // And back.
    let (said, code) = new.run(&["setup", "--remove", "--dry-run"], "");
    assert!(code == 0 && said.contains("-[mcp_servers.worker]"), "{said}");
    assert_eq!(before.0, new.read(CODEX));
    let (said, code) = new.run(&["setup", "--remove"], "");
    assert_eq!(code, 0, "{said}");
    assert_eq!(new.read(CODEX), mine);
    assert!(!new.home().join(SETTINGS).exists() && !new.home().join(KEY).exists());
    let (said, _) = new.run(&["setup", "--remove"], "");
    assert!(said.contains("nothing to change"), "{said}");
}

#[test]
fn each_answer_is_tested_before_anything_is_written() {
    let new = Newcomer::with(json!([{"say": "I would rather talk."}]));
    let repo = new.world.repo.display().to_string();
    let cases: [(&[&str], &str, &str); 6] = [
        (&[], "did not call the tool", "choose a model that can call tools"),
        (&["--gateway", "http://127.0.0.1:9/v1"], "cannot be reached", "check the address"),
        (&["--gateway", "gateway.example"], "is no URL", "https://gateway.example/v1"),
        (&["--sandbox-root", "/no/such/place"], "cannot be used", "name the directory"),
        (&["--key", "env:NOT_SET_HERE"], "NOT_SET_HERE is not set here", "--key file"),
        (&["--key", "sk-123456"], "a key itself is never an argument", "--help"),
    ];
    for (more, what, todo) in cases {
        let defaults = [
            ("--sandbox-root", repo.as_str()),
            ("--gateway", &new.gateway),
            ("--model", "scripted-coder"),
            ("--key", "none"),
            ("--agent", "builtin"),
        ];
        let mut args = vec!["setup"];
        for (name, value) in defaults {
            if !more.contains(&name) {
                args.extend([name, value]);
            }
        }
        args.extend(more);
        let (said, code) = new.run(&args, "");
        assert!(code != 0 && said.contains(what) && said.contains(todo), "{more:?}: {said}");
        assert_eq!(new.files(), [""; 0], "{more:?}");
    }
}

/// A terminal of which the test is the other side.
struct Terminal {
    master: File,
    seen: String,
    /// What was seen before.
    all: String,
}

impl Terminal {
    fn run(mut command: Command) -> (Terminal, std::process::Child) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("text");
        let open = || File::options().read(true).write(true).open(&name).expect("the other side");
        let child = command.env("TERM", "xterm").stdin(open()).stdout(open()).stderr(open()).spawn();
        rustix::io::ioctl_fionbio(&master, true).expect("not blocking");
        (
            Terminal { master: File::from(master), seen: String::new(), all: String::new() },
            child.expect("it starts"),
        )
    }

    fn wait_for(&mut self, text: &str) {
        assert!(self.appears(text, Duration::from_secs(30)), "no {text:?} in {}", self.seen);
    }

    fn appears(&mut self, text: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while !self.seen.contains(text) {
            let mut buffer = [0; 4096];
            match self.master.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => self.seen += &String::from_utf8_lossy(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(_) => break,
            }
        }
        let found = self.seen.contains(text);
        if found {
            // Some of what comes next may be there already.
            let rest = self.seen.split_off(self.seen.find(text).unwrap_or_default() + text.len());
            self.all += &std::mem::replace(&mut self.seen, rest);
        }
        found
    }

    /// Types a key until the terminal shows what it does: what is typed before the program reads
    /// keys is lost.
    fn press(&mut self, key: &str, effect: &str) {
        for _ in 0..30 {
            self.master.write_all(key.as_bytes()).expect("it is typed");
            if self.appears(effect, Duration::from_secs(1)) {
                return;
            }
        }
        panic!("{key:?} never gave {effect:?}: {}", self.seen);
    }

    /// Chooses the third of the sources: a file.
    fn a_file(&mut self) {
        self.wait_for("key come from");
        self.press("j", "> another variable");
        self.press("j", "> a file");
        self.press("\r", "it is not shown");
    }

    /// Types what must not be shown, once the terminal shows nothing.
    fn secret(&mut self, keys: &str) {
        use rustix::termios::{LocalModes, tcgetattr};
        crate::support::until("the terminal shows nothing", || {
            tcgetattr(&self.master).is_ok_and(|seen| !seen.local_modes.contains(LocalModes::ECHO))
        });
        self.master.write_all(keys.as_bytes()).expect("it is typed");
    }

    fn answer(&mut self, question: &str, keys: &str) {
        self.wait_for(question);
        self.master.write_all(keys.as_bytes()).expect("it is typed");
    }
}

#[test]
fn a_terminal_is_asked_and_a_typed_key_is_never_shown() {
    let new = Newcomer::new();
    let (mut terminal, mut child) = Terminal::run(new.command(&["setup", "--agent", "builtin"]));
    terminal.answer("holds your repositories", &format!("{}\r", new.world.repo.display()));
    terminal.answer("model gateway", "http://127.0.0.1:9/v1\r");
    terminal.a_file();
    terminal.secret("wrong-key-123\r");
    terminal.wait_for("What now?");
    // The address is tested at once.
    terminal.press("\r", "model gateway");
    let _ = child.kill();
    let _ = child.wait();

    let (mut terminal, mut child) = Terminal::run(new.command(&["setup", "--agent", "builtin"]));
    terminal.answer("holds your repositories", &format!("{}\r", new.world.repo.display()));
    terminal.answer("model gateway", &format!("{}\r", new.gateway));
    terminal.a_file();
    terminal.secret(&format!("{GATEWAY_KEY}\r"));
    // The gateway lists its models.
    terminal.wait_for("> scripted");
    terminal.press("\r", "calls tools");
    assert!(!terminal.all.contains(GATEWAY_KEY), "the key is shown: {}", terminal.all);
    terminal.wait_for("without asking you");
    terminal.press("n", "Codex will call");
    terminal.wait_for("Next: restart Codex");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(new.read(KEY).trim(), GATEWAY_KEY);
    assert!(new.read(CODEX).contains("[mcp_servers.worker]") && !new.read(CODEX).contains("tools.apply"));
}

#[test]
fn the_real_codex_reads_what_setup_wrote() {
    let Some(codex) = cli("CODEX_BIN", "codex") else { return };
    let new = Newcomer::new();
    let (said, code) = new.setup(&["--key", "none", "--approve-apply"], "");
    assert_eq!(code, 0, "{said}");
    let out = Command::new(codex)
        .args(["mcp", "list", "--json"])
        .env_clear()
        .env("HOME", new.home())
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("codex runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let list: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let worker = &list[0];
    assert_eq!((list.as_array().map(Vec::len), worker["name"].as_str()), (Some(1), Some("worker")), "{list}");
    assert_eq!(worker["transport"]["command"].as_str(), Some(BIN), "{list}");
    let settings = worker["transport"]["env"]["CODEX_WORKER_CONFIG"].as_str().unwrap_or_default();
    assert!(settings.ends_with(SETTINGS), "{list}");
}
