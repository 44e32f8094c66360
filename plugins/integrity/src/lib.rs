//! The shipped integrity policy.
