//! One proxy: what it accepts it connects to its upstream, and it spoils the answers.

use std::{io, net::Ipv4Addr, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// The bytes read at once, and how many such pieces may be on their way.
const PIECE: usize = 16 * 1024;
const ON_THE_WAY: usize = 64;

/// What the connections of a proxy are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Sound,
    Bad(Fault),
    /// There are none, and new ones are refused.
    Cut,
}

/// What happens to answers, as Toxiproxy writes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", content = "attributes", rename_all = "lowercase")]
pub(super) enum Fault {
    /// Answers come later, by so many milliseconds, give or take the jitter.
    Latency {
        latency: u64,
        #[serde(default)]
        jitter: u64,
    },
    /// `rate` KiB of answers come a second.
    Bandwidth { rate: u64 },
    /// Answers are lost, and the connection stays: at the fault's end it is closed, as a gap in a
    /// stream of bytes would be worse.
    Timeout {},
}

/// Carries connections from one port of this machine to another, for as long as `mode` has a sender.
pub(super) async fn run(
    port: u16,
    upstream: u16,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    while mode.wait_for(|mode| *mode != Mode::Cut).await.is_ok() {
        // Dropped, it ends all connections, after the listener that would take more.
        let mut connections = JoinSet::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let shared = mode.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (client, _) = accepted?;
                    connections.spawn(carry(client, upstream, shared.clone()));
                }
                // One that ends with an error is made anew by its client.
                Some(_) = connections.join_next() => {}
                _ = mode.wait_for(|mode| *mode == Mode::Cut) => break,
            }
        }
    }
    Ok(())
}

async fn carry(client: TcpStream, upstream: u16, mode: watch::Receiver<Mode>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((client_sends, client_hears), (server_sends, server_hears)) =
        (client.into_split(), server.into_split());
    tokio::try_join!(pass(client_sends, server_hears), spoil(server_sends, client_hears, mode))?;
    Ok(())
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// Passes answers on, each as late as they are to be by when it came.
async fn spoil(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let (pieces, mut came) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let write = async {
        while let Some((at, piece)) = came.recv().await {
            let mode_now = *mode.borrow_and_update();
            match mode_now {
                Mode::Sound | Mode::Cut => {}
                Mode::Bad(Fault::Latency { latency, jitter }) => {
                    let late =
                        rand::random_range(latency.saturating_sub(jitter)..=latency + jitter);
                    tokio::time::sleep_until(at + Duration::from_millis(late)).await;
                }
                Mode::Bad(Fault::Bandwidth { rate }) => {
                    let piece = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                    let took = piece.saturating_mul(1000) / (rate.max(1) * 1024);
                    tokio::time::sleep(Duration::from_millis(took)).await;
                }
                Mode::Bad(Fault::Timeout {}) => {
                    mode.changed().await.ok();
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read(from, pieces), write)?;
    Ok(())
}

async fn read(mut from: OwnedReadHalf, pieces: mpsc::Sender<(Instant, Vec<u8>)>) -> io::Result<()> {
    loop {
        let mut piece = vec![0; PIECE];
        let length = from.read(&mut piece).await?;
        piece.truncate(length);
        if length == 0 || pieces.send((Instant::now(), piece)).await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo behind a proxy.
    struct Stage {
        mode: watch::Sender<Mode>,
        port: u16,
        _tasks: JoinSet<io::Result<()>>,
    }

    impl Stage {
        async fn new() -> Self {
            let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let upstream = echo.local_addr().unwrap().port();
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    let (reads, writes) = echo.accept().await?.0.into_split();
                    connections.spawn(pass(reads, writes));
                }
            });
            let [port] = backends::machine::free_ports().unwrap();
            let (mode, told) = watch::channel(Mode::Sound);
            tasks.spawn(run(port, upstream, told));
            Self { mode, port, _tasks: tasks }
        }

        async fn connect(&self) -> TcpStream {
            backends::testing::eventually("a connection", Duration::from_secs(10), async || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await
            })
            .await
        }
    }

    /// How long an answer takes; `None` if the connection ends instead.
    async fn asks(connection: &mut TcpStream) -> Option<Duration> {
        let start = Instant::now();
        connection.write_all(b"ping").await.ok()?;
        let mut answer = [0; 4];
        connection.read_exact(&mut answer).await.ok()?;
        assert_eq!(&answer, b"ping");
        Some(start.elapsed())
    }

    fn bad(fault: &str) -> Mode {
        Mode::Bad(serde_json::from_str(fault).unwrap())
    }

    #[tokio::test]
    async fn answers_are_late_for_as_long_as_the_fault_lasts() {
        let stage = Stage::new().await;
        let mut connection = stage.connect().await;
        asks(&mut connection).await.unwrap();

        for (fault, least) in [
            (r#"{"type": "latency", "attributes": {"latency": 300, "jitter": 100}}"#, 200),
            // Four bytes at 1 KiB a second.
            (r#"{"type": "bandwidth", "attributes": {"rate": 1}}"#, 3),
        ] {
            stage.mode.send_replace(bad(fault));
            let late = asks(&mut connection).await.unwrap();
            assert!(late >= Duration::from_millis(least), "{fault}: {late:?}");
        }
        stage.mode.send_replace(Mode::Sound);
        asks(&mut connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_connection_ends_when_the_fault_does() {
        let stage = Stage::new().await;
        let mut connection = stage.connect().await;
        stage.mode.send_replace(bad(r#"{"type": "timeout", "attributes": {"timeout": 0}}"#));

        let answer = tokio::time::timeout(Duration::from_millis(100), asks(&mut connection));
        assert!(answer.await.is_err());
        stage.mode.send_replace(Mode::Sound);

        assert_eq!(asks(&mut connection).await, None);
        asks(&mut stage.connect().await).await.unwrap();
    }

    #[tokio::test]
    async fn a_cut_proxy_ends_what_there_is_and_refuses_more() {
        let stage = Stage::new().await;
        let mut connection = stage.connect().await;
        asks(&mut connection).await.unwrap();

        stage.mode.send_replace(Mode::Cut);

        assert_eq!(asks(&mut connection).await, None);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, stage.port)).await.is_err());
        stage.mode.send_replace(Mode::Sound);
        asks(&mut stage.connect().await).await.unwrap();
    }
}
