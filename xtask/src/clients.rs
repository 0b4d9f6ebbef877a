//! The foreign clients of the e2e tests: other people's SDKs and verifiers, from their registries,
//! at pinned versions, in the cache folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools::system;
use xtask::cache;
use xtask::run::{files, read, run, works};

/// The first Python that the newest verifiers run on.
const MODERN: (u32, u32) = (3, 12);

/// Installs what tests of the machine read: `CACHE/statetests`, the files of
/// `e2e/statetests/package-lock.json`.
///
/// # Errors
/// It cannot be installed; the message says what would help.
pub(crate) fn state_tests() -> Result<()> {
    node_packages(&cache::root().join("e2e/statetests"), "statetests")
}

/// Installs what is missing: a Python environment for each `e2e/python/requirements-NAME.txt` in
/// `CACHE/python/NAME`, the packages of `e2e/NAME/package-lock.json` in `CACHE/NAME` for `js`, `hardhat`,
/// `foundry` and `evm`, and the compiler of `contracts-sol` in `CACHE/sol`.
///
/// # Errors
/// When something is missing that cannot be installed; the message says what would help.
pub(crate) fn install() -> Result<()> {
    let clients = cache::root().join("e2e");
    let python = newest_python()?;
    for requirements in files(&clients.join("python"))? {
        let name = requirements
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let environment = name
            .strip_prefix("requirements-")
            .and_then(|name| name.strip_suffix(".txt"));
        if let Some(name) = environment {
            python_environment(&python, name, &requirements)?;
        }
    }
    for name in ["js", "hardhat", "foundry", "evm", "pages", "apps"] {
        node_packages(&clients.join(name), name)?;
    }
    node_packages(&cache::root().join("contracts-sol"), "sol")
}

/// Installs the nodes that contracts are compared with, those of `e2e/peers/package-lock.json`, in `CACHE/peers`.
///
/// # Errors
/// When something is missing that cannot be installed; the message says what would help.
pub(crate) fn peers() -> Result<()> {
    node_packages(&cache::root().join("e2e/peers"), "peers")
}

fn python_environment(python: &Python, name: &str, requirements: &Path) -> Result<()> {
    let folder = cache::folder()?.join("python").join(name);
    let wanted = format!("{}\n{}", python.describe(), text(requirements)?);
    once(&folder, &wanted, || {
        eprintln!("installing the Python packages of {name}");
        run(Command::new(&python.program)
            .args(["-m", "venv", "--clear"])
            .arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        run(pip.arg("--requirement").arg(requirements))
    })
}

fn node_packages(sources: &Path, name: &str) -> Result<()> {
    let node = || works(Command::new("node").args(["-e", "process.exit(fetch ? 0 : 1)"]));
    system("Node.js 18 or newer", &["nodejs"], node)?;
    system("npm", &["npm"], || {
        works(Command::new("npm").arg("--version"))
    })?;
    let folder = cache::folder()?.join(name);
    let files = ["package.json", "package-lock.json"];
    let wanted = files
        .iter()
        .map(|file| text(&sources.join(file)))
        .collect::<Result<String>>()?;
    once(&folder, &wanted, || {
        eprintln!("installing the JavaScript packages of {name}");
        for file in files {
            fs::copy(sources.join(file), folder.join(file)).context("copying the package lists")?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(npm.current_dir(&folder))
    })
}

/// Installs into a folder unless it was done for the same `wanted` before.
fn once(folder: &Path, wanted: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    // Gone while the folder is neither what it was nor what it should be.
    if stamp.exists() {
        fs::remove_file(&stamp).context("removing an old stamp")?;
    }
    install()?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

struct Python {
    program: PathBuf,
    version: (u32, u32),
}

impl Python {
    /// The Python at this path; `None` where there is none that runs.
    fn at(program: PathBuf) -> Option<Self> {
        let ask = "import sys; print(*sys.version_info[:2], sep='.')";
        let said = read(Command::new(&program).args(["-c", ask])).ok()?;
        let (major, minor) = said.split_once('.')?;
        Some(Self {
            program,
            version: (major.parse().ok()?, minor.parse().ok()?),
        })
    }

    fn describe(&self) -> String {
        format!(
            "# Python {}.{} at {}",
            self.version.0,
            self.version.1,
            self.program.display()
        )
    }
}

/// The newest Python there is, with `venv` and `pip`; one from Debian where there is none.
///
/// The readers of the newest formats need a modern one. With an older one their last versions that
/// run on it are used, and a line says so.
fn newest_python() -> Result<Python> {
    let mut found = pythons();
    if found.is_empty() {
        let python = || works(Command::new("python3").arg("--version"));
        system(
            "Python 3",
            &["python3", "python3-venv", "python3-pip"],
            python,
        )?;
        found = pythons();
    }
    let Some(python) = found.into_iter().max_by_key(|python| python.version) else {
        bail!("Python 3 is missing: install it, or set COUNTERFOIL_PYTHON to its program");
    };
    let venv = || works(Command::new(&python.program).args(["-c", "import ensurepip, venv"]));
    system("Python's venv", &["python3-venv", "python3-pip"], venv)?;
    if python.version < MODERN {
        println!(
            "Python {}.{} is the newest here: the ledger is read by an older version of the \
             foreign reader; set COUNTERFOIL_PYTHON to a Python {}.{} for the newest one",
            python.version.0, python.version.1, MODERN.0, MODERN.1
        );
    }
    Ok(python)
}

fn pythons() -> Vec<Python> {
    if let Some(program) = env::var_os("COUNTERFOIL_PYTHON") {
        return Python::at(program.into()).into_iter().collect();
    }
    let names = ["python3.14", "python3.13", "python3.12", "python3"];
    let home = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".pyenv")));
    let pyenv = home
        .and_then(|home| files(&home.join("versions")).ok())
        .unwrap_or_default();
    names
        .map(PathBuf::from)
        .into_iter()
        .chain(pyenv.into_iter().map(|version| version.join("bin/python3")))
        .filter_map(Python::at)
        .collect()
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
