//! Names of things as GS1 gives them, with the prefix that GS1 keeps for examples (952).

use epcis::check_digit;

/// Where canonical names begin.
const BASE: &str = "https://id.gs1.org";

/// Adds the digit that makes a number right.
fn checked(digits: &str) -> String {
    let check = check_digit(digits).unwrap_or('0');
    format!("{digits}{check}")
}

/// A lot of a trade item (a class of things): `indicator` is 0 for the item itself, 1 to 8 for what it is packed in.
pub(crate) fn lot(indicator: u8, company: &str, item: u32, lot: &str) -> String {
    let gtin = checked(&format!("{indicator}{company}{item:05}"));
    format!("{BASE}/01/{gtin}/10/{lot}")
}

/// The number of a pallet (SSCC).
pub(crate) fn sscc(company: &str, serial: u32) -> String {
    checked(&format!("3{company}{serial:09}"))
}

/// The name of a pallet with this number.
pub(crate) fn pallet(sscc: &str) -> String {
    format!("{BASE}/00/{sscc}")
}

/// The name of a place (GLN).
pub(crate) fn place(company: &str, number: u32) -> String {
    format!("{BASE}/414/{}", checked(&format!("{company}{number:05}")))
}

/// The path of a name: the same below each host that knows of the thing.
pub fn path(resource: &str) -> &str {
    resource.strip_prefix(BASE).unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use epcis::DigitalLink;

    #[test]
    fn names_are_links_with_right_check_digits() {
        let names = [
            lot(0, "9521101", 1, "TAN-261012-0042"),
            lot(1, "9521102", 10, "LC26-00042"),
            pallet(&sscc("9521102", 42)),
            place("9521103", 7),
        ];
        for name in names {
            let link = DigitalLink::parse(&name).unwrap();
            assert_eq!(link.canonical(), name);
        }
        assert_eq!(path("https://id.gs1.org/00/3"), "/00/3");
    }
}
