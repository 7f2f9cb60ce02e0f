//! One operation: what its service says about it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::{
    body::{self, BodyRecording, Fields},
    problem::Code,
};

/// What an answer shows, with an example for readers.
pub trait View: JsonSchema {
    /// An answer, as it might be given.
    fn example() -> Value;
}

/// The schema of a type, made when the document is.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A parameter in the path or the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) about: &'static str,
    pub(super) is_required: bool,
    pub(super) schema: SchemaOf,
}

/// The body of a request, learned from the reader that enforces it.
pub(super) struct RequestBody {
    pub(super) is_required: bool,
    pub(super) examples: Vec<(&'static str, Value)>,
    pub(super) recording: BodyRecording,
}

/// What is in an answer.
pub(super) enum Content {
    Nothing,
    View(SchemaOf, Value),
    /// A page of a list.
    List(SchemaOf, Value),
    /// Server-sent events.
    Events(Value),
}

/// An answer that is no problem.
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Content,
    pub(super) headers: Vec<&'static str>,
}

/// A GET; `id` is the name of its handler.
pub fn get(path: &'static str, id: &'static str, summary: &'static str) -> ApiOperation {
    ApiOperation::new("GET", path, id, summary)
}

/// A POST; `id` is the name of its handler.
pub fn post(path: &'static str, id: &'static str, summary: &'static str) -> ApiOperation {
    ApiOperation::new("POST", path, id, summary).keyed()
}

/// A PUT; `id` is the name of its handler.
pub fn put(path: &'static str, id: &'static str, summary: &'static str) -> ApiOperation {
    ApiOperation::new("PUT", path, id, summary)
}

/// A DELETE; `id` is the name of its handler.
pub fn delete(path: &'static str, id: &'static str, summary: &'static str) -> ApiOperation {
    ApiOperation::new("DELETE", path, id, summary)
}

/// A method of a path, as its service describes it; it begins with [`get`], [`post`], [`put`] or
/// [`delete`].
pub struct ApiOperation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) headers: Vec<&'static str>,
    pub(super) body: Option<RequestBody>,
    pub(super) successes: Vec<Success>,
    pub(super) refusals: Vec<Code>,
}

impl ApiOperation {
    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            about: "",
            parameters: Vec::new(),
            headers: Vec::new(),
            body: None,
            successes: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// What its summary has no room for.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A name in the path; what is none is not found.
    #[must_use]
    pub fn path<T: JsonSchema>(mut self, name: &'static str, about: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.parameters.push(Parameter { name, place: "path", about, is_required: true, schema });
        self
    }

    /// A parameter of the query.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self, name: &'static str, about: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.parameters.push(Parameter { name, place: "query", about, is_required: false, schema });
        self
    }

    /// A parameter of the query that has to be there.
    #[must_use]
    pub fn required_query<T: JsonSchema>(
        mut self,
        name: &'static str,
        about: &'static str,
    ) -> Self {
        self = self.query::<T>(name, about);
        if let Some(parameter) = self.parameters.last_mut() {
            parameter.is_required = true;
        }
        self
    }

    /// A header of the request, by a name that `parameters.rs` knows.
    #[must_use]
    pub fn header(mut self, name: &'static str) -> Self {
        self.headers.push(name);
        self
    }

    /// A repetition under the same key gets the first answer, as with every POST.
    #[must_use]
    pub fn keyed(self) -> Self {
        self.header("Idempotency-Key")
    }

    /// The operation takes effect only on what the client has seen (`If-Match`).
    #[must_use]
    pub fn if_match(self) -> Self {
        self.header("If-Match").refuses(&[Code::Stale])
    }

    /// The operation waits for an outcome for as long as the client wishes (`Prefer`).
    #[must_use]
    pub fn waits(self) -> Self {
        self.header("Prefer")
    }

    /// A body, read as its handler reads it; each example has a name.
    #[must_use]
    pub fn body<T>(
        mut self,
        examples: Vec<(&'static str, Value)>,
        read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Self {
        let recording = body::record(examples.iter().map(|(_, example)| example), read);
        self.body = Some(RequestBody { is_required: true, examples, recording });
        self
    }

    /// As [`ApiOperation::body`], for a body that may be left out.
    #[must_use]
    pub fn optional_body<T>(
        mut self,
        examples: Vec<(&'static str, Value)>,
        read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Self {
        self = self.body(examples, read);
        if let Some(body) = &mut self.body {
            body.is_required = false;
        }
        self
    }

    /// The operation takes no `Idempotency-Key`: who calls it is no client of ours, and has none.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.headers.retain(|name| *name != "Idempotency-Key");
        self
    }

    /// The body is somebody else's: what is in it is not ours to say.
    #[must_use]
    pub fn open_body(mut self) -> Self {
        self.body = Some(RequestBody {
            is_required: true,
            examples: vec![("an event", serde_json::json!({}))],
            recording: body::record(&[], |_nothing| Some(())),
        });
        self
    }

    fn succeeds(
        mut self,
        status: u16,
        about: &'static str,
        content: Content,
        headers: &[&'static str],
    ) -> Self {
        self.successes.push(Success { status, about, content, headers: headers.to_vec() });
        self
    }

    fn shows<V: View>(self, status: u16, about: &'static str, headers: &[&'static str]) -> Self {
        let content = Content::View(SchemaGenerator::subschema_for::<V>, V::example());
        self.succeeds(status, about, content, headers)
    }

    /// Answers with a view, with its `ETag`.
    #[must_use]
    pub fn answers<V: View>(self, status: u16, about: &'static str) -> Self {
        self.shows::<V>(status, about, &["ETag"])
    }

    /// Answers with a view that has no `ETag`, because nothing can be asked for by it.
    #[must_use]
    pub fn tells<V: View>(self, status: u16, about: &'static str) -> Self {
        self.shows::<V>(status, about, &[])
    }

    /// Answers with a view of what has a path of its own now.
    #[must_use]
    pub fn places<V: View>(self, status: u16, about: &'static str) -> Self {
        self.shows::<V>(status, about, &["ETag", "Location"])
    }

    /// Answers with a resource, or that the client has it already.
    #[must_use]
    pub fn resource<V: View>(self, about: &'static str) -> Self {
        self.header("If-None-Match").answers::<V>(200, about).succeeds(
            304,
            "The client has it already.",
            Content::Nothing,
            &["ETag"],
        )
    }

    /// Answers with a page of a list.
    #[must_use]
    pub fn list<V: View>(mut self, about: &'static str) -> Self {
        self = self.query::<super::parameters::Limit>("limit", "Items on a page at most.");
        self = self.query::<String>("cursor", "The `next_cursor` of the page before.");
        let content = Content::List(SchemaGenerator::subschema_for::<V>, V::example());
        self.refuses(&[Code::BadCursor]).succeeds(200, about, content, &[])
    }

    /// Answers with an empty body.
    #[must_use]
    pub fn done(self, status: u16, about: &'static str) -> Self {
        self.succeeds(status, about, Content::Nothing, &[])
    }

    /// Answers with server-sent events, such as this one.
    #[must_use]
    pub fn events(self, about: &'static str, example: Value) -> Self {
        self.succeeds(200, about, Content::Events(example), &[])
    }

    /// What a well-formed request may be refused for, by the state of things.
    #[must_use]
    pub fn refuses(mut self, codes: &[Code]) -> Self {
        self.refusals.extend(codes);
        self
    }
}
