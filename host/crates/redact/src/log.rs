//! What a process says on standard error: log lines and panics, with known secrets masked.
//! Known ones only, for a policy must not run where one may have failed.

use std::io::Write;

use super::Redactor;

/// Standard error behind known-secret redaction. A log line comes in one write.
#[derive(Clone, Debug)]
pub struct MaskedStderr(Redactor);

impl MaskedStderr {
    /// Masks the secrets that this redactor knows.
    pub fn new(redactor: Redactor) -> Self {
        MaskedStderr(redactor)
    }

    fn masked(&self, bytes: &[u8]) -> String {
        self.0.known_secrets_only(&String::from_utf8_lossy(bytes))
    }
}

impl Write for MaskedStderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write_all(self.masked(bytes).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// From now on known secrets in a panic's message are masked before it is printed.
pub fn mask_panics(redactor: Redactor) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        // Nothing can be done when standard error is gone.
        let _ =
            MaskedStderr::new(redactor.clone()).write_all(format!("thread '{name}' {panic}\n").as_bytes());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::secret::Secret;

    #[test]
    fn a_line_is_masked() {
        let secrets = vec![("ONEAPI_API_KEY".to_owned(), Secret::new("gw-5f0Jq93kzzA1"))];
        let log = MaskedStderr::new(Redactor::new(secrets, None));
        assert_eq!(
            log.masked(b"WARN gateway said: Incorrect API key provided: gw-5f0Jq93kzzA1\n"),
            "WARN gateway said: Incorrect API key provided: [REDACTED:oneapi-api-key]\n"
        );
        assert_eq!(log.masked(b"\xff ok\n"), "\u{fffd} ok\n");
    }
}
