//! The worker's side of the sockets to the helper: where it hears how the command started
//! and ended, and where the contained tree's connections come out.
//!
//! A process of another job may know the sockets' names, and Landlock has no rule for them.
//! So who speaks is asked of the kernel: only a process of this run is listened to, and the
//! helper speaks before its command starts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use super::cgroup::Group;
use super::helper::HelperMessage;
use super::tree;

/// Connections at once out of one contained tree.
const CONNECTIONS: usize = 256;

/// A directory with the sockets of one run; gone when dropped.
pub(super) struct Channel {
    dir: tempfile::TempDir,
    forward: Vec<(u16, PathBuf)>,
    /// The outermost process of the run, once it was started.
    root: watch::Sender<Option<i32>>,
    heard: JoinHandle<Vec<HelperMessage>>,
    serving: Vec<AbortHandle>,
}

impl Channel {
    /// Listens; `ports` are passed on to the same ports outside. The helper is moved into
    /// `group` before its command starts.
    pub(super) fn open(ports: &[u16], group: Option<Arc<Group>>) -> io::Result<Self> {
        // Socket paths are short (108 bytes), TMPDIR may be long.
        let base = Path::new("/tmp");
        let dir = if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() }?;
        let control = UnixListener::bind(dir.path().join("control"))?;
        let path = dir.path().join("control");
        let (root, of_run) = watch::channel(None);
        let heard = tokio::spawn(hear(control, path, of_run.clone(), group));
        let mut forward = Vec::new();
        let mut serving = vec![heard.abort_handle()];
        for port in ports {
            let socket = dir.path().join(format!("port-{port}"));
            let listener = UnixListener::bind(&socket)?;
            serving.push(tokio::spawn(pass_on(listener, *port, of_run.clone())).abort_handle());
            forward.push((*port, socket));
        }
        Ok(Channel { dir, forward, root, heard, serving })
    }

    /// Says which process the run began with.
    pub(super) fn started(&self, root: i32) {
        self.root.send_replace(Some(root));
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn control(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    pub(super) fn forward(&self) -> &[(u16, PathBuf)] {
        &self.forward
    }

    /// Everything the helper said, once it is gone; empty if it never came.
    pub(super) async fn heard(&mut self) -> Vec<HelperMessage> {
        let wait = std::time::Duration::from_millis(500);
        match tokio::time::timeout(wait, &mut self.heard).await {
            Ok(Ok(said)) => said,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        for task in &self.serving {
            task.abort();
        }
    }
}

/// The process at the other end, if it belongs to the run.
async fn peer_of_run(stream: &UnixStream, of_run: &mut watch::Receiver<Option<i32>>) -> Option<i32> {
    let root = (*of_run.wait_for(Option::is_some).await.ok()?)?;
    let peer = stream.peer_cred().ok()?.pid()?;
    tree::is_within(peer, root).then_some(peer)
}

/// Takes the helper's connection, closes the door, says that the command may start and
/// listens to the end.
async fn hear(
    listener: UnixListener,
    path: PathBuf,
    mut of_run: watch::Receiver<Option<i32>>,
    group: Option<Arc<Group>>,
) -> Vec<HelperMessage> {
    let (mut stream, peer) = loop {
        let Ok((stream, _)) = listener.accept().await else { return Vec::new() };
        match peer_of_run(&stream, &mut of_run).await {
            Some(peer) => break (stream, peer),
            None => tracing::warn!("a process of no run of ours spoke on the control socket"),
        }
    };
    drop(listener);
    let _ = std::fs::remove_file(path);
    if let Some(Err(error)) = group.map(|group| group.enter(peer.cast_unsigned())) {
        tracing::warn!(%error, "a command runs outside its control group");
    }
    // A helper that is gone is noticed below.
    let _ = stream.write_all(b"go\n").await;
    let mut lines = BufReader::new(stream).lines();
    let mut said = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        said.extend(serde_json::from_str::<HelperMessage>(&line));
        if said.len() > 8 {
            break;
        }
    }
    said
}

async fn pass_on(listener: UnixListener, port: u16, mut of_run: watch::Receiver<Option<i32>>) {
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((mut inside, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if peer_of_run(&inside, &mut of_run).await.is_none() {
            continue;
        }
        connections.spawn(async move {
            let _permit = permit;
            if let Ok(mut outside) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = outside.set_nodelay(true);
                // A broken connection ends; the peers see that themselves.
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            }
        });
    }
}
