//! The command line of the shop: parses the arguments and runs the file of that command.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use shop::{
    Home, audit, broker, consumers, demo, down, faults, keys, load, order, parked, probe,
    provision, replay, seed, status, supervise, tail, token, up,
};

/// Starts the whole shop on this machine, places orders, follows and checks them.
#[derive(Parser)]
#[command(name = "shop", version, max_term_width = 100)]
struct Line {
    /// The folder of the stack: its data, logs and state.
    #[arg(long, global = true, value_name = "DIR", default_value = ".shop")]
    home: PathBuf,
    /// The token that calls the shop's API; unless given, one of the stack's own issuer is made.
    #[arg(long, global = true, env = "SHOP_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start PostgreSQL, Kafka and the shop: whatever does not run yet.
    Up(up::Args),
    /// Stop all of it, and keep the data.
    Down(down::Args),
    /// Say what runs, where, and how it is.
    Status(status::Args),
    /// Fill the catalogue, the shelves and the customers' accounts.
    Seed(seed::Args),
    /// Place orders at the gateway, and follow each to its end over Kafka.
    Load(load::Args),
    /// Show the events of the topics, decoded, as they happen.
    Tail(tail::Args),
    /// Check every invariant, over all databases and topics.
    Audit(audit::Args),
    /// Tell one order's whole story.
    Order(order::Args),
    /// List, show, release, discard or replace parked messages.
    Parked(parked::Args),
    /// Bring events back from a service's outbox: each is published once more, and takes effect
    /// once.
    Replay(replay::Args),
    /// Show what each service reads, pause it, or resume what stopped.
    Consumers(consumers::Args),
    /// Print a token of the stack's own issuer.
    Token(token::Args),
    /// Place one order of each kind, and show how they go.
    Demo(demo::Args),
    #[command(hide = true)]
    Supervise(supervise::Args),
    #[command(hide = true)]
    Broker(broker::Args),
    #[command(hide = true)]
    Faults(faults::Args),
    #[command(hide = true)]
    Keys(keys::Args),
    #[command(hide = true)]
    Provision(provision::Args),
    #[command(hide = true)]
    Probe(probe::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let line = Line::parse();
    let ended = match Home::at(&line.home) {
        Ok(home) => run(line.command, &home.with_token(line.token)).await,
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        // When standard error is closed, nobody can be told.
        writeln!(std::io::stderr(), "shop: {error:#}").ok();
        ExitCode::FAILURE
    })
}

async fn run(command: Command, home: &Home) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(args, home).await,
        Command::Down(args) => down::run(args, home).await,
        Command::Status(args) => status::run(args, home).await,
        Command::Seed(args) => seed::run(args, home).await,
        Command::Load(args) => load::run(args, home).await,
        Command::Tail(args) => tail::run(args, home).await,
        Command::Audit(args) => audit::run(args, home).await,
        Command::Order(args) => order::run(args, home).await,
        Command::Parked(args) => parked::run(args, home).await,
        Command::Replay(args) => replay::run(args, home).await,
        Command::Consumers(args) => consumers::run(args, home).await,
        Command::Token(args) => token::run(&args, home),
        Command::Demo(args) => demo::run(args, home).await,
        Command::Supervise(args) => supervise::run(args, home).await,
        Command::Broker(args) => broker::run(args).await,
        Command::Faults(args) => faults::run(args).await,
        Command::Keys(args) => keys::run(&args),
        Command::Provision(args) => provision::run(args).await,
        Command::Probe(args) => probe::run(args).await,
    }
}
