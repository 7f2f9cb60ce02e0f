//! Server-Sent Events, as a client reads them.

use serde_json::Value;

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    answer: reqwest::Response,
    read: String,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl EventStream {
    /// The events of an answer.
    pub fn of(answer: reqwest::Response) -> Self {
        Self { answer, read: String::new() }
    }

    /// The next event; `None` at the end of the stream. Comments are left out.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            while let Some(end) = self.read.find("\n\n") {
                let event = parse(&self.read[..end]);
                self.read.drain(..end + 2);
                if event.is_some() {
                    return event;
                }
            }
            let chunk = self.answer.chunk().await.ok()??;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All events until the end of the stream.
    pub async fn rest(mut self) -> Vec<StreamEvent> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

fn parse(block: &str) -> Option<StreamEvent> {
    let field = |name: &str| {
        block.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(StreamEvent { name: field("event")?.to_owned(), id: field("id").map(str::to_owned), data })
}
