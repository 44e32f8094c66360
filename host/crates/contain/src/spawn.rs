//! One thread that starts every contained process and lives as long as this process.
//!
//! Why: the kernel delivers "parent died" (bubblewrap's `--die-with-parent`, the helper's
//! own) when the *thread* that started the child ends, and a thread of the runtime may end
//! while the program goes on.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Request {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

static SPAWNER: OnceLock<Option<mpsc::Sender<Request>>> = OnceLock::new();

/// Starts `command` from the lasting thread; its exit is watched by the calling runtime.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let sender =
        SPAWNER.get_or_init(start).clone().ok_or_else(|| io::Error::other("no thread to start processes"))?;
    let (reply, answer) = oneshot::channel();
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    sender.send(Request { command, runtime: Handle::current(), reply }).map_err(|_| gone(()))?;
    answer.await.map_err(|_| gone(()))?
}

fn start() -> Option<mpsc::Sender<Request>> {
    let (sender, requests) = mpsc::channel::<Request>();
    std::thread::Builder::new()
        .name("contain-spawn".into())
        .spawn(move || {
            for Request { mut command, runtime, reply } in requests {
                let _inside = runtime.enter();
                // A caller that is gone drops the child, which is killed by that.
                let _ = reply.send(command.spawn());
            }
        })
        .ok()?;
    Some(sender)
}
