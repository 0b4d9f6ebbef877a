//! The packer sorts what the farmer picked into cases of four kilograms, and builds pallets of them.

use serde_json::json;

use crate::book::{Book, rows};
use crate::directory::Role;
use crate::event::{Place, event, kilograms, pieces};
use crate::{farmer, gs1};

rows! {
    /// A lot of cases, packed from a lot of picked fruit.
    Packing in "packings" {
        lot: String,
        /// The farmer's lot.
        harvest: String,
        /// When it was picked, as the cases say: a date.
        picked: String,
        kilograms: f64,
        cases: i64,
        /// Fruits in a case.
        calibre: i64,
        line: String,
        packed: String,
        /// The last good day, a date.
        best_before: String,
    } as |row| event("TransformationEvent", "packing", &row.packed, &house(), json!({
        "inputQuantityList": kilograms(&farmer::class(&row.harvest), row.kilograms),
        "outputQuantityList": pieces(&class(&row.lot), row.cases),
        "ilmd": {
            "cbvmda:lotNumber": row.lot,
            "cbvmda:harvestStartDate": row.picked,
            "cbvmda:bestBeforeDate": row.best_before,
            "avo:calibre": row.calibre,
        },
        "avo:line": row.line,
    }))
}

rows! {
    /// A pallet.
    Pallet in "pallets" {
        sscc: String,
        /// The lot of the cases on it.
        lot: String,
        cases: i64,
        loaded: String,
        /// Where it waits for its truck, degrees Celsius.
        chamber: f64,
    } as |row| event("AggregationEvent", "loading", &row.loaded, &house(), json!({
        "action": "ADD",
        "parentID": gs1::pallet(&row.sscc),
        "childQuantityList": pieces(&class(&row.lot), row.cases),
        "avo:chamberTemperature": row.chamber,
    }))
}

/// What the packer keeps.
pub(crate) const BOOKS: &[Book] = &[Book::of::<Packing>(), Book::of::<Pallet>()];

/// The packing house.
pub(crate) fn house() -> Place<'static> {
    Place {
        name: "Empaque El Zorzal, Uruapan",
        latitude: 19.3906,
        longitude: -102.0436,
        gln: gs1::place(Role::Packer.prefix(), 1),
    }
}

/// The name of a lot of cases: what consumers find on the label.
pub(crate) fn class(lot: &str) -> String {
    gs1::lot(1, Role::Packer.prefix(), 10, lot)
}
