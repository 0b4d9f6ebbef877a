//! configfs-tsm: the kernel's common door to SNP and TDX (ABI document `configfs-tsm-report`).
//!
//! A folder is a request: making it makes its attributes, writing `inblob` asks, reading `outblob`
//! has the hardware answer. `generation` counts the writes, so that a request that somebody else
//! changed in between is noticed and made again.

use std::io;

use crate::machine::Machine;

/// Where requests are made.
pub(crate) const REPORTS: &str = "/sys/kernel/config/tsm/report";
/// The kernel's own limit for each answer.
const ANSWER_MAX: usize = 32 * 1024;
/// Names, numbers.
const WORD_MAX: usize = 4096;
/// Nobody else knows the folder's name: a second attempt is rare, a third is no accident.
const ATTEMPTS: u32 = 3;

/// What the kernel answered.
#[derive(Debug)]
pub(crate) struct TsmAnswer {
    /// Who: `sev_guest`, `tdx_guest` or another.
    pub(crate) provider: String,
    /// A report of SNP, a quote of TDX.
    pub(crate) report: Vec<u8>,
    /// The host's certificates, for SNP; may be empty.
    pub(crate) auxiliary: Vec<u8>,
}

/// A request went wrong.
#[derive(Debug, thiserror::Error)]
pub enum TsmFault {
    /// The kernel refused a step. The operator should see whether the process may do that: making
    /// folders there takes root, or a helper who made it writable.
    #[error("the kernel refused to {step} {path}; check that this process may do that")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// An attribute is not what the ABI says.
    #[error("{0} is not what the kernel's document says it is")]
    Attribute(String),
    /// Somebody else writes into this process's own folder.
    #[error("the request was changed by another process each time; see who writes to {REPORTS}")]
    Disturbed,
}

/// Has the hardware sign 64 bytes.
pub(crate) fn request(machine: &dyn Machine, data: &[u8; 64]) -> Result<TsmAnswer, TsmFault> {
    for _ in 0..ATTEMPTS {
        let folder = Folder::make(machine)?;
        if let Some(answer) = folder.ask(data)? {
            return Ok(answer);
        }
    }
    Err(TsmFault::Disturbed)
}

/// A request's folder, removed when this is dropped.
struct Folder<'a> {
    machine: &'a dyn Machine,
    path: String,
}

impl<'a> Folder<'a> {
    fn make(machine: &'a dyn Machine) -> Result<Self, TsmFault> {
        let path = format!("{REPORTS}/counterfoil-{:x}", machine.unique());
        match machine.make_dir(&path) {
            Ok(()) => Ok(Self { machine, path }),
            Err(source) => Err(TsmFault::Refused {
                step: "make the folder",
                path,
                source,
            }),
        }
    }

    /// The answer; none if somebody else wrote in between.
    fn ask(&self, data: &[u8; 64]) -> Result<Option<TsmAnswer>, TsmFault> {
        let before = self.generation()?;
        let inblob = self.attribute("inblob");
        self.machine
            .write(&inblob, data)
            .map_err(|source| TsmFault::Refused {
                step: "write",
                path: inblob,
                source,
            })?;
        let provider = self.text("provider")?;
        let report = self.read("outblob", ANSWER_MAX)?;
        // Only some providers have it, and an empty one cannot be told from none.
        let has_auxiliary = self.machine.exists(&self.attribute("auxblob"));
        let auxiliary = match has_auxiliary {
            true => self.read("auxblob", ANSWER_MAX).or_else(absent)?,
            false => Vec::new(),
        };
        Ok((self.generation()? == before + 1).then_some(TsmAnswer {
            provider,
            report,
            auxiliary,
        }))
    }

    fn generation(&self) -> Result<u64, TsmFault> {
        let text = self.text("generation")?;
        text.parse()
            .map_err(|_| TsmFault::Attribute(self.attribute("generation")))
    }

    fn text(&self, name: &str) -> Result<String, TsmFault> {
        let bytes = self.read(name, WORD_MAX)?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| TsmFault::Attribute(self.attribute(name)))?;
        Ok(text.trim_end().to_owned())
    }

    fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>, TsmFault> {
        let path = self.attribute(name);
        self.machine
            .read(&path, limit)
            .map_err(|source| TsmFault::Refused {
                step: "read",
                path,
                source,
            })
    }

    fn attribute(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

/// A provider without auxiliary data says `ENOENT` or gives nothing.
fn absent(fault: TsmFault) -> Result<Vec<u8>, TsmFault> {
    match fault {
        TsmFault::Refused { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        other => Err(other),
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        // What cannot be removed stays until the next boot and holds nothing secret.
        let _ = self.machine.remove_dir(&self.path);
    }
}
