//! The rows of a terminal of a given size. Pure.

use crate::app::{App, Asking, FILTERS};
use crate::screen::{Row, Style};
use crate::source::{TABS, style};

/// Below it there is no room for anything.
const LEAST: (usize, usize) = (30, 8);

/// Makes the rows, and tells the application how many a page has.
pub(crate) fn draw(app: &mut App, width: usize, height: usize) -> Vec<Row> {
    if width < LEAST.0 || height < LEAST.1 {
        return vec![Row::of(Style::Plain, "the window is too small")];
    }
    let mut rows = match app.open {
        Some(_) => opened(app, width, height),
        None => list(app, width, height),
    };
    rows.truncate(height - 1);
    rows.resize(height - 1, Row::default());
    rows.push(bottom(app));
    rows
}

fn list(app: &mut App, width: usize, height: usize) -> Vec<Row> {
    let search = if app.search.is_empty() { String::new() } else { format!("  search: {}", app.search) };
    let shown = app.jobs.len() as u64;
    let total = if app.total > shown {
        format!("the newest {shown} of {} jobs", app.total)
    } else {
        format!("{} jobs", app.total)
    };
    let head = Row::of(Style::Bold, "codex-worker")
        .and(Style::Plain, format!("  {total}  filter: {}{search}", FILTERS[app.filter].0));
    // What is left of the width is the task's and the newest event's.
    let wide = width >= 110;
    let fixed = 2 + 9 + 12 + 8 + 8 + 9;
    let rest = width.saturating_sub(fixed).max(10);
    let task = if wide { rest * 3 / 5 } else { rest };
    let names = Row::of(Style::Quiet, "  ")
        .column(Style::Quiet, "JOB", 9)
        .column(Style::Quiet, "STATE", 12)
        .right(Style::Quiet, "TOOK", 7)
        .right(Style::Quiet, "TOKENS", 8)
        .right(Style::Quiet, "COST", 9)
        .and(Style::Quiet, " ")
        .column(Style::Quiet, "TASK", task)
        .and(Style::Quiet, if wide { " NEWEST" } else { "" });
    let mut rows = vec![head, names];
    // In a narrow window the newest event of the chosen job has a line of its own.
    let page = height - 1 - rows.len() - usize::from(!wide);
    app.page = page;
    let from = (app.chosen + 1).saturating_sub(page);
    for (n, item) in app.jobs.iter().enumerate().skip(from).take(page) {
        let chosen = n == app.chosen;
        let row = Row::of(Style::Plain, if chosen { "> " } else { "  " })
            .column(Style::Quiet, &item.id.as_str()[..8], 9)
            .column(style(item.status), &item.status.as_str().replace('_', " "), 12)
            .right(Style::Plain, &item.took, 7)
            .right(Style::Plain, &item.tokens, 8)
            .right(Style::Plain, &item.cost, 9)
            .and(Style::Plain, " ")
            .column(Style::Plain, &item.task, task)
            .and(Style::Quiet, if wide { format!(" {}", item.last) } else { String::new() });
        rows.push(if chosen { row.chosen() } else { row });
    }
    if app.jobs.is_empty() {
        rows.push(Row::of(Style::Quiet, "  no job fits; f changes the filter, / the search"));
    }
    if !wide {
        rows.resize(height - 2, Row::default());
        let last = app.jobs.get(app.chosen).map(|item| item.last.clone()).unwrap_or_default();
        rows.push(Row::of(Style::Quiet, format!("newest: {last}")));
    }
    rows
}

fn opened(app: &mut App, width: usize, height: usize) -> Vec<Row> {
    let Some(opened) = &app.open else { return Vec::new() };
    let mut rows = vec![Row::of(Style::Quiet, format!("job {}", opened.id))];
    rows.extend(opened.head.iter().cloned());
    let mut tabs = Row::default();
    for (n, name) in TABS.iter().enumerate() {
        let mark = if n == app.tab { format!("[{} {name}]", n + 1) } else { format!(" {} {name} ", n + 1) };
        tabs = tabs.and(if n == app.tab { Style::Bold } else { Style::Quiet }, mark);
    }
    rows.push(tabs);
    app.page = (height - 1).saturating_sub(rows.len()).max(1);
    let content = opened.tabs.get(app.tab).map(Vec::as_slice).unwrap_or_default();
    // A long line goes on in the next row: nothing of a finding is cut away.
    let content: Vec<Row> = if app.tab == 2 {
        content.iter().flat_map(|row| wrapped(row, width)).collect()
    } else {
        content.to_vec()
    };
    if content.is_empty() {
        rows.push(Row::of(Style::Quiet, "nothing yet"));
    }
    app.rows = content.len();
    let from = app.scroll.min(content.len().saturating_sub(1));
    rows.extend(content.into_iter().skip(from).take(app.page));
    rows
}

/// A row over as many rows as it needs; only its first keeps its styles.
fn wrapped(row: &Row, width: usize) -> Vec<Row> {
    let text = row.text();
    if console::measure_text_width(&text) <= width {
        return vec![row.clone()];
    }
    let mut rows = Vec::new();
    let mut line = String::from("     ");
    for word in text.split_whitespace() {
        if console::measure_text_width(&line) + 1 + console::measure_text_width(word) > width
            && !line.trim().is_empty()
        {
            rows.push(Row::of(Style::Plain, std::mem::replace(&mut line, String::from("     "))));
        }
        line.push(' ');
        line.push_str(word);
    }
    rows.push(Row::of(Style::Plain, line));
    rows
}

fn bottom(app: &App) -> Row {
    let ask = |text: String| Row::of(Style::Bold, text);
    let short = |job: &str| job.get(..8).unwrap_or(job).to_owned();
    match &app.asking {
        Asking::Search => ask(format!("search: {}_", app.typed)),
        Asking::Resume(job) => ask(format!("resume {}, task: {}_", short(job), app.typed)),
        Asking::Cancel(job) => ask(format!("cancel {}? y, or any other key for no", short(job))),
        Asking::Apply(job) => {
            ask(format!("apply {}: t try, w to the files, b as a branch, Esc no", short(job)))
        }
        Asking::No if !app.message.is_empty() => Row::of(Style::Bold, app.message.clone()),
        Asking::No if app.open.is_some() => {
            Row::of(Style::Quiet, "Esc back  1-5 tabs  c cancel  a apply  r resume  y copy id  ? help")
        }
        Asking::No => Row::of(
            Style::Quiet,
            "Enter open  f filter  / search  c cancel  a apply  r resume  y copy  q quit",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Do;
    use crate::source::{Item, Opened};
    use console::Key;
    use model::spec::JobId;
    use model::status::JobStatus;
    use view::actions::Mode;

    fn item(digit: char, status: JobStatus, task: &str) -> Item {
        Item {
            id: JobId::parse(&digit.to_string().repeat(32)).expect("an id"),
            status,
            task: task.to_owned(),
            took: "1m05s".to_owned(),
            tokens: "12.3k".to_owned(),
            cost: "0.0123".to_owned(),
            last: format!("Edit {task}"),
        }
    }

    fn app() -> App {
        let mut app = App::new();
        let jobs = vec![
            item(
                'a',
                JobStatus::Running,
                "Reject orders whose currency differs from the account's, and say so",
            ),
            item('b', JobStatus::Completed, "größere 漢字 in names"),
            item('c', JobStatus::TimedOut, "Port the dates"),
        ];
        app.listed(jobs, 3);
        app
    }

    fn shown(app: &mut App, width: usize, height: usize) -> String {
        draw(app, width, height).iter().map(|row| row.text().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn the_list_at_80_by_24() {
        let mut app = app();
        app.on(&Key::ArrowDown);
        let text = shown(&mut app, 80, 10);
        insta::assert_snapshot!(text, @r"
        codex-worker  3 jobs  filter: all
          JOB      STATE          TOOK  TOKENS     COST TASK
          aaaaaaaa running       1m05s   12.3k   0.0123 Reject orders whose currency di…
        > bbbbbbbb completed     1m05s   12.3k   0.0123 größere 漢字 in names
          cccccccc timed out     1m05s   12.3k   0.0123 Port the dates



        newest: Edit größere 漢字 in names
        Enter open  f filter  / search  c cancel  a apply  r resume  y copy  q quit
        ");
        for line in shown(&mut app, 80, 24).lines() {
            assert!(console::measure_text_width(line) <= 80, "{line}");
        }
        assert_eq!(draw(&mut app, 80, 24).len(), 24);
    }

    #[test]
    fn one_job_with_its_tabs() {
        let mut app = app();
        assert_eq!(app.on(&Key::Enter), Do::Open);
        let row = |text: &str| Row::of(Style::Plain, text);
        let long = format!("      {}", "a finding that needs more than one line ".repeat(3));
        app.open = Some(Opened {
            id: "a".repeat(32),
            head: vec![row("Reject orders"), row("running  5s")],
            tabs: vec![
                vec![row("12:00:00 state      running")],
                vec![],
                vec![row("deny  r p@1"), row(&long)],
                vec![row("+a")],
                vec![],
            ],
            ended: false,
        });
        app.on(&Key::Char('3'));
        insta::assert_snapshot!(shown(&mut app, 60, 12), @r"
        job aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        Reject orders
        running  5s
         1 events  2 checks [3 findings] 4 diff  5 attempts
        deny  r p@1
              a finding that needs more than one line a finding that
              needs more than one line a finding that needs more
              than one line



        Esc back  1-5 tabs  c cancel  a apply  r resume  y copy id  ? help
        ");
        app.on(&Key::ArrowLeft);
        assert!(shown(&mut app, 60, 12).contains("nothing yet"));
        app.on(&Key::Escape);
        assert!(app.open.is_none());
    }

    #[test]
    fn keys_ask_before_they_do() {
        let mut app = app();
        let job = "a".repeat(32);
        assert_eq!(app.on(&Key::Char('c')), Do::Nothing);
        assert!(shown(&mut app, 80, 24).contains("cancel aaaaaaaa? y"));
        assert_eq!(app.on(&Key::Char('n')), Do::Nothing);
        app.on(&Key::Char('c'));
        assert_eq!(app.on(&Key::Char('y')), Do::Cancel(job.clone()));
        app.on(&Key::Char('a'));
        assert_eq!(app.on(&Key::Char('b')), Do::Apply(job.clone(), Mode::Branch));
        app.on(&Key::Char('a'));
        assert_eq!(app.on(&Key::Escape), Do::Nothing);
        app.on(&Key::Char('r'));
        "mend".chars().for_each(|c| drop(app.on(&Key::Char(c))));
        app.on(&Key::Backspace);
        assert_eq!(app.on(&Key::Enter), Do::Resume(job.clone(), "men".to_owned()));
        assert_eq!(app.on(&Key::Char('y')), Do::Copy(job));
        assert_eq!(app.on(&Key::Char('f')), Do::List);
        app.on(&Key::Char('/'));
        "q c".chars().for_each(|c| drop(app.on(&Key::Char(c))));
        assert_eq!(app.on(&Key::Enter), Do::List);
        assert_eq!((app.search.as_str(), FILTERS[app.filter].0), ("q c", "active"));
        assert_eq!(app.on(&Key::CtrlC), Do::Quit);
        assert_eq!(draw(&mut app, 20, 5).len(), 1);
        // A list that is read again keeps the choice on its job.
        app.chosen = 1;
        app.listed(
            vec![
                item('d', JobStatus::Queued, "new"),
                item('a', JobStatus::Running, "x"),
                item('b', JobStatus::Completed, "y"),
            ],
            3,
        );
        assert_eq!(app.chosen, 2);
    }
}
