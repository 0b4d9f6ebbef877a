//! Where fruit grows and where it is eaten: places as they are on a map, with invented orchards and shops.

/// Orchard, municipality, latitude, longitude, how its lots begin. The municipalities are where avocados grow; the
/// orchards are invented.
pub(crate) const ORCHARDS: [(&str, &str, f64, f64, &str); 12] = [
    (
        "Huerta El Mirador",
        "Uruapan, Michoacán",
        19.3420,
        -102.0130,
        "URU",
    ),
    (
        "Huerta Las Cenizas",
        "Tancítaro, Michoacán",
        19.3372,
        -102.3625,
        "TAN",
    ),
    (
        "Huerta La Cañada",
        "Peribán, Michoacán",
        19.5195,
        -102.4308,
        "PER",
    ),
    (
        "Huerta Agua Fría",
        "Ario de Rosales, Michoacán",
        19.2087,
        -101.7101,
        "ARI",
    ),
    (
        "Huerta Los Fresnos",
        "Tacámbaro, Michoacán",
        19.2358,
        -101.4569,
        "TAC",
    ),
    (
        "Huerta San Isidro",
        "Salvador Escalante, Michoacán",
        19.4002,
        -101.6411,
        "SAL",
    ),
    (
        "Huerta El Pedregal",
        "Nuevo Parangaricutiro, Michoacán",
        19.4121,
        -102.1302,
        "NUE",
    ),
    (
        "Huerta La Joya",
        "Los Reyes, Michoacán",
        19.5897,
        -102.4736,
        "REY",
    ),
    (
        "Huerta El Volcán",
        "Zapotlán el Grande, Jalisco",
        19.6710,
        -103.4905,
        "ZAP",
    ),
    (
        "Huerta Piedra Ancha",
        "San Gabriel, Jalisco",
        19.7411,
        -103.7402,
        "GAB",
    ),
    (
        "Huerta El Rosario",
        "Gómez Farías, Jalisco",
        19.7905,
        -103.4801,
        "GOM",
    ),
    (
        "Huerta Los Pinos",
        "Concepción de Buenos Aires, Jalisco",
        19.9791,
        -103.2604,
        "CBA",
    ),
];

/// A town: its depot, its shops, and how far they are.
pub(crate) struct Town {
    pub(crate) name: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) kilometres: i64,
    pub(crate) shops: [&'static str; 4],
}

pub(crate) const TOWNS: [Town; 4] = [
    Town {
        name: "Guadalajara",
        latitude: 20.6597,
        longitude: -103.3496,
        kilometres: 305,
        shops: ["Santa Tere", "Chapalita", "Tlaquepaque", "Zapopan"],
    },
    Town {
        name: "Ciudad de México",
        latitude: 19.3740,
        longitude: -99.0930,
        kilometres: 410,
        shops: ["Coyoacán", "Narvarte", "Roma", "Tlalpan"],
    },
    Town {
        name: "Querétaro",
        latitude: 20.5888,
        longitude: -100.3899,
        kilometres: 325,
        shops: ["Centro", "Juriquilla", "El Marqués", "Corregidora"],
    },
    Town {
        name: "Monterrey",
        latitude: 25.6866,
        longitude: -100.3161,
        kilometres: 1_015,
        shops: ["Mitras", "San Nicolás", "Obispado", "Guadalupe"],
    },
];
