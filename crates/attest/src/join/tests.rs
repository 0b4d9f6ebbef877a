//! Rows as governance writes them, and real evidence judged by them.

use super::*;
use crate::evidence::Paravised;
use crate::insecure_virtual::VirtualEvidence;
use crate::intel::{Collateral, IntelEvidence};
use crate::snp::{Endorsements, Report, SnpEvidence};

/// Within the chip's certificate.
const TODAY: UnixTime = UnixTime(1_795_000_000);
const MICROSOFT: &str =
    "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2";

fn container(uvm: bool) -> (Evidence, Report) {
    let report = include_bytes!("../../testdata/snp/caci_report.bin");
    let vcek = include_bytes!("../../testdata/snp/caci_vcek.der");
    let endorsement = include_bytes!("../../testdata/snp/caci_uvm.cose");
    let evidence = SnpEvidence {
        report: report.to_vec(),
        endorsements: Endorsements::of_vcek(vcek.as_slice()),
        uvm_endorsements: uvm.then(|| endorsement.to_vec()),
    };
    let evidence = Evidence::Snp(Paravised::direct(evidence));
    (evidence, Report::parse(report).unwrap())
}

/// The rows that admit the real container group, which tests then change.
fn rows() -> Vec<(JoinTable, String, String)> {
    let (_, report) = container(true);
    let row = |table, key: &str, value: &str| (table, key.to_owned(), value.to_owned());
    let tcb = r#"{"hexstring": "db18000000000004", "microcode": 219, "snp": 24, "tee": 0, "boot_loader": 4}"#;
    vec![
        row(
            JoinTable::SnpHostData,
            &format!("\"{}\"", report.host_data),
            r#""package policy""#,
        ),
        row(
            JoinTable::SnpUvmEndorsements,
            &format!("\"{MICROSOFT}\""),
            r#"{"ContainerPlat-AMD-UVM": {"svn": "101"}}"#,
        ),
        row(JoinTable::SnpTcbVersions, "\"00a00f11\"", tcb),
    ]
}

fn policy(rows: &[(JoinTable, String, String)]) -> Result<JoinPolicy, BadRow> {
    let rows = rows.iter();
    JoinPolicy::from_rows(
        rows.map(|(table, key, value)| (*table, key.as_bytes(), value.as_bytes())),
    )
}

fn changed(table: JoinTable, change: impl Fn(&mut String)) -> JoinPolicy {
    let mut rows = rows();
    for (_, _, value) in rows.iter_mut().filter(|(of, _, _)| *of == table) {
        change(value);
    }
    policy(&rows).unwrap()
}

fn without(table: JoinTable) -> JoinPolicy {
    let mut rows = rows();
    rows.retain(|(of, _, _)| *of != table);
    policy(&rows).unwrap()
}

#[test]
fn a_real_container_group_joins_and_every_missing_row_has_ccfs_name() {
    let (evidence, report) = container(true);
    let judge = |policy: &JoinPolicy| {
        policy
            .judge(&evidence, &report.report_data, TODAY)
            .map_err(|refusal| refusal.ccf_name())
    };
    let admitted = policy(&rows()).unwrap();
    assert!(matches!(judge(&admitted), Ok(Verdict::Snp(_))));
    assert_eq!(
        judge(&without(JoinTable::SnpHostData)),
        Err("FailedInvalidHostData")
    );
    assert_eq!(
        judge(&without(JoinTable::SnpUvmEndorsements)),
        Err("FailedUVMEndorsementsNotFound")
    );
    let newer = |value: &mut String| *value = value.replace("101", "102");
    assert_eq!(
        judge(&changed(JoinTable::SnpUvmEndorsements, newer)),
        Err("FailedUVMEndorsementsNotFound")
    );
    assert_eq!(
        judge(&without(JoinTable::SnpTcbVersions)),
        Err("FailedInvalidCPUID")
    );
    let newer = |value: &mut String| *value = value.replace("db18", "db19");
    assert_eq!(
        judge(&changed(JoinTable::SnpTcbVersions, newer)),
        Err("FailedInvalidTcbVersion")
    );
    let other_key = admitted.judge(&evidence, &HexBytes([1; 64]), TODAY);
    assert_eq!(
        other_key.unwrap_err().ccf_name(),
        "FailedInvalidQuotedPublicKey"
    );
    assert_eq!(judge(&JoinPolicy::default()), Err("Failed"));

    let (bare, _) = container(false);
    let refusal = admitted.judge(&bare, &report.report_data, TODAY);
    assert_eq!(refusal.unwrap_err().ccf_name(), "FailedMeasurementNotFound");
    let mut listed = rows();
    let measurement = report.measurement.to_string();
    // CCF writes no value that says anything; its keys of this table are bare in old ledgers.
    listed.push((
        JoinTable::SnpMeasurements,
        measurement,
        r#""AllowedToJoin""#.to_owned(),
    ));
    let listed = policy(&listed).unwrap();
    assert!(listed.judge(&bare, &report.report_data, TODAY).is_ok());
}

#[test]
fn settings_sharpen_and_weaken() {
    let (evidence, report) = container(true);
    let mut rows = rows();
    rows.push((
        JoinTable::Settings,
        "\"settings\"".to_owned(),
        r#"{"forbid_smt": true}"#.to_owned(),
    ));
    let refusal = policy(&rows)
        .unwrap()
        .judge(&evidence, &report.report_data, TODAY)
        .unwrap_err();
    assert_eq!(refusal, Refusal::Snp(crate::snp::SnpRefusal::Smt));
}

#[test]
fn one_of_several_named_policies_is_enough() {
    let collateral = include_str!("../../testdata/intel/tdx_quote_collateral.json");
    let collateral: Collateral = serde_json::from_str(collateral).unwrap();
    let (_, until) = collateral.window().unwrap();
    let now = UnixTime(until.0 - 86_400);
    let quote = include_bytes!("../../testdata/intel/tdx_quote").to_vec();
    // A TD report follows the header of 48 bytes.
    let field = |offset: usize| HexBytes::<48>::at(&quote, 48 + offset);
    let image = serde_json::json!({
        "mrtd": field(136),
        "rtmrs": [field(328), field(376), field(424), field(472)],
    });
    let report_data = HexBytes::at(&quote, 48 + 520);
    let evidence = Evidence::Tdx(Paravised::direct(IntelEvidence { quote, collateral }));

    let row = |statuses: &[&str], image: &serde_json::Value| {
        let value = serde_json::json!({"platform": {"statuses": statuses}, "images": [image]});
        value.to_string()
    };
    let mut other = image.clone();
    other["mrtd"] = serde_json::json!(HexBytes([9; 48]));
    let judge = |rows: &[(&str, String)]| {
        let mut policy = JoinPolicy::default();
        for (name, row) in rows {
            let added = policy.add_row(JoinTable::Tdx, name.as_bytes(), row.as_bytes());
            added.unwrap();
        }
        policy
            .judge(&evidence, &report_data, now)
            .map_err(|refusal| refusal.ccf_name())
    };
    let old_release = ("a", row(&["UpToDate"], &other));
    let this_release = ("b", row(&["UpToDate"], &image));
    let stricter = ("c", row(&["OutOfDate"], &image));
    assert!(judge(&[old_release.clone(), this_release]).is_ok());
    assert_eq!(
        judge(std::slice::from_ref(&old_release)),
        Err("FailedMeasurementNotFound")
    );
    // What the policy for this code says is told, not that another one is for other code.
    for rows in [
        [old_release.clone(), stricter.clone()],
        [("z", old_release.1), stricter],
    ] {
        assert_eq!(judge(&rows), Err("FailedInvalidTcbVersion"));
    }
    assert_eq!(judge(&[]), Err("Failed"));
}

#[test]
fn virtual_nodes_join_by_their_own_tables_only() {
    let said = VirtualEvidence {
        measurement: HexBytes([1; 32]),
        host_data: HexBytes([2; 32]),
        report_data: HexBytes([3; 64]),
    };
    let evidence = Evidence::Virtual(said.clone());
    let row = |table, key: HexBytes<32>| (table, format!("\"{key}\""), "\"\"".to_owned());
    let judge = |rows: &[(JoinTable, String, String)]| {
        policy(rows)
            .unwrap()
            .judge(&evidence, &said.report_data, TODAY)
            .map_err(|refusal| refusal.ccf_name())
    };
    let measurement = row(JoinTable::VirtualMeasurements, said.measurement);
    let host_data = row(JoinTable::VirtualHostData, said.host_data);
    assert!(judge(&[measurement.clone(), host_data.clone()]).is_ok());
    assert_eq!(judge(&[measurement]), Err("FailedInvalidHostData"));
    assert_eq!(judge(&[host_data]), Err("FailedMeasurementNotFound"));
    let snp_host_data = row(JoinTable::SnpHostData, said.host_data);
    assert_eq!(judge(&[snp_host_data]), Err("Failed"));
}

#[test]
fn firmware_is_written_as_one_number_or_part_by_part() {
    let tcb = |key: &str, value: &str| {
        let mut policy = JoinPolicy::default();
        policy.add_row(JoinTable::SnpTcbVersions, key.as_bytes(), value.as_bytes())?;
        Ok::<_, BadRow>(*policy.snp.tcb_versions.values().next().unwrap())
    };
    let milan = tcb("00a00f11", r#"{"hexstring": "db18000000000004"}"#).unwrap();
    let parts = r#"{"microcode": 219, "snp": 24, "tee": 0, "boot_loader": 4}"#;
    assert_eq!(tcb("00a00f11", parts).unwrap(), milan);
    assert_eq!((milan.bootloader, milan.snp, milan.microcode), (4, 24, 219));
    let turin = tcb("00b00f21", r#"{"hexstring": "5000000004030201"}"#).unwrap();
    assert_eq!((turin.fmc, turin.snp), (Some(1), 4));
    for (key, value) in [
        ("00b00f21", parts),
        ("00a00f11", "{}"),
        ("00a00f11", r#"{"hexstring": "db18"}"#),
        ("00000000", parts),
        ("milan", parts),
    ] {
        assert!(tcb(key, value).is_err(), "{key} {value}");
    }
}

#[test]
fn rows_that_cannot_be_understood_are_refused_with_their_tables_name() {
    for (table, key, value) in [
        (JoinTable::SnpMeasurements, "\"00\"", "null"),
        (JoinTable::SnpHostData, "00", "null"),
        (JoinTable::SnpUvmEndorsements, "did", "[]"),
        (JoinTable::Tdx, "name", r#"{"image": []}"#),
        (JoinTable::Sgx, "name", "1"),
        (JoinTable::Nitro, "name", r#"{"images": [{"x": "00"}]}"#),
        (JoinTable::Settings, "setting", "{}"),
        (JoinTable::Settings, "settings", r#"{"accept_all": true}"#),
        (JoinTable::VirtualHostData, "\"", "null"),
    ] {
        let bad = JoinPolicy::default().add_row(table, key.as_bytes(), value.as_bytes());
        assert_eq!(bad.unwrap_err().table, table.name(), "{key} {value}");
    }
    let long = vec![b' '; crate::limits::MAX_JOIN_ROW_BYTES + 1];
    let bad = JoinPolicy::default().add_row(JoinTable::Tdx, &long, b"");
    assert_eq!(bad.unwrap_err().reason, "it is too long");
}

#[test]
fn tables_are_found_by_name() {
    for table in JoinTable::ALL {
        assert_eq!(JoinTable::of_name(table.name()), Some(table));
    }
    assert_eq!(JoinTable::of_name("public:ccf.gov.nodes.info"), None);
}

#[test]
fn the_whole_policy_is_shown_in_json() {
    let policy = policy(&rows()).unwrap();
    let json = serde_json::to_value(&policy).unwrap();
    assert_eq!(
        json["snp"]["uvmEndorsements"][MICROSOFT]["ContainerPlat-AMD-UVM"]["svn"],
        "101"
    );
    assert_eq!(json["snp"]["tcbVersions"]["00a00f11"]["microcode"], 219);
    assert_eq!(serde_json::from_value::<JoinPolicy>(json).unwrap(), policy);
}

#[test]
fn what_a_node_answers_for_its_join_policy_is_that_policy() {
    let rows = rows();
    let shown = |of: JoinTable| {
        let of = rows.iter().filter(|(table, _, _)| *table == of);
        let shown = of.map(|(_, key, value)| format!("\"{}\": {value}", key.trim_matches('"')));
        shown.collect::<Vec<_>>().join(",")
    };
    let answer = |sgx: &str| {
        let snp = format!(
            r#"{{"measurements": [], "hostData": {{{}}}, "uvmEndorsements": {{{}}}, "tcbVersions": {{{}}}}}"#,
            shown(JoinTable::SnpHostData),
            shown(JoinTable::SnpUvmEndorsements),
            shown(JoinTable::SnpTcbVersions),
        );
        format!(
            r#"{{"sgx": {{"measurements": [], "policy": {sgx}}}, "tdx": {{"policy": null}}, "snp": {snp},
               "virtual": {{"measurements": [], "hostData": []}}}}"#
        )
    };
    let read = |sgx: &str| serde_json::from_str::<JoinPolicy>(&answer(sgx));
    let expected = policy(&rows).unwrap();
    assert_eq!(read("null").unwrap(), expected);
    // Written in our own form it is read again.
    let ours = serde_json::to_string(&expected).unwrap();
    assert_eq!(serde_json::from_str::<JoinPolicy>(&ours).unwrap(), expected);
    assert_eq!(read("{}").unwrap().sgx.len(), 1);
    for wrong in ["[1]", "1", r#"{"no such check": 1}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
