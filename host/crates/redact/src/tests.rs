//! The stream's properties, with a finder in place of the policies.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const SECRET: &str = "gw-5f0Jq&93k\"zzA/xé";

fn redactor(policies: Option<Arc<dyn Finder>>) -> Redactor {
    let secrets = vec![
        ("ONEAPI_API_KEY".to_owned(), Secret::new(SECRET)),
        ("short".to_owned(), Secret::new("12345")),
        ("redacted".to_owned(), Secret::new("REDACTED")),
    ];
    Redactor::new(secrets, policies)
}

/// Finds `tok_` and what follows, `k=` with the word behind it, and all lines from `BEGIN` to `END`.
struct Planted;

impl Finder for Planted {
    fn find_secrets(&self, text: &str, carry: &[String]) -> Result<(Vec<Span>, Vec<String>), String> {
        let mut open = carry.first().is_some_and(|carry| carry == "open");
        let mut spans = Vec::new();
        let mut add = |start: usize, end: usize, rule: &str| {
            spans.push(Span { start: start as u32, end: end as u32, rule: rule.to_owned() });
        };
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if line.contains("PANIC") {
                return Err("trap\x1b[1m: unreachable".to_owned());
            }
            if open || line.contains("BEGIN") {
                open = !line.contains("END");
                add(at, at + line.len(), "key");
            }
            for prefix in ["tok_", "k="] {
                for (start, _) in line.match_indices(prefix) {
                    let word = line[start + prefix.len()..].find(|c: char| !c.is_alphanumeric());
                    let end = word.map_or(line.len(), |end| start + prefix.len() + end);
                    let start = if prefix == "k=" { start + 2 } else { start };
                    add(at + start, at + end, if prefix == "k=" { "pair" } else { "token" });
                }
            }
            at += line.len();
        }
        Ok((spans, vec![if open { "open".to_owned() } else { String::new() }]))
    }
}

fn planted() -> Redactor {
    redactor(Some(Arc::new(Planted)))
}

#[test]
fn known_secrets() {
    let r = redactor(None);
    for (input, expected) in [
        ("nothing 12345", "nothing 12345".to_owned()),
        (SECRET, "[REDACTED:oneapi-api-key]".to_owned()),
        (
            &format!("a {SECRET}\r\n{SECRET}"),
            "a [REDACTED:oneapi-api-key]\r\n[REDACTED:oneapi-api-key]".to_owned(),
        ),
        (
            "Incorrect API key: gw-5f0Jq\x1b[0m&93k\"zz\x1b[1mA/xé.",
            "Incorrect API key: [REDACTED:oneapi-api-key].".to_owned(),
        ),
        ("\"gw-5f0Jq&93k\\\"zzA/x\\u00e9\"", "\"[REDACTED:oneapi-api-key]\"".to_owned()),
        ("say REDACTED", "say [REDACTED:redacted]".to_owned()),
        ("say [REDACTED:redacted]", "say [REDACTED:redacted]".to_owned()),
    ] {
        assert_eq!(r.text(input), expected);
        assert_eq!(r.known_secrets_only(input), expected);
    }
}

/// A token in which something invisible hides is found in each form of output.
#[test]
fn nothing_hides_a_secret() {
    let r = planted();
    for hidden in [
        "\u{200b}",
        "\u{200d}",
        "\u{2060}",
        "\u{feff}",
        "\u{ad}",
        "\u{34f}",
        "\u{fe0f}",
        "\u{e0101}",
        "\u{202e}",
        "\u{2066}",
        "\u{200f}",
        "\u{61c}",
        "\u{180e}",
        "\u{180b}",
        "\u{3164}",
        "\u{115f}",
        "\u{ffa0}",
        "\u{2062}",
        "\u{1d173}",
        "\u{1bca0}",
        "\u{e0041}",
        "\u{17b5}",
        "\u{fff9}",
        "\0",
        "\u{8}",
        "\u{7f}",
        "\u{9d}",
        "\x1b[31m",
        "\x1b]0;x\x07",
    ] {
        let secret = SECRET.replacen("Jq", &format!("J{hidden}q"), 1);
        for many in [1, 3000] {
            let token = format!("to{}k_abc", hidden.repeat(many));
            let text = format!("a {secret} b {token} c");
            let masked = "a [REDACTED:oneapi-api-key] b [REDACTED:token] c";
            assert_eq!(r.text(&text), masked, "{hidden:?}");
            assert_eq!(r.exact(&text), masked, "{hidden:?}");
            let mut stream = r.stream();
            let mut out = String::new();
            for piece in text.chars().collect::<Vec<_>>().chunks(5) {
                out.push_str(&stream.push(&piece.iter().collect::<String>()));
            }
            assert_eq!(out + &stream.finish(), masked, "{hidden:?} in pieces");
        }
        let known = format!("x {secret} y");
        assert_eq!(r.known_secrets_only(&known), "x [REDACTED:oneapi-api-key] y", "{hidden:?}");
        let harmless = format!("x{hidden}y");
        assert_eq!(r.exact(&harmless), harmless, "what has no secret keeps its bytes");
        assert_eq!(r.known_secrets_only(&harmless), harmless);
        assert_eq!(r.text(&harmless), "xy");
    }
    // A secret that itself holds such a character.
    let odd = Redactor::new(vec![("odd".to_owned(), Secret::new("pass\u{200b}word-99"))], None);
    assert_eq!(odd.text("pass\u{200b}word-99 password-99"), "[REDACTED:odd] [REDACTED:odd]");
}

#[test]
fn policies_see_what_known_secret_redaction_left() {
    let r = planted();
    for (input, expected) in [
        ("x tok_abc y\nk=v1", "x [REDACTED:token] y\nk=[REDACTED:pair]"),
        ("a BEGIN\nb\nc END d\ne", "[REDACTED:key]\n[REDACTED:key]\n[REDACTED:key]\ne"),
    ] {
        assert_eq!(r.text(input), expected);
    }
    assert_eq!(r.text(&format!("k={SECRET}")), "k=[REDACTED:oneapi-api-key]");
}

#[test]
fn a_failing_policy_withholds_every_line() {
    let r = planted();
    assert_eq!(
        r.text("one\ntwo PANIC\r\nthree\n"),
        "[WITHHELD: a redaction policy failed: trap: unreachable]\n[WITHHELD]\n[WITHHELD]\n"
    );
    let mut stream = r.stream();
    assert_eq!(stream.push("one\ntwo"), "one\n");
    assert_eq!(
        stream.push(" PANIC\nthree\n"),
        "[WITHHELD: a redaction policy failed: trap: unreachable]\n[WITHHELD]\n"
    );
    assert_eq!(stream.push("four\n"), "[WITHHELD]\n");
    assert_eq!(stream.finish(), "");
    assert_eq!(stream.push("five\n"), "five\n");
}

#[test]
fn only_complete_lines_come_out() {
    let mut stream = planted().stream();
    assert_eq!(stream.push("a to"), "");
    assert_eq!(stream.push("k_12"), "");
    assert_eq!(stream.push("3\nb"), "a [REDACTED:token]\n");
    assert_eq!(stream.finish(), "b");
}

#[test]
fn a_line_of_two_megabytes() {
    let filler = "filler and more filler, ".repeat(1000);
    let mut line = String::new();
    let mut expected = String::new();
    while line.len() < 2 << 20 {
        for (secret, mask) in [
            (SECRET, "[REDACTED:oneapi-api-key]"),
            ("tok_abcdefghijklmnop", "[REDACTED:token]"),
            ("k=abcdefghijkl", "k=[REDACTED:pair]"),
        ] {
            // Odd lengths, so that every kind of cut meets every kind of secret.
            let filler = &filler[..filler.len() - line.len() % 23_001];
            line.push_str(&format!("{filler}{secret} "));
            expected.push_str(&format!("{filler}{mask} "));
        }
    }
    for size in [line.len(), 70_001, 4096, 1021] {
        let mut stream = planted().stream();
        let mut out = String::new();
        let mut rest = line.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(size));
            out.push_str(&stream.push(piece));
            assert!(stream.raw.len() + stream.masked.len() < 2 * WINDOW + size, "memory stays bounded");
            rest = after;
        }
        out.push_str(&stream.finish());
        assert!(out == expected, "pieces of {size} bytes");
    }
}

proptest! {
    /// Whatever the cuts: the same text comes out, no secret does, the lines stay.
    #[test]
    fn cuts_do_not_matter(
        words in proptest::collection::vec(
            prop_oneof![
                Just(SECRET.to_owned()), Just("tok_deadbeef".to_owned()), Just("k=vvvvvvvv".to_owned()),
                Just("BEGIN".to_owned()), Just("END".to_owned()), Just("\n".to_owned()), Just("\r\n".to_owned()),
                Just("é\u{1b}[0m".to_owned()), "[a-z ]{0,12}",
            ], 0..40),
        cuts in proptest::collection::vec(0_usize..400, 0..8),
    ) {
        let text = words.join(" ");
        let r = planted();
        let whole = r.text(&text);
        let mut stream = r.stream();
        let mut out = String::new();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| text.floor_char_boundary(cut)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            out.push_str(&stream.push(&text[pair[0]..pair[1]]));
        }
        out.push_str(&stream.finish());
        prop_assert_eq!(&out, &whole);
        prop_assert_eq!(r.text(&whole), whole.clone());
        prop_assert_eq!(whole.matches('\n').count(), text.matches('\n').count());
        for secret in [SECRET, "tok_deadbeef", "vvvvvvvv"] {
            prop_assert!(!whole.contains(secret), "{whole}");
        }
    }

    /// Anything at all goes through without a panic and keeps its lines.
    #[test]
    fn total(text in "\\PC*[\n\r\u{1b}a-z\\[\\]:é]{0,60}") {
        let out = planted().text(&text);
        prop_assert_eq!(out.matches('\n').count(), text.matches('\n').count());
    }
}
