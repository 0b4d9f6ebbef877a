//! Every limit on what a stranger may hand to this crate, with the reason for the number.
//!
//! Sizes are checked before the work that they bound.

/// Longest document, in bytes. A capture of some thousand events is below 8 MiB; the parsed tree
/// takes several times the text.
pub const MAX_DOCUMENT_BYTES: usize = 32 << 20;

/// Most events in one document: what one capture job can name in its answer.
pub const MAX_EVENTS: usize = 10_000;

/// Deepest nesting of an event's JSON. Standard fields need six levels (sensor reports), the rest
/// is for extensions. The recursion over an event is as deep as this.
pub const MAX_DEPTH: usize = 32;

/// Most values in one event, lists and objects counted too. A pallet names thousands of items; a
/// bulk container with more is better named by class and quantity.
pub const MAX_VALUES: usize = 200_000;

/// Longest single string of an event, in bytes. Identifiers are below 100, descriptions in
/// extensions some thousand.
pub const MAX_STRING_BYTES: usize = 64 << 10;

/// Most prefixes that contexts declare together. Documents seen in the field have below ten.
pub const MAX_NAMESPACES: usize = 256;

/// Longest identifier that is read as a GS1 Digital Link or an EPC URN, in bytes. The longest key
/// with all its qualifiers has 150 characters, three bytes each when escaped; the rest is for a
/// brand's own domain and path.
pub const MAX_URI_BYTES: usize = 2048;

/// Largest power of ten that a number may be written with. Beyond it a number in an extension is
/// hashed as it is written; the largest `f64` is below 10^309.
pub const MAX_EXPONENT: i32 = 400;

/// Most parameters of one query: the standard defines below 60, the same one may come repeatedly.
pub const MAX_QUERY_PARAMETERS: usize = 256;

/// Most values of all parameters of one query together; each event is compared with each of them.
pub const MAX_QUERY_VALUES: usize = 1000;

/// Most events on one page of results, so that a page stays below some megabytes.
pub const MAX_PER_PAGE: u32 = 1000;
