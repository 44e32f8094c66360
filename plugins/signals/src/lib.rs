//! The shipped signals policy.
