//! `counterfoil proposal`: what members decide.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use client::{Client, GoverningMember, Proposal as Shown};
use ledger::governance::actions::ACTIONS;
use ledger::governance::{Ballot, MessageType, ProposalId};
use serde_json::{Map, Value, json};

use super::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, bad, bold, faint, good, marked, say};
use crate::report::Failure;
use crate::signer::{MemberArgs, Signer};

/// Proposals.
#[derive(Subcommand, Debug)]
pub(crate) enum Proposal {
    Create(Create),
    Vote(Vote),
    Withdraw(Withdraw),
    Show(Show),
    List(List),
    Actions(Actions),
}

impl Proposal {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(),
            Self::Vote(vote) => vote.run(),
            Self::Withdraw(withdraw) => withdraw.run(),
            Self::Show(show) => show.run(),
            Self::List(list) => list.run(),
            Self::Actions(actions) => actions.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Propose something to the members.
///
/// Either one action with its arguments, NAME=VALUE: the value is JSON where it can be read as such,
/// else text; @FILE is a file's text. Or any number of actions, as {\"actions\": [...]} in a file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil proposal create set_user user_id=6ff2fb3e roles='[\"Reader\"]' --yes
  counterfoil proposal create set_member cert=@carol_cert.pem member_data='{\"name\":\"Carol\"}'
  counterfoil proposal create --file proposal.json
  counterfoil proposal actions                          which actions there are")]
pub(crate) struct Create {
    /// The action's name.
    #[arg(required_unless_present = "file")]
    action: Option<String>,
    /// The action's arguments.
    #[arg(value_name = "NAME=VALUE")]
    arguments: Vec<String>,
    /// A file with the actions, as JSON; `-` for standard input.
    #[arg(short, long, conflicts_with = "action", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Vote yes at once: who proposes votes too.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Create {
    fn run(self) -> Result<()> {
        let payload = match (&self.file, &self.action) {
            (Some(file), _) => read(file)?,
            (None, Some(action)) => one_action(action, &self.arguments)?,
            (None, None) => return Err(Failure::unreadable("no action was named").into()),
        };
        // Here, before anybody signs: the ledger would say the same.
        if let Err(why) = ledger::governance::actions::parse(payload.as_bytes()) {
            let failure = Failure::unreadable(format!("the proposal is not valid: {why}"));
            let hint = "`counterfoil proposal actions` lists actions and their arguments";
            return Err(failure.hint(hint).into());
        }
        let client = self.connection.client()?;
        let signer = self.member.signer(&self.connection)?;
        let shown = block_on(async {
            let message = signer.message(MessageType::Proposal, None, payload.as_bytes())?;
            let proposed = client.propose(message).await?;
            if self.yes && proposed.proposal_state == "Open" {
                return vote(&client, &*signer, &parse_id(&proposed.proposal_id)?, true).await;
            }
            Ok(proposed)
        })?;
        self.print.brief(&shown);
        Ok(())
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).map_err(Failure::reading(file));
    }
    std::fs::read_to_string(file).map_err(Failure::reading(file))
}

fn one_action(name: &str, arguments: &[String]) -> Result<String, Failure> {
    let mut args = Map::new();
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(Failure::unreadable(format!(
                "{argument:?} is not NAME=VALUE"
            )));
        };
        let value = match value.strip_prefix('@') {
            Some(file) => Value::String(read(Path::new(file))?),
            None => serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        };
        args.insert(name.to_owned(), value);
    }
    Ok(json!({ "actions": [{ "name": name, "args": args }] }).to_string())
}

/// A yes or a no.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// Say yes or no to a proposal. A vote cannot be changed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil proposal show 5b0d3c                      look at it first
  counterfoil proposal vote 5b0d3c yes")]
pub(crate) struct Vote {
    /// The proposal's id, or the beginning of it.
    id: String,
    /// The vote.
    answer: Answer,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Vote {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let signer = self.member.signer(&self.connection)?;
        let shown = block_on(async {
            let id = find(&client, &self.id).await?;
            vote(&client, &*signer, &id, self.answer == Answer::Yes).await
        })?;
        self.print.brief(&shown);
        Ok(())
    }
}

/// Votes in the name of whoever signs.
pub(super) async fn vote(
    client: &Client,
    signer: &dyn Signer,
    id: &ProposalId,
    yes: bool,
) -> Result<Shown> {
    let payload = json!({ "ballot": Ballot { yes }.function() }).to_string();
    let message = signer.message(MessageType::Ballot, Some(*id), payload.as_bytes())?;
    Ok(client.vote(id, &signer.member(), message).await?)
}

/// Take your own proposal back while it is open.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil proposal withdraw 5b0d3c")]
pub(crate) struct Withdraw {
    /// The proposal's id, or the beginning of it.
    id: String,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Withdraw {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let signer = self.member.signer(&self.connection)?;
        let shown = block_on(async {
            let id = find(&client, &self.id).await?;
            let message = signer.message(MessageType::Withdrawal, Some(id), b"")?;
            Ok(client.withdraw(&id, message).await?)
        })?;
        self.print.brief(&shown);
        Ok(())
    }
}

/// Show a proposal: what it would do, and who said what.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil proposal show 5b0d3c")]
pub(crate) struct Show {
    /// The proposal's id, or the beginning of it.
    id: String,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Show {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let (shown, actions, members, votes) = block_on(async {
            let id = find(&client, &self.id).await?;
            let shown = client.proposal(&id).await?;
            let actions = client.proposed_actions(&id).await?;
            let members = client.governing_members().await?;
            let votes = votes(&client, &id, &shown, &members).await?;
            Ok((shown, actions, members, votes))
        })?;
        if self.print.json {
            let mut whole = serde_json::to_value(&shown)?;
            whole["actions"] = actions["actions"].clone();
            whole["votes"] = json!(votes);
            out::write_json(&whole);
            return Ok(());
        }
        self.print.brief(&shown);
        say!("  by     {}", called(&members, &shown.proposer_id));
        for (id, yes) in &votes {
            let word = if *yes { good("yes") } else { bad("no ") };
            say!("  {word}    {}", called(&members, id));
        }
        let actions = actions["actions"].as_array().into_iter().flatten();
        for action in actions {
            let name = action["name"].as_str().unwrap_or_default();
            say!("  {}", bold(out::one_line(name, 80)));
            for (name, value) in action["args"].as_object().into_iter().flatten() {
                let value = match value {
                    Value::String(text) => out::one_line(text, 100),
                    other => out::one_line(&other.to_string(), 100),
                };
                say!("    {}  {value}", faint(out::one_line(name, 60)));
            }
        }
        Ok(())
    }
}

/// Who said what: those whose votes decided, or who voted so far.
async fn votes(
    client: &Client,
    id: &ProposalId,
    shown: &Shown,
    members: &[GoverningMember],
) -> Result<BTreeMap<String, bool>> {
    if let Some(votes) = &shown.final_votes {
        return Ok(votes.clone());
    }
    let mut votes = BTreeMap::new();
    for member in members {
        let function = client.ballot(id, &member.member_id).await?;
        if let Some(ballot) = function.as_deref().and_then(Ballot::from_function) {
            votes.insert(member.member_id.clone(), ballot.yes);
        }
    }
    Ok(votes)
}

fn called(members: &[GoverningMember], id: &str) -> String {
    let found = members.iter().find(|member| member.member_id == id);
    let name = found.map_or(id, GoverningMember::called);
    out::one_line(name, 80)
}

/// List proposals that are open or were decided not long ago.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  counterfoil proposal list --open")]
pub(crate) struct List {
    /// Only those that are open.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl List {
    fn run(self) -> Result<()> {
        let client = self.connection.client()?;
        let proposals = block_on(async { Ok(client.proposals().await?) })?;
        let wanted = |shown: &&Shown| !self.open || shown.proposal_state == "Open";
        for shown in proposals.iter().filter(wanted) {
            self.print.brief(shown);
        }
        Ok(())
    }
}

/// List the actions that can be proposed, and their arguments.
#[derive(Args, Debug)]
#[command(after_help = "A ? ends the name of an argument that may be left out.")]
pub(crate) struct Actions {
    #[command(flatten)]
    print: Print,
}

impl Actions {
    fn run(self) -> Result<()> {
        for action in ACTIONS {
            if self.print.json {
                let (name, about) = (action.name, action.about);
                let arguments = action.arguments;
                out::write_json(&json!({ "name": name, "arguments": arguments, "about": about }));
                continue;
            }
            say!("{}  {}", bold(action.name), action.about);
            if !action.arguments.is_empty() {
                say!("    {}", faint(action.arguments.join(", ")));
            }
        }
        Ok(())
    }
}

/// How it is printed.
#[derive(Args, Debug)]
struct Print {
    /// Print as lines of JSON.
    #[arg(long)]
    json: bool,
}

impl Print {
    fn brief(&self, shown: &Shown) {
        if self.json {
            out::write_json(shown);
            return;
        }
        let state = shown.proposal_state.as_str();
        let painted = match state {
            "Open" => marked(state),
            "Accepted" => good(state),
            _ => bad(state),
        };
        let votes = match shown.ballot_count {
            1 => "1 vote".to_owned(),
            count => format!("{count} votes"),
        };
        say!("{painted}  {}  {}", shown.proposal_id, faint(votes));
        if let Some(reason) = shown.failure.as_ref().and_then(|it| it["reason"].as_str()) {
            say!("  because  {}", out::one_line(reason, 200));
        }
    }
}

/// The proposal whose id begins so.
async fn find(client: &Client, text: &str) -> Result<ProposalId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = client.proposals().await?;
    let mut fitting = all.iter().filter(|it| it.proposal_id.starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(parse_id(&one.proposal_id)?),
        (None, _) => {
            let failure = Failure::new(format!("no proposal's id begins with {text:?}"));
            Err(failure
                .hint("`counterfoil proposal list` lists them")
                .into())
        }
        (Some(_), Some(_)) => {
            let failure = Failure::new(format!("several proposals' ids begin with {text:?}"));
            Err(failure.hint("write more of it").into())
        }
    }
}

pub(super) fn parse_id(text: &str) -> Result<ProposalId, Failure> {
    text.parse().map_err(|error: verify::digest::NotADigest| {
        Failure::new(format!("{text:?} is no proposal's id")).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_json_text_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        std::fs::write(&file, "PEM\n").unwrap();
        let arguments = [
            "user_id=u=1".to_owned(),
            "roles=[\"Reader\"]".to_owned(),
            "days=7".to_owned(),
            format!("cert=@{}", file.display()),
        ];
        let text = one_action("set_user", &arguments).unwrap();
        let proposal: Value = serde_json::from_str(&text).unwrap();
        let args = &proposal["actions"][0]["args"];
        assert_eq!(
            args,
            &json!({ "user_id": "u=1", "roles": ["Reader"], "days": 7, "cert": "PEM\n" })
        );
        assert!(one_action("set_user", &["user_id".to_owned()]).is_err());
        assert!(one_action("set_user", &["cert=@no-such-file".to_owned()]).is_err());
    }
}
