//! Where something stands in a document, written down only when an error needs it.

use crate::error::{DocumentError, Problem, below};

/// A place within an event; it borrows the places above it.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Where the event itself stands.
    Event(&'a str),
    /// A member of an object.
    Name(&'a Self, &'a str),
    /// An element of a list.
    Index(&'a Self, usize),
}

impl<'a> Place<'a> {
    pub(crate) fn name(&'a self, name: &'a str) -> Self {
        Self::Name(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// As an RFC 6901 JSON pointer.
    pub(crate) fn pointer(&self) -> String {
        match self {
            Self::Event(pointer) => (*pointer).to_owned(),
            Self::Name(above, name) => below(&above.pointer(), name),
            Self::Index(above, index) => below(&above.pointer(), index),
        }
    }

    /// That something is wrong here.
    pub(crate) fn error(&self, problem: impl Into<Problem>) -> DocumentError {
        DocumentError::at(&self.pointer(), problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_a_pointer() {
        let event = Place::Event("/epcisBody/eventList/3");
        let list = event.name("ex:a/b");
        assert_eq!(list.index(7).pointer(), "/epcisBody/eventList/3/ex:a~1b/7");
    }
}
