//! `shop provision` (hidden): makes the roles, databases and topics of a stack in containers, and
//! looks whether the schemas are this build's. What is there stays as it is.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use backends::{
    postgres::{self, OwnedDatabase},
    topics,
};

use crate::{home::DATABASES, keys::Passwords, schema};

/// The arguments of `shop provision`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the stack's secrets.
    pub secrets: PathBuf,
    /// Where PostgreSQL is.
    #[arg(long, value_name = "HOST:PORT")]
    pub postgres: String,
    /// Where Kafka is.
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: String,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let passwords = Passwords::read(&args.secrets)?;
    let url = |database: &str| passwords.url("postgres", &args.postgres, database);
    let owned = DATABASES.map(|(name, role)| {
        let password = passwords.roles.get(role).map_or("", String::as_str);
        OwnedDatabase { name, role, password }
    });
    let databases = async {
        postgres::create_owned(&url("postgres"), &owned)
            .await
            .context("cannot make the databases")?;
        schema::check("the volume of PostgreSQL", url).await
    };
    let topics = topics::of_the_shop()?;
    let topics =
        async { topics::create(&args.kafka, &topics).await.context("cannot make the topics") };
    tokio::try_join!(databases, topics)?;
    Ok(ExitCode::SUCCESS)
}
