//! What agents do: one table, and a file for each family.

mod consulting;
mod escalation;
mod junk;
mod people;
mod storing;
mod tokens;
mod tricks;

pub(crate) use tokens::guess;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::{Caller, Told};
use crate::expect::{CREATED, Expected};
use crate::invariant::Invariant;
use crate::wire::Ask;
use crate::world::{Person, Session, World};

/// Whether agents who do it mean well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Friendly,
    Unfriendly,
}

/// Something that agents do.
pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) says: &'static str,
    pub(crate) side: Side,
    /// How often, beside the others of its side.
    pub(crate) weight: u32,
    /// Requests that it sends, at most.
    pub(crate) most: u64,
    /// It is done once in so many requests at most, because it is dear; 0: as often as it comes.
    pub(crate) rare: u64,
    pub(crate) play: Play,
}

type Play = for<'a> fn(&'a mut Agent) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What comes to the minds of those who send anything in place of what is right.
pub(crate) const JUNK: [&str; 12] = [
    "1",
    "dos",
    "tr3s",
    "anything",
    "",
    " ",
    "null",
    "undefined",
    "NaN",
    "true",
    "[]",
    "{}",
];

/// What is done before, beside, and after the behaviours of the table.
pub(crate) const RACE: &str = "race for root";
pub(crate) const RACE_JUNK: &str = "race for root by tricks";
pub(crate) const EXPIRED_SLOT: &str = "hold the slot too long";
pub(crate) const SETUP: &str = "grow the tree";
pub(crate) const BEGIN: &str = "begin";
pub(crate) const GUESS: &str = "guess a password";
pub(crate) const CHECK: &str = "read everything";

/// Those of them, for the report.
pub(crate) const ASIDE: [(&str, &str, Side); 7] = [
    (RACE, "both steps, all at once", Side::Friendly),
    (
        RACE_JUNK,
        "junk, and the second step without the first",
        Side::Unfriendly,
    ),
    (
        EXPIRED_SLOT,
        "a wrong nonce, a wrong session, and too late",
        Side::Unfriendly,
    ),
    (
        SETUP,
        "administrators, users, sessions that end in each way",
        Side::Friendly,
    ),
    (BEGIN, "sign in, store the first records", Side::Friendly),
    (
        GUESS,
        "wrong passwords, unknown users, SQL as an address",
        Side::Unfriendly,
    ),
    (
        CHECK,
        "all logs, users, operations; some records",
        Side::Friendly,
    ),
];

macro_rules! table {
    ($($side:ident $name:literal $weight:literal x $most:literal $(/ $rare:literal)?
       $family:ident :: $play:ident, $says:literal;)*) => {
        [$(Behaviour {
            name: $name,
            says: $says,
            side: Side::$side,
            weight: $weight,
            most: $most,
            rare: 0 $(+ $rare)?,
            play: |agent| Box::pin($family::$play(agent)),
        }),*]
    };
}

/// All of them: side, name, weight, most requests, perhaps how rare.
pub(crate) static BEHAVIOURS: &[Behaviour] = &table![
    Friendly "store" 400 x 1 storing::store, "a new record with its data";
    Friendly "store a hash" 40 x 1 storing::store_hash, "a new record, its data kept elsewhere";
    Friendly "store unkept data" 30 x 1 storing::store_unkept, "data that is hashed and not kept";
    Friendly "update" 150 x 1 storing::update, "a new version of one's own record";
    Friendly "delete" 40 x 1 storing::delete, "one's own record counts no more";
    Friendly "repeat under a key" 25 x 2 storing::repeat, "the same request again, the same answer";
    Friendly "double click" 20 x 2 storing::double_click, "the same request twice at once, done once";
    Friendly "two hands" 20 x 2 storing::two_hands, "two updates of one record at once";
    Friendly "read" 120 x 1 consulting::read, "a record as it is now";
    Friendly "consult" 120 x 1 consulting::consult, "the data is what was recorded";
    Friendly "consult by address" 50 x 1 consulting::consult_by_address, "its hash, at its address";
    Friendly "consult nothing" 20 x 1 consulting::consult_unknown, "nothing was recorded: unknown";
    Friendly "look at one's Bitacora" 30 x 1 consulting::bitacora, "one's own newest logs";
    Friendly "trace" 30 x 1 consulting::trace, "the events of a resource";
    Friendly "capture EPCIS" 20 x 2 storing::capture, "an EPCIS 2.0 document, and its job";
    Friendly "who am I" 20 x 1 people::who_am_i, "the user of a session";
    Friendly "renew" 4 x 1 people::renew, "the next pair of tokens";
    Friendly "rename a user" 8 x 1 people::rename, "an administrator changes a user below";
    Friendly "grant and revoke" 6 x 2 people::grant_and_revoke, "a right goes and comes back";
    Friendly "make a user" 2 x 1 / 400 people::make_user, "an administrator makes a user";
    Friendly "sign in and out" 2 x 2 / 400 people::sign_in_and_out, "a session, ended by its owner";
    Friendly "change the dictionary" 2 x 2 / 500 people::change_dictionary, "the root adds an operation";

    Unfriendly "junk for a body" 60 x 1 junk::body, "anything in place of an object";
    Unfriendly "junk in fields" 60 x 1 junk::fields, "anything in place of correct data";
    Unfriendly "wrong types" 50 x 1 junk::types, "numbers for texts, texts for objects, lists for objects";
    Unfriendly "missing fields" 50 x 1 junk::missing, "a field that has to be there is not";
    Unfriendly "extra fields" 50 x 1 junk::extra, "a field that nobody knows";
    Unfriendly "no JSON" 40 x 1 junk::no_json, "noise, halves, deep nests, NUL";
    Unfriendly "other media types" 25 x 1 junk::media_types, "forms, text, XML, nothing";
    Unfriendly "names twice" 30 x 1 junk::names_twice, "JSON that two readers read differently";
    Unfriendly "too much" 8 x 1 / 1000 junk::too_much, "bodies and data beyond their bounds";
    Unfriendly "impossible names" 40 x 1 junk::names, "records and resources with impossible names";
    Unfriendly "skip the slot" 30 x 1 tricks::root_again, "race for root again, later";
    Unfriendly "change what is not there" 50 x 1 tricks::change_nothing, "update, delete or read no record";
    Unfriendly "create it again" 30 x 1 tricks::create_again, "a record that exists";
    Unfriendly "change what was deleted" 25 x 2 tricks::change_deleted, "after the end of a record";
    Unfriendly "another name in the path" 20 x 1 tricks::other_name, "path and body disagree";
    Unfriendly "another body under a key" 30 x 2 tricks::other_body, "an Idempotency-Key for two requests";
    Unfriendly "impossible keys" 20 x 1 tricks::impossible_key, "Idempotency-Keys too long, empty, with blanks";
    Unfriendly "climb paths" 30 x 1 tricks::climb, "dots and slashes, escaped";
    Unfriendly "SQL" 40 x 1 tricks::sql, "SQL in names, queries and resources";
    Unfriendly "methods" 15 x 1 tricks::methods, "methods and paths that are not there";
    Unfriendly "headers" 30 x 1 tricks::headers, "another method, address or user, by a header";
    Unfriendly "long headers" 3 x 1 / 1000 tricks::long_header, "more headers than anybody reads";
    Unfriendly "no token" 40 x 1 tokens::none, "nothing, nonsense, another scheme, two at once";
    Unfriendly "tampered tokens" 50 x 1 tokens::tampered, "a longer life, another user, another kind";
    Unfriendly "alg: none" 30 x 1 tokens::unsigned, "tokens that need no signature";
    Unfriendly "alg: HS256" 30 x 1 tokens::confused, "the public key as a shared secret";
    Unfriendly "homemade tokens" 40 x 1 tokens::homemade, "well signed, by a stranger";
    Unfriendly "ended sessions" 50 x 1 tokens::ended, "after logout, theft, revocation, the user's end";
    Unfriendly "expired tokens" 30 x 1 tokens::expired, "too old, or as if it were not";
    Unfriendly "wrong refresh tokens" 20 x 1 tokens::refresh, "nonsense, and access tokens";
    Unfriendly "replayed refresh tokens" 4 x 5 / 1000 tokens::replay, "used twice: the session ends";
    Unfriendly "make whom one may not" 50 x 1 escalation::create, "users make administrators, roots are made";
    Unfriendly "grant oneself" 50 x 1 escalation::grant, "rights that one does not have";
    Unfriendly "more rights than one's own" 30 x 1 escalation::beyond, "a user with any rights, made by few";
    Unfriendly "change others" 40 x 1 escalation::others, "users beside, above, and below others";
    Unfriendly "change others' records" 50 x 1 escalation::records, "update and delete what is another's";
    Unfriendly "store without the right" 50 x 1 escalation::store, "readers, administrators and the root";
    Unfriendly "read without the right" 40 x 1 escalation::read, "all logs, others' logs, the blind";
    Unfriendly "rewrite the dictionary" 30 x 1 escalation::dictionary, "anybody but the root";
    Unfriendly "altered data" 100 x 1 consulting::altered, "a field was changed: it is found";
    Unfriendly "altered hashes" 50 x 1 consulting::altered_hash, "another hash, another salt";
    Unfriendly "another's address" 30 x 1 consulting::other_address, "a receipt's address that is none";
    Unfriendly "questions without sense" 30 x 1 consulting::senseless, "nothing named, or all at once";
];

/// A record that an agent stored.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) name: String,
    pub(crate) resource: String,
    pub(crate) version: u64,
    pub(crate) data: Value,
    pub(crate) keep: bool,
    pub(crate) hash: String,
    pub(crate) salt: Value,
    pub(crate) tx: String,
    pub(crate) contract: String,
}

/// What many agents know: records that are never changed, with their owners.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Vec<(String, Own)>>);

impl Shared {
    pub(crate) fn add(&self, owner: &str, own: Own) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((owner.to_owned(), own));
    }

    /// One that somebody else owns.
    pub(crate) fn of_another(&self, me: &str, random: &mut fastrand::Rng) -> Option<Own> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<_> = all.iter().filter(|(owner, _)| owner != me).collect();
        random.choice(others).map(|(_, own)| own.clone())
    }

    pub(crate) fn all(&self) -> Vec<Own> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(_, own)| own.clone()).collect()
    }
}

/// Somebody who acts for one of the users.
pub(crate) struct Agent {
    pub(crate) caller: Caller,
    pub(crate) world: Arc<World>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Session,
    pub(crate) number: usize,
    pub(crate) records: Vec<Own>,
    pub(crate) serial: u64,
}

/// Records that an agent remembers; the oldest are forgotten, and stay.
const REMEMBERED: usize = 50;

/// A request that stores something, and what is to come of it.
struct Draft {
    name: String,
    resource: String,
    did: String,
    data: Value,
}

impl Draft {
    fn body(&self) -> Value {
        json!({"record": self.name, "about": [self.resource], "did": self.did, "data": self.data})
    }
}

impl Agent {
    /// Does it.
    pub(crate) async fn play(&mut self, behaviour: &Behaviour) {
        self.caller.behaviour = behaviour.name;
        (behaviour.play)(self).await;
    }

    /// A name that nobody else uses.
    fn fresh(&mut self) -> String {
        self.serial += 1;
        format!("a{}-{}", self.number, self.serial)
    }

    fn draft(&mut self) -> Draft {
        let name = self.fresh();
        let did = format!("{} {name}", self.caller.behaviour);
        // Some events for each resource: a trace of them is short.
        let resource = format!("lot:{}-{}", self.number, self.serial / 10);
        let data = self.data();
        Draft {
            name,
            resource,
            did,
            data,
        }
    }

    fn data(&mut self) -> Value {
        let random = &mut self.caller.random;
        let notes = [
            "",
            "ripe",
            "über",
            "<script>alert(1)</script>",
            "'; DROP TABLE events; --",
            "鳄梨 🥑",
        ];
        json!({
            "kg": random.u32(1..2_000),
            "grade": random.choice(["A", "B", "C"]),
            "ok": random.bool(),
            "note": random.choice(notes),
            "boxes": [random.u8(..), random.u8(..)],
            "serial": self.serial,
        })
    }

    fn me(&self) -> Person {
        self.session.person.clone()
    }

    async fn token(&mut self) -> String {
        self.session.token(&mut self.caller).await
    }

    async fn ask(&mut self, ask: Ask, expected: Expected) -> Told {
        let token = self.token().await;
        self.caller.ask(ask.bearer(&token), expected).await
    }

    async fn ask_unfriendly(&mut self, ask: Ask, expected: Expected) -> Told {
        let token = self.token().await;
        self.caller
            .ask_unfriendly(ask.bearer(&token), expected)
            .await
    }

    /// Stores a new record.
    pub(crate) async fn create(&mut self) -> Option<Own> {
        let draft = self.draft();
        let told = self
            .ask(Ask::post("/v1/records", &draft.body()), CREATED)
            .await;
        self.doubt(&told, "create", &draft);
        let own = self.stored("create", &draft, 1, &told.done()?, None)?;
        self.remember(own.clone());
        Some(own)
    }

    fn remember(&mut self, own: Own) {
        if self.records.len() >= REMEMBERED {
            self.records.remove(0);
        }
        self.records.push(own);
    }

    /// The place of one of one's own records; stores one if there is none.
    async fn own(&mut self) -> Option<usize> {
        if self.records.is_empty() {
            self.create().await?;
        }
        Some(self.caller.random.usize(..self.records.len()))
    }

    fn doubt(&mut self, told: &Told, how: &'static str, draft: &Draft) {
        let who = self.session.person.id.clone();
        let did = Some(&*draft.did);
        self.caller.doubt(told, (&who, how), Some(&draft.name), did);
    }

    /// Notes what was stored, and looks at whether the answer says so.
    fn stored(
        &mut self,
        how: &'static str,
        draft: &Draft,
        version: u64,
        answer: &Value,
        given: Option<&str>,
    ) -> Option<Own> {
        let event = &answer["event"];
        let who = self.session.person.id.clone();
        let same = event["record"] == *draft.name
            && event["version"] == version
            && event["how"] == how
            && event["who"] == *who
            && event["what"]["did"] == *draft.did;
        self.caller.check(Invariant::AsExpected, same, || {
            format!(
                "a {how} of {} (version {version}) was answered with {event}",
                draft.name
            )
        });
        let hash = event["what"]["hash"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let expected = match given {
            Some(hash) => Some(hash.to_owned()),
            None => content_hash(&answer["salt"], &draft.data),
        };
        self.caller.check(
            Invariant::HashesHold,
            expected.as_ref() == Some(&hash),
            || {
                format!(
                    "the hash of {} is {hash}, and had to be {expected:?}",
                    draft.name
                )
            },
        );
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (tx, contract) = (text("transactionAddress"), text("contractAddress"));
        self.caller.book(
            (draft.name.clone(), version),
            (&who, how),
            Some(&tx),
            Some(&hash),
        );
        self.caller.keep_proof(answer.clone());
        Some(Own {
            name: draft.name.clone(),
            resource: draft.resource.clone(),
            version,
            data: draft.data.clone(),
            keep: given.is_none(),
            hash,
            salt: answer["salt"].clone(),
            tx,
            contract,
        })
    }
}

/// `SHA-256("counterfoil.audit.content/1" || 00 || salt || canonical JSON)`: the definition, once more.
pub(crate) fn content_hash(salt: &Value, data: &Value) -> Option<String> {
    let digits = salt.as_str()?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let salt: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    let text = serde_json_canonicalizer::to_string(data).ok()?;
    let parts: [&[u8]; 3] = [b"counterfoil.audit.content/1\0", &salt?, text.as_bytes()];
    Some(verify::Digest::of_parts(&parts).to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_behaviour_is_told_apart_and_says_what_it_is() {
        let names = BEHAVIOURS.iter().map(|one| one.name);
        let all = names.chain(ASIDE.iter().map(|one| one.0));
        assert_eq!(
            all.collect::<BTreeSet<_>>().len(),
            BEHAVIOURS.len() + ASIDE.len()
        );
        for one in BEHAVIOURS {
            assert!(
                one.weight > 0 && one.most > 0 && !one.says.is_empty(),
                "{}",
                one.name
            );
        }
    }

    #[test]
    fn each_side_has_something_that_takes_one_request_and_costs_little() {
        for side in [Side::Friendly, Side::Unfriendly] {
            let mut cheap = BEHAVIOURS
                .iter()
                .filter(|one| one.most == 1 && one.rare == 0);
            assert!(cheap.any(|one| one.side == side));
        }
    }

    #[test]
    fn the_hash_is_what_the_page_says_it_is() {
        let expected = verify::Digest::of_parts(&[
            b"counterfoil.audit.content/1",
            &[0],
            &[7; 32],
            br#"{"a":1,"b":2}"#,
        ]);
        let salt = json!("07".repeat(32));
        let hash = content_hash(&salt, &json!({"b": 2.0, "a": 1}));
        assert_eq!(hash, Some(expected.to_string()));
        assert_eq!(content_hash(&Value::Null, &json!(1)), None);
    }
}
