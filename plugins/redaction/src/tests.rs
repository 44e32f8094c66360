//! The laws, on planted secrets: found wherever they stand, lines kept, masked once.

use proptest::prelude::*;

use crate::{Engine, redact};

/// Deterministic characters that look drawn: a test value, no secret of anybody.
fn draw(seed: u64, alphabet: &[u8], length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            alphabet[(state >> 33) as usize % alphabet.len()] as char
        })
        .collect()
}

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";

/// Secrets in lines of many kinds; each with the part that must not be seen.
fn planted(seed: u64) -> Vec<(String, String)> {
    let alnum = draw(seed, ALNUM, 40);
    let lower = draw(seed + 1, LOWER, 32);
    let hex = draw(seed + 2, HEX, 40);
    let word = format!("{}-{}7", draw(seed + 3, b"bcdfghjklm", 5), draw(seed + 4, b"nprstvwxz", 5));
    let mut all = vec![
        (format!("ghp_{alnum}"), alnum.clone()),
        (format!("export STRIPE=sk_live_{}", &alnum[..24]), alnum[..24].to_owned()),
        (
            format!(
                "https://hooks.slack.com/services/T0{}/B0{}/{}",
                &alnum[..8],
                &alnum[8..16],
                &alnum[16..]
            ),
            alnum[16..].to_owned(),
        ),
        (format!("redis://:{word}@cache:6379/0"), word.clone()),
        (format!("curl -u admin:{word} https://host/"), word.clone()),
        (format!("Authorization: Token {hex}"), hex.clone()),
        (format!("  password: \"{word}\""), word.clone()),
        (format!("<add key=\"ApiKey\" value=\"{lower}\"/>"), lower.clone()),
        (format!("{{\\\"client_secret\\\":\\\"{lower}\\\"}}"), lower.clone()),
        (format!("{{\"name\": \"API_TOKEN\", \"value\": \"{lower}\"}}"), lower.clone()),
        (format!("\u{1b}[32mAPI_KEY\u{1b}[0m=\u{1b}[1m{lower}\u{1b}[0m"), lower.clone()),
        (format!("Server=db;User Id=app;Password={word};"), word.clone()),
        (format!("db.internal:5432:app:app:{word}"), word.clone()),
    ];
    for name in ["airtable", "datadog", "heroku", "zendesk"] {
        for (template, value) in [
            ("{}Token=\"@\"", &lower),
            ("{}Token = @", &alnum),
            ("{\n    \"{}_token\": \"@\"\n}", &hex),
            ("<{}Token>\n    @\n</{}Token>", &lower),
            ("{}_token: @", &hex),
            ("{}_token: '@'", &lower),
            ("{}_token: |\n  @", &lower),
            ("string {}Token = \"@\";", &alnum),
            ("var {}Token string = \"@\"", &lower),
            ("{}Token := `@`", &lower),
            ("val {}Token: String = \"@\"", &lower),
            ("${}Token .= \"@\"", &lower),
            ("config.put(\"{}Token\", \"@\")", &lower),
            ("  \"{}Token\" => \"@\"", &lower),
            ("{}_TOKEN :::= \"@\"", &lower),
            ("{}_TOKEN ?= \"@\"", &lower),
            ("https://example.com?{}Token=@&fooBar=baz", &lower),
            ("- name: {}_TOKEN\n  value: @", &lower),
            ("{} --token @ run", &lower),
            ("ENV {}_TOKEN @", &lower),
        ] {
            all.push((template.replace("{}", name).replace('@', value), value.clone()));
        }
    }
    all
}

#[test]
fn every_kind_of_place() {
    let engine = Engine::new();
    let missed: Vec<String> = (1..6)
        .flat_map(planted)
        .filter(|(text, secret)| redact(&engine, text).contains(secret.as_str()))
        .map(|(text, _)| text)
        .collect();
    assert!(missed.is_empty(), "{} not found:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn every_provider_rule_finds_its_own() {
    // The shortest text that each rule's pattern takes, with drawn characters in its runs.
    let engine = Engine::new();
    for text in [
        format!("AKIA{}", draw(3, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        format!("AIza{}", draw(4, ALNUM, 35)),
        format!("glpat-{}", draw(5, ALNUM, 20)),
        format!("xoxb-{}-{}-{}", draw(6, b"0123456789", 11), draw(7, b"0123456789", 12), draw(8, ALNUM, 24)),
        format!("npm_{}", draw(9, ALNUM, 36)),
        format!("dop_v1_{}", draw(10, HEX, 64)),
        format!("SG.{}.{}", draw(11, ALNUM, 22), draw(12, ALNUM, 43)),
        format!("{}:AA{}", draw(13, b"123456789", 10), draw(14, ALNUM, 33)),
        format!("{}-us12", draw(15, HEX, 32)),
        format!("SK{}", draw(16, HEX, 32)),
        format!("hvs.{}", draw(17, ALNUM, 90)),
        format!("shpat_{}", draw(18, HEX, 32)),
        format!("sk-ant-api03-{}", draw(19, ALNUM, 90)),
        format!("pypi-AgEIcHlwaS5vcmc{}", draw(20, ALNUM, 80)),
        format!("{}.atlasv1.{}", draw(21, ALNUM, 14), draw(22, ALNUM, 64)),
        format!("pat{}.{}", draw(23, ALNUM, 14), draw(24, HEX, 64)),
        format!("MTA{}.{}.{}", draw(25, ALNUM, 21), draw(26, ALNUM, 6), draw(27, ALNUM, 27)),
    ] {
        let out = redact(&engine, &text);
        assert!(out.starts_with("[REDACTED:") && out.ends_with(']'), "{text} -> {out}");
    }
}

#[test]
fn benign_lines_stay() {
    let engine = Engine::new();
    for line in [
        "index 0cbad98e5..6c1b2c773f 100644",
        "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "   resolution: {integrity: sha512-hFoiJiTl63nn+kstHGBtewWSKnQLpyb155KHheA1l39uvtO9nWIop1p3udqPcUd/xbF1VLMO4n7OI6p7RbngDg==}",
        "checksum = \"5dea2b27dd239b2556ed7a25ba842fe47fd602e7fc7433c2a8d6106d4d9edd70\"",
        "github.com/go-logr/logr v1.4.3/go.mod h1:9T104GzyrTigFIr8wt5mBrctHMim0Nb2HLGrmQ40KvY=",
        "    image: app@sha256:9ded5f9a03ac8f24d1b8a25101ee812cd32cdc8c50a4c50237de2c4915850e73",
        "uuid: f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "let dedupe_key = \"a5bc4337-7789-4feb-b421-89c7231bac10\";",
        "//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbIndlYnBhY2s6Ly8iXX0=",
        "background: url(data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4)",
        "let token = self.token.clone();",
        "password: String,",
        "    authentication: self.authentication.clone(),",
        "API_KEY=${API_KEY}",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "- password: <your password>",
        "error: password must have at least 8 characters",
        "max_tokens: 4096,",
        "\"input_tokens\": 81234, \"cached_tokens\": 61000",
        "test auth::token::tests::expires ... ok",
        "git@github.com:org/repo.git",
        "fn token_refill_rate(mut self, token_refill_rate: f64) -> Self {",
        "export PATH=/usr/local/bin:$PATH",
    ] {
        assert_eq!(redact(&engine, line), line);
    }
}

#[test]
fn keys_over_lines() {
    let engine = Engine::new();
    let body: Vec<String> = (0..6).map(|n| draw(40 + n, ALNUM, 64)).collect();
    let key = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\nqZ3=\n-----END RSA PRIVATE KEY-----\n",
        body.join("\n")
    );
    for (what, text) in [
        ("plain", key.clone()),
        ("crlf", key.replace('\n', "\r\n")),
        ("diff", key.lines().map(|line| format!("+{line}\n")).collect()),
        ("log", key.lines().map(|line| format!("2026-11-22T10:00:00Z INFO out: {line}\n")).collect()),
        ("json", format!("{{\"key\": \"{}\"}}\n", key.replace('\n', "\\n"))),
        ("json twice", format!("\"{}\"\n", key.replace('\n', "\\\\n"))),
        ("literal", key.lines().map(|line| format!("    \"{line}\\n\" +\n")).collect()),
        ("yaml", key.lines().map(|line| format!("      {line}\n")).collect()),
    ] {
        let out = redact(&engine, &text);
        for line in &body {
            assert!(!out.contains(&line[..20]), "{what}: {out}");
        }
        assert_eq!(out.lines().count(), text.lines().count(), "{what}");
        assert_eq!(redact(&engine, &out), out, "{what}");
        // Cut between any two lines, the carry goes on.
        for (cut, _) in text.match_indices('\n') {
            let first = engine.find(&text[..=cut], "");
            let second = engine.find(&text[cut + 1..], &first.carry);
            let whole = engine.find(&text, "");
            let joined: Vec<_> = first
                .spans
                .iter()
                .map(|span| (span.start, span.end))
                .chain(second.spans.iter().map(|span| (span.start + cut + 1, span.end + cut + 1)))
                .collect();
            assert_eq!(
                joined,
                whole.spans.iter().map(|span| (span.start, span.end)).collect::<Vec<_>>(),
                "{what}, cut at {cut}"
            );
        }
    }
    // What follows a key that never ends is shown.
    let out = redact(&engine, &format!("-----BEGIN PRIVATE KEY-----\n{}\nthe end is missing\n", body[0]));
    assert_eq!(out, "-----BEGIN PRIVATE KEY-----\n[REDACTED:private-key]\nthe end is missing\n");
}

proptest! {
    /// Planted in any surroundings: masked, lines kept, the second time changes nothing.
    #[test]
    fn laws(seed in 1_u64..500, pick in 0_usize..93, before in "(\\PC{0,30}\n){0,3}", after in "(\n|\r\n)\\PC{0,40}", bearer in any::<bool>()) {
        let engine = Engine::new();
        let cases = planted(seed);
        let (line, secret) = &cases[pick % cases.len()];
        let text = format!("{before}{line}{after}{}", if bearer { "\npassword" } else { "" });
        let out = redact(&engine, &text);
        prop_assert!(!out.contains(secret.as_str()), "{text} -> {out}");
        prop_assert_eq!(out.matches('\n').count(), text.matches('\n').count());
        prop_assert_eq!(redact(&engine, &out), out);
    }

    /// Any text and any carry: no panic, spans in order, on borders, within lines.
    #[test]
    fn total(text in "[\\PC\n\r\t\u{1b}=:\"'{}<>/@-]{0,120}", words in proptest::collection::vec(prop_oneof![
        Just("password"), Just("token="), Just("-----BEGIN PRIVATE KEY-----"), Just("://"), Just("[REDACTED:x]"), Just("curl -u "),
        Just("key"), Just("\\\""), Just("="), Just(": "), Just("secret"), Just("é"), Just("\n"), Just("Basic "), Just("Private-Lines: 3"),
    ], 0..12), carry in "(pem:[0-9]{1,3}|below:[0-9]|named:[0-9]|lines:[0-9]{1,9}|\\PC{0,20})?") {
        let engine = Engine::new();
        let text = format!("{}{text}{}", words.concat(), words.join(" "));
        let found = engine.find(&text, &carry);
        prop_assert!(found.carry.len() <= 256);
        let mut at = 0;
        for span in &found.spans {
            prop_assert!(span.start >= at && span.end > span.start && span.end <= text.len());
            prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
            prop_assert!(!text[span.start..span.end].contains('\n'));
            at = span.end;
        }
        let out = redact(&engine, &text);
        prop_assert_eq!(redact(&engine, &out), out);
    }
}
