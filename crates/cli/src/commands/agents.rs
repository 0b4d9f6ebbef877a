//! `counterfoil agents`: friendly and unfriendly agents test running audit services.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agents::{Phase, Plan, Progress, Report, RunError};
use anyhow::Result;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::block_on_all_cores;
use crate::out::{self, bad, good, say};
use crate::report::Failure;

/// Test running audit services with friendly and unfriendly agents.
///
/// The services must be fresh: many agents race for their root, and one becomes it. Then friendly agents store,
/// change, consult and trace, and unfriendly ones send junk, skip steps, forge and replay tokens, and reach
/// for rights that they do not have. What has to come of each request is decided before it is sent. In the end
/// all logs and users are read: each accepted request has its one log, each refused one has none. Exits with 1
/// if that, or another invariant, does not hold.
///
/// The services are expected to log what they log by default: logins, and not reads. What agents store stays:
/// never let them loose on services that anybody uses.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil agents --certificate audit/certificate.pem          10,000 requests, half unfriendly
  counterfoil agents --url https://audit.example --certificate audit.pem --service-cert ledger.pem \\
      --requests 100000 --connections 64 --seed 7 --report report.html")]
pub(crate) struct Agents {
    /// Where the gateway of the services is.
    #[arg(
        long,
        env = "COUNTERFOIL_AUDIT_URL",
        default_value = "https://127.0.0.1:8444"
    )]
    url: String,
    /// The certificate that it shows (PEM), the only one that is trusted.
    #[arg(
        long,
        env = "COUNTERFOIL_AUDIT_CERTIFICATE",
        value_name = "FILE",
        default_value = "audit/certificate.pem"
    )]
    certificate: PathBuf,
    /// The ledger's service certificate (PEM), to check receipts with [default: the one that the services
    /// name].
    #[arg(long, env = "COUNTERFOIL_SERVICE_CERT", value_name = "FILE")]
    service_cert: Option<PathBuf>,
    /// Requests, at least.
    #[arg(short = 'n', long, default_value_t = 10_000)]
    requests: u64,
    /// Connections, each with an agent that has one request at a time, or two.
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    connections: u16,
    /// The share of unfriendly requests, 0 to 1.
    #[arg(short, long, default_value_t = 0.5, value_name = "SHARE", value_parser = parse_share)]
    unfriendly: f64,
    /// What all choices come from [default: another one each time].
    #[arg(short, long)]
    seed: Option<u64>,
    /// How many race for root.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    root_racers: u16,
    /// Write what came of it as one page.
    #[arg(short, long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print the same facts as one line of JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is from 0 to 1".to_owned())
}

impl Agents {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let plan = self.plan()?;
        let progress = Arc::new(Progress::default());
        let report = block_on_all_cores(async {
            let view = self.watch(&plan, &progress);
            let report = agents::run(&plan, &progress).await;
            view.abort();
            // Whatever it drew is gone before anything else is written.
            let _ = view.await;
            report.map_err(|error| blame(error).into())
        })?;
        if let Some(path) = &self.report {
            fs::write(path, agents::render(&report)).map_err(Failure::writing(path))?;
        }
        match self.json {
            true => out::write_json(&report),
            false => show(&report, self.report.as_deref()),
        }
        Ok(match report.holds {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let ledger = self.service_cert.as_deref().map(read).transpose()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Plan {
            url: self.url.clone(),
            certificate: read(&self.certificate).map_err(|failure| {
                failure.hint("`counterfoil audit all` prints where its certificate is")
            })?,
            ledger,
            requests: self.requests,
            connections: usize::from(self.connections),
            unfriendly: self.unfriendly,
            seed: self
                .seed
                .unwrap_or_else(|| now.map_or(0, |now| now.as_secs())),
            racers: usize::from(self.root_racers),
        })
    }

    /// Shows how far it is: a bar on a terminal, a line now and then elsewhere, nothing to programs.
    fn watch(&self, plan: &Plan, progress: &Arc<Progress>) -> JoinHandle<()> {
        let progress = Arc::clone(progress);
        let requests = plan.requests;
        let terminal = std::io::stderr().is_terminal();
        if self.json && !terminal {
            return tokio::spawn(async {});
        }
        if !terminal {
            return tokio::spawn(tell(progress, requests));
        }
        eprintln!("seed {}", plan.seed);
        tokio::spawn(draw(progress, requests))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::reading(path))
}

async fn draw(progress: Arc<Progress>, requests: u64) {
    let bar = ProgressBar::with_draw_target(Some(requests), ProgressDrawTarget::stderr());
    let style = "{prefix:16} [{wide_bar}] {human_pos} of {human_len}, {per_sec}\n{msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.progress_chars("=> "));
    }
    let _gone = Clear(bar.clone());
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let seen = progress.seen();
        bar.set_prefix(seen.phase.word());
        bar.set_position(seen.requests().min(requests));
        bar.set_message(format!(
            "{} accepted   {} refused   {} put off   {}",
            HumanCount(seen.accepted),
            HumanCount(seen.refused),
            HumanCount(seen.other),
            match seen.broken {
                0 => good("0 broken".to_owned()),
                broken => bad(format!("{} broken", HumanCount(broken))),
            },
        ));
    }
}

/// Takes the bar away when nobody draws it any more.
struct Clear(ProgressBar);

impl Drop for Clear {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn tell(progress: Arc<Progress>, requests: u64) {
    let mut before = None;
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let seen = progress.seen();
        if before != Some(seen) || seen.phase != Phase::Requests {
            eprintln!(
                "{}: {} of {} requests, {} accepted, {} refused, {} put off, {} broken",
                seen.phase.word(),
                HumanCount(seen.requests()),
                HumanCount(requests),
                HumanCount(seen.accepted),
                HumanCount(seen.refused),
                HumanCount(seen.other),
                HumanCount(seen.broken),
            );
        }
        before = Some(seen);
    }
}

fn show(report: &Report, path: Option<&Path>) {
    match report.holds {
        true => say!("{}", good("all invariants hold")),
        false => say!("{}", bad("invariants are broken")),
    }
    say!("{}", report.summary().trim_end());
    if let Some(path) = path {
        say!("report: {}", path.display());
    }
}

/// Who has to look at it.
fn blame(error: RunError) -> Failure {
    let what = error.to_string();
    match &error {
        RunError::Certificate(_) => Failure::unreadable(what)
            .because(error)
            .hint("--certificate takes the services' certificate as a PEM file"),
        RunError::Unreachable { .. } => Failure::unreadable(what).hint(
            "do they run there, and is it their certificate? `counterfoil audit all` prints both",
        ),
        RunError::RootExists => Failure::unreadable(what)
            .hint("start services in an empty folder, on a database of their own: --dir NEW"),
        RunError::Refused { .. } => {
            Failure::new(what).hint("this is theirs to answer: their log says more")
        }
        RunError::Machine(_) => Failure::new(what),
    }
}
