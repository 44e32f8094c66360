//! `analyze`: one question about files, answered by the cheap model.

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::mcp::tools::{AnalyzeArgs, AnalyzeReply};
use crate::report::redact::Redactor;

/// Answers the question.
pub async fn analyze(_config: &Config, _args: AnalyzeArgs, _redactor: &Redactor) -> Result<AnalyzeReply> {
    Err(Error::new(Kind::Internal, "analyze is not built in yet"))
}
