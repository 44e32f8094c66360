//! Verification: checks, and the outcome from changes, checks and verdicts.
