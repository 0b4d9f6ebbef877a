//! Endorsements of utility machines: the cloud signs which launch measurements its releases have.
//!
//! Azure's container platform starts every guest with a small machine of Microsoft's, the UVM, which
//! then enforces the host data. Instead of listing the measurement of each release of it, a network
//! names who may endorse releases (a `did:x509`), under which feed, and from which security version
//! (svn) on. An endorsement is a COSE_Sign1 message with its certificates beside it; the payload is
//! JSON with the measurement and the version.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use aws_lc_rs::signature::UnparsedPublicKey;
use minicbor::Decoder;
use minicbor::data::Type;
use serde::{Deserialize, Serialize};

use crate::bytes::Measurement;
use crate::chain::{Chain, ChainFault};
use crate::cose::{self, Label, Map, Sign1};
use crate::did_x509::{self, DidFault};
use crate::limits::MAX_UVM_ENDORSEMENT_BYTES;
use crate::time::UnixTime;

/// Who may endorse which releases: issuer, then feed, then the oldest accepted version. In JSON as
/// in CCF: `{DID: {FEED: {"svn": "100"}}}`. The default accepts no endorsement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UvmPolicy(pub BTreeMap<String, BTreeMap<String, UvmFeed>>);

/// What is accepted of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UvmFeed {
    /// The oldest accepted security version. In JSON a text of digits or a number.
    #[serde(with = "svn")]
    pub svn: u64,
}

/// What an endorser has signed: that release of the feed has that measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UvmEndorsement {
    /// Who endorses, as a `did:x509` that the certificates bear out.
    pub issuer: String,
    /// Which line of releases.
    pub feed: String,
    /// Its security version.
    pub svn: u64,
    /// What a guest of that release is measured as.
    pub measurement: Measurement,
    /// When it was signed, by the endorser's own word; none if it does not say.
    pub signed_at: Option<UnixTime>,
}

/// An endorsement is not believed, or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UvmRefusal {
    /// It was cut or is something else. The sender should read it again from its platform.
    #[error("the UVM endorsement is not usable: {0}; the sender should read it again")]
    Malformed(&'static str),
    /// Its certificates do not lead to their last one. The sender should read it again.
    #[error("the UVM endorsement's certificates do not hold: {0}; the sender should read it again")]
    Chain(#[from] ChainFault),
    /// Its certificates are not those of the issuer that it names: somebody signed in another's name.
    #[error("the UVM endorsement is not by its issuer {issuer}: {fault}; do not use that sender")]
    Issuer {
        /// Who it says it is by.
        issuer: String,
        /// What does not fit.
        fault: DidFault,
    },
    /// The key of its certificate has not signed it: it was altered.
    #[error("the UVM endorsement was altered after signing; the sender should read it again")]
    Signature,
    /// It says that it was signed later than now. Check the time of judgement.
    #[error("the UVM endorsement was signed at {signed_at}; check the time {now} of judgement")]
    NotYetSigned {
        /// When it was signed.
        signed_at: UnixTime,
        /// When it was judged.
        now: UnixTime,
    },
    /// Nobody has accepted that issuer with that feed. Members should, or the node should run
    /// elsewhere.
    #[error(
        "UVM endorsements of feed {feed} by {issuer} are not accepted; members should accept them, \
         or the node should run elsewhere"
    )]
    NotAccepted {
        /// Who endorses.
        issuer: String,
        /// Which line of releases.
        feed: String,
    },
    /// The release is too old. The node should be started on a newer platform.
    #[error(
        "the UVM release {have} of feed {feed} is older than {want}, which the policy demands; the \
         node should be started anew on an updated platform"
    )]
    TooOld {
        /// Which line of releases.
        feed: String,
        /// The endorsed version.
        have: u64,
        /// The oldest that is accepted.
        want: u64,
    },
    /// The guest is not that release: the endorsement was taken from elsewhere.
    #[error("the UVM endorsement is for measurement {0}, not for that guest's")]
    OtherMeasurement(Measurement),
}

impl UvmPolicy {
    /// Whether no endorsement is accepted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Accepts an endorsement that [`verify`] has believed, if issuer, feed and version are listed.
    pub fn accept(&self, endorsement: &UvmEndorsement) -> Result<(), UvmRefusal> {
        let UvmEndorsement {
            issuer, feed, svn, ..
        } = endorsement;
        let accepted = self.0.get(issuer).and_then(|feeds| feeds.get(feed));
        let accepted = accepted.ok_or_else(|| UvmRefusal::NotAccepted {
            issuer: issuer.clone(),
            feed: feed.clone(),
        })?;
        if *svn < accepted.svn {
            return Err(UvmRefusal::TooOld {
                feed: feed.clone(),
                have: *svn,
                want: accepted.svn,
            });
        }
        Ok(())
    }
}

/// Verifies an endorsement: that its certificates are those of the issuer that it names, and that
/// their key signed it. Whether that issuer is trusted is for [`UvmPolicy::accept`].
///
/// The certificates are judged at the time of signing, because an endorsement stays good for as long
/// as its release is accepted, which is longer than its signing key is used; the version decides
/// about age. Without a time of signing they are judged at `now`.
pub fn verify(bytes: &[u8], now: UnixTime) -> Result<UvmEndorsement, UvmRefusal> {
    if bytes.len() > MAX_UVM_ENDORSEMENT_BYTES {
        return Err(UvmRefusal::Malformed("it is too long"));
    }
    let message = Sign1::parse(bytes).map_err(UvmRefusal::Malformed)?;
    let headers = Headers::read(&message)?;
    if let Some(signed_at) = headers.signed_at
        && now < signed_at
    {
        return Err(UvmRefusal::NotYetSigned { signed_at, now });
    }
    let chain = Chain::follow(headers.chain, headers.signed_at.unwrap_or(now))?;
    did_x509::check(headers.issuer, &chain).map_err(|fault| UvmRefusal::Issuer {
        issuer: headers.issuer.to_owned(),
        fault,
    })?;
    let algorithm = cose::algorithm(headers.algorithm);
    let algorithm = algorithm.ok_or(UvmRefusal::Malformed("its algorithm is not known"))?;
    UnparsedPublicKey::new(algorithm, chain.leaf_key())
        .verify(&message.signed(), message.signature)
        .map_err(|_| UvmRefusal::Signature)?;
    let payload: Payload = serde_json::from_slice(message.payload)
        .map_err(|_| UvmRefusal::Malformed("its payload names no measurement and version"))?;
    Ok(UvmEndorsement {
        issuer: headers.issuer.to_owned(),
        feed: headers.feed.to_owned(),
        svn: payload.svn,
        measurement: payload.measurement,
        signed_at: headers.signed_at,
    })
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "x-ms-sevsnpvm-guestsvn", with = "svn")]
    svn: u64,
    #[serde(rename = "x-ms-sevsnpvm-launchmeasurement")]
    measurement: Measurement,
}

struct Headers<'a> {
    algorithm: i64,
    chain: Vec<&'a [u8]>,
    issuer: &'a str,
    feed: &'a str,
    signed_at: Option<UnixTime>,
}

impl<'a> Headers<'a> {
    fn read(message: &Sign1<'a>) -> Result<Self, UvmRefusal> {
        const ALGORITHM: Label<'_> = Label::Number(1);
        const CRITICAL: Label<'_> = Label::Number(2);
        const CONTENT_TYPE: Label<'_> = Label::Number(3);
        let malformed = UvmRefusal::Malformed;
        let map = message.headers().map_err(malformed)?;
        if map.get(CRITICAL).is_some() {
            return Err(malformed("it has critical headers, and none is known"));
        }
        if map.text(CONTENT_TYPE) != Some("application/json") {
            return Err(malformed("its payload is not JSON"));
        }
        let algorithm = map.get(ALGORITHM).and_then(|mut value| value.i64().ok());
        let issuer = map.text(Label::Text("iss"));
        let feed = map.text(Label::Text("feed"));
        Ok(Self {
            algorithm: algorithm.ok_or(malformed("it names no algorithm"))?,
            chain: certificates(&map).ok_or(malformed("it brings no certificates"))?,
            issuer: issuer.ok_or(malformed("it names no issuer"))?,
            feed: feed.ok_or(malformed("it names no feed"))?,
            signed_at: match map.get(Label::Text("signingtime")) {
                None => None,
                Some(time) => Some(
                    seconds(time).ok_or(malformed("its time of signing cannot be understood"))?,
                ),
            },
        })
    }
}

/// x5chain (RFC 9360): one certificate, or an array of them, leaf first.
fn certificates<'a>(map: &Map<'a>) -> Option<Vec<&'a [u8]>> {
    let mut value = map.get(Label::Number(33))?;
    if value.datatype().ok()? == Type::Bytes {
        return Some(vec![value.bytes().ok()?]);
    }
    let length = value.array().ok()??;
    (0..length.min(64))
        .map(|_| value.bytes().ok())
        .collect::<Option<Vec<_>>>()
}

/// Seconds since 1970 under tag 1.
fn seconds(mut value: Decoder<'_>) -> Option<UnixTime> {
    (value.tag().ok()?.as_u64() == 1)
        .then(|| value.u64().ok())
        .flatten()
        .map(UnixTime)
}

/// A security version: CCF writes it as text, some endorsers as a number.
pub(crate) mod svn {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(svn: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(svn)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match Form::deserialize(deserializer)? {
            Form::Number(svn) => Ok(svn),
            Form::Text(text) if digits(&text) => text.parse().map_err(serde::de::Error::custom),
            Form::Text(_) => Err(serde::de::Error::custom("a version is a number")),
        }
    }
}
