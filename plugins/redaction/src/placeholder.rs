//! Values that stand for a secret instead of being one.

use crate::value::is_random;

/// Words that are written where a secret will be, and words that are no secret.
const STOP: &[&str] = &[
    "abc",
    "always",
    "abcdef",
    "admin",
    "any",
    "anything",
    "auto",
    "bearer",
    "basic",
    "bool",
    "boolean",
    "bytes",
    "changeit",
    "change",
    "changeme",
    "changethis",
    "char",
    "confirm",
    "current",
    "default",
    "demo",
    "disabled",
    "dummy",
    "empty",
    "enabled",
    "encrypted",
    "enter",
    "example",
    "expired",
    "fake",
    "false",
    "field",
    "file",
    "foo",
    "bar",
    "foobar",
    "forgot",
    "function",
    "hidden",
    "hide",
    "ignored",
    "incorrect",
    "input",
    "int",
    "integer",
    "invalid",
    "keyword",
    "local",
    "localhost",
    "login",
    "manual",
    "masked",
    "match",
    "mismatch",
    "missing",
    "mock",
    "my",
    "must",
    "myapp",
    "new",
    "nil",
    "nobody",
    "none",
    "not",
    "null",
    "number",
    "object",
    "off",
    "old",
    "omitted",
    "optional",
    "pass",
    "passwd",
    "password",
    "passwords",
    "passphrase",
    "placeholder",
    "plain",
    "plaintext",
    "private",
    "prompt",
    "public",
    "pwd",
    "redacted",
    "replace",
    "replaceme",
    "require",
    "required",
    "reset",
    "return",
    "root",
    "sample",
    "secret",
    "secrets",
    "self",
    "session",
    "setme",
    "show",
    "some",
    "something",
    "str",
    "string",
    "test",
    "tester",
    "testing",
    "text",
    "this",
    "todo",
    "token",
    "true",
    "undefined",
    "unknown",
    "unset",
    "update",
    "user",
    "username",
    "value",
    "varchar",
    "validation",
    "base64",
    "base64url",
    "hex",
    "utf8",
    "ascii",
    "visible",
    "void",
    "weak",
    "wrong",
    "your",
    "yourpassword",
    "mypassword",
    "mysecret",
    "yes",
    "no",
    "option",
    "vec",
    "cow",
    "url",
    "uri",
    "uuid",
    "float",
    "double",
    "credential",
    "credentials",
    "key",
    "apikey",
    "async",
    "await",
    "static",
    "const",
    "final",
    "super",
    "never",
    "cookie",
    "header",
    "oauth",
    "const",
    "let",
];

/// How names of encodings, digests, ciphers and curves begin.
const ALGORITHMS: &[&str] = &[
    "utf-", "iso-8859", "us-ascii", "sha1", "sha2", "sha3", "sha5", "sha-1", "sha-2", "sha-3", "sha-5",
    "md5", "pbkdf2", "hmac", "secp", "aes1", "aes2", "rsa-", "hs256", "rs256", "es256", "bcrypt", "argon2",
    "scrypt", "prime256", "ed25519", "x25519",
];

fn is_stop_word(word: &str) -> bool {
    STOP.iter().any(|stop| stop.eq_ignore_ascii_case(word))
}

/// Whether the value stands for a secret instead of being one: `changeme`, `<token>`,
/// `${TOKEN}`, `xxxx`, `os.environ[…]`.
pub fn is_placeholder(value: &str) -> bool {
    let bytes = value.as_bytes();
    let Some((first, last)) = bytes.first().zip(bytes.last()) else { return true };
    let letters_and_digits: Vec<u8> = bytes.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    if letters_and_digits.len() < 3 && value.is_ascii() {
        return true;
    }
    let inner = value.strip_prefix('{').unwrap_or(value);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let wrapped = !(*first == b'{' && inner.len() >= 20 && is_random(inner.as_bytes()))
        && matches!(
            (first, last),
            (b'<', b'>') | (b'{', b'}') | (b'[', b']') | (b'%', b'%') | (b'@', b'@') | (b'(', b')')
        );
    let reference = refers(value)
        || ["<%", "secrets.", "process.env", "os.environ", "getenv", "env.", "ENV[", "vault:", "[REDACTED"]
            .iter()
            .any(|sign| value.contains(sign));
    let pattern =
        ["[a-z", "[A-Z", "[0-9", "0-9]", "].", "\\d", "\\w"].iter().any(|sign| value.contains(sign));
    if wrapped
        || reference
        || pattern
        || value.contains("...")
        || value.contains("…")
        || value.contains("***")
    {
        return true;
    }
    if *first == b'$'
        && bytes.get(1).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && !bytes[1..].contains(&b'$')
    {
        return bytes[1..].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'.');
    }
    let lower = value.to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    if value.len() <= 24
        && value.bytes().all(plain)
        && ALGORITHMS.iter().any(|start| lower.starts_with(start))
    {
        return true;
    }
    let crosses = lower.bytes().filter(|b| *b == b'x').count();
    if crosses >= 4 && crosses * 3 >= lower.len() {
        return true;
    }
    if [
        "your_",
        "your-",
        "<your",
        "my-secret",
        "changeme",
        "change_me",
        "change-me",
        "placeholder",
        "example_",
        "_here",
        "-here",
        "insert_",
        "todo",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
    {
        return true;
    }
    // One character again and again.
    let distinct =
        letters_and_digits.iter().fold(0_u128, |seen, b| seen | 1 << (b.to_ascii_lowercase() & 127));
    if distinct.count_ones() <= 2 && letters_and_digits.len() > 4 {
        return true;
    }
    // No longer than somebody would write in place of a secret.
    if value.len() > 80 {
        return false;
    }
    let mut words =
        value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    words.peek().is_some() && words.all(is_stop_word)
}

/// `${NAME}`, `{{ name }}`, `$(command)`, `#{name}`, `%(name)s` in a value.
fn refers(value: &str) -> bool {
    [("${", "}"), ("{{", "}}"), ("$(", ")"), ("#{", "}"), ("%(", ")"), ("%{", "}")].iter().any(
        |(open, close)| {
            value.split(open).skip(1).any(|rest| {
                // Not closed: the value was cut off at a blank.
                let inner = rest.split(close).next().unwrap_or_default();
                !rest.is_empty()
                    && inner.chars().all(|c| c.is_alphanumeric() || " \t_.:|-/'\"(),$[]?!=+@&\\".contains(c))
            })
        },
    )
}
