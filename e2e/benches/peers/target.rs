//! Servers under load, and how two of them are compared on a machine that does not hold still.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use e2e::{Ledger, Ready, counterfoil};
use serde::Deserialize;

use crate::process::{self, Background};

/// Each comparison is made so many times, ours and the peer's in turn.
pub(crate) const ROUNDS: usize = 5;

/// What `counterfoil bench` prints with `--json`, as far as it is compared here.
#[derive(Deserialize)]
pub(crate) struct Load {
    /// Requests, or entries of a batch.
    pub(crate) operations: u64,
    /// The same in a second.
    pub(crate) operations_per_second: f64,
    /// Median time to the answer, microseconds.
    pub(crate) p50_us: f64,
    /// Processor time of the server for one, microseconds.
    pub(crate) server_cpu_us: f64,
}

/// A server under load: the ledger, or the peer that does nothing.
pub(crate) struct Target {
    url: String,
    service_cert: PathBuf,
    token: String,
    /// Its process.
    pub(crate) pid: u32,
    seconds: f64,
}

impl Target {
    /// A ledger, each figure of which takes so long.
    pub(crate) fn ledger(ready: &Ready, seconds: f64) -> Self {
        Self {
            url: ready.url.clone(),
            service_cert: ready.service_cert.clone(),
            token: ready.token.clone(),
            pid: ready.pid,
            seconds,
        }
    }

    /// Starts the server that does nothing.
    pub(crate) fn echo(ledger: &Ledger, seconds: f64) -> Result<(Background, Self)> {
        #[derive(Deserialize)]
        struct Listening {
            url: String,
            pid: u32,
        }
        let service_cert = ledger.scratch()?.join("echo.pem");
        let mut echo = counterfoil()?;
        echo.args(["bench", "echo", "--service-cert"])
            .arg(&service_cert);
        let (echo, Listening { url, pid }) = Background::start(&mut echo)?;
        let token = ledger.ready().token.clone();
        let target = Self {
            url,
            service_cert,
            token,
            pid,
            seconds,
        };
        Ok((echo, target))
    }

    /// One run of `counterfoil bench`.
    pub(crate) fn load(&self, args: &[&str]) -> Result<Load> {
        self.load_for(self.seconds, args)
    }

    /// The same for so long.
    pub(crate) fn load_for(&self, seconds: f64, args: &[&str]) -> Result<Load> {
        let mut command = self.client()?;
        command.arg("bench").args(args);
        command.args([
            "--json",
            "--duration",
            &seconds.to_string(),
            "--server-pid",
            &self.pid.to_string(),
        ]);
        process::json(&mut command)
    }

    /// Requests as fast as they are answered, this many and no more.
    pub(crate) fn fill(&self, args: &[&str]) -> Result<Load> {
        let mut command = self.client()?;
        command.args(["bench", "write", "--json"]).args(args);
        command.args(["--server-pid", &self.pid.to_string()]);
        process::json(&mut command)
    }

    /// The command line client, told where the server is.
    fn client(&self) -> Result<Command> {
        let mut command = counterfoil()?;
        command.env("COUNTERFOIL_URL", &self.url);
        command.env("COUNTERFOIL_SERVICE_CERT", &self.service_cert);
        command.env("COUNTERFOIL_TOKEN", &self.token);
        Ok(command)
    }

    /// Processor time beside the same of a peer.
    pub(crate) fn cpu_beside(&self, args: &[&str], peer: &Self, bare: &[&str]) -> Result<Beside> {
        let seconds = self.seconds / ROUNDS as f64;
        let mut rates = Vec::new();
        let beside = Beside::measure(|| {
            let theirs = peer.load_for(seconds, bare)?;
            let ours = self.load_for(seconds, args)?;
            rates.push((ours.operations_per_second, theirs.operations_per_second));
            Ok((ours.server_cpu_us, theirs.server_cpu_us))
        })?;
        let (ours, theirs) = rates.into_iter().unzip();
        let (ours, theirs) = (median(ours), median(theirs));
        eprintln!("{}: {ours:.0}/s, the peer {theirs:.0}/s", args.join(" "));
        Ok(beside)
    }

    /// Time to the answer beside the same of the disk.
    pub(crate) fn time_beside_disk(&self, args: &[&str], ledger: &Ledger) -> Result<Beside> {
        let seconds = self.seconds / ROUNDS as f64;
        Beside::measure(|| {
            let disk = syncs(&ledger.folder())?;
            let ours = self.load_for(seconds, args)?;
            Ok((ours.p50_us, disk))
        })
    }
}

/// What the disk takes to make a few bytes in this folder durable: median, microseconds.
pub(crate) fn syncs(folder: &Path) -> Result<f64> {
    #[derive(Deserialize)]
    struct Syncs {
        p50_us: f64,
    }
    let mut fsync = counterfoil()?;
    fsync.args(["bench", "fsync", "--json", "--count", "500"]);
    let syncs: Syncs = process::json(fsync.arg(folder))?;
    Ok(syncs.p50_us)
}

/// The same of two, measured in turn. The machine's speed changes by half from minute to minute, so
/// what counts is the ratio of neighbours, and of those the median.
pub(crate) struct Beside {
    /// Ours, microseconds, median.
    pub(crate) ours: f64,
    /// The peer's, microseconds, median.
    pub(crate) theirs: f64,
    /// Ours to the peer's: the median, the least, the most.
    pub(crate) ratios: [f64; 3],
}

impl Beside {
    fn measure(mut round: impl FnMut() -> Result<(f64, f64)>) -> Result<Self> {
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push(round()?);
        }
        Ok(Self::of(pairs))
    }

    /// What each round came to: ours, the peer's.
    pub(crate) fn of(pairs: Vec<(f64, f64)>) -> Self {
        let mut ratios: Vec<f64> = pairs
            .iter()
            .map(|(ours, theirs)| ours / theirs.max(1e-3))
            .collect();
        ratios.sort_by(f64::total_cmp);
        let (ours, theirs) = pairs.into_iter().unzip();
        Self {
            ours: median(ours),
            theirs: median(theirs),
            ratios: [
                ratios[ratios.len() / 2],
                ratios[0],
                ratios[ratios.len() - 1],
            ],
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
