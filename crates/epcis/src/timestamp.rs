//! Times as EPCIS writes them: an instant, always with its offset from UTC (EPCIS 2.0 section 6.4,
//! `xsd:dateTimeStamp`).

use std::fmt;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// An instant, in nanoseconds since 1970. Digits after the ninth of a second are dropped.
///
/// Its years are 0001 to 9998, so that in UTC it always has a year of four digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    nanos: i128,
}

impl Timestamp {
    /// Reads `YYYY-MM-DDThh:mm:ss[.fraction](Z|+hh:mm|-hh:mm)`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 20 || !text.is_ascii() {
            return None;
        }
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if separators.iter().any(|(at, sign)| bytes[*at] != *sign) {
            return None;
        }
        let year: u16 = digits(&text[0..4])?;
        let month = Month::try_from(digits::<u8>(&text[5..7])?).ok()?;
        let date = Date::from_calendar_date(i32::from(year), month, digits(&text[8..10])?).ok()?;
        let (nanos, zone) = fraction(&text[19..])?;
        let time = Time::from_hms_nano(
            digits(&text[11..13])?,
            digits(&text[14..16])?,
            digits(&text[17..19])?,
            nanos,
        );
        if !(1..=9998).contains(&year) {
            return None;
        }
        let offset = match zone {
            "Z" => UtcOffset::UTC,
            zone => {
                let minutes = ZoneOffset::parse(zone)?.minutes;
                UtcOffset::from_whole_seconds(i32::from(minutes) * 60).ok()?
            }
        };
        let at = PrimitiveDateTime::new(date, time.ok()?).assume_offset(offset);
        Some(Self {
            nanos: at.unix_timestamp_nanos(),
        })
    }

    /// Nanoseconds since the beginning of 1970, UTC.
    pub fn unix_nanos(self) -> i128 {
        self.nanos
    }

    /// Milliseconds since 1970, half a millisecond rounded up.
    pub(crate) fn millis_half_up(self) -> i128 {
        (self.nanos + 500_000).div_euclid(1_000_000)
    }

    /// Milliseconds since 1970 of the microseconds below it, half a millisecond rounded to even.
    pub(crate) fn millis_half_even(self) -> i128 {
        let micros = self.nanos.div_euclid(1000);
        let (millis, rest) = (micros.div_euclid(1000), micros.rem_euclid(1000));
        millis + i128::from(rest > 500 || (rest == 500 && millis % 2 != 0))
    }
}

/// `YYYY-MM-DDThh:mm:ss.mmmZ` of milliseconds that came from a [`Timestamp`].
pub(crate) fn format_millis(millis: i128) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_millis(self.millis_half_up()))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far local clocks at the event stood from UTC (`eventTimeZoneOffset`, EPCIS 2.0 section
/// 7.4.1), at most 14 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZoneOffset {
    minutes: i16,
}

impl ZoneOffset {
    /// Reads `+hh:mm` or `-hh:mm`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 6 || !text.is_ascii() || bytes[3] != b':' {
            return None;
        }
        let (hours, minutes): (i16, i16) = (digits(&text[1..3])?, digits(&text[4..6])?);
        let total = hours * 60 + minutes;
        if minutes > 59 || total > 14 * 60 {
            return None;
        }
        match bytes[0] {
            b'+' => Some(Self { minutes: total }),
            b'-' => Some(Self { minutes: -total }),
            _ => None,
        }
    }

    /// Minutes east of UTC.
    pub fn minutes(self) -> i16 {
        self.minutes
    }
}

/// Splits `.123456Z` into nanoseconds and what follows.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let kept: u32 = digits(&rest[..length.min(9)])?;
    let missing = 9 - u32::try_from(length.min(9)).ok()?;
    Some((kept * 10u32.pow(missing), &rest[length..]))
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_the_same_in_every_zone() {
        let at = Timestamp::parse("2020-03-04T11:00:30.5+01:00").unwrap();
        assert_eq!(at.to_string(), "2020-03-04T10:00:30.500Z");
        assert_eq!(Timestamp::parse("2020-03-04T10:00:30.50Z"), Some(at));
        assert_eq!(Timestamp::parse("2020-03-03T20:00:30.500-14:00"), Some(at));
    }

    #[test]
    fn times_of_another_form_are_refused() {
        for text in [
            "",
            "2020-03-04",
            "2020-03-04T11:00:30",
            "2020-03-04T11:00:30.Z",
            "2020-03-04 11:00:30Z",
            "2020-02-30T11:00:30Z",
            "2020-03-04T24:00:00Z",
            "2020-03-04T11:00:30+1:00",
            "2020-03-04T11:00:30+14:01",
            "2020-03-04T11:00:30Z ",
            "0000-03-04T11:00:30Z",
            "9999-12-31T23:59:59.9999Z",
            "２020-03-04T11:00:30Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn half_a_millisecond_goes_up_or_to_even() {
        for (fraction, up, even) in [
            ("0005", "001", "000"),
            ("0015", "002", "002"),
            ("00249999", "002", "002"),
            ("0025001", "003", "002"),
            ("00050001", "001", "000"),
        ] {
            let at = Timestamp::parse(&format!("2020-01-01T00:00:00.{fraction}Z")).unwrap();
            let shown = |millis| format_millis(millis)[20..23].to_owned();
            assert_eq!(shown(at.millis_half_up()), up, "{fraction}");
            assert_eq!(shown(at.millis_half_even()), even, "{fraction}");
        }
        let last = Timestamp::parse("2019-12-31T23:59:59.9996Z").unwrap();
        assert_eq!(last.to_string(), "2020-01-01T00:00:00.000Z");
    }

    #[test]
    fn offsets_end_at_fourteen_hours() {
        assert_eq!(
            ZoneOffset::parse("-06:30").map(ZoneOffset::minutes),
            Some(-390)
        );
        assert!(ZoneOffset::parse("+14:00").is_some());
        for text in ["+14:01", "02:00", "+2:00", "+02:60", "+0a:00", "Z"] {
            assert_eq!(ZoneOffset::parse(text), None, "{text}");
        }
    }
}
