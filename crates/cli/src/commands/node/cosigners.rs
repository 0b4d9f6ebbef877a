//! `counterfoil node cosigners`, `counterfoil node checkpoint`: who countersigns a history, and what.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::model::{CosignerKey, CosignerKeys};
use serde::Serialize;
use verify::checkpoint::{cosigner_binding, cosigner_name, origin_of};
use verify::note::{NoteKey, Said};
use verify::{Cert, Digest, PublicKey, SignedNote, VerifierKey};

use crate::commands::block_on;
use crate::commands::verify::read_cosigners;
use crate::connection::ConnectionArgs;
use crate::out;
use crate::report::Failure;

/// Print the keys with which the nodes countersign, by organisation: a file for
/// `counterfoil verify --cosigners`.
///
/// Each node's own key vouches for its line. Whether the node is that organisation's only the
/// organisation can say: compare the lines with those that its own node prints, or that it told you.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil node cosigners --ledger ledger -o known
  counterfoil node cosigners https://node.orchard.example --service-cert service_cert.pem
  counterfoil proposal create set_node_data node_id=ID 'node_data={\"organisation\":\"Orchard\"}'")]
pub(crate) struct ListCosigners {
    /// The address of a node.
    address: Option<String>,
    /// Write to a file, not to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Fetch the newest checkpoint, checked: a signed note (C2SP) that outside witnesses can follow.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil node checkpoint --ledger ledger
  counterfoil node checkpoint --ledger ledger --require 2 --cosigners known")]
pub(crate) struct Checkpoint {
    /// The address of a node.
    address: Option<String>,
    /// Demand that so many organisations countersigned it.
    #[arg(long, value_name = "COUNT", requires = "cosigners")]
    require: Option<u16>,
    /// The cosigners that you know, by organisation.
    #[arg(long, value_name = "FILE", requires = "require")]
    cosigners: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A cosigner that its node vouches for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked<'a> {
    node_id: &'a str,
    organisation: String,
    address: &'a str,
    key: String,
}

impl ListCosigners {
    pub(super) fn run(self) -> Result<ExitCode> {
        let connection = self.connection.at(self.address);
        let service = service_of(&connection)?;
        let client = connection.client()?;
        let keys = block_on(async { Ok(client.node_cosigners().await?) })?;
        let checked = check(&service, &keys)?;
        let text = if self.json {
            serde_json::to_string(&checked).expect("texts are JSON") + "\n"
        } else {
            file(client.url(), &keys, &checked)
        };
        match self.output {
            Some(path) => std::fs::write(&path, text).map_err(Failure::writing(&path))?,
            None => out::write_bytes(text.as_bytes()),
        }
        for silent in keys.cosigners.iter().filter(|known| known.key.is_none()) {
            let (id, address) = (&silent.node_id, &silent.address);
            eprintln!("node {id} at {address} did not answer: its key is missing");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Checkpoint {
    pub(super) fn run(self) -> Result<ExitCode> {
        let connection = self.connection.at(self.address);
        let service = service_of(&connection)?;
        let known = self.cosigners.as_deref().map(read_cosigners).transpose()?;
        let client = connection.client()?;
        let text = block_on(async { Ok(client.node_checkpoint().await?) })?;
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(format!(
                "the checkpoint of {} is not believed: {why}",
                client.url()
            ))
        };
        let note: SignedNote = text.parse().map_err(|error| wrong(&error))?;
        let checkpoint = verify::Checkpoint::parse(note.text()).map_err(|error| wrong(&error))?;
        if checkpoint.origin != origin_of(&service.key_digest()) {
            return Err(wrong(&"it is another ledger's").into());
        }
        match note.signed_by(&service_key(&service)?) {
            Ok(Some(Said::Signed)) => {}
            Ok(_) => return Err(wrong(&"the service has not signed it").into()),
            Err(error) => return Err(wrong(&error).into()),
        }
        let mut organisations = std::collections::BTreeSet::new();
        for (organisation, key) in known.iter().flat_map(|known| known.keys()) {
            let said = note.signed_by(key).map_err(|error| wrong(&error))?;
            if said.is_some() {
                organisations.insert(organisation);
            }
        }
        let (found, required) = (organisations.len(), self.require.unwrap_or(0));
        if found < usize::from(required) {
            let why = format!("{found} of the {required} required organisations countersigned it");
            return Err(wrong(&why).into());
        }
        out::write_bytes(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

fn service_of(connection: &ConnectionArgs) -> Result<Cert, Failure> {
    let pem = connection.read()?.service_cert;
    Cert::from_pem(&pem).map_err(|error| {
        Failure::unreadable("the service certificate cannot be used").because(error)
    })
}

fn service_key(service: &Cert) -> Result<VerifierKey, Failure> {
    let key = NoteKey::Ecdsa(service.public_key());
    VerifierKey::new(origin_of(&service.key_digest()), key)
        .map_err(|error| Failure::new("the service has no name").because(error))
}

/// Refuses keys that the nodes whose they are said to be do not vouch for.
fn check<'a>(service: &Cert, keys: &'a CosignerKeys) -> Result<Vec<Checked<'a>>, Failure> {
    let expected = service_key(service)?.to_string();
    if keys.service.first() != Some(&expected) {
        return Err(Failure::new(
            "the node names another key for the service than its certificate has",
        ));
    }
    let answered = keys.cosigners.iter().filter(|known| known.key.is_some());
    answered
        .map(|known| {
            let key = vouched_for(&service.key_digest(), known).ok_or_else(|| {
                let what = format!("node {} does not vouch for its key", known.node_id);
                Failure::new(what).hint("ask another node, and tell the members")
            })?;
            Ok(Checked {
                node_id: &known.node_id,
                organisation: organisation(known),
                address: &known.address,
                key: key.to_string(),
            })
        })
        .collect()
}

fn vouched_for(service: &Digest, known: &CosignerKey) -> Option<VerifierKey> {
    let key: VerifierKey = known.key.as_ref()?.parse().ok()?;
    let NoteKey::Cosignature(bytes) = key.key() else {
        return None;
    };
    let node = PublicKey::from_spki_der(&STANDARD.decode(&known.public_key).ok()?).ok()?;
    let binding = STANDARD.decode(known.binding.as_ref()?).ok()?;
    node.verify_prehashed(&cosigner_binding(service, bytes), &binding)
        .ok()?;
    let right = node.key_digest().to_string() == known.node_id
        && key.name() == cosigner_name(&node.key_digest());
    right.then_some(key)
}

/// The name under which a node counts: its organisation's, or its own where members noted none.
fn organisation(known: &CosignerKey) -> String {
    let plain = |name: &&String| {
        let odd = |c: char| c.is_control() || matches!(c, '[' | ']');
        !name.trim().is_empty() && name.len() <= 200 && !name.contains(odd)
    };
    let name = known.organisation.as_ref().filter(plain);
    name.map_or_else(
        || format!("node {}", &known.node_id[..16.min(known.node_id.len())]),
        |name| name.trim().to_owned(),
    )
}

fn file(url: &str, keys: &CosignerKeys, checked: &[Checked<'_>]) -> String {
    let mut text = format!(
        "# Cosigners as {url} names them. Compare each line with what its organisation tells you\n\
         # itself, then keep this file: `counterfoil verify --require N --cosigners FILE`.\n\
         #\n# The service signs its checkpoints with\n"
    );
    for key in &keys.service {
        text.push_str(&format!("#   {}\n", out::one_line(key, 500)));
    }
    let mut by_organisation: BTreeMap<&str, Vec<&Checked<'_>>> = BTreeMap::new();
    for one in checked {
        by_organisation
            .entry(&one.organisation)
            .or_default()
            .push(one);
    }
    for (organisation, nodes) in by_organisation {
        text.push_str(&format!("\n[{organisation}]\n"));
        for node in nodes {
            let address = out::one_line(node.address, 200);
            text.push_str(&format!("# the node at {address}\n{}\n", node.key));
        }
    }
    text
}
