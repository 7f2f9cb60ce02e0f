//! A proxy before PostgreSQL that can lose the answer to a COMMIT, or vanish without a word.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards to a server; while armed, a COMMIT reaches the server, and its reply does not reach the
/// client.
pub(crate) struct Proxy {
    pub(crate) url: String,
    armed: Arc<AtomicU32>,
    lost: Arc<AtomicU32>,
    vanish: watch::Sender<()>,
}

impl Proxy {
    /// A proxy in front of the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (head, tail) = url.rsplit_once('@').unwrap();
        let (server, database) = tail.split_once('/').unwrap();
        let (armed, lost) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (vanish, vanishes) = watch::channel(());
        let faults = Faults { armed: Arc::clone(&armed), lost: Arc::clone(&lost), vanishes };
        #[expect(clippy::disallowed_methods, reason = "the proxy ends with the test's runtime")]
        tokio::spawn(accept(listener, server.to_owned(), faults));
        let url = format!("{head}@127.0.0.1:{port}/{database}");
        Self { url, armed, lost, vanish }
    }

    /// On connections that are open now nothing arrives any more, and neither side is told, as if
    /// the host behind an address had been replaced. New connections are forwarded.
    pub(crate) fn vanish(&self) {
        self.vanish.send_replace(());
    }

    /// Loses the replies to the next `count` commits.
    pub(crate) fn lose_commits(&self, count: u32) {
        self.armed.store(count, Ordering::SeqCst);
    }

    /// How many replies were lost.
    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::SeqCst)
    }

    /// How many replies are still to be lost.
    pub(crate) fn still_armed(&self) -> u32 {
        self.armed.load(Ordering::SeqCst)
    }
}

/// The faults, as each connection shares them.
#[derive(Clone)]
struct Faults {
    /// How many commits' replies are still to be lost (`armed`), and were lost (`lost`).
    armed: Arc<AtomicU32>,
    lost: Arc<AtomicU32>,
    vanishes: watch::Receiver<()>,
}

async fn accept(listener: TcpListener, server: String, faults: Faults) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, mut faults) = (server.clone(), faults.clone());
        faults.vanishes.mark_unchanged();
        #[expect(clippy::disallowed_methods, reason = "as above")]
        tokio::spawn(async move {
            let Ok(upstream) = TcpStream::connect(server).await else { return };
            forward(client, upstream, faults).await;
        });
    }
}

async fn forward(client: TcpStream, server: TcpStream, faults: Faults) {
    let Faults { armed, lost, mut vanishes } = faults;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(drop) };
    let up = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut bytes).await?;
            if read == 0 {
                return Ok::<(), std::io::Error>(());
            }
            let commits = bytes[..read].windows(6).any(|word| word == b"COMMIT");
            to_server.write_all(&bytes[..read]).await?;
            let is_lost = commits
                && armed
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok();
            if is_lost {
                lost.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
        }
    };
    // Whichever direction ends first ends both: after a lost COMMIT the client is cut off before
    // the reply reaches it.
    tokio::select! {
        ended = up => drop(ended),
        ended = down => drop(ended),
        // Both sockets stay open, and nothing is forwarded.
        Ok(()) = vanishes.changed() => std::future::pending().await,
    }
}
