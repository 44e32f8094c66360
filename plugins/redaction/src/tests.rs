//! Properties, on planted secrets: found anywhere, lines kept, masked once.

use proptest::prelude::*;

use crate::pattern::Pattern;
use crate::{Engine, redact, rules};

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
fn every_kind_of_line() {
    let engine = Engine::new();
    let missed: Vec<String> = (1..6)
        .flat_map(planted)
        .filter(|(text, secret)| redact(&engine, text).contains(secret.as_str()))
        .map(|(text, _)| text)
        .collect();
    assert!(missed.is_empty(), "{} not found:\n{}", missed.len(), missed.join("\n"));
}

/// The shortest text that each rule takes, with drawn characters in its runs, alone and in
/// the middle of a line.
#[test]
fn every_provider_rule_finds_its_own() {
    let engine = Engine::new();
    let mut missed = Vec::new();
    for rule in rules::providers() {
        // These decode what they find; they have tests of their own.
        if matches!(rule.name, "jwt" | "basic-auth-header" | "encoded-json-web-key") {
            continue;
        }
        for seed in 1..4 {
            let name = rule.keyword.bytes().chain(rule.rest.bytes());
            let mut state =
                name.fold(seed, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3)) | 1;
            let mut drawn = |set: &[u8]| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                set[(state >> 33) as usize % set.len()]
            };
            let before = Pattern::new(rule.before).sample(&mut drawn).0;
            let (mut rest, mut begin) = Pattern::new(rule.rest).sample(&mut drawn);
            // A short run of letters alone can be a word: behind a common prefix it is none.
            for _ in 0..20 {
                if rest.bytes().filter(u8::is_ascii_digit).count() < 2 {
                    (rest, begin) = Pattern::new(rule.rest).sample(&mut drawn);
                }
            }
            let token = format!("{before}{}{rest}", rule.keyword);
            let secret =
                if begin > 0 || rule.rest.starts_with('^') { &rest[begin..] } else { token.as_str() };
            for text in [token.clone(), format!("say {token} \n"), format!("\u{1b}[1m{token}\u{1b}[0m")] {
                if redact(&engine, &text).contains(secret) {
                    missed.push(format!("{}: {text}", rule.name));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} not found:\n{}", missed.len(), missed.join("\n"));
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
        "    \"patchKey\": \"9e51341f8d87894c927d0150be0a9676\",",
        "    \"AWS::ApiGateway::ApiKey\": \"48205d4ffd7feba3\",",
        "apt\tpython3-jwt\t2.10.1-2+deb13u1",
        "SPDX-License-Identifier: LGPL-2.1-or-later",
        "const require_auth = require('./auth-D1CeV_Jr.cjs');",
        "const TOKEN = \"[A-Za-z0-9._~+/-]+=*\";",
        "you have to pass `method` to it, or pass --enable-gui=gtk3",
        "if (ctx->keyReq.keyId == xmlSecKeyDataDsaId) {",
        "\"KeyArn\": \"arn:aws:kms:us-east-2:111122223333:key/1a2b3c4d-5e6f-1a2b-3c4d-5e6f1a2b3c4d\",",
        "\"session_id\":\"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"",
        "github.com/sirupsen/logrus v1.9.3 h1:dueUQJ1C2q9oE3F7wvmSGAaVtTmUizReu6fjN8uqzbQ=",
        "Merge pull request #12 from github/0123456789abcdef0123456789abcdef01234567",
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

/// One `@` in each template stands for the secret.
fn all_found(secret: &str, templates: &[&str]) {
    let engine = Engine::new();
    let missed: Vec<String> = templates
        .iter()
        .map(|template| template.replace('@', secret))
        .filter(|text| redact(&engine, text).contains(secret))
        .collect();
    assert!(missed.is_empty(), "{} not found:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn notations() {
    for secret in [draw(91, ALNUM, 32), draw(92, HEX, 40), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned()]
    {
        all_found(
            &secret,
            &[
                "String apiKey = new String(\"@\");",
                "if (\"@\".equals(apiKey))",
                "assertEquals(\"@\", apiKey);",
                "const key = env.API_KEY ?? \"@\";",
                "std::string api_key{\"@\"};",
                "public string ApiKey { get; set; } = \"@\";",
                "api_key <- \"@\"",
                "set {\n  name  = \"apiKey\"\n  value = \"@\"\n}",
                "<property name=\"apiKey\">@</property>",
                "<string name=\"api_key\">@</string>",
                "<key>apiKey</key>\n<string>@</string>",
                "<key>apiKey</key><string>@</string>",
                "<apiKey><![CDATA[@]]></apiKey>",
                "| api_key | @ |",
                "<input name=\"api_key\" type=\"hidden\" value=\"@\">",
                "<input value=\"@\" name=\"api_key\">",
                "{\"value\": \"@\", \"name\": \"api_key\"}",
                "api_key = \"\" + \"@\"",
                "api_key=<<EOF\n@\nEOF",
                "api_key = debug ? \"@\" : \"\"",
                "{{ api_key | default(\"@\") }}",
                "%22api_key%22%3A%22@%22",
                "stripe key: @",
                "new Stripe(\"@\");",
                "https://example.com/?key=@&x=1",
            ],
        );
    }
}

#[test]
fn passwords_on_command_lines_and_in_calls() {
    for secret in ["Tr0ub4dor&3", "qwerty123", "pa55word!"] {
        all_found(
            secret,
            &[
                "curl -u bob:@ https://host",
                "curl -ubob:@ https://host",
                "sshpass -p '@' ssh host",
                "mysql -uroot -p@ db",
                "echo '@' | sudo -S id",
                "echo \"root:@\" | chpasswd",
                "net user bob @ /add",
                "net use \\\\srv\\share @ /user:bob",
                "openssl rsa -passin pass:@ -in key",
                "zip -P @ a.zip b",
                "htpasswd -b file bob @",
                "sqlplus scott/@@orcl",
                "smbclient //srv/share -U bob%@",
                "ConvertTo-SecureString \"@\" -AsPlainText -Force",
                "lftp -u bob,@ host",
                "xfreerdp /u:bob /p:@ /v:host",
                "docker login -u bob -p @ registry",
                "DriverManager.getConnection(url, \"app\", \"@\");",
                "requests.get(url, auth=(\"bob\", \"@\"))",
                "server.login('me', '@')",
                "new NetworkCredential(\"bob\", \"@\")",
                "mysqli_connect(\"localhost\", \"root\", \"@\", \"db\")",
                "new PasswordAuthentication(\"bob\", \"@\".toCharArray())",
                ".basic_auth(\"bob\", Some(\"@\"))",
                "id: admin, pw: @",
                "Password is @",
                "the password is '@'",
                "CREATE USER bob IDENTIFIED BY '@';",
                "ALTER ROLE bob WITH ENCRYPTED PASSWORD '@';",
            ],
        );
    }
    let engine = Engine::new();
    let key = draw(7, ALNUM, 32);
    assert_eq!(
        redact(&engine, &format!("curl -u {key}: https://h")),
        "curl -u [REDACTED:command-password]: https://h"
    );
}

#[test]
fn secrets_of_several_values() {
    let engine = Engine::new();
    for (text, expected) in [
        (
            "data:\n  user: YWRtaW4tcGFzcw==\n  other: \"c3VwZXJzZWNyZXQxMjM=\"\nkind: Secret\n".to_owned(),
            "data:\n  user: [REDACTED:kubernetes-secret]\n  other: \"[REDACTED:kubernetes-secret]\"\nkind: Secret\n",
        ),
        (
            "data:\n  mode: production-1\n  size: 100\n".to_owned(),
            "data:\n  mode: production-1\n  size: 100\n",
        ),
        (
            format!("{{\"kty\":\"RSA\",\"n\":\"x\",\"d\":\"{}\"}}", draw(3, ALNUM, 60)),
            "{\"kty\":\"RSA\",\"n\":\"x\",\"d\":\"[REDACTED:json-web-key]\"}",
        ),
        (
            "mnemonic: \"legal winner thank year wave sausage worth useful legal winner thank yellow\""
                .to_owned(),
            "mnemonic: \"[REDACTED:wallet-phrase]\"",
        ),
        (
            "recovery phrase: to be written down by the user when the wallet is made".to_owned(),
            "recovery phrase: to be written down by the user when the wallet is made",
        ),
        ("{\"auth\": \"Ym9iOmNvcnJlY3QtaDByc2U=\"}".to_owned(), "{\"auth\": \"[REDACTED:key-value]\"}"),
    ] {
        assert_eq!(redact(&engine, &text), expected);
    }
}

/// The second half of a pair, whose first half says nothing of it.
#[test]
fn second_halves() {
    let id = format!("AKIA{}", draw(21, b"ABCDEFGHJKLMNPQRSTUVWXYZ234567", 16));
    let secret = draw(22, ALNUM, 40);
    for template in [
        "Access key ID,Secret access key\n#,@",
        "User name,Password,Access key ID,Secret access key,Console login link\nbob,,#,@,https://x",
        "#\n@",
        "+#\n+@",
        "#,@",
        "# / @",
        "- #\n- @",
        "[\"#\",\n  \"@\"]",
        "export A=#\nexport B=@",
        "S3Client.new(\"#\", \"@\")",
        "| # | @ |",
    ] {
        all_found(&secret, &[template.replace('#', &id).as_str()]);
    }
    // Not what is longer, a digest, or too far below.
    let engine = Engine::new();
    for text in [
        format!("{id}\n{secret}A"),
        format!("{id}\n{}", draw(23, HEX, 40)),
        format!("{id}\n\n\n\n\n\n{secret}"),
    ] {
        let shown = text.lines().last().unwrap_or_default().to_owned();
        assert!(redact(&engine, &text).ends_with(&shown), "{text}");
    }
}

/// Values below, beside and behind a name that is not in front of them.
#[test]
fn values_at_a_distance() {
    all_found(
        "Winter-275!",
        &[
            "user,password\nbob,@",
            "| user | password |\n|------|----------|\n| bob  | @ |",
            " id | password\n----+----------\n  1 | @",
            "USER PASSWORD HOST\nbob @ db1",
            "user\tpassword\nbob\tx1\nann\t@",
            "INSERT INTO users (name, password) VALUES ('bob', '@');",
            "COPY users (id, name, password) FROM stdin;\n1\tbob\t@",
            "passwords:\n  bob: @",
            "\"passwords\": [\n  \"@\"\n]",
            "stringData:\n  cert-pass: @",
            "\"ParameterKey\": \"DbPassword\",\n\"ParameterValue\": \"@\"",
            "<name>db.password</name><value>@</value>",
            "root / @",
            "192.168.0.4 backup @",
            "credentials: bob/@",
            "user bob, password @",
            "the password was changed to @",
            "the password for bob is @",
            "pwd for the wifi: @",
            "please use the password @ to log in",
            "username bob privilege 15 password 0 @",
            "<Password Value=\"@\" />",
            "find_element(By.ID, \"password\").send_keys(\"@\")",
            "$(\"#password\").val(\"@\")",
            "fill_in \"Password\", with: \"@\"",
            "{:password, \"@\"}",
            "add(Names.USER_PASSWORD, \"@\");",
            "new Credentials(\"bob\", \"@\")",
            "variable \"db_password\" {\n  type = string\n  default = \"@\"\n}",
            "keystore.load(in, \"@\".toCharArray())",
            "şifre: @",
            "mật khẩu: @",
        ],
    );
    let key = draw(31, ALNUM, 32);
    all_found(
        &key,
        &[
            "API key:\n\n@",
            "apiKey:\n  value: @",
            "setSecret(\n  \"@\"\n)",
            "token := []byte(\n\"@\")",
            "NAME     TOKEN\nbob      @",
            "Key                 Value\n---                 -----\nclient_token        @",
            "tokens:\n  - @",
            "[datadog]\nkey = @",
            "# Datadog\nkey = @",
            "datadog,@",
            "Datadog - @",
            "datadog => @",
            "set up datadog with key \"@\"",
            "configure(\"mapbox\", \"@\")",
            "using openweather @ today",
            "Use the following token to log in:\n\n@",
            "curl -X POST https://h/ \\\n  -u bob:@",
            "Unseal Key 1: @",
            "https://ci.example.com/hooks/@",
            "https://hooks.example.com/in/@",
            "https://example.com/reset-password/@",
            "https://example.com/webhook/v1/@?x=1",
        ],
    );
    let bot = format!("123456789:AA{}", draw(32, ALNUM, 33));
    all_found(&bot, &["https://api.telegram.org/bot@/getMe", "bot@", "tg://bot@"]);
    let license = "8KQ2M-X7T4P-2NB6W-JD93H-V5LRC";
    all_found(
        license,
        &[
            "License key: @",
            "Product Key: @",
            "Serial number: @",
            "activation code @",
            "slmgr /ipk @",
            "<Key>@</Key>",
        ],
    );
}

/// Private members of a web key, in JSON, within a string, in program text, in base64.
#[test]
fn web_keys() {
    let d = draw(41, ALNUM, 43);
    all_found(
        &d,
        &[
            "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"@\"}",
            "{\n  \"kty\": \"RSA\",\n  \"e\": \"AQAB\",\n  \"qi\": \"@\"\n}",
            "\"{\\\"kty\\\": \\\"oct\\\", \\\"k\\\": \\\"@\\\"}\"",
            "const key = {\n  kty: 'RSA',\n  dp: '@',\n};",
            "kty: oct\nk: @\n",
            "'kty' => 'EC', 'd' => '@'",
            "{\n  \"d\": \"@\",\n  \"kty\": \"OKP\"\n}",
        ],
    );
    let engine = Engine::new();
    // {"kty":"oct","k":"4444444444444444444444"}
    let private = "eyJrdHkiOiJvY3QiLCJrIjoiNDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NCJ9";
    assert_eq!(redact(&engine, private), "[REDACTED:encoded-json-web-key]");
    // {"kty":"RSA","e":"AQAB","n":"4444444444444444444444"}
    let public = "eyJrdHkiOiJSU0EiLCJlIjoiQVFBQiIsIm4iOiI0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0In0=";
    assert_eq!(redact(&engine, public), public);
    let members = format!("{{\"kty\":\"RSA\",\"n\":\"{d}\",\"e\":\"AQAB\"}}");
    assert_eq!(redact(&engine, &members), members);
}

/// What has a secret's name and is none: directories, public ids and keys, values that their
/// vendors publish.
#[test]
fn public_by_their_kind() {
    let engine = Engine::new();
    let (hex, capitals) = (draw(51, HEX, 32), draw(52, b"0123456789ABCDEF", 40));
    let (id, long) = (draw(53, ALNUM, 17), draw(54, ALNUM, 43));
    let mut masked = Vec::new();
    for line in [
        format!("PWD=/srv/x/state/jobs/{hex}/worktree"),
        format!("OLDPWD=/builds/{hex}/repo"),
        "PWD=C:\\Users\\Ann\\Repo1".to_owned(),
        format!("KEY=/etc/ssl/{hex}/server1.key"),
        format!("PASSWORD_FILE=/run/secrets/{id}"),
        format!("GPG_KEY={capitals}"),
        format!("ENV GPG_KEYS {capitals} {capitals}"),
        format!("signing-key: {capitals}"),
        format!("api_key_id: {id}"),
        "credentialsId: \"0f81d4fa-7dec-11d0-a765-00a0c91e6bf6\"".to_owned(),
        format!("OIDC_CLIENT_ID=0oa{id}"),
        format!("AUTH0_CLIENT_ID={hex}"),
        "AZURE_TENANT_ID=f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned(),
        format!("CLOUDFLARE_ACCOUNT_ID={hex}"),
        format!("STRIPE_PUBLISHABLE_KEY=pk_test_{id}{id}"),
        format!("NEXT_PUBLIC_POSTHOG_KEY=phc_{long}"),
        format!("data-sitekey=\"6Ld{}\"", &long[..37]),
        format!("RECAPTCHA_SITE_KEY=6Ld{}", &long[..37]),
        format!("SENTRY_DSN=https://{hex}@o12.ingest.sentry.io/195279"),
        "DATABASE_URL=postgres://app@localhost:5432/app_v2".to_owned(),
        format!("PublicKeyToken={}", &hex[..16]),
        format!("<script nonce=\"{long}\">"),
        format!("cache key: linux-{hex}{hex}"),
        format!("resume token: {}", &capitals.to_lowercase()),
        format!("vercel dpl_{long}"),
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE".to_owned(),
        "MINIO_ROOT_PASSWORD=minioadmin".to_owned(),
        "sk_test_4eC39HqLyjWDarjtT1zdp7dc".to_owned(),
        "daemon:*:17431:0:99999:7:::".to_owned(),
        "# Password validation".to_owned(),
        "user,email\nbob,b0b@example.com".to_owned(),
        "Serial Number: 0a:1b:2c:3d:4e:5f:6a:7b:8c:9d:0e:1f:2a:3b:4c:5d".to_owned(),
        "license: MIT OR Apache-2.0".to_owned(),
        "admin: User2Factory".to_owned(),
        "192.168.0.4 - bob [10/Oct/2026:13:55:36 +0000] \"GET /\"".to_owned(),
        format!("github run {hex}{hex}"),
        format!("datadog release {long}"),
        format!("gpg: key {}: public key imported", &capitals[..16]),
        format!("signed with key {}", &capitals[..16]),
        format!("Cache restored from key: node-cache-Linux-x64-npm-{hex}{hex}"),
        format!("Sec-WebSocket-Key: {}==", &long[..22]),
        format!("AUTH0_CLIENT_ID={}", &long[..32]),
        format!("redis key user:{}:profile", &hex[..24]),
        "--- PASS: TestToken1234 (0.00s)".to_owned(),
        "PASS: tests/login2.sh".to_owned(),
        format!("gpg --export-secret-keys {capitals}"),
        format!("bump secret-scanner to {}", &capitals.to_lowercase()),
        "X-GitHub-Delivery: f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned(),
        format!("firebase: appId: \"1:123456789012:ios:{}\"", &hex[..16]),
        format!("grecaptcha.execute(\"6Ld{}\")", &long[..37]),
        "RegOpenKeyEx = win32api.RegOpenKeyEx".to_owned(),
        "    root: &Utf8Path,".to_owned(),
        "sb.append(\"CredentialsNonExpired=\").append(this.credentialsNonExpired).append(\", \");".to_owned(),
        "cred = gssapi.Credentials(name=user, usage='initiate')".to_owned(),
        format!("githubClientId: {long}"),
        "<xs:attribute name=\"password\" type=\"xs:string\">".to_owned(),
        "az x --connection-str \"User Id=;Password=\"  --output-folder \"C:\\Out\"".to_owned(),
        "login in the UI with the password section of values.yaml".to_owned(),
        "# eg redis://:<password>@hostname:6379".to_owned(),
        "md.digest(password.getBytes(\"UTF-8\"))".to_owned(),
        "password_hash('sha512', salt)".to_owned(),
        "new Token(\"somebody\", \"password\", \"ROLE_1\", \"ROLE_2\")".to_owned(),
        "CK_SECRETS = {'CKV_SECRET_13', 'CKV_SECRET_48'}".to_owned(),
        "ON_TOKEN_TRANSFER = 0xa4c0ed36;".to_owned(),
        "if self.update_password == 'always':".to_owned(),
        "| `app.password` | the password | `0x0400` |\n| `app.gas` | the limit | `0x8000000` |".to_owned(),
        "password:\n```console\n$ get it".to_owned(),
        "ansible_password=\nansible_port=22".to_owned(),
        "docker run --name web -e DB=some-mongo \\\n  -p 8081:8081 x".to_owned(),
        "keyDetails === spec_1.PublicKeyDetails.PKIX_RSA_PKCS1V15_2048_SHA256 ||".to_owned(),
        format!("https://example.com/tokens/{}", capitals.to_lowercase()),
    ] {
        let out = redact(&engine, &line);
        if out != line {
            masked.push(out);
        }
    }
    assert!(masked.is_empty(), "{}", masked.join("\n"));
    // The same names with what is a secret.
    all_found("Sup3rS3cretX9", &["DB_PWD=@", "MYSQL_PWD=@", "Driver={SQL};Uid=app;Pwd=@;"]);
    all_found("hunter-two-22", &["client_secret = \"@\"", "'secret_key': '@'"]);
    all_found(&long, &["CLIENT_SECRET=@", "secret_id: @", "s3_secret = \"@\"", "gpg_passphrase_token=@"]);
}

/// JSON stays JSON, with its members' names: also strings within strings, keys of several
/// lines that never end, numbers.
#[test]
fn json_stays_json() {
    let engine = Engine::new();
    let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n", draw(5, ALNUM, 64));
    for (line, _) in (1..4).flat_map(planted) {
        let inner = serde_json::json!({"text": line, "password": 12_345_678, "items": [key, "next", 3]});
        let middle =
            serde_json::json!({"api_key": inner.to_string(), "secret": [line, 123_456_789_012_345_678_u64]});
        let outer = serde_json::json!({"command": middle.to_string(), "key": key, "token": line, "end": {"ok": true}});
        for text in [outer.to_string(), serde_json::to_string_pretty(&outer).expect("it is JSON")] {
            let out = redact(&engine, &text);
            let read: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
            assert_eq!(read["end"]["ok"], true, "{out}");
            assert!(
                read["command"].as_str().is_some_and(|inner| !inner.contains(&draw(5, ALNUM, 64))),
                "{out}"
            );
        }
    }
}

/// This thread's time on a processor where the system tells it, so that a busy machine does
/// not matter; else the time of day.
fn seconds() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|line| line.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(|| START.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

/// Text made to take long: time grows with its length, not with its square.
#[test]
fn hostile_text_takes_time_in_proportion() {
    let engine = Engine::new();
    for unit in [
        "=",
        "\"",
        "'",
        "key:",
        "key:\n",
        "password=",
        "password=\"",
        "token ",
        "\\\"",
        "{\\\"a\\\":\\\"",
        "://",
        "http://a:b@",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\\n",
        "Basic ",
        "bearer ",
        "curl -u ",
        "mysql -p ",
        "eyJ",
        "eyJ-",
        "-MTA",
        "\u{1b}[",
        "\u{1b}]",
        "[REDACTED:",
        "password=[REDACTED:x]",
        "data:\n",
        ".login(\"a\",",
        "getConnection(",
        "phrase abc ",
        "\"d\":\"",
        "githubClient(",
        "slack_key=",
        "password=${",
        "xoxb-",
        "AccountKey=",
        "PVEAPIToken=",
        ":5432:",
        "password=realX1y2z3q9 ",
        "secreté",
        "echo a:b | chpasswd ",
        "api_key_",
        "Private-Lines: 500\n",
        "kty d: ",
        "secret,",
        "token | ",
        "password  ",
        "AKIAQWERTYUIOPASDFGH ",
        "https://h/hooks/",
        "root / a ",
        "(password) values ('a'),",
        "a\".toCharArray()",
        "a:b@tcp(",
        "passwords:\n",
        "datadog ",
    ] {
        let took = |bytes: usize| {
            let text = unit.repeat(bytes / unit.len());
            let start = seconds();
            let found = engine.find(&text, "");
            assert!(found.spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
            seconds() - start
        };
        // What is quadratic takes 64 times as long.
        let small = took(4 << 10).max(0.002);
        let large = took(32 << 10);
        assert!(large < small * 40.0, "{unit:?}: {small:.4} s, then {large:.4} s");
    }
}

/// Cut anywhere between two lines, and the lines read one by one: the same is found.
#[test]
fn every_split() {
    let engine = Engine::new();
    let text = planted(11).into_iter().map(|(line, _)| line + "\r\n").collect::<String>()
        + "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\npassword:\n  qwerty-123\n\
           data:\n  é: YWRtaW4tcGFzcw==\n";
    let whole = redact(&engine, &text);
    let (mut carry, mut out) = (String::new(), String::new());
    for line in text.split_inclusive('\n') {
        let found = engine.find(line, &carry);
        let mut at = 0;
        for span in &found.spans {
            out.push_str(&format!("{}[REDACTED:{}]", &line[at..span.start], span.rule));
            at = span.end;
        }
        out.push_str(&line[at..]);
        carry = found.carry;
    }
    assert_eq!(out, whole);
    assert_eq!(redact(&engine, &whole), whole);
}

proptest! {
    /// Planted in any surroundings: masked, lines kept, the second time changes nothing.
    #[test]
    fn planted_secrets_are_masked_once(seed in 1_u64..500, pick in 0_usize..93, before in "(\\PC{0,30}\n){0,3}", after in "(\n|\r\n)\\PC{0,40}", bearer in any::<bool>()) {
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
    fn any_text_and_any_carry(text in "[\\PC\n\r\t\u{1b}=:\"'{}<>/@-]{0,120}", words in proptest::collection::vec(prop_oneof![
        Just("password"), Just("token="), Just("-----BEGIN PRIVATE KEY-----"), Just("://"), Just("[REDACTED:x]"), Just("curl -u "),
        Just("kty"), Just("password,user\n"), Just("| token |"), Just("AKIAQWERTYUIOPASDFGH"), Just("/hooks/"), Just("[datadog]\n"), Just("secrets:\n  "), Just("root / "), Just(") VALUES ("), Just("¥"),
        Just("key"), Just("\\\""), Just("="), Just(": "), Just("secret"), Just("é"), Just("\n"), Just("Basic "), Just("Private-Lines: 3"),
    ], 0..12), carry in "(pem:[0-9]{1,3}|below:[0-9](:1)?|named:[0-9]|lines:[0-9]{1,9}|jwk:[0-9]|section:[0-9]|command:[0-9]{1,3}|pair:(40|3):[0-9]|members:[0-9]:[0-9]:[0-9]|table:(1|2|44|9|124|300):[0-9]:[0-9](:[0-9]:[0-9]){0,5}|\\PC{0,20})?") {
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
