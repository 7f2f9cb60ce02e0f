//! The status of each lane: for the health check, the metrics and tests that wait for a leader.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use crate::metrics::LaneGauges;

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LanePhase {
    /// The lane cannot begin: the database, its service or Kafka is not there yet, or not any more.
    Waiting(String),
    /// Another relay leads; this one waits to take over.
    StandsBy,
    Leads,
    /// The lane publishes, but Kafka takes long to acknowledge.
    Delayed(String),
    /// An operator has paused the lane.
    Paused(String),
    /// Kafka refuses what the lane publishes, or only a person can help.
    Stopped(String),
}

/// The status of one lane, shared. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    label: Arc<str>,
    state: Arc<watch::Sender<LanePhase>>,
    /// Whether this process holds the database's lock, whatever the lane is doing with it.
    leads: Arc<AtomicBool>,
    gauges: Arc<LaneGauges>,
}

impl LaneStatus {
    pub(crate) fn new(label: &str) -> Self {
        let state = watch::Sender::new(LanePhase::Waiting("not started".to_owned()));
        let label = Arc::from(label);
        let gauges = Arc::new(LaneGauges::new(&label));
        Self { label, state: Arc::new(state), leads: Arc::default(), gauges }
    }

    /// The label of the lane's database.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How the lane is doing.
    pub fn state(&self) -> LanePhase {
        self.state.borrow().clone()
    }

    /// What keeps the lane from being ready.
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

    /// What an operator should know although the relay does all it can.
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

    /// Sets the phase, and logs it if it is another one.
    pub(crate) fn set(&self, state: LanePhase) {
        // How Kafka words that it is away may change with each look.
        let mut is_told = false;
        let is_news = self.state.send_if_modified(|now| {
            let differs = *now != state;
            is_told = matches!((&*now, &state), (LanePhase::Delayed(_), LanePhase::Delayed(_)));
            now.clone_from(&state);
            differs
        });
        if !is_news || is_told {
            return;
        }
        let is = |phase: bool| f64::from(u8::from(phase));
        self.gauges.stopped.set(is(matches!(state, LanePhase::Stopped(_))));
        self.gauges.paused.set(is(matches!(state, LanePhase::Paused(_))));
        let database = &*self.label;
        match state {
            LanePhase::Waiting(reason) => tracing::info!(database, reason, "a lane waits"),
            LanePhase::StandsBy => tracing::info!(database, "a lane stands by"),
            LanePhase::Leads => tracing::info!(database, "a lane leads"),
            LanePhase::Delayed(reason) => tracing::warn!(database, reason, "a lane is delayed"),
            LanePhase::Paused(reason) => tracing::warn!(database, reason, "a lane is paused"),
            LanePhase::Stopped(reason) => tracing::error!(database, reason, "a lane has stopped"),
        }
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
        self.gauges.leader.set(f64::from(u8::from(leads)));
    }

    /// Whether this process is the database's leader, even if its lane is stopped or paused.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }
}
