use super::super::testing::{House, new, operation};
use super::super::{Caller, Kind, Name, Order, Status, User, UserId, Wanted};
use crate::model::Text;

/// All pages of a list, of so many at a time.
async fn all(house: &House, by: &Caller, limit: u32, wanted: &Wanted) -> Vec<User> {
    let mut seen = Vec::new();
    let mut wanted = Wanted {
        limit: Some(limit),
        ..wanted.clone()
    };
    loop {
        let page = house.users.list(by, &wanted).await.unwrap();
        assert!(page.users.len() <= limit as usize);
        seen.extend(page.users);
        match page.next {
            Some(next) => wanted.after = Some(next),
            None => return seen,
        }
    }
}

async fn names(house: &House, by: &Caller, wanted: &Wanted) -> Vec<String> {
    let mut names: Vec<_> = all(house, by, 2, wanted)
        .await
        .into_iter()
        .map(|user| user.name.to_string())
        .collect();
    if wanted.order == Order::Id {
        names.sort();
    }
    names
}

fn find(text: &str) -> Wanted {
    Wanted {
        find: Some(Text::parse(text).unwrap()),
        ..Wanted::default()
    }
}

fn by_name() -> Wanted {
    Wanted {
        order: Order::Name,
        ..Wanted::default()
    }
}

/// The root, two administrators, and who is below them.
async fn farm() -> (House, Caller, Caller, Caller) {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let ben = house.create(&root, Kind::Administrator, "ben").await;
    for name in ["t1", "Tx", "t3"] {
        house.create(&ana, Kind::TUser, name).await;
    }
    house.create(&ben, Kind::TUser, "tom").await;
    (house, root, ana, ben)
}

#[tokio::test]
async fn a_list_has_pages_and_shows_those_below_alone() {
    let (house, root, _, ben) = farm().await;
    let seen = all(&house, &root, 3, &Wanted::default()).await;
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by_key(|user| user.id.clone()));
    for user in &seen {
        assert_eq!(house.users.read_user(&root, &user.id).await.unwrap(), *user);
    }
    assert_eq!(
        names(&house, &ben, &Wanted::default()).await,
        ["ben", "tom"]
    );
    let tom = house.login("tom").await.user;
    let tom = super::super::testing::caller(&tom);
    assert!(names(&house, &tom, &Wanted::default()).await.is_empty());
}

#[tokio::test]
async fn by_name_everybody_comes_once_too_and_capitals_do_not_count() {
    let (house, root, ..) = farm().await;
    let sorted = ["ana", "ben", "root", "t1", "t3", "tom", "Tx"];
    assert_eq!(names(&house, &root, &by_name()).await, sorted);
    let seen = all(&house, &root, 2, &by_name()).await;
    for user in &seen {
        assert_eq!(house.users.read_user(&root, &user.id).await.unwrap(), *user);
    }
}

#[tokio::test]
async fn people_are_found_by_their_names_addresses_and_ids() {
    let (house, root, ana, _) = farm().await;
    for (text, found) in [
        ("T", &["Tx", "root", "t1", "t3", "tom"][..]),
        ("tx", &["Tx"]),
        ("TOM@farm", &["tom"]),
        (
            "farm.example",
            &["Tx", "ana", "ben", "root", "t1", "t3", "tom"],
        ),
        (ana.user.as_str(), &["ana"]),
        (&ana.user.as_str()[..31], &[]),
        // What stands for others in a pattern stands for itself.
        ("%", &[]),
        ("t_", &[]),
        ("!", &[]),
        ("' OR 1=1 --", &[]),
    ] {
        assert_eq!(names(&house, &root, &find(text)).await, found, "{text}");
    }
    let mut odd = new(Kind::TUser, "odd");
    odd.name = Name::parse("100%_sure!").unwrap();
    house.users.create_user(&ana, odd).await.unwrap();
    for text in ["%", "_", "!", "0%_S"] {
        let found = names(&house, &root, &find(text)).await;
        assert_eq!(found, ["100%_sure!"], "{text}");
    }
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_of_its_fields() {
    let (house, root, ana, ben) = farm().await;
    let all = Wanted::default;
    let tuser = || Wanted {
        kind: Some(Kind::TUser),
        ..all()
    };
    assert_eq!(
        names(&house, &root, &tuser()).await,
        ["Tx", "t1", "t3", "tom"]
    );
    let below = |parent: &Caller| Wanted {
        parent: Some(parent.user.clone()),
        ..all()
    };
    assert_eq!(names(&house, &root, &below(&root)).await, ["ana", "ben"]);
    assert_eq!(names(&house, &root, &below(&ben)).await, ["tom"]);
    assert_eq!(names(&house, &ben, &below(&ana)).await, [""; 0]);

    let tom = house.users.list(&ben, &find("tom")).await.unwrap().users;
    let granted = Wanted {
        granted: Some(operation("createData")),
        ..tuser()
    };
    assert_eq!(names(&house, &ben, &granted).await, ["tom"]);
    house
        .users
        .revoke(&ben, &tom[0].id, operation("createData"))
        .await
        .unwrap();
    assert_eq!(names(&house, &ben, &granted).await, [""; 0]);
    house.users.delete_user(&ben, &tom[0].id).await.unwrap();
    let disabled = Wanted {
        status: Some(Status::Disabled),
        ..all()
    };
    assert_eq!(names(&house, &root, &disabled).await, ["tom"]);
    assert_eq!(names(&house, &ana, &disabled).await, [""; 0]);
}

#[tokio::test]
async fn nothing_that_is_asked_shows_those_of_another_administrator() {
    let (house, root, ana, ben) = farm().await;
    for wanted in [
        find("t1"),
        find(ana.user.as_str()),
        Wanted {
            parent: Some(root.user.clone()),
            find: Some(Text::parse("ana").unwrap()),
            ..Wanted::default()
        },
        // Where in the order of names a stranger stands would tell their name.
        Wanted {
            after: Some(ana.user.clone()),
            ..by_name()
        },
        Wanted {
            after: Some(UserId::of([9; 16])),
            ..by_name()
        },
    ] {
        assert_eq!(names(&house, &ben, &wanted).await, [""; 0], "{wanted:?}");
    }
}
