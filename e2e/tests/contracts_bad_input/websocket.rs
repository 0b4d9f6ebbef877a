//! Just enough of RFC 6455 to write requests, and to read late or never.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rpc::Rpc;

pub(crate) struct WebSocket(TcpStream);

impl WebSocket {
    pub(crate) fn connect(rpc: &Rpc) -> Result<Self> {
        let mut stream = rpc.connect()?;
        stream.write_all(
            b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        ensure!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        Ok(Self(stream))
    }

    /// Sends a text, masked with zeros.
    pub(crate) fn send(&mut self, text: &Value) -> Result<()> {
        let text = serde_json::to_vec(text)?;
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend((text.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text);
        Ok(self.0.write_all(&frame)?)
    }

    /// The next message in JSON; `None` once the node has closed the connection, or says nothing for
    /// so long.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Option<Value>> {
        loop {
            self.0.set_read_timeout(Some(patience))?;
            let mut head = [0; 2];
            match self.0.read_exact(&mut head) {
                Ok(()) => {}
                Err(error)
                    if [
                        ErrorKind::UnexpectedEof,
                        ErrorKind::ConnectionReset,
                        ErrorKind::WouldBlock,
                    ]
                    .contains(&error.kind()) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error).context("reading a frame"),
            }
            let length = match head[1] {
                126 => {
                    let mut length = [0; 2];
                    self.0.read_exact(&mut length)?;
                    u64::from(u16::from_be_bytes(length))
                }
                127 => {
                    let mut length = [0; 8];
                    self.0.read_exact(&mut length)?;
                    u64::from_be_bytes(length)
                }
                short => u64::from(short),
            };
            let mut body = vec![0; usize::try_from(length)?];
            self.0.read_exact(&mut body)?;
            match head[0] & 0x0f {
                1 => return Ok(Some(serde_json::from_slice(&body)?)),
                8 => return Ok(None),
                _ => {}
            }
        }
    }
}
