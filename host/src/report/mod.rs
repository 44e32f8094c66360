//! What leaves the process: the compact result, the receipt, and the redaction that
//! everything passes.

mod build;
pub mod log;
pub mod receipt;
pub mod redact;
pub mod result;
pub mod sanitize;
