//! Users and roles.

use std::collections::BTreeSet;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::builder::Client;
use crate::error::ClientError;
use crate::model::{LedgerUser, Role};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Users {
    ledger_users: Vec<LedgerUser>,
    next_link: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssignedRoles<'a> {
    assigned_roles: &'a BTreeSet<String>,
}

#[derive(Serialize)]
struct Roles<'a> {
    roles: &'a [Role],
}

impl Client {
    /// All users.
    ///
    /// # Errors
    /// The caller may not see users.
    pub async fn users(&self) -> Result<Vec<LedgerUser>, ClientError> {
        let mut request = self.app(Method::GET, &["ledgerUsers"]);
        let mut all = Vec::new();
        loop {
            let page: Users = self.json(request).await?;
            all.extend(page.ledger_users);
            match page.next_link.filter(|link| !link.is_empty()) {
                Some(link) => request = self.follow(&link)?,
                None => return Ok(all),
            }
        }
    }

    /// One user.
    ///
    /// # Errors
    /// There is no such user, or the caller may not see others.
    pub async fn user(&self, id: &str) -> Result<LedgerUser, ClientError> {
        self.json(self.app(Method::GET, &["ledgerUsers", id])).await
    }

    /// Gives roles to a user beside those the user has; adds the user if new. To take roles away,
    /// remove the user and assign anew.
    ///
    /// # Errors
    /// A role does not exist, or the caller may not change users.
    pub async fn assign_roles(
        &self,
        id: &str,
        roles: &BTreeSet<String>,
    ) -> Result<LedgerUser, ClientError> {
        let body = AssignedRoles {
            assigned_roles: roles,
        };
        self.json(self.app(Method::PATCH, &["ledgerUsers", id]).json(&body))
            .await
    }

    /// Removes a user. Removing one who is not there is no error.
    ///
    /// # Errors
    /// It is the only administrator, or the caller may not change users.
    pub async fn remove_user(&self, id: &str) -> Result<(), ClientError> {
        self.send(self.app(Method::DELETE, &["ledgerUsers", id]))
            .await
            .map(drop)
    }

    /// A role that an administrator defined.
    ///
    /// # Errors
    /// There is no such role, or the caller may not see roles.
    pub async fn role(&self, name: &str) -> Result<Role, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(alias = "roles")]
            role: Vec<Role>,
        }
        let request = self
            .app(Method::GET, &["roles"])
            .query(&[("roleName", name)]);
        let answer: Answer = self.json(request).await?;
        let found = answer.role.into_iter().find(|role| role.role_name == name);
        found.ok_or_else(|| crate::http::unexpected(self.url(), "it is about another role"))
    }

    /// Defines roles, in place of what they were.
    ///
    /// # Errors
    /// A name or an action cannot be, or the caller may not change roles.
    pub async fn define_roles(&self, roles: &[Role]) -> Result<(), ClientError> {
        let request = self.app(Method::PUT, &["roles"]).json(&Roles { roles });
        self.send(request).await.map(drop)
    }

    /// Adds actions to roles that exist.
    ///
    /// # Errors
    /// A role does not exist, or the caller may not change roles.
    pub async fn add_role_actions(&self, roles: &[Role]) -> Result<(), ClientError> {
        let request = self.app(Method::PATCH, &["roles"]).json(&Roles { roles });
        self.send(request).await.map(drop)
    }

    /// Removes a role.
    ///
    /// # Errors
    /// Somebody has it, or the caller may not change roles.
    pub async fn remove_role(&self, name: &str) -> Result<(), ClientError> {
        let request = self
            .app(Method::DELETE, &["roles"])
            .query(&[("roleName", name)]);
        self.send(request).await.map(drop)
    }
}
