//! Names that go with secrets: what stands left of `=`.

use crate::value::Level;

/// A word in a name.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Compared without case.
    pub text: &'static str,
    /// What a name with it promises.
    pub level: Level,
    /// It counts only at the start of a word (`pass` in `db_pass`, not in `bypass`).
    pub at_start: bool,
}

const fn w(level: Level, text: &'static str) -> Word {
    Word { text, level, at_start: false }
}

const fn s(level: Level, text: &'static str) -> Word {
    Word { text, level, at_start: true }
}

use Level::{Password, Token, Vendor, Weak};

/// Words for secrets, in the languages in which configurations are written.
pub const SECRETS: &[Word] = &[
    w(Password, "password"),
    w(Password, "passwd"),
    w(Password, "passwort"),
    w(Password, "passphrase"),
    w(Password, "passcode"),
    w(Password, "passwrd"),
    w(Password, "pasword"),
    w(Password, "pword"),
    s(Password, "pass"),
    w(Password, "pwd"),
    w(Password, "_pw"),
    w(Password, "-pw"),
    w(Password, "pswd"),
    s(Password, "psw"),
    s(Password, "pass_word"),
    w(Password, "userpass"),
    w(Password, "dbpass"),
    w(Password, "rootpass"),
    w(Password, "storepass"),
    w(Password, "keypass"),
    w(Password, "senha"),
    w(Password, "contrasena"),
    w(Password, "contraseña"),
    w(Password, "clave"),
    w(Password, "motdepasse"),
    w(Password, "mot_de_passe"),
    w(Password, "kennwort"),
    w(Password, "wachtwoord"),
    w(Password, "parola"),
    w(Password, "haslo"),
    w(Password, "hasło"),
    w(Password, "lozinka"),
    w(Password, "salasana"),
    w(Password, "lösenord"),
    w(Password, "losenord"),
    w(Password, "пароль"),
    w(Password, "密码"),
    w(Password, "密碼"),
    w(Password, "口令"),
    w(Password, "パスワード"),
    w(Password, "비밀번호"),
    w(Password, "identified by"),
    w(Token, "secret"),
    w(Token, "token"),
    w(Token, "credential"),
    w(Token, "bearer"),
    w(Token, "api_pass"),
    w(Token, "_auth"),
    w(Token, "authcode"),
    w(Token, "auth_code"),
    w(Token, "connectionstring"),
    w(Token, "connection_string"),
    w(Token, "accesscode"),
    w(Token, "webhook"),
    w(Token, "client_id"),
    w(Token, "clientid"),
    w(Token, "client-id"),
    w(Token, "app_id"),
    w(Token, "jwt"),
    w(Token, "hmac"),
    w(Token, "ssws"),
    w(Token, "pat_"),
    w(Token, "totp"),
    w(Token, "license"),
    w(Weak, "key"),
    s(Weak, "auth"),
    s(Weak, "authorization"),
    s(Weak, "sid"),
    s(Weak, "salt"),
    s(Weak, "cred"),
    s(Weak, "creds"),
    s(Weak, "session"),
    s(Weak, "sessionid"),
    s(Weak, "session_id"),
    s(Weak, "phpsessid"),
    s(Weak, "jsessionid"),
    s(Weak, "cookie"),
    s(Weak, "signature"),
    s(Weak, "seed"),
    s(Weak, "nonce"),
    s(Weak, "dsn"),
    s(Weak, "otp"),
    s(Weak, "master"),
];

/// What stands before `key` and makes it a secret's name.
pub const KEY_OF: &[&str] = &[
    "api", "access", "auth", "private", "priv", "secret", "signing", "sign", "encryption", "encrypt", "encrypted",
    "decrypt", "decryption", "master", "license", "licence", "app", "application", "account", "storage", "service",
    "shared", "sharedaccess", "preshared", "psk", "subscription", "session", "deploy", "client", "server", "admin",
    "root", "webhook", "consumer", "integration", "ingest", "ingestion", "write", "insert", "query", "bot", "sdk",
    "hmac", "jwt", "crypto", "cipher", "aes", "rsa", "ssh", "gpg", "pgp", "wallet", "token", "oauth", "developer",
    "project", "team", "org", "personal", "merchant", "payment", "test", "live", "production", "sandbox", "partner",
    "security", "secure", "anon", "functions", "instrumentation", "ocpapim", "apikey", "rest", "user", "mail", "sms",
    "pass", "unseal", "recovery", "backup", "bearer", "login", "device", "fernet", "flask", "django", "symmetric",
];

/// What stands before `key` or `token` when it is none.
pub const NOT_BEFORE: &[&str] = &[
    "public", "pub", "cache", "cached", "primary", "foreign", "partition", "sort", "dedupe", "dedup", "idempotency",
    "object", "map", "dict", "i18n", "translation", "index", "row", "group", "hash", "lookup", "unique", "composite",
    "range", "routing", "shard", "registry", "image", "layer", "etag", "diff", "tree", "commit", "file", "path",
    "request", "next", "nexttoken", "page", "pagination", "continuation", "continue", "cursor", "sync", "lock",
    "cancellation", "cancel", "design", "color", "theme", "syntax", "max", "min", "num", "total", "input", "output",
    "prompt", "completion", "pad", "eos", "bos", "unk", "mask", "stop", "special", "config", "json", "query_cache",
    "build", "artifact", "bundle", "content", "checksum", "digest", "sha", "sha256", "react", "host", "known",
    "restore", "hot", "metadata", "storage_object", "s3", "blob", "module", "chunk", "asset", "version", "revision",
];

/// What follows the word in a name that holds something about the secret, not the secret.
pub const NOT_AFTER: &[&str] = &[
    "file", "path", "dir", "directory", "url", "uri", "name", "names", "type", "types", "field", "fields", "length",
    "len", "size", "count", "limit", "limits", "expiry", "expires", "expiration", "expire", "ttl", "timeout", "arn",
    "ref", "regex", "pattern", "policy", "label", "title", "hint", "header", "headers", "prefix", "suffix", "param",
    "params", "version", "status", "state", "index", "idx", "endpoint", "provider", "env", "var", "placeholder",
    "error", "errors", "message", "msg", "at", "date", "time", "algorithm", "alg", "method", "mode", "format",
    "usage", "used", "cost", "price", "required", "enabled", "valid", "set", "exists", "input", "form", "column",
    "table", "scope", "scopes", "audience", "issuer", "family", "bucket", "store", "manager", "service", "class",
    "kind", "list", "map", "budget", "location", "host", "port", "user", "username", "email", "rule", "rules",
    "source", "bits", "strength", "reset", "change", "policyid", "rotation", "fingerprint", "digest", "checksum",
    "sha", "sha256", "integrity", "hash256", "rev", "ids", "uuid",
];

/// Providers whose secrets have no shape of their own: a name with one of these and a long
/// random value.
pub const VENDORS: &[&str] = &[
    "abbysale", "abstractapi", "abuseipdb", "accuweather", "activecampaign", "adafruit", "adobe", "adyen", "affinity",
    "agora", "aha_", "airbrake", "airtable", "airvisual", "aiven", "akamai", "akeneo", "alchemy", "algolia", "alibaba",
    "aliyun", "alphavantage", "amadeus", "amplitude", "anthropic", "apacta", "apify", "apigee", "apollo", "appcenter",
    "appdynamics", "appfollow", "appsflyer", "appveyor", "artifactory", "artsy", "asana", "assemblyai", "atlassian",
    "auth0", "authress", "autodesk", "autopilot", "avalara", "axonaut", "aylien", "azure", "backblaze", "bamboohr",
    "bannerbear", "baremetrics", "beamer", "bigcommerce", "bigquery", "billomat", "binance", "bingmaps", "bitbar",
    "bitbucket", "bitcoin", "bitfinex", "bitly", "bitmex", "bitrise", "bittrex", "blazemeter", "blogger", "blynk",
    "bombbomb", "boostnote", "borgbase", "braintree", "branchio", "brandfetch", "brevo", "browserstack", "bugsnag",
    "buildkite", "bybit", "caflou", "calendarific", "calendly", "campaignmonitor", "cannyio", "capsulecrm",
    "checkmarx", "checkout", "chargebee", "circleci", "clarifai", "clearbit", "clerk", "clickatell", "clickhouse",
    "clicksend", "clickup", "clockify", "clojars", "cloudant", "cloudconvert", "cloudflare", "cloudinary",
    "cloudsmith", "cloverly", "clubhouse", "cockpit", "codacy", "codeclimate", "codecov", "codemagic", "cohere",
    "coinapi", "coinbase", "coinlayer", "coinmarketcap", "commercejs", "companyhub", "confluence", "confluent",
    "contentful", "contentstack", "convertkit", "copper", "couchbase", "coveralls", "crowdin", "cryptocompare",
    "currencylayer", "customerio", "dailyco", "databricks", "datadog", "datagov", "datocms", "debounce", "deepai",
    "deepgram", "deepseek", "delighted", "deputy", "detectify", "digicert", "digitalocean", "discogs", "discord",
    "disqus", "dockerhub", "docusign", "doppler", "dotdigital", "dribbble", "droneci", "dropbox", "duffel", "duo_",
    "dwolla", "dynalist", "dynatrace", "easypost", "ecostruxure", "edamam", "eightxeight", "elastic", "elevenlabs",
    "enigma", "etherscan", "etsy", "eventbrite", "everhour", "exchangerate", "facebook", "faceplusplus", "facet",
    "fastly", "fastspring", "feedly", "fibery", "figma", "fileio", "filestack", "finage", "finicity", "finnhub",
    "firebase", "fireflies", "fitbit", "fixerio", "flat_io", "flatio", "fleetbase", "flickr", "flightapi",
    "flightstats", "float_", "flutterwave", "fmfw", "foursquare", "frameio", "freshbooks", "freshdesk",
    "freshservice", "front_app", "fullstory", "gemini", "gengo", "geoapify", "geocode", "geocodify", "geocodio",
    "geoipify", "getresponse", "gitalk", "gitea", "github", "gitlab", "gitter", "giphy", "gnews", "gocardless",
    "godaddy", "goodreads", "google", "grafana", "graphhopper", "greenhouse", "guardianapi", "gumroad", "gyazo",
    "harvest", "heatmap", "hellosign", "helpscout", "here_api", "heroku", "hetzner", "hipchat", "hiveage", "honeycomb",
    "hootsuite", "host_io", "hubspot", "huggingface", "humanity", "hunterio", "hypertrack", "ibmcloud", "iconfinder",
    "imgur", "imagekit", "infobip", "infura", "instagram", "instamojo", "intercom", "invoiceocean", "ipapi",
    "ipdata", "ipgeolocation", "ipify", "ipinfo", "ipstack", "jenkins", "jfrog", "jira", "jotform", "jumpcloud",
    "juro", "kaggle", "kakao", "keenio", "keycloak", "kickbox", "klaviyo", "klipfolio", "kraken", "kubernetes",
    "kucoin", "lastfm", "launchdarkly", "lemonsqueezy", "lendflow", "liveagent", "livestorm", "lob_api", "line_",
    "linear", "linemessaging", "linkedin", "linode", "localytics", "locationiq", "loggly", "logzio", "lokalise",
    "looker", "loqate", "mailboxlayer", "mailchimp", "mailerlite", "mailgun", "mailjet", "mailmodo", "mailtrap",
    "mandrill", "mapbox", "mapquest", "marketo", "marketstack", "matomo", "mattermost", "mavenlink", "maxmind",
    "meaningcloud", "mediastack", "meistertask", "meraki", "mesibo", "messagebird", "metaapi", "metabase",
    "microsoft", "microsoftteams", "mindmeister", "miro", "mistral", "mite", "mixmax", "mixpanel", "mockaroo",
    "moderation", "monday", "moosend", "moralis", "mparticle", "mrticktock", "mux_", "myfreshworks", "myintervals",
    "nasdaq", "nethunt", "netlify", "neutrino", "newrelic", "new_relic", "newsapi", "newscatcher", "nexmo",
    "nimble", "nitro", "noticeable", "notion", "nozbeteams", "numverify", "nutritionix", "nylas", "nytimes", "oanda",
    "okta", "omnisend", "onedesk", "onelogin", "onesignal", "onfleet", "oopspam", "openai", "opencage", "opengraphr",
    "openuv", "openweather", "opsgenie", "optimizely", "outlook", "owlbot", "paddle", "pagerduty", "pandadoc",
    "paperform", "paralleldots", "particle", "pastebin", "paymo", "paymongo", "paypal", "paystack", "pdflayer",
    "peopledatalabs", "percy", "pinata", "pinecone", "pipedream", "pipedrive", "pivotaltracker", "pixabay", "plaid",
    "planetscale", "planviewleankit", "planyo", "plivo", "poloniex", "polygon", "positionstack", "postbacks",
    "postman", "postmark", "powrbot", "prefect", "privacy", "prodpad", "prospect", "protocolsio", "proxycrawl",
    "pubnub", "pulumi", "purestake", "pushbullet", "pusher", "pushover", "qualaroo", "quickmetrics", "quaderno",
    "qubole", "rapidapi", "rawg", "razorpay", "reachmail", "readme", "recaptcha", "recurly", "reddit", "redis",
    "refiner", "rentman", "repairshopr", "replicate", "restpack", "retellai", "revamp", "rev_ai", "ringcentral",
    "riot", "roaring", "rocketreach", "rollbar", "roninapp", "route4me", "rownd", "rubygems", "runscope", "salesblink",
    "salesforce", "salesloft", "satismeter", "sauce", "scaleway", "scraperapi", "scrapfly", "scrapingbee", "scrutinizer",
    "securitytrails", "segment", "selectpdf", "semaphore", "sendbird", "sendgrid", "sendinblue", "sentry", "serpapi",
    "serpstack", "sheety", "shipday", "shippo", "shodan", "shopify", "shortcut", "shotstack", "shutterstock",
    "sidekiq", "signalwire", "signaturit", "signupgenius", "simfin", "simplesat", "simplynoted", "sinch", "sirv",
    "sitebuilder", "skybiometry", "slack", "smartling", "smartsheet", "smartystreets", "smooch", "snipcart", "snowflake",
    "snyk", "sonar", "sonarcloud", "sonarqube", "sourcegraph", "sparkpost", "speechtext", "splunk", "spoonacular",
    "sportradar", "spotify", "square", "squareup", "squarespace", "stability", "statuscake", "statuspage", "statsig",
    "stockdata", "storecove", "stormboard", "stormglass", "storyblok", "storychief", "strava", "streak", "stripe",
    "stytch", "sugester", "sumologic", "supabase", "supernotes", "surge", "surveyanyplace", "surveybot",
    "surveysparrow", "survicate", "swell", "swiftype", "tableau", "tailscale", "tallyfy", "tatum", "taxjar",
    "teamcity", "teamgate", "teamwork", "technicalanalysis", "telegram", "teletype", "telnyx", "telesign", "tencent",
    "terraform", "textmagic", "thingsboard", "thinkific", "thousandeyes", "ticketmaster", "tiingo", "timecamp",
    "timezoneapi", "tly", "tmetric", "todoist", "toggl", "tomorrowio", "tomtom", "tradier", "travisci", "travis",
    "travelpayouts", "trello", "truenas", "twelvedata", "twilio", "twitch", "twitter", "tyntec", "typeform", "ubidots",
    "uclassify", "unifyid", "unplugg", "unsplash", "upcdatabase", "uploadcare", "uplead", "uptimerobot", "upwave",
    "urlscan", "userflow", "userstack", "vatlayer", "vault", "vercel", "verifier", "verimail", "veriphone",
    "viewneo", "vimeo", "virustotal", "visualcrossing", "voicegain", "vonage", "vouchery", "vpnapi", "vultr",
    "wakatime", "walkscore", "weatherbit", "weatherstack", "webex", "webflow", "webscraper", "wepay", "whoxy",
    "wistia", "woocommerce", "workday", "workstack", "worksnaps", "wrike", "xero", "yandex", "yelp", "youneedabudget",
    "youtube", "zapier", "zendesk", "zenkit", "zenrows", "zenserp", "zeplin", "zerobounce", "zerotier", "zipapi",
    "zipbooks", "zipcodeapi", "zoho", "zonkafeedback", "zoom", "zulip",
];

/// The level of the vendors' names.
pub const VENDOR: Level = Vendor;
