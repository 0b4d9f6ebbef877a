//! A season that a seed fixes: which lot was picked where, packed when, taken where; and how it is played.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::book::Row;
use crate::carrier::{Arrival, Departure};
use crate::directory::Role;
use crate::farmer::{self, Harvest};
use crate::merchant::{Delivery, Shelf};
use crate::packer::{self, Packing, Pallet};
use crate::places::{ORCHARDS, TOWNS, Town};
use crate::random::Random;
use crate::{Companies, Error, gs1};

/// The first day of picking, and how many follow.
const FIRST_DAY: OffsetDateTime = datetime!(2026-10-05 00:00 -6);
const DAYS: usize = 45;
/// Pallets on a truck, one lot each.
const TRUCK: usize = 20;
/// Trucks that are worked on at the same time.
const TRUCKS_TOGETHER: usize = 4;

/// A season.
#[derive(Debug)]
pub struct Season {
    trucks: Vec<Truck>,
    lots: Vec<Lot>,
}

/// What is known of a lot from the beginning: the names under which each stage knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lot {
    /// The number of the lot of cases, as consumers find it.
    pub number: String,
    /// The picked fruit.
    pub harvest: String,
    /// The cases.
    pub cases: String,
    /// The pallet.
    pub pallet: String,
}

/// What one truck takes, and all that was done for it.
#[derive(Debug, Default)]
struct Truck {
    harvests: Vec<Harvest>,
    packings: Vec<Packing>,
    pallets: Vec<Pallet>,
    departures: Vec<Departure>,
    arrivals: Vec<Arrival>,
    deliveries: Vec<Delivery>,
    shelves: Vec<Shelf>,
}

impl Season {
    /// A season of so many lots. The same seed gives the same season.
    pub fn new(seed: u64, lots: usize) -> Self {
        let mut random = Random::new(seed);
        let mut season = Self {
            trucks: Vec::new(),
            lots: Vec::new(),
        };
        for first in (0..lots).step_by(TRUCK) {
            let truck = season.truck(&mut random, first, lots);
            season.trucks.push(truck);
        }
        season
    }

    /// The lots, in the order of their picking.
    pub fn lots(&self) -> &[Lot] {
        &self.lots
    }

    /// How many events the companies store.
    pub fn events(&self) -> usize {
        self.trucks.iter().map(Truck::events).sum()
    }

    /// Lets the companies work, over their own services. `done` hears of each step how many events it stored.
    ///
    /// # Errors
    /// A company does not answer, or could not do it.
    pub async fn play(&self, companies: &Companies, done: impl Fn(usize)) -> Result<(), Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(Error::Unreachable)?;
        let trucks = stream::iter(&self.trucks).map(|truck| truck.play(companies, &client, &done));
        trucks.buffer_unordered(TRUCKS_TOGETHER).try_collect().await
    }

    /// One truck and its lots, up to their shelves.
    fn truck(&mut self, random: &mut Random, first: usize, lots: usize) -> Truck {
        let last = lots.min(first + TRUCK);
        let (number, trucks) = (first / TRUCK, lots.div_ceil(TRUCK));
        let day = FIRST_DAY + Duration::days((number * DAYS / trucks) as i64);
        // Half of it is picked on the next day.
        let morning = |lot: usize| day + Duration::days(((lot - first) * 2 / TRUCK) as i64);
        let trip = format!("RF26-{:04}", number + 1);
        let town = random.of(&TOWNS);
        let mut truck = Truck::default();
        // It leaves in the evening of the day on which its last lot is packed.
        let departed = morning(last - 1)
            + Duration::days(1)
            + Duration::minutes(random.between(19 * 60, 21 * 60));
        for lot in first..last {
            self.lots
                .push(truck.fill(random, lot, morning(lot), departed));
        }
        let pallets: Vec<&str> = truck
            .pallets
            .iter()
            .map(|pallet| pallet.sscc.as_str())
            .collect();
        let pallets = pallets.join(" ");
        let hours = town.kilometres * 60 / 62 + random.between(20, 140);
        let arrived = departed + Duration::minutes(hours);
        let mean = random.tenths(52, 61);
        truck.departures.push(Departure {
            trip: trip.clone(),
            pallets: pallets.clone(),
            truck: format!(
                "{:03}-FR-{}",
                random.between(101, 980),
                random.between(1, 9)
            ),
            departed: text(departed),
            set_point: 5.5,
        });
        truck.arrivals.push(Arrival {
            trip,
            pallets,
            depot: format!("Depot of Ruta Fría, {}", town.name),
            number: 10
                + TOWNS
                    .iter()
                    .position(|other| other.name == town.name)
                    .unwrap_or(0) as i64,
            latitude: town.latitude,
            longitude: town.longitude,
            arrived: text(arrived),
            coldest: tenth(mean - random.tenths(4, 11)),
            mean,
            warmest: tenth(mean + random.tenths(4, 14)),
            kilometres: town.kilometres,
        });
        for place in 0..truck.pallets.len() {
            truck.sell(random, place, town, arrived);
        }
        truck
    }
}

impl Truck {
    /// Picks and packs one lot.
    fn fill(
        &mut self,
        random: &mut Random,
        lot: usize,
        morning: OffsetDateTime,
        departs: OffsetDateTime,
    ) -> Lot {
        let orchard = random.between(0, ORCHARDS.len() as i64 - 1);
        let (name, municipality, latitude, longitude, code) = ORCHARDS[orchard as usize];
        let picked = morning + Duration::minutes(random.between(8 * 60, 13 * 60));
        let (date, month, day) = (
            picked.date().to_string(),
            u8::from(picked.month()),
            picked.day(),
        );
        let harvest = format!("{code}-26{month:02}{day:02}-{:04}", lot + 1);
        let kilograms = random.tenths(8_600, 10_400);
        self.harvests.push(Harvest {
            lot: harvest.clone(),
            orchard: format!("{name}, {municipality}"),
            number: orchard + 1,
            municipality: municipality.to_owned(),
            latitude,
            longitude,
            picked: text(picked),
            kilograms,
            crates: (kilograms / 22.0).ceil() as i64,
            dry_matter: random.tenths(216, 289),
            crew: format!("Cuadrilla {}", random.between(1, 14)),
        });
        let number = format!("EZ26-{:05}", lot + 1);
        let cases = ((kilograms - random.tenths(180, 420)) / 4.0).floor() as i64;
        let packed =
            morning + Duration::days(1) + Duration::minutes(random.between(7 * 60, 13 * 60));
        self.packings.push(Packing {
            lot: number.clone(),
            harvest: harvest.clone(),
            picked: date,
            kilograms,
            cases,
            calibre: *random.of(&[32, 36, 40, 48, 60, 70]),
            line: format!("Line {}", random.between(1, 4)),
            packed: text(packed),
            best_before: (picked + Duration::days(28)).date().to_string(),
        });
        let sscc = gs1::sscc(Role::Packer.prefix(), lot as u32 + 1);
        let loaded = (packed + Duration::minutes(random.between(70, 240)))
            .min(departs - Duration::minutes(30));
        self.pallets.push(Pallet {
            sscc: sscc.clone(),
            lot: number.clone(),
            cases,
            loaded: text(loaded),
            chamber: random.tenths(48, 62),
        });
        Lot {
            harvest: farmer::class(&harvest),
            cases: packer::class(&number),
            pallet: gs1::pallet(&sscc),
            number,
        }
    }

    /// Brings one pallet to a shop of the town.
    fn sell(&mut self, random: &mut Random, place: usize, town: &Town, arrived: OffsetDateTime) {
        let pallet = &self.pallets[place];
        let at = random.between(0, town.shops.len() as i64 - 1);
        let shop = format!("Mercado Vivo {}, {}", town.shops[at as usize], town.name);
        // Shops of a town are some kilometres apart.
        let near = |middle: f64, step: i64| ((middle + step as f64 * 0.011) * 1e4).round() / 1e4;
        let (latitude, longitude) = (
            near(town.latitude, 2 * at - 3),
            near(town.longitude, 3 - at * at),
        );
        let number = 100 + town.kilometres + at;
        let received = arrived + Duration::minutes(random.between(50, 200));
        self.deliveries.push(Delivery {
            sscc: pallet.sscc.clone(),
            shop: shop.clone(),
            number,
            latitude,
            longitude,
            received: text(received),
            core: random.tenths(58, 74),
        });
        self.shelves.push(Shelf {
            lot: pallet.lot.clone(),
            shop,
            number,
            latitude,
            longitude,
            cases: pallet.cases,
            placed: text(received + Duration::hours(random.between(14, 40))),
            price: random.tenths(640, 990),
        });
    }

    fn events(&self) -> usize {
        let of_lots = [self.harvests.len(), self.packings.len(), self.pallets.len()];
        let of_shops = [self.deliveries.len(), self.shelves.len()];
        of_lots.iter().chain(&of_shops).sum::<usize>() + self.departures.len() + self.arrivals.len()
    }

    /// One company after the other, as the fruit goes.
    async fn play(
        &self,
        companies: &Companies,
        client: &reqwest::Client,
        done: &impl Fn(usize),
    ) -> Result<(), Error> {
        let steps = [
            (Role::Farmer, step(&self.harvests)),
            (Role::Packer, step(&self.packings)),
            (Role::Packer, step(&self.pallets)),
            (Role::Carrier, step(&self.departures)),
            (Role::Carrier, step(&self.arrivals)),
            (Role::Merchant, step(&self.deliveries)),
            (Role::Merchant, step(&self.shelves)),
        ];
        for (role, (table, rows)) in steps {
            let failed = |error: reqwest::Error| Error::Company(role.name(), error.to_string());
            let request = client
                .post(format!("{}/{table}", companies.url(role)))
                .json(&rows);
            let answer = request.send().await.map_err(failed)?;
            if !answer.status().is_success() {
                let said = answer.text().await.map_err(failed)?;
                return Err(Error::Company(role.name(), said));
            }
            done(rows.len());
        }
        Ok(())
    }
}

fn step<T: Row>(rows: &[T]) -> (&'static str, Vec<Value>) {
    (T::TABLE, rows.iter().map(|row| json!(row)).collect())
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::record;
    use std::collections::HashSet;

    fn events(season: &Season) -> Vec<Value> {
        fn of<T: Row>(rows: &[T]) -> impl Iterator<Item = Value> {
            rows.iter().map(Row::event)
        }
        let trucks = season.trucks.iter();
        let all = trucks.flat_map(|truck| {
            of(&truck.harvests)
                .chain(of(&truck.packings))
                .chain(of(&truck.pallets))
                .chain(of(&truck.departures))
                .chain(of(&truck.arrivals))
                .chain(of(&truck.deliveries))
                .chain(of(&truck.shelves))
                .collect::<Vec<_>>()
        });
        all.collect()
    }

    #[test]
    fn a_season_is_valid_epcis_and_no_event_is_like_another() {
        let season = Season::new(7, 130);
        let events = events(&season);
        assert_eq!((season.lots().len(), events.len()), (130, season.events()));
        let names: HashSet<String> = events.iter().map(|event| record(event).unwrap()).collect();
        assert_eq!(names.len(), events.len());
    }

    #[test]
    fn the_same_seed_is_the_same_season() {
        let play = |seed| events(&Season::new(seed, 25));
        assert_eq!(play(3), play(3));
        assert_ne!(play(3), play(4));
    }

    #[test]
    fn fruit_goes_forward_in_time() {
        for truck in Season::new(11, 90).trucks {
            let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).unwrap();
            for place in 0..truck.harvests.len() {
                let way = [
                    &truck.harvests[place].picked,
                    &truck.packings[place].packed,
                    &truck.pallets[place].loaded,
                    &truck.departures[0].departed,
                    &truck.arrivals[0].arrived,
                    &truck.deliveries[place].received,
                    &truck.shelves[place].placed,
                ];
                assert!(way.map(|text| time(text)).is_sorted(), "{way:?}");
            }
            let arrival = &truck.arrivals[0];
            assert!(arrival.coldest < arrival.mean && arrival.mean < arrival.warmest);
        }
    }
}
