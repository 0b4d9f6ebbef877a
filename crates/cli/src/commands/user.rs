//! `counterfoil user`: who may use the ledger.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use client::model::LedgerUser;

use super::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, bold, say};
use crate::user_id::user_id;

/// Users.
#[derive(Subcommand, Debug)]
pub(crate) enum User {
    List(List),
    Show(Show),
    Set(Set),
    Remove(Remove),
}

/// List all users and their roles.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil user list --json | jq -r .userId")]
pub(crate) struct List {
    /// Print each user as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Show a user's roles.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil user show alice.pem")]
pub(crate) struct Show {
    /// A certificate (PEM file), its fingerprint, or the subject of a token.
    user: String,
    /// Print the user as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Give a user roles, and add the user if new.
///
/// The roles come beside those the user has; --only takes the others away, in two steps: the user
/// is removed and added again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil user set alice.pem Contributor
  counterfoil user set 6ff2fb3e-5e2c-4a1e-9a50-c0fd2fd58dc5 Reader Auditor
  counterfoil user set alice.pem Reader --only")]
pub(crate) struct Set {
    /// A certificate (PEM file), its fingerprint, or the subject of a token.
    user: String,
    /// Reader, Contributor, Administrator, or a role of your own.
    #[arg(required = true)]
    roles: Vec<String>,
    /// These roles and no others.
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Remove a user.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil user remove alice.pem")]
pub(crate) struct Remove {
    /// A certificate (PEM file), its fingerprint, or the subject of a token.
    user: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl User {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
            Self::Remove(remove) => remove.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let users = block_on(async { Ok(client.users().await?) })?;
        users.iter().for_each(|user| show(user, self.json));
        Ok(())
    }
}

impl Show {
    fn run(self) -> Result<()> {
        let (client, id) = (self.connection.client()?, user_id(&self.user)?);
        let user = block_on(async { Ok(client.user(&id).await?) })?;
        show(&user, self.json);
        Ok(())
    }
}

impl Set {
    fn run(self) -> Result<()> {
        let (client, id) = (self.connection.client()?, user_id(&self.user)?);
        let roles = self.roles.into_iter().collect();
        let user = block_on(async {
            if self.only {
                client.remove_user(&id).await?;
            }
            client.assign_roles(&id, &roles).await?;
            Ok(client.user(&id).await?)
        })?;
        show(&user, false);
        Ok(())
    }
}

impl Remove {
    fn run(self) -> Result<()> {
        let (client, id) = (self.connection.client()?, user_id(&self.user)?);
        block_on(async { Ok(client.remove_user(&id).await?) })?;
        say!("{} is no user any more", bold(out::one_line(&id, 100)));
        Ok(())
    }
}

fn show(user: &LedgerUser, json: bool) {
    match json {
        true => out::write_json(user),
        false => say!(
            "{}  {}",
            bold(out::one_line(&user.user_id, 100)),
            list(&user.assigned_roles)
        ),
    }
}

fn list(roles: &BTreeSet<String>) -> String {
    let roles: Vec<_> = roles.iter().map(|role| out::one_line(role, 60)).collect();
    roles.join(", ")
}
