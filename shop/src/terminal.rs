//! What a person sees: results on standard output, progress on standard error, colours only on a
//! terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

/// Writes one line of a result. A reader that has gone away ends the command quietly.
pub fn say(line: impl Display) {
    if writeln!(io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Writes one line of progress.
pub fn note(line: impl Display) {
    // When standard error is closed, nobody can be told.
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Writes progress over the line before it; writes nothing if standard error is no terminal.
pub fn renew(line: impl Display) {
    if io::stderr().is_terminal() {
        write!(io::stderr().lock(), "\r\x1b[2K{line}").ok();
    }
}

/// The colours of a stream, or none of them.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    coloured: bool,
}

impl Paint {
    /// Colours if standard output is a terminal.
    pub fn of_stdout() -> Self {
        Self { coloured: io::stdout().is_terminal() }
    }

    /// Never any colour.
    pub fn plain() -> Self {
        Self { coloured: false }
    }

    /// `text` in green: what is well.
    pub fn green(self, text: impl Display) -> String {
        self.with("32", text)
    }

    /// `text` in red: what is wrong.
    pub fn red(self, text: impl Display) -> String {
        self.with("31", text)
    }

    /// `text` in cyan.
    pub fn cyan(self, text: impl Display) -> String {
        self.with("36", text)
    }

    /// `text` in bold type.
    pub fn bold(self, text: impl Display) -> String {
        self.with("1", text)
    }

    /// `text` in faint type.
    pub fn dim(self, text: impl Display) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
