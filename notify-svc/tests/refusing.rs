//! Mail servers that refuse, by a script: what is final for a mail, and what is the server's own.

use notify_svc::{
    carriers::{
        Carrier, CarrierError, OutgoingMessage,
        smtp::{Mailer, SmtpServer},
    },
    templates::Text,
};
use proto::NotificationId;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::sink::a_sink;

/// What the server says to each word of a client; to all else, it closes the connection.
type Script = &'static [(&'static str, &'static str)];

const GREETING: (&str, &str) = ("", "220 mail");
const EHLO: (&str, &str) = ("EHLO", "250 mail");
const MAIL: (&str, &str) = ("MAIL", "250 go on");
const RCPT: (&str, &str) = ("RCPT", "250 go on");
const DATA: (&str, &str) = ("DATA", "354 go on");

/// One connection by the script, in which the greeting answers the word of nobody.
async fn follow(script: Script, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut word, mut is_mail) = (String::new(), false);
    loop {
        let known = script.iter().find(|(known, _)| *known == word);
        let Some((_, answer)) = known else { return Ok(()) };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        is_mail |= answer.starts_with("354");
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 && is_mail && line != ".\r\n" {
            line.clear();
        }
        is_mail = false;
        line.trim_end().split(' ').next().unwrap_or_default().clone_into(&mut word);
        if word.is_empty() {
            return Ok(());
        }
    }
}

/// A server that follows each script for one connection, the last for all others.
async fn a_server(scripts: &'static [Script]) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut running = JoinSet::new();
    running.spawn(async move {
        for number in 0.. {
            let script = scripts[usize::min(number, scripts.len() - 1)];
            let (stream, _) = listener.accept().await.unwrap();
            // A client that hangs up is as good as one that says QUIT.
            let _ended = follow(script, stream).await;
        }
    });
    (port, running)
}

async fn send(mailer: &Mailer) -> Result<Option<String>, CarrierError> {
    let text = Text { subject: "Hello".into(), text: "There".into(), html: None };
    let id = NotificationId::new(mailbox::testing::new_id());
    mailer.carry(OutgoingMessage { id, to: "jane@shop.example", text: &text }).await
}

async fn a_mailer(port: u16) -> Mailer {
    let server = a_sink().await.server();
    Mailer::new(SmtpServer { port, ..server }).unwrap()
}

#[tokio::test]
async fn only_what_a_server_says_about_a_mail_is_final_for_it() {
    let refused: [(&[Script], bool); 9] = [
        (&[&[("", "554 no service here")]], false),
        (&[&[("", "521 no mail at all")]], false),
        (&[&[GREETING, ("EHLO", "550 not from you")]], false),
        (&[&[GREETING, EHLO, ("MAIL", "550 not from this sender")]], false),
        (&[&[GREETING, EHLO, MAIL, ("RCPT", "450 busy")]], false),
        (&[&[GREETING, EHLO, MAIL, ("RCPT", "530 log in first")]], false),
        (&[&[GREETING, EHLO, MAIL, ("RCPT", "550 nobody of that name")]], true),
        (&[&[GREETING, EHLO, MAIL, RCPT, ("DATA", "554 no")]], true),
        (&[&[GREETING, EHLO, MAIL, RCPT, DATA, (".", "552 too large")]], true),
    ];
    for (scripts, is_final) in refused {
        let (port, _running) = a_server(scripts).await;

        let told = send(&a_mailer(port).await).await.unwrap_err();

        let answer = scripts[0].last().unwrap().1;
        assert_eq!(matches!(told, CarrierError::Refused(_)), is_final, "{answer}: {told}");
        assert!(told.to_string().contains(&answer[4..]), "{answer}: {told}");
    }
}

/// A connection that has ended meanwhile costs no attempt: NOOP shows it, and another one is made.
#[tokio::test]
async fn a_connection_is_used_again_while_it_is_well() {
    const TAKES: Script = &[GREETING, EHLO, MAIL, RCPT, DATA, (".", "250 queued as 1")];
    const AGAIN: Script =
        &[GREETING, EHLO, ("NOOP", "250 well"), MAIL, RCPT, DATA, (".", "250 queued as 2")];
    const FULL: Script = &[("", "554 no more connections")];
    let (port, _running) = a_server(&[TAKES, AGAIN, FULL]).await;
    let mailer = a_mailer(port).await;

    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(send(&mailer).await.unwrap().unwrap());
    }

    assert_eq!(names, ["1", "2", "2"]);
}
