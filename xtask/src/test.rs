//! `cargo xtask test`: every test there is, the light crates first.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use cargo_metadata::{CrateType, MetadataCommand, Package};

use crate::clients;
use crate::tally::Tally;
use crate::tools::{NEXTEST, system};
use xtask::cache;
use xtask::postgres::{self, Keeps, Postgres};
use xtask::run::{cargo, run, tee, works};

type Part = (&'static str, fn() -> Result<Tally>);

/// In the order in which they run.
const PARTS: [Part; 4] = [("light", light), ("rest", rest), ("doc", doc), ("e2e", e2e)];

/// Runs all tests, or one part of them, and ends with the line `N passed, N failed`.
///
/// A part that cannot be run counts as one failure, and the parts after it run all the same.
pub(crate) fn test(only: Option<&str>) -> ExitCode {
    let mut tally = Tally::default();
    if let Some(part) = only.filter(|only| PARTS.iter().all(|(name, _)| name != only)) {
        eprintln!("error: there is no part {part:?}; there are light, rest, doc and e2e");
        tally.failed += 1;
    }
    for (name, part) in PARTS
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name))
    {
        eprintln!("\n== {name}");
        tally += part().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Tally {
                passed: 0,
                failed: 1,
            }
        });
    }
    println!("{tally}");
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The default members: what an edit is tested with.
fn light() -> Result<Tally> {
    system("A software TPM", &["swtpm", "tpm2-tools"], || {
        works(Command::new("swtpm").args(["socket", "--tpm2", "--print-capabilities"]))
            && works(Command::new("tpm2_getcap").arg("--version"))
    })?;
    clients::state_tests()?;
    let cache = cache::folder()?.into_os_string();
    let mut tally = nextest(&[], &[("COUNTERFOIL_CACHE", cache)])?;
    tally += on_postgres()?;
    Ok(tally)
}

/// What is kept in a database, once more: in PostgreSQL.
fn on_postgres() -> Result<Tally> {
    eprintln!("\n== the audit services' tests, on PostgreSQL");
    install_postgres()?;
    let server = Postgres::start(Keeps::Nothing)?;
    // With the others built as they were: a package alone would have other features, and all below it too.
    nextest(
        &["-E", KEPT],
        &[("COUNTERFOIL_TEST_POSTGRES", server.url().into())],
    )
}

/// Makes sure that there is a server to start.
fn install_postgres() -> Result<()> {
    system("PostgreSQL", &["postgresql"], postgres::is_installed)
}

/// The tests that open a database.
const KEPT: &str = "package(audit) & test(/^(database|inside|trail|users)::/)";

/// The other members, but for the tests that need the release binary.
fn rest() -> Result<Tally> {
    let metadata = MetadataCommand::new()
        .current_dir(cache::root())
        .no_deps()
        .exec()?;
    let light = metadata.workspace_default_packages();
    let rest: Vec<&str> = metadata
        .packages
        .iter()
        .filter(|package| package.name != "e2e" && !light.contains(package))
        .flat_map(|package| ["-p", package.name.as_str()])
        .collect();
    if rest.is_empty() {
        Ok(Tally::default())
    } else {
        nextest(&rest, &[])
    }
}

/// Examples in the documentation, which nextest does not run.
fn doc() -> Result<Tally> {
    let metadata = MetadataCommand::new()
        .current_dir(cache::root())
        .no_deps()
        .exec()?;
    let libraries: Vec<&str> = metadata
        .packages
        .iter()
        .filter(|package| package.name != "e2e" && is_library(package))
        .flat_map(|package| ["-p", package.name.as_str()])
        .collect();
    let mut command = cargo(&["test", "--locked", "--doc", "--no-fail-fast"]);
    let (_, said) = tee(command.args(libraries))?;
    Tally::of_cargo_test(&said).context("the examples could not be run: see above")
}

/// The release binary, real TLS, foreign clients.
fn e2e() -> Result<Tally> {
    clients::install()?;
    system("A software security module", &["softhsm2"], || {
        works(Command::new("softhsm2-util").arg("--version"))
    })?;
    system("A browser", &["chromium"], || {
        works(Command::new("chromium").arg("--version"))
    })?;
    install_postgres()?;
    let cache = cache::folder()?.into_os_string();
    let binary = build("release")?.into();
    nextest(
        &["-p", "e2e"],
        &[("COUNTERFOIL_BIN", binary), ("COUNTERFOIL_CACHE", cache)],
    )
}

/// Builds the program with a profile that optimises, and says where it is.
///
/// # Errors
/// When it does not build, or cargo cannot say where it leaves it.
pub(crate) fn build(profile: &str) -> Result<String> {
    run(&mut cargo(&[
        "build",
        "--locked",
        "--profile",
        profile,
        "-p",
        "counterfoil",
    ]))?;
    let metadata = MetadataCommand::new()
        .current_dir(cache::root())
        .no_deps()
        .exec()?;
    Ok(metadata
        .target_directory
        .join(profile)
        .join("counterfoil")
        .into_string())
}

fn nextest(packages: &[&str], env: &[(&str, OsString)]) -> Result<Tally> {
    let mut command = NEXTEST.command()?;
    command
        .args(["run", "--locked", "--no-fail-fast"])
        .args(packages);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    let (status, said) = tee(&mut command)?;
    let tally = Tally::of_nextest(&said).context("the tests could not be run: see above")?;
    if tally.failed == 0 && !status.success() {
        bail!("the test runner failed ({status}) although no test did");
    }
    Ok(tally)
}

fn is_library(package: &Package) -> bool {
    package
        .targets
        .iter()
        .any(|target| target.crate_types.contains(&CrateType::Lib))
}
