//! Everything that reaches a person or a pipe goes through here: data to stdout, talk to stderr.
//!
//! Texts come with their colours; the streams take them off again where they do not belong. A reader that
//! goes away (`| head`) is no error: what is written then is dropped, and the command goes on to its end. Any
//! other failure to write to stdout (a full disk) is kept and reported by [`Printer::finish`].

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;

/// The two streams.
pub struct Printer {
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    ended: Result<(), io::Error>,
}

impl Printer {
    /// Streams that colour as asked; with `Auto`, as each stream's terminal and the environment say.
    pub fn new(colour: ColorChoice) -> Self {
        Self {
            out: AutoStream::new(io::stdout(), colour),
            err: AutoStream::new(io::stderr(), colour),
            ended: Ok(()),
        }
    }

    /// Whether colours are shown on stderr.
    pub fn talks_in_colour(&self) -> bool {
        self.err.current_choice() != ColorChoice::Never
    }

    /// Data: as it is, to stdout.
    pub fn data(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.note(written);
    }

    /// Bytes that are the answer themselves, uninterpreted. On a terminal they are shown as text, so that they
    /// do not drive it.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.out.is_terminal() {
            return self.data(&crate::merge::diff::printable(bytes));
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        self.note(written);
    }

    /// A line to a person, to stderr. If even that cannot be written there is nobody to tell.
    pub fn talk(&mut self, text: impl Display) {
        let text = format!("{text}\n");
        let _unheard = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    /// A question to a person, on stderr, and the answer's line.
    pub fn ask(&mut self, question: &str) -> io::Result<String> {
        let _unheard = self.err.write_all(question.as_bytes()).and_then(|()| self.err.flush());
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Whether all data was written. Nothing is printed after this.
    pub fn finish(self) -> io::Result<()> {
        self.ended
    }

    fn note(&mut self, written: io::Result<()>) {
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe && self.ended.is_ok() => {
                self.ended = Err(error);
            }
            _ => {}
        }
    }
}

/// Whether a person can be asked: both ways of a terminal.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The colours, by what they mean.
pub mod paint {
    use anstyle::{AnsiColor, Style};

    use super::painted;

    const fn colour(colour: AnsiColor) -> Style {
        Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
    }

    /// What is fine, or new.
    pub const GOOD: Style = colour(AnsiColor::Green);
    /// What changes, or waits.
    pub const CHANGE: Style = colour(AnsiColor::Yellow);
    /// What goes, or is wrong.
    pub const BAD: Style = colour(AnsiColor::Red);
    /// A person's own.
    pub const YOURS: Style = colour(AnsiColor::Cyan);
    /// Names.
    pub const NAME: Style = Style::new().bold();
    /// What is there if somebody looks for it.
    pub const FAINT: Style = Style::new().dimmed();

    /// A name.
    pub fn name(text: &str) -> String {
        painted(NAME, text)
    }

    /// Something for those who look for it.
    pub fn faint(text: &str) -> String {
        painted(FAINT, text)
    }
}

/// A text in a style; an empty one stays empty.
pub fn painted(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// A text that came from outside (a pack, a host, git), safe on one line of a terminal: secrets of URLs are
/// masked, control characters and overrides of direction escaped.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::desired::problem::masked_source(text).chars() {
        match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.extend(c.escape_unicode()),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// A word of a command line, quoted for a shell where it must be.
pub fn word(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | '+' | ':' | '@' | ',' | '=' | '%')
    };
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", shown(text).replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_drives_no_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}");
        assert_eq!(shown("ä b"), "ä b");
        assert!(!shown("https://bob:hunter2@example.org/x").contains("hunter2"));
    }

    #[test]
    fn words_survive_a_shell() {
        for (text, expected) in [
            ("a/b-c.md", "a/b-c.md"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(x)", "'$(x)'"),
            ("~x", "'~x'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn colours_come_off() {
        let text = painted(paint::BAD, "held");
        assert_ne!(text, "held");
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "held");
        assert_eq!(painted(paint::BAD, ""), "");
    }
}
