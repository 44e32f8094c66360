//! Text of strangers, made harmless: no characters that a reader cannot see, one line
//! where one line is meant, never the word that fences it.

/// Without control, zero-width, bidirectional and tag characters; line ends and tabs stay.
pub fn visible(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || invisible(*c))).collect()
}

fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The first `max` bytes, cut at a character, with `…` where something was cut.
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_string();
    }
    format!("{}…", &text[..text.floor_char_boundary(max.saturating_sub('…'.len_utf8()))])
}

/// Harmless, without `fence`, on one line of at most `max` bytes.
pub fn line(text: &str, fence: &str, max: usize) -> String {
    // What is cut off later need not be cleaned; a third of it may be invisible.
    let start = &text[..text.floor_char_boundary(text.len().min(max * 4))];
    let clean = unfenced(visible(start), fence);
    let words: Vec<&str> = clean.split_whitespace().collect();
    cut(&words.join(" "), max)
}

/// Without the fence word, also where taking one away would put another together.
fn unfenced(mut text: String, fence: &str) -> String {
    while !fence.is_empty() && text.contains(fence) {
        text = text.replace(fence, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_harmless() {
        let table = [
            ("plain", "plain"),
            ("a\nb\r\n\tc", "a b c"),
            ("a\u{202e}b\u{200b}c\u{1b}[31md\u{0}", "abc[31md"),
            ("x FENCE y", "x y"),
            ("x FENFENCECE y", "x y"),
            ("tag\u{e0041}s", "tags"),
            ("é".repeat(300).as_str(), &format!("{}…", "é".repeat(48))),
        ]
        .map(|(a, b)| (a.to_string(), b.to_string()));
        for (text, expected) in table {
            let got = line(&text, "FENCE", 100);
            assert_eq!(got, expected);
            assert!(got.len() <= 100);
        }
    }
}
