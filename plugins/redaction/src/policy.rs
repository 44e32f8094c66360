//! The policy as the host sees it: its configuration and its own examples.

use codex_worker_policy::{Example, Found, Redaction, Span, policy};

use crate::scan::Engine;

/// `[plugins.redaction]` of the operator's file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Values that are never masked, exactly as they are in the text: keys of a test
    /// environment that everybody may see.
    allow: Vec<String>,
    /// Rules that are off, by the name in `[REDACTED:name]`.
    off: Vec<String>,
}

/// The shipped redaction policy.
pub struct RedactionPolicy {
    engine: Engine,
    settings: Settings,
}

impl TryFrom<Settings> for RedactionPolicy {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        if let Some(short) = settings.allow.iter().find(|value| value.len() < 4) {
            return Err(format!("allow holds {short:?}, which is shorter than 4 bytes"));
        }
        Ok(RedactionPolicy { engine: Engine::new(), settings })
    }
}

impl Redaction for RedactionPolicy {
    fn find(&self, text: &str, carry: &str) -> Found {
        let found = self.engine.find(text, carry);
        let spans = found
            .spans
            .into_iter()
            .filter(|span| !self.settings.off.iter().any(|rule| rule == span.rule))
            .filter(|span| !self.settings.allow.iter().any(|value| *value == text[span.start..span.end]))
            .map(|span| Span::new(span.start..span.end, span.rule))
            .collect();
        Found { spans, carry: found.carry }
    }
}

policy! {
    name: "redaction",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Masks secrets: provider tokens by their format, values by their names, private keys, credentials in addresses.",
    policy: RedactionPolicy,
    interfaces: [redaction],
    config: Settings,
    examples: [
        Example::redaction(
            "a provider's token",
            "remote: ghp_q7Zk2LmX9vB4tR8wYc3NfH6sJd1GpU0eKaTz denied\n",
            &[("github-token", "ghp_q7Zk2LmX9vB4tR8wYc3NfH6sJd1GpU0eKaTz")],
        )
        .why("the prefix and the length are GitHub's own"),
        Example::redaction(
            "values by their names",
            "DB_PASSWORD=correct-h0rse\n\"apiKey\": \"q7Zk2LmX9vB4tR8wYc3N\",\n",
            &[("password", "correct-h0rse"), ("secret-value", "q7Zk2LmX9vB4tR8wYc3N")],
        )
        .why("a name that promises a secret, an assignment, and a value that is no placeholder"),
        Example::redaction(
            "an address with a password",
            "postgres://app:s3cret@db.internal:5432/app\n",
            &[("url-password", "s3cret")],
        )
        .why("only the password is masked, so that the reader still sees which database"),
        Example::redaction(
            "headers",
            "> Authorization: Bearer q7Zk2LmX9vB4tR8wYc3N\n",
            &[("bearer-token", "q7Zk2LmX9vB4tR8wYc3N")],
        ),
        Example::redaction(
            "a private key in a diff",
            "+-----BEGIN PRIVATE KEY-----\n+MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n+-----END PRIVATE KEY-----\n",
            &[("private-key", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ")],
        )
        .why("each line is masked on its own: the number of lines and the diff's first column stay"),
        Example::redaction_piece(
            "a private key that began in the piece before",
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n",
            "pem:3",
            Found { spans: vec![Span::new(0..50, "private-key")], carry: "pem:4".to_owned() },
        ),
        Example::redaction(
            "what must stay",
            "index 0cbad98e5..6c1b2c773f 100644\n\
             checksum = \"5dea2b27dd239b2556ed7a25ba842fe47fd602e7fc7433c2a8d6106d4d9edd70\"\n\
             password: ${DB_PASSWORD}\n\
             let token = self.token.clone();\n\
             api_key = os.environ[\"API_KEY\"]\n",
            &[],
        )
        .why("hashes, checksums, placeholders and program text are not secrets"),
        Example::redaction(
            "the second half of a pair",
            "Access key ID,Secret access key\nAKIAQ7ZK2LMX4VB3TR6W,q7Zk2LmX9vB4tR8wYc3NfH6sJd1GpU0eKaTz+x/Y\n\n",
            &[
                ("aws-access-key-id", "AKIAQ7ZK2LMX4VB3TR6W"),
                ("secret-of-pair", "q7Zk2LmX9vB4tR8wYc3NfH6sJd1GpU0eKaTz+x/Y"),
            ],
        )
        .why("the id says what the word beside or below it is"),
        Example::redaction(
            "a column of a table",
            "| user | password |\n|------|----------|\n| bob  | correct-h0rse |\n\n",
            &[("password", "correct-h0rse")],
        )
        .why("the header is the name of each value below it"),
        Example::redaction(
            "public by their kind",
            "PWD=/srv/jobs/30fbc863e0623a00165412e092b9b858/worktree\n\
             GPG_KEY=0E3FF2839C048B25C084DEBE9B26995E31025056\n\
             OIDC_CLIENT_ID=0oa1b2c3d4E5F6G7h8i9\n",
            &[],
        )
        .why("directories, fingerprints and client ids have the names of secrets and are none"),
        Example::redaction("masked already", "password: [REDACTED:password]\n", &[])
            .why("masking twice is masking once"),
        Example::redaction("a value that everybody may see", "token: q7Zk2LmX9vB4tR8wYc3N\n", &[])
            .config(&serde_json::json!({"allow": ["q7Zk2LmX9vB4tR8wYc3N"]})),
    ],
}
