//! Requests to a model: the routes (gateway and model, then the fallbacks), the one send
//! loop, retry, the breaker and the usage rows.
//!
//! Invariant: it knows no wire format. What a request says, and what an answer means, is a
//! [`Protocol`]'s business; [`Gateway::exchange`] decides when and where it is sent.

#![forbid(unsafe_code)]

pub mod breaker;
mod exchange;
mod meter;
pub mod purse;
pub mod refusal;
pub mod retry;
mod upstream;
pub mod usage;

use std::sync::Arc;
use std::time::Duration;

use config::{Config, Prices};
use model::error::{Error, Kind, Result};

pub use exchange::{Failed, Outgoing, Protocol, Target, read_limited};
pub use meter::{Account, Caller, GatewayFailure, Meter, Totals};
pub use upstream::Upstream;

use breaker::Breaker;
use usage::Rows;

/// Times; tests make them short.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Retry.
    pub retry: retry::Policy,
    /// Until a connection is there.
    pub connect: Duration,
    /// Until the status line.
    pub headers: Duration,
    /// Between two reads of an answer.
    pub idle: Duration,
    /// Silence towards the client after which it gets a ping.
    pub ping: Duration,
    /// Wait for counts after the finish reason.
    pub grace: Duration,
    /// What a request waits for an open breaker when there is no other gateway.
    pub alone: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            retry: retry::Policy::default(),
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(300),
            idle: Duration::from_secs(240),
            ping: Duration::from_secs(10),
            grace: Duration::from_secs(3),
            alone: Duration::from_millis(1500),
        }
    }
}

/// One route to a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Which gateway: 0 is the primary.
    pub endpoint: usize,
    /// The gateway's name of the model.
    pub model: String,
}

/// The configured gateways. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    upstreams: Vec<Upstream>,
    breakers: Vec<Breaker>,
    model: Option<String>,
    lite_model: Option<String>,
    fallback_models: Vec<String>,
    prices: Prices,
    rows: Rows,
    tuning: Tuning,
}

impl Gateway {
    /// The gateways of a configuration. Nothing is sent.
    pub fn from_config(config: &Config) -> Result<Gateway> {
        Gateway::with(config, Tuning::default())
    }

    /// As [`Gateway::from_config`], with times of its own.
    pub fn with(config: &Config, tuning: Tuning) -> Result<Gateway> {
        let settings = &config.gateway;
        let Some(primary) = &settings.primary else {
            return Err(Error::new(Kind::Config, "no gateway is configured")
                .hint("set ONEAPI_BASE_URL (and ONEAPI_API_KEY) to an OpenAI-compatible gateway"));
        };
        let endpoints = std::iter::once(primary).chain(settings.fallback.as_ref());
        let upstreams: Vec<Upstream> =
            endpoints.map(|e| Upstream::new(e.clone(), tuning.connect)).collect::<Result<_>>()?;
        let breakers = upstreams.iter().map(|u| Breaker::new(&config.home, u.base_url())).collect();
        let model = |name: &Option<String>| name.as_deref().map(|name| without_mark(name).to_owned());
        Ok(Gateway {
            inner: Arc::new(Inner {
                upstreams,
                breakers,
                model: model(&settings.model),
                lite_model: model(&settings.lite_model),
                fallback_models: settings.fallback_models.iter().take(3).cloned().collect(),
                prices: config.prices,
                rows: Rows::new(&config.metrics_file),
                tuning,
            }),
        })
    }

    /// The times.
    pub fn tuning(&self) -> &Tuning {
        &self.inner.tuning
    }

    /// The usage rows.
    pub fn rows(&self) -> &Rows {
        &self.inner.rows
    }

    /// The configured model.
    pub fn model(&self) -> Option<&str> {
        self.inner.model.as_deref()
    }

    /// The configured cheap model.
    pub fn lite_model(&self) -> Option<&str> {
        self.inner.lite_model.as_deref()
    }

    /// The gateway of a route.
    pub fn upstream(&self, route: &Route) -> &Upstream {
        &self.inner.upstreams[route.endpoint]
    }

    fn breaker(&self, route: &Route) -> &Breaker {
        &self.inner.breakers[route.endpoint]
    }

    /// The configured prices, else `table`.
    fn prices(&self, table: Prices) -> Prices {
        let own = self.inner.prices;
        if own.input.is_some() || own.output.is_some() { own } else { table }
    }

    /// The ways to `model`, best first: the primary, then each fallback model at the fallback
    /// gateway, or at the primary when there is none.
    pub fn routes(&self, model: &str) -> Vec<Route> {
        let route = |endpoint, model: &str| Route { endpoint, model: without_mark(model).to_owned() };
        let mut routes = vec![route(0, model)];
        let endpoint = self.inner.upstreams.len() - 1;
        let same = [model.to_owned()];
        let models: &[String] =
            if self.inner.fallback_models.is_empty() { &same } else { &self.inner.fallback_models };
        for model in models {
            let route = route(endpoint, model);
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        routes
    }
}

/// A model's name without what clients hang on it for themselves: Claude Code's `[1m]` asks
/// for a long context and is a part of no gateway's name.
pub fn without_mark(model: &str) -> &str {
    let mut name = model.trim();
    while let Some((head, mark)) = name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        let size = mark.trim_end_matches(['m', 'M', 'k', 'K']);
        let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
        if !digits || size.len() + 1 != mark.len() || head.trim().is_empty() {
            break;
        }
        name = head.trim_end();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_clients_are_no_part_of_a_name() {
        for (name, expected) in [
            ("deepseek-chat[1m]", "deepseek-chat"),
            ("glm-5[1M][1m]", "glm-5"),
            ("claude-opus-4-8 [200k]", "claude-opus-4-8"),
            ("vendor/x[2]", "vendor/x[2]"),
            ("x[beta]", "x[beta]"),
            ("x[m]", "x[m]"),
            ("[1m]", "[1m]"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(without_mark(name), expected, "{name}");
        }
    }
}
