//! Where a job works: roots, snapshots, worktrees.
