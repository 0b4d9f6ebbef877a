//! Databases for tests: a file in a folder, or one of its own on the server that `COUNTERFOIL_TEST_POSTGRES`
//! names.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection};

/// The address of a folder's database, the same each time.
pub(crate) async fn address(folder: &Path) -> String {
    let Ok(server) = std::env::var("COUNTERFOIL_TEST_POSTGRES") else {
        return format!("sqlite:{}", folder.join("audit.db").display());
    };
    let name = folder.file_name().unwrap().as_encoded_bytes();
    let name = format!("test_{}", hex::encode(name));
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&server).await.unwrap();
    let known = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(name.clone());
    if known
        .fetch_optional(&mut connection)
        .await
        .unwrap()
        .is_none()
    {
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
    }
    let (before, _) = server.rsplit_once('/').unwrap();
    format!("{before}/{name}")
}
