//! Server-Sent Events, as a client reads them.

use serde_json::Value;

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    answer: reqwest::Response,
    read: String,
}

/// What comes over a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamItem {
    Event(StreamEvent),
    /// A line that is for nobody; it keeps the connection open.
    Comment(String),
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

    /// What comes next, be it a comment; `None` at the end of the stream.
    pub async fn item(&mut self) -> Option<StreamItem> {
        loop {
            while let Some(end) = self.read.find("\n\n") {
                let item = parse(&self.read[..end]);
                self.read.drain(..end + 2);
                if item.is_some() {
                    return item;
                }
            }
            let chunk = self.answer.chunk().await.ok()??;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event; `None` at the end of the stream. Comments are left out.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let StreamItem::Event(event) = self.item().await? {
                return Some(event);
            }
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

fn parse(block: &str) -> Option<StreamItem> {
    let field = |name: &str| {
        block.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    let Some(data) = field("data") else {
        return field("").map(|text| StreamItem::Comment(text.to_owned()));
    };
    let (data, id) = (serde_json::from_str(data).unwrap(), field("id").map(str::to_owned));
    Some(StreamItem::Event(StreamEvent { name: field("event")?.to_owned(), id, data }))
}
