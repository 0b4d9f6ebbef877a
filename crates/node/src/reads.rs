//! What can be asked of a node later: entries by id, by range, by collection and tag.
//!
//! Only committed entries are ever shown. Contents are read from the ledger files; nothing is
//! fetched in the background, so there is no "loading".

use ledger::entries::{UserEntry, tag_key};
use ledger::tables::{Kept, TAGGED, TAGS};
use ledger::{Entry, WriteSet};
use store::Reader;
use verify::{Seqno, TxId, TxStatus};

use crate::Node;

/// Something and the transaction that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The transaction.
    pub id: TxId,
    /// What it wrote.
    pub value: T,
}

/// Which entries are asked for.
#[derive(Debug, Clone)]
pub struct EntryQuery {
    /// The collection.
    pub collection: String,
    /// Only entries with this tag.
    pub tag: Option<String>,
    /// The first seqno that may be among them.
    pub from: Seqno,
    /// The last seqno that may be among them.
    pub to: Seqno,
    /// How many at the most.
    pub limit: usize,
}

/// Entries in the order of the ledger.
#[derive(Debug, Clone, Default)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Placed<UserEntry>>,
    /// The first entry of the next page; `None` at the end.
    pub next: Option<TxId>,
}

/// Why something cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// This node has never heard of it. It may yet appear.
    #[error("transaction {0} is not known")]
    Unknown(TxId),
    /// It has a place, but is not committed yet. Ask again.
    #[error("transaction {0} is not committed yet")]
    Pending(TxId),
    /// It was lost, and another transaction has its place. It will never be.
    #[error("transaction {0} is invalid: it was not committed, and never will be")]
    Invalid(TxId),
    /// It is committed, but no user wrote it.
    #[error("transaction {0} is not an entry of a user")]
    NotAnEntry(TxId),
    /// The collection has no entry, or had none at that time.
    #[error("the collection {0:?} has no entry")]
    NoSuchCollection(String),
    /// The ledger is being recovered from a disaster, and members have not given their shares yet. Ask
    /// again when the service is open.
    #[error(
        "what was private at seqno {0} cannot be read before members have given their recovery shares"
    )]
    NotRecovered(Seqno),
    /// A file of this node is damaged. The operator must restore it; other nodes have it intact.
    #[error("this node's files are damaged: {0}")]
    Damaged(String),
    /// A file of this node cannot be read.
    #[error("a file of this node cannot be read")]
    Files(#[from] store::ReadError),
}

impl Node {
    /// The entry of `collection` as of the transaction `id`: what `id` wrote, or else the last entry
    /// before it. Without a collection: what `id` itself wrote.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn entry(
        &self,
        id: TxId,
        collection: Option<&str>,
    ) -> Result<Placed<UserEntry>, ReadError> {
        self.require_committed(id)?;
        let own = self.user_entry(id.seqno)?;
        match (own, collection) {
            (Some(own), None) => Ok(own),
            (None, None) => Err(ReadError::NotAnEntry(id)),
            (Some(own), Some(collection)) if own.value.collection == collection => Ok(own),
            (_, Some(collection)) => self.latest_entry(collection, id.seqno),
        }
    }

    /// The last committed entry of `collection`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn current_entry(&self, collection: &str) -> Result<Placed<UserEntry>, ReadError> {
        self.latest_entry(collection, self.committed().seqno)
    }

    /// Committed entries of one collection, oldest first.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn entries(&self, query: &EntryQuery) -> Result<EntryPage, ReadError> {
        let to = query.to.min(self.committed().seqno);
        let (table, key) = match &query.tag {
            Some(tag) => (TAGGED, tag_key(&query.collection, tag)),
            None => (
                self.visibility().entries(),
                query.collection.clone().into_bytes(),
            ),
        };
        debug_assert_eq!(table.kept(), Kept::Stream);
        let mut seqnos =
            self.reader()
                .stream(&table, &key, query.from..=to, query.limit.saturating_add(1))?;
        let next = if seqnos.len() > query.limit {
            seqnos.pop()
        } else {
            None
        };
        let entries = seqnos
            .into_iter()
            .map(|seqno| {
                self.user_entry(seqno)?.ok_or_else(|| {
                    ReadError::Damaged(format!("the index names seqno {seqno}, which is no entry"))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(EntryPage {
            entries,
            next: next.and_then(|seqno| self.tx_id_at(seqno)),
        })
    }

    /// All collections that have an entry, sorted.
    pub fn collections(&self) -> Vec<String> {
        let rows = self
            .state()
            .values(&self.visibility().collections())
            .into_iter();
        rows.filter(|(key, _)| *key != ledger::tables::SINGLETON)
            .filter_map(|(key, _)| String::from_utf8(key).ok())
            .collect()
    }

    /// All tags in use in a collection, sorted.
    pub fn tags(&self, collection: &str) -> Vec<String> {
        let rows = self.state().values(&TAGS).into_iter();
        rows.filter_map(|(key, _)| {
            let (of, tag) = ledger::entries::split_tag_key(&key)?;
            (of == collection).then(|| tag.to_owned())
        })
        .collect()
    }

    /// What has become of a transaction.
    pub fn status(&self, id: TxId) -> TxStatus {
        let committed = self.committed();
        if id.seqno == Seqno::ZERO {
            return TxStatus::Invalid;
        }
        if id.seqno <= committed.seqno {
            return match self.reader().view_at(id.seqno) {
                Some(view) if view == id.view => TxStatus::Committed,
                _ => TxStatus::Invalid,
            };
        }
        match id.view.cmp(&self.established()) {
            std::cmp::Ordering::Less => TxStatus::Invalid,
            std::cmp::Ordering::Equal if id.seqno <= self.executed() => TxStatus::Pending,
            _ => TxStatus::Unknown,
        }
    }

    /// Refuses what is not committed.
    pub(crate) fn require_committed(&self, id: TxId) -> Result<(), ReadError> {
        match self.status(id) {
            TxStatus::Committed => Ok(()),
            TxStatus::Pending => Err(ReadError::Pending(id)),
            TxStatus::Invalid => Err(ReadError::Invalid(id)),
            TxStatus::Unknown => Err(ReadError::Unknown(id)),
        }
    }

    fn latest_entry(&self, collection: &str, up_to: Seqno) -> Result<Placed<UserEntry>, ReadError> {
        let none = || ReadError::NoSuchCollection(collection.to_owned());
        let table = self.visibility().entries();
        let seqno = self
            .reader()
            .latest(&table, collection.as_bytes(), up_to)?
            .ok_or_else(none)?;
        self.user_entry(seqno)?.ok_or_else(none)
    }

    /// All that the committed entry at `seqno` wrote.
    ///
    /// # Errors
    /// It is not there, is damaged, or its secret is not known after a disaster.
    pub fn writes_at(&self, seqno: Seqno) -> Result<WriteSet, ReadError> {
        Ok(self.opened(seqno)?.value)
    }

    fn user_entry(&self, seqno: Seqno) -> Result<Option<Placed<UserEntry>>, ReadError> {
        let Placed { id, value } = self.opened(seqno)?;
        let value = UserEntry::from_writes(self.visibility(), value);
        Ok(value.map(|value| Placed { id, value }))
    }

    fn opened(&self, seqno: Seqno) -> Result<Placed<WriteSet>, ReadError> {
        let bytes = entry_bytes(self.reader(), seqno)?;
        let damaged = |error| ReadError::Damaged(format!("the entry at seqno {seqno}: {error}"));
        let entry = Entry::parse(&bytes).map_err(damaged)?;
        let value = entry.writes(&*self.secret_of(seqno)?).map_err(damaged)?;
        Ok(Placed {
            id: entry.id,
            value,
        })
    }

    pub(crate) fn tx_id_at(&self, seqno: Seqno) -> Option<TxId> {
        self.reader()
            .view_at(seqno)
            .map(|view| TxId::new(view, seqno))
    }
}

/// The bytes of a committed entry.
pub(crate) fn entry_bytes(reader: &Reader, seqno: Seqno) -> Result<Vec<u8>, ReadError> {
    reader.entry(seqno)?.ok_or_else(|| {
        ReadError::Damaged(format!(
            "the entry at seqno {seqno} is committed, but not there"
        ))
    })
}
