//! `counterfoil completions`: what a shell needs to complete commands and flags.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::Cli;
use crate::out;

/// Print completions for a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil completions bash > ~/.local/share/bash-completion/completions/counterfoil
  counterfoil completions zsh > \"${fpath[1]}/_counterfoil\"
  counterfoil completions fish > ~/.config/fish/completions/counterfoil.fish")]
pub(crate) struct Completions {
    /// Which shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "counterfoil", &mut script);
        out::write_bytes(&script);
        Ok(ExitCode::SUCCESS)
    }
}
