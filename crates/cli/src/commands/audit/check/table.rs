//! Tables: rows that are the data of records.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use audit::model::strict;
use serde_json::{Map, Value};

use crate::report::Failure;

/// Which columns mean what.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Names the record.
    pub(super) id: String,
    /// Stands before that.
    pub(super) prefix: String,
    /// The name is not a part of the data.
    pub(super) without_id: bool,
    /// Are text, whatever they look like.
    pub(super) text: Vec<String>,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Which, from 1; a header is none.
    pub(super) number: u64,
    /// The record that it is about.
    pub(super) record: String,
    /// What the record holds, as this table has it.
    pub(super) data: Value,
    /// About how many bytes it takes in a request.
    pub(super) bytes: usize,
}

/// All rows of a table.
pub(super) fn read(path: &Path, columns: &Columns) -> Result<Vec<Row>, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(Failure::reading(path))?;
    } else {
        bytes = fs::read(path).map_err(Failure::reading(path))?;
    }
    let kind = path.extension().and_then(|kind| kind.to_str());
    let rows = match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => from_csv(&bytes, columns),
        Some("json") => from_json(&bytes, columns),
        Some("ndjson" | "jsonl") => from_lines(&bytes, columns),
        None if path == Path::new("-") => from_lines(&bytes, columns),
        _ => {
            let what = format!("{} is none of .csv, .json and .ndjson", path.display());
            return Err(Failure::unreadable(what));
        }
    };
    rows.map_err(|why| {
        Failure::unreadable(format!("{} is no table to check", path.display())).because(why)
    })
}

fn from_csv(bytes: &[u8], columns: &Columns) -> Result<Vec<Row>, String> {
    // What spreadsheets put before UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut names = BTreeSet::new();
    if let Some(twice) = header.iter().find(|name| !names.insert(*name)) {
        return Err(format!("two columns are called {twice:?}"));
    }
    for name in columns.text.iter().chain([&columns.id]) {
        if !names.contains(name.as_str()) {
            return Err(format!("there is no column {name:?}"));
        }
    }
    let rows = reader.records().zip(1..);
    let rows = rows.map(|(row, number)| {
        let row = row.map_err(|error| error.to_string())?;
        let mut object = Map::new();
        for (name, cell) in header.iter().zip(&row) {
            let is_text = columns.text.iter().any(|text| text == name);
            if let Some(value) = value(cell, is_text) {
                object.insert(name.to_owned(), value);
            }
        }
        let id = header.iter().position(|name| name == columns.id);
        let id = id.and_then(|place| row.get(place)).unwrap_or_default();
        made(number, id, object, columns)
    });
    rows.collect()
}

/// What a cell holds: JSON where it is a number or a word of it, and else text; nothing where it is empty.
fn value(cell: &str, is_text: bool) -> Option<Value> {
    if is_text {
        return Some(cell.into());
    }
    let plain = match cell.as_bytes().first()? {
        b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => strict::parse(cell.as_bytes()).ok(),
        _ => None,
    };
    Some(plain.unwrap_or_else(|| cell.into()))
}

fn from_json(bytes: &[u8], columns: &Columns) -> Result<Vec<Row>, String> {
    match strict::parse(bytes).map_err(|error| error.to_string())? {
        Value::Array(rows) => {
            let rows = rows.into_iter().zip(1..);
            rows.map(|(row, number)| object(number, row, columns))
                .collect()
        }
        _ => Err("a list of objects is needed".to_owned()),
    }
}

fn from_lines(bytes: &[u8], columns: &Columns) -> Result<Vec<Row>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1_u64..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    let rows = lines.map(|(line, number)| {
        let value = strict::parse(line).map_err(|error| format!("line {number}: {error}"))?;
        object(number, value, columns)
    });
    rows.collect()
}

fn object(number: u64, row: Value, columns: &Columns) -> Result<Row, String> {
    let Value::Object(object) = row else {
        return Err(format!("row {number} is no object"));
    };
    let id = match object.get(&columns.id) {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => {
            return Err(format!(
                "row {number} has no text or number {:?}",
                columns.id
            ));
        }
    };
    made(number, &id, object, columns)
}

fn made(
    number: u64,
    id: &str,
    mut object: Map<String, Value>,
    columns: &Columns,
) -> Result<Row, String> {
    if id.is_empty() {
        return Err(format!("row {number} has nothing in {:?}", columns.id));
    }
    if columns.without_id {
        object.remove(&columns.id);
    }
    let record = format!("{}{id}", columns.prefix);
    let data = Value::Object(object);
    let bytes = data.to_string().len() + record.len() + 32;
    Ok(Row {
        number,
        record,
        data,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn columns() -> Columns {
        Columns {
            id: "lot".to_owned(),
            prefix: "lot-".to_owned(),
            ..Columns::default()
        }
    }

    fn data(rows: Result<Vec<Row>, String>) -> Vec<(String, Value)> {
        let rows = rows.unwrap().into_iter();
        rows.map(|row| (row.record, row.data)).collect()
    }

    #[test]
    fn cells_are_what_they_look_like_and_empty_ones_are_not_there() {
        let table = "lot,kg,grade,organic,note,code\n7,20.5,A,true,,007\n\"8\",-1,\"a,\"\"b\"\"\",null,x,1e3\n";
        let rows = data(from_csv(table.as_bytes(), &columns()));
        let expected = [
            (
                "lot-7".to_owned(),
                json!({"lot": 7, "kg": 20.5, "grade": "A", "organic": true, "code": "007"}),
            ),
            (
                "lot-8".to_owned(),
                json!({"lot": 8, "kg": -1, "grade": "a,\"b\"", "organic": null, "note": "x", "code": 1000.0}),
            ),
        ];
        assert_eq!(rows, expected);
        let text = Columns {
            text: vec!["lot".to_owned(), "code".to_owned()],
            without_id: true,
            ..columns()
        };
        let rows = data(from_csv(b"\xef\xbb\xbflot,code\n7,1e3\n", &text));
        assert_eq!(rows, [("lot-7".to_owned(), json!({"code": "1e3"}))]);
    }

    #[test]
    fn a_list_and_lines_are_the_same_table() {
        let list = br#"[{"lot": 7, "kg": 20}, {"lot": "8"}]"#;
        let lines = b"{\"lot\": 7, \"kg\": 20}\n\n{\"lot\": \"8\"}";
        let rows = data(from_json(list, &columns()));
        assert_eq!(rows, data(from_lines(lines, &columns())));
        assert_eq!(rows[0], ("lot-7".to_owned(), json!({"lot": 7, "kg": 20})));
    }

    #[test]
    fn what_is_no_table_is_told_with_its_place() {
        for (table, why) in [
            ("lot,lot\n1,2\n", "two columns"),
            ("kg\n1\n", "no column \"lot\""),
            ("lot,kg\n,1\n", "row 1 has nothing"),
            ("lot,kg\n1\n", "record 1"),
        ] {
            let refused = from_csv(table.as_bytes(), &columns()).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        for (table, why) in [
            ("{}", "list"),
            ("[7]", "row 1"),
            ("[{}]", "row 1"),
            ("[{\"a\":1,\"a\":2}]", ""),
        ] {
            let refused = from_json(table.as_bytes(), &columns()).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
