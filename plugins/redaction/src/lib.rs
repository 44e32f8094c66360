//! The shipped redaction policy: finds secrets by the shape of their provider's format, by
//! the name in front of a value, and by the blocks that private keys come in.
//!
//! Pure: the same text and carry give the same spans. It never masks by entropy alone, so
//! that hashes, identifiers and checksums in diffs and lock files stay readable.

pub mod calls;
pub mod checks;
pub mod commands;
pub mod context;
pub mod escapes;
mod formats;
mod keywords;
mod line;
mod logins;
mod members;
mod pairs;
pub mod pattern;
pub mod pem;
mod placeholder;
mod policy;
pub mod prefilter;
mod provider;
pub mod rules;
pub mod scan;
mod state;
mod table;
#[cfg(test)]
mod tests;
pub mod url;
pub mod value;

pub use policy::{RedactionPolicy, Settings};
pub use scan::{Engine, Found, Span};

/// `text` with every secret replaced by `[REDACTED:rule]`; for tests and measurements, the
/// host does this itself.
pub fn redact(engine: &Engine, text: &str) -> String {
    let found = engine.find(text, "");
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in &found.spans {
        out.push_str(&text[at..span.start]);
        out.push_str("[REDACTED:");
        out.push_str(span.rule);
        out.push(']');
        at = span.end;
    }
    out.push_str(&text[at..]);
    out
}
