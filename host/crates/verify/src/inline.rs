//! Tests that stand in the file they test: Rust's `#[cfg(test)] mod tests { … }`. The guarded
//! run cannot put the whole file back, so it puts back these modules alone. Pure.

use std::ops::Range;

/// `result` with the test modules of `base` in the place of its own, and those that are gone
/// appended. None if that changes nothing.
pub fn with_base_tests(base: &str, result: &str) -> Option<String> {
    let now = modules(result);
    let mut edits: Vec<(Range<usize>, &str)> = Vec::new();
    for (name, range) in modules(base) {
        let old = &base[range];
        match now.iter().find(|(other, _)| *other == name) {
            Some((_, place)) if &result[place.clone()] == old => {}
            Some((_, place)) => edits.push((place.clone(), old)),
            None => edits.push((result.len()..result.len(), old)),
        }
    }
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(result.len() + base.len());
    let mut at = 0;
    for (place, text) in edits {
        out.push_str(&result[at..place.start]);
        if place.is_empty() {
            out.push('\n');
        }
        out.push_str(text);
        at = place.end;
    }
    out.push_str(&result[at..]);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    Some(out)
}

/// The modules behind `#[cfg(test)]` with their names, from the attribute to the last brace.
fn modules(text: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("#[cfg(test)]").map(|n| at + n) {
        at = start + "#[cfg(test)]".len();
        let Some((name, open)) = module_head(text, at) else { continue };
        let Some(close) = closing_brace(text, open) else { continue };
        found.push((name, start..close + 1));
        at = close + 1;
    }
    found
}

/// The name and the opening brace of a module whose attributes begin at `at`.
fn module_head(text: &str, at: usize) -> Option<(String, usize)> {
    let mut rest = text[at..].trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("#[") {
            rest = after.split_once(']')?.1.trim_start();
        } else if let Some(after) = rest.strip_prefix("//") {
            rest = after.split_once('\n')?.1.trim_start();
        } else {
            break;
        }
    }
    let rest = rest.strip_prefix("pub ").or_else(|| rest.strip_prefix("pub(crate) ")).unwrap_or(rest);
    let rest = rest.strip_prefix("mod ")?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (name, after) = rest.split_at(end);
    let open = text.len() - after.len() + (after.len() - after.trim_start().len());
    text[open..].starts_with('{').then(|| (name.to_owned(), open))
}

/// The brace that closes the one at `open`; braces in strings, characters and comments do
/// not count.
fn closing_brace(text: &str, open: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = open;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            b'"' => at = end_of_string(bytes, at)?,
            b'r' if !at.checked_sub(1).is_some_and(|b| is_word(bytes[b]) && bytes[b] != b'b') => {
                let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
                if bytes.get(at + 1 + hashes) == Some(&b'"') {
                    let close = format!("\"{}", "#".repeat(hashes));
                    let body = at + 2 + hashes;
                    at = body + text.get(body..)?.find(&close)? + hashes;
                }
            }
            b'\'' => at = end_of_character(text, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n')?;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = end_of_comment(bytes, at)?,
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn end_of_string(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
}

/// The last byte of a character literal, or the quote itself of a lifetime.
fn end_of_character(text: &str, open: usize) -> usize {
    let rest = &text[open + 1..];
    let mut chars = rest.char_indices();
    match chars.next() {
        Some((_, '\\')) => {
            // What follows the backslash may itself be a quote.
            let after = chars.next().map_or(1, |(at, c)| at + c.len_utf8());
            rest[after..].find('\'').map_or(open, |n| open + 1 + after + n)
        }
        Some((_, _)) => match chars.next() {
            Some((at, '\'')) => open + 1 + at,
            _ => open,
        },
        None => open,
    }
}

/// Rust's comments nest.
fn end_of_comment(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = open;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)?) {
            (b'/', b'*') => {
                depth += 1;
                at += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_base_tests;

    const CODE: &str = "pub fn f() -> u8 { 1 }\n";
    const TESTS: &str =
        "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn a() { assert_eq!(super::f(), 2); }\n}\n";

    #[test]
    fn the_modules_of_the_base_take_the_place_of_the_results() {
        let base = format!("{CODE}{TESTS}");
        let weak = base.replace("assert_eq!(super::f(), 2)", "assert!(true)");
        let cases = [
            (base.clone(), base.clone(), None),
            // New code stays, old tests come back.
            (base.clone(), weak.replace("{ 1 }", "{ 3 }"), Some(base.replace("{ 1 }", "{ 3 }"))),
            (base.clone(), CODE.to_owned(), Some(format!("{CODE}\n{}", TESTS.trim_start()))),
            (CODE.to_owned(), base.clone(), None),
            // Another module's name is another module.
            (
                base.clone(),
                base.replace("mod tests", "mod more"),
                Some(format!("{}\n{}", base.replace("mod tests", "mod more"), TESTS.trim_start())),
            ),
        ];
        for (base, result, expected) in cases {
            assert_eq!(with_base_tests(&base, &result), expected, "{result}");
        }
    }

    #[test]
    fn braces_that_do_not_count() {
        for inside in [
            "let s = \"}\\\"}\";",
            "let r = r#\"}\"}\"#;",
            "let b = br\"}\";",
            "let c = ['}', '\\'', '\\\\', '\u{e9}'];",
            "fn l<'a>(x: &'a str) -> &'a str { x }",
            "// }",
            "/* } /* } */ } */",
            "let var = 1; let bar = \"}\";",
        ] {
            let base = format!(
                "{CODE}#[cfg(test)]\n#[allow(dead_code)]\npub(crate) mod t {{\n {inside}\n}}\nfn after() {{}}\n"
            );
            let result = base.replace(inside, "");
            assert_eq!(with_base_tests(&base, &result).as_deref(), Some(base.as_str()), "{inside}");
        }
    }

    #[test]
    fn what_is_no_module_with_a_body_is_left_alone() {
        for text in [
            "#[cfg(test)]\nmod tests;\n",
            "#[cfg(test)]\nuse a::b;\n",
            "#[cfg(test)]",
            "#[cfg(test)] mod t {",
        ] {
            assert_eq!(with_base_tests(text, "fn f() {}\n"), None, "{text}");
        }
    }
}
