//! A proxy before PostgreSQL that can lose the answer to a COMMIT.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Forwards to a server; while armed, a COMMIT reaches the server and its answer nobody.
pub(crate) struct Proxy {
    pub(crate) url: String,
    armed: Arc<AtomicU32>,
}

impl Proxy {
    /// Before the server of `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (head, tail) = url.rsplit_once('@').unwrap();
        let (server, database) = tail.split_once('/').unwrap();
        let armed = Arc::new(AtomicU32::new(0));
        #[expect(clippy::disallowed_methods, reason = "the proxy ends with the test's runtime")]
        tokio::spawn(accept(listener, server.to_owned(), Arc::clone(&armed)));
        Self { url: format!("{head}@127.0.0.1:{port}/{database}"), armed }
    }

    /// Loses the answers to the next `count` commits.
    pub(crate) fn lose_commits(&self, count: u32) {
        self.armed.store(count, Ordering::SeqCst);
    }

    /// How many are still to be lost.
    pub(crate) fn still_armed(&self) -> u32 {
        self.armed.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, server: String, armed: Arc<AtomicU32>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, armed) = (server.clone(), Arc::clone(&armed));
        #[expect(clippy::disallowed_methods, reason = "as above")]
        tokio::spawn(async move {
            let Ok(upstream) = TcpStream::connect(server).await else { return };
            forward(client, upstream, &armed).await;
        });
    }
}

async fn forward(client: TcpStream, server: TcpStream, armed: &AtomicU32) {
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
            let lost = commits
                && armed
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok();
            if lost {
                return Ok(());
            }
        }
    };
    // Whichever side ends first ends both: after a lost COMMIT the client is cut before it hears of
    // it.
    tokio::select! { ended = up => drop(ended), ended = down => drop(ended) }
}
