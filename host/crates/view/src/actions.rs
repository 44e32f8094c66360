//! What a viewer may do to a job. The program provides it; the views only call it.

use std::sync::Arc;

use model::error::Result;
use model::spec::JobId;
pub use workspace::apply::Mode;

/// Something that is done to a job and gives one line that says what was done. Blocks.
pub type Act<T> = Arc<dyn Fn(&JobId, T) -> Result<String> + Send + Sync>;

/// What can be done.
#[derive(Clone)]
pub struct Actions {
    /// Ends the job, for this reason.
    pub cancel: Act<String>,
    /// Brings its change to the user.
    pub apply: Act<Mode>,
    /// Starts a job that goes on with its conversation, with this task.
    pub resume: Act<String>,
}
