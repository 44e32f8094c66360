//! The forms in which a known secret can turn up in text: encoded, escaped or quoted.
//! Pure; matching is `known`'s business.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Encoded forms shorter than this are not masked: they would flood the text with masks.
const MIN_BYTES: usize = 8;
/// The same for the value itself. What only looks like a secret is held to more by
/// whoever gathers the secrets; a key that was configured may be this short.
const MIN_VALUE: usize = 6;

/// Every single-line form of `value` that is worth looking for.
///
/// A value of several lines gives each of its lines besides the forms that put it on one
/// line (JSON, base64, percent). An encoded form shorter than [`MIN_BYTES`] and a value
/// shorter than [`MIN_VALUE`] are left out.
pub fn variants(value: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let trimmed = value.trim();
    one_value(value, &mut found);
    one_value(trimmed, &mut found);
    one_value(trimmed.trim_matches(['"', '\'']), &mut found);
    if trimmed.contains('\n') {
        trimmed
            .lines()
            .map(str::trim)
            .filter(|line| has_substance(line))
            .for_each(|line| one_value(line, &mut found));
    }
    found.retain(|form| form.len() >= MIN_BYTES && !form.contains(['\n', '\r']));
    if (MIN_VALUE..MIN_BYTES).contains(&trimmed.len()) && !trimmed.contains(['\n', '\r']) {
        found.insert(trimmed.to_owned());
    }
    found
}

/// A line such as `-----BEGIN PRIVATE KEY-----` or `},,,` of a multi-line value is no secret.
fn has_substance(line: &str) -> bool {
    let distinct: BTreeSet<char> = line.chars().filter(|c| c.is_alphanumeric()).collect();
    distinct.len() >= 3 && !line.starts_with("-----")
}

fn one_value(value: &str, found: &mut BTreeSet<String>) {
    if value.len() < MIN_BYTES {
        return;
    }
    found.insert(value.to_owned());
    base64_forms(value.as_bytes(), found);
    // What PowerShell's `-EncodedCommand` takes.
    let wide: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    base64_forms(&wide, found);
    hex_forms(value.as_bytes(), found);
    percent_forms(value, found);
    json_forms(value, found);
    shell_forms(value, found);
    xml_forms(value, found);
    // PowerShell runs the text on either side of `&` as commands, and echoes it so.
    found.extend(value.split('&').filter(|part| part.len() >= MIN_BYTES).map(str::to_owned));
}

/// The whole value, and what is the same whatever comes before and after it: of the
/// encoding at each of the three offsets only the characters that the value alone decides.
fn base64_forms(value: &[u8], found: &mut BTreeSet<String>) {
    for engine in [&STANDARD, &URL_SAFE] {
        let whole = engine.encode(value);
        found.insert(whole.trim_end_matches('=').to_owned());
        // `base64` wraps at 76 columns, PEM at 64.
        for width in [64, 76] {
            if whole.len() > width {
                found.extend(whole.as_bytes().chunks(width).filter_map(|line| {
                    std::str::from_utf8(line).ok().map(|line| line.trim_end_matches('=').to_owned())
                }));
            }
        }
        for offset in 0..3_usize {
            let mut padded = vec![0; offset];
            padded.extend_from_slice(value);
            let encoded = engine.encode(&padded);
            let first = (offset * 8).div_ceil(6);
            let end = padded.len() * 8 / 6;
            if let Some(middle) = encoded.get(first..end) {
                found.insert(middle.to_owned());
            }
        }
    }
}

fn hex_forms(value: &[u8], found: &mut BTreeSet<String>) {
    let mut lower = String::with_capacity(value.len() * 2);
    for byte in value {
        // Writing to a String cannot fail.
        let _ = write!(lower, "{byte:02x}");
    }
    found.insert(lower.to_uppercase());
    found.insert(lower);
}

/// `encodeURIComponent`, RFC 3986 and form encoding, with upper and lower case digits.
fn percent_forms(value: &str, found: &mut BTreeSet<String>) {
    for also_plain in ["-_.~", "-_.!~*'()", "-_.*", "-_.~/", "-_.~:/?#[]@!$&'()*+,;="] {
        let mut upper = String::new();
        let mut lower = String::new();
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || also_plain.as_bytes().contains(&byte) {
                upper.push(byte as char);
                lower.push(byte as char);
            } else {
                let _ = write!(upper, "%{byte:02X}");
                let _ = write!(lower, "%{byte:02x}");
            }
        }
        // An address within an address.
        found.insert(upper.replace('%', "%25"));
        found.insert(upper.replace("%20", "+"));
        found.insert(lower.replace("%20", "+"));
        found.insert(upper);
        found.insert(lower);
    }
}

/// Inside a JSON string once and twice, as serde, JavaScript, PHP, Python and Go write it.
fn json_forms(value: &str, found: &mut BTreeSet<String>) {
    let once = json_escape(value, |_| false);
    found.insert(json_escape(&once, |_| false));
    found.insert(once.replace('/', "\\/"));
    found.insert(json_escape(value, |c| !c.is_ascii()));
    found.insert(json_escape(value, |c| "<>&".contains(c)));
    found.insert(once);
}

fn json_escape(value: &str, also: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || also(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Inside single quotes, double quotes, and with a backslash before each special character.
fn shell_forms(value: &str, found: &mut BTreeSet<String>) {
    found.insert(windows_argument(value));
    found.insert(value.replace('\'', "'\\''"));
    found.insert(value.replace('\'', "'\"'\"'"));
    found.insert(value.replace('\'', "''"));
    found.insert(backslashed(value, |c| "\"\\$`".contains(c)));
    found.insert(backslashed(value, |c| "\"\\$`!".contains(c)));
    found.insert(backslashed(value, |c| !(c.is_alphanumeric() || "-_./:=@%+,".contains(c))));
    found.insert(backslashed(value, |c| !(c.is_alphanumeric() || "-_./".contains(c))));
}

/// As an argument on a Windows command line: a backslash before each quote, and those in
/// front of it doubled.
fn windows_argument(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let mut slashes = 0;
    for c in value.chars() {
        if c == '"' {
            out.push_str(&"\\".repeat(slashes + 1));
        }
        slashes = if c == '\\' { slashes + 1 } else { 0 };
        out.push(c);
    }
    out
}

fn backslashed(value: &str, special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn xml_forms(value: &str, found: &mut BTreeSet<String>) {
    for (quote, apostrophe) in
        [("&quot;", "&apos;"), ("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&#34;", "&#39;"), ("\"", "'")]
    {
        let escaped = value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', quote)
            .replace('\'', apostrophe);
        found.insert(escaped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let value = "p&w\"d'/ä +x1 $z";
        let all = variants(value);
        for form in [
            value,
            r#"p&w\"d'/ä +x1 $z"#,
            r#"p&w\\\"d'/ä +x1 $z"#,
            r#"p&w\"d'\/ä +x1 $z"#,
            "p%26w%22d%27%2F%C3%A4%20%2Bx1%20%24z",
            "p%26w%22d%27%2f%c3%a4%20%2bx1%20%24z",
            "p%26w%22d%27%2F%C3%A4+%2Bx1+%24z",
            "p&amp;w&quot;d&#39;/ä +x1 $z",
            "p&w\"d'\\''/ä +x1 $z",
            "7026772264272fc3a4202b783120247a",
            "7026772264272FC3A4202B783120247A",
            "cCZ3ImQnL8OkICt4MSAkeg",
            "p%2526w%2522d%2527%252F%25C3%25A4%2520%252Bx1%2520%2524z",
            "cAAmAHcAIgBkACcALwDkACAAKwB4ADEAIAAkAHoA",
        ] {
            assert!(all.contains(form), "no form {form:?}");
        }
    }

    #[test]
    fn a_short_key_is_looked_for_as_it_is_and_a_shorter_one_not() {
        assert!(variants("x9!kQ2").contains("x9!kQ2"));
        assert!(variants("x9!kQ2\n").iter().all(|form| form.len() >= MIN_BYTES || form == "x9!kQ2"));
        assert!(variants("x9!kQ").is_empty());
    }

    /// The encoders of GitHub's runner, each on a value that it changes.
    #[test]
    fn every_encoder_of_the_runner() {
        for (encoder, value, form) in [
            ("base64", "s3cret-value", "czNjcmV0LXZhbHVl"),
            ("base64, one byte in", "s3cret-value", "MzY3JldC12YWx1Z"),
            ("base64, two bytes in", "s3cret-value", "zM2NyZXQtdmFsdW"),
            ("command-line argument", "a\\b\\\"c d\"e", "a\\b\\\\\\\"c d\\\"e"),
            ("expression string", "it's-a-value", "it''s-a-value"),
            ("JSON string", "line\"one\"two", "line\\\"one\\\"two"),
            ("URI data", "with space&more", "with%20space%26more"),
            ("XML data", "a<b>&\"value\"", "a&lt;b&gt;&amp;&quot;value&quot;"),
            ("trimmed quotes", "\"quoted-value\"", "quoted-value"),
            ("before an ampersand", "first-half&second-half", "first-half"),
            ("behind an ampersand", "first-half&second-half", "second-half"),
        ] {
            let all = variants(value);
            assert!(all.contains(form), "{encoder}: no {form:?} of {value:?}");
        }
    }

    #[test]
    fn base64_at_any_offset() {
        let value = "s3cr3t-value-of-ours";
        let all = variants(value);
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "zz", "zzz"] {
                for engine in [&STANDARD, &URL_SAFE] {
                    let text = engine.encode(format!("{before}{value}{after}"));
                    assert!(all.iter().any(|form| text.contains(form.as_str())), "{before:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn lines_of_a_value_and_short_values() {
        let all = variants("-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\naaaaaaaaaaaa\n-----END KEY-----\n");
        assert!(all.contains("MIIEvQIBADANBg"));
        assert!(!all.contains("short") && !all.contains("-----BEGIN KEY-----"));
        assert!(variants("12345").is_empty());
        assert!(!all.contains("aaaaaaaaaaaa"));
    }
}
