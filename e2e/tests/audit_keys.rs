//! Users of the audit services who keep their keys: ethers signs what the services prepared.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use alloy_primitives::keccak256;
use anyhow::{Context, Result, bail, ensure};
use audit::database::Database;
use e2e::wallet::{Wallet, ask, quantity};
use e2e::{
    Audit, Client, Http, Keeps, Ledger, Network, PASSWORD, Person, Place, Postgres, cache, said,
};
use reqwest::Method;
use serde_json::{Value, json};

const CONFIG: &str = "connector = \"contracts\"\nissuer = \"e2e\"\nconsumers_register = true\n";

/// Rounds in which the services are killed right after something was handed in.
const KILLS: u64 = 8;

/// Somebody with a key of their own.
#[derive(Debug, Clone)]
struct Owner {
    person: Person,
    key: String,
    account: String,
}

/// Services on a ledger, and those who use them.
struct World {
    services: Audit,
    admin: Person,
    /// Somebody whose key the services keep.
    other: Person,
    place: Place,
    node: Http,
}

impl World {
    async fn start(place: Place, folder: &Path, database: Option<&Postgres>) -> Result<Self> {
        let database = database.map(|server| format!("database = {:?}\n", server.url()));
        let config = format!("{CONFIG}{}", database.unwrap_or_default());
        let services = Audit::start_with(folder, &place.ready, Some(&config), None)?;
        let (_, admin, mut others) = services.people(1).await?;
        Ok(Self {
            services,
            admin,
            other: others.pop().context("somebody")?,
            node: Http::new(&place.ready)?,
            place,
        })
    }

    /// Somebody who proves that they keep a key, and signs in.
    async fn owner(&self, number: u8) -> Result<Owner> {
        let (new, key) = self.new_owner("tuser", number)?;
        self.admin.done(Method::POST, "/v1/users", &new).await?;
        self.signed_in(&new, key).await
    }

    async fn signed_in(&self, new: &Value, key: String) -> Result<Owner> {
        let email = new["email"].as_str().context("an address")?;
        let account = new["key"].as_str().context("an account")?.to_owned();
        Ok(Owner {
            person: self.admin.sign_in(email).await?,
            key,
            account,
        })
    }

    /// Such a user as they are created, and their key.
    fn new_owner(&self, kind: &str, number: u8) -> Result<(Value, String)> {
        let bytes = [number; 32];
        let account = format!("{:#x}", Wallet::new(bytes)?.address());
        let key = alloy_primitives::hex::encode_prefixed(bytes);
        let email = format!("own{number}@example.org");
        let message = format!("I keep the key of {account} and sign with it as {email} at e2e.");
        let proof = self.sign(&json!([{"key": key, "message": message}]))?;
        let new = json!({
            "kind": kind, "email": email, "name": "Own", "password": PASSWORD,
            "key": account, "keyProof": proof[0],
        });
        Ok((new, key))
    }

    /// What ethers signs of these.
    fn sign(&self, all: &Value) -> Result<Vec<String>> {
        let scratch = &self.place.scratch;
        fs::write(scratch.join("to_sign.json"), all.to_string())?;
        Client::Node.run_at("own_keys.mjs", &[], &[], &self.place)?;
        let signed = fs::read(scratch.join("signed.json"))?;
        Ok(serde_json::from_slice(&signed)?)
    }

    /// What ethers signs of one that was prepared, changed or not.
    fn signed(&self, owner: &Owner, prepared: &Value, change: &Value) -> Result<Value> {
        let mut all = self.all_signed(owner, &[(prepared, change.clone())])?;
        all.pop().context("one was signed")
    }

    /// The same of many.
    fn all_signed(&self, owner: &Owner, all: &[(&Value, Value)]) -> Result<Vec<Value>> {
        let all: Vec<Value> = all
            .iter()
            .map(|(prepared, change)| {
                let unsigned = &prepared["unsigned"];
                json!({"key": owner.key, "unsigned": unsigned, "change": change})
            })
            .collect();
        let signed = self.sign(&json!(all))?.into_iter();
        Ok(signed.map(|signed| json!({ "signed": signed })).collect())
    }

    /// How many transactions an account has on the chain.
    async fn count(&self, account: &str) -> Result<u64> {
        let asked = json!([account, "latest"]);
        quantity(&ask(&self.node, "eth_getTransactionCount", asked).await?)
    }

    /// Somebody hands in what they signed, and the services die so many milliseconds after that: before it arrives, on
    /// its way, or later, whatever the machine makes of it. Started again, they are asked until it is done.
    async fn dies_at_handing_in(
        &mut self,
        owner: &Owner,
        prepared: &Value,
        signed: &Value,
        millis: u64,
    ) -> Result<Value> {
        let (asking, id, body) = (owner.person.clone(), at(prepared)?, signed.clone());
        let asked = tokio::spawn(async move { asking.call(Method::POST, &id, &body).await });
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.services.kill()?;
        // Mostly there is no answer.
        drop(asked.await?);
        self.services.start_again(&self.place.ready)?;
        let done = async {
            loop {
                match owner.hands_in(prepared, signed).await? {
                    (201, done) => return anyhow::Ok(done),
                    (503, _) => tokio::time::sleep(Duration::from_millis(50)).await,
                    (status, said) => bail!("{status} {said}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), done).await?
    }

    /// Who sent a transaction, and to whom.
    async fn sent(&self, stored: &Value) -> Result<(Value, Value)> {
        let asked = json!([stored["transactionAddress"]]);
        let mut sent = ask(&self.node, "eth_getTransactionByHash", asked).await?;
        Ok((sent["from"].take(), sent["to"].take()))
    }
}

fn record(name: &str, kg: u64) -> Value {
    json!({"record": name, "about": ["urn:lot:7"], "did": "weigh", "data": {"kg": kg}})
}

fn at(prepared: &Value) -> Result<String> {
    let id = prepared["id"].as_str().context("it has a name")?;
    Ok(format!("/v1/prepared/{id}"))
}

impl Owner {
    async fn prepares(&self, name: &str, kg: u64) -> Result<Value> {
        let path = "/v1/prepared/records";
        self.person
            .done(Method::POST, path, &record(name, kg))
            .await
    }

    /// Prepares the creation of somebody below them.
    async fn prepares_user(&self, new: &Value) -> Result<Value> {
        self.person
            .done(Method::POST, "/v1/prepared/users", new)
            .await
    }

    async fn hands_in(&self, prepared: &Value, signed: &Value) -> Result<(u16, Value)> {
        self.person.call(Method::POST, &at(prepared)?, signed).await
    }

    async fn is_refused(&self, prepared: &Value, signed: &Value, kind: &str) -> Result<()> {
        let (status, said) = self.hands_in(prepared, signed).await?;
        ensure!(said["type"] == kind, "{kind}, not {status} {said}");
        Ok(())
    }

    /// That a record is there, once, and is what was signed.
    async fn has(&self, name: &str, kg: u64) -> Result<Value> {
        let question = json!({"record": name, "data": {"kg": kg}});
        let said = self
            .person
            .done(Method::POST, "/v1/consult", &question)
            .await?;
        ensure!(said["verdict"] == "valid", "{name}: {said}");
        let logs = format!("/v1/logs?record={name}");
        let logs = self.person.done(Method::GET, &logs, &Value::Null).await?;
        let count = logs["logs"].as_array().map(Vec::len);
        ensure!(count == Some(1), "{name}: {logs}");
        Ok(said)
    }
}

/// The script of the documentation, as it stands there.
fn script_of_the_documentation() -> Result<String> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let page = fs::read_to_string(Path::new(&here).join("../docs/audit.md"))?;
    let script = page.split("```js\n").nth(1).context("a script")?;
    let (script, _) = script.split_once("```").context("its end")?;
    Ok(script.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_with_ethers_and_the_chain_names_the_users_own_account() -> Result<()> {
    let network = Network::of(3)?;
    let follower = (network.leader()? + 1) % 3;
    let place = network.place(follower, "keys")?;
    let folder = network.scratch()?.join("audit");
    let world = World::start(place, &folder, None).await?;
    let owner = world.owner(1).await?;
    // The page's own script.
    let scripts = world.place.scratch.join("script");
    fs::create_dir_all(&scripts)?;
    symlink(
        cache()?.join("js/node_modules"),
        scripts.join("node_modules"),
    )?;
    fs::write(scripts.join("store.mjs"), script_of_the_documentation()?)?;
    let mut node = Command::new("node");
    node.arg(scripts.join("store.mjs"))
        .env("AUDIT", &world.services.ready().url)
        .env("TOKEN", owner.person.token().context("a token")?)
        .env("KEY", &owner.key)
        .env("NODE_EXTRA_CA_CERTS", &world.services.ready().certificate);
    let stored: Value = serde_json::from_str(&said(&mut node)?)?;
    ensure!(stored["event"]["who"] == owner.person.id, "{stored}");
    let consulted = owner.has("lot-7", 20).await?;
    ensure!(consulted["transactionAddress"] == stored["transactionAddress"]);
    let (from, to) = world.sent(&stored).await?;
    ensure!(from == *owner.account, "{from}");
    ensure!(to == stored["contractAddress"], "{to}");
    // Changed and deleted by the same way.
    let path = "/v1/prepared/records/lot-7";
    let update = json!({"data": {"kg": 21}});
    for (method, body, how) in [
        (Method::PUT, &update, "update"),
        (Method::DELETE, &Value::Null, "delete"),
    ] {
        let prepared = owner.person.done(method, path, body).await?;
        let signed = world.signed(&owner, &prepared, &Value::Null)?;
        let (status, stored) = owner.hands_in(&prepared, &signed).await?;
        ensure!(status == 200 && stored["event"]["how"] == how, "{stored}");
        ensure!(world.sent(&stored).await?.0 == *owner.account);
    }
    ensure!(world.count(&owner.account).await? == 3);
    // What the services noticed of the user nobody signed for them: it is in the root's log.
    let logs = format!("/v1/logs?who={}", owner.person.id);
    let logs = owner.person.done(Method::GET, &logs, &Value::Null).await?;
    let logs = logs["logs"].as_array().context("logs")?;
    let login = logs
        .iter()
        .find(|log| log["event"]["what"]["did"] == "loginUser");
    let (from, to) = world.sent(login.context("the login")?).await?;
    ensure!(from != *owner.account && to != stored["contractAddress"]);
    let root = to;
    // So it is for consumers, who have no contract.
    let new = json!({
        "kind": "consumer", "email": "c@example.org", "name": "C", "password": PASSWORD,
    });
    let consumer = world.services.visitor()?;
    consumer.done(Method::POST, "/v1/register", &new).await?;
    let consumer = consumer.sign_in("c@example.org").await?;
    let logs = format!("/v1/logs?who={}", consumer.id);
    let logs = consumer.done(Method::GET, &logs, &Value::Null).await?;
    let logs = logs["logs"].as_array().context("logs")?;
    ensure!(logs.len() == 2, "{logs:?}");
    for log in logs {
        ensure!(log["contractAddress"] == root, "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_signed_as_it_was_prepared_is_refused() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let world = World::start(ledger.place()?, &folder, None).await?;
    let (owner, stranger) = (world.owner(1).await?, world.owner(2).await?);
    // Nobody signs for them by the way of others, and they do not sign for others.
    let (status, said) = owner
        .person
        .call(Method::POST, "/v1/records", &record("lot-1", 1))
        .await?;
    ensure!((status, &said["type"]) == (409, &json!("OwnKey")), "{said}");
    let (status, said) = world
        .other
        .call(Method::POST, "/v1/prepared/records", &record("lot-1", 1))
        .await?;
    ensure!(
        (status, &said["type"]) == (409, &json!("KeyKeptHere")),
        "{said}"
    );
    let prepared = owner.prepares("lot-1", 1).await?;
    let other = owner.prepares("lot-2", 2).await?;
    // Altered, forged, and signed by somebody else.
    let altered = [
        json!({"data": other["transaction"]["input"]}),
        json!({"to": stranger.account}),
        json!({"to": null}),
        json!({"value": 1}),
        json!({"chainId": 1}),
    ];
    let early = json!({"nonce": 5});
    let mut all: Vec<_> = altered.map(|change| (&prepared, change)).into();
    all.push((&prepared, early));
    let mut all = world.all_signed(&owner, &all)?;
    let early = all.pop().context("it was signed")?;
    for altered in &all {
        owner
            .is_refused(&prepared, altered, "AlteredTransaction")
            .await?;
    }
    owner.is_refused(&prepared, &early, "NonceTooHigh").await?;
    let strangers = world.signed(&stranger, &prepared, &Value::Null)?;
    owner
        .is_refused(&prepared, &strangers, "WrongSigner")
        .await?;
    let signed = world.signed(&owner, &prepared, &Value::Null)?;
    stranger.is_refused(&prepared, &signed, "NotFound").await?;
    let text = signed["signed"].as_str().context("digits")?;
    let cut = json!({ "signed": text[..text.len() - 2] });
    let longer = json!({ "signed": format!("{text}00") });
    for forged in [
        cut,
        longer,
        json!({"signed": "0x"}),
        json!({"signed": text[2..]}),
    ] {
        owner.is_refused(&prepared, &forged, "InvalidInput").await?;
    }
    ensure!(world.count(&owner.account).await? == 0);
    // One that fails on the chain has used its number, and the event is not recorded.
    let poor = world.signed(&owner, &prepared, &json!({"gasLimit": 40_000}))?;
    owner
        .is_refused(&prepared, &poor, "TransactionFailed")
        .await?;
    owner.is_refused(&prepared, &signed, "NonceTooLow").await?;
    let next = json!({"nonce": 1, "type": 2, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0});
    let signed = world.signed(&owner, &prepared, &next)?;
    let (status, stored) = owner.hands_in(&prepared, &signed).await?;
    ensure!(status == 201, "{status} {stored}");
    // Handed in again it is the same; for another event it is another transaction.
    let (status, again) = owner.hands_in(&prepared, &signed).await?;
    ensure!(status == 201 && again == stored, "{status} {again}");
    owner
        .is_refused(&other, &signed, "AlteredTransaction")
        .await?;
    ensure!(world.count(&owner.account).await? == 2);
    owner.has("lot-1", 1).await?;
    // What was signed too late is not sent.
    let late = owner.prepares("lot-3", 3).await?;
    let signed = world.signed(&owner, &late, &Value::Null)?;
    let database = format!("sqlite:{}", folder.join("audit.db").display());
    let database = Database::open(&database).await?;
    let expired = "UPDATE prepared SET expires = expires - 900000 WHERE id = $1";
    let expired = sqlx::query(expired).bind(late["id"].as_str().context("a name")?.to_owned());
    ensure!(expired.execute(database.pool()).await?.rows_affected() == 1);
    owner.is_refused(&late, &signed, "Expired").await?;
    // Somebody else's event of the same name was faster.
    let rival = stranger.prepares("lot-2", 3).await?;
    let signed = world.signed(&stranger, &rival, &Value::Null)?;
    let (status, said) = stranger.hands_in(&rival, &signed).await?;
    ensure!(status == 201, "{status} {said}");
    let signed = world.signed(&owner, &other, &json!({"nonce": 2}))?;
    owner.is_refused(&other, &signed, "Exists").await?;
    let sent = world.count(&owner.account).await?;
    ensure!(sent == 2, "what is refused is not sent: {sent}");
    // A key has one user, and whoever names it keeps it.
    let mut new = json!({
        "kind": "tuser", "email": "eve@example.org", "name": "Eve", "password": PASSWORD,
        "key": owner.account,
    });
    let (status, said) = world.admin.call(Method::POST, "/v1/users", &new).await?;
    ensure!(status == 400 && said["type"] == "KeyNotProven", "{said}");
    let account = &owner.account;
    let message =
        format!("I keep the key of {account} and sign with it as eve@example.org at e2e.");
    let proof = world.sign(&json!([{"key": owner.key, "message": message}]))?;
    new["keyProof"] = json!(proof[0]);
    let (status, said) = world.admin.call(Method::POST, "/v1/users", &new).await?;
    ensure!(
        (status, &said["type"]) == (409, &json!("KeyTaken")),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_in_before_a_crash_is_recorded_once() -> Result<()> {
    services_die(None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_in_before_a_crash_is_recorded_once_on_postgresql() -> Result<()> {
    services_die(Some(&Postgres::start(Keeps::Everything)?)).await
}

/// Services that die around handing in; and that have to find what they did, at last.
async fn services_die(database: Option<&Postgres>) -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let mut world = World::start(ledger.place()?, &folder, database).await?;
    let owner = world.owner(3).await?;
    // Prepared and signed beforehand, one number after the other.
    let mut prepared = Vec::new();
    for round in 0..KILLS {
        prepared.push(owner.prepares(&format!("lot-{round}"), round).await?);
    }
    let numbered = |round| json!({ "nonce": round });
    let numbered: Vec<_> = prepared.iter().zip((0..KILLS).map(numbered)).collect();
    let signed = world.all_signed(&owner, &numbered)?;
    for ((round, prepared), signed) in (0..KILLS).zip(&prepared).zip(&signed) {
        let name = format!("lot-{round}");
        let stored = world
            .dies_at_handing_in(&owner, prepared, signed, 6 * round)
            .await?;
        let hash = keccak256(
            signed["signed"]
                .as_str()
                .context("digits")?
                .parse::<alloy_primitives::Bytes>()?,
        );
        ensure!(stored["transactionAddress"] == format!("{hash:#x}"));
        owner.has(&name, round).await?;
        let count = world.count(&owner.account).await?;
        ensure!(
            count == round + 1,
            "{count} transactions after {} rounds",
            round + 1
        );
    }
    // The chain has it, and nobody was told.
    world.services.kill()?;
    let address = match database {
        Some(server) => server.url(),
        None => format!("sqlite:{}", folder.join("audit.db").display()),
    };
    let kept = Database::open(&address).await?;
    let forgotten = "UPDATE events SET tx = NULL, receipt = NULL WHERE record = 'lot-0'";
    let forgotten = sqlx::query(forgotten).execute(kept.pool()).await?;
    ensure!(forgotten.rows_affected() == 1);
    kept.close().await;
    world.services.start_again(ledger.ready())?;
    tokio::time::timeout(Duration::from_secs(60), async {
        while owner.has("lot-0", 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await?;
    ensure!(world.count(&owner.account).await? == KILLS);
    Ok(())
}

fn tuser(name: &str) -> Value {
    let email = format!("{name}@example.org");
    json!({"kind": "tuser", "email": email, "name": name, "password": PASSWORD})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_signs_for_those_who_come_under_them() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let mut world = World::start(ledger.place()?, &folder, None).await?;
    let (new, key) = world.new_owner("administrator", 1)?;
    let (status, said) = world
        .admin
        .call(Method::POST, "/v1/prepared/users", &new)
        .await?;
    ensure!(
        (status, &said["type"]) == (409, &json!("KeyKeptHere")),
        "{said}"
    );
    world.admin.done(Method::POST, "/v1/users", &new).await?;
    let boss = world.signed_in(&new, key).await?;
    let stranger = world.owner(2).await?;

    let (status, said) = boss
        .person
        .call(Method::POST, "/v1/users", &tuser("ana"))
        .await?;
    ensure!((status, &said["type"]) == (409, &json!("OwnKey")), "{said}");
    let prepared = boss.prepares_user(&tuser("ana")).await?;
    ensure!(prepared["user"]["status"] == "pending", "{prepared}");
    // Who is not signed for counts for nothing, and their address is theirs.
    ensure!(world.admin.sign_in("ana@example.org").await.is_err());
    let (status, said) = boss
        .person
        .call(Method::POST, "/v1/prepared/users", &tuser("ana"))
        .await?;
    ensure!(
        (status, &said["type"]) == (409, &json!("EmailTaken")),
        "{said}"
    );
    let signed = world.signed(&boss, &prepared, &Value::Null)?;
    stranger.is_refused(&prepared, &signed, "NotFound").await?;
    let strangers = world.signed(&stranger, &prepared, &Value::Null)?;
    boss.is_refused(&prepared, &strangers, "WrongSigner")
        .await?;
    let altered = world.signed(&boss, &prepared, &json!({"to": stranger.account}))?;
    boss.is_refused(&prepared, &altered, "AlteredTransaction")
        .await?;
    ensure!(world.count(&boss.account).await? == 0);
    for _ in 0..2 {
        let (status, user) = boss.hands_in(&prepared, &signed).await?;
        ensure!(
            status == 201 && user["status"] == "active",
            "{status} {user}"
        );
        let (from, to) = world.sent(&user).await?;
        ensure!(
            from == *boss.account && to == user["contractAddress"],
            "{from} {to}"
        );
    }
    ensure!(world.count(&boss.account).await? == 1);
    // Their key is kept here, and signs; and what brought them in is proven like everything else.
    let ana = world.admin.sign_in("ana@example.org").await?;
    ana.done(Method::POST, "/v1/records", &record("lot-1", 1))
        .await?;
    let question = json!({"record": format!("user-{}", ana.id)});
    let said = boss
        .person
        .done(Method::POST, "/v1/consult", &question)
        .await?;
    ensure!(
        said["verdict"] == "valid" && said["event"]["who"] == boss.person.id,
        "{said}"
    );

    // Somebody with a key comes under somebody with a key.
    let (new, key) = world.new_owner("tuser", 4)?;
    let prepared = boss.prepares_user(&new).await?;
    let signed = world.signed(&boss, &prepared, &Value::Null)?;
    let (status, user) = boss.hands_in(&prepared, &signed).await?;
    ensure!(status == 201, "{status} {user}");
    let below = world.signed_in(&new, key).await?;
    let prepared = below.prepares("lot-4", 4).await?;
    let signed = world.signed(&below, &prepared, &Value::Null)?;
    ensure!(below.hands_in(&prepared, &signed).await?.0 == 201);
    below.has("lot-4", 4).await?;

    // Without the right, what was prepared is not recorded.
    let (ben, _) = world.new_owner("tuser", 6)?;
    let prepared = boss.prepares_user(&ben).await?;
    let signed = world.signed(&boss, &prepared, &Value::Null)?;
    let grant = format!("/v1/users/{}/grants/createTUser", boss.person.id);
    world
        .admin
        .done(Method::DELETE, &grant, &Value::Null)
        .await?;
    boss.is_refused(&prepared, &signed, "NotPermitted").await?;
    // What nobody signs in time has never been.
    world.services.kill()?;
    let kept = Database::open(&format!("sqlite:{}", folder.join("audit.db").display())).await?;
    for late in [
        "UPDATE changes SET at = at - 1000000",
        "UPDATE prepared SET expires = expires - 900000",
    ] {
        let late = sqlx::query(late).execute(kept.pool()).await?;
        ensure!(late.rows_affected() == 1, "{}", late.rows_affected());
    }
    kept.close().await;
    world.services.start_again(ledger.ready())?;
    let begun = std::time::Instant::now();
    loop {
        let (status, said) = boss.hands_in(&prepared, &signed).await?;
        if status == 404 {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "{status} {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(world.count(&boss.account).await? == 2);
    world.admin.done(Method::POST, "/v1/users", &ben).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_signed_for_before_a_crash_is_a_user_once() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let mut world = World::start(ledger.place()?, &folder, None).await?;
    let (new, key) = world.new_owner("administrator", 5)?;
    world.admin.done(Method::POST, "/v1/users", &new).await?;
    let boss = world.signed_in(&new, key).await?;
    for round in 0..KILLS {
        let name = format!("new{round}");
        let prepared = boss.prepares_user(&tuser(&name)).await?;
        let signed = world.signed(&boss, &prepared, &Value::Null)?;
        let user = world
            .dies_at_handing_in(&boss, &prepared, &signed, 4 * round)
            .await?;
        ensure!(user["status"] == "active", "{user}");
        world.admin.sign_in(&format!("{name}@example.org")).await?;
        ensure!(world.count(&boss.account).await? == round + 1);
    }
    Ok(())
}
