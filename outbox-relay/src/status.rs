//! How each database fares: for the readiness probe, the metrics and those who wait for a leader.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LanePhase {
    /// Not there yet, or not any more.
    Waiting(String),
    /// Another relay leads; this one waits for its place.
    StandsBy,
    Leads,
    /// It publishes, and Kafka lets it wait.
    Delayed(String),
    /// An operator has paused it.
    Paused(String),
    /// Kafka refuses what it publishes, or only a person can help.
    Stopped(String),
}

/// One lane's state, shared. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    label: Arc<str>,
    state: Arc<watch::Sender<LanePhase>>,
    /// Whether this process holds the database's lock, whatever the lane is doing with it.
    leads: Arc<AtomicBool>,
}

impl LaneStatus {
    pub(crate) fn new(label: &str) -> Self {
        let state = watch::Sender::new(LanePhase::Waiting("not started".to_owned()));
        Self { label: label.into(), state: Arc::new(state), leads: Arc::default() }
    }

    /// Whose state it is.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn state(&self) -> LanePhase {
        self.state.borrow().clone()
    }

    /// What keeps it from being ready.
    pub fn problem(&self) -> Option<String> {
        match &*self.state.borrow() {
            LanePhase::Leads
            | LanePhase::StandsBy
            | LanePhase::Delayed(_)
            | LanePhase::Paused(_) => None,
            LanePhase::Waiting(why) | LanePhase::Stopped(why) => {
                Some(format!("{}: {why}", self.label))
            }
        }
    }

    /// What an operator should know although the relay does what it can.
    pub fn notice(&self) -> Option<String> {
        match &*self.state.borrow() {
            LanePhase::Leads
            | LanePhase::StandsBy
            | LanePhase::Waiting(_)
            | LanePhase::Stopped(_) => None,
            LanePhase::Delayed(why) => Some(format!("{}: {why}", self.label)),
            LanePhase::Paused(why) => Some(format!("{}: paused: {why}", self.label)),
        }
    }

    /// Sets the state, and says so in the log if it is another one.
    pub(crate) fn set(&self, state: LanePhase) {
        let is_news = self.state.send_if_modified(|now| {
            let differs = *now != state;
            now.clone_from(&state);
            differs
        });
        if !is_news {
            return;
        }
        self.gauge(crate::metrics::STOPPED, matches!(state, LanePhase::Stopped(_)));
        self.gauge(crate::metrics::PAUSED, matches!(state, LanePhase::Paused(_)));
        match state {
            LanePhase::Waiting(why) => tracing::info!(database = &*self.label, "waits: {why}"),
            LanePhase::StandsBy => tracing::info!(database = &*self.label, "stands by"),
            LanePhase::Leads => tracing::info!(database = &*self.label, "leads"),
            LanePhase::Delayed(why) => tracing::warn!(database = &*self.label, "is delayed: {why}"),
            LanePhase::Paused(why) => tracing::warn!(database = &*self.label, "is paused: {why}"),
            LanePhase::Stopped(why) => tracing::error!(database = &*self.label, "STOPPED: {why}"),
        }
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
        self.gauge(crate::metrics::LEADER, leads);
    }

    /// Whether this process is the database's leader: one that is stopped or paused is, too.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    fn gauge(&self, name: &'static str, on: bool) {
        metrics::gauge!(name, "database" => Arc::clone(&self.label)).set(f64::from(u8::from(on)));
    }
}
