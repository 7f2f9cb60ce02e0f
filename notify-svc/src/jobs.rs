//! The ways of committed deliveries to the workers (`deliveries.rs`).

use tokio::sync::mpsc;

use crate::{domain::Channel, world::Job};

/// Batches that may wait for a worker. Those beyond it are left to the sweep.
const WAITING_MAX: usize = 64;

/// A queue for each channel.
#[derive(Clone, Debug)]
pub struct JobQueues([mpsc::Sender<Vec<Job>>; 3]);

impl JobQueues {
    /// The queues, and what the workers receive, both in the order of [`Channel::ALL`].
    pub fn new() -> (Self, [mpsc::Receiver<Vec<Job>>; 3]) {
        let queues = Channel::ALL.map(|_| mpsc::channel(WAITING_MAX));
        let [(email, emails), (sms, texts), (push, pushes)] = queues;
        (Self([email, sms, push]), [emails, texts, pushes])
    }

    /// Hands deliveries over. When a queue is full, they are left to the sweep.
    pub fn hand(&self, jobs: Vec<Job>) {
        let mut parts: [Vec<Job>; 3] = Default::default();
        for job in jobs {
            parts[job.channel as usize].push(job);
        }
        for (queue, part) in self.0.iter().zip(parts) {
            if !part.is_empty() && queue.try_send(part).is_err() {
                tracing::debug!("deliveries are left to the sweep");
            }
        }
    }
}
