//! Data beside the audit event that a receipt proves: whether it is what was recorded.

use std::path::Path;

use audit::model::content::altered;
use audit::model::{Content, Event, Salt, strict};
use serde_json::Value;
use verify::Claim;

use crate::report::Failure;

/// Data that somebody holds, and what is needed to compare it.
pub(crate) struct Held {
    data: Value,
    salt: Option<Salt>,
    /// What the file with the receipt says was recorded. It is believed only if its hash is.
    kept: Option<Value>,
}

/// What came of comparing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It is what was recorded.
    Same,
    /// It is not; these fields differ, as far as that is known.
    Altered(Vec<String>),
}

impl Held {
    /// Data from a file. Salt and recorded data are taken from the file with the receipt, if it is a proof
    /// as the audit's pages hand it out.
    pub(crate) fn read(path: &Path, proof: &[u8], salt: Option<Salt>) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(Failure::reading(path))?;
        let data = strict::parse(&bytes).map_err(|error| {
            Failure::unreadable(format!("{} is no JSON", path.display())).because(error)
        })?;
        let proof: Value = serde_json::from_slice(proof).unwrap_or_default();
        let audit = &proof["audit"];
        let named = audit["salt"].as_str().and_then(|salt| salt.parse().ok());
        Ok(Self {
            data,
            salt: salt.or(named),
            kept: audit.get("data").cloned(),
        })
    }

    /// Compares it with the event that claims of a proven receipt show.
    pub(crate) fn compare(&self, claims: &[Claim]) -> Result<Compared, Failure> {
        let event = claims.iter().find_map(|claim| match claim {
            Claim::LedgerEntry { contents, .. } => Event::from_canonical(contents).ok(),
            _ => None,
        });
        let event = event.ok_or_else(|| {
            Failure::unreadable("the receipt shows no event of an audit to compare data with")
        })?;
        self.compare_with(&event)
    }

    /// Compares it with a proven event.
    pub(crate) fn compare_with(&self, event: &Event) -> Result<Compared, Failure> {
        let Some(salt) = &self.salt else {
            let failure = Failure::unreadable("the hash of recorded data has a salt");
            return Err(failure.hint("say it with --salt; storing and consulting answer with it"));
        };
        let is_recorded = |data: &Value| {
            let content = Content::of(data).map_err(|error| {
                Failure::unreadable("the data cannot be a record's").because(error)
            });
            content.map(|content| content.hash(salt) == event.what.hash)
        };
        if is_recorded(&self.data)? {
            return Ok(Compared::Same);
        }
        let fields = match &self.kept {
            Some(kept) if is_recorded(kept)? => altered(kept, &self.data),
            _ => Vec::new(),
        };
        Ok(Compared::Altered(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SALT: Salt = Salt([7; 32]);

    fn claims(data: &Value) -> Vec<Claim> {
        let hash = Content::of(data).unwrap().hash(&SALT);
        let contents = format!(
            r#"{{"how":"create","record":"lot-7","target":"","type":"counterfoil.audit.event/1","version":1,"what":{{"about":[{{"id":"lot:7"}}],"did":"weigh","hash":"{hash}"}},"when":"2026-11-30T08:00:00.000Z","where":"","who":"ana"}}"#
        );
        vec![Claim::LedgerEntry {
            collection_id: "bitacora:ana".to_owned(),
            contents,
            secret_key: [0; 32],
        }]
    }

    fn held(data: Value, kept: Option<Value>) -> Held {
        let salt = Some(SALT);
        Held { data, salt, kept }
    }

    #[test]
    fn data_is_compared_with_the_recorded_hash() {
        let recorded = json!({"kg": 20, "grade": "A"});
        let claims = claims(&recorded);
        let same = held(json!({"grade": "A", "kg": 20.0}), None);
        assert_eq!(same.compare(&claims).unwrap(), Compared::Same);
        let other = json!({"kg": 21, "grade": "A"});
        let named = held(other.clone(), Some(recorded))
            .compare(&claims)
            .unwrap();
        assert_eq!(named, Compared::Altered(vec!["/kg".to_owned()]));
        // What the file says was recorded is not: no field is named by it.
        let forged = held(other, Some(json!({"kg": 22})))
            .compare(&claims)
            .unwrap();
        assert_eq!(forged, Compared::Altered(Vec::new()));
    }

    #[test]
    fn without_a_salt_or_an_event_nothing_is_said() {
        let data = json!(1);
        let unsalted = Held {
            salt: None,
            ..held(data.clone(), None)
        };
        assert!(unsalted.compare(&claims(&data)).is_err());
        assert!(held(data, None).compare(&[]).is_err());
    }
}
