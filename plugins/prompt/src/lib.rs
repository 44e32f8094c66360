//! The shipped prompt policy.
