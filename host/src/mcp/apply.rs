//! `apply`: a completed job's change into the user's own files, all of it or nothing.

use super::tools::ApplyReply;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::job::store::JobRow;

/// Applies the job's change, or only says whether it would apply. Blocks.
pub fn apply(_config: &Config, row: &JobRow, _check_only: bool) -> Result<ApplyReply> {
    Err(Error::new(Kind::Internal, format!("apply is not built in yet (job {})", row.id)))
}
