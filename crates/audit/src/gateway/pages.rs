//! The pages that a browser shows, with their scripts; and labels whose code leads to them. The sources are
//! in `crates/audit/web/`, where `frame.html` has what all pages begin and end with; what the ledger's own page has
//! too is in `web/`.
//!
//! Everything they show they ask of the other routes, with their reader's own token, and what is proven they
//! check themselves. Browsers are told to take scripts and styles from here only, to ask nobody else, and to
//! show the pages in no other page.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;

use super::json::{Path, Query};
use crate::Problem;
use crate::model::ResourceId;

#[derive(Debug)]
struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($folder:literal, $name:literal, $media_type:literal) => {
        File {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!($folder, $name)),
        }
    };
}

macro_rules! page {
    ($name:literal) => {
        file!("../../web/", $name, "text/html; charset=utf-8")
    };
}

macro_rules! script {
    ($name:literal) => {
        file!("../../web/", $name, "text/javascript; charset=utf-8")
    };
}

/// What all pages have around what is their own: head, header, and the places of [`OWN`].
const FRAME: &str = include_str!("../../web/frame.html");

/// Where a page's lines go: its first, its second, its third, and all the others.
const OWN: [&str; 4] = [
    "<!-- title -->",
    "<!-- script -->",
    "<!-- without scripts -->",
    "<!-- page -->",
];

static FRONT: File = page!("index.html");
static TRACE: File = page!("trace.html");
static LABEL: File = page!("label.html");
static LOGS: File = page!("logs.html");
static PEOPLE: File = page!("people.html");
static PERSON: File = page!("person.html");
static PERMISSIONS: File = page!("permissions.html");
static OIDC: File = page!("oidc.html");

static FILES: [File; 29] = [
    script!("canonical.js"),
    script!("check.js"),
    script!("contracts.js"),
    script!("drawer.js"),
    script!("front.js"),
    script!("judge.js"),
    script!("keccak.js"),
    script!("label.js"),
    script!("live.js"),
    script!("log.js"),
    script!("logs.js"),
    script!("map.js"),
    script!("names.js"),
    script!("oidc.js"),
    script!("parts.js"),
    script!("people.js"),
    script!("permissions.js"),
    script!("person.js"),
    script!("resource.js"),
    script!("rights.js"),
    script!("scan.js"),
    script!("session.js"),
    script!("sure.js"),
    script!("trace.js"),
    script!("trust.js"),
    file!("../../web/", "audit.css", "text/css; charset=utf-8"),
    // One verifier of receipts for both pages, and one look.
    file!(
        "../../../../web/",
        "verify.js",
        "text/javascript; charset=utf-8"
    ),
    file!("../../../../web/", "style.css", "text/css; charset=utf-8"),
    file!("../../../../web/", "icon.svg", "image/svg+xml"),
];

const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Names of resources stand in addresses: they are nobody else's business.
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), geolocation=(), microphone=(), payment=()",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    // The scripts belong to the server that is running: never an old one to a new page.
    (CACHE_CONTROL, "no-cache"),
];

/// What begins a GS1 Digital Link: such a path is the trace of what it names.
const KEYS: [&str; 15] = [
    "00", "01", "253", "255", "401", "402", "414", "417", "8003", "8004", "8006", "8010", "8013",
    "8017", "8018",
];

/// The resources that GS1 keys name, as EPCIS events write them.
const GS1: &str = "https://id.gs1.org";

/// The pages, their files, and labels. `public_url` is where readers reach this service, without a slash at
/// the end: it is printed, so it is never taken from a request. `provider` is what the identity provider is
/// called, if people may sign in by one.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    public_url: &str,
    provider: Option<&str>,
) -> Router<S> {
    let public_url: Arc<str> = public_url.trim_end_matches('/').into();
    let page = |file: &'static File| {
        let text = Bytes::from(with_provider(&framed(file.text), provider));
        async move || shown(file.media_type, text.clone())
    };
    let mut routes = Router::new()
        .route("/", get(page(&FRONT)))
        .route("/trace", get(page(&TRACE)))
        .route("/label", get(page(&LABEL)))
        .route("/logs", get(page(&LOGS)))
        .route("/oidc", get(page(&OIDC)))
        .route("/people", get(page(&PEOPLE)))
        .route("/people/{user}", get(page(&PERSON)))
        .route("/permissions", get(page(&PERMISSIONS)))
        .route("/web/{file}", get(file))
        .route(
            "/v1/labels",
            get(async move |Query(named): Query<Named>| label(&public_url, &named.resource)),
        );
    let trace = page(&TRACE);
    for key in KEYS {
        routes = routes.route(&format!("/{key}/{{*rest}}"), get(trace.clone()));
    }
    routes
}

/// A page in the frame that all have.
fn framed(page: &str) -> String {
    let mut whole = FRAME.to_owned();
    for (place, own) in OWN.iter().zip(page.splitn(OWN.len(), '\n')) {
        whole = whole.replace(place, own.trim());
    }
    whole
}

/// A page with the button that leads to the identity provider, for `session.js` to put where one signs in. It
/// is a link: a form's target, and where it is sent on to, would have to stand in the policy.
fn with_provider(page: &str, name: Option<&str>) -> String {
    let Some(name) = name else {
        return page.to_owned();
    };
    let name = in_html(name);
    let button = format!(
        "<template id=\"provider\"><div class=\"row\"><a class=\"button quiet\" \
         href=\"/v1/oidc/start\">Sign in with {name}</a></div></template>\n</html>"
    );
    page.replace("</html>", &button)
}

fn in_html(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\'' => written.push_str("&#39;"),
            c => written.push(c),
        }
    }
    written
}

async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => shown(file.media_type, file.text),
        None => Problem::not_found(format!("there is no file {name:?}")).into_response(),
    }
}

fn shown(media_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What a label is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    resource: ResourceId,
}

/// `GET /v1/labels?resource=...`: a QR code with the link to a trace, as a picture. It has no proof in it:
/// links end up in logs.
fn label(public_url: &str, resource: &ResourceId) -> Result<Response, Problem> {
    let link = link(public_url, resource);
    let code = QrCode::with_error_correction_level(&link, EcLevel::M);
    let code = code.map_err(|_| Problem::input("the link is too long for a code"))?;
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((StatusCode::OK, headers, svg(&code)).into_response())
}

/// The shortest link to the trace of a resource that these pages understand.
fn link(public_url: &str, resource: &ResourceId) -> String {
    let resource = resource.as_str();
    match resource.strip_prefix(GS1) {
        Some(path) if is_digital_link(path) => format!("{public_url}{path}"),
        _ => format!("{public_url}/trace?resource={}", escaped(resource)),
    }
}

/// Whether a path names the same resource once a browser has been there: `resource.js` reads it.
fn is_digital_link(path: &str) -> bool {
    let Some(parts) = path.strip_prefix('/') else {
        return false;
    };
    let parts: Vec<&str> = parts.split('/').collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@".contains(c);
    // Browsers take dots, encoded or not, for steps up.
    let stays = |part: &&str| {
        let dots = part.to_ascii_lowercase().replace("%2e", ".");
        !matches!(&*dots, "" | "." | "..") && part.chars().all(plain)
    };
    let is_gtin = |text: &str| text.len() == 14 && text.bytes().all(|b| b.is_ascii_digit());
    match &parts[..] {
        ["01", gtin, ..] if !is_gtin(gtin) => false,
        [key, ..] => KEYS.contains(key) && parts.len().is_multiple_of(2) && parts.iter().all(stays),
        [] => false,
    }
}

/// Percent-encoded as RFC 3986 says, all but what never means anything.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Modules of white around a code, without which readers do not find it.
const QUIET: usize = 4;

fn svg(code: &QrCode) -> String {
    let width = code.width();
    let mut path = String::new();
    for (place, _) in code
        .to_colors()
        .iter()
        .enumerate()
        .filter(|(_, color)| **color == Color::Dark)
    {
        let (x, y) = (place % width + QUIET, place / width + QUIET);
        path.push_str(&format!("M{x} {y}h1v1h-1z"));
    }
    let side = width + 2 * QUIET;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path d=\"{path}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    static PAGES: [&File; 8] = [
        &FRONT,
        &TRACE,
        &LABEL,
        &LOGS,
        &OIDC,
        &PEOPLE,
        &PERSON,
        &PERMISSIONS,
    ];

    /// All that is served, by name.
    fn served() -> impl Iterator<Item = (&'static str, String)> {
        let pages = PAGES.iter().map(|page| (page.name, framed(page.text)));
        pages.chain(FILES.iter().map(|file| (file.name, file.text.to_owned())))
    }

    #[test]
    fn a_page_fills_its_frame() {
        for page in PAGES {
            let whole = framed(page.text);
            assert!(!whole.contains("<!--"), "{}", page.name);
            for (before, after) in [
                ("<meta", "<title>"),
                ("</title>", "<script type=\"module\" src=\"/web/"),
                ("</script>", "<header class=\"site\">"),
                ("</header>", "<noscript>"),
                ("</noscript>", "<main class=\""),
                ("</main>", "</html>"),
            ] {
                let (_, rest) = whole.split_once(before).unwrap();
                assert_eq!(rest.matches(after).count(), 1, "{}: {after}", page.name);
            }
        }
    }

    #[test]
    fn all_that_pages_and_scripts_name_is_served() {
        for (named_in, text) in served() {
            for before in ["\"/web/", "from \"./"] {
                for after in text.split(before).skip(1) {
                    let name = after.split('"').next().unwrap();
                    let is_served = FILES.iter().any(|file| file.name == name);
                    assert!(is_served, "{named_in} names {name}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_written_into_pages_that_their_policy_forbids() {
        for (name, text) in served().filter(|(name, _)| !name.ends_with(".svg")) {
            for forbidden in [
                "<script>",
                "<style",
                " style=",
                " onclick=",
                "innerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }

    #[test]
    fn the_providers_button_is_on_pages_if_there_is_one_and_its_name_is_no_html() {
        for file in [&FRONT, &TRACE, &LOGS, &OIDC] {
            let whole = framed(file.text);
            assert_eq!(with_provider(&whole, None), whole);
            let page = with_provider(&whole, Some("<b title='x'>A&B</b>"));
            let button = ">Sign in with &lt;b title=&#39;x&#39;&gt;A&amp;B&lt;/b&gt;</a>";
            assert_eq!(page.matches(button).count(), 1, "{}", file.name);
            assert_eq!(page.matches("</html>").count(), 1, "{}", file.name);
        }
    }

    #[test]
    fn a_gs1_key_is_its_own_link_and_other_names_are_escaped() {
        let link = |resource: &str| {
            link(
                "https://audit.example",
                &ResourceId::parse(resource).unwrap(),
            )
        };
        assert_eq!(
            link("https://id.gs1.org/01/09521234543213/10/HASS-22"),
            "https://audit.example/01/09521234543213/10/HASS-22"
        );
        for (resource, escaped) in [
            ("lot:7", "lot%3A7"),
            ("a&b=c#d", "a%26b%3Dc%23d"),
            (
                "https://id.gs1.org/01/1?x",
                "https%3A%2F%2Fid.gs1.org%2F01%2F1%3Fx",
            ),
            ("https://id.gs1.org.evil", "https%3A%2F%2Fid.gs1.org.evil"),
            (
                "https://id.gs1.org/00/%2E%2e",
                "https%3A%2F%2Fid.gs1.org%2F00%2F%252E%252e",
            ),
        ] {
            let expected = format!("https://audit.example/trace?resource={escaped}");
            assert_eq!(link(resource), expected);
        }
    }

    #[test]
    fn the_longest_name_fits_into_a_code() {
        let longest = ResourceId::parse("<".repeat(crate::limits::RESOURCE_ID_BYTES_MAX)).unwrap();
        let response = label("https://audit.example", &longest).unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "image/svg+xml");
    }
}
