//! The shipped scope policy.
