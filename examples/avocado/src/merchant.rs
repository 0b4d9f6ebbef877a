//! The merchant takes pallets in at its shops, and puts the fruit on the shelf.

use serde_json::json;

use crate::book::{Book, rows};
use crate::directory::Role;
use crate::event::{Place, event, pieces, temperatures};
use crate::{gs1, packer};

rows! {
    /// A pallet that came to a shop.
    Delivery in "deliveries" {
        sscc: String,
        shop: String,
        number: i64,
        latitude: f64,
        longitude: f64,
        received: String,
        /// In the middle of a fruit, degrees Celsius.
        core: f64,
    } as |row| event("ObjectEvent", "receiving", &row.received, &row.place(), json!({
        "action": "OBSERVE",
        "disposition": "in_progress",
        "epcList": [gs1::pallet(&row.sscc)],
        "sensorElementList": temperatures(row.core, row.core, row.core),
    }))
}

rows! {
    /// A lot on the shelf.
    Shelf in "shelves" {
        lot: String,
        shop: String,
        number: i64,
        latitude: f64,
        longitude: f64,
        cases: i64,
        placed: String,
        /// Pesos for a kilogram.
        price: f64,
    } as |row| event("ObjectEvent", "stocking", &row.placed, &row.place(), json!({
        "action": "OBSERVE",
        "disposition": "sellable_accessible",
        "quantityList": pieces(&packer::class(&row.lot), row.cases),
        "avo:pesosPerKilogram": row.price,
    }))
}

/// What the merchant keeps.
pub(crate) const BOOKS: &[Book] = &[Book::of::<Delivery>(), Book::of::<Shelf>()];

impl Delivery {
    fn place(&self) -> Place<'_> {
        shop(&self.shop, self.number, self.latitude, self.longitude)
    }
}

impl Shelf {
    fn place(&self) -> Place<'_> {
        shop(&self.shop, self.number, self.latitude, self.longitude)
    }
}

fn shop(name: &str, number: i64, latitude: f64, longitude: f64) -> Place<'_> {
    Place {
        name,
        latitude,
        longitude,
        gln: gs1::place(Role::Merchant.prefix(), number.unsigned_abs() as u32),
    }
}
