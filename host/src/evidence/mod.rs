//! Evidence: what a job changed, found by the host itself.
