//! Lines for the job's policy log. The host neutralises control characters and caps the
//! bytes of a call; natively (in tests) the lines go to standard error.

#[cfg(target_arch = "wasm32")]
use crate::bindings::base::codex_worker::policy::host;

macro_rules! level {
    ($(#[$meta:meta])* $name:ident, $level:ident) => {
        $(#[$meta])*
        pub fn $name(message: &str) {
            #[cfg(target_arch = "wasm32")]
            host::log(host::Level::$level, message);
            #[cfg(not(target_arch = "wasm32"))]
            eprintln!("{}: {message}", stringify!($name));
        }
    };
}

level!(
    /// For the author of the policy.
    debug, Debug
);
level!(
    /// For the reader of the policy log.
    info, Info
);
level!(
    /// Something is odd, and the policy went on.
    warn, Warn
);
level!(
    /// Something went wrong; the panic hook uses this before the trap.
    error, Error
);
