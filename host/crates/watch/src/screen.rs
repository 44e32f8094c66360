//! Rows of styled text, and painting them. A row never reaches beyond the terminal's width, so
//! that nothing wraps.

use console::{measure_text_width, truncate_str};

/// What a piece of text is; colours add to what words and marks say already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quiet,
    Bold,
    Good,
    Bad,
    Warn,
    Go,
    /// The row that is chosen.
    Chosen,
}

/// One row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row(Vec<(Style, String)>);

impl Row {
    /// Of one piece.
    pub fn of(style: Style, text: impl Into<String>) -> Row {
        Row(vec![(style, text.into())])
    }

    /// Adds a piece.
    pub fn and(mut self, style: Style, text: impl Into<String>) -> Row {
        self.0.push((style, text.into()));
        self
    }

    /// Adds a piece of exactly `width` columns: cut, or filled with spaces.
    pub fn column(self, style: Style, text: &str, width: usize) -> Row {
        let text = fit(text, width);
        let fill = width.saturating_sub(measure_text_width(&text));
        self.and(style, format!("{text}{}", " ".repeat(fill)))
    }

    /// The same, but filled on its left.
    pub fn right(self, style: Style, text: &str, width: usize) -> Row {
        let text = fit(text, width);
        let fill = width.saturating_sub(measure_text_width(&text));
        self.and(style, format!("{}{text}", " ".repeat(fill)))
    }

    /// All of it in the style of the row that is chosen.
    pub fn chosen(self) -> Row {
        Row::of(Style::Chosen, self.text())
    }

    /// Without styles.
    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Cut to `width` columns, with its styles as terminal sequences.
    fn paint(&self, width: usize, colours: bool) -> String {
        let mut left = width;
        let mut out = String::new();
        for (style, text) in &self.0 {
            let mut text = fit(text, left);
            left -= measure_text_width(&text).min(left);
            if *style == Style::Chosen {
                text.push_str(&" ".repeat(left));
            }
            let code = match (style, colours) {
                (Style::Plain, _) => None,
                (Style::Bold, _) => Some("1"),
                (Style::Chosen, _) => Some("7"),
                (_, false) => None,
                (Style::Quiet, true) => Some("90"),
                (Style::Good, true) => Some("32"),
                (Style::Bad, true) => Some("31"),
                (Style::Warn, true) => Some("33"),
                (Style::Go, true) => Some("36"),
            };
            match code {
                Some(code) => out += &format!("\x1b[{code}m{text}\x1b[0m"),
                None => out += &text,
            }
        }
        out
    }
}

/// The text in at most `width` columns.
pub(crate) fn fit(text: &str, width: usize) -> String {
    truncate_str(text, width, if width > 1 { "…" } else { "" }).into_owned()
}

/// The rows as what a terminal is sent: each in its place, the rest of each line cleared.
pub(crate) fn paint(rows: &[Row], width: usize, height: usize, colours: bool) -> String {
    let mut out = String::from("\x1b[H");
    for n in 0..height {
        if let Some(row) = rows.get(n) {
            out += &row.paint(width, colours);
        }
        out += "\x1b[K";
        if n + 1 < height {
            out += "\r\n";
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_to_their_width() {
        let row = Row::default().column(Style::Plain, "größer", 4).and(Style::Bad, "漢字漢字").right(
            Style::Plain,
            "7",
            3,
        );
        assert_eq!(row.text(), "grö…漢字漢字  7");
        assert_eq!(row.paint(8, true), "grö…\x1b[31m漢…\x1b[0m ");
        assert_eq!(row.paint(80, false), "grö…漢字漢字  7");
        assert_eq!(Row::of(Style::Chosen, "ab").paint(4, false), "\x1b[7mab  \x1b[0m");
        assert_eq!(paint(&[Row::of(Style::Plain, "a")], 5, 2, false), "\x1b[Ha\x1b[K\r\n\x1b[K");
    }
}
