//! What is shown and what a key does. Pure: what has to be done outside is given back as a
//! [`Do`].

use console::Key;
use model::status::JobStatus;
use view::actions::Mode;

use crate::source::{Item, Opened, TABS};

/// The filters, in the order in which `f` goes through them.
pub(crate) const FILTERS: [(&str, &[JobStatus]); 5] = [
    ("all", &[]),
    ("active", &[JobStatus::Queued, JobStatus::Running, JobStatus::Verifying, JobStatus::Revising]),
    ("completed", &[JobStatus::Completed]),
    ("failed", &[JobStatus::Failed, JobStatus::TimedOut]),
    ("stopped", &[JobStatus::Cancelled, JobStatus::Interrupted]),
];

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    Nothing,
    Quit,
    /// Read the list again.
    List,
    /// Read the job that is open.
    Open,
    Cancel(String),
    Apply(String, Mode),
    Resume(String, String),
    Copy(String),
}

/// What keys are taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    No,
    /// The text of a search.
    Search,
    /// `y` cancels this job.
    Cancel(String),
    /// How to apply this job.
    Apply(String),
    /// The task of a job that resumes this one.
    Resume(String),
}

/// The whole state.
pub(crate) struct App {
    pub jobs: Vec<Item>,
    pub total: u64,
    pub chosen: usize,
    pub filter: usize,
    pub search: String,
    pub open: Option<Opened>,
    pub tab: usize,
    pub scroll: usize,
    pub asking: Asking,
    pub typed: String,
    pub message: String,
    /// Rows that a page of the list or of a tab has, and rows of the tab; `draw` says them.
    pub page: usize,
    pub rows: usize,
}

impl App {
    pub fn new() -> App {
        App {
            jobs: Vec::new(),
            total: 0,
            chosen: 0,
            filter: 0,
            search: String::new(),
            open: None,
            tab: 0,
            scroll: 0,
            asking: Asking::No,
            typed: String::new(),
            message: String::new(),
            page: 10,
            rows: 0,
        }
    }

    /// A list that was read; the choice stays on its job.
    pub fn listed(&mut self, jobs: Vec<Item>, total: u64) {
        let known = self.jobs.get(self.chosen).map(|item| item.id.clone());
        let place = known.and_then(|id| jobs.iter().position(|item| item.id == id));
        (self.jobs, self.total) = (jobs, total);
        self.chosen = place.unwrap_or(self.chosen).min(self.jobs.len().saturating_sub(1));
    }

    /// The job that actions are about.
    fn job(&self) -> Option<String> {
        match &self.open {
            Some(opened) => Some(opened.id.clone()),
            None => self.jobs.get(self.chosen).map(|item| item.id.to_string()),
        }
    }

    pub fn on(&mut self, key: &Key) -> Do {
        if *key == Key::CtrlC {
            return Do::Quit;
        }
        if self.asking != Asking::No {
            return self.on_answer(key);
        }
        self.message.clear();
        match key {
            Key::Char('c') => self.ask(Asking::Cancel),
            Key::Char('a') => self.ask(Asking::Apply),
            Key::Char('r') => self.ask(Asking::Resume),
            Key::Char('y') => self.job().map_or(Do::Nothing, Do::Copy),
            Key::Char('?') => {
                self.message = "arrows or j k, Enter opens, Esc back, f filter, / search, c cancel, a apply, r resume, y copy id, q quit".to_owned();
                Do::Nothing
            }
            _ if self.open.is_some() => self.on_job(key),
            _ => self.on_list(key),
        }
    }

    fn ask(&mut self, what: fn(String) -> Asking) -> Do {
        if let Some(job) = self.job() {
            self.typed.clear();
            self.asking = what(job);
        }
        Do::Nothing
    }

    fn on_list(&mut self, key: &Key) -> Do {
        let last = self.jobs.len().saturating_sub(1);
        match key {
            Key::ArrowUp | Key::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            Key::ArrowDown | Key::Char('j') => self.chosen = (self.chosen + 1).min(last),
            Key::PageUp => self.chosen = self.chosen.saturating_sub(self.page),
            Key::PageDown => self.chosen = (self.chosen + self.page).min(last),
            Key::Home | Key::Char('g') => self.chosen = 0,
            Key::End | Key::Char('G') => self.chosen = last,
            Key::Enter if !self.jobs.is_empty() => {
                let id = self.jobs[self.chosen].id.to_string();
                self.open = Some(Opened { id, ..Opened::default() });
                (self.tab, self.scroll) = (0, 0);
                return Do::Open;
            }
            Key::Char('f') => {
                self.filter = (self.filter + 1) % FILTERS.len();
                self.chosen = 0;
                return Do::List;
            }
            Key::Char('/') => {
                self.asking = Asking::Search;
                self.typed = self.search.clone();
            }
            Key::Escape if !self.search.is_empty() => {
                self.search.clear();
                return Do::List;
            }
            Key::Char('q') => return Do::Quit,
            _ => {}
        }
        Do::Nothing
    }

    fn on_job(&mut self, key: &Key) -> Do {
        let most = self.rows.saturating_sub(self.page);
        let tab = |n: usize| n % TABS.len();
        let before = self.tab;
        match key {
            Key::Escape | Key::Char('q' | 'u') => self.open = None,
            Key::ArrowUp | Key::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            Key::ArrowDown | Key::Char('j') => self.scroll = (self.scroll + 1).min(most),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(self.page),
            Key::PageDown | Key::Char(' ') => self.scroll = (self.scroll + self.page).min(most),
            Key::Home | Key::Char('g') => self.scroll = 0,
            Key::End | Key::Char('G') => self.scroll = most,
            Key::ArrowRight | Key::Tab => self.tab = tab(self.tab + 1),
            Key::ArrowLeft | Key::BackTab => self.tab = tab(self.tab + TABS.len() - 1),
            Key::Char(digit @ '1'..='5') => self.tab = (*digit as usize) - ('1' as usize),
            _ => {}
        }
        if self.tab != before {
            self.scroll = 0;
        }
        Do::Nothing
    }

    fn on_answer(&mut self, key: &Key) -> Do {
        let asking = self.asking.clone();
        match (&asking, key) {
            (_, Key::Escape) => self.asking = Asking::No,
            (Asking::Cancel(job), key) => {
                self.asking = Asking::No;
                if *key == Key::Char('y') {
                    return Do::Cancel(job.clone());
                }
            }
            (Asking::Apply(job), key) => {
                self.asking = Asking::No;
                let mode = match key {
                    Key::Char('t') => Mode::Check,
                    Key::Char('w') => Mode::Worktree,
                    Key::Char('b') => Mode::Branch,
                    _ => return Do::Nothing,
                };
                return Do::Apply(job.clone(), mode);
            }
            (Asking::Search, Key::Enter) => {
                self.asking = Asking::No;
                self.search = std::mem::take(&mut self.typed);
                self.chosen = 0;
                return Do::List;
            }
            (Asking::Resume(job), Key::Enter) => {
                self.asking = Asking::No;
                return Do::Resume(job.clone(), std::mem::take(&mut self.typed));
            }
            (_, Key::Backspace) => {
                self.typed.pop();
            }
            (_, Key::Char(c)) if !c.is_control() => self.typed.push(*c),
            _ => {}
        }
        Do::Nothing
    }
}
