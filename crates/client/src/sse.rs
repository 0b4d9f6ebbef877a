//! Server-sent events (WHATWG HTML, section 9.2), as far as a ledger uses them.

use bytes::Bytes;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Where to resume after it; empty where the server gave none.
    pub(crate) id: String,
    /// Its kind; empty means `message`.
    pub(crate) kind: String,
    /// Its data.
    pub(crate) data: String,
}

/// Puts events together from lines.
#[derive(Debug, Default)]
pub(crate) struct Events {
    event: Event,
    has_data: bool,
}

impl Events {
    /// Takes one line; gives the event that an empty line ends.
    pub(crate) fn line(&mut self, line: &Bytes) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            // The id of the last event stays in force for those without one.
            self.event.id.clone_from(&event.id);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.kind),
            // Comments (no field), retry times and what is not known yet.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut events = Events::default();
        text.split('\n')
            .filter_map(|line| events.line(&Bytes::copy_from_slice(line.as_bytes())))
            .collect()
    }

    #[test]
    fn an_event_ends_with_an_empty_line() {
        let got = events("id: 2.17\ndata: a\ndata: b\n\ndata:c\n\ndata: never ended");
        let event = |data: &str| Event {
            id: "2.17".into(),
            data: data.into(),
            kind: "".into(),
        };
        assert_eq!(got, [event("a\nb"), event("c")]);
    }

    #[test]
    fn comments_and_unknown_fields_are_no_events() {
        assert_eq!(events(": keep-alive\n\nretry: 10\n\nevent: gone\n\n"), []);
    }

    #[test]
    fn an_event_says_its_kind() {
        assert_eq!(
            events("event: error\ndata: x\n\ndata: y\n\n")[0].kind,
            "error"
        );
        assert_eq!(events("event: error\ndata: x\n\ndata: y\n\n")[1].kind, "");
    }
}
