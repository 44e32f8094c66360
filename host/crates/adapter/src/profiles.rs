//! What each gateway and model family needs, as data (`profiles.toml`, and the user's
//! `[profiles.<name>]` tables over it). Resolving is pure; nothing here sends anything.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hyper::header::HeaderName;
use serde::Deserialize;

use config::{Config, Prices};
use gateway::{Route, Target};
use model::error::{Error, Kind, Result};

use super::schema::Dialect;

/// When thinking goes back to the gateway as reasoning text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replay {
    /// Never: the gateway ignores or refuses it.
    Never,
    /// On assistant messages with tool calls: what DeepSeek and Kimi insist on.
    ToolTurns,
    /// On every assistant message.
    Always,
}

/// How a `system` entry in the middle of the conversation is sent. Its place never changes:
/// moved to the top it would spoil the provider's prefix cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemRole {
    /// As `system`.
    System,
    /// As `developer`.
    Developer,
    /// As a user message in `<system-reminder>` tags.
    Reminder,
}

/// How thinking is switched on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThinkingStyle {
    /// Nothing is sent.
    None,
    /// `thinking: {type: enabled|disabled}`.
    ThinkingObject,
    /// `enable_thinking: bool`.
    EnableThinking,
    /// `reasoning_effort: low|medium|high`.
    ReasoningEffort,
    /// `reasoning: {effort: …}`.
    ReasoningObject,
}

/// How an answer in a JSON schema is asked for. Where the gateway does not see to it, the
/// adapter does: see [`crate::answer_schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerFormat {
    /// `response_format: {type: json_schema}`: the gateway sees to the schema.
    JsonSchema,
    /// `response_format: {type: json_object}`: the gateway sees to JSON, the adapter to the schema.
    JsonObject,
    /// In words: the adapter sees to everything.
    Prompt,
}

/// The most output tokens of the models that a pattern names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxTokens {
    /// A pattern with `*`.
    pub models: String,
    /// Tokens.
    pub limit: u64,
}

/// Prices per million tokens, for accounting only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceTable {
    /// Input that was not cached.
    pub input: Option<f64>,
    /// Output, reasoning included.
    pub output: Option<f64>,
    /// Cached input.
    pub cache: Option<f64>,
}

/// Everything that may differ between gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Names of the profiles that apply, the later over the earlier.
    pub names: Vec<&'static str>,
    /// When thinking is replayed.
    pub reasoning_replay: Replay,
    /// The key of replayed reasoning.
    pub reasoning_key: String,
    /// Send a fixed text where a replayed turn has no thinking of its own.
    pub reasoning_placeholder: bool,
    /// Send it in every tool turn, whether the request thinks or not.
    pub reasoning_required: bool,
    /// How later system entries are sent.
    pub system_role: SystemRole,
    /// How thinking is switched.
    pub thinking: ThinkingStyle,
    /// `max_tokens` or `max_completion_tokens`.
    pub max_tokens_name: String,
    /// The first pattern that matches decides.
    pub max_tokens: Vec<MaxTokens>,
    /// The fewest output tokens that may be asked for.
    pub min_tokens: u64,
    /// Whether a forced tool choice is understood at all.
    pub tool_choice_forced: bool,
    /// Whether a forced tool choice is understood while thinking.
    pub tool_choice_with_thinking: bool,
    /// Whether `parallel_tool_calls` is understood.
    pub parallel_tool_calls: bool,
    /// Whether `reasoning_details` go back with the calls that they led to.
    pub reasoning_details: bool,
    /// Whether an assistant message at the end needs `prefix: true`.
    pub prefill_flag: bool,
    /// Whether `stream_options.include_usage` is understood.
    pub stream_options: bool,
    /// Whether images are understood.
    pub images: bool,
    /// Whether `file` parts (PDF) are understood.
    pub documents: bool,
    /// Whether `temperature` is taken.
    pub temperature: bool,
    /// Whether `top_p` is taken.
    pub top_p: bool,
    /// Whether `top_k` is understood.
    pub top_k: bool,
    /// The most stop texts.
    pub stop_max: usize,
    /// The most tools.
    pub max_tools: usize,
    /// Call identifiers are nine letters and digits.
    pub short_call_ids: bool,
    /// Arguments in the history must be valid JSON.
    pub strict_arguments: bool,
    /// Which JSON Schema tools may have.
    pub schema: Dialect,
    /// How an answer in a JSON schema is asked for.
    pub answer_format: AnswerFormat,
    /// User messages that follow each other are sent as one.
    pub merge_users: bool,
    /// A header that carries the key besides `authorization`.
    pub key_header: Option<String>,
    /// Tool calls carry signatures that must come back (Gemini).
    pub call_signatures: bool,
    /// Tool calls that arrive as text become real ones when the tool is declared.
    pub recover_text_calls: bool,
    /// Prices, for accounting.
    pub prices: PriceTable,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            names: vec!["generic"],
            reasoning_replay: Replay::ToolTurns,
            reasoning_key: "reasoning_content".to_owned(),
            reasoning_placeholder: false,
            reasoning_required: false,
            system_role: SystemRole::System,
            thinking: ThinkingStyle::None,
            max_tokens_name: "max_tokens".to_owned(),
            max_tokens: Vec::new(),
            min_tokens: 1,
            tool_choice_forced: true,
            tool_choice_with_thinking: true,
            parallel_tool_calls: true,
            reasoning_details: false,
            prefill_flag: false,
            stream_options: true,
            images: true,
            documents: false,
            temperature: true,
            top_p: true,
            top_k: false,
            stop_max: 4,
            max_tools: usize::MAX,
            short_call_ids: false,
            strict_arguments: false,
            schema: Dialect::JsonSchema,
            answer_format: AnswerFormat::JsonSchema,
            merge_users: false,
            key_header: None,
            call_signatures: false,
            recover_text_calls: true,
            prices: PriceTable::default(),
        }
    }
}

impl From<PriceTable> for Prices {
    fn from(table: PriceTable) -> Self {
        Prices { input: table.input, output: table.output, cache: table.cache }
    }
}

impl Profile {
    /// Headers that carry the key besides `authorization`.
    pub fn key_headers(&self) -> Vec<HeaderName> {
        self.key_header.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// The most output tokens of `model`, if there is a limit.
    pub fn limit_for(&self, model: &str) -> Option<u64> {
        self.max_tokens.iter().find(|m| model_matches(&m.models, model)).map(|m| m.limit)
    }

    fn overlay(&mut self, layer: &Layer) {
        macro_rules! take {
            ($($field:ident),*) => { $( if let Some(value) = &layer.$field { self.$field = value.clone(); } )* };
        }
        match layer.schema_keep_only {
            Some(true) => self.schema = Dialect::Common,
            Some(false) => self.schema = Dialect::JsonSchema,
            None => {}
        }
        if layer.key_header.is_some() {
            self.key_header.clone_from(&layer.key_header);
        }
        take!(
            reasoning_replay,
            reasoning_key,
            reasoning_placeholder,
            reasoning_required,
            system_role,
            thinking,
            max_tokens_name,
            max_tokens,
            min_tokens,
            tool_choice_forced,
            tool_choice_with_thinking,
            parallel_tool_calls,
            reasoning_details,
            prefill_flag,
            stream_options,
            images,
            documents,
            temperature,
            top_p,
            top_k,
            stop_max,
            max_tools,
            short_call_ids,
            strict_arguments,
            schema,
            answer_format,
            merge_users,
            call_signatures,
            recover_text_calls,
            prices
        );
    }
}

/// One profile as written; absent fields keep the value of the layer below.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Layer {
    name: String,
    models: Vec<String>,
    hosts: Vec<String>,
    reasoning_replay: Option<Replay>,
    reasoning_key: Option<String>,
    reasoning_placeholder: Option<bool>,
    reasoning_required: Option<bool>,
    system_role: Option<SystemRole>,
    thinking: Option<ThinkingStyle>,
    max_tokens_name: Option<String>,
    max_tokens: Option<Vec<MaxTokens>>,
    min_tokens: Option<u64>,
    tool_choice_forced: Option<bool>,
    tool_choice_with_thinking: Option<bool>,
    parallel_tool_calls: Option<bool>,
    reasoning_details: Option<bool>,
    prefill_flag: Option<bool>,
    stream_options: Option<bool>,
    images: Option<bool>,
    documents: Option<bool>,
    temperature: Option<bool>,
    top_p: Option<bool>,
    top_k: Option<bool>,
    stop_max: Option<usize>,
    max_tools: Option<usize>,
    short_call_ids: Option<bool>,
    strict_arguments: Option<bool>,
    schema: Option<Dialect>,
    /// The older name of `schema = "common"`.
    schema_keep_only: Option<bool>,
    answer_format: Option<AnswerFormat>,
    merge_users: Option<bool>,
    key_header: Option<String>,
    call_signatures: Option<bool>,
    recover_text_calls: Option<bool>,
    prices: Option<PriceTable>,
}

#[derive(Deserialize)]
struct File {
    profile: Vec<Layer>,
}

/// The embedded file; a test parses it, so that the empty list never happens.
static SHIPPED: LazyLock<Vec<Layer>> = LazyLock::new(|| {
    toml::from_str::<File>(include_str!("profiles.toml")).map(|file| file.profile).unwrap_or_default()
});

/// The profiles of one process: the shipped ones and the user's.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    chosen: Option<&'static Layer>,
    overrides: Vec<Layer>,
}

impl Profiles {
    /// The profiles of a configuration.
    pub fn from_config(config: &Config) -> Result<Self> {
        Profiles::new(config.gateway.profile.as_deref(), &config.gateway.profile_overrides)
    }

    /// Checks the configured name and the user's tables.
    pub fn new(name: Option<&str>, overrides: &BTreeMap<String, serde_json::Value>) -> Result<Self> {
        let names = || SHIPPED.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut layers = Vec::new();
        for (key, value) in overrides {
            let mut layer: Layer = serde_json::from_value(value.clone()).map_err(|error| {
                Error::new(Kind::Config, format!("the table [profiles.{key}] is wrong: {error}"))
                    .hint("the fields are listed in docs/adapter.md")
            })?;
            layer.name = key.clone();
            layers.push(layer);
        }
        let chosen = match name {
            None => None,
            Some(name) => {
                let found = SHIPPED.iter().find(|l| l.name == name);
                if found.is_none() && !layers.iter().any(|l| l.name == name) {
                    return Err(Error::new(Kind::Config, format!("there is no gateway profile {name:?}"))
                        .hint(format!("choose one of {}", names())));
                }
                // A profile of the user's own, when chosen by name, applies everywhere.
                for layer in layers.iter_mut().filter(|l| l.name == name) {
                    layer.models = vec!["*".to_owned()];
                }
                found
            }
        };
        Ok(Profiles { chosen, overrides: layers })
    }

    /// The profile for `model` at `base_url`.
    pub fn resolve(&self, base_url: &str, model: &str) -> Profile {
        let host = host_of(base_url);
        let host = host.as_str();
        let by_model = |l: &Layer| l.models.iter().any(|p| model_matches(p, model));
        let by_host = |l: &Layer| l.hosts.iter().any(|p| host_matches(p, host));
        let mut profile = Profile::default();
        let mut overlay = |layer: &'static Layer| {
            profile.overlay(layer);
            if layer.name != "generic" && !profile.names.contains(&layer.name.as_str()) {
                profile.names.push(layer.name.as_str());
            }
        };
        SHIPPED.iter().filter(|l| by_model(l)).for_each(&mut overlay);
        SHIPPED.iter().filter(|l| by_host(l) && !by_model(l)).for_each(&mut overlay);
        if let Some(layer) = self.chosen {
            overlay(layer);
        }
        // A user's table applies where its own patterns match; without patterns, where the
        // shipped profile of its name applies.
        for layer in &self.overrides {
            let own = !layer.models.is_empty() || !layer.hosts.is_empty();
            let named = layer.name == "generic" || profile.names.contains(&layer.name.as_str());
            if if own { by_model(layer) || by_host(layer) } else { named } {
                profile.overlay(layer);
            }
        }
        profile
    }
}

/// The models that jobs may use and whose price is not known: neither configured nor in a
/// profile.
///
/// # Errors
/// When the configuration's gateways or profiles are wrong.
pub fn unpriced(config: &Config, models: &[String]) -> Result<Vec<String>> {
    let own = config.prices;
    if own.input.is_some() && own.output.is_some() {
        return Ok(Vec::new());
    }
    // One of the two alone is not completed by a profile.
    let partly = own.input.is_some() || own.output.is_some();
    let (gateway, profiles) = (gateway::Gateway::from_config(config)?, Profiles::from_config(config)?);
    let mut out: Vec<String> = Vec::new();
    for route in models.iter().flat_map(|model| gateway.routes(model)) {
        let prices = profiles.resolve(gateway.upstream(&route).base_url(), &route.model).prices;
        let known = !partly && prices.input.is_some() && prices.output.is_some();
        if !known && !out.contains(&route.model) {
            out.push(route.model);
        }
    }
    Ok(out)
}

/// The profiles of the routes that were asked so far, with what refusals taught about them
/// (capability downgrades) in place of what the files say.
#[derive(Debug)]
pub struct Capabilities {
    profiles: Profiles,
    of_route: Mutex<HashMap<Route, Arc<Profile>>>,
}

impl Capabilities {
    const MOST: usize = 256;

    /// Nothing was asked yet.
    pub fn new(profiles: Profiles) -> Self {
        Capabilities { profiles, of_route: Mutex::default() }
    }

    /// The profile of a route.
    pub fn of(&self, target: &Target<'_>) -> Arc<Profile> {
        let mut known = self.of_route.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(profile) = known.get(target.route) {
            return Arc::clone(profile);
        }
        // Model names are the agent's: it may ask for any number of them.
        if known.len() >= Self::MOST {
            known.clear();
        }
        let profile = Arc::new(self.profiles.resolve(target.upstream.base_url(), &target.route.model));
        known.insert(target.route.clone(), Arc::clone(&profile));
        profile
    }

    /// From now on the route has this profile.
    pub fn downgrade(&self, route: &Route, profile: Arc<Profile>) {
        self.of_route.lock().unwrap_or_else(PoisonError::into_inner).insert(route.clone(), profile);
    }
}

/// Host and port of a base URL; empty when it is none.
fn host_of(base_url: &str) -> String {
    let Ok(url) = url::Url::parse(base_url) else { return String::new() };
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or("").to_owned(),
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let bare = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches(pattern, host) || matches(pattern, bare)
}

fn model_matches(pattern: &str, model: &str) -> bool {
    matches(pattern, model) || matches(pattern, model.rsplit('/').next().unwrap_or(model))
}

/// `*` matches any run of characters; case does not count.
fn matches(pattern: &str, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_right() {
        toml::from_str::<File>(include_str!("profiles.toml")).expect("profiles.toml parses");
        for name in
            ["generic", "deepseek", "kimi", "glm", "qwen", "gemini", "openrouter", "vllm", "ollama", "oneapi"]
        {
            assert!(SHIPPED.iter().any(|l| l.name == name), "{name}");
        }
    }

    #[test]
    fn layers_in_order() {
        let profiles = Profiles::new(None, &BTreeMap::new()).expect("no overrides");
        let cases: &[(&str, &str, &[&str])] = &[
            ("https://gateway.example/v1", "some-model", &["generic"]),
            ("https://api.deepseek.com", "deepseek-chat", &["generic", "deepseek"]),
            (
                "https://openrouter.ai/api/v1",
                "deepseek/deepseek-v3.2",
                &["generic", "deepseek", "openrouter"],
            ),
            ("https://openrouter.ai/api/v1", "Qwen/Qwen3-Coder", &["generic", "qwen", "openrouter"]),
            ("https://api.moonshot.cn/v1", "anything", &["generic", "kimi"]),
            ("http://localhost:11434/v1", "llama3", &["generic", "ollama"]),
        ];
        for (url, model, names) in cases {
            assert_eq!(profiles.resolve(url, model).names, *names, "{url} {model}");
        }
        let profile = profiles.resolve("https://openrouter.ai/api/v1", "deepseek/deepseek-v3.2");
        assert_eq!(profile.reasoning_key, "reasoning");
        assert!(profile.reasoning_placeholder);
        assert_eq!(profile.limit_for("deepseek/deepseek-v3.2"), Some(65536));
        assert_eq!(profile.limit_for("deepseek-chat"), Some(8192));
    }

    #[test]
    fn the_users_tables_win_and_mistakes_are_named() {
        let mut tables = BTreeMap::new();
        tables.insert("deepseek".to_owned(), serde_json::json!({"images": true}));
        tables.insert("mine".to_owned(), serde_json::json!({"hosts": ["gw.example"], "top_k": true}));
        let profiles = Profiles::new(None, &tables).expect("tables");
        assert!(profiles.resolve("https://x.example", "deepseek-chat").images);
        assert!(!profiles.resolve("https://x.example", "other").top_k);
        assert!(profiles.resolve("https://gw.example/v1", "other").top_k);
        tables.insert("bad".to_owned(), serde_json::json!({"imagess": true}));
        let error = Profiles::new(None, &tables).expect_err("unknown field").message;
        assert!(error.contains("[profiles.bad]") && error.contains("imagess"), "{error}");
        assert!(Profiles::new(Some("nope"), &BTreeMap::new()).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, text, yes) in [
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "a1b2c", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("a*bb", "ab", false),
            ("o1*", "foo1", false),
        ] {
            assert_eq!(matches(pattern, text), yes, "{pattern} {text}");
        }
    }
}
