//! The five companies together: their services, started in one process, each with a folder of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sqlx::{Connection, SqliteConnection};

use crate::consumer::{self, Anchor, Partner};
use crate::directory::{Role, companies};
use crate::gateway::{Address, Gateway};
use crate::service::{self, Running};
use crate::{Accounts, Company, Consumers, Error, company};

/// The companies, whose services run until this is dropped.
#[derive(Debug)]
pub struct Companies {
    folder: PathBuf,
    running: Vec<Running>,
    /// All but the consumers' association.
    companies: Vec<Company>,
    consumers: Consumers,
}

/// What was altered behind everybody's back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// In whose database.
    pub role: Role,
    /// In which file.
    pub file: PathBuf,
    /// In which table.
    pub table: &'static str,
    /// In which column.
    pub column: &'static str,
    /// In which row.
    pub key: String,
    /// What stood there.
    pub was: String,
    /// What stands there now.
    pub is: String,
}

impl Companies {
    /// Starts the five. `anchor` is what the consumers' page checks receipts with; `port` is the farmer's, the
    /// others follow; 0 takes free ones.
    ///
    /// # Errors
    /// A database cannot be opened, or a port is taken.
    pub async fn start(
        folder: &Path,
        gateway: &Address,
        accounts: &Accounts,
        anchor: Anchor,
        port: u16,
    ) -> Result<Self, Error> {
        let listen = |place: u16| {
            let port = if port == 0 {
                0
            } else {
                port.saturating_add(place)
            };
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
        };
        let (mut running, mut all, mut partners) = (Vec::new(), Vec::new(), Vec::new());
        for ((role, name), place) in companies().zip(0..) {
            if role == Role::Consumer {
                continue;
            }
            let own = Gateway::new(gateway, accounts.of(role).clone())?;
            let company = Company::open(role, &folder.join(role.word()), own).await?;
            let service = service::serve(listen(place), service::routes(company.clone())).await?;
            partners.push(Partner {
                role,
                name,
                id: accounts.of(role).id.clone(),
                url: service.url.clone(),
            });
            all.push(company);
            running.push(service);
        }
        let own = Gateway::new(gateway, accounts.consumer.clone())?;
        let folder = folder.to_owned();
        let own_folder = folder.join(Role::Consumer.word());
        let consumers = Consumers::open(&own_folder, own, partners, anchor).await?;
        running.push(service::serve(listen(4), consumer::routes(consumers.clone())).await?);
        Ok(Self {
            folder,
            running,
            companies: all,
            consumers,
        })
    }

    /// Where a company's service is.
    pub fn url(&self, role: Role) -> &str {
        let place = Role::ALL
            .iter()
            .position(|other| *other == role)
            .unwrap_or_default();
        &self.running[place].url
    }

    /// Those who record: all but the consumers' association.
    pub fn recording(&self) -> &[Company] {
        &self.companies
    }

    /// One of them.
    pub fn company(&self, role: Role) -> Option<&Company> {
        self.companies.iter().find(|company| company.role() == role)
    }

    /// The consumers' association.
    pub const fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// Makes the fruit of a lot nine days younger, in the packer's own database: by its file, as somebody does who
    /// may write there. No service hears of it.
    ///
    /// # Errors
    /// The packer has no such lot, or the file cannot be written.
    pub async fn alter(&self, lot: &str) -> Result<Altered, Error> {
        let role = Role::Packer;
        let file = company::file(&self.folder.join(role.word()), role);
        let mut database = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await?;
        let read = "SELECT picked FROM packings WHERE lot = $1";
        let was: (String,) = sqlx::query_as(read)
            .bind(lot.to_owned())
            .fetch_one(&mut database)
            .await?;
        let change = "UPDATE packings SET picked = date(picked, '+9 days') WHERE lot = $1";
        sqlx::query(change)
            .bind(lot.to_owned())
            .execute(&mut database)
            .await?;
        let is: (String,) = sqlx::query_as(read)
            .bind(lot.to_owned())
            .fetch_one(&mut database)
            .await?;
        database.close().await?;
        Ok(Altered {
            role,
            file,
            table: "packings",
            column: "picked",
            key: lot.to_owned(),
            was: was.0,
            is: is.0,
        })
    }
}
