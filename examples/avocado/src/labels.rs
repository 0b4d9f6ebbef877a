//! Labels: a code for each lot at each stage, whose link leads to the page about it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use qrcode::{EcLevel, QrCode, types::Color};

use crate::{Error, Lot, gs1};

/// Modules of white around a code, without which readers do not find it.
const QUIET: usize = 4;

/// The link that a label has: the thing's path below a host that knows of it.
pub fn link(host: &str, resource: &str) -> String {
    format!("{}{}", host.trim_end_matches('/'), gs1::path(resource))
}

/// Writes `links.csv`, and one picture (SVG) of a code for each lot and stage: what is picked and pallets lead to the
/// audit's own pages, cases to the consumers' page.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, lots: &[Lot], audit: &str, consumers: &str) -> Result<usize, Error> {
    let mut links = String::from("stage,lot,link\n");
    let stages = ["harvest", "pallet", "cases"];
    for stage in stages {
        let folder = folder.join(stage);
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    }
    for lot in lots {
        let named = [
            (&lot.harvest, audit),
            (&lot.pallet, audit),
            (&lot.cases, consumers),
        ];
        for (stage, (resource, host)) in stages.into_iter().zip(named) {
            let link = link(host, resource);
            // Text is written into text.
            let _ = writeln!(links, "{stage},{},{link}", lot.number);
            let path = folder.join(stage).join(format!("{}.svg", lot.number));
            fs::write(&path, picture(&link)?).map_err(Error::file(&path))?;
        }
    }
    let path = folder.join("links.csv");
    fs::write(&path, links).map_err(Error::file(&path))?;
    Ok(lots.len() * stages.len())
}

fn picture(link: &str) -> Result<String, Error> {
    let code = QrCode::with_error_correction_level(link, EcLevel::M);
    let code =
        code.map_err(|error| Error::Event(format!("{link} does not fit into a code: {error}")))?;
    let (width, mut path) = (code.width(), String::new());
    let colors = code.to_colors().into_iter().enumerate();
    for (place, _) in colors.filter(|(_, color)| *color == Color::Dark) {
        let (x, y) = (place % width + QUIET, place / width + QUIET);
        let _ = write!(path, "M{x} {y}h1v1h-1z");
    }
    let side = width + 2 * QUIET;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lot_has_a_label_at_each_stage() {
        let folder = tempfile::tempdir().unwrap();
        let season = crate::Season::new(1, 3);
        let written = write(
            folder.path(),
            season.lots(),
            "https://audit.example",
            "http://app.example/",
        )
        .unwrap();
        assert_eq!(written, 9);
        let links = fs::read_to_string(folder.path().join("links.csv")).unwrap();
        assert!(
            links.contains("cases,EZ26-00002,http://app.example/01/1"),
            "{links}"
        );
        assert!(
            links.contains("pallet,EZ26-00002,https://audit.example/00/3"),
            "{links}"
        );
        let code = fs::read_to_string(folder.path().join("pallet/EZ26-00002.svg")).unwrap();
        assert!(code.starts_with("<svg"));
    }
}
