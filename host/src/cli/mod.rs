//! The command line: one file per subcommand, each with `Args` and `run`.

pub mod actions;
pub mod adapter;
pub mod agent_builtin;
pub mod completions;
pub mod config;
pub mod contained;
pub mod demo;
pub mod doctor;
pub mod jobs;
pub mod mcp;
pub mod notify;
pub mod plugin;
pub mod policy;
pub mod receipt;
pub mod redact;
pub mod serve;
pub mod settings;
pub mod setup;
pub mod stats;
pub mod token;
pub mod watch;
pub mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use model::error::Error;

/// Hand coding jobs to a cheap agent and get verified evidence back.
#[derive(Debug, Parser)]
#[command(name = "codex-worker", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // In the order in which a newcomer meets them.
    /// See a whole job on this machine: offline, no key, nothing else installed.
    Demo(demo::Args),
    /// Set it up: settings, gateway, Codex's configuration. Asks in a terminal.
    Setup(setup::Args),
    /// Check this machine: git, the agent, the gateway, the directories, containment.
    Doctor(doctor::Args),
    /// Serve MCP: what Codex starts.
    Mcp(mcp::Args),
    /// Look at jobs, end them, clean up after them.
    Jobs(jobs::Args),
    /// Watch jobs in the terminal.
    Watch(watch::Args),
    /// Serve pages over the jobs on this machine, and MCP over HTTP.
    Serve(serve::Args),
    /// Make, list and revoke the tokens of MCP over HTTP.
    Token(token::Args),
    /// What jobs cost, from the usage rows.
    Stats(stats::Args),
    /// Say why a job was judged as it was; try another policy on recorded jobs.
    Policy(policy::Args),
    /// Look at a job's receipt, or verify it.
    Receipt(receipt::Args),
    /// Write, build, check, try, install and pin policies.
    Plugin(plugin::Args),
    /// Look at the settings.
    Config(config::Args),
    /// Run queued jobs; `start` does this by itself.
    Work(work::Args),
    /// Run the Anthropic-to-OpenAI adapter alone, for any Claude Code.
    Adapter(adapter::Args),
    /// Mask secrets in standard input, line by line.
    Redact(redact::Args),
    /// Tell that a job has ended, as [notify] says; without a job, try the settings.
    Notify(notify::Args),
    /// Print a shell's completions.
    Completions(completions::Args),
    /// Print the man page, or write one for each subcommand.
    Man(completions::ManArgs),
    /// The contained child process of the built-in agent.
    #[command(hide = true)]
    AgentBuiltin(agent_builtin::Args),
    /// The parent of a contained command.
    #[command(hide = true)]
    Contained(contained::Args),
    /// Plays a written script as an OpenAI-compatible gateway, for the demo and the tests.
    #[command(hide = true)]
    ScriptedGateway(test_support::gateway::Args),
}

/// Parses the arguments, runs the subcommand and maps its error to an exit code.
pub fn main() -> ExitCode {
    // What somebody above us left open (a lock, a pipe that its reader waits on) goes on to
    // none of our children: workers outlive whoever started us.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let cli = Cli::parse();
    if let Ok(program) = std::env::current_exe() {
        contain::set_helper(program);
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run(command: Command) -> model::error::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::AgentBuiltin(args) => agent_builtin::run(args),
        Command::Contained(args) => contained::run(args),
        Command::ScriptedGateway(args) => test_support::gateway::run(args),
        Command::Adapter(args) => adapter::run(args),
        Command::Completions(args) => completions::run(&args),
        Command::Notify(args) => notify::run(args),
        Command::Man(args) => completions::man(args),
        Command::Config(args) => config::run(args),
        Command::Jobs(args) => jobs::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Token(args) => token::run(args),
        Command::Plugin(args) => plugin::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Redact(args) => redact::run(args),
        Command::Work(args) => work::run(args),
        Command::Mcp(args) => mcp::run(args),
        Command::Receipt(args) => receipt::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Setup(args) => setup::run(args),
        Command::Doctor(args) => doctor::run(args),
    }
}

/// Tells a person what went wrong; standard output stays clean.
fn report(error: &Error) {
    eprintln!("error: {}", error.message);
    for hint in &error.hints {
        eprintln!("hint: {hint}");
    }
}

/// Writes to standard output; a reader that left is no fault.
pub(crate) fn print(text: &str) -> model::error::Result<()> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(model::error::Kind::Environment, format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// Commands of the documentation: lines of code blocks, and code in the text.
    fn commands(page: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut inside = false;
        for line in page.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if inside {
                let line = line.trim_start_matches("$ ");
                found.extend(line.starts_with("codex-worker ").then(|| line.to_owned()));
            }
        }
        let text = page.split("```").step_by(2).collect::<String>().replace('\n', " ");
        found.extend(
            text.split('`')
                .skip(1)
                .step_by(2)
                .filter(|code| code.starts_with("codex-worker "))
                .map(str::to_owned),
        );
        found
    }

    #[test]
    fn every_command_of_the_documentation_is_one() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut pages = vec![docs.join("README.md"), docs.join("CONTRIBUTING.md"), docs.join("SECURITY.md")];
        let more = std::fs::read_dir(docs.join("docs")).expect("docs").flatten().map(|entry| entry.path());
        pages.extend(more.filter(|path| path.extension().is_some_and(|ext| ext == "md")));
        let (mut wrong, mut tried) = (Vec::new(), 0);
        for page in pages {
            let text = std::fs::read_to_string(&page).expect("readable");
            for command in commands(&text) {
                // The shell's part, and what stands for something else.
                let own = [" | ", " > ", " < "]
                    .iter()
                    .fold(command.as_str(), |own, mark| own.split_once(mark).map_or(own, |(first, _)| first));
                let words = own
                    .replace("<the token>", "x")
                    .replace(":PORT", ":1")
                    .replace(['<', '>'], "")
                    .replace('…', "");
                let words = shlex::split(&words).unwrap_or_default();
                // `new|build|check` names several.
                if words.iter().take(3).any(|word| word.contains('|')) {
                    continue;
                }
                tried += 1;
                if let Err(error) = super::Cli::command().try_get_matches_from(&words) {
                    use clap::error::ErrorKind::{
                        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument,
                        MissingSubcommand,
                    };
                    // The name of a command alone is a name.
                    let named = matches!(
                        error.kind(),
                        DisplayHelp
                            | DisplayHelpOnMissingArgumentOrSubcommand
                            | MissingRequiredArgument
                            | MissingSubcommand
                    ) || error.to_string().contains("but none was supplied");
                    if !named {
                        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
                        wrong.push(format!("{}: {command}: {first}", page.display()));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(tried > 60, "{tried}");
    }
}
