//! Those who call the services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::services::Services;
use crate::http::{Connection, Ran};
use crate::process;

/// What a load came to, and what it cost the others.
pub(crate) struct Loaded {
    /// Of the services.
    pub(crate) ran: Ran,
    ledger: Duration,
    own: Duration,
}

impl Loaded {
    /// Processor time of the ledger for one operation, microseconds.
    pub(crate) fn ledger_cpu_us(&self) -> f64 {
        self.share(self.ledger)
    }

    /// The same of those who call.
    pub(crate) fn own_cpu_us(&self) -> f64 {
        self.share(self.own)
    }

    /// The same of services and ledger.
    pub(crate) fn all_cpu_us(&self) -> f64 {
        self.ran.cpu_us() + self.ledger_cpu_us()
    }

    fn share(&self, all: Duration) -> f64 {
        all.as_secs_f64() * 1e6 / self.ran.operations.max(1) as f64
    }
}

/// Everybody stores records of their own.
pub(crate) async fn store(services: &Services, clients: usize, seconds: f64) -> Result<Loaded> {
    let made = |client: usize, token: &str| {
        let number = services.stored[client].fetch_add(1, Relaxed);
        let body = format!(
            "{{\"record\":\"b{client}-{number}\",\"about\":[\"https://id.gs1.org/01/09521234543213/10/B{client}\"],\
             \"did\":\"weigh\",\"data\":{}}}",
            data(client, number)
        );
        post(
            "/v1/records",
            token,
            Some(&format!("k{client}-{number}")),
            &body,
        )
    };
    run(services, clients, seconds, b"\"receipt\":", made).await
}

/// Everybody consults records that were stored, with their data.
pub(crate) async fn consult(services: &Services, clients: usize, seconds: f64) -> Result<Loaded> {
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let made = |client: usize, token: &str| {
        let number = counter.fetch_add(7_919, Relaxed) % services.stored[client].load(Relaxed);
        let body = format!(
            "{{\"record\":\"b{client}-{number}\",\"data\":{}}}",
            data(client, number)
        );
        post("/v1/consult", token, None, &body)
    };
    run(services, clients, seconds, b"\"verdict\":\"valid\"", made).await
}

/// One calls a system, directly or through the proxy.
pub(crate) async fn through(
    address: SocketAddr,
    certificate: Option<&[u8]>,
    method: &str,
    seconds: f64,
) -> Result<Ran> {
    let mut connection = match certificate {
        Some(certificate) => Connection::secure(address, certificate).await?,
        None => Connection::open(address).await?,
    };
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed().as_secs_f64() < seconds {
        let request = match method {
            "GET" => b"GET /lots HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            _ => post("/lots", "", None, &format!("{{\"id\":{}}}", times.len())),
        };
        let asked = Instant::now();
        connection.body(&request).await?;
        times.push(asked.elapsed());
    }
    Ok(ran(times, began.elapsed(), Duration::ZERO))
}

fn data(client: usize, number: usize) -> String {
    format!(
        "{{\"farm\":\"Huerta {client}\",\"grade\":\"A\",\"kg\":{},\"lot\":\"HASS-{number}\",\"pallets\":[1,2,3],\
         \"temperature\":6.5}}",
        20 + number % 7
    )
}

fn post(path: &str, token: &str, key: Option<&str>, body: &str) -> Vec<u8> {
    let mut head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    if !token.is_empty() {
        head += &format!("authorization: Bearer {token}\r\n");
    }
    if let Some(key) = key {
        head += &format!("idempotency-key: {key}\r\n");
    }
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Each client sends one request after the other over a connection of its own.
async fn run(
    services: &Services,
    clients: usize,
    seconds: f64,
    expected: &[u8],
    made: impl Fn(usize, &str) -> Vec<u8>,
) -> Result<Loaded> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::secure(services.gateway()?, services.certificate()).await?);
    }
    let own = std::process::id();
    let cpu = || -> Result<[Duration; 3]> {
        let of = |pid| process::cpu(pid);
        Ok([of(services.pid())?, of(services.ledger)?, of(own)?])
    };
    let (before, began) = (cpu()?, Instant::now());
    let made = Arc::new(made);
    let each = connections
        .into_iter()
        .enumerate()
        .map(|(client, mut connection)| {
            let made = Arc::clone(&made);
            let person = &services.people[client % services.people.len()];
            async move {
                let mut times = Vec::new();
                while began.elapsed().as_secs_f64() < seconds {
                    let request = made(client, person.token().unwrap_or_default());
                    let asked = Instant::now();
                    let body = connection.body(&request).await?;
                    times.push(asked.elapsed());
                    let fits = body.windows(expected.len()).any(|at| at == expected);
                    ensure!(fits, "told {}", String::from_utf8_lossy(body));
                }
                anyhow::Ok(times)
            }
        });
    let times = futures_util::future::try_join_all(each).await?;
    let wall = began.elapsed();
    let [audit, ledger, own] = {
        let after = cpu()?;
        std::array::from_fn(|at| after[at].saturating_sub(before[at]))
    };
    Ok(Loaded {
        ran: ran(times.concat(), wall, audit),
        ledger,
        own,
    })
}

fn ran(mut times: Vec<Duration>, wall: Duration, cpu: Duration) -> Ran {
    times.sort_unstable();
    Ran {
        operations: times.len(),
        wall,
        cpu,
        times,
    }
}
