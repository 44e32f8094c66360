//! Server-sent events: a page is told that what it shows has changed, and fetches itself again.
//! One thread looks at the store for all of them, and only while somebody listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use job::sqlite::{JobStamp, SqliteStore};
use model::spec::JobId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Site;
use crate::answer::Response;

/// Between looks at the store.
const LOOK: Duration = Duration::from_millis(300);
/// A comment is sent this often, so that a connection that broke is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The number of the store's last change that was seen.
pub(crate) struct Changes {
    seen: watch::Receiver<u64>,
}

impl Changes {
    /// Watches `store`, a connection of its own, until `shutdown`.
    pub fn watch(store: SqliteStore, shutdown: CancellationToken) -> Changes {
        let (sender, seen) = watch::channel(0);
        let store = Arc::new(store);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
                // One receiver is this struct's own.
                if sender.receiver_count() < 2 {
                    continue;
                }
                let store = store.clone();
                if let Ok(Ok(stamp)) = tokio::task::spawn_blocking(move || store.stamp()).await {
                    sender.send_if_modified(|known| std::mem::replace(known, stamp) != stamp);
                }
            }
        });
        Changes { seen }
    }
}

/// A stream of `change` events: of one job, or of all.
pub(crate) fn stream(site: Arc<Site>, job: Option<JobId>) -> Response {
    struct State {
        site: Arc<Site>,
        job: Option<JobId>,
        seen: watch::Receiver<u64>,
        stamp: Option<JobStamp>,
    }
    let seen = site.changes.seen.clone();
    let state = State { site, job, seen, stamp: None };
    let events = stream::unfold(state, |mut state| async move {
        loop {
            let changed = tokio::select! {
                () = state.site.shutdown.cancelled() => return None,
                changed = tokio::time::timeout(KEEP_ALIVE, state.seen.changed()) => changed,
            };
            let text = match changed {
                Err(_) => ": still here\n\n",
                Ok(Err(_)) => return None,
                Ok(Ok(())) => match &state.job {
                    None => "event: change\ndata: jobs\n\n",
                    Some(id) => {
                        let (site, id) = (state.site.clone(), id.clone());
                        let stamp = tokio::task::spawn_blocking(move || site.store.job_stamp(&id).ok()).await;
                        let stamp = stamp.ok().flatten();
                        if stamp == state.stamp {
                            continue;
                        }
                        state.stamp = stamp;
                        "event: change\ndata: job\n\n"
                    }
                },
            };
            return Some((Ok::<_, Infallible>(Bytes::from_static(text.as_bytes())), state));
        }
    });
    let first = stream::once(async { Ok(Bytes::from_static(b"retry: 2000\n\n")) });
    let frames = first.chain(events).map(|bytes: Result<Bytes, Infallible>| bytes.map(Frame::data));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
