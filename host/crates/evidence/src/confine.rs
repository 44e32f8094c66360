//! A git process that looks at a job's files may read those and nothing else of the user's:
//! whoever exchanges a directory for a link while git walks it gains nothing. By Landlock,
//! which binds the thread that starts the process; where the kernel has none, see
//! `Root::verify_content`.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};

/// What a git process may use, beside the system's own directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Everything below may be read. Directories, opened without following links.
    pub read: Vec<PathBuf>,
    /// Everything below may be read and written.
    pub write: Vec<PathBuf>,
}

/// Where programs and what they need are. Nothing here is a user's.
#[cfg(target_os = "linux")]
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/home/linuxbrew/.linuxbrew",
    "/proc",
    "/sys",
    "/run/current-system",
];

#[cfg(target_os = "linux")]
const DEVICES: &[&str] = &["/dev/null", "/dev/urandom", "/dev/random"];

/// Can this kernel confine a git process? Tried once.
pub fn available() -> bool {
    #[cfg(test)]
    if tests::OFF.get() {
        return false;
    }
    static TRIED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *TRIED.get_or_init(|| {
        let mut command = Command::new("git");
        command.arg("--version").stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let started = spawn(&mut command, &Confinement::default());
        started.and_then(|mut child| child.wait()).is_ok_and(|status| status.success())
    })
}

/// Starts `command` confined.
#[cfg(target_os = "linux")]
pub fn spawn(command: &mut Command, confinement: &Confinement) -> io::Result<Child> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            restrict_this_thread(confinement).map_err(io::Error::other)?;
            command.spawn()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Starts `command` confined.
#[cfg(not(target_os = "linux"))]
pub fn spawn(_command: &mut Command, _confinement: &Confinement) -> io::Result<Child> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn restrict_this_thread(confinement: &Confinement) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use landlock::{
        ABI, Access, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
        path_beneath_rules,
    };
    // Reading is what matters; later interfaces add rights that git does not need.
    let abi = ABI::V1;
    let (read, all) = (AccessFs::from_read(abi), AccessFs::from_all(abi));
    let mut rules = Ruleset::default().handle_access(all)?.create()?;
    rules = rules.add_rules(path_beneath_rules(SYSTEM, read))?;
    rules = rules.add_rules(path_beneath_rules(DEVICES, AccessFs::from_file(abi)))?;
    for (dirs, access) in [(&confinement.read, read), (&confinement.write, all)] {
        for dir in dirs {
            // One that is gone, or that a link leads to, is simply not allowed.
            if let Ok(tree) = jobfs::Tree::open(dir) {
                rules = rules.add_rule(PathBeneath::new(tree, access))?;
            }
        }
    }
    match rules.restrict_self()?.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel does not enforce Landlock".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::process::Stdio;

    use super::*;

    thread_local! {
        /// As on a kernel without Landlock, for this thread.
        pub(crate) static OFF: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn a_confined_process_reads_what_it_may_and_nothing_else() {
        if !available() {
            return; // the other way is tested by `tests::race`
        }
        let dir = tempfile::tempdir().unwrap();
        let top = std::fs::canonicalize(dir.path()).unwrap();
        for name in ["in", "out", "own"] {
            std::fs::create_dir(top.join(name)).unwrap();
            std::fs::write(top.join(name).join("file"), name).unwrap();
        }
        std::os::unix::fs::symlink("../out", top.join("in/link")).unwrap();
        let confinement = Confinement { read: vec![top.join("in")], write: vec![top.join("own")] };
        for (script, works) in [
            ("cat in/file", true),
            ("cat out/file", false),
            ("cat in/link/file", false),
            ("echo x >in/new", false),
            ("echo x >own/new; cat own/file", true),
        ] {
            let mut command = Command::new("sh");
            command.args(["-ec", script]).current_dir(&top).stdout(Stdio::null()).stderr(Stdio::null());
            let status = spawn(&mut command, &confinement).unwrap().wait().unwrap();
            assert_eq!(status.success(), works, "{script}");
        }
    }
}
