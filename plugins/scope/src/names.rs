//! File names: components, folding, and characters that deceive a reader.

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

/// The components of a path, without empty and `.` ones.
pub fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|c| !c.is_empty() && *c != ".").collect()
}

/// The form in which two names are the same on a file system that ignores case and
/// Unicode form: lower case, decomposed (NFD). The crate's iterators would bring the
/// compatibility tables along, which double the component.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut chars = Vec::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        decompose_canonical(c, |part| chars.push(part));
    }
    // Canonical order: runs of combining marks, sorted by their class.
    for run in chars.chunk_by_mut(|_, next| canonical_combining_class(*next) != 0) {
        if let [_, marks @ ..] = run {
            marks.sort_by_key(|c| canonical_combining_class(*c));
        }
    }
    chars.into_iter().collect()
}

/// Whether a reader cannot see this character or sees it elsewhere: controls,
/// zero-width and bidirectional ones.
pub fn deceives(c: char) -> bool {
    c.is_control() || invisible(c)
}

/// Zero-width and bidirectional characters, which also file systems may ignore.
pub fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A name with every deceiving character written as its code.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if deceives(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
