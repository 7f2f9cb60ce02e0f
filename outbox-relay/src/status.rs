//! How each database fares: for the readiness probe, the metrics and those who wait for a leader.

use std::sync::Arc;

use tokio::sync::watch;

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not there yet, or not any more.
    Waiting(String),
    /// Another relay leads; this one waits for its place.
    StandsBy,
    Leads,
    /// Only a person can help.
    Stopped(String),
}

/// One lane's state, shared. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Status {
    label: Arc<str>,
    state: Arc<watch::Sender<State>>,
}

impl Status {
    pub(crate) fn new(label: &str) -> Self {
        let state = watch::Sender::new(State::Waiting("not started".to_owned()));
        Self { label: label.into(), state: Arc::new(state) }
    }

    /// Whose state it is.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What keeps it from being ready.
    pub fn problem(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Leads | State::StandsBy => None,
            State::Waiting(why) | State::Stopped(why) => Some(format!("{}: {why}", self.label)),
        }
    }

    /// Sets the state, and says so in the log if it is another one.
    pub(crate) fn set(&self, state: State) {
        let is_news = self.state.send_if_modified(|now| {
            let differs = *now != state;
            now.clone_from(&state);
            differs
        });
        if !is_news {
            return;
        }
        let gauge = |name: &'static str, on: bool| {
            metrics::gauge!(name, "database" => Arc::clone(&self.label))
                .set(f64::from(u8::from(on)));
        };
        gauge(crate::metrics::LEADER, state == State::Leads);
        gauge(crate::metrics::STOPPED, matches!(state, State::Stopped(_)));
        match state {
            State::Waiting(why) => tracing::info!(database = &*self.label, "waits: {why}"),
            State::StandsBy => tracing::info!(database = &*self.label, "stands by"),
            State::Leads => tracing::info!(database = &*self.label, "leads"),
            State::Stopped(why) => tracing::error!(database = &*self.label, "STOPPED: {why}"),
        }
    }

    pub(crate) fn leads(&self) -> bool {
        *self.state.borrow() == State::Leads
    }
}
