//! `plugin check`: everything that the host would refuse, and the conformance properties.

use std::fmt::Write;

use super::one::{Which, refused};
use crate::cli::print;
use model::error::{Error, Kind, Result};
use policy::conformance;

/// Load a component, run its own examples and the conformance properties of its interfaces.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Checks.
pub fn run(args: Args) -> Result<()> {
    let prepared = args.which.prepare()?;
    let refuse = |refusal| refused(&args.which.file, &refusal);
    let examples = prepared.examples().map_err(refuse)?;
    let held = prepared.prove().map_err(refuse)?;
    let about = prepared.about.clone();
    let outside = prepared.code.outside.clone();
    let plugin = args.which.configure(prepared)?;
    let tried = conformance::try_all(&plugin, &examples);
    let broken = tried.iter().filter(|tried| tried.broken.is_some()).count();
    if args.json {
        let value = serde_json::json!({
            "about": about, "digest": plugin.id.digest, "outside": outside, "examples": held, "laws": tried,
        });
        print(&format!("{value}\n"))?;
    } else {
        let mut text = format!(
            "{} {}: {}\nsha256 {}\nexports {}\nimports {}\n{}\n",
            about.name,
            about.version,
            about.summary,
            plugin.id.digest,
            outside.exports.join(", "),
            if outside.imports.is_empty() { "nothing".into() } else { outside.imports.join(", ") },
            match held {
                0 => "it has no examples of its own; add some, the host runs them at load".to_owned(),
                1 => "its own example holds".to_owned(),
                held => format!("all {held} of its own examples hold"),
            }
        );
        for property in &tried {
            let (outcome, inputs) = match (&property.broken, property.cases) {
                (Some(_), cases) => ("BROKEN", format!("{cases} inputs")),
                (None, 0) => ("untold", "its examples give nothing to try it with".to_owned()),
                (None, 1) => ("holds ", "1 input".to_owned()),
                (None, cases) => ("holds ", format!("{cases} inputs")),
            };
            let _ = writeln!(text, "{outcome} {}: {} ({inputs})", property.interface, property.property);
            if let Some(how) = &property.broken {
                let _ = writeln!(text, "       {how}");
            }
        }
        print(&text)?;
    }
    match broken {
        0 => Ok(()),
        1 => Err(Error::new(Kind::Plugin, format!("{} breaks a property of its interface", about.name))),
        broken => Err(Error::new(
            Kind::Plugin,
            format!("{} breaks {broken} properties of its interfaces", about.name),
        )),
    }
}
