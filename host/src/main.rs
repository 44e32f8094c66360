//! The entry point: all the work is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    codex_worker::cli::main()
}
