//! Where a language's blocks are, and which of them are tests.

pub mod braces;
pub mod python;
pub mod ruby;

/// The beginning of a title that is completed at run time: up to the first placeholder.
pub fn fixed_title(content: &str) -> &str {
    let code = content.find("#{").unwrap_or(content.len());
    let end = content.find(['%', '$', '\\', '\n']).unwrap_or(content.len()).min(code);
    content.get(..end).unwrap_or_default().trim_end()
}
