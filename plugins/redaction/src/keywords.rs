//! What the prefilter looks for, and what each keyword starts.

use crate::calls;
use crate::commands;
use crate::logins;
use crate::prefilter::Keyword;
use crate::rules::names::{NameWord, SECRET_NAMES};
use crate::rules::vendors::VENDORS;
use crate::rules::{self, Provider};
use crate::url;

/// What a keyword that was met starts.
#[derive(Clone, Copy)]
pub(crate) enum Trigger {
    /// A provider's format, by its number.
    Provider(usize),
    /// A word of a secret's name.
    Name(&'static NameWord),
    /// A provider's name.
    Vendor(&'static str),
    /// A command that takes a password, by its number.
    Command(usize),
    /// A call that takes a secret, by its number.
    Call(usize),
    /// `://`
    Address,
    /// The BEGIN of a private key.
    KeyBegin,
    /// `Private-Lines` of a PuTTY key.
    PuttyLines,
    /// The start of a Discord bot token.
    Discord,
    /// A port or `*` of a line of `.pgpass`.
    PgPass,
    /// `Bearer `
    Bearer,
    /// The words of a wallet.
    Phrase,
    /// A private member of a JSON Web Key.
    WebKeyMember,
    /// `kty` of a JSON Web Key.
    WebKey,
    /// The `data:` of a Kubernetes secret.
    Data,
    /// Its `stringData:`.
    StringData,
    /// A path segment behind which a secret follows.
    Segment,
    /// A user, or a word in front of one.
    Login { is_user: bool },
    /// A string that is made an array of characters: Java's passwords.
    CharArray,
    /// The address in a data source of Go: `user:password@tcp(host)`.
    GoSource,
}

/// The first three characters of a Discord bot token: a user's number in base64.
const DISCORD_STARTS: &[&str] = &[
    "MTA", "MTE", "MTI", "MTM", "MTQ", "MTU", "MTY", "MTc", "MTg", "MTk", "MjA", "MjE", "MjI", "MjM", "MjQ",
    "MjU", "MjY", "Mjc", "Mjg", "Mjk", "MzA", "MzE", "MzI", "MzM", "MzQ", "MzU", "MzY", "Mzc", "Mzg", "Mzk",
    "NDA", "NDE", "NDI", "NDM", "NDQ", "NDU", "NDY", "NDc", "NDg", "NDk", "NTA", "NTE", "NTI", "NTM", "NTQ",
    "NTU", "NTY", "NTc", "NTg", "NTk", "NjA", "NjE", "NjI", "NjM", "NjQ", "NjU", "NjY", "Njc", "Njg", "Njk",
    "NzA", "NzE", "NzI", "NzM", "NzQ", "NzU", "NzY", "Nzc", "Nzg", "Nzk", "ODA", "ODE", "ODI", "ODM", "ODQ",
    "ODU", "ODY", "ODc", "ODg", "ODk", "OTA", "OTE", "OTI", "OTM", "OTQ", "OTU", "OTY", "OTc", "OTg", "OTk",
];

/// Keywords of the code's own: the text, whether it is compared with case, what it starts.
const OTHERS: &[(&str, bool, Trigger)] = &[
    ("://", true, Trigger::Address),
    ("-BEGIN ", true, Trigger::KeyBegin),
    ("- BEGIN ", true, Trigger::KeyBegin),
    ("Private-Lines: ", true, Trigger::PuttyLines),
    (":5432:", true, Trigger::PgPass),
    (":5433:", true, Trigger::PgPass),
    (":*:", true, Trigger::PgPass),
    ("bearer ", false, Trigger::Bearer),
    ("data:", true, Trigger::Data),
    ("stringData:", true, Trigger::StringData),
    ("kty", true, Trigger::WebKey),
    ("\".toCharArray()", true, Trigger::CharArray),
    ("@tcp(", true, Trigger::GoSource),
    ("@unix(", true, Trigger::GoSource),
    ("mnemonic", false, Trigger::Phrase),
    ("phrase", false, Trigger::Phrase),
    ("\"d\":", true, Trigger::WebKeyMember),
    ("\"k\":", true, Trigger::WebKeyMember),
    ("\"p\":", true, Trigger::WebKeyMember),
    ("\"q\":", true, Trigger::WebKeyMember),
    ("\"dp\":", true, Trigger::WebKeyMember),
    ("\"dq\":", true, Trigger::WebKeyMember),
    ("\"qi\":", true, Trigger::WebKeyMember),
];

/// Every keyword with what it starts, and the providers by their numbers.
pub(crate) fn all() -> (Vec<Keyword>, Vec<Trigger>, Vec<&'static Provider>) {
    let providers: Vec<&'static Provider> = rules::providers().collect();
    let mut keywords = Vec::new();
    let mut triggers = Vec::new();
    let mut add = |text, exact, trigger| {
        keywords.push(Keyword { text, exact, id: triggers.len() as u16 });
        triggers.push(trigger);
    };
    for (number, rule) in providers.iter().enumerate() {
        add(rule.keyword, true, Trigger::Provider(number));
    }
    for word in SECRET_NAMES {
        add(word.text, false, Trigger::Name(word));
    }
    for vendor in VENDORS.split_ascii_whitespace() {
        add(vendor, false, Trigger::Vendor(vendor));
    }
    for (text, exact, trigger) in OTHERS {
        add(text, *exact, *trigger);
    }
    for (number, name) in commands::names().enumerate() {
        add(name, false, Trigger::Command(number));
    }
    for (number, name) in calls::names().enumerate() {
        add(name, true, Trigger::Call(number));
    }
    for text in url::SEGMENTS {
        add(text, true, Trigger::Segment);
    }
    for (text, is_user) in logins::KEYWORDS {
        add(text, false, Trigger::Login { is_user: *is_user });
    }
    for text in DISCORD_STARTS {
        add(text, true, Trigger::Discord);
    }
    (keywords, triggers, providers)
}
