//! `/`: the page that a browser shows, with its scripts. The sources are in `web/`.
//!
//! Everything it shows it asks of the other endpoints, with its user's own token. Browsers are told
//! to take scripts and styles from here only, and to show the page in no other page.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal, $media_type:literal) => {
        File {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("../../../web/", $name)),
        }
    };
}

const PAGE: File = file!("index.html", "text/html; charset=utf-8");

const FILES: [File; 5] = [
    file!("page.js", "text/javascript; charset=utf-8"),
    file!("chain.js", "text/javascript; charset=utf-8"),
    file!("verify.js", "text/javascript; charset=utf-8"),
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
];

const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    // The scripts belong to the server that is running: never an old one to a new page.
    (CACHE_CONTROL, "no-cache"),
];

/// `GET /`
pub(crate) async fn front(_: Call) -> Result<Answer, ApiError> {
    Ok(shown(&PAGE))
}

/// `GET /web/{file}`
pub(crate) async fn file(call: Call) -> Result<Answer, ApiError> {
    let name = call.param()?;
    let file = FILES.iter().find(|file| file.name == name);
    let missing = || ApiError::not_found(format!("There is no file {name:?}."));
    file.map(shown).ok_or_else(missing)
}

fn shown(file: &File) -> Answer {
    let mut answer = answer::whole(HeaderValue::from_static(file.media_type), file.text);
    for (name, value) in HEADERS {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_page_and_its_scripts_name_is_served() {
        let names: Vec<_> = FILES.iter().map(|file| file.name).collect();
        for file in FILES.iter().chain([&PAGE]) {
            for after in file.text.split("\"/web/").skip(1) {
                let name = after.split('"').next().unwrap();
                assert!(names.contains(&name), "{} names {name}", file.name);
            }
            for after in file.text.split("from \"./").skip(1) {
                let name = after.split('"').next().unwrap();
                assert!(names.contains(&name), "{} names {name}", file.name);
            }
        }
    }

    #[test]
    fn nothing_is_written_into_the_page_that_its_policy_forbids() {
        for forbidden in [
            "<script>",
            "<style",
            " style=",
            " onclick=",
            "http://",
            "innerHTML",
        ] {
            assert!(!PAGE.text.contains(forbidden), "{forbidden}");
            assert!(FILES.iter().all(|file| {
                let is_picture = file.name.ends_with(".svg");
                is_picture || !file.text.contains(forbidden)
            }));
        }
    }
}
