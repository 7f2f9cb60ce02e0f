//! The sink over TCP, as a mail server sees it, and its file.

#![expect(clippy::unwrap_used, reason = "tests: a panic is the report")]

use std::{path::PathBuf, sync::Arc};

use smtp_sink::{MailHost, MessageLog, MessageRecord, receive};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

fn a_file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sink-{name}-{}.jsonl", std::process::id()))
}

/// A client that says one line at a time.
struct Client {
    stream: BufReader<TcpStream>,
    log: Arc<MessageLog>,
    file: PathBuf,
    _running: JoinSet<anyhow::Result<()>>,
}

async fn a_client(name: &str) -> Client {
    let file = a_file(name);
    let log = Arc::new(MessageLog::open(&file).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut running = JoinSet::new();
    let host = MailHost { log: Arc::clone(&log), tls: None, login: None };
    running.spawn(receive(listener, host, CancellationToken::new()));
    let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut client = Client { stream, log, file, _running: running };
    assert!(client.answer().await.starts_with("220 "));
    client
}

impl Client {
    /// The answer's last line; empty at the end of the connection.
    async fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The code that answers a line.
    async fn say(&mut self, line: &str) -> String {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.answer().await.chars().take(3).collect()
    }

    async fn send(&mut self, to: &str, mail: &str) -> String {
        assert_eq!(self.say("MAIL FROM:<shop@shop.example> BODY=8BITMIME").await, "250");
        let code = self.say(&format!("RCPT TO:<{to}>")).await;
        if code != "250" {
            return code;
        }
        assert_eq!(self.say("DATA").await, "354");
        self.say(&format!("{mail}\r\n.")).await
    }
}

const MAIL: &str = "From: Shop <shop@shop.example>\r\nTo: jane@shop.example\r\n\
    Message-ID: <42@shop.example>\r\nSubject: =?utf-8?q?H=C3=A9llo?=\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nOne\r\n..two\r\n";

#[tokio::test]
async fn a_mail_is_taken_whole_and_is_in_the_file_of_the_next_process() {
    let mut client = a_client("mail").await;
    assert_eq!(client.say("EHLO test").await, "250");

    assert_eq!(client.send("jane@shop.example", MAIL).await, "250");

    let taken = client.log.newest(10, |_| true);
    let [MessageRecord { id, from, to, subject, text, html, channel, .. }] = &taken[..] else {
        panic!("one mail: {taken:?}")
    };
    assert_eq!((id.as_str(), channel.as_str(), to.as_str()), ("42", "email", "jane@shop.example"));
    assert_eq!((subject.as_str(), text.trim_end()), ("Héllo", "One\n.two"));
    assert_eq!((from.as_deref(), html), (Some("shop@shop.example"), &None));
    let again = MessageLog::open(&client.file).unwrap();
    assert_eq!(again.newest(10, |_| true), taken);
    std::fs::remove_file(&client.file).unwrap();
}

#[tokio::test]
async fn a_test_address_is_refused_in_its_manner() {
    let mut client = a_client("manners").await;

    assert_eq!(client.send("refused@sink.example", MAIL).await, "550");
    assert_eq!(client.send("later@sink.example", MAIL).await, "450");
    assert_eq!(client.send("once@sink.example", MAIL).await, "451");
    assert_eq!(client.send("once@sink.example", MAIL).await, "250");
    assert_eq!(client.send("closes@sink.example", MAIL).await, "");

    assert_eq!(client.log.newest(10, |_| true).len(), 1);
    std::fs::remove_file(&client.file).unwrap();
}

#[tokio::test]
async fn commands_out_of_their_order_are_told_so() {
    let mut client = a_client("order").await;

    for (line, code) in [
        ("RCPT TO:<a@b.example>", "503"),
        ("MAIL a@b.example", "501"),
        ("MAIL FROM:<a@b.example>", "250"),
        ("DATA", "503"),
        ("RCPT TO:nobody", "501"),
        ("RSET", "250"),
        ("RCPT TO:<a@b.example>", "503"),
        ("FOO", "500"),
        ("NOOP", "250"),
        ("QUIT", "221"),
    ] {
        assert_eq!(client.say(line).await, code, "{line}");
    }
    assert_eq!(client.answer().await, "");
    std::fs::remove_file(&client.file).unwrap();
}

#[test]
fn a_torn_line_does_not_swallow_the_next_one() {
    let file = a_file("torn");
    std::fs::write(&file, r#"{"id":"1","chan"#).unwrap();
    let message = MessageRecord {
        id: "2".to_owned(),
        channel: "sms".to_owned(),
        at: String::new(),
        from: None,
        to: "+4930123".to_owned(),
        subject: String::new(),
        text: "Hello".to_owned(),
        html: None,
    };

    MessageLog::open(&file).unwrap().take(message.clone()).unwrap();

    assert_eq!(MessageLog::open(&file).unwrap().newest(10, |_| true), [message]);
    std::fs::remove_file(&file).unwrap();
}
