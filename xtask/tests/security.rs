//! What `docs/audit-security.md` says is tested is tested.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/audit-security.md";

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join(PAGE)).expect("the page is there");
    let mut named = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [_, _, tests] = cells[..] else {
            continue;
        };
        if tests.trim() == "test" {
            continue;
        }
        let found = tests_of(tests);
        assert!(!found.is_empty(), "{PAGE}: a row without a test: {row}");
        named.extend(found);
    }
    assert!(named.len() > 50, "only {} tests are named", named.len());
    for (file, name) in named {
        let text = fs::read_to_string(root.join(file));
        let text = text.unwrap_or_else(|error| panic!("{PAGE} names {file}: {error}"));
        assert!(is_test(&text, name), "{PAGE}: {file} has no test {name}");
    }
}

/// Files and tests that a cell names: each file in backquotes, and its tests behind it.
fn tests_of(cell: &str) -> Vec<(&str, &str)> {
    let mut file = "";
    let mut tests = Vec::new();
    for word in cell.split('`').skip(1).step_by(2) {
        match word.contains('/') {
            true => file = word,
            false => tests.push((file, word)),
        }
    }
    tests
}

/// Whether a source has a test of this name, which is run.
fn is_test(source: &str, name: &str) -> bool {
    let call = format!("fn {name}(");
    let Some((before, _)) = source.split_once(&call) else {
        return false;
    };
    let attributes = before.rsplit("\n\n").next().unwrap_or(before);
    attributes.contains("test") && attributes.contains("#[") && !attributes.contains("#[ignore")
}

#[test]
fn a_name_that_is_no_test_is_found_out() {
    let source = "#[test]\nfn one() {}\n\nfn two() {}\n\n#[test]\n#[ignore]\nfn three() {}\n";
    assert!(is_test(source, "one"));
    for name in ["two", "three", "four"] {
        assert!(!is_test(source, name), "{name}");
    }
    let cell = " `a/b.rs` `one` `two`; `c/d.rs` `three` ";
    let expected = [("a/b.rs", "one"), ("a/b.rs", "two"), ("c/d.rs", "three")];
    assert_eq!(tests_of(cell), expected);
}
