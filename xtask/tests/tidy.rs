//! Style that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

/// Past this a file is two files; look for their names.
const FILE_LINES_MAX: usize = 700;
/// `main` parses, configures, assembles and runs.
const MAIN_LINES_MAX: usize = 60;
/// Why a crate may exist, as its first words say it.
const REASONS: [&str; 3] = ["//! Rule:", "//! Weight:", "//! Reach:"];
/// Half-done work, in the spelling that editors look for. Split so that this file does not
/// contain them.
const UNFINISHED: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
];

#[test]
fn files_are_short_enough_to_read() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= FILE_LINES_MAX,
            "{} has {lines} lines: split it",
            path.display()
        );
        if path.ends_with("src/main.rs") {
            assert!(
                lines <= MAIN_LINES_MAX,
                "{} has {lines} lines",
                path.display()
            );
        }
    }
}

#[test]
fn every_crate_says_why_it_exists() {
    let libraries = sources()
        .into_iter()
        .filter(|(path, _)| path.ends_with("src/lib.rs"));
    for (path, text) in libraries {
        let says_why = REASONS.iter().any(|reason| text.starts_with(reason));
        assert!(
            says_why,
            "{} starts with none of {REASONS:?}",
            path.display()
        );
    }
    for package in workspace().packages {
        let says = package.description.as_deref().unwrap_or_default();
        let words = says.split_whitespace().count();
        assert!(
            words >= 3,
            "{} does not describe itself: {says:?}",
            package.name
        );
    }
}

#[test]
fn nothing_is_marked_as_unfinished() {
    for (path, text) in sources().into_iter().chain(documents()) {
        let mut lines = text.lines().zip(1..);
        let found = lines.find(|(line, _)| UNFINISHED.iter().any(|word| has_word(line, word)));
        if let Some((line, number)) = found {
            panic!(
                "{}:{number}: finish it or leave it out: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for (path, text) in documents() {
        let folder = path.parent().expect("a document is in a folder");
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !(elsewhere || target.is_empty() || folder.join(target).exists()) {
                panic!("{}: the link {link:?} leads nowhere", path.display());
            }
        }
    }
}

#[test]
fn links_are_found() {
    let text =
        "See [one](a.md), [two](b/c.md#part \"Title\") and `x[0](1)`.\n```\n[no](d.md)\n```\n";
    assert_eq!(links(text), ["a.md", "b/c.md#part"]);
    assert!(has_word("a TAIL (of) words", "TAIL") && !has_word("DETAILS", "TAIL"));
}

/// The targets of a document's links, those in code left out.
fn links(text: &str) -> Vec<&str> {
    let prose = text
        .split("```")
        .step_by(2)
        .flat_map(|block| block.split('`').step_by(2));
    let targets = prose.flat_map(|prose| prose.split("](").skip(1));
    targets
        .filter_map(|rest| rest.split([')', ' ']).next())
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric())
        .any(|part| part == word)
}

/// Our Rust sources, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = workspace().workspace_root.into_std_path_buf();
    ["crates", "e2e", "examples", "xtask", "fuzz"]
        .iter()
        .flat_map(|part| texts(&root.join(part), "rs"))
        .collect()
}

/// Our Markdown pages, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let root = workspace().workspace_root.into_std_path_buf();
    let top = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ];
    let top = top
        .iter()
        .map(|name| root.join(name))
        .filter(|path| path.exists());
    let mut pages: Vec<_> = top.map(|path| (path.clone(), read(&path))).collect();
    for part in ["docs", "crates", "e2e", "deploy", "examples"] {
        pages.extend(texts(&root.join(part), "md"));
    }
    pages
}

fn texts(folder: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let made = ["target", "node_modules"]
            .iter()
            .any(|name| path.ends_with(name));
        if path.is_dir() && !made {
            found.extend(texts(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push((path.clone(), read(&path)));
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo describes the workspace it runs in")
}
