//! The rule by which members decide: from ballots to a decision.

use std::collections::BTreeMap;

use super::members::{Member, MemberId};
use super::settings::Settings;

/// What has become of a proposal, given the ballots so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// More ballots may change it.
    Open,
    /// It is done now.
    Accepted,
    /// It is not done, whatever ballots may come.
    Rejected,
}

/// Decides.
///
/// 1. An active operator who proposes nothing but what operators may do alone needs no ballots.
/// 2. Only members who vote count: those who are active and no operators, at the time of the count.
/// 3. If the settings say so, one no rejects.
/// 4. Enough yes votes accept; how many, the most demanding action says.
/// 5. When so many said no that it cannot get enough any more, it is rejected.
pub fn resolve(
    settings: &Settings,
    actions: &[String],
    proposer: &MemberId,
    members: &BTreeMap<MemberId, Member>,
    ballots: &BTreeMap<MemberId, bool>,
) -> Decision {
    let is_operator = members
        .get(proposer)
        .is_some_and(Member::is_active_operator);
    let routine = actions
        .iter()
        .all(|action| settings.operator_actions.contains(action));
    if is_operator && routine && !actions.is_empty() {
        return Decision::Accepted;
    }
    let voters = members.values().filter(|member| member.votes()).count();
    let count = |wanted: bool| {
        let counted = ballots
            .iter()
            .filter(|(id, yes)| **yes == wanted && members.get(id).is_some_and(Member::votes));
        counted.count()
    };
    let (yes, no) = (count(true), count(false));
    let needed = settings.needed(actions.iter().map(String::as_str), voters);
    if settings.veto && no > 0 {
        Decision::Rejected
    } else if yes >= needed {
        Decision::Accepted
    } else if voters - no < needed {
        Decision::Rejected
    } else {
        Decision::Open
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use verify::Digest;

    use super::super::members::{RecoveryRole, Status};
    use super::super::settings::Quorum;
    use super::Decision::{Accepted, Open, Rejected};
    use super::*;

    fn id(name: &str) -> MemberId {
        Digest::of(name.as_bytes())
    }

    fn member(status: Status, data: Value) -> Member {
        Member {
            status,
            member_data: data,
            recovery_role: RecoveryRole::NonParticipant,
        }
    }

    /// Three members who vote, `a`, `b` and `c`; `new`, who has not acknowledged yet; and the
    /// operator `op`.
    fn consortium() -> BTreeMap<MemberId, Member> {
        let mut members: BTreeMap<_, _> = ["a", "b", "c"]
            .map(|name| (id(name), member(Status::Active, Value::Null)))
            .into();
        members.insert(id("new"), member(Status::Accepted, Value::Null));
        let operator = json!({ "is_operator": true });
        members.insert(id("op"), member(Status::Active, operator));
        members
    }

    /// Ballots such as `"+a -b"`.
    fn ballots(text: &str) -> BTreeMap<MemberId, bool> {
        text.split_whitespace()
            .map(|ballot| (id(&ballot[1..]), ballot.starts_with('+')))
            .collect()
    }

    #[test]
    fn the_rule_by_example() {
        let majority = Settings::default();
        let veto = Settings {
            veto: true,
            ..Settings::default()
        };
        let all = Settings {
            quorum: Quorum::All,
            ..Settings::default()
        };
        let mut two_for_users = all.clone();
        two_for_users
            .action_quorums
            .insert("set_user".into(), Quorum::AtLeast(2));
        let none_alone = Settings {
            operator_actions: Default::default(),
            ..Settings::default()
        };
        let (user, node) = ("set_user", "set_node_data");
        #[rustfmt::skip]
        let table: &[(&Settings, &[&str], &str, &str, Decision)] = &[
            // Two of three decide.
            (&majority, &[user], "a", "", Open),
            (&majority, &[user], "a", "+a", Open),
            (&majority, &[user], "a", "+a +b", Accepted),
            (&majority, &[user], "a", "+b +c", Accepted),
            (&majority, &[user], "a", "+a -b", Open),
            (&majority, &[user], "a", "+a -b +c", Accepted),
            (&majority, &[user], "a", "-a -b", Rejected),
            // Who has not acknowledged, runs nodes or is unknown does not count.
            (&majority, &[user], "a", "+a +new", Open),
            (&majority, &[user], "a", "+a +op", Open),
            (&majority, &[user], "a", "+a +stranger", Open),
            (&majority, &[user], "a", "-new -op -stranger", Open),
            // A veto is one no, of somebody who votes.
            (&veto, &[user], "a", "+a -b", Rejected),
            (&veto, &[user], "a", "+a -new", Open),
            (&veto, &[user], "a", "+a +b", Accepted),
            // All must agree; one no is the end.
            (&all, &[user], "a", "+a +b", Open),
            (&all, &[user], "a", "+a +b +c", Accepted),
            (&all, &[user], "a", "-c", Rejected),
            // Another number for one action, not for what comes with it.
            (&two_for_users, &[user], "a", "+a +b", Accepted),
            (&two_for_users, &[user, "set_jwt_issuer"], "a", "+a +b", Open),
            // Operators do routine things alone, nothing else, and only where the members let them.
            (&majority, &[node], "op", "", Accepted),
            (&majority, &[node, "remove_node"], "op", "", Accepted),
            (&majority, &[node, user], "op", "", Open),
            (&majority, &[node, user], "op", "+a +b", Accepted),
            (&majority, &[node], "a", "", Open),
            (&none_alone, &[node], "op", "", Open),
            (&veto, &[node], "op", "-a", Accepted),
        ];
        for (settings, actions, proposer, votes, decision) in table {
            let actions: Vec<_> = actions.iter().map(|&name| name.to_owned()).collect();
            let found = resolve(
                settings,
                &actions,
                &id(proposer),
                &consortium(),
                &ballots(votes),
            );
            assert_eq!(found, *decision, "{actions:?} by {proposer}: {votes:?}");
        }
    }

    #[test]
    fn an_operator_who_is_not_active_decides_nothing() {
        let mut members = consortium();
        let operator = members.get_mut(&id("op")).unwrap();
        operator.status = Status::Accepted;
        let actions = ["set_node_data".to_owned()];
        let settings = Settings::default();
        let found = resolve(&settings, &actions, &id("op"), &members, &ballots(""));
        assert_eq!(found, Open);
    }

    #[test]
    fn who_holds_a_recovery_share_is_no_operator() {
        let mut members = consortium();
        let operator = members.get_mut(&id("op")).unwrap();
        operator.recovery_role = RecoveryRole::Participant;
        let actions = ["set_node_data".to_owned()];
        let settings = Settings::default();
        let found = resolve(&settings, &actions, &id("op"), &members, &ballots("+op"));
        assert_eq!(found, Open, "four vote now, and one of them said yes");
    }

    #[test]
    fn one_member_alone_decides_with_its_own_ballot() {
        let members = [(id("a"), member(Status::Active, Value::Null))].into();
        let actions = ["set_user".to_owned()];
        let settings = Settings::default();
        let found = |votes| resolve(&settings, &actions, &id("a"), &members, &ballots(votes));
        assert_eq!(found(""), Open);
        assert_eq!(found("+a"), Accepted);
        assert_eq!(found("-a"), Rejected);
    }
}
