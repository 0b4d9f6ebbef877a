//! What can go wrong for a company.

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway did not answer, or not with JSON: try again when it is there.
    #[error("the audit's gateway does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// The gateway refused, and said why: what was asked has to change.
    #[error("the audit's gateway refused {what}: {status} {said}")]
    Refused {
        /// Which request.
        what: String,
        /// The status of HTTP.
        status: u16,
        /// The problem as the gateway described it.
        said: String,
    },
    /// The company's own database failed.
    #[error("the company's database")]
    Database(#[from] sqlx::Error),
    /// A row is none of its table: whoever sent it has to change it.
    #[error("this is no row of {table}: {why}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A row makes no valid event.
    #[error("an event is not as EPCIS has it: {0}")]
    Event(String),
    /// A company does not answer the player of the season, or another company.
    #[error("{0} does not answer as it should: {1}")]
    Company(&'static str, String),
    /// A file or a place to listen at.
    #[error("{0}")]
    File(String, #[source] std::io::Error),
    /// There are accounts missing.
    #[error("{0}")]
    Accounts(String),
}

impl Error {
    /// For `map_err`: about a file.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::File(path, error)
    }
}
