//! The loop: keys from one thread, jobs when the store has changed, a screen that is put back
//! as it was.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use config::Config;
use console::{Key, Term};
use model::error::{Error, Kind, Result};
use model::spec::JobId;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use view::actions::Actions;

use crate::app::{App, Do, FILTERS};
use crate::screen::paint;
use crate::source::Source;

/// Between looks at the store.
const LOOK: Duration = Duration::from_millis(400);
/// Elapsed times move on this often.
const TICK: Duration = Duration::from_secs(1);

enum Input {
    Key(Key),
    /// An action has ended; one line.
    Said(String),
    /// No key will come any more.
    Closed,
}

/// Shows the jobs until `q`.
pub fn watch(config: &Config, actions: &Actions) -> Result<()> {
    let term = Term::stdout();
    if !term.is_term() || !console::user_attended() {
        return Err(Error::new(Kind::Usage, "standard output is no terminal")
            .hint("use `codex-worker watch --plain`"));
    }
    let source = Source::open(config)?;
    let colours = config.env.get("NO_COLOR").is_none_or(|value| value.is_empty())
        && config.env.get("TERM") != Some("dumb");
    let (sender, receiver) = channel();
    let _screen = AlternateScreen::enter()?;
    let keys = sender.clone();
    std::thread::spawn(move || {
        loop {
            let input = match Term::stdout().read_key_raw() {
                Ok(key) => Input::Key(key),
                Err(_) => Input::Closed,
            };
            let closed = matches!(input, Input::Closed);
            if keys.send(input).is_err() || closed {
                return;
            }
        }
    });
    run(&source, actions, &term, colours, &sender, &receiver)
}

fn run(
    source: &Source<'_>,
    actions: &Actions,
    term: &Term,
    colours: bool,
    sender: &Sender<Input>,
    receiver: &Receiver<Input>,
) -> Result<()> {
    let mut app = App::new();
    let mut stamp = None;
    let mut read_at = Instant::now();
    let mut painted = String::new();
    loop {
        let now = source.store.stamp()?;
        if stamp != Some(now) || read_at.elapsed() >= TICK {
            (stamp, read_at) = (Some(now), Instant::now());
            read(source, &mut app)?;
        }
        let (height, width) = term.size();
        let rows = crate::draw::draw(&mut app, usize::from(width), usize::from(height));
        let picture = paint(&rows, usize::from(width), usize::from(height), colours);
        if picture != painted {
            write(&picture)?;
            painted = picture;
        }
        let done = match receiver.recv_timeout(LOOK) {
            Ok(Input::Key(key)) => app.on(&key),
            Ok(Input::Said(said)) => {
                app.message = said;
                stamp = None;
                Do::Nothing
            }
            Ok(Input::Closed) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => Do::Nothing,
        };
        match done {
            Do::Nothing => {}
            Do::Quit => return Ok(()),
            Do::List | Do::Open => stamp = None,
            Do::Copy(id) => {
                // OSC 52: the terminal's clipboard, over ssh too, where the terminal allows it.
                write(&format!("\x1b]52;c;{}\x07", base64(id.as_bytes())))?;
                app.message = format!("copied {id}");
            }
            Do::Cancel(id) => act(sender, &mut app, "cancelling", {
                let cancel = actions.cancel.clone();
                move || cancel(&job_id(&id)?, "cancelled in watch".to_owned())
            }),
            Do::Apply(id, mode) => act(sender, &mut app, "applying", {
                let apply = actions.apply.clone();
                move || apply(&job_id(&id)?, mode)
            }),
            Do::Resume(id, task) => act(sender, &mut app, "starting", {
                let resume = actions.resume.clone();
                move || resume(&job_id(&id)?, task).map(|id| format!("started {id}"))
            }),
        }
    }
}

fn read(source: &Source<'_>, app: &mut App) -> Result<()> {
    match app.open.as_ref().map(|opened| (opened.id.clone(), opened.ended && !opened.tabs.is_empty())) {
        // Nothing of a job that has ended changes.
        Some((_, true)) => {}
        Some((id, false)) => match source.job(&job_id(&id)?) {
            Ok(opened) => app.open = Some(opened),
            Err(error) => (app.open, app.message) = (None, error.message),
        },
        None => {
            let (jobs, total) = source.list(FILTERS[app.filter].1, &app.search)?;
            app.listed(jobs, total);
        }
    }
    Ok(())
}

fn job_id(text: &str) -> Result<JobId> {
    JobId::parse(text).ok_or_else(|| Error::new(Kind::Internal, format!("{text:?} is no job id")))
}

/// Runs in a thread of its own: the view stays alive meanwhile.
fn act(
    sender: &Sender<Input>,
    app: &mut App,
    doing: &str,
    work: impl FnOnce() -> Result<String> + Send + 'static,
) {
    app.message = format!("{doing} …");
    let sender = sender.clone();
    std::thread::spawn(move || {
        let said = match work() {
            Ok(said) => said.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; "),
            Err(error) => format!("error: {}", error.to_string().replace('\n', "; ")),
        };
        let _ = sender.send(Input::Said(said));
    });
}

fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::new(Kind::Environment, format!("cannot write to the terminal: {error}")))
}

/// The terminal's other screen, without a cursor; what was there comes back at the end.
struct AlternateScreen {
    /// The thread that reads keys may be in the middle of it.
    before: Option<Termios>,
}

impl AlternateScreen {
    fn enter() -> Result<AlternateScreen> {
        let before = tcgetattr(std::io::stdin()).ok();
        write("\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(AlternateScreen { before })
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        let _ = write("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// RFC 4648 for the 32 digits of an id.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let all =
                chunk.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..4).map(move |n| {
                if n <= chunk.len() { char::from(DIGITS[(all >> (18 - 6 * n)) as usize & 63]) } else { '=' }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_of_all_lengths() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|t| super::base64(t.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }
}
