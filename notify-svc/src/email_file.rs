//! The mbox file: many mails in one write, on disk before they count as sent.
//!
//! The form is mboxrd: a line of a text that looks like the start of a mail (`From `, with any
//! number of `>` before it) gets one more `>`, which a reader takes away. A write that was torn by
//! a crash ends in the middle of a mail; the next one begins on a line of its own.

use std::{io::SeekFrom, path::PathBuf};

use time::{
    OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description,
};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

/// The sender of all mails.
const SENDER: &str = "shop@shop.invalid";

/// The date of the line that begins a mail, as `ctime` writes it.
const CTIME: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"
);
/// The date of a mail's header (RFC 5322).
const MAIL_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day padding:none] [month repr:short] [year] \
     [hour]:[minute]:[second] +0000"
);

/// One mail.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// The message id: the same for two copies of one mail.
    pub id: &'a str,
    pub to: &'a str,
    pub subject: &'a str,
    pub text: &'a str,
}

/// A file that mails are appended to.
#[derive(Debug)]
pub struct EmailFile {
    path: PathBuf,
    /// None after a failure: then the file is opened anew.
    file: Option<File>,
}

impl EmailFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Appends all of `mails`, as [`write()`] wrote them, in one write, and waits until they are on
    /// disk.
    pub async fn append(&mut self, mails: &[u8]) -> std::io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open().await?,
        };
        file.write_all(mails).await?;
        file.flush().await?;
        file.sync_data().await?;
        self.file = Some(file);
        Ok(())
    }

    async fn open(&self) -> std::io::Result<File> {
        let mut file =
            OpenOptions::new().create(true).read(true).append(true).open(&self.path).await?;
        if file.metadata().await?.len() > 0 {
            file.seek(SeekFrom::End(-1)).await?;
            if file.read_u8().await? != b'\n' {
                file.write_all(b"\n\n").await?;
            }
        }
        Ok(file)
    }
}

/// Writes one mail to the end of `out`.
pub fn write(out: &mut Vec<u8>, mail: Mail<'_>, at: OffsetDateTime) {
    let at = at.to_offset(UtcOffset::UTC);
    // Every instant has the components that both formats name, so formatting cannot fail.
    let began = at.format(CTIME).unwrap_or_default();
    let date = at.format(MAIL_DATE).unwrap_or_default();
    let Mail { id, to, subject, text } = mail;
    let head = format!(
        "From {SENDER} {began}\nFrom: Shop <{SENDER}>\nTo: {to}\nSubject: {subject}\nDate: {date}\n\
         Message-ID: <{id}@shop.invalid>\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    );
    out.extend_from_slice(head.as_bytes());
    for line in text.lines() {
        if line.trim_start_matches('>').starts_with("From ") {
            out.push(b'>');
        }
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_line_that_looks_like_a_new_mail_is_escaped() {
        let mut out = Vec::new();
        let text = "Hello\nFrom here on\n>From there\nFromage";
        let mail = Mail { id: "7", to: "a@b.example", subject: "News", text };

        write(&mut out, mail, datetime!(2026-11-02 09:05:00 UTC));

        let written = String::from_utf8(out).unwrap();
        assert!(
            written.starts_with("From shop@shop.invalid Mon Nov  2 09:05:00 2026\n"),
            "{written}"
        );
        assert!(written.contains("\nDate: Mon, 2 Nov 2026 09:05:00 +0000\n"), "{written}");
        assert!(
            written.ends_with("\n\nHello\n>From here on\n>>From there\nFromage\n\n"),
            "{written}"
        );
    }
}
