//! Bytes as hexadecimal digits, and random ones for tokens and identifiers.

use std::fmt::Write as _;

/// Two lower-case digits for each byte.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// So many random bytes as digits.
///
/// # Errors
/// The system gives no random numbers.
pub fn random(bytes: usize) -> Result<String, getrandom::Error> {
    let mut buffer = vec![0u8; bytes];
    getrandom::fill(&mut buffer)?;
    Ok(encode(buffer))
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits() {
        assert_eq!(super::encode([0, 10, 255]), "000aff");
        let token = super::random(16).expect("random numbers");
        assert!(token.len() == 32 && token != super::random(16).expect("random numbers"));
    }
}
