//! Literals in a line of code, by their form alone.

/// The literal as a whole: `42` is not in `142`.
pub fn holds(line: &str, literal: &str) -> bool {
    line.match_indices(literal).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let edge = |c: Option<char>, of: Option<char>| !(c.is_some_and(word) && of.is_some_and(word));
        edge(line[..at].chars().next_back(), literal.chars().next())
            && edge(line[at + literal.len()..].chars().next(), literal.chars().next_back())
    })
}

pub fn literal_at_start(text: &str) -> Option<String> {
    let text = text.trim_start();
    let first = text.chars().next()?;
    if matches!(first, '"' | '\'' | '`') {
        let end = text[1..].find(first)?;
        return Some(text[..end + 2].to_string());
    }
    if matches!(first, '[' | '(')
        && text[1..].starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\''))
    {
        let end = text.find([']', ')'])?;
        return Some(text[..=end].to_string());
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit()) {
        let end = digits
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
            .unwrap_or(digits.len());
        let all = &text[..text.len() - digits.len() + end];
        return Some(all.to_string());
    }
    None
}

pub fn unquoted(literal: &str) -> &str {
    literal.trim_matches(['"', '\'', '`'])
}

pub fn is_number(literal: &str) -> bool {
    literal.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
}

pub fn trivial(literal: &str) -> bool {
    matches!(unquoted(literal), "" | "0" | "1" | "-1" | "0.0" | "1.0" | "2")
        || unquoted(literal).chars().count() < 2 && !is_number(literal)
}

/// Long enough that no ordinary branch has it: a sentence, a large number, a list.
pub fn specific(literal: &str) -> bool {
    let plain = unquoted(literal);
    if is_number(plain) {
        return plain.trim_start_matches('-').len() >= 5 || plain.contains('.') && plain.len() >= 5;
    }
    plain.len() >= 12 || literal.starts_with(['[', '('])
}

/// All literals of a line, without their quotes: strings, and numbers that are no part of a
/// name.
pub fn all(code: &str) -> Vec<String> {
    const MOST: usize = 64;
    let mut found = Vec::new();
    let mut chars = code.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        if matches!(c, '"' | '\'' | '`') {
            let mut text = String::new();
            let mut closed = false;
            while let Some((_, inner)) = chars.next() {
                if inner == c {
                    closed = true;
                    break;
                }
                text.push(inner);
                if inner == '\\' {
                    text.extend(chars.next().map(|(_, escaped)| escaped));
                }
            }
            if closed && !text.is_empty() {
                found.push(text);
            }
            before = c;
        } else if c.is_ascii_digit() && !(before.is_alphanumeric() || matches!(before, '_' | '.')) {
            let mut end = at + 1;
            while let Some((next, digit)) = chars.peek().copied() {
                if !(digit.is_ascii_alphanumeric() || matches!(digit, '.' | '_')) {
                    break;
                }
                end = next + 1;
                chars.next();
            }
            let sign = if before == '-' { "-" } else { "" };
            found.push(format!("{sign}{}", code[at..end].trim_end_matches('.')));
            before = '0';
        } else {
            before = c;
        }
        if found.len() >= MOST {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_a_line() {
        let table: &[(&str, &[&str])] = &[
            ("{\"a b\": 'c', 12: -3.5}", &["a b", "c", "12", "-3.5"]),
            ("x1 = f(y2, 0x1f, 1_000)", &["0x1f", "1_000"]),
            ("\"un\\\"quoted\" it's", &["un\\\"quoted"]),
            ("", &[]),
        ];
        for (code, expected) in table {
            assert_eq!(all(code), *expected, "{code}");
        }
    }
}
