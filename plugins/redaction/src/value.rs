//! Is a value a secret? Randomness, placeholders, references to where a secret is kept.

use crate::checks;
pub use crate::placeholder::is_placeholder;

/// What the name in front of a value promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `serial`, `activation code`: only a key in groups counts, or what is very long.
    License,
    /// A name that goes with secrets of one provider: only a long random value counts.
    Vendor,
    /// `key`, `auth`: only a long random value counts.
    Weak,
    /// `token`, `secret`, `api_key`: a random value counts.
    Token,
    /// `password`: any word that is not a placeholder counts.
    Password,
}

impl Level {
    /// As it is written in a carry.
    pub(crate) fn number(self) -> u32 {
        match self {
            Level::Vendor => 0,
            Level::Weak => 1,
            Level::Token => 2,
            Level::Password => 3,
            Level::License => 4,
        }
    }

    /// The level of a number from a carry.
    pub(crate) fn of_number(number: u32) -> Level {
        match number {
            0 => Level::Vendor,
            1 => Level::Weak,
            2 => Level::Token,
            4 => Level::License,
            _ => Level::Password,
        }
    }
}

/// Every sequence of two letters that is common in English and in programs.
const PAIRS: &str = "th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa si \
    ar ve ra ld ur ro ri io ne ll ce me co om li ma ec ic us ho di ca ct el ta la ch no ge ns il em ss ee pe po tr ac \
    be un so wa id su ut pr ot mo ie fo wi oo ai ol ul rs ni lo ad ay op ei sh ev am em ke ig wh ow ev ck ex ye ap \
    ab ag au ba bl bo br bu by cl cr cu da do dr du ef ei fa fe ff fi fl fr fu ga gh gi go gr gu if im ir iv ki kn \
    ks ly mb mi mm mp mu my na nc ob od og oi ok os ov ow oc pa ph pi pl pp pu qu rd rg rk rm rn rt ru rv ry sc sk \
    sl sm sp sy tc tt tu tw ty ub ue ug ui um up va vi ws xt yo ys ze zi eq cc ey nn rr ib iz lt lp lf nf nv ip eb oa oe nk xp rl ua uc ud";

/// Whether a run of letters reads like words: most neighbours are common pairs.
pub fn reads_like_words(letters: &[u8]) -> bool {
    if letters.len() < 3 {
        return false;
    }
    let pairs = letters.len() - 1;
    let common = letters
        .windows(2)
        .filter(|pair| {
            let pair = [pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()];
            is_common(pair)
        })
        .count();
    common * 100 >= pairs * 72
}

/// Neighbouring letters, and how many of these pairs are common.
fn pairs(value: &[u8]) -> (usize, usize) {
    let letters = value.windows(2).filter(|pair| pair.iter().all(u8::is_ascii_alphabetic));
    letters.fold((0, 0), |(all, common), pair| {
        let lower = [pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()];
        (all + 1, common + usize::from(is_common(lower)))
    })
}

fn is_common(pair: [u8; 2]) -> bool {
    const TABLE: [u32; 26] = {
        let bytes = PAIRS.as_bytes();
        let mut table = [0_u32; 26];
        let mut at = 0;
        while at + 1 < bytes.len() {
            if bytes[at].is_ascii_lowercase() && bytes[at + 1].is_ascii_lowercase() {
                table[(bytes[at] - b'a') as usize] |= 1 << (bytes[at + 1] - b'a');
                at += 2;
            } else {
                at += 1;
            }
        }
        table
    };
    pair[0].is_ascii_lowercase()
        && pair[1].is_ascii_lowercase()
        && TABLE[usize::from(pair[0] - b'a')] >> (pair[1] - b'a') & 1 == 1
}

/// Counts that describe a value.
struct Shape {
    digits: usize,
    lower: usize,
    upper: usize,
    other: usize,
    distinct: u32,
    /// Changes between letter and digit, and between cases inside a word.
    turns: usize,
    /// Bytes in runs of letters that read like words.
    wordy: usize,
}

fn shape(value: &[u8]) -> Shape {
    let mut shape = Shape { digits: 0, lower: 0, upper: 0, other: 0, distinct: 0, turns: 0, wordy: 0 };
    let mut seen = [0_u64; 4];
    let mut before = 0;
    for byte in value {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
        let class = match byte {
            b'0'..=b'9' => {
                shape.digits += 1;
                1
            }
            b'a'..=b'z' => {
                shape.lower += 1;
                2
            }
            b'A'..=b'Z' => {
                shape.upper += 1;
                3
            }
            _ => {
                shape.other += 1;
                0
            }
        };
        // `NameWord` is no turn, `wOrd` and `w1` are.
        shape.turns += usize::from(matches!((before, class), (1, 2 | 3) | (2, 1 | 3) | (3, 1)));
        before = class;
    }
    shape.distinct = seen.iter().map(|word| word.count_ones()).sum();
    for run in value.split(|byte| !byte.is_ascii_alphabetic()) {
        let mut from = 0;
        for at in 1..=run.len() {
            let word_ends =
                at == run.len() || (run[at - 1].is_ascii_lowercase() && run[at].is_ascii_uppercase());
            if word_ends {
                if at - from >= 4 && reads_like_words(&run[from..at]) {
                    shape.wordy += at - from;
                }
                from = at;
            }
        }
    }
    shape
}

/// Whether `value` looks drawn by a machine rather than written by a person.
pub fn is_random(value: &[u8]) -> bool {
    let n = value.len();
    if n < 8 {
        return false;
    }
    let shape = shape(value);
    let letters = shape.lower + shape.upper;
    if shape.other * 3 > n || (shape.distinct as usize) < (n / 4).clamp(5, 10) {
        return false;
    }
    let (pairs, common) = pairs(value);
    if shape.wordy * 2 > n || (shape.wordy * 3 > n && shape.digits < 4 && common * 10 > pairs * 6) {
        return false;
    }
    if shape.digits == 0 {
        if n >= 20 && shape.other == 0 && shape.lower > 2 && shape.upper > 2 && common * 100 <= pairs * 62 {
            return true;
        }
        // Letters alone: long, and not words, with cases mixed or no vowels to speak of.
        return n >= 12
            && shape.wordy * 4 < n
            && (shape.turns * 5 >= n || (shape.wordy == 0 && shape.other == 0 && !reads_like_words(value)));
    }
    if letters == 0 {
        return false;
    }
    shape.turns >= 2
        && (shape.digits * 12 >= n || shape.turns * 6 >= n || shape.wordy * 4 < n)
        && (shape.digits >= 2 || n >= 12)
}

/// `8-4-4-4-12` hex digits.
pub fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn has_uuid(value: &[u8]) -> bool {
    value.windows(36).any(is_uuid)
}

/// Hex of the length of a usual digest.
pub fn is_digest(value: &[u8]) -> bool {
    matches!(value.len(), 7..=12 | 32 | 40 | 56 | 64 | 96 | 128) && value.iter().all(u8::is_ascii_hexdigit)
}

/// Whether an unquoted value is program text: a call, a path, a member, a type.
pub fn is_code(value: &str) -> bool {
    if ["(", ")", "::", "->", "[", "]", "=>", "&&", "||", "<", ">"].iter().any(|sign| value.contains(sign)) {
        return true;
    }
    if value.starts_with('&') || value.starts_with('*') || value.ends_with('{') {
        return true;
    }
    // `self.token`, `config.auth.token`, `a.b`: words between dots without a digit mixed in.
    if value.contains('.') {
        let plain = value.trim_matches('.').split('.').all(|part| {
            let mut bytes = part.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && (!is_random(part.as_bytes())
                    || is_constant(part)
                    || (part.len() <= 10 && value.len() > part.len()))
        });
        return plain;
    }
    false
}

/// `PKIX_RSA_PKCS1V15_2048_SHA256`
fn is_constant(part: &str) -> bool {
    part.contains('_') && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// A constant of words and small numbers: `CKV_SECRET_13`, `ROLE_1`.
fn is_constant_of_words(value: &str) -> bool {
    is_constant(value)
        && value.split('_').all(|part| {
            let digits = part.bytes().filter(u8::is_ascii_digit).count();
            part.len() <= 3
                || (digits == 0 && (part.len() <= 4 || reads_like_words(part.as_bytes())))
                || (digits == part.len() && digits <= 4)
        })
}

/// `newPassword`, `user_password`, `PASSWORD_FIELD`, `passwordHash`.
fn is_identifier_of_words(value: &str) -> bool {
    let bytes = value.as_bytes();
    if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    let names_a_secret = ["passw", "pwd", "secret", "token", "passphrase", "credential"]
        .iter()
        .any(|root| lower.contains(root));
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    digits == 0
        && ((names_a_secret && (bytes.len() < 12 || bytes.iter().any(|b| !b.is_ascii_lowercase())))
            || bytes.contains(&b'_')
            || bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
                && shape(bytes).wordy * 2 > bytes.len())
}

/// How a value is written in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In quotes behind `=`, `:` and the like.
    Quoted,
    /// In quotes, as an argument of a call or further behind the name.
    Argument,
    /// Without quotes in program text or prose.
    Bare,
    /// In a connection string, beside the server and the user: whatever it is.
    Connection,
    /// Without quotes where only a value can be: `.env`, a connection string, an
    /// option of a command, a line of YAML.
    Config,
}

/// Whether `value`, behind a name of this level, must be masked. `strict` is for names
/// such as `token_url`, which usually do not hold the secret itself.
pub fn is_secret(level: Level, value: &str, position: Position, strict: bool) -> bool {
    let bytes = value.as_bytes();
    let n = bytes.len();
    if position == Position::Connection && level == Level::Password {
        return n >= 3
            && !matches!(bytes[0], b'$' | b'%' | b'"' | b'\'' | b'&' | b'+' | b'*' | b'(')
            && !value.contains(['{', '<'])
            && !value.contains("***");
    }
    if n > 4096
        || is_placeholder(value)
        || is_path(value)
        || is_date(bytes)
        || (value.contains(':') && bytes.iter().all(|b| b.is_ascii_digit() || *b == b':'))
        || (value.contains('/') && is_file_name(value))
        || value.starts_with("--")
        || is_number(value)
    {
        return false;
    }
    if level != Level::Password && (is_version(value) || is_file_name(value)) {
        return false;
    }
    if position == Position::Bare && (is_code(value) || is_version(value)) {
        return false;
    }
    // Letters alone in program text are a name.
    if position == Position::Bare && level != Level::Password && !bytes.iter().any(u8::is_ascii_digit) {
        return false;
    }
    if strict {
        return n >= 20 && !is_uuid(bytes) && !is_digest(bytes) && is_random(bytes) && !value.contains(' ');
    }
    match level {
        Level::License => {
            is_grouped_key(value)
                || (n >= 24
                    && is_random(bytes)
                    && !value.contains([' ', ':'])
                    && !has_uuid(bytes)
                    && !bytes.iter().all(u8::is_ascii_hexdigit))
        }
        Level::Weak | Level::Token if is_grouped_key(value) => true,
        // A captcha's key has a format of its own, which says which of the two it is.
        Level::Vendor if n == 40 && value.starts_with("6L") => false,
        Level::Vendor => {
            n >= 12
                && (n >= 20 || bytes.iter().any(u8::is_ascii_digit))
                && !value.contains(' ')
                && is_random(bytes)
        }
        Level::Weak if n >= 12 && position != Position::Bare && checks::is_basic_auth(bytes) => true,
        Level::Weak => {
            !ends_with_digest(value)
                && n >= 14
                && !value.contains(' ')
                && !has_uuid(bytes)
                && !is_digest(bytes)
                && is_random(bytes)
        }
        Level::Token => is_token(value, position),
        Level::Password => is_password(value, position),
    }
}

/// `8KQ2M-X7T4P-…`: groups of capitals and digits, as keys of software are printed.
pub fn is_grouped_key(value: &str) -> bool {
    let groups: Vec<&[u8]> = value.split('-').map(str::as_bytes).collect();
    let Some(length) = groups.first().map(|group| group.len()) else { return false };
    let mixed =
        |group: &&&[u8]| group.iter().any(u8::is_ascii_digit) && group.iter().any(u8::is_ascii_uppercase);
    (3..=10).contains(&groups.len())
        && (4..=8).contains(&length)
        && groups.iter().all(|group| {
            group.len() == length && group.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        })
        && groups.iter().filter(mixed).count() * 2 >= groups.len()
}

/// Behind `token`, `secret`, `api_key`: what looks drawn, in any of its forms.
fn is_token(value: &str, position: Position) -> bool {
    let bytes = value.as_bytes();
    let n = bytes.len();
    if value.contains(' ') {
        return n >= 40 && is_of_symbols(bytes);
    }
    if n < 8 || is_constant_of_words(value) {
        return false;
    }
    let with_symbols = position == Position::Quoted
        && value.contains(['!', '@', '#', '$', '%', '^', '&', '*'])
        && value.is_ascii()
        && !value.contains(['(', ')', '/', '\\', '<', '.']);
    let short =
        matches!(n, 8..=15) && matches!(position, Position::Quoted | Position::Config) && mixed_cases(bytes);
    let unlike_words = position != Position::Bare && mixed(bytes) && shape(bytes).wordy * 2 < n;
    let hex = n >= 16 && position != Position::Bare && bytes.iter().all(u8::is_ascii_hexdigit);
    (is_uuid(bytes) && bytes.iter().any(|b| !matches!(b, b'0' | b'-')))
        || is_random(bytes)
        || (n == 40 && is_amazon(bytes))
        || unlike_words
        || short
        || hex
        || with_symbols
        || is_of_odd_brackets(bytes)
}

/// Brackets that do not fit among other symbols: neither program text nor a template.
fn is_of_odd_brackets(value: &[u8]) -> bool {
    let mut open = Vec::new();
    let mut fit = true;
    for byte in value {
        match byte {
            b'(' | b'[' | b'{' => open.push(*byte),
            b')' | b']' | b'}' => {
                fit &= open.pop().is_some_and(|b| b == byte - if *byte == b')' { 1 } else { 2 })
            }
            _ => {}
        }
    }
    let symbols = value.iter().filter(|b| b.is_ascii_punctuation()).count();
    let code = value.starts_with(b")") || value.windows(2).any(|pair| pair == b").");
    value.len() >= 16 && !fit && !code && symbols >= 6 && value.iter().all(u8::is_ascii_graphic)
}

/// `linux-x64-npm-4Fk9…`: a key of a cache.
fn ends_with_digest(value: &str) -> bool {
    value.rsplit_once('-').is_some_and(|(_, last)| {
        matches!(last.len(), 32 | 40 | 64) && last.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// `1.14.10-1~deb12u1`, `2.0.0-rc.4`, `1:4.13+dfsg1`.
fn is_version(value: &str) -> bool {
    let value = value.strip_prefix('v').unwrap_or(value);
    let value =
        value.split_once(':').map_or(value, |(epoch, rest)| if epoch.len() == 1 { rest } else { value });
    let mut parts = value.splitn(3, '.');
    let number = |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
    let first = parts.next().is_some_and(number);
    let second =
        parts.next().is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()) && part.len() <= 20);
    first && second && value.len() <= 40
}

/// `auth-D1CeV_Jr.cjs`: its extension says what it is.
fn is_file_name(value: &str) -> bool {
    const KNOWN: &[&str] = &[
        "js", "cjs", "mjs", "ts", "tsx", "jsx", "json", "css", "html", "md", "rs", "py", "go", "rb", "java",
        "php", "svg", "png", "jpg", "map", "txt", "xml", "yml", "yaml", "toml", "lock", "sh", "pem", "crt",
        "woff2",
    ];
    value.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && KNOWN.contains(&extension))
}

/// Printable characters of all kinds, as WordPress draws its keys.
fn is_of_symbols(value: &[u8]) -> bool {
    let shape = shape(value);
    shape.other * 5 >= value.len()
        && shape.digits >= 3
        && shape.wordy == 0
        && shape.distinct >= 24
        && value.is_ascii()
}

/// `0xa4c0ed36`: no more than fits in a register.
fn is_number(value: &str) -> bool {
    value.strip_prefix("0x").is_some_and(|hex| hex.len() <= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Begins as `2026-11-22`.
fn is_date(value: &[u8]) -> bool {
    value.len() >= 10
        && value[..10]
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
}

/// The shape of Amazon's secret keys.
pub fn is_amazon(value: &[u8]) -> bool {
    let shape = shape(value);
    shape.lower >= 5
        && shape.upper >= 5
        && shape.digits >= 1
        && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// Both cases and a digit, in what reads like no word.
fn mixed_cases(value: &[u8]) -> bool {
    let shape = shape(value);
    let (pairs, common) = pairs(value);
    shape.digits >= 1
        && shape.lower >= 1
        && shape.upper >= 1
        && shape.other == 0
        && shape.wordy * 2 < value.len()
        && common * 10 <= pairs * 7
}

/// Lower case, and digits or symbols, in one word.
fn mixed(value: &[u8]) -> bool {
    let shape = shape(value);
    shape.digits >= 2 && shape.lower + shape.upper >= 2 && shape.distinct >= 6
}

/// Whether somebody may have chosen this as a secret: letters with digits, without the shape
/// of a name, a path or a version.
pub fn is_chosen(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    (8..=64).contains(&bytes.len())
        && digits >= 2
        && letters >= 4
        && bytes.iter().all(|b| b.is_ascii_graphic() && !b"/\\:<>(){}[],\"'".contains(b))
        && !is_placeholder(value)
        && !is_version(value)
        && !is_file_name(value)
        && !is_constant_of_words(value)
        && !is_date(bytes)
}

/// Whether a word in a sentence can only be a password.
pub fn is_made_up(value: &[u8]) -> bool {
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    is_strong(value)
        || (value.len() >= 8
            && digits > 0
            && digits < value.len()
            && value.iter().all(u8::is_ascii_alphanumeric))
}

/// `falcon6426`: a word and a number of four digits or more, without more to it.
pub fn is_word_and_year(value: &[u8]) -> bool {
    let digits = value.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    (4..=8).contains(&digits)
        && value.len() - digits >= 4
        && value[..value.len() - digits].iter().all(u8::is_ascii_alphabetic)
}

/// Whether a word was made to be a password: letters, digits, and symbols or both cases.
pub fn is_strong(value: &[u8]) -> bool {
    let shape = shape(value);
    let symbols = value.iter().filter(|b| b"!@#$%^&*~?+=".contains(b)).count();
    (6..=64).contains(&value.len())
        && shape.digits > 0
        && shape.lower + shape.upper >= 2
        && (symbols > 0 || (shape.lower > 0 && shape.upper > 0))
        && value.iter().all(|b| b.is_ascii_graphic() && !b"_./\\:<>(){}".contains(b))
}

/// `Winter_river27`: words with capitals and underscores that end with digits; a name in
/// program text hardly has all three.
pub fn is_word_with_number(value: &[u8]) -> bool {
    let digits = value.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let words = &value[..value.len() - digits];
    (2..=6).contains(&digits)
        && words.first().is_some_and(u8::is_ascii_uppercase)
        && words.contains(&b'_')
        && words.iter().any(u8::is_ascii_lowercase)
        && words.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_')
}

/// Behind `password`: any word that is not a placeholder, the less the position says, the
/// less like a word.
fn is_password(value: &str, position: Position) -> bool {
    let bytes = value.as_bytes();
    let n = value.chars().count();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let symbols = bytes.iter().filter(|b| b"!@#$%^&*~?+=".contains(b)).count();
    let spaces = bytes.iter().filter(|b| **b == b' ').count();
    if !(4..=256).contains(&n) || is_identifier_of_words(value) {
        return false;
    }
    if spaces > 0 {
        // A sentence is a message about passwords.
        return spaces <= 2 && digits > 0 && symbols > 0 && position == Position::Quoted;
    }
    match position {
        Position::Quoted | Position::Config | Position::Connection => {
            digits > 0
                || symbols > 0
                || (n >= 6 && value.chars().all(char::is_alphanumeric))
                || (n >= 8 && position == Position::Quoted)
        }
        Position::Argument => {
            (is_random(bytes) || digits > 0)
                && !is_constant_of_words(value)
                && (symbols > 0 || bytes.iter().any(u8::is_ascii_alphabetic))
        }
        Position::Bare => {
            n >= 6
                && (is_random(bytes)
                    || (digits > 0 && symbols > 0)
                    || (digits >= 1 && n >= 8 && digits < n && !value.contains(['.', '_']))
                    || is_word_with_number(bytes))
        }
    }
}

/// Directories that an absolute path begins with; base64 hardly ever does.
const ROOTS: &[&str] = &[
    "app",
    "bin",
    "boot",
    "build",
    "builds",
    "cache",
    "code",
    "config",
    "data",
    "dev",
    "etc",
    "github",
    "go",
    "home",
    "lib",
    "media",
    "mnt",
    "nix",
    "opt",
    "private",
    "proc",
    "project",
    "projects",
    "repo",
    "root",
    "run",
    "sbin",
    "source",
    "src",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
    "vault",
    "volume1",
    "work",
    "workdir",
    "workspace",
    "workspaces",
    "Applications",
    "Library",
    "System",
    "Users",
    "Volumes",
];

/// A path from a known root, from here, from home, of a drive.
fn is_rooted(value: &str) -> bool {
    let drive = matches!(value.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    let absolute = value.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    drive
        || absolute.is_some_and(|(root, _)| ROOTS.contains(&root))
        || (["./", "../", "~/", "$HOME/", "%USERPROFILE%"].iter().any(|start| value.starts_with(start))
            && !value.contains('+'))
}

/// A path, an address or a media type; a random part makes it none.
fn is_path(value: &str) -> bool {
    if value.contains("://")
        || value.contains("@sha256:")
        || value.starts_with("data:")
        || value.starts_with("arn:")
    {
        return true;
    }
    if is_rooted(value) {
        return true;
    }
    let slashes = value.matches('/').count();
    let starts = value.starts_with('/')
        || value.starts_with("./")
        || value.starts_with("../")
        || value.starts_with("~/");
    (starts && slashes >= 1 && !value.split('/').any(|part| part.len() >= 16 && is_random(part.as_bytes())))
        || (slashes >= 1
            && value.split('/').filter(|part| reads_like_words(part.as_bytes())).count() * 2 > slashes + 1)
        || value.strip_prefix("sha").is_some_and(|rest| {
            rest.starts_with("1-")
                || rest.starts_with("256-")
                || rest.starts_with("512-")
                || rest.starts_with("256:")
                || rest.starts_with("384-")
        })
        || value.starts_with("h1:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_or_not() {
        for (value, expected) in [
            ("q7Zk2LmX9vB4", true),
            ("9e51341f8d87894c927d0150be0a9676", true),
            ("wbTsSUtAaQeeKeNCxuYvJaPhaRd", true),
            ("iftkeq2y4qj0nbt", true),
            ("abJvXcQmZpWkRtYs", true),
            ("test-secret", false),
            ("getAccessTokenProvider", false),
            ("aws_access_key_id", false),
            ("application/json; charset=utf8", false),
            ("my-service-token-v2", false),
            ("sha256", false),
            ("1234567890", false),
            ("short1", false),
        ] {
            assert_eq!(is_random(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn placeholders() {
        for value in [
            "",
            "changeme",
            "${TOKEN}",
            "<your token>",
            "{{ secret }}",
            "xxxxxxxxxxxx",
            "********",
            "$TOKEN",
            "your_api_key",
            "os.environ['X']",
            "example",
            "aaaaaaaaaaaaa",
            "test-secret",
            "%PASSWORD%",
            "...",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["hunter2", "Tr0ub4dor", "s3cret!", "pa$$w0rd"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
