//! Lines out of a stream of bytes, each of bounded length.

use bytes::{Buf, Bytes, BytesMut};

/// A line is longer than [`crate::limits::LINE_BYTES_MAX`], or than the bound of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineTooLong;

/// Takes bytes as they come and gives out whole lines, without their line ends.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// How far the buffer is known to have no line end.
    searched: usize,
    length_max: usize,
}

impl Lines {
    pub(crate) fn new(length_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            length_max,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line; `None` until more bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n');
        let Some(found) = found else {
            self.searched = self.buffer.len();
            return if self.searched > self.length_max {
                Err(LineTooLong)
            } else {
                Ok(None)
            };
        };
        let end = self.searched + found;
        if end > self.length_max {
            return Err(LineTooLong);
        }
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.searched = 0;
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line.freeze()))
    }

    /// What stands after the last line end.
    pub(crate) fn rest(self) -> Bytes {
        self.buffer.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_come() {
        for size in 1..12 {
            let mut lines = Lines::new(100);
            let mut got = Vec::new();
            for chunk in b"one\r\ntwo\n\nfour".chunks(size) {
                lines.push(chunk);
                while let Some(line) = lines.next().unwrap() {
                    got.push(line);
                }
            }
            assert_eq!(got, ["one", "two", ""]);
            assert_eq!(lines.rest(), "four");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_memory_is_full() {
        let mut lines = Lines::new(3);
        lines.push(b"abc");
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"d");
        assert_eq!(lines.next(), Err(LineTooLong));
        let mut lines = Lines::new(3);
        lines.push(b"abcd\n");
        assert_eq!(lines.next(), Err(LineTooLong));
    }
}
