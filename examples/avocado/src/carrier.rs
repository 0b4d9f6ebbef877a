//! The carrier takes pallets from the packing house to the towns, in cold trucks.

use serde_json::{Value, json};

use crate::book::{Book, rows};
use crate::directory::Role;
use crate::event::{Place, event, temperatures};
use crate::{gs1, packer};

rows! {
    /// A truck that left the packing house.
    Departure in "departures" {
        trip: String,
        /// The pallets' numbers, with blanks between them.
        pallets: String,
        truck: String,
        departed: String,
        /// What the cooling is set to, degrees Celsius.
        set_point: f64,
    } as |row| event("ObjectEvent", "departing", &row.departed, &packer::house(), json!({
        "action": "OBSERVE",
        "disposition": "in_transit",
        "epcList": names(&row.pallets),
        "avo:trip": row.trip,
        "avo:truck": row.truck,
        "avo:setPoint": row.set_point,
    }))
}

rows! {
    /// The truck in its town.
    Arrival in "arrivals" {
        trip: String,
        pallets: String,
        depot: String,
        number: i64,
        latitude: f64,
        longitude: f64,
        arrived: String,
        /// Temperatures on the way, degrees Celsius.
        coldest: f64,
        mean: f64,
        warmest: f64,
        kilometres: i64,
    } as |row| event("ObjectEvent", "arriving", &row.arrived, &row.place(), json!({
        "action": "OBSERVE",
        "disposition": "in_transit",
        "epcList": names(&row.pallets),
        "sensorElementList": temperatures(row.coldest, row.mean, row.warmest),
        "avo:trip": row.trip,
        "avo:kilometres": row.kilometres,
    }))
}

/// What the carrier keeps.
pub(crate) const BOOKS: &[Book] = &[Book::of::<Departure>(), Book::of::<Arrival>()];

impl Arrival {
    fn place(&self) -> Place<'_> {
        Place {
            name: &self.depot,
            latitude: self.latitude,
            longitude: self.longitude,
            gln: gs1::place(Role::Carrier.prefix(), self.number.unsigned_abs() as u32),
        }
    }
}

fn names(pallets: &str) -> Vec<Value> {
    let names = pallets.split_whitespace().map(gs1::pallet);
    names.map(Value::from).collect()
}
