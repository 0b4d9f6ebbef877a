//! The case study: a season of five companies, one lot altered in a company's own database, and everybody who
//! finds it.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use avocado::{Accounts, Address, Anchor, Companies, Finding, Role, Season, gs1::path, labels};
use e2e::{Audit, Client, Ledger, counterfoil};
use serde_json::Value;

/// What the seasons are made from: the documents' pictures show this one.
const SEED: u64 = 7;

/// A season that was played, and whose middle lot was altered.
struct Played {
    ledger: Ledger,
    audit: Audit,
    companies: Companies,
    season: Season,
    folder: PathBuf,
}

impl Played {
    async fn new(lots: usize) -> Result<Self> {
        let ledger = Ledger::start()?;
        let folder = ledger.scratch()?;
        let mut audit = Audit::start(&folder.join("audit"), ledger.ready())?;
        audit.configure("open_to_visitors = true\n")?;
        audit.kill()?;
        audit.start_again(ledger.ready())?;
        let address = Address {
            url: audit.ready().url.clone(),
            certificate: fs::read_to_string(&audit.ready().certificate)?,
        };
        let accounts = Accounts::found(&address).await?;
        let anchor = Anchor {
            certificate: fs::read_to_string(&ledger.ready().service_cert)?,
            root: None,
        };
        let own = folder.join("companies");
        let companies = Companies::start(&own, &address, &accounts, anchor, 0).await?;
        let season = Season::new(SEED, lots);
        season.play(&companies, |_| {}).await?;
        Ok(Self {
            ledger,
            audit,
            companies,
            season,
            folder,
        })
    }

    /// Consults all rows of all companies: how many there are, and those that are not valid.
    async fn consulted(&self) -> Result<(usize, Vec<Finding>)> {
        let (mut count, mut wrong) = (0, Vec::new());
        for company in self.companies.recording() {
            let findings = company.check().await?;
            count += findings.len();
            wrong.extend(
                findings
                    .into_iter()
                    .filter(|finding| finding.verdict != "valid"),
            );
        }
        Ok((count, wrong))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_whole_season_exactly_the_altered_lot_is_found() -> Result<()> {
    let played = Played::new(25).await?;
    let lot = &played.season.lots()[12];
    ensure!(played.consulted().await? == (played.season.events(), Vec::new()));
    let altered = played.companies.alter(&lot.number).await?;
    ensure!(altered.was != altered.is, "{altered:?}");

    let (count, wrong) = played.consulted().await?;
    let [found] = &wrong[..] else {
        anyhow::bail!("{count} rows, of which {wrong:?}");
    };
    ensure!((&*found.table, &*found.key, &*found.verdict) == ("packings", &*lot.number, "altered"));
    ensure!(
        found.fields == ["/ilmd/cbvmda:harvestStartDate"],
        "{found:?}"
    );

    // Consumers find it for that lot, and nothing for another; what they found is in their own database.
    let consumers = played.companies.consumers();
    let checks = consumers.check(&lot.cases).await?;
    let wrong: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict != "valid")
        .collect();
    ensure!(checks.len() == 7 && wrong.len() == 1, "{checks:?}");
    ensure!(wrong[0].company == Role::Packer.name() && wrong[0].record == found.record);
    ensure!(consumers.checked(&lot.cases).await?.len() == 7);
    let checks = consumers.check(&played.season.lots()[3].cases).await?;
    ensure!(
        checks.len() == 7 && checks.iter().all(|check| check.verdict == "valid"),
        "{checks:?}"
    );

    // Offline: the proof that the packer kept, and what it says today.
    let packer = played
        .companies
        .company(Role::Packer)
        .context("there is a packer")?;
    let row = packer.row("packings", &lot.number).await?;
    let (_, record, proof) = row.context("the row is there")?;
    ensure!(record.as_deref() == Some(&*found.record));
    let claim = packer
        .claim(&found.record)
        .await?
        .context("it says something")?;
    verify_offline(&played, &proof, &claim, Some(&found.fields))?;
    verify_offline(&played, &proof, &proof["audit"]["data"], None)?;
    Ok(())
}

/// `counterfoil verify --data`, without the services: `fields` are those that have to differ.
fn verify_offline(
    played: &Played,
    proof: &Value,
    data: &Value,
    fields: Option<&[String]>,
) -> Result<()> {
    let file = |name: &str| played.folder.join(name);
    fs::write(file("proof.json"), proof.to_string())?;
    fs::write(file("data.json"), data.to_string())?;
    let mut command = counterfoil()?;
    command
        .arg("verify")
        .arg(file("proof.json"))
        .arg("--data")
        .arg(file("data.json"));
    command
        .arg("--service-cert")
        .arg(&played.ledger.ready().service_cert);
    let output = command.arg("--json").output()?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(said["valid"] == true, "{said}");
    ensure!(output.status.success() == fields.is_none(), "{said}");
    let expected =
        serde_json::json!({"same": fields.is_none(), "fields": fields.unwrap_or_default()});
    ensure!(said["data"] == expected, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_what_was_altered_and_what_was_not() -> Result<()> {
    let played = Played::new(25).await?;
    let lots = played.season.lots();
    let (altered, valid) = (&lots[12], &lots[3]);
    played.companies.alter(&altered.number).await?;
    let app = played.companies.url(Role::Consumer);
    let written = labels::write(
        &played.folder.join("labels"),
        lots,
        &played.audit.ready().url,
        app,
    )?;
    ensure!(written == 75);
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let images = PathBuf::from(here).join("../docs/images");
    let more = [
        ("AVOCADO_APP", app),
        ("AVOCADO_AUDIT", &played.audit.ready().url),
        ("AVOCADO_ALTERED", path(&altered.cases)),
        ("AVOCADO_VALID", path(&valid.cases)),
        ("AVOCADO_IMAGES", images.to_str().context("paths are text")?),
    ];
    Client::NodeWith("pages").run_with("avocado.mjs", &[], &more, &played.ledger)?;
    // What the page handed out is a proof for the command line too.
    let proof = fs::read(played.ledger.scratch()?.join("downloaded.json"))?;
    let proof: Value = serde_json::from_slice(&proof)?;
    verify_offline(&played, &proof, &proof["audit"]["data"], None)
}
