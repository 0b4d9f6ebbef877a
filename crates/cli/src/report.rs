//! How an error is shown: what failed, what caused it, what to do.

use std::process::ExitCode;

use client::ClientError;

/// The exit code of a question that could not be asked: wrong usage, unreadable input.
pub(crate) const UNREADABLE: u8 = 2;

/// An error of this program's own, with advice.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    code: u8,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// Something failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            code: 1,
            source: None,
        }
    }

    /// Something that was given cannot be used: exit code 2.
    pub(crate) fn unreadable(what: impl Into<String>) -> Self {
        Self {
            code: UNREADABLE,
            ..Self::new(what)
        }
    }

    /// Why.
    pub(crate) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For `map_err`: a file could not be read.
    pub(crate) fn reading(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::unreadable(format!("cannot read {}", path.display())).because(source)
    }

    /// For `map_err`: a file could not be written.
    pub(crate) fn writing(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::new(format!("cannot write {}", path.display())).because(source)
    }
}

/// Shows an error on standard error.
pub(crate) fn print(error: &anyhow::Error) {
    eprint!("{}", render(error));
}

/// The exit code of an error: 1, or what a [`Failure`] in it says.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let failure = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>());
    ExitCode::from(failure.map_or(1, |failure| failure.code))
}

fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !said.contains(&cause) {
            text.push_str(&format!("  caused by: {cause}\n"));
            said = cause;
        }
    }
    if let Some(hint) = hint(error) {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    text
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.hint.clone();
        }
        client_hint(cause.downcast_ref::<ClientError>()?).map(str::to_owned)
    })
}

fn client_hint(error: &ClientError) -> Option<&'static str> {
    if let ClientError::Unreachable { source, .. } = error {
        let told = format!("{source:?}");
        return Some(
            if told.contains("UnknownIssuer") || told.contains("BadSignature") {
                "the server is not endorsed by this service certificate: wrong ledger, or wrong file"
            } else {
                "is the ledger running? `counterfoil up --dev` starts one"
            },
        );
    }
    Some(match error.code()? {
        "InvalidAuthenticationInfo" => {
            "show who you are: --ledger DIR, --token-file FILE, or --client-cert and --client-key"
        }
        "NotAllowed" => {
            "an administrator can give you a role: counterfoil user set YOUR_ID Contributor"
        }
        "TransactionPendingOrUnknown" => "look at the id again; a new one may need a moment",
        "EntrySizeCapacityExceeded" => {
            "record a digest of it, or ask the operator for a higher limits.contents_bytes"
        }
        "TooManyPendingTransactions" => "the ledger is at its limit; nothing was recorded",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_do() {
        let failure = Failure::new("cannot start")
            .because("the port is taken")
            .hint("use another");
        let error = anyhow::Error::from(failure).context("up");
        assert_eq!(
            render(&error),
            "error: up\n  caused by: cannot start\n  caused by: the port is taken\n  \
             hint: use another\n"
        );
    }

    #[test]
    fn a_cause_that_was_said_already_is_not_said_again() {
        let error = anyhow::Error::from(Failure::new("x failed: y").because("y"));
        assert_eq!(render(&error), "error: x failed: y\n");
    }
}
