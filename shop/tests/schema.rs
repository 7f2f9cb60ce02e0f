//! A home with data of this build is gone on with; data of another build is refused.

use std::path::Path;

use backends::testing::private_postgres;
use shop::{home::DATABASES, schema};
use sqlx::{Connection as _, PgConnection, migrate::Migrator};

#[tokio::test]
async fn a_schema_of_this_build_is_gone_on_with_and_one_of_another_is_named() {
    let server = private_postgres().await;
    let refused = async || {
        let checked = schema::check("/a/home", |database| server.url(database)).await;
        checked.err().map(|error| format!("{error:#}"))
    };
    for (database, _) in DATABASES {
        server.create_database(database).await.unwrap();
    }
    assert_eq!(refused().await, None, "where nothing was migrated, anybody may begin");

    let services = ["order-svc", "payment-svc", "inventory-svc", "notify-svc"];
    for (service, (database, _)) in services.into_iter().zip(DATABASES) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(service);
        let migrator = Migrator::new(path.join("migrations")).await.unwrap();
        let mut db = PgConnection::connect(&server.url(database)).await.unwrap();
        migrator.run(&mut db).await.unwrap();
    }
    assert_eq!(refused().await, None);

    for change in [
        "update _sqlx_migrations set checksum = 'of an earlier text' where version = 101",
        "update _sqlx_migrations set version = 109 where version = 101",
    ] {
        let mut db = PgConnection::connect(&server.url("notify")).await.unwrap();
        sqlx::raw_sql(change).execute(&mut db).await.unwrap();
        let told = refused().await.unwrap();
        assert!(told.contains("the data in /a/home has the schema of another build"), "{told}");
        assert!(told.contains("(database notify, migration 10"), "{told}");
    }
}
