//! What each strength of containment promises. The table of `SECURITY.md` is made from this
//! list, and `tests/e2e/escape.rs` tries every promise and every one that is not made: a
//! measured behaviour that differs from the list fails there.

use super::Strength;

/// Whether a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Yes.
    Yes,
    /// Yes, where the kernel offers this version of Landlock.
    Landlock(i32),
    /// Yes, unless the host runs as root.
    User,
    /// No.
    No,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// For the test that tries it.
    pub id: &'static str,
    /// One sentence about what a hostile job cannot do.
    pub text: &'static str,
    bubblewrap: Kept,
    landlock: Kept,
    process_group: Kept,
}

impl Promise {
    /// By one strength.
    pub fn by(&self, strength: Strength) -> Kept {
        match strength {
            Strength::Bubblewrap => self.bubblewrap,
            Strength::Landlock => self.landlock,
            Strength::ProcessGroup => self.process_group,
        }
    }
}

const fn promise(
    id: &'static str,
    bubblewrap: Kept,
    landlock: Kept,
    process_group: Kept,
    text: &'static str,
) -> Promise {
    Promise { id, text, bubblewrap, landlock, process_group }
}

use Kept::{No, User, Yes};
const CONNECT: Kept = Kept::Landlock(super::landlock::CONNECT_VERSION);
const SCOPE: Kept = Kept::Landlock(super::landlock::SCOPE_VERSION);

/// Every promise, and what is not promised.
#[rustfmt::skip]
pub const PROMISES: &[Promise] = &[
    promise("write", Yes, Yes, No, "Files outside the job's directories are not written."),
    promise("attributes", Yes, No, No, "Modes, times and extended attributes of files outside are not changed."),
    promise("read-home", Yes, Yes, No, "The home directory is not read, but for toolchains and their caches; nor is any other place that is not on the list of what is readable."),
    promise("list-home", Yes, Yes, No, "Names of files there are not listed."),
    promise("credentials", Yes, Yes, No, "Credentials are not read where they usually are, nor where the usual variables have moved them."),
    promise("temporary", Yes, Yes, No, "The machine's `/tmp` is neither read nor written."),
    promise("git-closed", Yes, No, No, "The configuration, hooks and `info` of a repository in an allowed directory, and what they name, are not changed while the job runs."),
    promise("git-undone", Yes, Yes, Yes, "A change there that would make git run a program does not stay: it fails, or it is put back within moments and the run ends."),
    promise("tcp", Yes, CONNECT, No, "TCP connections lead to the job's adapter only."),
    promise("udp", Yes, Yes, No, "UDP leads nowhere."),
    promise("listen", Yes, CONNECT, No, "No server of the job's is reached from outside."),
    promise("socket-files", Yes, No, No, "Services that listen on a socket file (Docker, D-Bus) are not reached."),
    promise("abstract-sockets", Yes, SCOPE, No, "Services that listen on an abstract socket are not reached."),
    promise("see-processes", Yes, No, No, "Processes outside are not seen."),
    promise("look-into-processes", Yes, Yes, No, "Environment and memory of processes outside are not read."),
    promise("signal", Yes, SCOPE, No, "Processes outside are not signalled."),
    promise("helper", Yes, Yes, User, "The run's own helper is neither traced nor read nor signalled by its number, and nobody else speaks for it."),
    promise("daemons", Yes, Yes, Yes, "No process stays behind, also not one that made a session of its own and cleared its environment."),
    promise("kernel-calls", Yes, Yes, Yes, "Kernel keyrings, `io_uring`, `bpf` and typing into the terminal are refused."),
    promise("set-user-id", Yes, Yes, Yes, "No set-user-id file stays in a directory of the job when the host runs as root."),
    promise("host-environment", Yes, Yes, Yes, "The gateway's key is in the environment of no process of the host, and in none that it starts."),
];

/// The table as it is in `SECURITY.md`.
pub fn table() -> String {
    let mut text =
        "| a hostile job | bubblewrap | Landlock | process groups |\n| --- | --- | --- | --- |\n".to_owned();
    for promise in PROMISES {
        let cells =
            [Strength::Bubblewrap, Strength::Landlock, Strength::ProcessGroup].map(|strength| match promise
                .by(strength)
            {
                Kept::Yes => "yes",
                Kept::Landlock(super::landlock::CONNECT_VERSION) => "since Linux 6.7",
                Kept::Landlock(_) => "since Linux 6.12",
                Kept::User => "not for root",
                Kept::No => "**no**",
            });
        text.push_str(&format!("| {} | {} |\n", promise.text, cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    /// On a difference: put the printed table there.
    #[test]
    fn the_table_is_in_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../SECURITY.md");
        let text = std::fs::read_to_string(path).expect("it is there");
        assert!(text.contains(&super::table()), "SECURITY.md has another table than:\n{}", super::table());
    }
}
