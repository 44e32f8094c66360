//! Blocks between braces: JavaScript, Go, Rust, Java, Kotlin, PHP.

use crate::blocks::fixed_title;
use crate::lex::Kind;
use crate::source::{Block, Role, Source, Span};

/// A brace with what is around it.
struct Brace {
    /// Where the header begins.
    head: usize,
    /// The brace.
    at: usize,
    /// The bracket around it.
    around: Option<usize>,
}

type Classify = fn(&Source<'_>, &Brace) -> Option<Block>;

fn find(source: &Source<'_>, classify: Classify) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut around: Vec<usize> = Vec::new();
    for at in 0..source.len() {
        match source.kind(at) {
            Some(Kind::Open) => {
                if source.is(at, "{") {
                    let brace = Brace { head: head(source, at), at, around: around.last().copied() };
                    blocks.extend(classify(source, &brace));
                }
                around.push(at);
            }
            Some(Kind::Close) => {
                around.pop();
            }
            _ => {}
        }
    }
    blocks
}

/// Where the statement that ends with the brace begins.
fn head(source: &Source<'_>, at: usize) -> usize {
    let mut head = at;
    while let Some(before) = head.checked_sub(1) {
        let text = source.at(before);
        match source.kind(before) {
            Some(Kind::Open) => break,
            Some(Kind::Close) if text == "}" => break,
            _ if text == ";" => break,
            _ => {}
        }
        if head < at && source.first(head) && source.breaks_before(head) && !ends_annotation(source, head) {
            break;
        }
        head = source.before(head).unwrap_or(0);
    }
    head
}

/// Whether an annotation, on a line of its own, ends before this token.
fn ends_annotation(source: &Source<'_>, at: usize) -> bool {
    let Some(mut name) = source.before(at) else { return false };
    if source.is(name, "(") {
        name = name.saturating_sub(1);
    }
    name > 0 && source.is_word(name) && source.is(name - 1, "@")
}

fn body(source: &Source<'_>, at: usize) -> Span {
    (at + 1, source.pair(at))
}

/// `if`, `for`, `while` and their like, by the first word of a header.
fn control(word: &str) -> Option<Role> {
    Some(match word {
        "if" | "else" | "switch" | "match" | "when" | "catch" | "try" | "select" | "case" | "elseif" => {
            Role::Branch
        }
        "for" | "while" | "foreach" | "do" | "loop" => Role::Loop,
        "finally" | "synchronized" | "unsafe" | "async" | "with" | "static" => Role::Plain,
        _ => return None,
    })
}

/// The words of the callee whose bracket opens at `open`: `it.each(…)` gives `it`, `each`.
pub fn callee<'a>(source: &Source<'a>, open: usize) -> Vec<&'a str> {
    let mut words = Vec::new();
    let mut at = open;
    // Whether the token at `at` needs a dot before it to go on.
    let mut named = false;
    // A chain may be long; its beginning is near.
    for _ in 0..32 {
        let Some(before) = source.before(at) else { break };
        match source.kind(before) {
            Some(Kind::Word) if !named => {
                words.push(source.at(before));
                named = true;
                at = before;
            }
            Some(Kind::Punct) if matches!(source.at(before), "." | "?." | "->" | "::") => {
                named = false;
                at = before;
            }
            // `it.each(table)(`, `` it.each`table`( ``.
            Some(Kind::Open) if !named && (source.is(before, "(") || source.is(before, "[")) => at = before,
            Some(Kind::Str) if !named && source.at(before).starts_with('`') => at = before,
            _ => break,
        }
        if source.first(at) && !source.at(at).starts_with(['.', '?', '-']) {
            break;
        }
    }
    words.reverse();
    words
}

/// A function that is handed to a test runner's function: `it("adds", () => {…})`.
fn callback(source: &Source<'_>, open: usize, body: Span) -> Block {
    let words = callee(source, open);
    let first = words.first().copied().unwrap_or_default();
    let last = words.last().copied().unwrap_or_default();
    let name = source.content(open + 1).map(fixed_title).unwrap_or_default();
    let skipped = words.iter().any(|word| {
        matches!(*word, "skip" | "todo" | "failing" | "fails" | "skipIf" | "runIf" | "fixme" | "ignore")
    });
    let only = words.contains(&"only");
    let role = match first {
        _ if last == "describe" || words.get(1) == Some(&"describe") => Role::Suite,
        "describe" | "suite" | "context" | "xdescribe" | "fdescribe" => Role::Suite,
        "it" | "test" | "specify" | "xit" | "xtest" | "fit" | "ftest" | "Deno" | "QUnit" => {
            if words.iter().any(|word| matches!(*word, "beforeEach" | "afterEach" | "beforeAll" | "afterAll"))
            {
                Role::Function
            } else if last == "step" {
                Role::Plain
            } else {
                Role::Test
            }
        }
        // node's subtests.
        _ if words.len() == 2 && last == "test" => Role::Test,
        _ if matches!(last, "forEach" | "map" | "each" | "times") => Role::Loop,
        _ => Role::Function,
    };
    let named = matches!(role, Role::Suite | Role::Test);
    let mut block = Block::new(open, body, role).named(if named { name } else { "" });
    block.skipped = skipped || matches!(first, "xit" | "xtest" | "xdescribe");
    block.only = only || matches!(first, "fit" | "ftest" | "fdescribe");
    block
}

pub fn javascript(source: &Source<'_>) -> Vec<Block> {
    let mut blocks = find(source, |source, brace| {
        let body = body(source, brace.at);
        let before = brace.at.checked_sub(1)?;
        let header = (brace.head, brace.at);
        let plain = |role| Some(Block::new(brace.head, body, role));
        let function = source.is(before, "=>")
            || (source.is(before, ")") && {
                let params = source.pair(before);
                let name = params.saturating_sub(1);
                source.is(name, "function") || (name > 0 && source.is(name - 1, "function"))
            })
            || (source.has_word(header, &["function"]) && !source.is(before, ":"));
        if function {
            return Some(match brace.around.filter(|around| source.is(*around, "(")) {
                Some(around) => callback(source, around, body),
                None => Block::new(brace.head, body, Role::Function),
            });
        }
        let first = source.at(brace.head);
        if source.has_word(header, &["class"]) {
            return plain(Role::Suite);
        }
        if brace.head == brace.at {
            // A bare block; an object where an expression is expected.
            let bare = before_is_statement(source, before);
            return bare.then(|| Block::new(brace.head, body, Role::Plain));
        }
        match control(first) {
            Some(role) => plain(role),
            // A method.
            None if source.is(before, ")") => plain(Role::Function),
            None => None,
        }
    });
    // `it("adds", () => expect(add(2, 2)).toBe(4))`
    let mut around: Vec<usize> = Vec::new();
    for at in 0..source.len() {
        match source.kind(at) {
            Some(Kind::Open) => around.push(at),
            Some(Kind::Close) => {
                around.pop();
            }
            _ if source.is(at, "=>") && !source.is(at + 1, "{") => {
                if let Some(open) = around.last().copied().filter(|open| source.is(*open, "(")) {
                    blocks.push(callback(source, open, (at + 1, source.pair(open))));
                }
            }
            _ => {}
        }
    }
    blocks
}

fn before_is_statement(source: &Source<'_>, before: usize) -> bool {
    matches!(source.at(before), ";" | "}" | "{")
}

pub fn go(source: &Source<'_>) -> Vec<Block> {
    find(source, |source, brace| {
        let body = body(source, brace.at);
        let header = (brace.head, brace.at);
        let first = source.at(brace.head);
        if first == "func" && brace.around.is_none() {
            // `func (s *Suite) TestX()`
            let name =
                if source.is(brace.head + 1, "(") { source.pair(brace.head + 1) + 1 } else { brace.head + 1 };
            let text = source.at(name);
            let test =
                text.strip_prefix("Test").is_some_and(|rest| !rest.starts_with(|c: char| c.is_lowercase()))
                    && text != "TestMain"
                    && (source.has_word(header, &["T"]) || source.is(brace.head + 1, "("));
            let role = if test { Role::Test } else { Role::Function };
            return Some(Block::new(brace.head, body, role).named(text));
        }
        if source.has_word(header, &["func"]) && !source.has_word(header, &["interface", "struct"]) {
            let around = brace.around.filter(|around| source.is(*around, "("));
            if let Some(around) = around
                && callee(source, around).last() == Some(&"Run")
            {
                let title = source.content(around + 1).unwrap_or_default();
                let title = if title.contains('\\') { "" } else { title };
                return Some(Block::new(around, body, Role::Test).named(title.replace(' ', "_")));
            }
            return Some(Block::new(brace.head, body, Role::Function));
        }
        match control(first) {
            Some(role) => Some(Block::new(brace.head, body, role)),
            None if brace.head == brace.at => Some(Block::new(brace.head, body, Role::Plain)),
            None => None,
        }
    })
}

/// The attributes or annotations of a header: the words within.
fn attributes<'a>(source: &'a Source<'_>, header: Span) -> impl Iterator<Item = Span> + 'a {
    let mut at = header.0;
    std::iter::from_fn(move || {
        while at < header.1 {
            let here = at;
            at = source.next(at);
            if source.is(here, "#") && source.is(here + 1, "[") {
                let end = source.pair(here + 1);
                at = end + 1;
                return Some((here + 2, end));
            }
            if source.is(here, "@") && source.is_word(here + 1) {
                let mut end = here + 2;
                while source.is(end, ".") && source.is_word(end + 1) {
                    end += 2;
                }
                if source.is(end, "(") {
                    end = source.pair(end) + 1;
                }
                at = end;
                return Some((here + 1, end));
            }
        }
        None
    })
}

pub fn rust(source: &Source<'_>) -> Vec<Block> {
    find(source, |source, brace| {
        let body = body(source, brace.at);
        let header = (brace.head, brace.at);
        let block = |role| Block::new(brace.head, body, role);
        let mut skipped = false;
        let mut test = false;
        let mut code = brace.head;
        for attribute in attributes(source, header) {
            code = attribute.1 + 1;
            let words =
                || (attribute.0..attribute.1).filter(|at| source.is_word(*at)).map(|at| source.at(at));
            let path = source.slice((attribute.0, attribute.1));
            let path = path.split('(').next().unwrap_or(path);
            test |= path.rsplit("::").next().is_some_and(|last| {
                matches!(last.trim(), "test" | "rstest" | "test_case" | "wasm_bindgen_test" | "case")
            });
            skipped |= words().any(|word| matches!(word, "ignore" | "should_panic" | "cfg_attr"));
            skipped |= source.is(attribute.0, "cfg") && !words().eq(["cfg", "test"]);
        }
        let span = (code, brace.at);
        if source.has_word(span, &["macro_rules"]) {
            return Some(block(Role::Function));
        }
        if let Some(name) =
            (code..brace.at.min(code + 12)).find(|at| source.is(*at, "fn") && source.is_word(*at + 1))
        {
            let role = if test { Role::Test } else { Role::Function };
            return Some(
                Block { skipped, ..block(role) }.named(source.at(name + 1).trim_start_matches("r#")),
            );
        }
        if let Some(name) = (code..brace.at.min(code + 6)).find(|at| source.is(*at, "mod")) {
            return Some(Block { skipped, ..block(Role::Suite) }.named(source.at(name + 1)));
        }
        if source.is(code, "impl")
            || source.is(code, "trait")
            || source.is(code, "unsafe") && source.is(code + 1, "impl")
        {
            return Some(block(Role::Suite));
        }
        let before = brace.at.checked_sub(1)?;
        if matches!(source.at(before), "=>" | "else") || source.has_word(span, &["if", "match", "else"]) {
            return Some(block(Role::Branch));
        }
        if source.has_word(span, &["for", "while", "loop"]) {
            return Some(block(Role::Loop));
        }
        if matches!(source.at(before), "|" | "||") || source.is(before, "move") && brace.around.is_some() {
            return Some(block(Role::Function));
        }
        if brace.head == brace.at || matches!(source.at(before), "unsafe" | "async" | "move" | "=") {
            return Some(block(Role::Plain));
        }
        // `Point { x: 1 }`
        None
    })
}

/// Annotations that keep a test from running, or make its failure a success.
const JVM_SKIPS: &[&str] = &[
    "Disabled",
    "Ignore",
    "expected",
    "EnabledOnOs",
    "DisabledOnOs",
    "EnabledIf",
    "DisabledIf",
    "Ignored",
    "EnabledIfEnvironmentVariable",
    "EnabledIfSystemProperty",
    "EnabledOnJre",
    "DisabledOnJre",
];

const JVM_TESTS: &[&str] =
    &["Test", "ParameterizedTest", "RepeatedTest", "Property", "Example", "TestFactory"];

fn jvm(source: &Source<'_>, brace: &Brace, function: impl Fn(Span) -> Option<usize>) -> Option<Block> {
    let body = body(source, brace.at);
    let header = (brace.head, brace.at);
    let block = |role| Block::new(brace.head, body, role);
    let mut test = false;
    let mut skipped = false;
    let mut code = brace.head;
    for attribute in attributes(source, header) {
        code = attribute.1;
        test |= JVM_TESTS.contains(&source.at(attribute.0));
        skipped |= source.has_word(attribute, JVM_SKIPS);
    }
    let span = (code, brace.at);
    if let Some(at) = (code..brace.at.min(code + 12)).find(|at| {
        matches!(source.at(*at), "class" | "interface" | "enum" | "record" | "object")
            && source.is_word(at + 1)
            && (*at == 0 || !source.is(at - 1, "."))
    }) && !source.has_word(span, &["new"])
    {
        let name = if source.is(at, "enum") && source.is(at + 1, "class") { at + 2 } else { at + 1 };
        return Some(Block { skipped, ..block(Role::Suite) }.named(source.at(name)));
    }
    let before = brace.at.checked_sub(1)?;
    if source.is(before, "->") {
        return Some(block(Role::Function));
    }
    if brace.head == brace.at {
        return before_is_statement(source, before).then(|| block(Role::Plain));
    }
    if let Some(role) = control(source.at(code)) {
        return Some(block(role));
    }
    if source.has_word(span, &["new", "return"]) {
        return Some(block(Role::Function));
    }
    if let Some(name) = function(span) {
        let text = source.at(name).trim_matches('`');
        let old = text.starts_with("test") && source.has_word(span, &["void"]);
        let role = if test || old { Role::Test } else { Role::Function };
        return Some(Block { skipped, ..block(role) }.named(text));
    }
    None
}

pub fn java(source: &Source<'_>) -> Vec<Block> {
    find(source, |source, brace| {
        jvm(source, brace, |span| {
            // The word before the parameters.
            (span.0..span.1)
                .find(|at| source.is(*at, "("))
                .and_then(|open| open.checked_sub(1))
                .filter(|name| *name > span.0 && source.is_word(*name) && !source.has_word(span, &["="]))
        })
    })
}

pub fn kotlin(source: &Source<'_>) -> Vec<Block> {
    find(source, |source, brace| {
        let body = body(source, brace.at);
        let header = (brace.head, brace.at);
        let fun = (brace.head..brace.at.min(brace.head + 40)).find(|at| source.is(*at, "fun"));
        if fun.is_none() && !source.has_word(header, &["class", "interface", "object"]) {
            let before = brace.at.checked_sub(1)?;
            // Kotest: `test("adds") {`, `"adds" {`.
            let call = source.is(before, ")").then(|| source.pair(before));
            let words = call.map(|open| callee(source, open)).unwrap_or_default();
            let title = |at: usize| fixed_title(source.content(at).unwrap_or_default()).to_owned();
            let word = words.last().copied().unwrap_or(source.at(before));
            let named = |role, at| Some(Block::new(brace.head, body, role).named(title(at)));
            match word {
                "test" | "it" | "should" | "then" | "expect" if call.is_some() => {
                    return named(Role::Test, call.unwrap_or(0) + 1);
                }
                "describe" | "context" | "given" | "when"
                    if call.is_some() && source.content(call.unwrap_or(0) + 1).is_some() =>
                {
                    return named(Role::Suite, call.unwrap_or(0) + 1);
                }
                "apply" | "with" | "also" | "let" | "run" | "use" | "runBlocking" | "runTest"
                | "assertSoftly" => {
                    return Some(Block::new(brace.head, body, Role::Plain));
                }
                "forEach" | "repeat" | "map" => return Some(Block::new(brace.head, body, Role::Loop)),
                _ => {}
            }
            if source.kind(before) == Some(Kind::Str) && brace.head == before {
                return named(Role::Test, before);
            }
            return match control(source.at(brace.head)) {
                Some(role) => Some(Block::new(brace.head, body, role)),
                None => Some(Block::new(brace.head, body, Role::Function)),
            };
        }
        jvm(source, brace, |span| {
            let fun = (span.0..span.1).find(|at| source.is(*at, "fun"))?;
            (fun + 1..span.1).find(|at| source.is(*at, "(")).and_then(|open| open.checked_sub(1))
        })
    })
}

pub fn php(source: &Source<'_>) -> Vec<Block> {
    find(source, |source, brace| {
        let body = body(source, brace.at);
        let header = (brace.head, brace.at);
        let block = |role| Block::new(brace.head, body, role);
        let mut test = false;
        let mut skipped = false;
        let mut code = brace.head;
        for attribute in attributes(source, header) {
            code = attribute.1 + 1;
            test |= source.has_word(attribute, &["Test"]);
            skipped |= source.has_word(
                attribute,
                &["RequiresPhp", "RequiresPhpExtension", "RequiresOperatingSystem", "RequiresFunction"],
            );
        }
        let span = (code, brace.at);
        let before = brace.at.checked_sub(1)?;
        if source.has_word(span, &["class", "trait", "interface"]) && !source.has_word(span, &["new"]) {
            let class = (span.0..span.1).find(|at| source.is(*at, "class")).unwrap_or(span.0);
            return Some(block(Role::Suite).named(source.at(class + 1)));
        }
        if let Some(function) = (span.0..span.1).find(|at| source.is(*at, "function")) {
            if !source.is_word(function + 1) {
                return Some(match brace.around.filter(|around| source.is(*around, "(")) {
                    Some(around) => callback(source, around, body),
                    None => block(Role::Function),
                });
            }
            let name = source.at(function + 1);
            let role = if test || name.starts_with("test") { Role::Test } else { Role::Function };
            return Some(Block { skipped, ..block(role) }.named(name));
        }
        if brace.head == brace.at {
            return before_is_statement(source, before).then(|| block(Role::Plain));
        }
        control(source.at(code)).map(block)
    })
}
