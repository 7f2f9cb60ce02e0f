//! Requests that are signed as Standard Webhooks 1.0 say, <https://www.standardwebhooks.com>, to
//! addresses that may be called.

use std::{fmt, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::clock;
use reqwest::{Client, Response, Url, header, redirect::Policy};
use standardwebhooks::Webhook;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    CarrierError, brief,
    guard::{AddressPolicy, GuardedResolver},
};

/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// Bytes of an answer that are read: a name fits, and an error page costs nothing.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a secret that we make: as many as the signature has.
const SECRET_BYTES: usize = 32;

/// What requests are signed with: `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// A new secret.
    pub fn random() -> Self {
        Self(format!("whsec_{}", STANDARD.encode(rand::random::<[u8; SECRET_BYTES]>())))
    }

    /// A secret that is stored or set. Fails if it is none.
    pub fn parse(text: String) -> anyhow::Result<Self> {
        Webhook::new(&text).context("a secret is whsec_ and base64")?;
        Ok(Self(text))
    }

    /// The secret, for its receiver and for the database.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn signature(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let key = Webhook::new(&self.0).expect("it was parsed before");
        key.sign(id, seconds, body).expect("JSON is UTF-8")
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// A JSON body on its way.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    pub url: &'a Url,
    /// The same at every attempt.
    pub id: &'a str,
    pub media_type: &'static str,
    pub body: &'a [u8],
    /// Each signs: two while one replaces the other.
    pub secrets: &'a [SigningSecret],
}

/// Sends signed requests.
#[derive(Clone, Debug)]
pub struct SigningClient {
    client: Client,
    addresses: AddressPolicy,
}

impl SigningClient {
    /// A client whose requests take `timeout` at most.
    pub fn new(addresses: AddressPolicy, timeout: Duration) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(timeout)
            // Where a redirection leads, nobody has checked; a proxy would resolve names itself.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(GuardedResolver(addresses))
            .build()
            .context("could not make the client of webhooks")?;
        Ok(Self { client, addresses })
    }

    /// Sends a request, signed at this moment. An answer of any status is an answer.
    pub async fn post(&self, request: SignedRequest<'_>) -> Result<Response, CarrierError> {
        let SignedRequest { url, id, media_type, body, secrets } = request;
        if !self.addresses.allows_url(url) {
            return Err(CarrierError::later("the receiver's address is not public"));
        }
        let seconds = clock::now().unix_timestamp();
        let signatures: Vec<_> =
            secrets.iter().map(|secret| secret.signature(id, seconds, body)).collect();
        let request = self
            .client
            .post(url.clone())
            .header(header::CONTENT_TYPE, media_type)
            .header(standardwebhooks::HEADER_WEBHOOK_ID, id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, seconds.to_string())
            .header(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signatures.join(" "))
            .body(body.to_vec());
        request.send().await.map_err(unknown)
    }
}

/// The beginning of an answer's body; what fails to come is left out.
pub async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(more)) = response.chunk().await {
        body.extend_from_slice(&more);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    body
}

/// After how long a receiver wants to be asked again, a day at most.
pub fn retry_after(response: &Response) -> Option<Duration> {
    let asked = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    pause_until(asked, clock::now())
}

/// The pause that `Retry-After` asks for: in seconds, or until a moment (RFC 9110 §10.2.3) in the
/// one form of dates that is still to be sent, which is RFC 2822's.
fn pause_until(asked: &str, now: OffsetDateTime) -> Option<Duration> {
    let pause = if let Ok(seconds) = asked.parse() {
        Duration::from_secs(seconds)
    } else {
        let moment = OffsetDateTime::parse(asked, &Rfc2822).ok()?;
        // One that is over asks for nothing.
        Duration::try_from(moment - now).unwrap_or_default()
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

/// An error of the client, without the URL: it may hold what must not be stored.
fn unknown(error: reqwest::Error) -> CarrierError {
    CarrierError::later(brief(&format!("{:#}", anyhow::Error::new(error.without_url()))))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_moment() {
        let now = datetime!(1994-11-06 08:49:00 UTC);
        let asked = |text: &str| pause_until(text, now).map(|pause| pause.as_secs());

        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(asked("Sun, 06 Nov 1994 08:48:59 GMT"), Some(0), "it is over");
        for long in ["86401", "Fri, 06 Nov 2099 08:49:37 GMT"] {
            assert_eq!(asked(long), Some(86_400), "{long}");
        }
        for nonsense in
            ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994", "Sun, 31 Feb 2099 08:49:37 GMT"]
        {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
    }

    /// The example of the specification's own reference library.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signature = secret.unwrap().signature(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_made_as_the_specification_asks_and_never_printed() {
        let secret = SigningSecret::random();
        let bytes = STANDARD.decode(secret.expose().strip_prefix("whsec_").unwrap()).unwrap();
        assert!((24..=64).contains(&bytes.len()));
        assert_ne!(secret, SigningSecret::random());
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert!(SigningSecret::parse("whsec_?".to_owned()).is_err());
    }
}
