//! The process environment as a value. It is captured once, at start; tests make one from
//! a map and never touch the real environment.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The environment of a process: names and values that are valid Unicode.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Env(Arc<BTreeMap<String, String>>);

impl Env {
    /// The environment with which this process was started, by whoever started the first
    /// process of the host (see [`handover`](super::handover)). Variables that are not
    /// Unicode are left out: no setting of ours can have such a value.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
    pub fn of_this_process() -> Self {
        static CAPTURED: OnceLock<Env> = OnceLock::new();
        let own = || {
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect()
        };
        CAPTURED.get_or_init(|| super::handover::received().unwrap_or_else(own)).clone()
    }

    /// The value of `name`. An empty value counts as not set, as shells and launchers that
    /// cannot unset a variable write it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(vars: I) -> Self {
        Env(Arc::new(vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

// Values may be secrets: only the number of variables is shown.
impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Env({} variables)", self.0.len())
    }
}
