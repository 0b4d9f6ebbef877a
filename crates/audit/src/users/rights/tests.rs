use super::super::testing::{House, kind_of, new, operation};
use super::super::{Caller, Kind, OperationType, Permission};
use crate::model::Text;

async fn three(house: &House) -> [Caller; 3] {
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let tom = house.create(&ana, Kind::TUser, "tom").await;
    [root, ana, tom]
}

fn entry(name: &str, kinds: &[Kind]) -> Permission {
    Permission {
        stage: Text::fitting("transport"),
        service_name: Text::fitting("carrier"),
        type_of_operation: OperationType::Create,
        name_of_operation: operation(name),
        permit_access_to: kinds.iter().copied().collect(),
        description: Text::default(),
    }
}

#[tokio::test]
async fn access_is_what_the_dictionary_permits_and_was_granted() {
    let house = House::open().await;
    let [root, ana, tom] = three(&house).await;
    for (caller, name, may) in [
        (&root, "createAdministrator", true),
        (&root, "createTUser", false),
        (&ana, "createTUser", true),
        (&ana, "createData", false),
        (&tom, "createData", true),
        (&tom, "createTUser", false),
        (&tom, "nothing", false),
    ] {
        let has = house.users.has_access(caller, name).await.unwrap();
        assert_eq!(has, may, "{:?} {name}", caller.kind);
        assert_eq!(house.users.demand(caller, name).await.is_ok(), may);
    }
}

#[tokio::test]
async fn a_grant_and_its_end_count_at_once_and_are_events() {
    let house = House::open().await;
    let [_, ana, tom] = three(&house).await;
    let create = || operation("createData");
    house.users.demand(&tom, "createData").await.unwrap();
    let user = house.users.revoke(&ana, &tom.user, create()).await.unwrap();
    assert!(!user.grants.contains(&create()));
    assert!(!house.users.has_access(&tom, "createData").await.unwrap());
    let user = house.users.grant(&ana, &tom.user, create()).await.unwrap();
    assert!(user.grants.contains(&create()));
    assert!(house.users.has_access(&tom, "createData").await.unwrap());
    let did = house.trail.did();
    assert_eq!(did[3..], ["revoke createData", "grant createData"]);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let house = House::open().await;
    let [root, ana, tom] = three(&house).await;
    let deletes = || operation("deleteData");
    house
        .users
        .revoke(&root, &ana.user, deletes())
        .await
        .unwrap();
    house
        .users
        .revoke(&ana, &tom.user, deletes())
        .await
        .unwrap();
    let before = house.trail.acts().len();
    let refused = house.users.grant(&ana, &tom.user, deletes()).await;
    assert_eq!(kind_of(refused), "NotPermitted");
    // Neither to themselves, nor to somebody new.
    for caller in [&ana, &tom] {
        let refused = house.users.grant(caller, &caller.user, deletes()).await;
        assert_eq!(kind_of(refused), "NotPermitted");
    }
    let mut eve = new(Kind::TUser, "eve");
    eve.grants = Some([deletes()].into());
    assert_eq!(
        kind_of(house.users.create_user(&ana, eve).await),
        "NotPermitted"
    );
    let mut eve = new(Kind::TUser, "eve");
    eve.grants = Some([operation("flyAway")].into());
    assert_eq!(
        kind_of(house.users.create_user(&ana, eve).await),
        "NotFound"
    );
    assert_eq!(house.trail.acts().len(), before);
    // What is given where nobody says what does not have it either.
    let eve = house
        .users
        .create_user(&ana, new(Kind::TUser, "eve"))
        .await
        .unwrap();
    assert!(!eve.grants.contains(&deletes()));
    assert!(eve.grants.contains(&operation("createData")));
}

#[tokio::test]
async fn a_right_that_was_taken_is_no_right_any_more() {
    let house = House::open().await;
    let [root, ana, tom] = three(&house).await;
    house
        .users
        .revoke(&root, &ana.user, operation("updateTUser"))
        .await
        .unwrap();
    let refused = house
        .users
        .grant(&ana, &tom.user, operation("readData"))
        .await;
    assert_eq!(kind_of(refused), "NotPermitted");
    house
        .users
        .revoke(&root, &ana.user, operation("createTUser"))
        .await
        .unwrap();
    let refused = house.users.create_user(&ana, new(Kind::TUser, "eve")).await;
    assert_eq!(kind_of(refused), "NotPermitted");
}

#[tokio::test]
async fn the_root_alone_changes_the_dictionary_and_each_change_is_an_event() {
    let house = House::open().await;
    let [root, ana, tom] = three(&house).await;
    let load = || entry("loadTruck", &[Kind::TUser]);
    for caller in [&ana, &tom] {
        let refused = house.users.put_permission(caller, load()).await;
        assert_eq!(kind_of(refused), "NotPermitted");
        let refused = house
            .users
            .delete_permission(caller, &operation("readData"))
            .await;
        assert_eq!(kind_of(refused), "NotPermitted");
    }
    house.users.put_permission(&root, load()).await.unwrap();
    assert!(
        house
            .users
            .dictionary()
            .contains_key(&operation("loadTruck"))
    );
    // The root has it by being the root, and gives it on.
    assert!(!house.users.has_access(&tom, "loadTruck").await.unwrap());
    let given = house
        .users
        .grant(&ana, &tom.user, operation("loadTruck"))
        .await;
    assert_eq!(kind_of(given), "NotPermitted");
    house
        .users
        .grant(&root, &tom.user, operation("loadTruck"))
        .await
        .unwrap();
    assert!(house.users.has_access(&tom, "loadTruck").await.unwrap());
    house
        .users
        .delete_permission(&root, &operation("loadTruck"))
        .await
        .unwrap();
    assert!(!house.users.has_access(&tom, "loadTruck").await.unwrap());
    let gone = house
        .users
        .delete_permission(&root, &operation("loadTruck"))
        .await;
    assert_eq!(kind_of(gone), "NotFound");
    house.users.put_permission(&root, load()).await.unwrap();
    let acts = house.trail.acts();
    let of_entry = acts.iter().filter(|act| {
        act.record
            .as_ref()
            .is_some_and(|id| id.as_str() == "permission-loadTruck")
    });
    let how: Vec<_> = of_entry.map(|act| act.how.word()).collect();
    // None of them ends the record: nothing could follow that.
    assert_eq!(how, ["create", "update", "update"]);
}

#[tokio::test]
async fn the_root_cannot_lock_itself_out() {
    let house = House::open().await;
    let root = house.root().await;
    let refused = house
        .users
        .delete_permission(&root, &operation("loginUser"))
        .await;
    assert_eq!(kind_of(refused), "LockedOut");
    let refused = house
        .users
        .put_permission(&root, entry("loginUser", &[Kind::TUser]))
        .await;
    assert_eq!(kind_of(refused), "LockedOut");
}

#[tokio::test]
async fn what_was_deleted_from_the_dictionary_does_not_come_back_with_a_restart() {
    let house = House::open().await;
    let root = house.root().await;
    house
        .users
        .delete_permission(&root, &operation("deleteData"))
        .await
        .unwrap();
    let again = house.replica().await;
    assert!(!again.dictionary().contains_key(&operation("deleteData")));
    assert_eq!(again.dictionary().len(), 15);
}

#[tokio::test]
async fn another_replica_learns_of_a_revoked_grant_in_a_second() {
    let house = House::open().await;
    let [_, ana, tom] = three(&house).await;
    let other = house.replica().await;
    assert!(other.has_access(&tom, "createData").await.unwrap());
    house
        .users
        .revoke(&ana, &tom.user, operation("createData"))
        .await
        .unwrap();
    assert!(other.has_access(&tom, "createData").await.unwrap());
    house.clock.forward(std::time::Duration::from_millis(1_001));
    assert!(!other.has_access(&tom, "createData").await.unwrap());
}

#[tokio::test]
async fn who_was_not_granted_to_log_in_does_not() {
    let house = House::open().await;
    let [_, ana, tom] = three(&house).await;
    house
        .users
        .revoke(&ana, &tom.user, operation("loginUser"))
        .await
        .unwrap();
    let login = super::super::testing::login("tom");
    let refused = house
        .users
        .login(login, &super::super::testing::place())
        .await;
    assert_eq!(kind_of(refused), "NotPermitted");
}
