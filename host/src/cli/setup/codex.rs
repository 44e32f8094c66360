//! Our server in Codex's configuration: added to what is there, and taken out again. Pure:
//! text in, text out; comments and order stay.

use std::path::PathBuf;

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

use model::error::{Error, Kind, Result};

/// Under which name Codex knows the server.
pub const NAME: &str = "worker";
/// How Codex names the tools of that server.
const NAMESPACE: &str = "mcp__worker";
/// Settings that `setup` writes into codex-worker.toml. In Codex's `env` they would beat it.
const MOVED: &[&str] =
    &["SANDBOX_ROOT", "ONEAPI_BASE_URL", "ANTHROPIC_BASE_URL", "CLAUDE_MODEL", "ANTHROPIC_MODEL"];
/// One `wait` may last 30 minutes, and Codex waits a little longer than that.
const WAIT_MS: &str = "1800000";
const TOOL_TIMEOUT_S: i64 = 1860;

/// What Codex is to start.
#[derive(Clone, Debug)]
pub struct Server {
    /// This program.
    pub program: PathBuf,
    /// The settings file.
    pub settings: PathBuf,
    /// The state directory, where it is not the default one.
    pub home: Option<PathBuf>,
    /// The variable that holds the gateway's key; Codex hands it on from its own environment.
    pub key_variable: Option<String>,
    /// Let `apply` write into the user's checkout without a question.
    pub approve_apply: bool,
}

/// What became of the text, and what a person must know of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// The whole file.
    pub text: String,
    /// One line each.
    pub notes: Vec<String>,
}

fn parse(text: &str) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        Error::new(Kind::Config, format!("Codex's configuration is not valid TOML: {first}"))
            .hint("repair it first (`codex mcp list` says where); nothing was written")
    })
}

fn text_of(path: &std::path::Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(Kind::Config, format!("{} is not valid UTF-8, which TOML needs", path.display()))
            .hint("move it to a path of plain letters")
    })
}

/// The variables that the server gets.
fn variables(server: &Server) -> Result<Vec<(&'static str, String)>> {
    let mut out = vec![("CODEX_WORKER_CONFIG", text_of(&server.settings)?)];
    if let Some(home) = &server.home {
        out.push(("CODEX_WORKER_HOME", text_of(home)?));
    }
    Ok(out)
}

/// `old` with our server in it.
pub fn merge(old: &str, server: &Server) -> Result<Merged> {
    let mut notes = Vec::new();
    let mut doc = parse(old)?;
    let known = doc.get("mcp_servers").is_some_and(|servers| servers.get(NAME).is_some());
    if known {
        update(&mut doc, server, &mut notes)?;
    }
    let has_features = doc.contains_key("features");
    if has_features {
        list_tools(&mut doc, &mut notes);
    }
    let mut text = doc.to_string();
    if !has_features {
        append(&mut text, &features());
    }
    if !known {
        if doc.get("mcp_servers").is_some_and(|servers| !servers.is_table()) {
            return Err(Error::new(Kind::Refused, "Codex's configuration writes mcp_servers in one line")
                .hint("write each server as a table, `[mcp_servers.name]`; nothing was written"));
        }
        append(&mut text, &table(server)?);
    }
    // What Codex would not read is never written.
    parse(&text)?;
    Ok(Merged { text, notes })
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

fn features() -> String {
    format!(
        "[features]\n\
         # Codex lists the worker's tools directly; otherwise a long `wait` costs extra turns.\n\
         code_mode = {{ direct_only_tool_namespaces = [\"{NAMESPACE}\"] }}\n"
    )
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().trim().to_owned()
}

fn table(server: &Server) -> Result<String> {
    let handed = server.key_variable.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "# codex-worker: written by `codex-worker setup`; `codex-worker setup --remove` takes it out.\n\
         [mcp_servers.{NAME}]\n\
         command = {command}\n\
         args = [\"mcp\"]\n\
         # Fail at once if the server does not start, instead of running without its tools.\n\
         required = true\n\
         startup_timeout_sec = 10\n\
         # One `wait` may last 30 minutes (WAIT_DEFAULT_MS below).\n\
         tool_timeout_sec = {TOOL_TIMEOUT_S}\n\
         # Reading tools may run while another call is in flight.\n\
         supports_parallel_tool_calls = true\n",
        command = quoted(&text_of(&server.program)?),
    );
    if !handed.is_empty() {
        text += &format!(
            "# Handed on from Codex's own environment; the key itself is never written here.\n\
             env_vars = [{handed}]\n"
        );
    }
    text += &format!("\n[mcp_servers.{NAME}.env]\n");
    for (name, value) in variables(server)? {
        text += &format!("{name} = {}\n", quoted(&value));
    }
    text += &format!(
        "WAIT_DEFAULT_MS = \"{WAIT_MS}\"\n\n\
         # Your standing consent: `start` runs an agent and your checks below the sandbox root,\n\
         # `cancel` ends what it started. Without it Codex asks before each call.\n\
         [mcp_servers.{NAME}.tools.start]\n\
         approval_mode = \"approve\"\n\n\
         [mcp_servers.{NAME}.tools.cancel]\n\
         approval_mode = \"approve\"\n"
    );
    if server.approve_apply {
        text += &format!(
            "\n# `apply` writes into your own checkout.\n\
             [mcp_servers.{NAME}.tools.apply]\n\
             approval_mode = \"approve\"\n"
        );
    }
    Ok(text)
}

/// Sets a value where it is not so already; what is around it stays.
fn put(table: &mut dyn TableLike, key: &str, value: Value) {
    let same = |old: &Value| old.to_string().trim() == value.to_string().trim();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if same(old) => {}
        Some(old) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn put_absent(table: &mut dyn TableLike, key: &str, value: Value) {
    if !table.contains_key(key) {
        put(table, key, value);
    }
}

/// The table at `key`, made where there is none.
fn sub<'a>(table: &'a mut dyn TableLike, key: &str) -> Result<&'a mut dyn TableLike> {
    if !table.contains_key(key) {
        table.insert(key, toml_edit::table());
    }
    table.get_mut(key).and_then(Item::as_table_like_mut).ok_or_else(|| {
        Error::new(Kind::Config, format!("mcp_servers.{NAME}.{key} in Codex's configuration is no table"))
            .hint("repair or delete it; nothing was written")
    })
}

/// A server that is there already: its own values stay where they are a matter of taste.
fn update(doc: &mut DocumentMut, server: &Server, notes: &mut Vec<String>) -> Result<()> {
    let worker = doc["mcp_servers"][NAME].as_table_like_mut().ok_or_else(|| {
        Error::new(Kind::Config, format!("mcp_servers.{NAME} in Codex's configuration is no table"))
            .hint("repair or delete it; nothing was written")
    })?;
    put(worker, "command", text_of(&server.program)?.into());
    put_absent(worker, "args", Array::from_iter(["mcp"]).into());
    put_absent(worker, "required", true.into());
    put_absent(worker, "startup_timeout_sec", 10.into());
    put_absent(worker, "tool_timeout_sec", TOOL_TIMEOUT_S.into());
    put_absent(worker, "supports_parallel_tool_calls", true.into());
    if worker.get("enabled").and_then(Item::as_bool) == Some(false) {
        notes.push(format!("mcp_servers.{NAME}.enabled is false: Codex does not start it"));
    }
    if let Some(name) = &server.key_variable {
        match worker.get_mut("env_vars").and_then(Item::as_array_mut) {
            Some(names) if names.iter().any(|known| known.as_str() == Some(name)) => {}
            Some(names) => names.push(name.as_str()),
            None => put(worker, "env_vars", Array::from_iter([name.as_str()]).into()),
        }
    }
    let env = sub(worker, "env")?;
    for (name, value) in variables(server)? {
        put(env, name, value.into());
    }
    for name in MOVED {
        if env.remove(name).is_some() {
            notes.push(format!("{name} moved from Codex's configuration to codex-worker.toml"));
        }
    }
    put_absent(env, "WAIT_DEFAULT_MS", WAIT_MS.into());
    if !worker.contains_key("tools") {
        // No header of its own: only its tables have one.
        let mut tools = toml_edit::Table::new();
        tools.set_implicit(true);
        worker.insert("tools", Item::Table(tools));
    }
    let tools = sub(worker, "tools")?;
    let approved = ["start", "cancel"].into_iter().chain(server.approve_apply.then_some("apply"));
    for name in approved {
        put_absent(sub(tools, name)?, "approval_mode", "approve".into());
    }
    Ok(())
}

/// `features.code_mode.direct_only_tool_namespaces` with our tools in it.
fn list_tools(doc: &mut DocumentMut, notes: &mut Vec<String>) {
    let by_hand = || {
        format!(
            "features.code_mode is not a table: a long `wait` costs extra turns unless it is \
             {{ direct_only_tool_namespaces = [\"{NAMESPACE}\"] }}"
        )
    };
    let Some(features) = doc.get_mut("features").and_then(Item::as_table_like_mut) else {
        notes.push(by_hand());
        return;
    };
    if !features.contains_key("code_mode") {
        features.insert("code_mode", Item::Value(toml_edit::InlineTable::new().into()));
    }
    let Some(mode) = features.get_mut("code_mode").and_then(Item::as_table_like_mut) else {
        notes.push(by_hand());
        return;
    };
    if !mode.contains_key("direct_only_tool_namespaces") {
        put(mode, "direct_only_tool_namespaces", Array::new().into());
    }
    match mode.get_mut("direct_only_tool_namespaces").and_then(Item::as_array_mut) {
        Some(names) if names.iter().any(|known| known.as_str() == Some(NAMESPACE)) => {}
        Some(names) => names.push(NAMESPACE),
        None => notes.push(by_hand()),
    }
}

/// `old` without our server.
pub fn remove(old: &str) -> Result<String> {
    let mut doc = parse(old)?;
    if let Some(servers) = doc.get_mut("mcp_servers").and_then(Item::as_table_like_mut) {
        servers.remove(NAME);
    }
    // Each level goes that is empty then.
    let emptied = |table: &mut dyn TableLike, key: &str| {
        if table.get(key).and_then(Item::as_table_like).is_some_and(TableLike::is_empty) {
            table.remove(key);
        }
    };
    if let Some(features) = doc.get_mut("features").and_then(Item::as_table_like_mut) {
        if let Some(mode) = features.get_mut("code_mode").and_then(Item::as_table_like_mut)
            && let Some(names) = mode.get_mut("direct_only_tool_namespaces").and_then(Item::as_array_mut)
        {
            names.retain(|name| name.as_str() != Some(NAMESPACE));
            if names.is_empty() {
                mode.remove("direct_only_tool_namespaces");
            }
        }
        emptied(features, "code_mode");
    }
    emptied(doc.as_table_mut(), "features");
    Ok(doc.to_string())
}

/// What the configuration says of our server, for `doctor`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The server is there.
    pub server: bool,
    /// What it starts.
    pub command: Option<String>,
    /// It is switched off.
    pub disabled: bool,
    /// Codex asks before `start`.
    pub asks_for_start: bool,
    /// Codex gives up on a call after this long; its own default is 300.
    pub tool_timeout_s: Option<i64>,
    /// Variables that the server gets from the configuration.
    pub env: Vec<(String, String)>,
    /// Variables that Codex hands on.
    pub env_vars: Vec<String>,
}

/// Reads it.
pub fn find(text: &str) -> Result<Found> {
    let doc = parse(text)?;
    let Some(worker) = doc.get("mcp_servers").and_then(|servers| servers.get(NAME)) else {
        return Ok(Found::default());
    };
    let mode = worker.get("tools").and_then(|tools| tools.get("start")?.get("approval_mode")?.as_str());
    let mode = mode.or_else(|| worker.get("default_tools_approval_mode")?.as_str());
    let env = worker.get("env").and_then(Item::as_table_like);
    Ok(Found {
        server: true,
        command: worker.get("command").and_then(Item::as_str).map(str::to_owned),
        disabled: worker.get("enabled").and_then(Item::as_bool) == Some(false),
        asks_for_start: mode != Some("approve"),
        tool_timeout_s: worker.get("tool_timeout_sec").and_then(Item::as_integer),
        env: env
            .into_iter()
            .flat_map(|env| env.iter())
            .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())))
            .collect(),
        env_vars: worker
            .get("env_vars")
            .and_then(Item::as_array)
            .into_iter()
            .flat_map(|names| names.iter())
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            program: "/opt/codex \"worker\"".into(),
            settings: "/home/u/.config/codex-worker/codex-worker.toml".into(),
            home: None,
            key_variable: Some("ONEAPI_API_KEY".to_owned()),
            approve_apply: false,
        }
    }

    const MINE: &str = "# mine\nmodel = \"gpt\" # the good one\n\n[mcp_servers.other] # keep\ncommand = \"x\"\n\n[profiles.b]\nz = 1\na = 2 # order\n";

    #[test]
    fn what_is_there_stays_byte_for_byte_and_comes_back() {
        for old in ["", MINE, "[features]\n# mine\nweb = true\n", "[features]\nweb = true\n[a]\nb = 1\n"] {
            let merged = merge(old, &server()).expect("it merges");
            assert_eq!(merged.notes, [""; 0]);
            for line in old.lines() {
                assert!(merged.text.contains(line), "{line}\n{}", merged.text);
            }
            let again = merge(&merged.text, &server()).expect("it merges");
            assert_eq!(again.text, merged.text, "a second run changes nothing");
            assert_eq!(remove(&merged.text).expect("it is removed"), old);
            let found = find(&merged.text).expect("it is read");
            assert!(found.server && !found.asks_for_start && found.tool_timeout_s == Some(1860), "{found:?}");
            assert_eq!(found.command.as_deref(), Some("/opt/codex \"worker\""));
            assert_eq!(found.env_vars, ["ONEAPI_API_KEY"]);
        }
    }

    #[test]
    fn an_older_server_is_brought_up_to_date() {
        let old = "[features]\ncode_mode = { direct_only_tool_namespaces = [\"mcp__x\"] } # mine\n\
            [mcp_servers.worker]\ncommand = \"old\" # here\nargs = [\"mcp\", \"-v\"]\ntool_timeout_sec = 60 # taste\n\
            [mcp_servers.worker.env]\nSANDBOX_ROOT = \"/old\"\nMINE = \"1\"\n\
            [mcp_servers.worker.tools.start]\napproval_mode = \"prompt\"\n";
        let merged = merge(old, &server()).expect("it merges");
        assert_eq!(merged.notes, ["SANDBOX_ROOT moved from Codex's configuration to codex-worker.toml"]);
        let text = &merged.text;
        for kept in ["# here", "\"-v\"", "60 # taste", "MINE = \"1\"", "\"prompt\"", "# mine", "\"mcp__x\""] {
            assert!(text.contains(kept), "{kept}\n{text}");
        }
        let table: toml::Table = text.parse().expect("valid TOML");
        let worker = &table["mcp_servers"]["worker"];
        assert_eq!(worker["command"].as_str(), Some("/opt/codex \"worker\""));
        assert!(worker["env"].get("SANDBOX_ROOT").is_none());
        assert_eq!(worker["tools"]["cancel"]["approval_mode"].as_str(), Some("approve"));
        let names = table["features"]["code_mode"]["direct_only_tool_namespaces"].as_array();
        assert_eq!(names.map(Vec::len), Some(2));
        assert_eq!(merge(text, &server()).expect("it merges").text, *text);
        assert!(find(text).expect("it is read").asks_for_start);
    }

    #[test]
    fn what_cannot_be_merged_is_said() {
        for (old, expected) in [
            ("a = ", "not valid TOML"),
            ("mcp_servers = { a = { command = \"x\" } }\n", "in one line"),
            ("[mcp_servers]\nworker = 1\n", "is no table"),
        ] {
            let error = merge(old, &server()).expect_err("it is refused").to_string();
            assert!(error.contains(expected) && error.contains("nothing was written"), "{error}");
        }
        let merged = merge("[features]\ncode_mode = true\n", &server()).expect("it merges");
        assert!(merged.notes[0].contains("direct_only_tool_namespaces"), "{merged:?}");
    }

    /// Who pastes the example gets what `setup` writes.
    #[test]
    fn the_shipped_example_agrees() {
        let shipped: toml::Table =
            include_str!("../../../../codex-mcp.example.toml").parse().expect("valid TOML");
        let ours: toml::Table = merge("", &Server { approve_apply: true, ..server() })
            .expect("it merges")
            .text
            .parse()
            .expect("valid TOML");
        assert_eq!(shipped["features"], ours["features"]);
        let of = |table: &toml::Table| {
            let mut worker = table["mcp_servers"]["worker"].as_table().expect("a table").clone();
            worker.remove("command");
            let env = worker.remove("env").expect("an env");
            (worker, env["WAIT_DEFAULT_MS"].clone())
        };
        assert_eq!(of(&shipped), of(&ours));
    }
}
