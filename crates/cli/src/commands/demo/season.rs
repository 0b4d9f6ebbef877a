//! Chapters five and six: five companies record a season, and one lot is altered behind everybody's back.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use avocado::{Accounts, Address, Altered, Anchor, Companies, Company, Lot, Role, Season, labels};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use verify::Cert;

use super::network::Network;
use super::process::{AuditReady, Process};
use crate::commands::recorded::{Compared, Held};
use crate::commands::verify::AnyReceipt;
use crate::out::{bad, bold, faint, good, marked, one_line, say};
use crate::report::Failure;

/// What the season is made from.
const SEED: u64 = 7;
/// Visitors may trace: whoever has fruit in their hand.
const CONFIG: &str = "open_to_visitors = true\n";

/// The audit services, the companies in front of them, and what they do.
pub(super) struct Audited {
    /// A folder with the companies' proofs.
    pub(super) proofs: PathBuf,
    /// The proof of the row that is altered.
    pub(super) proof: PathBuf,
    /// What its company says of it today.
    pub(super) today: PathBuf,
    url: String,
    season: Season,
    companies: Companies,
    process: Process,
}

impl Audited {
    /// Starts the services on the network's first node, and the companies.
    pub(super) async fn start(network: &Network, dir: &Path, lots: usize) -> Result<Self> {
        let folder = dir.join("audit");
        fs::create_dir_all(&folder).map_err(Failure::writing(&folder))?;
        let config = folder.join("audit.toml");
        // Paths in it are relative to it: the folder is named beside it.
        fs::write(&config, CONFIG).map_err(Failure::writing(&config))?;
        let args = [
            "--config".to_owned(),
            config.display().to_string(),
            "--listen".to_owned(),
            // Known before it starts: labels have it.
            format!("127.0.0.1:{}", free_port()?),
            "--url".to_owned(),
            network.nodes[0].client.url().to_owned(),
            "--service-cert".to_owned(),
            network.service_cert.display().to_string(),
        ];
        let mut process = Process::start_audit(&network.program, &folder, &args, &network.token)?;
        let ready: AuditReady = process.ready().await?;
        let read = |path: &Path| fs::read_to_string(path).map_err(Failure::reading(path));
        let address = Address {
            url: ready.url,
            certificate: read(&ready.certificate)?,
        };
        let accounts = Accounts::found(&address).await?;
        let own = dir.join("companies");
        let anchor = Anchor {
            certificate: read(&network.service_cert)?,
            root: None,
        };
        let companies = Companies::start(&own, &address, &accounts, anchor, 0).await?;
        let names = avocado::companies().map(|(_, name)| name);
        say!(
            "   {} {}",
            names.collect::<Vec<_>>().join(", "),
            faint("each with a service and a database of its own")
        );
        Ok(Self {
            proofs: dir.join("proofs"),
            proof: own.join("altered-proof.json"),
            today: own.join("altered-today.json"),
            url: address.url,
            season: Season::new(SEED, lots),
            companies,
            process,
        })
    }

    /// Lets them play, and keeps the proofs as files.
    pub(super) async fn play(&self) -> Result<()> {
        let started = Instant::now();
        let events = self.season.events() as u64;
        let bar = ProgressBar::new(events);
        bar.set_style(ProgressStyle::with_template(
            "   {wide_bar} {human_pos} of {human_len} events",
        )?);
        let played = self
            .season
            .play(&self.companies, |stored| bar.inc(stored as u64));
        played.await?;
        bar.finish_and_clear();
        say!(
            "   {} {} events of {} lots, from orchard to shelf, each with its proof {}",
            good("recorded"),
            HumanCount(events),
            HumanCount(self.season.lots().len() as u64),
            faint(format!("in {} ms", started.elapsed().as_millis()))
        );
        fs::create_dir_all(&self.proofs).map_err(Failure::writing(&self.proofs))?;
        for company in self.companies.recording() {
            for (number, proof) in company.proofs().await?.into_iter().enumerate() {
                let name = format!("{}-{number}.json", company.role().word());
                let path = self.proofs.join(name);
                fs::write(&path, proof).map_err(Failure::writing(&path))?;
            }
        }
        Ok(())
    }

    /// Alters a lot in the packer's database, and finds it: by all rows, offline, and for the page.
    pub(super) async fn alter(&self, anchor: &Cert) -> Result<()> {
        let lot = self.altered_lot();
        let altered = self.companies.alter(&lot.number).await?;
        say!(
            "   {} of lot {}: {} -> {} {}",
            bold("the harvest date"),
            marked(&altered.key),
            altered.was,
            altered.is,
            faint("fruit that is nine days younger sells better")
        );
        let (consulted, found) = self.consult_all().await?;
        say!(
            "   {} rows of all companies consulted, {} as recorded; {} {}",
            HumanCount(consulted as u64),
            HumanCount((consulted - found.len()) as u64),
            bad("ALTERED"),
            one_line(&found.join("; "), 110)
        );
        if found.len() != 1 {
            return Err(Failure::new("not just the altered row was found").into());
        }
        self.compare_offline(&altered, anchor).await?;
        // The page asks the same, and judges in the browser.
        let checks = self.companies.consumers().check(&lot.cases).await?;
        let wrong = checks
            .iter()
            .filter(|check| check.verdict == "altered")
            .count();
        if wrong != 1 {
            return Err(Failure::new("consumers would not see what was altered").into());
        }
        say!(
            "   {} {} steps of its journey, for whoever scans its label: {}",
            bad("ALTERED"),
            format_args!("{wrong} of {}", checks.len()),
            marked(self.page(lot))
        );
        Ok(())
    }

    /// Compares all rows of all companies with the ledger; gives how many, and which are not what they were.
    async fn consult_all(&self) -> Result<(usize, Vec<String>)> {
        let (mut consulted, mut found) = (0, Vec::new());
        for company in self.companies.recording() {
            let findings = company.check().await?;
            consulted += findings.len();
            let wrong = findings
                .into_iter()
                .filter(|finding| finding.verdict != "valid");
            found.extend(wrong.map(|finding| {
                let fields = finding.fields.join(", ");
                format!("{} {}: {fields}", finding.table, finding.key)
            }));
        }
        Ok((consulted, found))
    }

    /// What `counterfoil verify --data` does: the proof that the packer kept, and what it says today.
    async fn compare_offline(&self, altered: &Altered, anchor: &Cert) -> Result<()> {
        let packer = self
            .companies
            .company(altered.role)
            .context("there is a packer")?;
        let (proof, today) = evidence(packer, altered).await?;
        fs::write(&self.proof, &proof).map_err(Failure::writing(&self.proof))?;
        fs::write(&self.today, today).map_err(Failure::writing(&self.today))?;
        let receipt = AnyReceipt::read(proof.as_bytes())?;
        let verdict = receipt.check(anchor.clone(), None, None)?;
        let held = Held::read(&self.today, proof.as_bytes(), None)?;
        match held.compare(&verdict.claims)? {
            Compared::Same => Err(Failure::new("altered data passed for the recorded one").into()),
            Compared::Altered(fields) => {
                say!(
                    "   offline: {} transaction {}; {} what the packer says today: {}",
                    good("VALID"),
                    verdict.proven.tx_id,
                    bad("ALTERED"),
                    one_line(&fields.join(", "), 80)
                );
                Ok(())
            }
        }
    }

    /// Tells which pages there are.
    pub(super) fn show_pages(&self) {
        let lot = self.altered_lot();
        let other = &self.season.lots()[0];
        say!(
            "{} {}",
            bold("Look at it in your browser"),
            faint("as whoever scans a label does:")
        );
        say!(
            "   {}  {}",
            marked(self.page(lot)),
            faint("the altered lot")
        );
        if other != lot {
            say!("   {}  {}", marked(self.page(other)), faint("another one"));
        }
        say!(
            "   {}  {}",
            marked(labels::link(&self.url, &lot.cases)),
            faint("what was recorded of it, from the audit's own pages")
        );
    }

    /// Ends it: companies at once, services when they have answered.
    pub(super) async fn stop(self) {
        drop(self.companies);
        self.process.stop().await;
    }

    fn altered_lot(&self) -> &Lot {
        let lots = self.season.lots();
        &lots[lots.len() / 2]
    }

    fn page(&self, lot: &Lot) -> String {
        labels::link(self.companies.url(Role::Consumer), &lot.cases)
    }
}

/// The proof that a company kept with a row, and the row's event as it would be today.
async fn evidence(company: &Company, altered: &Altered) -> Result<(String, String)> {
    let row = company.row(altered.table, &altered.key).await?;
    let (_, record, proof) = row.context("the altered row is there")?;
    let record = record.context("it has a record")?;
    let today = company
        .claim(&record)
        .await?
        .context("its event can be made")?;
    Ok((proof.to_string(), today.to_string()))
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}
