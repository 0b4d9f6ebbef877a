//! The rows of the governance tables that say who may join.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::bytes::HexBytes;
use crate::join::JoinPolicy;
use crate::limits::MAX_JOIN_ROW_BYTES;
use crate::snp::{Cpuid, Product, Tcb};
use crate::uvm::UvmFeed;

/// A governance table that says who may join. Keys and values are JSON; what is a set has values
/// that say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinTable {
    /// Accepted SNP code: measurement, in hexadecimal.
    SnpMeasurements,
    /// Accepted SNP workloads: digest, in hexadecimal, and the text that has it.
    SnpHostData,
    /// Accepted endorsers: a `did:x509`, and its feeds with their oldest versions.
    SnpUvmEndorsements,
    /// Accepted SNP firmware: CPUID, and the oldest versions.
    SnpTcbVersions,
    /// Accepted virtual code: digest, in hexadecimal.
    VirtualMeasurements,
    /// Accepted virtual settings: digest, in hexadecimal.
    VirtualHostData,
    /// Accepted trust domains: a name, and a policy.
    Tdx,
    /// Accepted SGX enclaves: a name, and a policy.
    Sgx,
    /// Accepted Nitro enclaves: a name, and a policy.
    Nitro,
    /// The key `"settings"`, and the settings.
    Settings,
}

/// A row that cannot be understood. The action that wrote it should not have been accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of table {table} cannot be understood: {reason}; members should remove it")]
pub struct BadRow {
    /// The table's name.
    pub table: &'static str,
    /// What is wrong with the row.
    pub reason: String,
}

impl JoinTable {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SnpMeasurements,
        Self::SnpHostData,
        Self::SnpUvmEndorsements,
        Self::SnpTcbVersions,
        Self::VirtualMeasurements,
        Self::VirtualHostData,
        Self::Tdx,
        Self::Sgx,
        Self::Nitro,
        Self::Settings,
    ];

    /// The table's name in the ledger: CCF's where CCF has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SnpMeasurements => "public:ccf.gov.nodes.snp.measurements",
            Self::SnpHostData => "public:ccf.gov.nodes.snp.host_data",
            Self::SnpUvmEndorsements => "public:ccf.gov.nodes.snp.uvm_endorsements",
            Self::SnpTcbVersions => "public:ccf.gov.nodes.snp.tcb_versions",
            Self::VirtualMeasurements => "public:ccf.gov.nodes.virtual.measurements",
            Self::VirtualHostData => "public:ccf.gov.nodes.virtual.host_data",
            Self::Tdx => "public:counterfoil.gov.nodes.tdx.policies",
            Self::Sgx => "public:counterfoil.gov.nodes.sgx.policies",
            Self::Nitro => "public:counterfoil.gov.nodes.nitro.policies",
            Self::Settings => "public:counterfoil.gov.nodes.join_settings",
        }
    }

    /// The table of that name, if it is one of these.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

impl JoinPolicy {
    /// Reads all rows of the tables. What a constitution's action writes should be tried here first:
    /// a row that cannot be understood keeps everybody out.
    pub fn from_rows<'a>(
        rows: impl IntoIterator<Item = (JoinTable, &'a [u8], &'a [u8])>,
    ) -> Result<Self, BadRow> {
        let mut policy = Self::default();
        for (table, key, value) in rows {
            policy.add_row(table, key, value)?;
        }
        Ok(policy)
    }

    /// Adds one row: `key` and `value` as they stand in the table.
    pub fn add_row(&mut self, table: JoinTable, key: &[u8], value: &[u8]) -> Result<(), BadRow> {
        let bad = |reason: String| BadRow {
            table: table.name(),
            reason,
        };
        if key.len() + value.len() > MAX_JOIN_ROW_BYTES {
            return Err(bad("it is too long".to_owned()));
        }
        self.read(table, key, value).map_err(bad)
    }

    fn read(&mut self, table: JoinTable, key: &[u8], value: &[u8]) -> Result<(), String> {
        let key = key_text(key)?;
        match table {
            JoinTable::SnpMeasurements => {
                self.snp.measurements.insert(parsed(&key)?);
            }
            JoinTable::SnpHostData => {
                let text = json::<Option<String>>(value)?.unwrap_or_default();
                self.snp.host_data.insert(parsed(&key)?, text);
            }
            JoinTable::SnpUvmEndorsements => {
                let feeds: BTreeMap<String, UvmFeed> = json(value)?;
                self.snp.uvm_endorsements.0.insert(key, feeds);
            }
            JoinTable::SnpTcbVersions => {
                let cpuid: Cpuid = parsed(&key)?;
                let versions: TcbRow = json(value)?;
                self.snp.tcb_versions.insert(cpuid, versions.tcb(cpuid)?);
            }
            JoinTable::VirtualMeasurements => {
                self.insecure_virtual.measurements.insert(parsed(&key)?);
            }
            JoinTable::VirtualHostData => {
                self.insecure_virtual.host_data.insert(parsed(&key)?);
            }
            JoinTable::Tdx => {
                self.tdx.insert(key, json(value)?);
            }
            JoinTable::Sgx => {
                self.sgx.insert(key, json(value)?);
            }
            JoinTable::Nitro => {
                self.nitro.insert(key, json(value)?);
            }
            JoinTable::Settings => match key.as_str() {
                "settings" => self.settings = json(value)?,
                _ => return Err(format!("there is no setting {key:?}")),
            },
        }
        Ok(())
    }
}

/// The oldest accepted firmware as CCF writes it: all of it as one number in hexadecimal, or part by
/// part, or both; the number is what counts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TcbRow {
    hexstring: Option<String>,
    fmc: Option<u8>,
    boot_loader: Option<u8>,
    tee: Option<u8>,
    snp: Option<u8>,
    microcode: Option<u8>,
}

impl TcbRow {
    fn tcb(&self, cpuid: Cpuid) -> Result<Tcb, String> {
        let product = cpuid.product();
        let product = product.ok_or_else(|| format!("CPUID {cpuid} is no known processor"))?;
        if let Some(hexstring) = &self.hexstring {
            let HexBytes(mut bytes) = parsed::<HexBytes<8>>(hexstring)?;
            // The number's lowest byte is the report's first.
            bytes.reverse();
            return Ok(Tcb::from_bytes(product, bytes));
        }
        let part = |name: &str, version: Option<u8>| {
            version.ok_or_else(|| format!("it names no version of {name}"))
        };
        Ok(Tcb {
            fmc: match product {
                Product::Turin => Some(part("fmc", self.fmc)?),
                Product::Milan | Product::Genoa => None,
            },
            bootloader: part("boot_loader", self.boot_loader)?,
            tee: part("tee", self.tee)?,
            snp: part("snp", self.snp)?,
            microcode: part("microcode", self.microcode)?,
        })
    }
}

/// Policies under their names. A name with nothing under it, as an empty table is shown, has none.
pub(super) fn named<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let mut policies = BTreeMap::new();
    for (name, shown) in BTreeMap::<String, Value>::deserialize(from)? {
        match shown {
            Value::Null => {}
            Value::Array(list) if list.is_empty() => {}
            Value::Object(_) => {
                let policy = T::deserialize(shown);
                let policy =
                    policy.map_err(|error| D::Error::custom(format!("{name}: {error}")))?;
                policies.insert(name, policy);
            }
            _ => return Err(D::Error::custom(format!("{name} is no policy"))),
        }
    }
    Ok(policies)
}

/// The oldest accepted firmware, as a table's rows have it too.
pub(super) fn tcb_versions<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<Cpuid, Tcb>, D::Error> {
    let shown = BTreeMap::<Cpuid, Value>::deserialize(from)?.into_iter();
    let read = |(cpuid, shown): (Cpuid, Value)| {
        let is_row = ["hexstring", "boot_loader"]
            .iter()
            .any(|field| shown.get(field).is_some());
        let tcb = if is_row {
            TcbRow::deserialize(shown)
                .map_err(|error| error.to_string())
                .and_then(|row| row.tcb(cpuid))
        } else {
            Tcb::deserialize(shown).map_err(|error| error.to_string())
        };
        let tcb = tcb.map_err(|why| D::Error::custom(format!("{cpuid}: {why}")))?;
        Ok((cpuid, tcb))
    };
    shown.map(read).collect()
}

/// A key is a JSON string; CCF writes some of them bare.
fn key_text(key: &[u8]) -> Result<String, String> {
    match key.first() {
        Some(b'"') => json(key),
        _ => String::from_utf8(key.to_vec()).map_err(|_| "its key is not text".to_owned()),
    }
}

fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|error: T::Err| format!("{text:?} is {}", error.to_string()))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
