//! The shipped redaction policy behind the redactor that replies and logs pass.

use std::sync::Arc;

use model::secret::Secret;
use redact::Redactor;

/// The shipped policies, as components, behind the stream that replies and logs pass.
#[test]
fn shipped_policies_mask_a_stream() {
    let settings = crate::Settings::default();
    let policies = Arc::new(crate::PolicySet::load(&settings));
    let r = Redactor::new(
        vec![("ONEAPI_API_KEY".to_owned(), Secret::new("gw-5f0Jq&93k\"zzA/xé"))],
        Some(policies),
    );
    let mut stream = r.stream();
    let drawn = "q7Zk2LmX9vB4tR8wYc3NfH6sJd1GpU0eKaTz";
    let text = format!(
        "DB_PASSWORD=correct-h0rse\nremote: ghp_{drawn}\n-----BEGIN PRIVATE KEY-----\n{drawn}{drawn}\n\
         -----END PRIVATE KEY-----\ngateway said gw-5f0Jq&93k\"zzA/xé\ncommit 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
    );
    let mut out = String::new();
    for piece in text.as_bytes().chunks(7) {
        out.push_str(&stream.push(&String::from_utf8_lossy(piece).replace('\u{fffd}', "")));
    }
    out.push_str(&stream.finish());
    assert!(!out.contains(drawn) && !out.contains("h0rse"), "{out}");
    assert!(out.contains("commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904"), "{out}");
    assert_eq!(out.lines().count(), text.lines().count(), "{out}");
    assert_eq!(r.text(&text).matches("[REDACTED:oneapi-api-key]").count(), 1);
    assert_eq!(r.text(&text).matches("[REDACTED:private-key]").count(), 1);
}
