//! The identity that an event's contents give it: CBV 2.0, "EPCIS Event Hash ID".
//!
//! An event is written as one string, its parts in a fixed order and its values in canonical form,
//! and the string is hashed. Two parties that hold the same event, in whatever order and spelling,
//! name it alike. When it was recorded, its `eventID` and a later error declaration do not count.
//!
//! The standard's own rules are [`Rules::Cbv2_0`]. The generator that its authors published on PyPI
//! (`epcis_event_hash_generator`, release 1.9) departs from them in places; identifiers made with
//! it are recognised with [`Rules::Generator1_9`]. What differs stands at that variant, and
//! `testdata/` has vectors of both.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use crate::canonical;
use crate::context::Namespaces;
use crate::event::Event;
use crate::hash_order::{self, Field, Is};

/// Whose canonical form an event is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rules {
    /// The standard as it is written.
    #[default]
    Cbv2_0,
    /// What release 1.9 of the published generator does for JSON. Against the standard it
    ///
    /// - writes business transactions, sources and destinations after the sensor elements, among
    ///   the extensions, and `parentID` before `epcList`;
    /// - moves an extension inside a standard part to the end of the event if its namespace does
    ///   not end in `/`, or if it stands there alone;
    /// - writes `True`, `False` and `None`, and numbers through a double, so that long ones change;
    /// - expands the prefixes `cbv`, `cbvmda`, `epcis` and `gs1` only where the document declares
    ///   them;
    /// - rounds half a millisecond to even, and leaves Digital Links with escapes, fragments or
    ///   long variants as they are.
    ///
    /// Not followed: it replaces any value anywhere that looks like a bare word which the event
    /// uses elsewhere; it takes the type of a transaction first only if the JSON has it first; and
    /// it stumbles over links with a lot or serial number such as `01`, which it takes for a key.
    Generator1_9,
}

/// The name of an event by its contents: `ni:///sha-256;{hex}?ver=CBV2.0` (RFC 6920).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventHash([u8; 32]);

impl EventHash {
    /// The hash of an event by the standard's rules.
    pub fn of(event: &Event) -> Self {
        Self::by(event, Rules::Cbv2_0)
    }

    /// The hash of an event by the given rules.
    pub fn by(event: &Event, rules: Rules) -> Self {
        let digest = digest::digest(&digest::SHA256, prehash(event, rules).as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Whether this is the event's hash by any of the rules that are in use.
    pub fn names(self, event: &Event) -> bool {
        self == Self::of(event) || self == Self::by(event, Rules::Generator1_9)
    }

    /// The digest alone.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ni:///sha-256;{}?ver=CBV2.0", hex::encode(self.0))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an event hash with SHA-256 of CBV 2.0. Event identifiers may be any URI, so
/// this only says that contents cannot be checked by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event hash has the form ni:///sha-256;<64 hexadecimal digits>?ver=CBV2.0")]
pub struct NotAnEventHash;

impl FromStr for EventHash {
    type Err = NotAnEventHash;

    fn from_str(text: &str) -> Result<Self, NotAnEventHash> {
        let hex = text
            .strip_prefix("ni:///sha-256;")
            .and_then(|rest| rest.strip_suffix("?ver=CBV2.0"))
            .ok_or(NotAnEventHash)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| NotAnEventHash)?;
        Ok(Self(bytes))
    }
}

/// The string whose hash names the event.
pub fn prehash(event: &Event, rules: Rules) -> String {
    let tree = Tree {
        namespaces: event.namespaces(),
        rules,
    };
    let mut nodes = tree.members(event.json());
    nodes.retain(|node| !NOT_HASHED.contains(&&*node.name));
    let order: Vec<&Field> = hash_order::of_event(rules).collect();
    let (mut text, left) = tree.in_order(nodes, &order);
    text.insert_str(0, &format!("eventType={}", event.kind().name()));
    text.push_str(&tree.sorted(left));
    text
}

/// Fields of an event that say nothing about what happened.
const NOT_HASHED: [&str; 4] = ["recordTime", "eventID", "type", "errorDeclaration"];

/// Members that are remarks on the JSON, at any depth.
const REMARKS: [&str; 4] = ["#text", "rdfs:comment", "comment", "@context"];

/// One part of an event as its XML would have it: the two bindings have the same hash.
struct Node<'a> {
    name: Cow<'a, str>,
    text: Cow<'a, str>,
    children: Vec<Self>,
}

struct Tree<'a> {
    namespaces: &'a Namespaces,
    rules: Rules,
}

impl<'a> Tree<'a> {
    fn standard(&self) -> bool {
        self.rules == Rules::Cbv2_0
    }

    fn members(&self, object: &'a Map<String, Value>) -> Vec<Node<'a>> {
        let mut nodes = Vec::new();
        for (key, value) in object {
            if REMARKS.contains(&key.as_str()) {
                continue;
            }
            let name = self.namespaces.expand_name(key, self.standard());
            let element = match element_of(&name) {
                Some(element) => Cow::Owned(element.to_owned()),
                None => name.clone(),
            };
            let is_list = element_of(&name).is_some();
            let mut items = Vec::new();
            match value {
                Value::Array(values) => {
                    items.extend(values.iter().filter_map(|value| self.node(&element, value)));
                }
                value => items.extend(self.node(&element, value)),
            }
            if !is_list {
                nodes.extend(items);
            } else if !items.is_empty() {
                nodes.push(Node {
                    name,
                    text: Cow::Borrowed(""),
                    children: items,
                });
            }
        }
        nodes
    }

    fn node(&self, name: &Cow<'a, str>, value: &'a Value) -> Option<Node<'a>> {
        let mut children = Vec::new();
        let text = match value {
            Value::Null if self.standard() => return None,
            Value::Null => Cow::Borrowed("None"),
            Value::Bool(value) => Cow::Borrowed(match (value, self.standard()) {
                (true, true) => "true",
                (false, true) => "false",
                (true, false) => "True",
                (false, false) => "False",
            }),
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::String(text) => self.namespaces.expand_value(text, self.standard()),
            Value::Object(object) => {
                children = self.members(object);
                match object.get("#text") {
                    Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
                    _ => Cow::Borrowed(""),
                }
            }
            Value::Array(values) => {
                let unnamed = Cow::Borrowed("");
                children.extend(values.iter().filter_map(|value| self.node(&unnamed, value)));
                Cow::Borrowed("")
            }
        };
        Some(Node {
            name: name.clone(),
            text,
            children,
        })
    }

    /// Writes the parts that the order names, and gives back those that it does not.
    fn in_order(
        &self,
        nodes: Vec<Node<'a>>,
        order: &[impl Borrow<Field>],
    ) -> (String, Vec<Node<'a>>) {
        let mut left = Vec::new();
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            let Some(at) = order
                .iter()
                .position(|field| node.name == field.borrow().name)
            else {
                left.push(node);
                continue;
            };
            let (value, rest) = self.part(node, order[at].borrow());
            values.push((at, value));
            left.extend(rest);
        }
        values.sort_unstable();
        let written = values.into_iter().map(|(_, value)| value);
        (written.collect(), left)
    }

    /// Writes one part, and gives back what of it has to be written at the end of the event.
    fn part(&self, node: Node<'a>, field: &Field) -> (String, Option<Node<'a>>) {
        let text = match field.is {
            Is::Plain => canonical::value(&node.text, self.rules),
            Is::Time => canonical::time(&node.text, self.rules),
            Is::Word(vocabulary) => {
                let word = match self.standard() {
                    true => vocabulary.expand(node.text.trim()),
                    false => vocabulary.expand_bare(node.text.trim()),
                };
                Cow::Owned(canonical::value(&word, self.rules).into_owned())
            }
        };
        let several = node.children.len() > 1;
        let (mut below, left) = self.in_order(node.children, field.order);
        // Extensions belong to the end of the part that they stand in.
        let here = |left: &Node<'_>| {
            let known = left.name.contains('{') && left.name.contains("/}");
            self.standard() || (several && known && !field.order.is_empty())
        };
        let (here, left): (Vec<_>, Vec<_>) = left.into_iter().partition(here);
        below.push_str(&self.sorted(here));
        let rest = (!left.is_empty()).then(|| Node {
            name: node.name.clone(),
            text: Cow::Borrowed(""),
            children: left,
        });
        if text.is_empty() && below.is_empty() {
            return (String::new(), rest);
        }
        let sign = if text.is_empty() { "" } else { "=" };
        (format!("{}{sign}{text}{below}", node.name), rest)
    }

    /// Writes parts that have no order but that of their text.
    fn sorted(&self, nodes: Vec<Node<'a>>) -> String {
        let mut parts: Vec<String> = nodes
            .into_iter()
            .map(|node| {
                let text = canonical::value(&node.text, self.rules);
                let sign = if text.is_empty() { "" } else { "=" };
                let start = format!("{}{sign}{text}", node.name);
                let below = match hash_order::of_typed_list(&node.name) {
                    Some(order) => self.in_order(node.children, order).0,
                    None => self.sorted(node.children),
                };
                start + &below
            })
            .collect();
        parts.sort_unstable();
        parts.concat()
    }
}

/// What XML calls the elements of a list; `None` if the name is not that of a list.
fn element_of(name: &str) -> Option<&str> {
    match name {
        "bizTransactionList" | "sourceList" | "destinationList" => Some(""),
        "inputEPCList" | "outputEPCList" | "childEPCs" => Some("epc"),
        "quantityList" | "childQuantityList" | "inputQuantityList" | "outputQuantityList" => {
            Some("quantityElement")
        }
        name => name.strip_suffix("List"),
    }
}
