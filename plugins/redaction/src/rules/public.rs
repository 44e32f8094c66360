//! Values that everybody may know: keys of emulators, of vendors' manuals and test modes.
//! Each is published by its vendor and opens nothing.

/// Whether a value is one of them.
pub fn is_public(value: &str) -> bool {
    value.len() >= 8
        && (PUBLIC.contains(&value)
            || is_aws_example(value)
            || PUBLISHABLE.iter().any(|start| value.starts_with(start)))
}

/// Amazon's manuals end their keys with `EXAMPLE`.
fn is_aws_example(value: &str) -> bool {
    (value.len() == 20
        && value.ends_with("EXAMPLE")
        && (value.starts_with("AKIA") || value.starts_with("ASIA")))
        || (value.len() == 40 && value.ends_with("EXAMPLEKEY"))
}

/// Prefixes of keys that are made to be in a page: Stripe's, Clerk's, PostHog's.
const PUBLISHABLE: &[&str] = &["pk_live_", "pk_test_", "phc_"];

const PUBLIC: &[&str] = &[
    // Azurite, the storage emulator
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    // Azure Cosmos DB's emulator
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==",
    // Emulators of Service Bus and Event Hubs
    "SAS_KEY_VALUE",
    // MinIO as it is installed
    "minioadmin",
    "minio123",
    // LocalStack
    "localstack",
    // Stripe's manual
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "sk_test_BQokikJOvBiI2HlWgH4olfQ2",
    "sk_test_tR3PYbcVNZZ796tH88S4VQ2u",
    // reCAPTCHA, hCaptcha and Turnstile in test mode
    "6LeIxAcTAAAAAJcZVRqyHh71UMIEGNQ_MXjiZKhI",
    "6LeIxAcTAAAAAGG-vFI1TnRWxMZNFuojJ4WifJWe",
    "0x0000000000000000000000000000000000000000",
    "1x00000000000000000000AA",
    "1x0000000000000000000000000000000AA",
    "2x0000000000000000000000000000000AA",
    "3x0000000000000000000000000000000AA",
    // jwt.io
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    // RFC 7617: Aladdin and his cave
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    "dXNlcm5hbWU6cGFzc3dvcmQ=",
    "dXNlcjpwYXNzd29yZA==",
    "dXNlcjpwYXNz",
    // Hardhat and Anvil, the first accounts
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "test test test test test test test test test test test junk",
    // Ganache's fixed words
    "myth like bonus scare over problem client lizard pioneer submit female collect",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        for value in [
            "AKIAIOSFODNN7EXAMPLE",
            "ASIAI44QH8DHBEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "minioadmin",
        ] {
            assert!(is_public(value), "{value}");
        }
        for value in ["AKIAIOSFODNN7EXAMPLF", "EXAMPLE", "minio"] {
            assert!(!is_public(value), "{value}");
        }
    }
}
