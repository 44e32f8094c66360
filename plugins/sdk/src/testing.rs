//! Tests of a policy as plain Rust, without a host: `cargo test` in the policy's crate runs
//! its own examples (the macro writes that test) and whatever else the author asserts.
//! `codex-worker plugin check` runs them again in the component, with the conformance properties.

use crate::rt::Component;
use crate::rt::serde_json::{self, Value};

/// Runs the policy's own examples.
///
/// # Errors
/// One text for each example that does not hold: its name, what was expected and what came.
pub fn failures<P: Component>() -> Vec<String> {
    P::examples()
        .into_iter()
        .filter_map(|example| {
            let run = || -> Result<(), String> {
                let policy = P::create(&example.config)?;
                let got = policy.call(&example.interface, &example.input)?;
                let expected: Value = serde_json::from_str(&example.expected)
                    .map_err(|error| format!("its expected output is no JSON: {error}"))?;
                if got == expected {
                    return Ok(());
                }
                Err(format!("expected {expected}\n     got {got}"))
            };
            run().err().map(|difference| format!("example \"{}\": {difference}", example.name))
        })
        .collect()
}

/// Panics unless all of the policy's own examples hold.
pub fn examples_hold<P: Component>() {
    let failures = failures::<P>();
    assert!(failures.is_empty(), "{} examples fail:\n{}", failures.len(), failures.join("\n"));
}
