//! Passwords on command lines: behind an option, at a position among the arguments, piped in.

use crate::value;

/// Where a command takes its password.
#[derive(Clone, Copy)]
enum Take {
    /// Behind one of these options; one without a blank at its end has its value attached.
    Option(&'static [&'static str]),
    /// `user:password` (or another separator between) behind one of these options.
    Pair(char, &'static [&'static str]),
    /// The n-th argument that is no option.
    Argument(usize),
    /// `user/password@database`, the next argument.
    Login,
    /// What `echo` prints into it; with the user in front of a colon or without.
    Piped,
}

/// A command, and where its password is. The name is compared without case.
struct Command {
    name: &'static str,
    take: Take,
}

const fn c(name: &'static str, take: Take) -> Command {
    Command { name, take }
}

use Take::{Argument, Login, Option as Opt, Pair, Piped};

const COMMANDS: &[Command] = &[
    c("curl", Pair(':', &["-u ", "-u", "--user ", "--user=", "--proxy-user ", "-U "])),
    c("wget", Opt(&["--http-password=", "--ftp-password=", "--proxy-password="])),
    c("http ", Pair(':', &["-a ", "--auth ", "--auth="])),
    c("https ", Pair(':', &["-a ", "--auth "])),
    c("skopeo", Pair(':', &["--creds ", "--creds=", "--src-creds=", "--dest-creds=", "--src-creds "])),
    c("smbclient", Pair('%', &["-U ", "--user="])),
    c("winexe", Pair('%', &["-U "])),
    c("rpcclient", Pair('%', &["-U "])),
    c("lftp", Pair(',', &["-u "])),
    c("mysql", Opt(&["-p"])),
    c("mariadb", Opt(&["-p"])),
    c("sshpass", Opt(&["-p ", "-p"])),
    c("7z ", Opt(&["-p"])),
    c("7za ", Opt(&["-p"])),
    c("unrar", Opt(&["-p"])),
    c("zip ", Opt(&["-P "])),
    c("openssl", Opt(&["-passin pass:", "-passout pass:", "-pass pass:", "-k ", "-password pass:"])),
    c("login", Opt(&["-p ", "-p", "-P "])),
    c("twine", Opt(&["-p "])),
    c("psexec", Opt(&["-p ", "-P "])),
    c("plink", Opt(&["-pw "])),
    c("pscp", Opt(&["-pw "])),
    c("redis-cli", Opt(&["-a ", "--pass "])),
    c("ldapsearch", Opt(&["-w "])),
    c("ldapadd", Opt(&["-w "])),
    c("ldapmodify", Opt(&["-w "])),
    c("ldapwhoami", Opt(&["-w "])),
    c("mongo", Opt(&["-p ", "-p"])),
    c("cqlsh", Opt(&["-p "])),
    c("sqlcmd", Opt(&["-P ", "-P"])),
    c("bcp ", Opt(&["-P ", "-P"])),
    c("osql", Opt(&["-P ", "-P"])),
    c("snmpwalk", Opt(&["-A ", "-X "])),
    c("snmpget", Opt(&["-A ", "-X "])),
    c("useradd", Opt(&["-p "])),
    c("usermod", Opt(&["-p "])),
    c("freerdp", Opt(&["/p:"])),
    c("rdesktop", Opt(&["-p "])),
    c("cmdkey", Opt(&["/pass:"])),
    c("schtasks", Opt(&["/rp "])),
    c("wmic", Opt(&["/password:"])),
    c("sudo -", Opt(&["<<< "])),
    c("kinit", Opt(&["<<< "])),
    c("passwd", Opt(&["<<< "])),
    c("db2 ", Opt(&["using "])),
    c("slmgr", Opt(&["/ipk ", "-ipk "])),
    c("ospp", Opt(&["/inpkey:"])),
    c("ipmitool", Opt(&["-P "])),
    c("racadm", Opt(&["-p "])),
    c("isql", Opt(&["-P ", "-P"])),
    c("vncviewer", Opt(&["-passwd "])),
    c("wpa_passphrase ", Argument(1)),
    c("sp_addlogin ", Argument(1)),
    c("net user ", Argument(1)),
    c("net use ", Argument(1)),
    c("add_user ", Argument(1)),
    c("change_password ", Argument(1)),
    c("htpasswd ", Argument(2)),
    c("ConvertTo-SecureString ", Argument(0)),
    c("ConvertTo-SecureString -String ", Argument(0)),
    c("requirepass ", Argument(0)),
    c("masterauth ", Argument(0)),
    c("bindpw ", Argument(0)),
    c("rootpw ", Argument(0)),
    c("sqlplus ", Login),
    c("expdp ", Login),
    c("impdp ", Login),
    c("sqlldr ", Login),
    c("jdbc:oracle:thin:", Login),
    c("sudo -S", Piped),
    c("chpasswd", Piped),
    c("--password-stdin", Piped),
    c("passwd --stdin", Piped),
];

/// The rule's name.
pub const RULE: &str = "command-password";

/// The names of all commands; the number of one is its index.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// The passwords on a line in which the name of command `number` begins at `at`.
pub fn find(line: &str, number: usize, at: usize, found: impl FnMut(usize, usize)) {
    let behind = at + COMMANDS[number].name.len();
    if let Piped = COMMANDS[number].take {
        return piped(line, COMMANDS[number].name, at, found);
    }
    arguments(line, number, behind, found);
}

/// The passwords among the arguments of command `number`, which are behind `behind`.
pub fn arguments(line: &str, number: usize, behind: usize, mut found: impl FnMut(usize, usize)) {
    let command = &COMMANDS[number];
    // One command's arguments end with the next.
    let end = line[behind..].find([';', '|']).map_or(line.len(), |n| behind + n);
    match command.take {
        Opt(options) => options.iter().for_each(|option| {
            each(line, behind, end, option, |start, end| {
                if is_password(&line[start..end]) {
                    found(start, end);
                }
            });
        }),
        Pair(separator, options) => options.iter().for_each(|option| {
            each(line, behind, end, option, |start, end| {
                if let Some((start, end)) = pair(line, start, end, separator) {
                    found(start, end);
                }
            });
        }),
        Argument(n) => {
            // `add test user to htpasswd for the site`
            let prose = [" for ", " to ", " the "].iter().any(|word| line.contains(word));
            let argument = argument(line, behind, n).filter(|(start, end)| {
                let value = &line[*start..*end];
                is_password(value) && !(prose && value.bytes().all(|b| b.is_ascii_lowercase()))
            });
            if let Some((start, end)) = argument {
                found(start, end);
            }
        }
        Login => {
            let Some((start, end)) = word(line, behind) else { return };
            let Some(slash) = line[start..end].find('/').map(|n| start + n + 1) else { return };
            let stop = line[slash..end].rfind('@').map_or(end, |n| slash + n);
            if slash > start + 1 && is_password(&line[slash..stop]) {
                found(slash, stop);
            }
        }
        // Its password is in front of it.
        Piped => {}
    }
}

/// What `echo` prints into the command at `at`.
fn piped(line: &str, name: &str, at: usize, mut found: impl FnMut(usize, usize)) {
    let Some(echo) = line[..at].rfind("echo ") else { return };
    let Some((start, end)) = argument(line, echo + "echo ".len(), 0) else { return };
    let (start, end) = if name == "chpasswd" {
        let Some(colon) = line[start..end].find(':') else { return };
        (start + colon + 1, end)
    } else {
        (start, end)
    };
    if is_password(&line[start..end]) {
        found(start, end);
    }
}

/// The words behind every `option` in `from..to`.
fn each(line: &str, from: usize, to: usize, option: &str, mut found: impl FnMut(usize, usize)) {
    let mut at = from;
    while let Some(start) = line[at..to].find(option).map(|n| at + n) {
        at = start + option.len();
        // Attached to the next letter, or an option of its own; a word's end is neither.
        let attached = !option.ends_with([' ', ':', '=']);
        let blank = line[at..].starts_with([' ', '\t']);
        if (start == 0 || line[..start].ends_with([' ', '\t', '"', '\'', '\\']))
            && !(attached && blank)
            && let Some((start, end)) = word(line, at)
        {
            found(start, end);
        }
    }
}

/// The next word, without its quotes.
fn word(line: &str, from: usize) -> Option<(usize, usize)> {
    let start = line.len() - line[from..].trim_start_matches([' ', '\t', ',']).len();
    let start = start + usize::from(line[start..].starts_with("\\\"") || line[start..].starts_with("\\'"));
    let quote = line[start..].chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
    let start = start + usize::from(quote.is_some());
    let bytes = line.as_bytes();
    let ends = |at: usize| match quote {
        Some(quote) => bytes[at] == quote as u8,
        None => matches!(bytes[at], b' ' | b'\t' | b'"' | b'\'' | b'`' | b')'),
    };
    let escaped =
        |at: usize| bytes[at] == b'\\' && matches!(bytes.get(at + 1), Some(b'"' | b'\'' | b'n') | None);
    let end = (start..bytes.len()).find(|at| ends(*at) || escaped(*at));
    let end = if quote.is_some() { end? } else { end.unwrap_or(bytes.len()) };
    let end = start + line[start..end].trim_end_matches(',').len();
    (end > start).then_some((start, end))
}

/// The n-th argument that is no option.
fn argument(line: &str, from: usize, n: usize) -> Option<(usize, usize)> {
    let mut at = from;
    let mut left = n;
    for _ in 0..n + 6 {
        let (start, end) = word(line, at)?;
        let quoted = start > 0 && matches!(line.as_bytes()[start - 1], b'"' | b'\'');
        at = end + usize::from(quoted);
        let drive = end - start == 2 && line[start..end].ends_with(':');
        if (line[start..end].starts_with('-') || line[start..end].starts_with("/user:") || drive) && !quoted {
            continue;
        }
        if left == 0 {
            return Some((start, end));
        }
        left -= 1;
    }
    None
}

/// The password of `user:password`; of `key:` the key.
fn pair(line: &str, start: usize, end: usize, separator: char) -> Option<(usize, usize)> {
    let at = line[start..end].find(separator)?;
    if start + at + 1 == end {
        let key = &line[start..start + at];
        return value::is_random(key.as_bytes()).then_some((start, start + at));
    }
    let password = &line[start + at + 1..end];
    is_literal(password).then_some((start + at + 1, end))
}

fn is_literal(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with(['-', '$', '<', '{', '/', '%', '*', '&', '>'])
        && !value.contains("[REDACTED:")
}

fn is_password(value: &str) -> bool {
    is_literal(value)
        && value.len() >= 4
        && !value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'))
        && !value.contains(['/', '=', '(', '|'])
        && !value::is_placeholder(value)
        && (value
            .bytes()
            .any(|b| !b.is_ascii_lowercase() && b != b'-' && b != b'.' && b != b'_' && b != b':')
            || value.len() <= 12 && value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_'))
}

/// `host:port:database:user:password`, the whole line (`.pgpass`).
pub fn pgpass(line: &str) -> Option<(usize, usize)> {
    let fields: Vec<&str> = line.trim().splitn(5, ':').collect();
    let [host, port, _, user, password] = fields.as_slice() else { return None };
    let port_is = *port == "*" || port.bytes().all(|b| b.is_ascii_digit());
    let plain = |text: &str| !text.is_empty() && !text.contains([' ', '/', '"', '(']);
    let end = line.trim_end().len();
    // `daemon:*:17431:0:99999:7:::` is a line of shadow passwords, without one.
    let of_days = password.bytes().all(|b| b.is_ascii_digit() || b == b':');
    (port_is && !of_days && plain(host) && plain(user) && plain(password) && !password.contains("[REDACTED:"))
        .then(|| (end - password.len(), end))
}
