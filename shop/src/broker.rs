//! `shop broker` (hidden): the broker that librdkafka ships, for machines without Java. It keeps
//! everything in memory: when the process ends, topics and offsets are gone. At most 5 MiB and
//! 100,000 messages of a partition are kept, it has no administration, and knows no transactions,
//! none of which the shop needs.

use std::{net::Ipv4Addr, process::ExitCode};

use anyhow::Context as _;
use backends::topics;
use rdkafka::mocking::MockCluster;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};
use tokio_util::task::TaskTracker;

/// The arguments of `shop broker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port of the first address that clients ask.
    #[arg(long)]
    pub port: u16,
}

/// Runs the broker until it is asked to end.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cluster = MockCluster::new(1).context("librdkafka makes no cluster")?;
    for topic in topics::of_the_shop()? {
        cluster
            .create_topic(&topic.name, topic.partitions, 1)
            .with_context(|| format!("no topic {}", topic.name))?;
    }
    // The cluster chooses its port itself. Clients learn it from whoever answers here first.
    let address = cluster.bootstrap_servers();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
    let listener = listener.with_context(|| format!("port {} is not free", args.port))?;
    let (mut terminated, connections) = (signal(SignalKind::terminate())?, TaskTracker::new());
    loop {
        let (mut client, _) = tokio::select! {
            accepted = listener.accept() => accepted.context("no connections")?,
            _ = terminated.recv() => return Ok(ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        };
        let address = address.clone();
        connections.spawn(async move {
            // A connection that breaks is made anew by its client.
            if let Ok(mut broker) = TcpStream::connect(&address).await {
                copy_bidirectional(&mut client, &mut broker).await.ok();
            }
        });
    }
}
