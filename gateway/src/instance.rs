//! One instance of a service: its connections, its circuit, and what is under way there.

use std::{
    error::Error as _,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ::metrics::Gauge;
use axum::http::{
    HeaderValue, StatusCode, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, Sleep};

use crate::{
    circuit::{Admission, Circuit, CircuitState, Rule},
    metrics,
    routes::Service,
};

/// How long an idle connection is kept: less than the time after which a service closes it, and
/// than the time for which a service that stops goes on serving, so that no request meets a
/// connection that is being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(3);
/// Idle connections kept for one instance: as many as requests are under way at once.
const IDLE_CONNECTIONS_MAX: usize = 1_024;
/// How long an instance that says goodbye is spared after each answer that says so.
const LEAVING_MS: u64 = 5_000;

/// One instance. Its pool of connections is its own: idle ones end with it.
pub struct Instance {
    pub address: SocketAddr,
    authority: Authority,
    host: HeaderValue,
    client: Client<HttpConnector, Full<Bytes>>,
    pub circuit: Circuit,
    under_way: AtomicUsize,
    /// Until when others are asked first, because it has said that it closes its connections.
    leaving_until: AtomicU64,
    states: [Gauge; 3],
    has_left: AtomicBool,
}

/// The outcome of sending a request to one instance.
pub enum Attempt {
    Answered(Response<Incoming>),
    /// No connection could be made, or it ended before anything was sent.
    Unsent,
    /// The connection broke, and the request may have been received.
    Lost,
    TimedOut,
}

impl Instance {
    /// The instance at `address`, which was found under the name `host`.
    pub fn new(
        service: Service,
        address: SocketAddr,
        host: &Authority,
        config: InstanceConfig,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .set_host(false)
            .build(connector);
        let states = metrics::circuit(service, address);
        let authority = address.to_string().parse().expect("an address is an authority");
        let host = HeaderValue::try_from(host.as_str()).expect("an authority is a header's value");
        let (under_way, leaving_until) = (AtomicUsize::new(0), AtomicU64::new(0));
        let circuit = Circuit::new(config.rule);
        let has_left = AtomicBool::new(false);
        let this = Self {
            address,
            authority,
            host,
            client,
            circuit,
            under_way,
            leaving_until,
            states,
            has_left,
        };
        this.show_state();
        this
    }

    /// Shows the circuit's state as a metric: 1 for the present one, 0 for the others, and of an
    /// instance that has left, 0 for all.
    pub fn show_state(&self) {
        let present = (!self.has_left.load(Ordering::Relaxed)).then(|| self.circuit.state());
        for (state, gauge) in CircuitState::ALL.into_iter().zip(&self.states) {
            gauge.set(u8::from(Some(state) == present));
        }
    }

    /// The service has this instance no more.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.show_state();
    }

    /// What is asked first is what is least: whether it is leaving, then what is under way.
    pub fn load(&self, now: u64) -> (bool, usize) {
        let is_leaving = self.leaving_until.load(Ordering::Relaxed) > now;
        (is_leaving, self.under_way.load(Ordering::Relaxed))
    }

    /// The place of a request to this instance, if its circuit lets it through.
    pub fn enter(self: &Arc<Self>, now: u64) -> Option<Passage> {
        let admission = self.circuit.admit(now)?;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if admission == Admission::Trial {
            self.show_state();
        }
        Some(Passage { instance: Arc::clone(self), admission, is_settled: false })
    }

    /// A request to this instance.
    pub fn request(&self, path: PathAndQuery, body: Bytes) -> Request<Full<Bytes>> {
        let mut uri = axum::http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path);
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = Uri::from_parts(uri).expect("scheme, authority and path are a URI");
        request
    }

    pub fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// Sends a request, and waits for the head of its answer.
    pub async fn send(&self, request: Request<Full<Bytes>>, deadline: Instant) -> Attempt {
        let sent = pin!(self.client.request(request));
        match tokio::time::timeout_at(deadline, sent).await {
            Ok(Ok(response)) => Attempt::Answered(response),
            // hyper says "canceled" of a request that it has not begun to write.
            Ok(Err(error)) => {
                let source = error.source().and_then(|error| error.downcast_ref::<hyper::Error>());
                let is_unsent = error.is_connect() || source.is_some_and(hyper::Error::is_canceled);
                if is_unsent { Attempt::Unsent } else { Attempt::Lost }
            }
            Err(_) => Attempt::TimedOut,
        }
    }
}

/// What all instances have in common.
#[derive(Clone, Copy, Debug)]
pub struct InstanceConfig {
    pub rule: Rule,
    pub connect_timeout: Duration,
}

/// A request that is under way at an instance, until its answer's body has gone.
pub struct Passage {
    pub instance: Arc<Instance>,
    admission: Admission,
    is_settled: bool,
}

impl Passage {
    /// The instance answered. Returns whether the answer counts as a failure of the instance.
    ///
    /// 502, 503 and 504 are what proxies say of an instance that does not answer; our services say
    /// 503 with `Retry-After`, when they are well but have too much to do.
    pub fn answered(&mut self, response: &Response<Incoming>, now: u64) -> bool {
        let headers = response.headers();
        if headers.get(header::CONNECTION).is_some_and(|value| value == "close") {
            self.instance.leaving_until.store(now + LEAVING_MS, Ordering::Relaxed);
        }
        let has_failed = match response.status() {
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => true,
            StatusCode::SERVICE_UNAVAILABLE => !headers.contains_key(header::RETRY_AFTER),
            _ => false,
        };
        if has_failed {
            self.failed(now);
        } else {
            self.is_settled = true;
            if self.instance.circuit.succeeded(self.admission) {
                self.instance.show_state();
                tracing::info!(address = %self.instance.address, "a circuit is closed again");
            }
        }
        has_failed
    }

    /// The instance did not answer.
    pub fn failed(&mut self, now: u64) {
        self.is_settled = true;
        if self.instance.circuit.failed(self.admission, now) {
            self.instance.show_state();
            tracing::warn!(address = %self.instance.address, "a circuit is open");
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.instance.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.is_settled {
            self.instance.circuit.abandon(self.admission);
            if self.admission == Admission::Trial {
                self.instance.show_state();
            }
        }
    }
}

/// The body of an instance's answer. It ends with an error when nothing of it comes for too long.
pub struct UpstreamBody {
    body: Incoming,
    stall: Duration,
    /// Runs only while nothing comes, which is seldom: most bodies are there with their heads.
    timer: Option<Pin<Box<Sleep>>>,
    _passage: Passage,
}

impl UpstreamBody {
    pub fn new(body: Incoming, stall: Duration, passage: Passage) -> Self {
        Self { body, stall, timer: None, _passage: passage }
    }
}

/// A service stopped in the middle of its answer.
#[derive(Debug)]
struct StalledAnswer;

impl std::fmt::Display for StalledAnswer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a service stopped in the middle of its answer")
    }
}

impl std::error::Error for StalledAnswer {}

impl HttpBody for UpstreamBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let stall = this.stall;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        timer.as_mut().poll(context).map(|()| Some(Err(StalledAnswer.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
