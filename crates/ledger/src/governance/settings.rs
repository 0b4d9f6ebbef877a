//! The settings of the constitution: what the members can tune in how they decide.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{json, row};
use crate::kv::{State, Tx};
use crate::tables::{CONSTITUTION_SETTINGS, SINGLETON};

/// Actions that an operator may do alone, unless the members say otherwise: they keep the service
/// running and change neither who governs nor who may read.
pub const ROUTINE: [&str; 6] = [
    "remove_node",
    "set_all_nodes_certificate_validity",
    "set_node_certificate_validity",
    "set_node_data",
    "set_service_certificate_validity",
    "transition_node_to_trusted",
];

/// Actions that say who governs and how: fewer than a majority can never decide them, and no
/// operator alone.
pub const FUNDAMENTAL: [&str; 4] = [
    "remove_member",
    "set_constitution_settings",
    "set_member",
    "set_member_data",
];

/// How many yes votes it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quorum {
    /// More than half of those who vote.
    #[default]
    Majority,
    /// Two thirds of them, or more.
    TwoThirds,
    /// Each of them.
    All,
    /// So many of them; all where there are fewer.
    AtLeast(u32),
}

impl Quorum {
    /// The number of yes votes, where so many members vote.
    pub fn of(self, voters: usize) -> usize {
        match self {
            Self::Majority => voters / 2 + 1,
            Self::TwoThirds => (voters * 2).div_ceil(3).max(1),
            Self::All => voters.max(1),
            Self::AtLeast(count) => (count as usize).min(voters).max(1),
        }
    }
}

/// What the members can tune in how they decide. Changed by `set_constitution_settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many yes votes a proposal needs.
    #[serde(default)]
    pub quorum: Quorum,
    /// How many it needs if it holds one of these actions, in place of `quorum`.
    #[serde(default)]
    pub action_quorums: BTreeMap<String, Quorum>,
    /// Whether a single no rejects a proposal.
    #[serde(default)]
    pub veto: bool,
    /// What an operator may do alone.
    #[serde(default = "routine")]
    pub operator_actions: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quorum: Quorum::Majority,
            action_quorums: BTreeMap::new(),
            veto: false,
            operator_actions: routine(),
        }
    }
}

fn routine() -> BTreeSet<String> {
    ROUTINE.iter().map(|&name| name.to_owned()).collect()
}

impl Settings {
    /// What holds now.
    pub fn read(state: &dyn State) -> Self {
        row(state, &CONSTITUTION_SETTINGS, &SINGLETON).unwrap_or_default()
    }

    /// From now on this holds.
    pub(super) fn put(&self, tx: &mut Tx<'_>) {
        tx.put(CONSTITUTION_SETTINGS, SINGLETON, json(self));
    }

    /// The yes votes that a proposal of these actions needs: those of its most demanding action.
    pub fn needed<'a>(&self, actions: impl Iterator<Item = &'a str>, voters: usize) -> usize {
        actions
            .map(|action| self.action_quorums.get(action).copied())
            .map(|quorum| quorum.unwrap_or(self.quorum).of(voters))
            .max()
            .unwrap_or_else(|| self.quorum.of(voters))
    }

    /// Whether these settings leave the ledger governable.
    ///
    /// # Errors
    /// Which one does not, in words that follow its name.
    pub fn check(&self, is_action: impl Fn(&str) -> bool) -> Result<(), String> {
        let named = self.action_quorums.keys().chain(&self.operator_actions);
        if let Some(unknown) = named.into_iter().find(|name| !is_action(name)) {
            return Err(format!("{unknown:?} is no action"));
        }
        if let Some(name) = FUNDAMENTAL
            .iter()
            .find(|name| self.operator_actions.contains(**name))
        {
            return Err(format!(
                "operator_actions has {name:?}, which no operator may do alone"
            ));
        }
        let quorums = self.action_quorums.values().chain([&self.quorum]);
        if quorums
            .into_iter()
            .any(|quorum| *quorum == Quorum::AtLeast(0))
        {
            return Err("a quorum of 0 would accept everything".to_owned());
        }
        let fewer = FUNDAMENTAL.iter().find(|name| {
            let quorum = self.action_quorums.get(**name).copied();
            matches!(quorum.unwrap_or(self.quorum), Quorum::AtLeast(_))
        });
        match fewer {
            Some(name) => Err(format!(
                "{name:?} needs a majority at least: a fixed number could become less as members \
                 are added"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_more_than_half() {
        let needed = |quorum: Quorum| [1, 2, 3, 4, 5].map(|voters| quorum.of(voters));
        assert_eq!(needed(Quorum::Majority), [1, 2, 2, 3, 3]);
        assert_eq!(needed(Quorum::TwoThirds), [1, 2, 2, 3, 4]);
        assert_eq!(needed(Quorum::All), [1, 2, 3, 4, 5]);
        assert_eq!(needed(Quorum::AtLeast(3)), [1, 2, 3, 3, 3]);
        assert_eq!(Quorum::AtLeast(3).of(0), 1, "nobody cannot decide anything");
    }

    #[test]
    fn settings_are_written_as_they_are_documented() {
        let text =
            r#"{"quorum":"two_thirds","action_quorums":{"set_user":{"at_least":2}},"veto":true}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.quorum, Quorum::TwoThirds);
        assert_eq!(settings.action_quorums["set_user"], Quorum::AtLeast(2));
        assert_eq!(settings.operator_actions.len(), ROUTINE.len());
        assert!(serde_json::from_str::<Settings>(r#"{"vetos":true}"#).is_err());
    }

    #[test]
    fn settings_that_would_let_a_few_take_over_are_refused() {
        let check = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check(|name| name != "no_such_action")
        };
        let quorum_of = |action: &'static str| {
            check(&move |settings| {
                let two = Quorum::AtLeast(2);
                settings.action_quorums.insert(action.to_owned(), two);
            })
        };
        let alone = |action: &'static str| {
            check(&move |settings| {
                settings.operator_actions.insert(action.to_owned());
            })
        };
        assert!(check(&|_| {}).is_ok());
        assert!(quorum_of("set_user").is_ok());
        assert!(quorum_of("set_member").is_err());
        assert!(check(&|settings| settings.quorum = Quorum::AtLeast(2)).is_err());
        assert!(check(&|settings| settings.quorum = Quorum::AtLeast(0)).is_err());
        assert!(alone("set_user").is_ok());
        assert!(alone("set_member").is_err());
        assert!(alone("no_such_action").is_err());
    }

    #[test]
    fn a_proposal_needs_what_its_most_demanding_action_needs() {
        let mut settings = Settings::default();
        settings.action_quorums.insert("a".into(), Quorum::All);
        settings
            .action_quorums
            .insert("b".into(), Quorum::AtLeast(1));
        let needed = |actions: &[&str]| settings.needed(actions.iter().copied(), 5);
        assert_eq!(needed(&["x"]), 3);
        assert_eq!(needed(&["b"]), 1);
        assert_eq!(needed(&["b", "x"]), 3);
        assert_eq!(needed(&["b", "x", "a"]), 5);
    }
}
