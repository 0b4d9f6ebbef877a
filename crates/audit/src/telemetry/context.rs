//! What of a trace goes from one service to the next: W3C Trace Context, level 1.

use aws_lc_rs::rand;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::limits::{TRACEPARENT_BYTES_MAX, TRACESTATE_MEMBERS_MAX};

/// The header that names a trace and the span that sends it.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What others add to it. It means nothing without it.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    /// The trace; never zero.
    pub(super) trace: u128,
    /// The span; never zero.
    pub(super) span: u64,
    /// Whether it is recorded.
    pub(super) sampled: bool,
}

impl Context {
    /// A new trace, and its first span.
    pub(super) fn new(sampled: bool) -> Self {
        Self {
            trace: chance(),
            span: span(),
            sampled,
        }
    }

    /// A span below this one.
    pub(super) fn child(self) -> Self {
        Self {
            span: span(),
            ..self
        }
    }

    /// Where a request comes from. What is malformed, or there twice, counts as nothing.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        match values.next() {
            None => Self::parse(value.to_str().ok()?),
            Some(_) => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > TRACEPARENT_BYTES_MAX {
            return None;
        }
        let mut fields = text.split('-');
        let version = number(fields.next()?, 2)?;
        let trace = number(fields.next()?, 32)?;
        let span = u64::try_from(number(fields.next()?, 16)?).ok()?;
        let flags = number(fields.next()?, 2)?;
        // Later versions may say more behind that.
        let whole = version != 0xff && (version != 0 || fields.next().is_none());
        let context = Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        };
        (whole && trace != 0 && span != 0).then_some(context)
    }

    /// The header's value.
    pub(super) fn header(self) -> HeaderValue {
        let text = format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.trace,
            self.span,
            u8::from(self.sampled)
        );
        HeaderValue::from_str(&text).expect("hexadecimal digits and dashes are a header's value")
    }
}

/// Whether what others added to a trace may go on: it is a list that is not longer than it may be.
pub(super) fn is_state_bounded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TRACESTATE).iter();
    let members = values.map(|value| value.as_bytes().split(|byte| *byte == b',').count());
    members.sum::<usize>() <= TRACESTATE_MEMBERS_MAX
}

/// A number of exactly so many digits, small letters among them.
fn number(text: &str, digits: usize) -> Option<u128> {
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let good = text.len() == digits && text.bytes().all(plain);
    good.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn span() -> u64 {
    // The lower half of it is as random as the whole.
    let drawn = chance() & u128::from(u64::MAX);
    u64::try_from(drawn).map_or(1, |drawn| drawn.max(1))
}

/// A random number that is not zero.
pub(super) fn chance() -> u128 {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system's source of chance never fails");
    u128::from_le_bytes(bytes).max(1)
}

/// A random part of a whole, from 0 to just below 1.
pub(super) fn fraction() -> f64 {
    let drawn = u32::try_from(chance() >> 96).unwrap_or_default();
    f64::from(drawn) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_the_standard_shows_is_read() {
        let context = Context::parse(GIVEN).unwrap();
        assert_eq!(context.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span, 0xb7ad_6b71_6920_3331);
        assert!(context.sampled);
        let later = GIVEN.replacen("00-", "cc-", 1) + "-what-comes-later";
        assert_eq!(Context::parse(&later), Some(context));
        // Flags of later levels are not ours to pass on.
        let flags = GIVEN.replace("-01", "-03");
        assert_eq!(Context::parse(&flags).unwrap().header(), GIVEN);
    }

    #[test]
    fn what_is_malformed_counts_as_nothing() {
        let long = GIVEN.replacen("00-", "cc-", 1) + "-" + &"x".repeat(TRACEPARENT_BYTES_MAX);
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            &long,
        ] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert!(Context::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert_eq!(Context::of(&headers), None);
    }

    #[test]
    fn what_others_add_is_a_list_of_bounded_length() {
        let mut headers = HeaderMap::new();
        assert!(is_state_bounded(&headers));
        let most = ["a=1"; TRACESTATE_MEMBERS_MAX].join(",");
        headers.append(TRACESTATE, HeaderValue::from_str(&most).unwrap());
        assert!(is_state_bounded(&headers));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        assert!(!is_state_bounded(&headers));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read_as_it_was(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let context = Context { trace, span, sampled };
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, context.header());
            prop_assert_eq!(Context::of(&headers), Some(context));
        }

        #[test]
        fn whatever_comes_is_nothing_or_a_place_in_a_trace(
            text in "([0-9a-f]{2}|ff|00)-[0-9a-fA-F-]{0,34}-[0-9a-f]{15,17}-[0-9a-f]{1,3}.{0,3}|.{0,80}",
        ) {
            if let Some(context) = Context::parse(&text) {
                prop_assert!(context.trace != 0 && context.span != 0);
                let sent = context.header();
                prop_assert_eq!(Context::parse(sent.to_str().unwrap()), Some(context));
                let whole = sent.to_str().unwrap();
                prop_assert_eq!(&text[3..52], &whole[3..52]);
            }
        }
    }
}
