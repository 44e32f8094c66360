//! `watch`: jobs in a terminal, live. `app` holds what is shown and decides what a key does,
//! `draw` makes rows of it, `screen` paints rows, `source` reads jobs, `terminal` has the loop;
//! `plain` prints lines instead, for a screen reader or a file.
//!
//! Invariant: `app` and `draw` do no I/O: a test gives them keys and looks at rows.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

mod app;

mod draw;

mod screen;

mod source;

mod plain;

mod terminal;

pub use plain::follow;
pub use terminal::watch;
