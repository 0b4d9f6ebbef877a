//! Who has which account and which contract on the chain: a table of the database, and what is remembered
//! of it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use alloy_primitives::Address;
use lru::LruCache;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::database::{Database, is_taken};
use crate::limits::ACCOUNTS_KNOWN_MAX;
use crate::model::Text;
use crate::trail::act::Kind;
use crate::trail::ours::lock;

/// An account of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) account: Address,
    /// The private key; `None` where the participant keeps it itself.
    pub(super) sealed: Option<String>,
    /// `None` until the chain has it.
    pub(super) contract: Option<Contract>,
}

/// A participant's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contract {
    pub(super) address: Address,
    /// The place of its log among the contracts that the root made.
    pub(super) place: u64,
}

/// The accounts of one chain.
#[derive(Debug)]
pub(super) struct Accounts {
    database: Database,
    chain: i64,
    /// Members by their ids, and their contracts by the addresses of these. What is known of a member never changes.
    known: Mutex<LruCache<Text, Arc<Account>>>,
    contracts: Mutex<LruCache<String, Contract>>,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

const COLUMNS: &str = "account, sealed, contract, place";

impl Accounts {
    pub(super) fn new(database: Database, chain: u64) -> Self {
        let most = NonZeroUsize::new(ACCOUNTS_KNOWN_MAX).expect("it is not zero");
        Self {
            database,
            // Chain ids are less than half of what a number holds (EIP-2294).
            chain: i64::try_from(chain).unwrap_or(i64::MAX),
            known: Mutex::new(LruCache::new(most)),
            contracts: Mutex::new(LruCache::new(most)),
        }
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    /// The chain's id, as the database has it.
    pub(super) const fn chain(&self) -> i64 {
        self.chain
    }

    /// Whether outboxes in some folder number our transactions.
    pub(super) async fn have_outboxes(&self) -> Result<bool> {
        let select = sqlx::query("SELECT 1 FROM outboxes WHERE chain = $1").bind(self.chain);
        let row = select.fetch_optional(self.database.pool()).await?;
        Ok(row.is_some())
    }

    /// Says that the outboxes of this name number our transactions, unless others do. Says whether they do.
    pub(super) async fn are_numbered_by(&self, outboxes: &str) -> Result<bool> {
        let insert = "INSERT INTO outboxes (chain, folder) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(insert)
            .bind(self.chain)
            .bind(outboxes.to_owned());
        insert.execute(self.database.pool()).await?;
        let select = sqlx::query("SELECT folder FROM outboxes WHERE chain = $1").bind(self.chain);
        let row = select.fetch_one(self.database.pool()).await?;
        Ok(row.try_get::<String, _>(0)? == outboxes)
    }

    /// The account of a participant that has a contract.
    pub(super) async fn member(&self, who: &Text) -> Result<Option<Arc<Account>>> {
        if let Some(account) = lock(&self.known).get(who) {
            return Ok(Some(Arc::clone(account)));
        }
        let found = self
            .one("participant = $2 AND contract IS NOT NULL", who.as_str())
            .await?;
        let found = found.map(Arc::new);
        if let Some(account) = &found {
            lock(&self.known).put(who.clone(), Arc::clone(account));
        }
        Ok(found)
    }

    /// A member's contract by its address.
    pub(super) async fn contract(&self, address: &str) -> Result<Option<Contract>> {
        if let Some(contract) = lock(&self.contracts).get(address) {
            return Ok(Some(*contract));
        }
        let found = self.one("contract = $2", address).await?;
        let found = found.and_then(|account| account.contract);
        if let Some(contract) = found {
            lock(&self.contracts).put(address.to_owned(), contract);
        }
        Ok(found)
    }

    /// The account of the root, once it has a contract.
    pub(super) async fn root(&self) -> Result<Option<Account>> {
        let root = "kind = $2 AND contract IS NOT NULL";
        self.one(root, Kind::Root.word()).await
    }

    /// The account that was made here for somebody who is not a member yet.
    pub(super) async fn candidate(&self, who: &Text) -> Result<Option<Account>> {
        let made = "participant = $2 AND contract IS NULL AND sealed IS NOT NULL";
        self.one(made, who.as_str()).await
    }

    /// Keeps an account. `false`: it is somebody else's. One that its participant keeps, and that never came into the
    /// tree, is whose it is said to be last: whom nobody signed for may be created anew.
    pub(super) async fn keep(
        &self,
        who: &Text,
        kind: Kind,
        account: Address,
        sealed: Option<&str>,
    ) -> Result<bool> {
        let insert = sqlx::query(
            "INSERT INTO accounts (chain, account, participant, kind, sealed) \
             VALUES ($1, $2, $3, $4, $5)",
        );
        let insert = insert.bind(self.chain).bind(written(account));
        let insert = insert.bind(who.as_str().to_owned()).bind(kind.word());
        let inserted = insert.bind(sealed.map(str::to_owned));
        match inserted.execute(self.database.pool()).await {
            Ok(_) => Ok(true),
            Err(error) if is_taken(&error) => {
                let take = sqlx::query(
                    "UPDATE accounts SET participant = $1, kind = $2 WHERE chain = $3 AND account = $4 \
                     AND (participant = $1 OR (contract IS NULL AND sealed IS NULL AND $5 = 1))",
                );
                let take = take.bind(who.as_str().to_owned()).bind(kind.word());
                let take = take.bind(self.chain).bind(written(account));
                let take = take.bind(i64::from(sealed.is_none()));
                let taken = take.execute(self.database.pool()).await?;
                Ok(taken.rows_affected() == 1)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that the chain has an account's contract.
    pub(super) async fn enrolled(&self, account: Address, contract: Contract) -> Result<()> {
        let update = sqlx::query(
            "UPDATE accounts SET contract = $1, place = $2 WHERE chain = $3 AND account = $4",
        );
        let place = i64::try_from(contract.place).unwrap_or(i64::MAX);
        let update = update.bind(written(contract.address)).bind(place);
        let update = update.bind(self.chain).bind(written(account));
        update.execute(self.database.pool()).await?;
        Ok(())
    }

    /// The highest place that is known to be taken.
    pub(super) async fn last_place(&self) -> Result<u64> {
        let select = "SELECT coalesce(max(place), 0) FROM accounts WHERE chain = $1";
        let row = sqlx::query(select).bind(self.chain);
        let place: i64 = row.fetch_one(self.database.pool()).await?.try_get(0)?;
        Ok(place.unsigned_abs())
    }

    async fn one(&self, condition: &str, value: &str) -> Result<Option<Account>> {
        // The condition is one of ours; what comes from outside is bound.
        let statement = format!("SELECT {COLUMNS} FROM accounts WHERE chain = $1 AND {condition}");
        let select = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(self.chain);
        let row = select.bind(value.to_owned());
        let row = row.fetch_optional(self.database.pool()).await?;
        row.as_ref().map(read).transpose()
    }
}

/// An address as it is written everywhere here.
pub(super) fn written(address: Address) -> String {
    format!("0x{}", hex::encode(address))
}

fn read(row: &AnyRow) -> Result<Account> {
    let address = |text: String| {
        text.parse::<Address>()
            .map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let contract: Option<String> = row.try_get(2)?;
    let contract = contract.map(|contract| -> Result<Contract> {
        let place: i64 = row.try_get(3)?;
        Ok(Contract {
            address: address(contract)?,
            place: place.unsigned_abs(),
        })
    });
    Ok(Account {
        account: address(row.try_get(0)?)?,
        sealed: row.try_get(1)?,
        contract: contract.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_account_is_one_participants_and_a_member_has_a_contract() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("audit.db");
        let database = Database::open(&format!("sqlite:{}", file.display()))
            .await
            .unwrap();
        let accounts = Accounts::new(database.clone(), 7);
        let (ana, ben) = (Text::parse("ana").unwrap(), Text::parse("ben").unwrap());
        let account = Address::repeat_byte(1);
        assert!(
            accounts
                .keep(&ana, Kind::Root, account, Some("00"))
                .await
                .unwrap()
        );
        assert!(
            accounts
                .keep(&ana, Kind::Root, account, Some("00"))
                .await
                .unwrap()
        );
        assert!(
            !accounts
                .keep(&ben, Kind::TUser, account, None)
                .await
                .unwrap()
        );
        assert_eq!(accounts.member(&ana).await.unwrap(), None);
        assert_eq!(accounts.root().await.unwrap(), None);
        assert_eq!(
            accounts.candidate(&ana).await.unwrap().unwrap().account,
            account
        );
        let contract = Contract {
            address: Address::repeat_byte(0xc0),
            place: 5,
        };
        accounts.enrolled(account, contract).await.unwrap();
        let member = accounts.member(&ana).await.unwrap().unwrap();
        assert_eq!(member.contract, Some(contract));
        let by_address = accounts.contract(&written(contract.address)).await;
        assert_eq!(by_address.unwrap(), Some(contract));
        assert_eq!(accounts.root().await.unwrap().as_ref(), Some(&*member));
        assert_eq!(accounts.candidate(&ana).await.unwrap(), None);
        assert_eq!(accounts.last_place().await.unwrap(), 5);
        // Another chain has accounts of its own.
        assert_eq!(Accounts::new(database, 8).member(&ana).await.unwrap(), None);
    }
}
