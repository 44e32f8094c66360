//! A secret value that does not print itself, and how secrets are compared.

use subtle::ConstantTimeEq as _;

/// A secret: shown as `***`, never serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself; only for the place that sends or masks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Compares in a time that does not tell where the difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
