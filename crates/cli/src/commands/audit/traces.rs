//! `[traces]` of the configuration: the collector that gets them.

use std::path::PathBuf;

use anyhow::Result;
use audit::metrics::Metrics;
use audit::telemetry::{self, Settings, Telemetry};
use serde::Deserialize;

use super::config::Config;
use super::files;

/// `[traces]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Traces {
    /// The collector (OTLP over HTTP), `http://127.0.0.1:4318`.
    endpoint: String,
    /// Which part of the traces that begin here is recorded. Default: 1, all of them.
    #[serde(default = "Traces::all")]
    sample: f64,
    /// Whether callers say whether their own trace is recorded. Default: false.
    #[serde(default)]
    believe_callers: bool,
    /// A file with headers for the collector, which only its owner may read. Default: none.
    pub(super) headers_file: Option<PathBuf>,
}

impl Traces {
    const fn all() -> f64 {
        1.0
    }
}

/// What traces this process, under this name; nothing, unless it is configured.
pub(super) fn telemetry(config: &Config, service: &str, metrics: &Metrics) -> Result<Telemetry> {
    let Some(traces) = &config.traces else {
        return Ok(Telemetry::default());
    };
    let headers = match &traces.headers_file {
        Some(path) => telemetry::headers(&files::secret(path)?)?,
        None => Default::default(),
    };
    let settings = Settings {
        endpoint: traces.endpoint.clone(),
        sample: traces.sample,
        believe_callers: traces.believe_callers,
        headers,
    };
    Ok(Telemetry::start(service, settings, metrics)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_collector_is_enough_and_what_is_not_known_is_refused() {
        let read = |text: &str| toml::from_str::<Config>(text).map(|config| config.traces);
        let traces = read("[traces]\nendpoint = \"http://127.0.0.1:4318\"").unwrap();
        assert_eq!(traces.map(|traces| traces.sample), Some(1.0));
        assert_eq!(read("").unwrap(), None);
        for wrong in ["[traces]", "[traces]\nendpoint = \"a\"\nsampel = 1.0"] {
            read(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_file_of_headers_is_relative_to_the_configuration_and_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.toml");
        let text = "[traces]\nendpoint = \"https://otel.example\"\nheaders_file = \"headers\"\n";
        std::fs::write(&path, text).unwrap();
        let config = Config::read(&path).unwrap();
        let headers = dir.path().join("headers");
        let traces = config.traces.as_ref().unwrap();
        assert_eq!(traces.headers_file.as_ref(), Some(&headers));
        std::fs::write(&headers, "x-api-key: hush").unwrap();
        let others = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&headers, others).unwrap();
        let refused = telemetry(&config, "tried", &Metrics::new()).unwrap_err();
        assert!(
            refused.to_string().contains("others than its owner"),
            "{refused}"
        );
    }
}
