//! Pages over the job store for the person who sits at this machine: jobs, one job, policies,
//! costs. Everything that is shown was written by others: it is cleaned by `view` and escaped
//! by maud, and no page has a script or a style of its own.
//!
//! Invariants:
//! 1. Only loopback is listened on, and only a request with a Host of this listener is
//!    answered.
//! 2. No page is given out without the session that a one-time address opened; nothing is
//!    changed but by a POST of a page of ours.
//! 3. Jobs are read through a connection that cannot write.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

mod guard;

mod server;

mod live;

mod chart;

mod pages;

mod answer;

use std::sync::Arc;

use config::Config;
use job::sqlite::SqliteStore;
use model::error::Result;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use view::actions::Actions;
use view::cost::Costs;
use view::rules::Rules;
use view::text::Clean;

pub use answer::{Mcp, Response};
pub use guard::Session;
pub use server::listen;

/// What the pages stand on.
struct Site {
    config: Arc<Config>,
    store: SqliteStore,
    clean: Clean,
    costs: Costs,
    rules: Rules,
    actions: Actions,
    session: Arc<Session>,
    mcp: Option<Mcp>,
    changes: live::Changes,
    shutdown: CancellationToken,
}

/// Serves the pages, and at `/mcp` what checks its callers itself, until `shutdown`. The store
/// exists.
pub async fn serve(
    config: Arc<Config>,
    actions: Actions,
    session: Arc<Session>,
    mcp: Option<Mcp>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<()> {
    let site = Site {
        store: SqliteStore::open_read_only(&config.home)?,
        clean: Clean::new(&config),
        costs: Costs::new(&config.metrics_file),
        rules: Rules::default(),
        changes: live::Changes::watch(SqliteStore::open_read_only(&config.home)?, shutdown.clone()),
        config,
        actions,
        session,
        mcp,
        shutdown: shutdown.clone(),
    };
    server::run(Arc::new(site), listener, shutdown).await;
    Ok(())
}
