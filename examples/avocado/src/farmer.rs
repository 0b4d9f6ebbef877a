//! The farmer picks lots of fruit in orchards of Michoacán and Jalisco.

use serde_json::json;

use crate::book::{Book, rows};
use crate::directory::Role;
use crate::event::{Place, event, kilograms};
use crate::gs1;

rows! {
    /// A lot that was picked.
    Harvest in "harvests" {
        lot: String,
        orchard: String,
        /// The number of the orchard.
        number: i64,
        municipality: String,
        latitude: f64,
        longitude: f64,
        /// When it was weighed, RFC 3339.
        picked: String,
        kilograms: f64,
        crates: i64,
        /// Dry matter of the flesh, per cent; below 21.5 it is not picked for export.
        dry_matter: f64,
        crew: String,
    } as |row| event("ObjectEvent", "commissioning", &row.picked, &row.place(), json!({
        "action": "ADD",
        "disposition": "active",
        "quantityList": kilograms(&class(&row.lot), row.kilograms),
        "ilmd": {
            "cbvmda:harvestStartDate": row.picked.get(..10),
            "cbvmda:countryOfOrigin": "MX",
            "avo:variety": "Hass",
            "avo:dryMatter": row.dry_matter,
        },
        "avo:crates": row.crates,
        "avo:crew": row.crew,
    }))
}

/// What the farmer keeps.
pub(crate) const BOOKS: &[Book] = &[Book::of::<Harvest>()];

impl Harvest {
    fn place(&self) -> Place<'_> {
        Place {
            name: &self.orchard,
            latitude: self.latitude,
            longitude: self.longitude,
            gln: gs1::place(Role::Farmer.prefix(), self.number.unsigned_abs() as u32),
        }
    }
}

/// The name of a lot of picked fruit.
pub(crate) fn class(lot: &str) -> String {
    gs1::lot(0, Role::Farmer.prefix(), 1, lot)
}
