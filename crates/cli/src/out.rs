//! What people and scripts read: standard output, in colours on a terminal only.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

/// Writes a line to standard output. Where nobody reads any more (`| head`), the process ends.
macro_rules! say {
    () => { $crate::out::write_line(format_args!("")) };
    ($($text:tt)*) => { $crate::out::write_line(format_args!($($text)*)) };
}
pub(crate) use say;

/// What [`say!`] does.
pub(crate) fn write_line(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    finish(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}

/// Writes bytes as they are.
pub(crate) fn write_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    finish(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}

/// Writes a value as one line of JSON.
pub(crate) fn write_json(value: &impl serde::Serialize) {
    let line = serde_json::to_string(value).expect("what the commands print is JSON");
    write_line(format_args!("{line}"));
}

fn finish(written: io::Result<()>) {
    if let Err(error) = written {
        let nobody_reads = error.kind() == io::ErrorKind::BrokenPipe;
        std::process::exit(if nobody_reads { 0 } else { 1 });
    }
}

/// Whether standard output takes colours: a terminal, unless `NO_COLOR` says otherwise.
static COLOURS: LazyLock<bool> = LazyLock::new(|| {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !dumb && !refused
});

/// Whether a person looks at standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Text in a colour, where there are colours.
pub(crate) struct Painted<T>(&'static str, T);

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *COLOURS {
            write!(f, "\x1b[{}m{}\x1b[0m", self.0, self.1)
        } else {
            self.1.fmt(f)
        }
    }
}

/// Headings.
pub(crate) const fn bold<T>(text: T) -> Painted<T> {
    Painted("1", text)
}

/// What is beside the point.
pub(crate) const fn faint<T>(text: T) -> Painted<T> {
    Painted("2", text)
}

/// What holds.
pub(crate) const fn good<T>(text: T) -> Painted<T> {
    Painted("1;32", text)
}

/// What does not hold.
pub(crate) const fn bad<T>(text: T) -> Painted<T> {
    Painted("1;31", text)
}

/// What to look at.
pub(crate) const fn marked<T>(text: T) -> Painted<T> {
    Painted("36", text)
}

/// What to beware of.
pub(crate) const fn warning<T>(text: T) -> Painted<T> {
    Painted("1;33", text)
}

/// The beginning of a text on one line, with control characters made visible.
pub(crate) fn one_line(text: &str, characters: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == characters {
            line.push('…');
            break;
        }
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb\n", 80), "a\\u{1b}[2Jb\\n");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}
