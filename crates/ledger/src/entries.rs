//! Entries of users: what one writes into a collection, and how it is found again.

use verify::Digest;
use verify::claims::ledger_entry_claims_digest;

use crate::kv::{Rejection, Transaction, Tx};
use crate::limits::{
    COLLECTION_ID_BYTES_MAX, COLLECTIONS_MAX_DEFAULT, CONTENTS_BYTES_MAX_DEFAULT, TAG_CHARS_MAX,
    TAGS_MAX_DEFAULT, TAGS_PER_ENTRY_MAX,
};
use crate::tables::{
    PRIVATE_COLLECTIONS, PRIVATE_ENTRIES, PUBLIC_COLLECTIONS, PUBLIC_ENTRIES, SINGLETON, TAGGED,
    TAGS, Table,
};
use crate::write_set::WriteSet;

/// The collection of entries that name none.
pub const DEFAULT_COLLECTION: &str = "subledger:0";

/// Whether the contents of entries are sealed. Fixed when a ledger is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Visibility {
    /// Contents, collection ids and tags are sealed: only nodes can read them.
    Private,
    /// Everything is in clear in the ledger files.
    Public,
}

impl Visibility {
    /// The table of entries.
    pub const fn entries(self) -> Table {
        match self {
            Self::Private => PRIVATE_ENTRIES,
            Self::Public => PUBLIC_ENTRIES,
        }
    }

    /// The table of collections.
    pub const fn collections(self) -> Table {
        match self {
            Self::Private => PRIVATE_COLLECTIONS,
            Self::Public => PUBLIC_COLLECTIONS,
        }
    }
}

/// What a ledger takes of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryLimits {
    /// Contents of one entry, UTF-8 bytes.
    pub contents_bytes: usize,
    /// Collections, the default one not counted.
    pub collections: u64,
    /// Tags, counted once for each collection that uses them.
    pub tags: u64,
}

impl Default for EntryLimits {
    fn default() -> Self {
        Self {
            contents_bytes: CONTENTS_BYTES_MAX_DEFAULT,
            collections: COLLECTIONS_MAX_DEFAULT,
            tags: TAGS_MAX_DEFAULT,
        }
    }
}

/// Appends one entry to a collection, which begins with its first entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendEntry {
    collection: String,
    contents: String,
    tags: Vec<String>,
    visibility: Visibility,
    limits: EntryLimits,
}

impl AppendEntry {
    /// An entry for `collection` ([`DEFAULT_COLLECTION`] for none).
    ///
    /// # Errors
    /// The contents are too long, the collection id is empty or has control characters, or the
    /// tags cannot be: too many, too long, or on a private ledger.
    pub fn new(
        visibility: Visibility,
        limits: EntryLimits,
        collection: Option<String>,
        contents: String,
        tags: Vec<String>,
    ) -> Result<Self, Rejection> {
        let collection = collection.unwrap_or_else(|| DEFAULT_COLLECTION.to_owned());
        if contents.len() > limits.contents_bytes {
            let (length, limit) = (contents.len(), limits.contents_bytes);
            return Err(Rejection::EntrySizeCapacityExceeded { length, limit });
        }
        if collection.is_empty() || collection.chars().any(char::is_control) {
            return Err(invalid(
                "a collection id is not empty and has no control characters",
            ));
        }
        if !tags.is_empty() && visibility == Visibility::Private {
            return Err(invalid(
                "tags are for public ledgers only; this ledger is private",
            ));
        }
        if tags.len() > TAGS_PER_ENTRY_MAX {
            return Err(invalid(format!(
                "an entry has {TAGS_PER_ENTRY_MAX} tags at the most"
            )));
        }
        for tag in &tags {
            if tag.is_empty() || tag.chars().count() > TAG_CHARS_MAX {
                return Err(invalid(format!(
                    "a tag has 1 to {TAG_CHARS_MAX} characters"
                )));
            }
            if tag.chars().any(char::is_control) {
                return Err(invalid("a tag has no control characters"));
            }
        }
        Ok(Self {
            collection,
            contents,
            tags,
            visibility,
            limits,
        })
    }

    /// The collection it goes to.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    fn begin_collection(&self, tx: &mut Tx<'_>) -> Result<(), Rejection> {
        let table = self.visibility.collections();
        if tx.value(&table, self.collection.as_bytes()).is_some() {
            return Ok(());
        }
        let length = self.collection.len();
        if length > COLLECTION_ID_BYTES_MAX {
            let limit = COLLECTION_ID_BYTES_MAX;
            return Err(Rejection::CollectionIdTooLong { length, limit });
        }
        if self.collection != DEFAULT_COLLECTION {
            let limit = self.limits.collections;
            count_one_more(tx, &table, limit)
                .ok_or(Rejection::CollectionCapacityExceeded { limit })?;
        }
        tx.put(table, self.collection.as_bytes(), []);
        Ok(())
    }

    fn write_tags(&self, tx: &mut Tx<'_>) -> Result<(), Rejection> {
        for tag in &self.tags {
            let key = tag_key(&self.collection, tag);
            if tx.value(&TAGS, &key).is_none() {
                let limit = self.limits.tags;
                count_one_more(tx, &TAGS, limit).ok_or(Rejection::TagCapacityExceeded { limit })?;
                tx.put(TAGS, key.as_slice(), []);
            }
            tx.put(TAGGED, key, []);
        }
        Ok(())
    }
}

impl Transaction for AppendEntry {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        self.begin_collection(tx)?;
        self.write_tags(tx)?;
        let claims = ledger_entry_claims_digest(&self.collection, &self.contents, tx.claims_key());
        tx.put(self.visibility.entries(), self.collection, self.contents);
        Ok(claims)
    }
}

/// Counts one more in `table`, whose singleton key holds the number; `None` at the limit.
fn count_one_more(tx: &mut Tx<'_>, table: &Table, limit: u64) -> Option<()> {
    let count = tx.value(table, &SINGLETON).map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("a count has 8 bytes"))
    });
    if count >= limit {
        return None;
    }
    tx.put(table.clone(), SINGLETON, (count + 1).to_le_bytes());
    Some(())
}

/// The key under which a tag of a collection is kept in [`TAGS`] and [`TAGGED`].
pub fn tag_key(collection: &str, tag: &str) -> Vec<u8> {
    [collection.as_bytes(), b"\0", tag.as_bytes()].concat()
}

/// Splits what [`tag_key`] joined; `None` for the singleton that counts, and for damaged keys.
pub fn split_tag_key(key: &[u8]) -> Option<(&str, &str)> {
    let (collection, tag) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    (!collection.is_empty()).then_some((collection, tag))
}

/// What a user wrote, read back from the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// The collection.
    pub collection: String,
    /// The contents.
    pub contents: String,
    /// The tags, in alphabetical order.
    pub tags: Vec<String>,
}

impl UserEntry {
    /// Finds the user's entry among the writes of a transaction; `None` where it is none.
    pub fn from_writes(visibility: Visibility, writes: WriteSet) -> Option<Self> {
        let table = visibility.entries();
        let mut tags = Vec::new();
        let mut found = None;
        for write in writes.into_writes() {
            if write.table == TAGGED {
                tags.extend(split_tag_key(&write.key).map(|(_, tag)| tag.to_owned()));
            } else if write.table == table {
                found = Some((write.key, write.value?));
            }
        }
        let (collection, contents) = found?;
        Some(Self {
            collection: String::from_utf8(collection).ok()?,
            contents: String::from_utf8(contents).ok()?,
            tags,
        })
    }
}

fn invalid(text: impl Into<String>) -> Rejection {
    Rejection::InvalidInput(text.into())
}

#[cfg(test)]
mod tests {
    use verify::{Seqno, TxId, View};

    use super::*;
    use crate::kv::MemoryState;

    const ID: TxId = TxId::new(View(2), Seqno(17));

    fn append(
        state: &mut MemoryState,
        visibility: Visibility,
        limits: EntryLimits,
        collection: Option<&str>,
        tags: &[&str],
    ) -> Result<WriteSet, Rejection> {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let collection = collection.map(str::to_owned);
        let entry = AppendEntry::new(visibility, limits, collection, "text".to_owned(), tags)?;
        let mut tx = Tx::new(state, ID, [9; 32]);
        let claims = Box::new(entry).run(&mut tx)?;
        assert_ne!(claims, Digest::ZERO);
        let writes = tx.into_writes();
        state.apply(&writes);
        Ok(writes)
    }

    #[test]
    fn an_entry_without_a_collection_goes_to_the_default_one() {
        let mut state = MemoryState::default();
        let private = Visibility::Private;
        let writes = append(&mut state, private, EntryLimits::default(), None, &[]).unwrap();
        let entry = UserEntry::from_writes(private, writes).unwrap();
        assert_eq!(entry.collection, DEFAULT_COLLECTION);
        assert_eq!(entry.contents, "text");
    }

    #[test]
    fn at_the_limit_no_collection_begins_but_existing_ones_go_on() {
        let mut state = MemoryState::default();
        let limits = EntryLimits {
            collections: 1,
            ..EntryLimits::default()
        };
        let private = Visibility::Private;
        append(&mut state, private, limits, Some("a"), &[]).unwrap();
        append(&mut state, private, limits, None, &[]).unwrap();
        append(&mut state, private, limits, Some("a"), &[]).unwrap();
        assert_eq!(
            append(&mut state, private, limits, Some("b"), &[]),
            Err(Rejection::CollectionCapacityExceeded { limit: 1 })
        );
    }

    #[test]
    fn a_tag_counts_once_for_each_collection() {
        let mut state = MemoryState::default();
        let limits = EntryLimits {
            tags: 2,
            ..EntryLimits::default()
        };
        let public = Visibility::Public;
        append(&mut state, public, limits, Some("a"), &["x"]).unwrap();
        append(&mut state, public, limits, Some("a"), &["x"]).unwrap();
        let writes = append(&mut state, public, limits, Some("b"), &["x"]).unwrap();
        assert_eq!(UserEntry::from_writes(public, writes).unwrap().tags, ["x"]);
        assert_eq!(
            append(&mut state, public, limits, Some("c"), &["x"]),
            Err(Rejection::TagCapacityExceeded { limit: 2 })
        );
    }

    #[test]
    fn what_cannot_be_is_refused_before_it_runs() {
        let limits = EntryLimits {
            contents_bytes: 3,
            ..EntryLimits::default()
        };
        let new = |visibility, collection: &str, contents: &str, tags: &[&str]| {
            let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
            AppendEntry::new(
                visibility,
                limits,
                Some(collection.into()),
                contents.into(),
                tags,
            )
        };
        let (private, public) = (Visibility::Private, Visibility::Public);
        assert!(new(public, "a", "abc", &["x"]).is_ok());
        assert_eq!(
            new(public, "a", "abcd", &[]).unwrap_err().to_string(),
            "Entry contents of 4 bytes exceed the limit of 3 bytes."
        );
        assert!(new(private, "a", "abc", &["x"]).is_err());
        assert!(new(private, "", "abc", &[]).is_err());
        assert!(new(private, "a\0b", "abc", &[]).is_err());
        assert!(new(public, "a", "abc", &["x".repeat(65).as_str()]).is_err());
        assert!(new(public, "a", "abc", &[""]).is_err());
    }

    #[test]
    fn a_new_collection_id_has_256_bytes_at_the_most() {
        let mut state = MemoryState::default();
        let limits = EntryLimits::default();
        let longest = "c".repeat(256);
        let private = Visibility::Private;
        append(&mut state, private, limits, Some(&longest), &[]).unwrap();
        let longer = "c".repeat(257);
        assert_eq!(
            append(&mut state, private, limits, Some(&longer), &[]),
            Err(Rejection::CollectionIdTooLong {
                length: 257,
                limit: 256
            })
        );
    }
}
