use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::model::{ContentHash, Event, Mention, Operation, Part, RecordId, ResourceId};
use crate::model::{Text, Verdict};
use crate::serve::{Served, serve};
use crate::trail::log::{Asking, EventLog, LogError, Outgoing, Recorded, Signer, ToSign};
use crate::trail::{Act, Address, Answering, Filter, Given, Question, Receipt, Recorder, Trail};
use crate::users::oidc::testing::{Idp, config};
use crate::users::oidc::{Came, Returned};
use crate::users::testing::{House, PASSWORD, code_of, kind_of, login, new, place};
use crate::users::{Exposed, Kind, OperationName, Secret};

/// An authority, and what it signed.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), own.pem()).unwrap();
        let authority = Self {
            dir,
            issuer: Issuer::new(params, key),
        };
        for service in Service::ALL {
            authority.sign(service.word(), service.name());
        }
        authority
    }

    /// A certificate with this name, in the files of this word.
    fn sign(&self, word: &str, name: &str) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let path = |suffix: &str| self.dir.path().join(format!("{word}{suffix}"));
        std::fs::write(path(".pem"), made.pem()).unwrap();
        std::fs::write(path("_key.pem"), key.serialize_pem()).unwrap();
    }

    fn credentials(&self, service: Service) -> Credentials {
        Credentials::read(service, self.dir.path()).unwrap()
    }

    /// Another authority's service that believes this one: as if it had stolen nothing but the public part.
    fn stranger(&self, service: Service) -> Credentials {
        let stranger = Self::new();
        std::fs::copy(
            self.dir.path().join("ca.pem"),
            stranger.dir.path().join("ca.pem"),
        )
        .unwrap();
        stranger.credentials(service)
    }

    async fn serve(&self, service: Service, routes: Router) -> Serving {
        let stop = CancellationToken::new();
        let identity = self.credentials(service).serving().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let served = serve(listen, identity, routes, stop.clone()).await.unwrap();
        Serving { served, stop }
    }
}

struct Serving {
    served: Served,
    stop: CancellationToken,
}

impl Serving {
    fn url(&self) -> String {
        format!("https://{}", self.served.address)
    }

    fn peers(&self, service: Service, who: &Credentials) -> Peers {
        Peers::new(service, &[self.url()], who).unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.served.finished().await;
    }
}

/// A log that has everything at once, in a tree of contracts.
struct Log;

const ROOT: &str = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0";

impl EventLog for Log {
    fn log_of<'a>(&'a self, act: &'a Act, _: Signer) -> Asking<'a, String> {
        Box::pin(async move { Ok(act.who.to_string()) })
    }

    fn to_sign<'a>(&'a self, unsigned: Outgoing<'a>) -> Asking<'a, ToSign> {
        Box::pin(async move {
            Ok(ToSign {
                transaction: json!({ "nonce": "0x0", "input": unsigned.text }),
                unsigned: "0x00".to_owned(),
                signing_hash: "0x01".to_owned(),
                event_hash: "0x02".to_owned(),
            })
        })
    }

    fn check_signed<'a>(&'a self, _: Outgoing<'a>, signed: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            match signed {
                "0x03" => Ok(()),
                _ => Err(LogError::Told(Problem::input("not this").at("/signed"))),
            }
        })
    }

    fn record<'a>(&'a self, sent: Outgoing<'a>) -> Asking<'a, Recorded> {
        Box::pin(async move {
            Ok(Recorded {
                address: Address {
                    transaction_address: format!("{}-{}", sent.event.record, sent.event.version),
                    contract_address: sent.log.to_owned(),
                },
                receipt: Receipt::of(&json!({ "event": sent.text })),
            })
        })
    }

    fn find<'a>(&'a self, _: Outgoing<'a>, _: Option<&'a str>) -> Asking<'a, Option<Recorded>> {
        Box::pin(async { Ok(None) })
    }

    fn fetch<'a>(&'a self, _: &'a Address) -> Asking<'a, Option<(Event, Receipt)>> {
        Box::pin(async { Ok(None) })
    }

    fn root(&self) -> Answering<'_, Option<String>> {
        Box::pin(async { Ok(Some(ROOT.to_owned())) })
    }

    fn proven<'a>(&'a self, _: &'a Address, receipt: &'a Receipt) -> Asking<'a, Event> {
        Box::pin(async move {
            let shown: Value = serde_json::from_str(receipt.as_str()).unwrap();
            let text = shown["event"].as_str().unwrap_or_default();
            Event::from_canonical(text).map_err(|error| LogError::Proof(error.to_string()))
        })
    }
}

async fn trail(dir: &Path) -> Trail {
    let address = crate::database::testing::address(dir).await;
    let database = crate::database::Database::open(&address).await.unwrap();
    Trail::new(database, std::sync::Arc::new(Log))
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn act(record: &str, data: Value) -> Act {
    Act {
        who: text("ana"),
        how: Operation::Create,
        record: Some(RecordId::parse(record).unwrap()),
        about: vec![Mention {
            id: ResourceId::parse("lot:7").unwrap(),
            part: Part::About,
        }],
        did: Text::default(),
        place: text("203.0.113.7"),
        target: Text::default(),
        content: Given::Data(data),
        keep: true,
        once: None,
        adopt: false,
        ours: false,
        enrol: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_elsewhere_answers_as_one_here() {
    let (authority, dir) = (Authority::new(), TempDir::new().unwrap());
    let here = trail(dir.path()).await;
    let serving = authority
        .serve(Service::Audit, super::trail::routes(here.clone()))
        .await;
    let gateway = authority.credentials(Service::Gateway);
    let (here, there): (TrailAt, TrailAt) =
        (here.into(), serving.peers(Service::Audit, &gateway).into());
    there.is_well().await.unwrap();
    assert_eq!(there.root().await.unwrap().as_deref(), Some(ROOT));
    // Numbers that a careless reader would change on the way.
    let data = json!({"kg": 0.1, "least": 5e-324, "most": 9_007_199_254_740_992_u64,
        "odd": 1.7976931348623157e308, "text": "é\u{1F951}"});
    let stored = there.store(act("r1", data.clone())).await.unwrap();
    let asked = Question {
        record: Some(stored.event.record.clone()),
        data: Some(data),
        ..Question::default()
    };
    let consulted = there.consult(asked.clone()).await.unwrap();
    assert_eq!(consulted.verdict, Verdict::Valid);
    assert_eq!(consulted, here.consult(asked).await.unwrap());
    let record = stored.event.record.clone();
    assert_eq!(
        there.newest(record.clone()).await.unwrap(),
        here.newest(record).await.unwrap()
    );
    let filter = Filter {
        limit: 1,
        ..Filter::default()
    };
    assert_eq!(
        there.logs(filter.clone()).await.unwrap(),
        here.logs(filter).await.unwrap()
    );
    // What is refused is refused alike.
    let again = [
        there.store(act("r1", json!(1))).await.unwrap_err(),
        here.store(act("r1", json!(1))).await.unwrap_err(),
    ];
    assert_eq!(again[0], again[1]);
    assert_eq!((again[0].status, &*again[0].kind), (409, "Exists"));
    let mut zeros = act("r2", json!(1));
    zeros.content = Given::Hash(ContentHash([0; 32]));
    let zeros = there.store(zeros).await.unwrap_err();
    assert_eq!(zeros.pointer.as_deref(), Some("/hash"));
    // What is prepared there is handed in there or here.
    let prepared = there.prepare(act("r3", json!({"kg": 0.1}))).await.unwrap();
    let hand_in = |trail: &TrailAt, signed: &str, may: &[Operation]| {
        let (trail, id) = (trail.clone(), prepared.id.clone());
        let (signed, may) = (signed.to_owned(), may.to_vec());
        async move { trail.submit(text("ana"), id, signed, may).await }
    };
    let all = [Operation::Create];
    let wrong = hand_in(&there, "0x04", &all).await.unwrap_err();
    assert_eq!(wrong.pointer.as_deref(), Some("/signed"));
    let without_right = hand_in(&there, "0x03", &[]).await.unwrap_err();
    assert_eq!(without_right.kind, "NotPermitted");
    let stored = hand_in(&there, "0x03", &all).await.unwrap();
    assert_eq!(
        (&stored.event, stored.salt),
        (&prepared.event, prepared.salt)
    );
    assert_eq!(stored.event.to_canonical(), prepared.canonical);
    assert_eq!(hand_in(&here, "0x03", &all).await.unwrap(), stored);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_services_that_the_operator_named_are_answered() {
    let (authority, dir) = (Authority::new(), TempDir::new().unwrap());
    let serving = authority
        .serve(
            Service::Audit,
            super::trail::routes(trail(dir.path()).await),
        )
        .await;
    let asked_by = async |who: &Credentials| {
        let there: TrailAt = serving.peers(Service::Audit, who).into();
        there.is_well().await
    };
    for friend in [Service::Gateway, Service::Users] {
        asked_by(&authority.credentials(friend)).await.unwrap();
    }
    // Another authority's gateway; the audit service itself; something else that the authority signed.
    for stranger in [
        authority.stranger(Service::Gateway),
        authority.credentials(Service::Audit),
    ] {
        let refused = asked_by(&stranger).await.unwrap_err();
        assert_eq!(refused.kind, "ServiceUnavailable");
    }
    authority.sign("users", "printer.counterfoil.internal");
    let other = Credentials::read(Service::Users, authority.dir.path());
    assert!(matches!(other, Err(IdentityError::Other { .. })));
    // Nobody is let in by a token: without a certificate there is no connection to send it on.
    let ca = std::fs::read(authority.dir.path().join("ca.pem")).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .resolve(Service::Audit.name(), serving.served.address)
        .no_proxy()
        .build()
        .unwrap();
    let port = serving.served.address.port();
    let url = format!("https://{}:{port}/is_well", Service::Audit.name());
    let request = client.post(url).bearer_auth("a.b.c").body("null");
    assert!(request.send().await.unwrap_err().status().is_none());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_who_is_not_the_service() {
    let (authority, dir) = (Authority::new(), TempDir::new().unwrap());
    let gateway = authority.credentials(Service::Gateway);
    let routes = super::trail::routes(trail(dir.path()).await);
    // The users' service, at the address of the audit service.
    let serving = authority.serve(Service::Users, routes).await;
    let there: TrailAt = serving.peers(Service::Audit, &gateway).into();
    let refused = there.record(act("r1", json!(1))).await.unwrap_err();
    assert_eq!(refused.kind, "ServiceUnavailable");
    serving.stop().await;
    let plain = ["http://127.0.0.1:1".to_owned()];
    let plain = Peers::new(Service::Audit, &plain, &gateway);
    assert!(matches!(plain, Err(PeerError::Plain(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_elsewhere_are_known_by_their_tokens_and_what_changes_counts_at_once() {
    let (house, authority) = (House::open().await, Authority::new());
    let root = house.root().await;
    let admin = house.create(&root, Kind::Administrator, "admin").await;
    let ana = house.create(&admin, Kind::TUser, "ana").await;
    let routes = super::users::routes(std::sync::Arc::clone(&house.users));
    let serving = authority.serve(Service::Users, routes).await;
    let gateway = authority.credentials(Service::Gateway);
    let there: UsersAt = serving.peers(Service::Users, &gateway).into();
    let tokens = there.login(login("ana"), place()).await.unwrap();
    let (session, may) = there.identify(tokens.access.clone()).await.unwrap();
    assert_eq!(session, house.users.validate(&tokens.access).unwrap());
    there.demand(&ana, &may, "createData").await.unwrap();
    for operation in ["createTUser", "nothing"] {
        let here = house.users.demand(&ana, operation).await.unwrap_err();
        let refused = there.demand(&ana, &may, operation).await.unwrap_err();
        assert_eq!(refused, here);
    }
    // A grant that is taken away here is not remembered.
    let create = OperationName::parse("createData").unwrap();
    there
        .revoke(admin.clone(), ana.user.clone(), create)
        .await
        .unwrap();
    let (_, may) = there.identify(tokens.access.clone()).await.unwrap();
    let refused = there.demand(&ana, &may, "createData").await.unwrap_err();
    assert_eq!(refused.kind, "NotPermitted");
    there.logout(session.session).await.unwrap();
    let gone = there.identify(tokens.access.clone()).await.unwrap_err();
    assert_eq!(gone, house.users.validate(&tokens.access).unwrap_err());
    // Secrets arrive as they were sent.
    let new = new(Kind::TUser, "ben");
    assert_eq!(there.create_user(admin, new).await.unwrap().version, 1);
    let tokens = there.login(login("ben"), place()).await.unwrap();
    let renewed = there.renew(Exposed(tokens.refresh), place()).await.unwrap();
    assert_eq!(renewed.user.email.as_str(), "ben@farm.example");
    let mut wrong = login("ben");
    wrong.password = Secret::from(format!("{PASSWORD}!"));
    assert_eq!(
        kind_of(there.login(wrong, place()).await),
        "Unauthenticated"
    );
    // The audit service asks users nothing.
    let audit = authority.credentials(Service::Audit);
    let asked: UsersAt = serving.peers(Service::Users, &audit).into();
    assert_eq!(kind_of(asked.has_root().await), "ServiceUnavailable");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_from_an_identity_provider_is_let_in_elsewhere_as_here() {
    let (idp, authority) = (Idp::start().await, Authority::new());
    let house = House::with(|settings| {
        settings.oidc = Some(config(&idp.issuer));
        settings.consumers_register = true;
    })
    .await;
    idp.follow(&house.clock);
    house.root().await;
    let routes = super::users::routes(std::sync::Arc::clone(&house.users));
    let serving = authority.serve(Service::Users, routes).await;
    let gateway = authority.credentials(Service::Gateway);
    let there: UsersAt = serving.peers(Service::Users, &gateway).into();
    let back = async || {
        let begun = there.begin_oidc().await.unwrap();
        Returned {
            kept: begun.kept,
            ..idp.sign_in(&begun.url, "dora")
        }
    };
    let came = there.finish_oidc(back().await, place()).await.unwrap();
    let Came::In(tokens) = came else {
        panic!("she has no second factor");
    };
    assert_eq!(tokens.user.email.as_str(), "dora@farm.example");
    let who = house.users.validate(&tokens.access).unwrap();
    let dora = who.at(place());
    let uri = there.enrol_totp(dora.clone()).await.unwrap().0;
    let now = crate::users::Clock::millis(&*house.clock);
    let code = code_of(&uri, now);
    there.confirm_totp(dora, code.clone()).await.unwrap();
    let came = there.finish_oidc(back().await, place()).await.unwrap();
    let Came::Half(half) = came else {
        panic!("now she has one");
    };
    let refused = there.finish_oidc_totp(half, Exposed(Secret::from(code)), place());
    assert_eq!(kind_of(refused.await), "Unauthenticated", "it was used");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_gone_is_left_out_and_nothing_is_claimed_that_is_not_known() {
    let (authority, dir) = (Authority::new(), TempDir::new().unwrap());
    let gateway = authority.credentials(Service::Gateway);
    let trail = trail(dir.path()).await;
    let serve = async || {
        let routes = super::trail::routes(trail.clone());
        authority.serve(Service::Audit, routes).await
    };
    let (one, other) = (serve().await, serve().await);
    let addresses = [one.url(), other.url()];
    let there: TrailAt = Peers::new(Service::Audit, &addresses, &gateway)
        .unwrap()
        .into();
    one.stop().await;
    for number in 0..4 {
        let act = act(&format!("r{number}"), json!(number));
        there.store(act).await.unwrap();
    }
    other.stop().await;
    // Asked without a connection: of one that ends under a request nobody knows what became of it.
    let there: TrailAt = Peers::new(Service::Audit, &addresses, &gateway)
        .unwrap()
        .into();
    let refused = there.store(act("r5", json!(5))).await.unwrap_err();
    assert_eq!(refused.kind, "ServiceUnavailable");
    // One that takes the request and dies: whether it was done is not known.
    let dying = Router::new().fallback(async || -> Response { panic!("the power goes") });
    let dying = authority.serve(Service::Audit, dying).await;
    let there: TrailAt = dying.peers(Service::Audit, &gateway).into();
    let answer = there.store(act("r6", json!(6))).await.unwrap_err();
    assert!(answer.is_pending(), "{answer}");
    // Nor is it if the next one says that it does nothing.
    let busy = Router::new().fallback(async || Problem::busy("not here, not now").into_response());
    let busy = authority.serve(Service::Audit, busy).await;
    let addresses = [dying.url(), busy.url()];
    let there: TrailAt = Peers::new(Service::Audit, &addresses, &gateway)
        .unwrap()
        .into();
    let answer = there.store(act("r7", json!(7))).await.unwrap_err();
    assert!(answer.is_pending(), "{answer}");
    let dying = Router::new().fallback(async || -> Response { panic!("the power goes") });
    let dying = authority.serve(Service::Users, dying).await;
    let there: UsersAt = dying.peers(Service::Users, &gateway).into();
    assert_eq!(
        kind_of(there.login(login("ana"), place()).await),
        "AnswerLost"
    );
    assert_eq!(kind_of(there.has_root().await), "ServiceUnavailable");
}
