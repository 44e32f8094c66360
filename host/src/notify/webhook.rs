//! One webhook: its address is checked and pinned, what it gets is signed, and it is tried again
//! while its server cannot answer.

use std::net::SocketAddr;
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};

use super::address::is_public;
use config::NotifySettings;
use model::error::{Error, Kind, Result};

/// Pauses before the second, third and fourth try.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16)];
const TIMEOUT: Duration = Duration::from_secs(10);

fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::Refused, message)
}

/// Posts the event.
pub async fn post(url: &str, settings: &NotifySettings, event: &Value) -> Result<()> {
    let url = url::Url::parse(url).map_err(|error| refused(format!("it is no URL: {error}")))?;
    let client = client(&url, settings).await?;
    let body = if settings.slack { slack(event) } else { event.clone() }.to_string();
    let mut pauses = PAUSES.into_iter();
    loop {
        let time = jiff::Timestamp::now().as_second().to_string();
        let mut request = client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("x-codex-worker-timestamp", &time)
            .body(body.clone());
        if let Some(secret) = &settings.secret {
            request = request.header("x-codex-worker-signature", signature(secret.expose(), &time, &body));
        }
        let (why, again) = match request.send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                let status = response.status().as_u16();
                (format!("it answered with status {status}"), status == 429 || status == 408 || status >= 500)
            }
            // Its path may be a password.
            Err(error) => (error.without_url().to_string(), true),
        };
        match pauses.next().filter(|_| again) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(Error::new(Kind::Environment, why)),
        }
    }
}

/// A client that connects to the addresses that were checked and to no other, whatever the name
/// means a moment later, and that follows no redirect.
async fn client(url: &url::Url, settings: &NotifySettings) -> Result<reqwest::Client> {
    let secure = url.scheme() == "https";
    let plain_allowed = url.scheme() == "http" && settings.allow_private;
    if !(secure || plain_allowed) {
        return Err(refused("it is not https:// (WORKER_NOTIFY_PRIVATE=1 allows http://)"));
    }
    let Some(host) = url.host_str() else { return Err(refused("it names no host")) };
    let port = url.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| Error::new(Kind::Environment, format!("its name cannot be resolved: {error}")))?;
    let addresses: Vec<SocketAddr> = found.collect();
    let private = addresses.iter().find(|address| !is_public(address.ip()));
    if let Some(private) = private.filter(|_| !settings.allow_private) {
        return Err(refused(format!(
            "it is at {}, which is no public address (WORKER_NOTIFY_PRIVATE=1 allows it)",
            private.ip()
        )));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .resolve_to_addrs(host, &addresses)
        // A proxy would resolve the name by itself.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| Error::new(Kind::Environment, error.to_string()))
}

/// `sha256=` and the hexadecimal HMAC of the time, a dot and the body: a receiver compares it, and
/// refuses old times.
fn signature(secret: &str, time: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    format!("sha256={}", model::hex::encode(tag))
}

/// A text of a few lines. What the agent wrote is text in it, and neither a link nor a mention.
fn slack(event: &Value) -> Value {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let result = &event["result"];
    let changed = result["changed_files"].as_array().map_or(0, Vec::len);
    let mut lines = vec![
        format!("codex-worker: {} ({})", text_of(&event["job_status"]), text_of(&event["job_id"])),
        text_of(&event["task"]),
        format!("{changed} files changed, {} s", event["duration_ms"].as_u64().unwrap_or(0) / 1000),
    ];
    if let Some(failure) = result["failure"]["message"].as_str() {
        lines.push(failure.to_owned());
    }
    let text: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    json!({"text": text.join("\n")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_signed_and_harmless() {
        // RFC 4231, test case 2, is `what do ya want for nothing?` under the key `Jefe`; here the
        // dot is part of the text.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want. for nothing?");
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature("Jefe", "what do ya want", " for nothing?"), format!("sha256={hex}"));
        let event = json!({"job_id": "x", "job_status": "failed", "task": "<!channel> & <http://e|y>",
            "duration_ms": 61_000, "result": {"changed_files": ["a"], "failure": {"message": "a < b"}}});
        assert_eq!(
            slack(&event)["text"],
            "codex-worker: failed (x)\n&lt;!channel&gt; &amp; &lt;http://e|y&gt;\n1 files changed, 61 s\na &lt; b"
        );
    }

    #[tokio::test]
    async fn private_addresses_are_refused_before_anything_is_sent() {
        for (url, why) in [
            ("https://127.0.0.1:9/x", "no public address"),
            ("https://[::1]:9/x", "no public address"),
            ("https://localhost:9/x", "no public address"),
            ("http://hooks.example/x", "not https://"),
            ("file:///etc/passwd", "not https://"),
        ] {
            let error = post(url, &NotifySettings::default(), &json!({})).await.expect_err(url);
            assert!(error.message.contains(why), "{url}: {}", error.message);
        }
    }
}
