//! A ledger, used as people use it: with the commands, in a folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Ledger, Ran, counterfoil};
use serde_json::{Value, json};

#[test]
fn up_says_in_one_line_where_it_is_and_stops_when_asked() {
    let mut ledger = Ledger::start(&["--dev"]);
    let ready = &ledger.ready;
    assert!(
        ready["url"]
            .as_str()
            .unwrap()
            .starts_with("https://127.0.0.1:")
    );
    assert!(ready["token"].as_str().unwrap().split('.').count() == 3);
    assert!(ready["pid"].as_u64().unwrap() > 0);
    let dir = Path::new(ready["ledger_dir"].as_str().unwrap());
    assert_eq!(dir, ledger.path("ledger").canonicalize().unwrap());
    let cert = Path::new(ready["service_cert"].as_str().unwrap());
    assert_eq!(cert, dir.join("service_cert.pem"));
    let (token, service) = (ready["token"].clone(), fs::read(cert).unwrap());
    let profile = fs::read_to_string(dir.join("client.toml")).unwrap();
    assert!(
        !profile.contains(token.as_str().unwrap()),
        "secrets are in files of their own"
    );

    assert_eq!(ledger.stop(), 0);
    ledger.restart(&["--dev"]);
    assert_eq!(
        ledger.ready["token"], token,
        "the administrator's token stays good"
    );
    assert_eq!(
        fs::read(ledger.path("ledger/service_cert.pem")).unwrap(),
        service
    );
}

#[test]
fn what_is_written_is_read_listed_and_proven() {
    let ledger = Ledger::start(&["--dev"]);
    let written = ledger
        .run(&["entry", "write", "lot 7", "--receipt", "r.json", "--json"])
        .json();
    assert_eq!(written["receiptVerified"], true);
    assert_eq!(written["state"], "Committed");
    let id = written["transactionId"].as_str().unwrap();
    assert_eq!(ledger.run(&["entry", "read", id]).ok(), "lot 7\n");
    assert_eq!(ledger.run(&["entry", "read"]).ok(), "lot 7\n");
    let listed = ledger.run(&["entry", "list", "--json"]).json();
    assert_eq!(listed["transactionId"], id);

    // A receipt from the answer and one that is fetched say the same, and both hold offline.
    ledger
        .run(&["receipt", "get", id, "-o", "fetched.json"])
        .ok();
    ledger
        .run(&["receipt", "get", id, "--cose", "-o", "r.cose"])
        .ok();
    for receipt in ["r.json", "fetched.json", "r.cose"] {
        let verdict = ledger
            .run(&["verify", receipt, "--json", "--claims", "r.json"])
            .json();
        assert_eq!(
            (&verdict["valid"], &verdict["transactionId"]),
            (&json!(true), &json!(id))
        );
        assert_eq!(verdict["claims"][0]["ledgerEntry"]["contents"], "lot 7");
    }
}

#[test]
fn verify_tells_valid_from_not_valid_from_unreadable() {
    let ledger = Ledger::start(&["--dev"]);
    ledger
        .run(&["entry", "write", "lot 7", "--receipt", "r.json"])
        .ok();
    let verify = |args: &[&str]| ledger.run(&[&["verify"], args].concat());
    assert!(verify(&["r.json"]).ok().starts_with("VALID"));

    let text = fs::read_to_string(ledger.path("r.json")).unwrap();
    fs::write(ledger.path("forged.json"), text.replace("lot 7", "lot 8")).unwrap();
    let forged = verify(&["forged.json"]);
    assert_eq!(forged.code, 1);
    assert!(forged.out.starts_with("NOT VALID"), "{}", forged.out);
    assert_eq!(forged.err, "");
    let verdict: Value = serde_json::from_str(&verify(&["forged.json", "--json"]).out).unwrap();
    assert_eq!(verdict["valid"], false);
    assert!(verdict["reason"].as_str().unwrap().contains("claims"));

    let other = Ledger::start(&["--dev"]);
    let cert = other.ready["service_cert"].as_str().unwrap();
    assert_eq!(verify(&["r.json", "--service-cert", cert]).code, 1);
    let digest = "ab".repeat(32);
    assert_eq!(verify(&["r.json", "--claims-digest", &digest]).code, 1);

    fs::write(ledger.path("cut.json"), &text[..text.len() / 2]).unwrap();
    for unreadable in ["cut.json", "none.json", "ledger"] {
        assert_eq!(verify(&[unreadable]).code, 2, "{unreadable}");
    }
    assert_eq!(verify(&["r.json", "--service-cert", "none.pem"]).code, 2);
    assert_eq!(verify(&[]).code, 2);
}

#[test]
fn an_audit_notices_a_flipped_byte_and_says_where() {
    let mut ledger = Ledger::start(&["--dev"]);
    for number in 0..20 {
        ledger
            .run(&["entry", "write", &format!("lot {number}")])
            .ok();
    }
    let cert = ledger.ready["service_cert"].as_str().unwrap().to_owned();
    let audit = |ledger: &Ledger| {
        ledger.run(&[
            "ledger",
            "audit",
            "ledger",
            "--service-cert",
            &cert,
            "--json",
        ])
    };
    // While it is served, and after.
    let before = audit(&ledger).json();
    assert_eq!(before["valid"], true);
    assert_eq!(ledger.stop(), 0);
    let sound = audit(&ledger).json();
    assert_eq!(sound["transactions"], before["transactions"]);
    assert_eq!(sound["serviceExpected"], true);

    let chunks = ledger.path("ledger/ledger");
    let file = fs::read_dir(&chunks)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let broken = audit(&ledger);
    assert_eq!(broken.code, 1);
    let verdict: Value = serde_json::from_str(&broken.out).unwrap();
    assert_eq!(verdict["valid"], false);
    let truth_ends = verdict["truthEnds"].as_u64().unwrap();
    assert!(0 < truth_ends && truth_ends < sound["transactions"].as_u64().unwrap());
    let said = ledger.run(&["ledger", "audit", "ledger"]);
    assert!(said.out.starts_with("BROKEN"), "{}", said.out);
    assert!(
        said.out.contains(&format!("ends after seqno {truth_ends}")),
        "{}",
        said.out
    );

    assert_eq!(ledger.run(&["ledger", "audit", "nothing"]).code, 2);
}

#[test]
fn a_file_is_imported_line_by_line_and_watched() {
    let ledger = Ledger::start(&["--dev"]);
    let lines: Vec<_> = (1..=250)
        .map(|number| format!("{{\"n\":{number}}}"))
        .collect();
    fs::write(ledger.path("lines.ndjson"), lines.join("\n\n") + "\n").unwrap();
    let import = [
        "entry",
        "import",
        "-c",
        "n",
        "--batch",
        "100",
        "lines.ndjson",
    ];
    let answers = ledger.run(&[&import[..], &["--json"]].concat()).ok();
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 250);
    assert_eq!(
        answers[1]["line"], 3,
        "empty lines are counted and not recorded"
    );

    let listed = ledger.run(&["entry", "list", "-c", "n", "--json"]).ok();
    let contents: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["contents"].clone())
        .collect();
    assert_eq!(contents, lines);

    let after = answers[9]["transactionId"].as_str().unwrap();
    let watched = [
        "entry", "watch", "-c", "n", "--after", after, "--limit", "3", "--json",
    ];
    let watched = ledger.run(&watched).ok();
    let first: Value = serde_json::from_str(watched.lines().next().unwrap()).unwrap();
    assert_eq!(first["transactionId"], answers[10]["transactionId"]);
    assert_eq!(watched.lines().count(), 3);
}

#[test]
fn a_refused_line_ends_the_import_and_is_named() {
    let ledger = Ledger::start(&["--dev"]);
    let long = "x".repeat((1 << 20) + 1);
    fs::write(ledger.path("lines"), format!("a\nb\n{long}\nc\n")).unwrap();
    let ran = ledger.run(&["entry", "import", "lines"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("all lines up to 2 are recorded"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("line 3 was refused"), "{}", ran.err);
    assert!(ran.err.contains("EntrySizeCapacityExceeded"), "{}", ran.err);
}

#[test]
fn a_certificate_is_a_user_once_an_administrator_says_so() {
    let ledger = Ledger::start(&["--dev", "--public"]);
    make_certificate(ledger.folder());
    let cert = ["--client-cert", "cert.pem", "--client-key", "key.pem"];
    let as_user = |args: &[&str]| {
        let url = ledger.ready["url"].as_str().unwrap();
        let anchor = ["--url", url, "--service-cert", "ledger/service_cert.pem"];
        ledger.run(&[args, &cert, &anchor].concat())
    };
    let stranger = as_user(&["entry", "write", "x"]);
    assert_eq!(stranger.code, 1);
    assert!(
        stranger.err.contains("the entry was not recorded"),
        "{}",
        stranger.err
    );

    ledger.run(&["user", "set", "cert.pem", "Contributor"]).ok();
    let shown = ledger.run(&["user", "show", "cert.pem", "--json"]).json();
    assert_eq!(shown["assignedRoles"], json!(["Contributor"]));
    as_user(&["entry", "write", "x", "--tag", "t"]).ok();
    assert!(as_user(&["entry", "list", "--tag", "t"]).ok().contains('x'));
    assert_eq!(as_user(&["user", "list"]).code, 1);

    ledger
        .run(&["user", "set", "cert.pem", "Reader", "--only"])
        .ok();
    assert_eq!(as_user(&["entry", "write", "x"]).code, 1);
    ledger.run(&["user", "remove", "cert.pem"]).ok();
    assert_eq!(as_user(&["entry", "list"]).code, 1);
}

#[test]
fn an_identity_is_fetched_and_trusted_on_first_use() {
    let ledger = Ledger::start(&["--dev"]);
    let url = ledger.ready["url"].as_str().unwrap();
    let ran = ledger.run(&["ledger", "identity", url, "-o", "id.pem"]);
    assert!(ran.err.contains("trusted on first use"), "{}", ran.err);
    ran.ok();
    let same = fs::read(ledger.path("ledger/service_cert.pem")).unwrap();
    assert_eq!(fs::read(ledger.path("id.pem")).unwrap(), same);
}

#[test]
fn the_demo_tells_its_story_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let output = counterfoil(folder.path())
        .args(["demo", "--exit"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    for fact in [
        "Orchard's node founds the ledger",
        "Carrier's node asks to join with its evidence: Pending",
        "Orchard proposes to trust it: Open, 1 of 3",
        "Market votes yes too: Accepted, and Carrier's node joins",
        "Orchard votes yes too: Accepted, and Market's node joins",
        "REFUSED",
        "FailedInvalidHostData",
        "committed 60 entries",
        "'s node (SIGKILL), which led view",
        "nothing is lost: all",
        "node is started again, and has all of them",
        "BROKEN",
        "truth ends after seqno",
        "NOT VALID",
        "recorded 306 events of 60 lots, from orchard to shelf, each with its proof",
        "the harvest date of lot EZ26-00031",
        "306 rows of all companies consulted, 305 as recorded; ALTERED packings EZ26-00031: \
         /ilmd/cbvmda:harvestStartDate",
        "offline: VALID transaction ",
        "ALTERED what the packer says today: /ilmd/cbvmda:harvestStartDate",
        "ALTERED 1 of 7 steps of its journey, for whoever scans its label: http://127.0.0.1:",
        "VALID all 306 proofs of the companies",
        "SOUND",
        "the ledger was founded by",
        "Carrier proposed",
        "was accepted (yes: ",
        "Virtual mode",
    ] {
        assert!(said.contains(fact), "{fact}: {said}");
    }
    let number = |before: &str| -> usize {
        let (_, rest) = said.split_once(before).expect("a number stands there");
        let digits = rest.split_whitespace().next().unwrap_or_default();
        digits.replace(',', "").parse().unwrap()
    };
    let acknowledged = number("nothing is lost: all ");
    assert!(acknowledged > 60, "{said}");
    assert_eq!(number("VALID all "), acknowledged, "{said}");
    assert!(!said.contains('\x1b'), "there are no colours in a pipe");
}

#[test]
fn the_demo_records_what_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    // Tests run in their package's folder, programs in a folder of their own.
    let events = std::path::absolute("data/events.ndjson").unwrap();
    let events = events.to_str().unwrap();
    let args = [
        "demo", "--exit", "--dir", "kept", "--events", events, "--lots", "3",
    ];
    let output = counterfoil(folder.path()).args(args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("committed 60 entries"), "{said}");
    let receipts = fs::read_dir(folder.path().join("kept/receipts")).unwrap();
    assert!(receipts.count() > 60);
    // What the demo says of the altered row can be asked again.
    let again = [
        "verify",
        "kept/companies/altered-proof.json",
        "--data",
        "kept/companies/altered-today.json",
        "--service-cert",
        "kept/orchard/service_cert.pem",
    ];
    let again = Ran::from(counterfoil(folder.path()).args(again).output().unwrap());
    assert_eq!(again.code, 1, "{}", again.err);
    assert!(
        again
            .out
            .contains("ALTERED the data is not what was recorded"),
        "{}",
        again.out
    );
    // Three folders of one ledger, which each pass alone.
    for node in ["orchard", "carrier", "market"] {
        let node = format!("kept/{node}");
        let audit = [
            "ledger",
            "audit",
            &node,
            "--service-cert",
            "kept/orchard/service_cert.pem",
        ];
        Ran::from(counterfoil(folder.path()).args(audit).output().unwrap()).ok();
    }
    let again = counterfoil(folder.path()).args(args).output().unwrap();
    let again = Ran::from(again);
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("is not empty"), "{}", again.err);
}

#[test]
fn the_demo_leaves_no_node_and_no_folder_behind_when_it_is_interrupted() {
    for signal in ["-INT", "-KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = counterfoil(folder.path())
            .args(["demo", "--exit"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(demo.stdout.take().unwrap());
        let url = said.lines().map(Result::unwrap).find_map(|line| {
            let (_, address) = line.split_once("founds the ledger https://")?;
            Some(address.to_owned())
        });
        let url = url.expect("the founder's address");
        assert!(std::net::TcpStream::connect(&url).is_ok());
        let pid = demo.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        demo.wait().unwrap();
        let gone = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::net::TcpStream::connect(&url).is_err()
        });
        assert!(gone, "a node outlives the demo after {signal}");
        // Nobody can clean up after SIGKILL.
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert!(signal == "-KILL" || left == 0, "{left} are left");
    }
}

#[test]
fn the_bench_counts_what_was_committed() {
    let ledger = Ledger::start(&["--dev"]);
    let bench = |args: &[&str]| {
        let pid = ledger.ready["pid"].to_string();
        let rest = [
            "--clients",
            "2",
            "--count",
            "20",
            "--server-pid",
            &pid,
            "--json",
        ];
        ledger.run(&[&["bench"], args, &rest].concat()).json()
    };
    let written = bench(&["write", "--batch", "10"]);
    assert_eq!(
        (&written["requests"], &written["operations"]),
        (&json!(20), &json!(200))
    );
    assert!(written["server_cpu_us"].is_number());
    assert_eq!(bench(&["read"])["operations"], 20);
    assert_eq!(bench(&["receipt"])["operations"], 20);
    let listed = ledger.run(&["entry", "list", "-c", "bench", "--json"]).ok();
    assert_eq!(listed.lines().count(), 200);
}

fn make_certificate(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
}

#[test]
fn nobody_is_let_in_without_a_credential() {
    let ledger = Ledger::start(&["--dev"]);
    let url = ledger.ready["url"].as_str().unwrap();
    let cert = ledger.ready["service_cert"].as_str().unwrap();
    let ran = ledger.run(&["entry", "list", "--url", url, "--service-cert", cert]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("hint: show who you are"), "{}", ran.err);
    let token = ledger.ready["token"].as_str().unwrap();
    let mut command: Command = counterfoil(ledger.folder());
    command
        .env("COUNTERFOIL_URL", url)
        .env("COUNTERFOIL_SERVICE_CERT", cert);
    command
        .env("COUNTERFOIL_TOKEN", token)
        .args(["entry", "list"]);
    assert!(command.output().unwrap().status.success());
}
