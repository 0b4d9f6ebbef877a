//! Versions of the REST API, by the date in their name.

use crate::error::{ApiError, Code};

/// A version that a caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(&'static str);

/// Oldest first: their names sort by date.
const KNOWN: [&str; 9] = [
    "0.1-preview",
    "2022-04-20-preview",
    "2022-05-13",
    "2023-01-18-preview",
    "2024-01-26-preview",
    "2024-07-26-preview",
    "2024-08-22-preview",
    "2024-12-09-preview",
    "2026-07-31-preview",
];

/// The version of CCF's governance API, the only one that is spoken.
const GOVERNANCE: &str = "2024-07-01";

/// Refuses any other version of the governance API.
///
/// # Errors
/// None is asked for, or another one.
pub(crate) fn require_governance(text: Option<&str>) -> Result<(), ApiError> {
    match text {
        Some(GOVERNANCE) => Ok(()),
        None => Err(ApiError::new(
            Code::MissingApiVersionParameter,
            "The api-version query parameter (?api-version=) is required.",
        )),
        Some(other) => {
            let message = format!(
                "Unsupported api-version {other:?}. The supported api-versions are: {GOVERNANCE}."
            );
            Err(ApiError::new(Code::UnsupportedApiVersionValue, message))
        }
    }
}

impl ApiVersion {
    /// What is spoken where no version is asked for.
    pub(crate) const NEWEST: Self = Self(KNOWN[KNOWN.len() - 1]);

    /// Reads the `api-version` query parameter.
    ///
    /// # Errors
    /// There is none, or nobody knows it.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let text = text.ok_or_else(|| {
            let message = "The api-version query parameter (?api-version=) is required.";
            ApiError::new(Code::MissingApiVersionParameter, message)
        })?;
        // The newest are the most frequent.
        KNOWN
            .iter()
            .rev()
            .find(|known| **known == text)
            .map(|known| Self(known))
            .ok_or_else(|| {
                let known = KNOWN.join(", ");
                let message = format!(
                    "Unsupported api-version {text:?}. The supported api-versions are: {known}."
                );
                ApiError::new(Code::UnsupportedApiVersionValue, message)
            })
    }

    /// Since when writes say whether they are committed, and custom roles are removed with 204.
    pub(crate) fn says_state(self) -> bool {
        self.0 >= "2026-07-31"
    }

    /// Since when users have several roles, so that `/app/users` can no longer change them.
    pub(crate) fn has_ledger_users(self) -> bool {
        self.0 >= "2024-08-26"
    }

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_sorted_and_the_named_ones_are_known() {
        assert!(KNOWN.is_sorted());
        for text in ["2022-05-13", "2024-12-09-preview", "2026-07-31-preview"] {
            assert_eq!(ApiVersion::parse(Some(text)).unwrap().as_str(), text);
        }
        assert!(ApiVersion::parse(Some("2022-05-14")).is_err());
        assert!(ApiVersion::parse(None).is_err());
    }

    #[test]
    fn several_roles_came_after_the_first_preview_that_named_them() {
        let version = |text| ApiVersion::parse(Some(text)).unwrap();
        assert!(!version("2022-05-13").has_ledger_users());
        assert!(!version("2024-08-22-preview").has_ledger_users());
        assert!(version("2024-12-09-preview").has_ledger_users());
        assert!(!version("2024-12-09-preview").says_state());
        assert!(ApiVersion::NEWEST.says_state());
    }
}
