//! Whole lines out of a body that comes in pieces.

use bytes::BytesMut;

/// Takes pieces as they come, gives whole lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    unread: BytesMut,
}

/// Some whole lines, one after the other.
#[derive(Debug)]
pub(crate) struct Whole(BytesMut);

impl Lines {
    /// Adds what came.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
    }

    /// Takes the lines that are there to their end. At the end of the body also one without a line
    /// end.
    pub(crate) fn take(&mut self, at_end: bool) -> Whole {
        let end = match self.unread.iter().rposition(|&byte| byte == b'\n') {
            _ if at_end => self.unread.len(),
            Some(last) => last + 1,
            None => 0,
        };
        Whole(self.unread.split_to(end))
    }

    /// Bytes of the line that has no end yet: to be held against the limit.
    pub(crate) fn unfinished(&self) -> usize {
        self.unread.len()
    }
}

impl Whole {
    /// Each line without its end; those that are blank are no lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .as_ref()
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_come() {
        let text = b"one\r\n\ntwo\n \nthree";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut got: Vec<Vec<u8>> = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                got.extend(lines.take(false).iter().map(<[u8]>::to_vec));
            }
            assert_eq!(lines.unfinished(), 5);
            got.extend(lines.take(true).iter().map(<[u8]>::to_vec));
            assert_eq!(got, [&b"one\r"[..], b"two", b"three"]);
            assert_eq!(lines.unfinished(), 0);
        }
    }
}
