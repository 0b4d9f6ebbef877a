//! The house has floors: which of our crates may use which.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Every crate of the workspace, lowest first, and the crates of ours that it may use. A new edge
/// is a decision, and this is where it is seen.
const ALLOWED: &[(&str, &[&str])] = &[
    ("counterfoil-verify", &[]),
    ("attest", &[]),
    ("counterfoil-epcis", &[]),
    ("openapi", &[]),
    ("platform", &["attest"]),
    ("ledger", &["counterfoil-verify"]),
    ("store", &["counterfoil-verify", "ledger"]),
    (
        "node",
        &[
            "counterfoil-verify",
            "attest",
            "platform",
            "ledger",
            "store",
        ],
    ),
    (
        "api",
        &["counterfoil-verify", "attest", "openapi", "ledger", "node"],
    ),
    ("contracts", &["counterfoil-verify", "ledger", "node"]),
    ("counterfoil-client", &["counterfoil-verify"]),
    ("counterfoil-connector", &["counterfoil-verify"]),
    (
        "audit",
        &[
            "counterfoil-verify",
            "counterfoil-client",
            "counterfoil-connector",
            "counterfoil-epcis",
            "openapi",
        ],
    ),
    ("agents", &["counterfoil-verify", "counterfoil-epcis"]),
    // An outsider's application: it names things and events as the standards do, and knows nothing else of ours.
    ("avocado", &["counterfoil-epcis"]),
    (
        "counterfoil",
        &[
            "audit",
            "agents",
            // The demo plays the case study, rather than a second one.
            "avocado",
            "counterfoil-verify",
            "attest",
            "ledger",
            "store",
            "node",
            "api",
            "contracts",
            "counterfoil-client",
            "counterfoil-connector",
        ],
    ),
    ("xtask", &[]),
    (
        "e2e",
        &[
            "counterfoil-verify",
            "counterfoil-connector",
            "audit",
            "avocado",
            // What both find and start on a machine.
            "xtask",
        ],
    ),
];

/// Crates that compute and do nothing else, and what would give them a clock, a thread, a disk or
/// a network.
const PURE: &[&str] = &[
    "counterfoil-verify",
    "attest",
    "counterfoil-epcis",
    "openapi",
    "ledger",
];
const IMPURE: &[&str] = &[
    "axum",
    "fjall",
    "hyper",
    "reqwest",
    "rustls",
    "tokio",
    "tracing",
    "rand",
    "getrandom",
];

#[test]
fn every_edge_between_our_crates_is_in_the_table() {
    let metadata = workspace();
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let ours: BTreeSet<&str> = allowed.keys().copied().collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some(allowed) = allowed.get(name) else {
            panic!("{name} is not in the table of edges: say on which floor it stands");
        };
        for used in uses(package).filter(|used| ours.contains(used)) {
            assert!(allowed.contains(&used), "{name} must not use {used}");
        }
    }
    assert_eq!(
        metadata.workspace_packages().len(),
        ALLOWED.len(),
        "a crate of the table is gone"
    );
}

#[test]
fn the_table_only_points_down() {
    for (floor, (name, uses)) in ALLOWED.iter().enumerate() {
        let lower: Vec<_> = ALLOWED[..floor].iter().map(|(name, _)| name).collect();
        assert!(
            uses.iter().all(|used| lower.contains(&used)),
            "{name} uses something above it"
        );
    }
}

#[test]
fn pure_crates_depend_on_nothing_that_acts() {
    for package in workspace().workspace_packages() {
        if PURE.contains(&package.name.as_str()) {
            let acting: Vec<_> = uses(package).filter(|used| IMPURE.contains(used)).collect();
            assert!(
                acting.is_empty(),
                "{} is pure but uses {acting:?}",
                package.name
            );
        }
    }
}

/// What the package itself needs, not counting what only its tests need.
fn uses(package: &Package) -> impl Iterator<Item = &str> {
    let needed = |kind| kind != DependencyKind::Development;
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(move |used| needed(used.kind))
        .map(|used| used.name.as_str())
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo describes the workspace it runs in")
}
