//! TLS at the public listener: what is spoken over it, another certificate while it runs, clients
//! that are slow, and files that do not fit.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{body::Body, response::Response};
use backends::testing::{TestAuthority, TestCertificate, eventually, file};
use chassis::config::{Bad, read};
use gateway::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};

use crate::{
    floods::{END_HEADERS, END_STREAM, HEADERS, frame, get, hello},
    live::{PATIENCE, Process, client, exchange, fetch, rest},
    stub::Stub,
};

const HOST: &str = "127.0.0.1";
const GET: &[u8] = b"GET /v1/products HTTP/1.1\r\nHost: shop\r\n\r\n";

/// A certificate in its two files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(shown: &TestCertificate) -> Self {
        Self { certificate: file(&shown.certificate), key: file(&shown.key) }
    }

    fn replace(&self, shown: &TestCertificate) {
        std::fs::write(&self.certificate, &shown.certificate).unwrap();
        std::fs::write(&self.key, &shown.key).unwrap();
    }

    fn settings(&self) -> [String; 2] {
        [
            format!("--tls-certificate={}", self.certificate.display()),
            format!("--tls-key={}", self.key.display()),
        ]
    }

    /// A gateway that shows this certificate.
    async fn gateway(&self, stub: &Stub, more: &[&str]) -> Process {
        let own = self.settings();
        let settings: Vec<&str> =
            own.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Process::start(&[stub.address], &settings).await
    }
}

/// A connection over which nothing is spoken yet.
async fn connect(
    address: SocketAddr,
    authority: &TestAuthority,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_with(address, authority, (ALL_VERSIONS, &[])).await
}

/// Such a connection with these versions of TLS, and offering these protocols.
async fn connect_with(
    address: SocketAddr,
    authority: &TestAuthority,
    (versions, protocols): (&[&'static SupportedProtocolVersion], &[&str]),
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(HOST).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that a new connection is shown.
async fn shown(address: SocketAddr, authority: &TestAuthority) -> std::io::Result<Vec<u8>> {
    let stream = connect(address, authority).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

/// Asks once over a connection, which stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) {
    ask_by(stream, GET).await;
}

/// Sends a request, and reads until what a stub says has come.
async fn ask_by(stream: &mut TlsStream<TcpStream>, request: &[u8]) {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|part| part == b"here") {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "it was ended: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_both_of_tls() {
    let (authority, stub) = (TestAuthority::new(), Stub::plain().await);
    let gateway = Files::of(&authority.certifies(HOST)).gateway(&stub, &[]).await;
    let http2 = [hello(&[]), frame(HEADERS, END_STREAM | END_HEADERS, 1, &get())].concat();
    for version in [&TLS12, &TLS13] {
        for (offered, request) in [(&["h2", "http/1.1"][..], &http2[..]), (&["http/1.1"], GET)] {
            let mut stream =
                connect_with(gateway.address, &authority, (&[version], offered)).await.unwrap();
            let chosen = stream.get_ref().1.alpn_protocol();
            assert_eq!(chosen, Some(offered[0].as_bytes()));
            ask_by(&mut stream, request).await;
        }
    }

    assert_eq!(stub.seen().len(), 4);
    for seen in stub.seen() {
        assert_eq!(seen.headers["forwarded"], "for=127.0.0.1;proto=https");
    }
    assert!(connect(gateway.address, &TestAuthority::new()).await.is_err());
    // In the clear nothing is answered, but on the private listener, which is not the public's.
    assert!(!exchange(gateway.address, GET).await.contains("HTTP"));
    assert_eq!(fetch(&client(), gateway.admin, "/livez").await.unwrap().0, 200);
    assert!(gateway.log().iter().any(|line| line.contains("url=https://")));
}

#[tokio::test]
async fn another_certificate_is_shown_and_no_connection_is_dropped() {
    let (authority, stub) = (TestAuthority::new(), Stub::plain().await);
    let (first, second) = (authority.certifies(HOST), authority.certifies(HOST));
    let files = Files::of(&first);
    let gateway = files.gateway(&stub, &[]).await;
    let mut open = connect(gateway.address, &authority).await.unwrap();
    ask(&mut open).await;
    let der = |shown: &TestCertificate| {
        CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap().to_vec()
    };
    let comes = async |wanted: Vec<u8>| {
        eventually("the certificate to be shown", PATIENCE, async || {
            let shown = shown(gateway.address, &authority).await.unwrap();
            if shown == wanted { Ok(()) } else { Err("another one is") }
        })
        .await;
    };
    let problem = async |is_told: fn(&str) -> bool| {
        eventually("the state of the files to be told", PATIENCE, async || {
            let (_, told) = fetch(&client(), gateway.admin, "/readyz").await.unwrap();
            if is_told(&told) { Ok(()) } else { Err(told) }
        })
        .await;
    };
    comes(der(&first)).await;

    files.replace(&second);
    comes(der(&second)).await;
    ask(&mut open).await;

    std::fs::write(&files.certificate, "half a file").unwrap();
    problem(|told| told.contains("the former one is still shown") && told.contains("in PEM")).await;
    comes(der(&second)).await;
    std::fs::write(&files.certificate, &first.certificate).unwrap();
    problem(|told| told.contains("do not fit")).await;
    comes(der(&second)).await;
    files.replace(&second);
    problem(|told| !told.contains("still shown")).await;
    ask(&mut open).await;
}

#[tokio::test]
async fn who_is_slow_with_the_handshake_or_after_it_is_let_go() {
    let (authority, stub) = (TestAuthority::new(), Stub::plain().await);
    let settings = ["--header-timeout=300ms", "--idle-timeout=300ms"];
    let gateway = Files::of(&authority.certifies(HOST)).gateway(&stub, &settings).await;

    // Each of these ends only when the gateway ends the connection.
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    rest(&mut silent).await;
    // The head of a record (RFC 8446 §5.1) whose handshake never comes.
    let began = exchange(gateway.address, &[22, 3, 1, 2, 0, 1]).await;
    assert_eq!(began, "");
    let mut idle = connect(gateway.address, &authority).await.unwrap();
    let mut half = connect(gateway.address, &authority).await.unwrap();
    half.write_all(b"GET /v1/products HTTP/1.1\r\nx").await.unwrap();
    for stream in [&mut idle, &mut half] {
        let mut all = Vec::new();
        // Without a farewell of TLS's own it is an error.
        drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap());
        assert!(all.is_empty());
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_takes_nothing_over_tls_is_let_go() {
    let large = |_: &crate::stub::StubRequest| Response::new(Body::from(vec![b'x'; 64 << 20]));
    let (authority, stub) = (TestAuthority::new(), Stub::start(large).await);
    let settings = ["--write-timeout=300ms"];
    let gateway = Files::of(&authority.certifies(HOST)).gateway(&stub, &settings).await;
    let mut stream = connect(gateway.address, &authority).await.unwrap();

    stream.write_all(GET).await.unwrap();

    stream.get_ref().0.readable().await.unwrap();
    // A connection that was closed at the other end answers bytes with a reset. They are a record of
    // TLS: what is none would close it by itself.
    let stream = Mutex::new(stream);
    eventually("the connection to be closed", PATIENCE, async || {
        let mut stream = stream.lock().await;
        let sent = async {
            stream.write_all(b"x").await?;
            stream.flush().await
        };
        if sent.await.is_err() { Ok(()) } else { Err("it is open") }
    })
    .await;
}

/// Whoever begins a handshake and never ends it makes room for others.
#[tokio::test]
async fn handshakes_are_connections_and_bounded_like_them() {
    let (authority, stub) = (TestAuthority::new(), Stub::plain().await);
    let settings = ["--connections-max=50", "--header-timeout=30s"];
    let gateway = Files::of(&authority.certifies(HOST)).gateway(&stub, &settings).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        slow.push(stream);
    }

    let mut newcomer = connect(gateway.address, &authority).await.unwrap();

    ask(&mut newcomer).await;
    // The first of them had to go.
    rest(&mut slow[0]).await;
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_all_other_faults() {
    let authority = TestAuthority::new();
    let (one, other) = (authority.certifies(HOST), authority.certifies(HOST));
    let faults = |settings: &[String]| {
        let needed = ["gateway".to_owned(), "--jwks=off".to_owned()];
        let args = needed.iter().chain(settings).map(Into::into).collect();
        match read::<Config>("gateway", args) {
            Err(Bad::Values(faults)) => faults.join("\n"),
            other => unreachable!("these are no settings: {other:?}"),
        }
    };
    let key = |path: &str| format!("--tls-key={path}");

    let told = faults(&[
        "--tls-certificate=/none".to_owned(),
        key(file(&one.certificate).to_str().unwrap()),
        "--threads=0".to_owned(),
    ]);
    for fault in [
        "SHOP_TLS_CERTIFICATE (--tls-certificate): \"/none\" is not usable: it cannot be read: No",
        "is not usable: it has no private key in PEM",
        "SHOP_THREADS (--threads)",
    ] {
        assert!(told.contains(fault), "{fault} is missing in:\n{told}");
    }
    let files = Files { certificate: file(&one.certificate), key: file(&other.key) };
    assert!(faults(&files.settings()).contains("do not fit"));
    let alone = faults(&files.settings()[..1]);
    assert_eq!(alone, "SHOP_TLS_CERTIFICATE and SHOP_TLS_KEY are set together");
}
