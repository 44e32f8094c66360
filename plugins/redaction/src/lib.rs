//! The shipped redaction policy.
