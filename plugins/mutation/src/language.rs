//! What is known of each language: how its tokens, blocks and assertions look.

use crate::assertions::{self, Assertion};
use crate::blocks;
use crate::lex::{Rules, Strings};
use crate::source::{Block, Source};

/// What a line break means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Nothing.
    Free,
    /// The end of a statement, unless an operator goes on.
    Open,
    /// The end of a statement, outside of brackets.
    Logical,
}

/// A language.
pub struct Language {
    /// For people.
    pub name: &'static str,
    pub rules: Rules,
    pub lines: Lines,
    /// Finds the blocks.
    pub blocks: fn(&Source<'_>) -> Vec<Block>,
    /// The assertions by the name of what is called.
    pub assertions: &'static [Assertion],
    /// Words that, when called or raised in a branch, make a test fail.
    pub fails: &'static [&'static str],
    /// Runners whose tests are written in it, as signals policies name them.
    pub runners: &'static [&'static str],
    /// Functions and types that only wrap a value.
    pub wrappers: &'static [&'static str],
    /// A word in upper case that is called makes a value.
    pub constructors: bool,
}

const C_RULES: Rules = Rules {
    line_comments: &["//"],
    block_comments: true,
    nested_comments: false,
    strings: Strings::Java,
    regex: false,
    word: b"$",
};

pub static PYTHON: Language = Language {
    name: "Python",
    rules: Rules {
        line_comments: &["#"],
        block_comments: false,
        strings: Strings::Python,
        word: b"",
        ..C_RULES
    },
    lines: Lines::Logical,
    blocks: blocks::python::find,
    assertions: assertions::PYTHON,
    fails: &["raise", "exit", "_exit", "fail", "abort"],
    runners: &["pytest", "unittest", "stestr"],
    wrappers: &[
        "set",
        "frozenset",
        "dict",
        "tuple",
        "list",
        "bytes",
        "bytearray",
        "date",
        "datetime",
        "timedelta",
        "time",
        "array",
        "approx",
        "int",
        "float",
        "str",
        "complex",
        "range",
        "namedtuple",
        "sorted",
        "np",
    ],
    constructors: true,
};

pub static JAVASCRIPT: Language = Language {
    name: "JavaScript",
    rules: Rules { strings: Strings::JavaScript, regex: true, ..C_RULES },
    lines: Lines::Open,
    blocks: blocks::braces::javascript,
    assertions: assertions::JAVASCRIPT,
    fails: &["throw", "exit", "fail", "reject"],
    runners: &["node-test", "jest", "vitest", "mocha", "bun", "deno", "ava", "uvu", "jasmine"],
    wrappers: &[
        "from",
        "of",
        "objectContaining",
        "arrayContaining",
        "BigInt",
        "Symbol",
        "stringContaining",
        "freeze",
    ],
    constructors: true,
};

pub static GO: Language = Language {
    name: "Go",
    rules: Rules { strings: Strings::Go, word: b"", ..C_RULES },
    lines: Lines::Open,
    blocks: blocks::braces::go,
    assertions: assertions::GO,
    fails: &["Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow", "panic", "Exit", "Fatalln"],
    runners: &["go-test", "gotestsum"],
    wrappers: &[
        "int",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "string",
        "byte",
        "rune",
        "Duration",
        "New",
        "NewReader",
        "Date",
        "NewInt",
    ],
    constructors: false,
};

pub static RUST: Language = Language {
    name: "Rust",
    rules: Rules { strings: Strings::Rust, nested_comments: true, word: b"", ..C_RULES },
    lines: Lines::Free,
    blocks: blocks::braces::rust,
    assertions: assertions::RUST,
    fails: &["panic", "unreachable", "exit", "abort", "Err", "todo"],
    runners: &["cargo-test", "nextest", "rustdoc"],
    wrappers: &[
        "vec",
        "from",
        "to_string",
        "to_owned",
        "into",
        "to_vec",
        "as_str",
        "as_bytes",
        "json",
        "new",
        "from_str",
        "of",
        "from_secs",
        "from_millis",
        "Some",
        "Ok",
        "Err",
        "hashmap",
        "iter",
        "into_iter",
        "collect",
        "as_slice",
        "as_ref",
        "unwrap",
        "parse",
        "format",
    ],
    constructors: true,
};

pub static JAVA: Language = Language {
    name: "Java",
    rules: C_RULES,
    lines: Lines::Free,
    blocks: blocks::braces::java,
    assertions: assertions::JVM,
    fails: &["throw", "fail", "exit"],
    runners: &["maven", "gradle", "junit", "junit4", "junit-console", "testng"],
    wrappers: &[
        "of",
        "asList",
        "valueOf",
        "List",
        "Set",
        "Map",
        "singletonList",
        "entry",
        "parse",
        "ofEntries",
    ],
    constructors: true,
};

pub static KOTLIN: Language = Language {
    name: "Kotlin",
    rules: Rules { strings: Strings::Kotlin, nested_comments: true, ..C_RULES },
    lines: Lines::Open,
    blocks: blocks::braces::kotlin,
    assertions: assertions::JVM,
    fails: &["throw", "fail", "exit", "error"],
    runners: &["maven", "gradle", "junit", "junit4", "junit-console", "testng"],
    wrappers: &[
        "of",
        "listOf",
        "setOf",
        "mapOf",
        "arrayOf",
        "intArrayOf",
        "mutableListOf",
        "mutableSetOf",
        "emptyList",
        "asList",
        "valueOf",
        "parse",
        "pairOf",
        "to",
    ],
    constructors: true,
};

pub static RUBY: Language = Language {
    name: "Ruby",
    rules: Rules {
        line_comments: &["#"],
        block_comments: false,
        strings: Strings::Ruby,
        regex: true,
        word: b"$@",
        ..C_RULES
    },
    lines: Lines::Logical,
    blocks: blocks::ruby::find,
    assertions: assertions::RUBY,
    fails: &["raise", "exit", "fail", "flunk", "abort", "exit!"],
    runners: &["rspec", "minitest", "test-unit"],
    wrappers: &[
        "new",
        "freeze",
        "to_sym",
        "to_s",
        "to_set",
        "Set",
        "BigDecimal",
        "Rational",
        "Float",
        "Integer",
    ],
    constructors: false,
};

pub static PHP: Language = Language {
    name: "PHP",
    rules: Rules { line_comments: &["//", "#"], strings: Strings::Php, ..C_RULES },
    lines: Lines::Free,
    blocks: blocks::braces::php,
    assertions: assertions::PHP,
    fails: &["throw", "exit", "die", "fail"],
    runners: &["phpunit", "pest"],
    wrappers: &["array", "collect", "of", "from"],
    constructors: true,
};

/// The language of a file, by its name; shell and snapshots are read in other ways.
pub fn of(path: &str) -> Option<&'static Language> {
    Some(match extension(path) {
        "py" => &PYTHON,
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" => &JAVASCRIPT,
        "go" => &GO,
        "rs" => &RUST,
        "java" => &JAVA,
        "kt" | "kts" => &KOTLIN,
        "rb" => &RUBY,
        "php" => &PHP,
        _ => return None,
    })
}

/// The part of a file's name behind its last dot.
pub fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}
