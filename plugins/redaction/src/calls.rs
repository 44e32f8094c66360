//! Calls that take a secret at a known position among their arguments:
//! `getConnection(url, "app", "4Fk9…")`.

use crate::value::{self, Level, Position};

/// The name up to and with its bracket, the argument that is the secret, what it is.
const CALLS: &[(&str, usize, Level)] = &[
    ("getConnection(", 2, Level::Password),
    ("BasicAuth(", 1, Level::Password),
    ("basicAuth(", 1, Level::Password),
    ("basic_auth(", 1, Level::Password),
    ("BasicAuthentication(", 1, Level::Password),
    ("auth=(", 1, Level::Password),
    ("auth = (", 1, Level::Password),
    ("createCipheriv(", 1, Level::Token),
    ("createDecipheriv(", 1, Level::Token),
    (".auth(", 1, Level::Password),
    (".authBasic(", 1, Level::Password),
    ("oracledb.connect(", 1, Level::Password),
    ("cx_Oracle.connect(", 1, Level::Password),
    ("WiFi.begin(", 1, Level::Password),
    (".login(", 1, Level::Password),
    ("ftp_login(", 2, Level::Password),
    ("authenticate(", 1, Level::Password),
    ("NetworkCredential(", 1, Level::Password),
    ("Credentials(", 1, Level::Password),
    ("AuthenticationToken(", 1, Level::Password),
    ("PasswordAuthentication(", 1, Level::Password),
    ("Credentials.basic(", 1, Level::Password),
    ("mysql_connect(", 2, Level::Password),
    ("mysql_pconnect(", 2, Level::Password),
    ("mysqli_connect(", 2, Level::Password),
    ("mysqli(", 2, Level::Password),
    ("mysql.connect(", 2, Level::Password),
    ("MySQLdb.connect(", 2, Level::Password),
    ("DBI->connect(", 2, Level::Password),
    ("PDO(", 2, Level::Password),
    ("oci_connect(", 1, Level::Password),
    ("odbc_connect(", 2, Level::Password),
    ("imap_open(", 2, Level::Password),
    ("ldap_bind(", 2, Level::Password),
    ("simple_bind_s(", 1, Level::Password),
    ("ssh2_auth_password(", 2, Level::Password),
    ("DirectoryEntry(", 2, Level::Password),
    ("AWSCredentials(", 1, Level::Token),
    ("SessionCredentials(", 1, Level::Token),
    ("algoliasearch(", 1, Level::Token),
    ("Sequelize(", 2, Level::Password),
    ("analytics.load(", 0, Level::Token),
    ("Fernet(", 0, Level::Token),
    ("cookieParser(", 0, Level::Token),
    ("createHmac(", 1, Level::Token),
    ("SecretKeySpec(", 0, Level::Token),
];

/// The names of all calls; the number of one is its index.
pub fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(name, ..)| *name)
}

/// The secret in call `number`, whose name begins at `at`, and whether it is a password.
pub fn find(line: &str, number: usize, at: usize) -> Option<(usize, usize, Level)> {
    let (name, position, level) = CALLS[number];
    let (from, to) = argument(line, at + name.len(), position)?;
    let (start, end) = quoted(line, from, to)?;
    let value = &line[start..end];
    let secret = !value.contains("[REDACTED:") && value::is_secret(level, value, Position::Quoted, false);
    secret.then_some((start, end, level))
}

/// The range of the n-th argument from `at` on.
fn argument(line: &str, at: usize, n: usize) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let last = bytes.len().min(at + 500);
    let (mut start, mut seen, mut depth) = (at, 0, 0_u32);
    let mut quote = None;
    let mut here = at;
    while here < last {
        match (quote, bytes[here]) {
            (Some(_), b'\\') => here += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'"' | b'\'' | b'`')) => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') if depth > 0 => depth -= 1,
            (None, b',' | b')') if depth == 0 => {
                if seen == n {
                    return Some((start, here));
                }
                if bytes[here] == b')' {
                    return None;
                }
                seen += 1;
                start = here + 1;
            }
            _ => {}
        }
        here += 1;
    }
    None
}

/// The only string in an argument: `"x"`, `b"x"`, `Some("x")`, `"x".toCharArray()`.
fn quoted(line: &str, from: usize, to: usize) -> Option<(usize, usize)> {
    let argument = &line[from..to];
    let open = argument.find(['"', '\'', '`'])?;
    // `usage='initiate'` is by its name, not by its position.
    if argument[..open].trim_end().ends_with('=') {
        return None;
    }
    let quote = argument.as_bytes()[open] as char;
    let length = argument[open + 1..].find(quote)?;
    let rest = &argument[open + length + 2..];
    (length > 0 && !rest.contains(['"', '\'', '+'])).then_some((from + open + 1, from + open + 1 + length))
}
