//! Components written as text, for tests: real components that do exactly one wrong thing.

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../../../wit/v0.1/policy.wit");

/// A policy in WebAssembly text. The bodies are instructions; what they need to know of
/// memory: `$return` gives room for a result, texts lie where [`Guest::text`] put them.
pub struct Guest {
    name: String,
    version: String,
    wit_version: String,
    describe: Option<String>,
    configure: String,
    examples: Vec<[String; 6]>,
    interfaces: Vec<(&'static str, String)>,
    start: String,
    pages: u32,
    data: Vec<u8>,
}

/// Where data begins; below it lie results.
const BASE: usize = 2048;

impl Guest {
    /// A guest of this name that exports nothing yet.
    pub fn new(name: &str) -> Self {
        Guest {
            name: name.into(),
            version: "1.0.0".into(),
            wit_version: "0.1.0".into(),
            describe: None,
            configure: "(i32.store8 (i32.const 1024) (i32.const 0)) (i32.const 1024)".into(),
            examples: Vec::new(),
            interfaces: Vec::new(),
            start: String::new(),
            pages: 2,
            data: Vec::new(),
        }
    }

    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// The version of the interfaces it is built for.
    pub fn wit(mut self, version: &str) -> Self {
        self.wit_version = version.into();
        self
    }

    pub fn describe(mut self, body: &str) -> Self {
        self.describe = Some(body.into());
        self
    }

    pub fn configure(mut self, body: &str) -> Self {
        self.configure = body.into();
        self
    }

    /// Instructions run when the module is instantiated.
    pub fn start(mut self, body: &str) -> Self {
        self.start = body.into();
        self
    }

    /// Pages of memory that it declares.
    pub fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    pub fn example(mut self, interface: &str, input: &str, expected: &str) -> Self {
        let why = "because".to_owned();
        self.examples.push([
            format!("example {}", self.examples.len() + 1),
            interface.into(),
            String::new(),
            input.into(),
            expected.into(),
            why,
        ]);
        self
    }

    /// Exports an interface with this body.
    pub fn exports(mut self, interface: &'static str, body: &str) -> Self {
        self.interfaces.push((interface, body.into()));
        self
    }

    /// A scope policy that denies when more than `most` files changed.
    pub fn denies_over(mut self, most: u32) -> Self {
        let finding = self.finding("too-many", 0, "too many files changed");
        self.exports(
            "scope",
            &format!(
                "(if (result i32) (i32.gt_u (i32.load offset=72 (local.get 0)) (i32.const {most}))
                   (then {}) (else {}))",
                list(&finding, 1),
                list("(i32.const 0)", 0)
            ),
        )
    }

    /// Lays a finding into memory; its address.
    pub fn finding(&mut self, rule: &str, severity: u8, message: &str) -> String {
        let (rule, rule_len) = self.text(rule);
        let (message, message_len) = self.text(message);
        let mut record = vec![0u8; 52];
        for (at, value) in [(0, rule), (4, rule_len), (12, message), (16, message_len)] {
            record[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
        record[8] = severity;
        let at = self.bytes(&record);
        format!("(i32.const {at})")
    }

    /// Lays a text into memory; address and length.
    pub fn text(&mut self, text: &str) -> (usize, usize) {
        (self.bytes(text.as_bytes()), text.len())
    }

    /// Lays bytes into memory; their address.
    pub fn bytes(&mut self, bytes: &[u8]) -> usize {
        while !self.data.len().is_multiple_of(8) {
            self.data.push(0);
        }
        let at = BASE + self.data.len();
        self.data.extend_from_slice(bytes);
        at
    }

    /// The component.
    pub fn build(mut self) -> Vec<u8> {
        let wit = self.wit_version.clone();
        let mut functions = String::new();
        let describe = self.describe.clone().unwrap_or_else(|| {
            let mut body = String::new();
            let texts = [self.name.clone(), self.version.clone(), "A test.".to_owned()];
            for (field, text) in texts.iter().enumerate() {
                let (at, len) = self.text(text);
                let _ = write!(
                    body,
                    "(i32.store (i32.const {}) (i32.const {at})) (i32.store (i32.const {}) (i32.const {len}))",
                    1024 + field * 8,
                    1028 + field * 8
                );
            }
            body + "(i32.const 1024)"
        });
        let examples = std::mem::take(&mut self.examples);
        let mut records = Vec::new();
        for text in examples.iter().flatten() {
            let (at, len) = self.text(text);
            records.extend_from_slice(&(at as u32).to_le_bytes());
            records.extend_from_slice(&(len as u32).to_le_bytes());
        }
        let records = self.bytes(&records);
        let mut function = |interface: &str, name: &str, params: &str, body: &str| {
            let _ = writeln!(
                functions,
                "(func (export \"codex-worker:policy/{interface}@{wit}#{name}\") {params} (result i32) {body})"
            );
        };
        function("plugin", "describe", "", &describe);
        function("plugin", "configure", "(param i32 i32)", &self.configure);
        function("plugin", "examples", "", &list(&format!("(i32.const {records})"), examples.len()));
        let mut exports = String::new();
        for (interface, body) in &self.interfaces {
            let (name, params) = match *interface {
                "scope" => ("check", "(param i32)"),
                "verifier" => ("verify", "(param i32)"),
                "signals" => ("parse", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)"),
                "redaction" => ("find", "(param i32 i32 i32 i32)"),
                _ => ("shape", "(param i32)"),
            };
            function(interface, name, params, body);
            let _ = write!(exports, "export {interface}; ");
        }
        let data: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let end = (BASE + self.data.len()).next_multiple_of(16);
        let module = format!(
            "(module
               (import \"codex-worker:policy/host@{wit}\" \"log\" (func $log (param i32 i32 i32)))
               (memory (export \"memory\") {})
               (global $top (mut i32) (i32.const {end}))
               (data (i32.const {BASE}) \"{data}\")
               (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)
                 (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                 (global.set $top (i32.add (local.get $at) (local.get 3)))
                 (block $done (loop $more
                   (br_if $done (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
                   (br_if $done (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
                   (br $more)))
                 (local.get $at))
               (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
               (func $start {})
               (start $start)
               {functions})",
            self.pages, self.start
        );
        let mut bytes = wat::parse_str(&module).unwrap_or_else(|error| panic!("{error}\n{module}"));
        let text = WIT.replace("0.1.0", &wit)
            + &format!("\nworld test-guest {{ import host; export plugin; {exports} }}\n");
        let mut resolve = Resolve::default();
        let package = resolve.push_source("policy.wit", &text).unwrap();
        let world = resolve.select_world(&[package], Some("test-guest")).unwrap();
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&bytes).unwrap().validate(true).encode().unwrap()
    }
}

/// Returns a list.
pub fn list(at: &str, len: usize) -> String {
    format!(
        "(i32.store (i32.const 1024) {at}) (i32.store (i32.const 1028) (i32.const {len})) (i32.const 1024)"
    )
}

/// Returns what redaction found: spans at an address, and an empty carry.
pub fn found(at: &str, len: usize) -> String {
    format!(
        "(i32.store (i32.const 1024) {at}) (i32.store (i32.const 1028) (i32.const {len}))
         (i32.store (i32.const 1032) (i32.const 0)) (i32.store (i32.const 1036) (i32.const 0)) (i32.const 1024)"
    )
}
