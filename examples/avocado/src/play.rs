//! The command: starts the companies, plays, alters one lot, tells where to look.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use avocado::gs1::path;
use avocado::{Accounts, Address, Anchor, Companies, Role, Season, labels};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// A season of avocados, from orchard to shop, recorded by five companies in one audit.
///
/// Starts the services of five companies, lets them play a season against audit services that run
/// (`counterfoil audit all`), alters one lot in the packer's database, and says where to see it. The companies run
/// on until Ctrl-C.
#[derive(Parser, Debug)]
#[command(version)]
pub(crate) struct Play {
    /// The audit's gateway.
    #[arg(long, default_value = "https://127.0.0.1:8444")]
    gateway: String,
    /// The certificate that the gateway shows (PEM).
    #[arg(long, default_value = "audit/certificate.pem")]
    certificate: PathBuf,
    /// The ledger's service certificate (PEM), with which the consumers' page checks. Without it, it is the
    /// one that the gateway names: compare its fingerprint.
    #[arg(long)]
    service_cert: Option<PathBuf>,
    /// Where the audit's events are in contracts: the address of the root of their tree, with which that page
    /// checks too. Without the certificate's file, it is the one that the gateway names: compare it.
    #[arg(long, requires = "service_cert")]
    root: Option<String>,
    /// The folder of the five companies.
    #[arg(long, default_value = "avocado")]
    dir: PathBuf,
    /// A file with the companies' accounts, where the services have a root already [default: DIR/accounts.json,
    /// which is made with services that are new].
    #[arg(long)]
    accounts: Option<PathBuf>,
    /// So many lots.
    #[arg(long, default_value_t = 2_000)]
    lots: usize,
    /// What the season is made from: the same number is the same season.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The farmer's port; the others follow. 0 takes free ones.
    #[arg(long, default_value_t = 8701)]
    port: u16,
    /// Leave at the end.
    #[arg(long)]
    exit: bool,
}

impl Play {
    pub(crate) async fn run(self) -> Result<()> {
        if self.lots == 0 {
            bail!("a season has a lot at least");
        }
        fs::create_dir_all(&self.dir).with_context(|| format!("making {}", self.dir.display()))?;
        let certificate = fs::read_to_string(&self.certificate);
        let address = Address {
            url: self.gateway.clone(),
            certificate: certificate
                .with_context(|| format!("reading {}", self.certificate.display()))?,
        };
        let accounts = self.accounts(&address).await?;
        let anchor = self.anchor(&address, &accounts).await?;
        let companies = Companies::start(&self.dir, &address, &accounts, anchor, self.port).await?;
        for role in Role::ALL {
            println!(
                "  {:<10} {:<24} {}",
                role.word(),
                role.name(),
                companies.url(role)
            );
        }
        let season = Season::new(self.seed, self.lots);
        let bar = ProgressBar::new(season.events() as u64);
        bar.set_style(ProgressStyle::with_template(
            "  {wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left",
        )?);
        season
            .play(&companies, |stored| bar.inc(stored as u64))
            .await?;
        bar.finish();
        let consumers = companies.url(Role::Consumer);
        let folder = self.dir.join("labels");
        let written = labels::write(&folder, season.lots(), &self.gateway, consumers)?;
        println!("  {written} labels in {}", folder.display());
        self.alter(&companies, &season).await?;
        if !self.exit {
            println!("  The companies run on. Ctrl-C stops them.");
            tokio::signal::ctrl_c().await?;
        }
        Ok(())
    }

    /// Alters the lot in the middle, and lets everybody look.
    async fn alter(&self, companies: &Companies, season: &Season) -> Result<()> {
        let lots = season.lots();
        let lot = &lots[lots.len() / 2];
        let altered = companies.alter(&lot.number).await?;
        println!(
            "  altered: {} of {} in {}, from {} to {}",
            altered.column,
            altered.key,
            altered.file.display(),
            altered.was,
            altered.is
        );
        for company in companies.recording() {
            let findings = company.check().await?;
            let wrong: Vec<_> = findings
                .iter()
                .filter(|finding| finding.verdict != "valid")
                .collect();
            println!(
                "  {}: {} rows consulted, {} not valid",
                company.role().name(),
                findings.len(),
                wrong.len()
            );
            for found in wrong {
                println!(
                    "    {} {} is {}: {}",
                    found.table,
                    found.key,
                    found.verdict,
                    found.fields.join(", ")
                );
            }
        }
        let page = companies.url(Role::Consumer);
        println!("  See it:        {page}{}", path(&lot.cases));
        println!("  Another lot:   {page}{}", path(&lots[0].cases));
        println!("  What is stored: {}{}", self.gateway, path(&lot.cases));
        Ok(())
    }

    async fn accounts(&self, address: &Address) -> Result<Accounts> {
        let file = self
            .accounts
            .clone()
            .unwrap_or_else(|| self.dir.join("accounts.json"));
        if file.exists() {
            return Ok(Accounts::read(&file)?);
        }
        if self.accounts.is_some() {
            bail!("there is no file {}", file.display());
        }
        let made = Accounts::found(address).await;
        let accounts =
            made.context("the services have a root already? then name the file with --accounts")?;
        accounts.write(&file)?;
        Ok(accounts)
    }

    async fn anchor(&self, address: &Address, accounts: &Accounts) -> Result<Anchor> {
        if let Some(file) = &self.service_cert {
            let read = fs::read_to_string(file);
            return Ok(Anchor {
                certificate: read.with_context(|| format!("reading {}", file.display()))?,
                root: self.root.clone(),
            });
        }
        let gateway = avocado::Gateway::new(address, accounts.consumer.clone())?;
        let identity = gateway
            .ask(http::Method::GET, "/v1/identity", &serde_json::Value::Null)
            .await?;
        let certificate = identity["serviceCertificate"].as_str();
        let certificate = certificate.context("the gateway names no service certificate")?;
        Ok(Anchor {
            certificate: certificate.to_owned(),
            root: identity["root"].as_str().map(str::to_owned),
        })
    }
}
