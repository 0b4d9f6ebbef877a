//! Governance over HTTP: messages that members sign.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use ledger::governance::message::{Draft, MessageType};
use ledger::governance::{FoundingMember, MemberId, ProposalId};
use reqwest::Method;
use serde_json::{Value, json};
use verify::{Cert, CoseAlgorithm};

use crate::support::{AUDIENCE, Caller, Front, Issuer, Reply, now, send};

/// Somebody who signs.
pub(crate) struct Member {
    pub(crate) cert: Cert,
    key: EcdsaKeyPair,
}

impl Member {
    pub(crate) fn new(name: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let cert = params.self_signed(&pair).unwrap();
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        Self {
            cert: Cert::from_pem(&cert.pem()).unwrap(),
            key: EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der()).unwrap(),
        }
    }

    pub(crate) fn id(&self) -> MemberId {
        self.cert.fingerprint()
    }

    fn founding(&self, name: &str) -> FoundingMember {
        FoundingMember::active(&self.cert.to_pem(), None, json!({ "name": name })).unwrap()
    }

    pub(crate) fn sign(
        &self,
        kind: MessageType,
        proposal: Option<ProposalId>,
        payload: &Value,
    ) -> Vec<u8> {
        self.sign_as(self.id(), kind, now(), proposal, payload)
    }

    fn sign_as(
        &self,
        signer: MemberId,
        kind: MessageType,
        created_at: u64,
        proposal: Option<ProposalId>,
        payload: &Value,
    ) -> Vec<u8> {
        let payload = payload.to_string();
        let algorithm = CoseAlgorithm::Es384;
        let draft = Draft::new(
            signer,
            algorithm,
            kind,
            created_at,
            proposal,
            payload.as_bytes(),
        );
        let signature = self.key.sign(&SystemRandom::new(), &draft.to_be_signed());
        draft.signed(signature.unwrap().as_ref())
    }
}

/// A ledger with three members, and a caller without credentials.
pub(crate) struct Consortium {
    pub(crate) front: Front,
    pub(crate) anybody: Caller,
    pub(crate) members: Vec<Member>,
}

impl Consortium {
    async fn start() -> Self {
        let members: Vec<_> = ["Alice", "Bob", "Carol"].map(Member::new).into();
        let founding: Vec<_> = members.iter().map(|it| it.founding("one")).collect();
        let front = Front::start_with(|node| node.members = founding, |_| {}).await;
        Self {
            anybody: front.anybody(),
            front,
            members,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let path = format!("/gov/{path}?api-version=2024-07-01");
        self.anybody.get(&path).await
    }

    pub(crate) async fn post(&self, path: &str, message: Vec<u8>) -> Reply {
        let path = format!("/gov/{path}?api-version=2024-07-01");
        let request = self.anybody.request(Method::POST, &path).body(message);
        send(request.header("content-type", "application/cose")).await
    }

    async fn propose(&self, member: usize, actions: Value) -> (ProposalId, Reply) {
        let payload = json!({ "actions": actions });
        let message = self.members[member].sign(MessageType::Proposal, None, &payload);
        let reply = self.post("members/proposals:create", message).await;
        let id = reply.json()["proposalId"].clone();
        (
            id.as_str().unwrap_or_default().parse().unwrap_or_default(),
            reply,
        )
    }

    async fn vote(&self, member: usize, id: ProposalId, yes: bool) -> Reply {
        let function = format!("export function vote (proposal, proposerId) {{ return {yes} }}");
        let payload = json!({ "ballot": function });
        let member = &self.members[member];
        let message = member.sign(MessageType::Ballot, Some(id), &payload);
        let path = format!("members/proposals/{id}/ballots/{}:submit", member.id());
        self.post(&path, message).await
    }

    /// Two of three accept it.
    pub(crate) async fn decide(&self, actions: Value) -> ProposalId {
        let (id, reply) = self.propose(0, actions).await;
        assert_eq!(reply.is(200).json()["proposalState"], "Open");
        self.vote(0, id, true).await.is(200);
        let reply = self.vote(1, id, true).await.is(200);
        assert_eq!(
            reply.json()["proposalState"],
            "Accepted",
            "{}",
            reply.text()
        );
        id
    }

    async fn stop(self) {
        self.front.stop().await;
    }
}

fn add_user(name: &str) -> Value {
    json!([{ "name": "set_user", "args": { "user_id": name } }])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_members_add_a_user_who_writes() {
    let consortium = Consortium::start().await;
    let writer = consortium.front.user("writer");
    writer
        .post("/app/transactions", json!({ "contents": "x" }))
        .await
        .fails(403, "NotAllowed");
    let (id, reply) = consortium.propose(0, add_user("writer")).await;
    let reply = reply.is(200);
    reply.transaction();
    let proposer = consortium.members[0].id().to_string();
    assert_eq!(
        reply.json(),
        json!({
            "proposalId": id.to_string(),
            "proposerId": proposer,
            "proposalState": "Open",
            "ballotCount": 0,
        })
    );
    consortium.vote(0, id, true).await.is(200);
    let reply = consortium.vote(2, id, true).await.is(200);
    assert_eq!(reply.json()["proposalState"], "Accepted");
    assert_eq!(reply.json()["ballotCount"], 2);
    assert_eq!(reply.json()["finalVotes"][&proposer], true);
    writer.write("", "x").await;

    let path = format!("members/proposals/{id}");
    assert_eq!(consortium.get(&path).await.is(200).json(), reply.json());
    let all = consortium.get("members/proposals").await.is(200).json();
    assert_eq!(all["value"], json!([reply.json()]));
    let actions = consortium.get(&format!("{path}/actions")).await.is(200);
    assert_eq!(actions.json()["actions"], add_user("writer"));
    let ballot = consortium
        .get(&format!("{path}/ballots/{proposer}"))
        .await
        .is(200);
    assert_eq!(ballot.header("content-type"), "text/javascript");
    assert!(ballot.text().contains("return true"));
    let silent = consortium.members[1].id();
    consortium
        .get(&format!("{path}/ballots/{silent}"))
        .await
        .fails(404, "VoteNotFound");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_member_signed_is_refused() {
    let consortium = Consortium::start().await;
    let (alice, bob) = (&consortium.members[0], &consortium.members[1]);
    let payload = json!({ "actions": add_user("u") });
    let create = async |message| consortium.post("members/proposals:create", message).await;
    create(b"nothing".to_vec())
        .await
        .fails(401, "InvalidAuthenticationInfo");
    // Bob's key, Alice's name.
    let proposal = MessageType::Proposal;
    create(bob.sign_as(alice.id(), proposal, now(), None, &payload))
        .await
        .fails(401, "InvalidAuthenticationInfo");
    let stranger = Member::new("Mallory");
    create(stranger.sign(proposal, None, &payload))
        .await
        .fails(401, "InvalidAuthenticationInfo");
    // Signed, but as something else.
    create(alice.sign(MessageType::Ack, None, &payload))
        .await
        .fails(401, "InvalidAuthenticationInfo");
    let later = alice.sign_as(alice.id(), proposal, now() + 3_600, None, &payload);
    create(later).await.fails(400, "InvalidCreatedAt");
    let far = alice.sign_as(alice.id(), proposal, u64::MAX, None, &payload);
    create(far).await.fails(400, "InvalidCreatedAt");
    create(alice.sign(proposal, None, &json!({ "actions": [] })))
        .await
        .fails(400, "ProposalFailedToValidate");
    let unknown = json!({ "actions": [{ "name": "set_js_app", "args": {} }] });
    let refused = create(alice.sign(proposal, None, &unknown)).await;
    assert!(
        refused.text().contains("no JavaScript"),
        "{}",
        refused.text()
    );
    let path = "/gov/members/proposals:create?api-version=2024-07-01";
    consortium
        .anybody
        .post(path, payload)
        .await
        .fails(415, "UnsupportedContentType");
    let list = consortium.get("members/proposals").await.is(200).json();
    assert_eq!(list, json!({ "value": [] }));
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_counts_once_and_where_it_belongs() {
    let consortium = Consortium::start().await;
    let (alice, bob) = (&consortium.members[0], &consortium.members[1]);
    let payload = json!({ "actions": add_user("u") });
    let message = alice.sign(MessageType::Proposal, None, &payload);
    let create = "members/proposals:create";
    let first = consortium.post(create, message.clone()).await.is(200);
    consortium
        .post(create, message)
        .await
        .fails(400, "ProposalReplay");
    let old = alice.sign_as(alice.id(), MessageType::Proposal, 1, None, &payload);
    consortium
        .post(create, old)
        .await
        .fails(400, "ProposalCreatedTooLongAgo");
    let id: ProposalId = first.json()["proposalId"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();

    let yes = json!({ "ballot": true });
    let ballot = bob.sign(MessageType::Ballot, Some(id), &yes);
    let path = |member: MemberId| format!("members/proposals/{id}/ballots/{member}:submit");
    consortium
        .post(&path(alice.id()), ballot.clone())
        .await
        .fails(400, "InvalidResourceName");
    let other = verify::Digest::of(b"other");
    let about_another = bob.sign(MessageType::Ballot, Some(other), &yes);
    consortium
        .post(&path(bob.id()), about_another.clone())
        .await
        .fails(400, "InvalidResourceName");
    let elsewhere = format!("members/proposals/{other}/ballots/{}:submit", bob.id());
    consortium
        .post(&elsewhere, about_another)
        .await
        .fails(404, "ProposalNotFound");
    let script = json!({ "ballot": "export function vote (p, i) { return i == 'x' }" });
    let script = bob.sign(MessageType::Ballot, Some(id), &script);
    consortium
        .post(&path(bob.id()), script)
        .await
        .fails(400, "InvalidInput");
    consortium
        .post(&path(bob.id()), ballot.clone())
        .await
        .is(200);
    consortium
        .post(&path(bob.id()), ballot)
        .await
        .fails(400, "VoteAlreadyExists");

    let withdraw = format!("members/proposals/{id}:withdraw");
    let by_bob = bob.sign(MessageType::Withdrawal, Some(id), &Value::Null);
    consortium
        .post(&withdraw, by_bob)
        .await
        .fails(403, "AuthorizationFailed");
    let by_alice = alice.sign(MessageType::Withdrawal, Some(id), &Value::Null);
    let reply = consortium.post(&withdraw, by_alice.clone()).await.is(200);
    assert_eq!(reply.json()["proposalState"], "Withdrawn");
    consortium
        .post(&withdraw, by_alice)
        .await
        .fails(400, "ProposalNotOpen");
    consortium
        .get(&format!("members/proposals/{other}"))
        .await
        .fails(404, "ProposalNotFound");
    consortium
        .get("members/proposals/abc")
        .await
        .fails(400, "InvalidResourceName");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_acknowledges_before_it_governs() {
    let mut consortium = Consortium::start().await;
    let dave = Member::new("Dave");
    let args = json!({ "cert": dave.cert.to_pem(), "member_data": { "name": "Dave" } });
    consortium
        .decide(json!([{ "name": "set_member", "args": args }]))
        .await;
    let id = dave.id();
    consortium.members.push(dave);
    let shown = consortium
        .get(&format!("service/members/{id}"))
        .await
        .is(200);
    assert_eq!(shown.json()["status"], "Accepted");
    assert_eq!(shown.json()["memberData"]["name"], "Dave");
    let (_, refused) = consortium.propose(3, add_user("u")).await;
    refused.fails(403, "AuthorizationFailed");

    let path = format!("members/state-digests/{id}");
    let before = consortium.get(&path).await.is(200).json();
    let args = json!({ "veto": true });
    consortium
        .decide(json!([{ "name": "set_constitution_settings", "args": args }]))
        .await;
    let dave = &consortium.members[3];
    let update = dave.sign(MessageType::StateDigest, None, &Value::Null);
    let fresh = consortium
        .post(&format!("{path}:update"), update)
        .await
        .is(200);
    fresh.transaction();
    let fresh = fresh.json();
    assert_ne!(fresh, before, "the rules changed since");
    let ack = |digest: &Value| {
        let payload = json!({ "stateDigest": digest["stateDigest"] });
        dave.sign(MessageType::Ack, None, &payload)
    };
    let path = format!("{path}:ack");
    consortium
        .post(&path, ack(&before))
        .await
        .fails(400, "StateDigestMismatch");
    let done = consortium.post(&path, ack(&fresh)).await.is(204);
    done.transaction();
    assert!(done.body.is_empty());
    let (_, accepted) = consortium.propose(3, add_user("u")).await;
    accepted.is(200);
    let nobody = verify::Digest::ZERO;
    consortium
        .get(&format!("members/state-digests/{nobody}"))
        .await
        .fails(404, "ResourceNotFound");
    consortium
        .get(&format!("service/members/{nobody}"))
        .await
        .fails(404, "ResourceNotFound");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_issuer_are_believed_for_as_long_as_members_want() {
    let consortium = Consortium::start().await;
    let issuer = Issuer::new("governed key");
    let token = |audience: &str| {
        issuer.sign(&json!({
            "iss": "https://governed.example", "aud": audience, "oid": "u", "exp": now() + 3_600,
        }))
    };
    let caller = consortium.front.bearer(token(AUDIENCE));
    let ask = async |caller: &Caller| caller.get("/app/collections").await;
    ask(&caller).await.fails(401, "InvalidAuthenticationInfo");
    let args = json!({
        "issuer": "https://governed.example", "audiences": [AUDIENCE], "jwks": issuer.key_set(),
    });
    consortium
        .decide(json!([
            { "name": "set_jwt_issuer", "args": args },
            { "name": "set_user", "args": { "user_id": "u", "roles": ["Reader"] } },
        ]))
        .await;
    ask(&caller).await.is(200);
    let elsewhere = consortium.front.bearer(token("another ledger"));
    ask(&elsewhere)
        .await
        .fails(401, "InvalidAuthenticationInfo");
    let jwk = consortium.get("service/jwk").await.is(200).json();
    let shown = &jwk["keys"]["governed key"][0];
    assert_eq!(shown["issuer"], "https://governed.example");
    let args = json!({ "issuer": "https://governed.example" });
    consortium
        .decide(json!([{ "name": "remove_jwt_issuer", "args": args }]))
        .await;
    ask(&caller).await.fails(401, "InvalidAuthenticationInfo");
    // Those of the operator are believed throughout.
    consortium
        .front
        .administrator()
        .get("/app/users")
        .await
        .is(200);
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_what_members_say() {
    let consortium = Consortium::start().await;
    let administrator = consortium.front.administrator();
    administrator.write("", "0123456789").await;
    let args = json!({ "feature": "limits", "settings": { "contents_bytes": 9 } });
    consortium
        .decide(json!([{ "name": "set_feature_settings", "args": args }]))
        .await;
    administrator
        .post("/app/transactions", json!({ "contents": "0123456789" }))
        .await
        .fails(400, "EntrySizeCapacityExceeded");
    administrator.write("", "012345678").await;
    consortium.stop().await;
}

async fn info_of(consortium: &Consortium) -> Value {
    consortium.get("service/info").await.is(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_sees_the_rules_and_who_made_them() {
    let consortium = Consortium::start().await;
    let text = consortium.get("service/constitution").await.is(200).text();
    assert!(text.contains("Members govern"));
    let settings = json!({ "veto": true });
    let measurement = "ab".repeat(48);
    consortium
        .decide(json!([
            { "name": "set_constitution_settings", "args": settings },
            { "name": "add_snp_measurement", "args": { "measurement": measurement } },
            { "name": "trigger_ledger_rekey" },
            { "name": "trigger_ledger_chunk" },
        ]))
        .await;
    let info = info_of(&consortium).await;
    assert_eq!(info["status"], "Open");
    assert_eq!(info["recoveryCount"], 0);
    assert_eq!(info["configuration"]["recoveryThreshold"], 0);
    assert_eq!(info["configuration"]["recentCoseProposalsWindowSize"], 100);
    assert_eq!(info["constitutionSettings"]["veto"], true);
    // What members wish is listed until the leader has done it.
    let start = std::time::Instant::now();
    while info_of(&consortium).await["wishes"] != json!([]) {
        assert!(start.elapsed().as_secs() < 20, "the leader does nothing");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(Cert::from_pem(info["certificate"].as_str().unwrap()).is_ok());
    let policy = consortium.get("service/join-policy").await.is(200).json();
    assert_eq!(policy["snp"]["measurements"], json!([measurement]));
    let members = consortium.get("service/members").await.is(200).json();
    assert_eq!(members["value"].as_array().unwrap().len(), 3);
    assert_eq!(members["value"][0]["status"], "Active");
    assert_eq!(members["value"][0]["recoveryRole"], "NonParticipant");
    let nodes = consortium.get("service/nodes").await.is(200).json();
    let node = &nodes["value"][0];
    assert_eq!(node["status"], "Trusted");
    assert_eq!(node["quoteInfo"]["format"], "Virtual");
    let path = format!("service/nodes/{}", node["nodeId"].as_str().unwrap());
    assert_eq!(&consortium.get(&path).await.is(200).json(), node);
    let nobody = verify::Digest::ZERO;
    consortium
        .get(&format!("service/nodes/{nobody}"))
        .await
        .fails(404, "ResourceNotFound");
    let commit = consortium.get("service/transactions/commit").await.is(200);
    assert_eq!(commit.json()["status"], "Committed");
    let id = commit.json()["transactionId"].as_str().unwrap().to_owned();
    let status = consortium.get(&format!("service/transactions/{id}")).await;
    assert_eq!(status.is(200).json(), commit.json());
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_the_governance_api_must_be_said() {
    let consortium = Consortium::start().await;
    let anybody = &consortium.anybody;
    anybody
        .get("/gov/service/info")
        .await
        .fails(400, "MissingApiVersionParameter");
    anybody
        .get("/gov/service/info?api-version=2022-05-13")
        .await
        .fails(400, "UnsupportedApiVersionValue");
    consortium.stop().await;
}
