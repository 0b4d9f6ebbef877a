//! Each audit service alone, two replicas of each, on PostgreSQL and on three nodes of a ledger: whatever dies,
//! nothing that was acknowledged is without its event, none is there twice, and clients get honest errors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::keccak256;
use anyhow::{Context, Result, bail, ensure};
use audit::model::Event;
use e2e::wallet::{ask, quantity};
use e2e::{
    Audit, Http, Keeps, Network, Person, Postgres, Random, Ready, bitacoras, counterfoil, said,
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Row};
use tokio::time::sleep;
use verify::Digest;

/// Those who store.
const WRITERS: usize = 6;

/// Between two requests of one of them.
const PAUSE: Duration = Duration::from_millis(50);

/// What was left on its way is committed by then.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_has_its_event_once_whichever_of_the_services_dies() -> Result<()> {
    all_die("ledger").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_on_the_chain_once_whichever_of_the_services_dies() -> Result<()> {
    all_die("contracts").await
}

async fn all_die(connector: &str) -> Result<()> {
    let mut random = Random::seeded()?;
    let mut house = House::start(connector)?;
    let (_, admin, people) = house.services[0].people(WRITERS).await?;
    let over = Arc::new(AtomicBool::new(false));
    let gateways = house.gateways();
    let writers = people.iter().enumerate().map(|(number, person)| {
        let at = gateways.clone().map(|url| person.at(&url));
        tokio::spawn(write(at, number, Arc::clone(&over)))
    });
    let writers: Vec<_> = writers.collect();
    let at = gateways.clone().map(|url| admin.at(&url));
    let registrar = tokio::spawn(register(at, Arc::clone(&over)));

    // Each dies once alone, and then two at a time.
    for fault in random.shuffled(&FAULTS) {
        house.suffer(&[fault], &mut random).await?;
    }
    for pair in random.shuffled(&FAULTS).chunks(2) {
        house.suffer(pair, &mut random).await?;
    }
    sleep(Duration::from_secs(2)).await;
    over.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for writer in writers {
        let stored = writer.await??;
        ensure!(stored.len() > 20, "only {} were stored", stored.len());
        acknowledged.push(stored);
    }
    let users = registrar.await??;

    let in_database = house.settled().await?;
    let node = house.network.nodes[house.network.leader()?].http()?;
    let recorded = match connector {
        "ledger" => in_ledger(&node).await?,
        _ => on_chain(&node).await?,
    };
    let hashes: BTreeSet<_> = in_database.values().cloned().collect();
    let unrecorded = in_database
        .iter()
        .filter(|(_, hash)| !recorded.contains(*hash));
    ensure!(
        recorded == hashes,
        "{} events are recorded, {} in the database; not recorded: {:?}; recorded alone: {:?}",
        recorded.len(),
        in_database.len(),
        unrecorded.collect::<Vec<_>>(),
        recorded.difference(&hashes)
    );
    for (record, version) in acknowledged.iter().flatten().chain(&users) {
        let place = (record.clone(), *version);
        ensure!(in_database.contains_key(&place), "{record} is not recorded");
    }
    // At both gateways, by the receipt.
    let asking = people.into_iter().zip(acknowledged).map(|(person, all)| {
        let at = gateways.clone().map(|url| person.at(&url));
        tokio::spawn(async move {
            for (number, (record, version)) in all.into_iter().enumerate() {
                let question = json!({"record": record, "version": version});
                let said = at[number % 2].done(Method::POST, "/v1/consult", &question);
                let said = said.await?;
                ensure!(said["verdict"] == "valid", "{record}: {said}");
            }
            Ok(())
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await??;
    }
    Ok(())
}

/// The SHA-256 of each event in the ledger.
async fn in_ledger(node: &Http) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for event in bitacoras(node).await?.into_values().flatten() {
        let event = Event::from_canonical(&event.to_string())?.to_canonical();
        ensure!(all.insert(hash(&event)), "twice in the ledger: {event}");
    }
    Ok(all)
}

/// The hash of each event in the logs of contracts.
async fn on_chain(node: &Http) -> Result<BTreeSet<String>> {
    let recorded = "Recorded(uint256,address,bytes32,address,uint64,uint8,string,string,string)";
    let topic = format!("{:?}", keccak256(recorded));
    let head = quantity(&ask(node, "eth_blockNumber", json!([])).await?)?;
    let mut all = BTreeMap::new();
    for from in (0..=head).step_by(BLOCKS_AT_ONCE) {
        let to = from + BLOCKS_AT_ONCE as u64 - 1;
        let blocks = json!({"fromBlock": format!("0x{from:x}"), "toBlock": format!("0x{to:x}"),
            "topics": [topic]});
        let logs = ask(node, "eth_getLogs", json!([blocks])).await?;
        for log in logs.as_array().context("logs are a list")? {
            let hash = log["topics"][3].as_str().context("the content's hash")?;
            let transaction = &log["transactionHash"];
            // Who comes into the tree stands in two logs of it.
            let before = all.insert(hash.to_owned(), transaction.clone());
            let is_new = before.is_none_or(|before| before == *transaction);
            ensure!(is_new, "twice on the chain: {log}");
        }
    }
    Ok(all.into_keys().collect())
}

const BLOCKS_AT_ONCE: usize = 500;

fn hash(event: &str) -> String {
    format!("0x{}", Digest::of(event.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn services_answer_each_other_and_nobody_else() -> Result<()> {
    let house = House::start("ledger")?;
    let (_, admin, people) = house.services[0].people(1).await?;
    let [one, other] = house.gateways().map(|url| people[0].at(&url));
    // What is stored by one gateway is there at the other, and a session that ends here ends there.
    let stored = one
        .done(Method::POST, "/v1/records", &record("7", 1))
        .await?;
    let question = json!({"record": "7", "data": {"count": 1}});
    let said = other.done(Method::POST, "/v1/consult", &question).await?;
    ensure!(
        said["verdict"] == "valid" && said["receipt"] == stored["receipt"],
        "{said}"
    );
    let grant = format!("/v1/users/{}/grants/createData", people[0].id);
    admin.done(Method::DELETE, &grant, &Value::Null).await?;
    sleep(Duration::from_millis(2_500)).await;
    for person in [&one, &other] {
        let (status, said) = person
            .call(Method::POST, "/v1/records", &record("8", 1))
            .await?;
        ensure!(status == 403, "{status} {said}");
    }
    one.done(Method::POST, "/v1/logout", &Value::Null).await?;
    sleep(Duration::from_millis(2_500)).await;
    for person in [&one, &other] {
        let (status, said) = person
            .call(Method::GET, "/v1/session", &Value::Null)
            .await?;
        ensure!(status == 401, "{status} {said}");
    }
    // Whoever shows no certificate of theirs has no connection to the inner services.
    let anybody = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()?;
    for service in &house.services {
        let url = &service.ready().url;
        let answer = anybody.post(format!("{url}/is_well")).body("null").send();
        let is_inner = !house.gateways().contains(url);
        ensure!(answer.await.is_err() == is_inner, "{url}");
    }
    // And the gateway has none of their calls.
    let (status, _) = admin.call(Method::POST, "/record_once", &json!([])).await?;
    ensure!(status == 404, "{status}");
    Ok(())
}

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One of the services, killed.
    Service(usize),
    /// The database, stopped in order.
    DatabaseStops,
    /// The database, killed.
    DatabaseDies,
    /// The node that leads, killed.
    Leader,
}

const FAULTS: [Fault; 9] = [
    Fault::Service(0),
    Fault::Service(1),
    Fault::Service(2),
    Fault::Service(3),
    Fault::Service(4),
    Fault::Service(5),
    Fault::DatabaseStops,
    Fault::DatabaseDies,
    Fault::Leader,
];

/// All of it.
struct House {
    /// Two gateways, two users' services, two audit services.
    services: Vec<Audit>,
    database: Postgres,
    network: Network,
}

impl House {
    fn start(connector: &str) -> Result<Self> {
        let network = Network::of(3)?;
        let database = Postgres::start(Keeps::Everything)?;
        let folder = network.scratch()?;
        let identity = folder.join("identity");
        said(counterfoil()?.args(["audit", "identity"]).arg(&identity))?;
        front_certificate(&folder)?;
        let ports = free_ports()?;
        let at = |port: u16| format!("https://127.0.0.1:{port}");
        let config = format!(
            "connector = {connector:?}\ndatabase = {:?}\ntoken_keys = \"token-keys\"\nmaster_key = \"master.key\"\n\
             certificate = \"front.pem\"\nkey = \"front_key.pem\"\n\
             [services]\nidentity = \"identity\"\nusers = [{:?}, {:?}]\naudit = [{:?}, {:?}]\n",
            database.url(),
            at(ports[2]),
            at(ports[3]),
            at(ports[4]),
            at(ports[5]),
        );
        let path = folder.join("audit.toml");
        fs::write(&path, config)?;
        let mut services = Vec::new();
        // In an order in which nobody finds all that they will need.
        for (number, service) in ["gateway", "gateway", "users", "users", "audit", "audit"]
            .into_iter()
            .enumerate()
        {
            services.push(Audit::start_alone(
                service,
                &folder.join(format!("{service}{number}")),
                on(&network, number),
                &path,
                &format!("127.0.0.1:{}", ports[number]),
            )?);
        }
        Ok(Self {
            services,
            database,
            network,
        })
    }

    fn gateways(&self) -> [String; 2] {
        [0, 1].map(|number: usize| self.services[number].ready().url.clone())
    }

    /// Lets some die at once, waits, and starts them again.
    async fn suffer(&mut self, faults: &[Fault], random: &mut Random) -> Result<()> {
        sleep(random.millis(300, 1_000)).await;
        eprintln!("{faults:?}");
        let mut leader = None;
        let mut database_is_gone = false;
        for fault in faults {
            match fault {
                Fault::Service(number) => self.services[*number].kill()?,
                Fault::DatabaseStops | Fault::DatabaseDies if database_is_gone => {}
                Fault::DatabaseStops => self.database.stop()?,
                Fault::DatabaseDies => self.database.kill()?,
                Fault::Leader => {
                    let node = self.network.leader()?;
                    self.network.nodes[node].kill()?;
                    leader = Some(node);
                }
            }
            database_is_gone |= matches!(fault, Fault::DatabaseStops | Fault::DatabaseDies);
        }
        sleep(random.millis(200, 1_500)).await;
        if database_is_gone {
            self.database.start_again()?;
        }
        if let Some(node) = leader {
            self.network.nodes[node].start()?;
        }
        for fault in faults {
            if let Fault::Service(number) = fault {
                self.services[*number].start_again(on(&self.network, *number))?;
            }
        }
        Ok(())
    }

    /// Waits until nothing is on its way, and says which records and versions there are, with the hashes of their
    /// events.
    async fn settled(&self) -> Result<BTreeMap<(String, i64), String>> {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&self.database.url()).await?;
        let start = Instant::now();
        loop {
            let query = "SELECT count(*) FROM events WHERE tx IS NULL";
            let left: i64 = sqlx::query(query)
                .fetch_one(&mut connection)
                .await?
                .try_get(0)?;
            if left == 0 {
                break;
            }
            ensure!(
                start.elapsed() < SETTLED_WITHIN,
                "{left} events are still on their way"
            );
            sleep(Duration::from_millis(200)).await;
        }
        let query = "SELECT record, version, event FROM events";
        let rows = sqlx::query(query).fetch_all(&mut connection).await?;
        let rows = rows.iter().map(|row| {
            let event: String = row.try_get(2)?;
            Ok(((row.try_get(0)?, row.try_get(1)?), hash(&event)))
        });
        rows.collect()
    }
}

/// The node that a service is on: neighbours are on different ones.
fn on(network: &Network, service: usize) -> &Ready {
    network.nodes[service % network.nodes.len()].ready()
}

/// One certificate for both gateways, as behind a balancer.
fn front_certificate(folder: &Path) -> Result<()> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = rcgen::KeyPair::generate()?;
    let made = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    fs::write(folder.join("front_key.pem"), key.serialize_pem())?;
    fs::write(folder.join("front.pem"), made.pem())?;
    Ok(())
}

fn free_ports() -> Result<Vec<u16>> {
    let listeners = (0..6).map(|_| Ok(TcpListener::bind("127.0.0.1:0")?));
    let listeners: Vec<TcpListener> = listeners.collect::<Result<_>>()?;
    let ports = listeners.iter();
    ports.map(|one| Ok(one.local_addr()?.port())).collect()
}

fn record(name: &str, count: usize) -> Value {
    json!({"record": name, "about": [format!("lot:{name}")], "data": {"count": count}})
}

/// Stores a record and changes it, and then the next one, by one gateway or the other. What has no answer is
/// asked for again under its key. Gives back what was acknowledged.
async fn write(
    at: [Person; 2],
    number: usize,
    over: Arc<AtomicBool>,
) -> Result<Vec<(String, i64)>> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let name = format!("w{number}-{count}");
        let steps = [
            (Method::POST, "/v1/records".to_owned()),
            (Method::PUT, format!("/v1/records/{name}")),
        ];
        for (version, (method, path)) in (1..).zip(steps) {
            let key = format!("{name}-{version}");
            for attempt in count.. {
                if over.load(Ordering::SeqCst) {
                    return Ok(acknowledged);
                }
                sleep(PAUSE).await;
                let person = &at[attempt % 2];
                let new = record(&name, count);
                let answer = person.call_once(method.clone(), &path, &new, Some(&key));
                if is_done(answer.await).context(key.clone())?.is_some() {
                    break;
                }
            }
            acknowledged.push((name.clone(), version));
        }
    }
    unreachable!("it ends when it is over")
}

/// Creates users, each once. Gives back the records of those whose creation was acknowledged.
async fn register(at: [Person; 2], over: Arc<AtomicBool>) -> Result<Vec<(String, i64)>> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        sleep(4 * PAUSE).await;
        let new = json!({"kind": "tuser", "email": format!("new{count}@example.org"), "name": "New",
            "password": "correct horse battery"});
        let answer = at[count % 2].call(Method::POST, "/v1/users", &new).await;
        if let Some(user) = is_done(answer)? {
            let id = user["id"].as_str().context("users have ids")?;
            acknowledged.push((format!("user-{id}"), 1));
        }
    }
    Ok(acknowledged)
}

/// What was done; none if that is not known, or not now. Anything else is no honest answer.
fn is_done(answer: Result<(u16, Value)>) -> Result<Option<Value>> {
    match answer {
        Ok((200 | 201, said)) => Ok(Some(said)),
        Ok((status @ (502 | 503), said))
            if said["status"] == status && said["type"].is_string() =>
        {
            Ok(None)
        }
        Ok((status, said)) => bail!("{status} {said}"),
        // The gateway died.
        Err(error) if error.downcast_ref::<reqwest::Error>().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}
