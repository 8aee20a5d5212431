//! `POST /webhook`: who knows the secret says that there is something new.
//!
//! ```text
//! secret set? ─► claim ─► plain, JSON, not too large? ─► body ─► signature ─► JSON? ─► seen before? ─► look
//!    404          401          413, 415                408, 413     401         400        200          202
//! ```
//! Nothing in a body is used: not as an address, a ref or a command. A good one says "look", and looks that are not
//! begun yet are one, so that a thousand cost one or two. What was delivered already is told by its id.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use super::Shared;
use super::signature::{Stranger, claim};

/// Bytes of a body.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of a body that is read without a turn; there are only so many connections.
const SMALL: usize = 64 << 10;
/// Larger bodies that are read at a time.
pub(super) const MOST_BODIES: usize = 32;
/// Time for a small body, or the beginning of a larger one.
const BODY: Duration = Duration::from_secs(5);
/// Time for the turn to read the rest; senders wait about ten seconds in all.
const TURN: Duration = Duration::from_secs(6);
/// Time for the rest.
const REST: Duration = Duration::from_secs(2);
/// Deliveries that are remembered.
const REMEMBERED: usize = 1024;
/// Bytes of a delivery's id that count.
const ID_BYTES: usize = 128;
/// Headers with the id of a delivery.
const IDS: [&str; 3] = ["x-github-delivery", "x-gitea-delivery", "x-gitlab-event-uuid"];

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    /// A look is on its way.
    Accepted,
    /// It was delivered before, or only asks whether somebody is here.
    Ignored,
    /// It comes from nobody who may, or is no webhook.
    Refused,
}

/// Takes a webhook.
pub(super) async fn receive(State(shared): State<Shared>, request: Request) -> Response {
    let (ending, status, text) = judge(&shared, request).await;
    shared.counted.webhook(ending);
    if ending == Ending::Accepted {
        (shared.look)();
    }
    let mut response = (status, format!("{text}\n")).into_response();
    if status == StatusCode::PAYLOAD_TOO_LARGE || status == StatusCode::REQUEST_TIMEOUT {
        // The rest of it is not read.
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

type Judgement = (Ending, StatusCode, &'static str);

fn refused(status: StatusCode, text: &'static str) -> Judgement {
    (Ending::Refused, status, text)
}

const UNSIGNED: (StatusCode, &str) =
    (StatusCode::UNAUTHORIZED, "not signed with the webhook secret: signature missing, wrong or given twice");
const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "more than 1 MiB");

async fn judge(shared: &Shared, request: Request) -> Judgement {
    let Some(secret) = &shared.secret else {
        return refused(StatusCode::NOT_FOUND, "webhooks are off: run.webhook_secret is not set");
    };
    let (parts, body) = request.into_parts();
    let claim = match claim(&parts.headers, secret) {
        Ok(claim) => claim,
        Err(Stranger) => return refused(UNSIGNED.0, UNSIGNED.1),
    };
    if let Some((status, text)) = unfit(&parts.headers) {
        return refused(status, text);
    }
    let body = match read(shared, body).await {
        Ok(body) => body,
        Err((status, text)) => return refused(status, text),
    };
    if claim.holds(&body, secret).is_err() {
        return refused(UNSIGNED.0, UNSIGNED.1);
    }
    if !serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok_and(|_| first(&body) == Some(b'{')) {
        return refused(StatusCode::BAD_REQUEST, "the body is no JSON object");
    }
    if !shared.deliveries.is_new(identity(&parts.headers, &body)).await {
        return (Ending::Ignored, StatusCode::OK, "delivered before: ignored");
    }
    if parts.headers.get("x-github-event").is_some_and(|event| event == "ping") {
        return (Ending::Ignored, StatusCode::OK, "here");
    }
    (Ending::Accepted, StatusCode::ACCEPTED, "looking")
}

/// What its headers say against a body, before any of it is read.
fn unfit(headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let plain = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not read"));
    }
    let json = |value: &header::HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
    };
    if !headers.get(header::CONTENT_TYPE).is_some_and(json) {
        let text = "the content type is not application/json: choose that where the webhook is set up";
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.is_some_and(|length| length.parse::<usize>().is_ok_and(|length| length > MOST_BYTES)) {
        return Some(TOO_LARGE);
    }
    None
}

/// Reads a body. One that is small needs no turn, however slowly it comes: a flood of bodies that never come holds
/// no memory, and nobody up.
async fn read(shared: &Shared, body: Body) -> Result<Vec<u8>, (StatusCode, &'static str)> {
    let late = (StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let mut body = body.into_data_stream();
    let mut read = Vec::new();
    if timeout(BODY, fill(&mut body, &mut read, SMALL)).await.map_err(|_| late)?? == Filled::Whole {
        return Ok(read);
    }
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "too many large webhooks at a time: deliver it again");
    let Ok(Ok(_turn)) = timeout(TURN, shared.bodies.acquire()).await else { return Err(busy) };
    match timeout(REST, fill(&mut body, &mut read, MOST_BYTES)).await.map_err(|_| late)?? {
        Filled::Whole => Ok(read),
        Filled::Beyond => Err(TOO_LARGE),
    }
}

/// How much of a body there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filled {
    Whole,
    /// More than was asked for.
    Beyond,
}

/// Reads until there is more than `most`.
async fn fill(
    body: &mut BodyDataStream,
    read: &mut Vec<u8>,
    most: usize,
) -> Result<Filled, (StatusCode, &'static str)> {
    while read.len() <= most {
        match body.next().await {
            None => return Ok(Filled::Whole),
            Some(Ok(bytes)) => read.extend_from_slice(&bytes),
            Some(Err(_)) => return Err((StatusCode::BAD_REQUEST, "the body ended early")),
        }
    }
    Ok(Filled::Beyond)
}

fn first(body: &[u8]) -> Option<u8> {
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// By what a delivery is known: the sender's id, else its bytes.
fn identity(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    match IDS.iter().find_map(|name| headers.get(*name).map(|id| (name, id))) {
        Some((name, id)) => {
            let id = id.as_bytes();
            [name.as_bytes(), &id[..id.len().min(ID_BYTES)]].concat()
        }
        None => blake3::hash(body).as_bytes().to_vec(),
    }
}

/// Asks whether a delivery is new, and is answered.
type Question = (Vec<u8>, oneshot::Sender<bool>);

/// The deliveries of late; a task owns them.
#[derive(Debug, Clone)]
pub(super) struct Deliveries(mpsc::Sender<Question>);

impl Deliveries {
    /// None yet.
    pub(super) fn start() -> Self {
        let (sender, mut questions) = mpsc::channel::<Question>(64);
        tokio::spawn(async move {
            let mut known: VecDeque<Vec<u8>> = VecDeque::new();
            while let Some((id, answer)) = questions.recv().await {
                let new = !known.contains(&id);
                if new {
                    known.push_back(id);
                    if known.len() > REMEMBERED {
                        known.pop_front();
                    }
                }
                let _gone = answer.send(new);
            }
        });
        Self(sender)
    }

    /// Whether a delivery was not seen yet; from now on it was.
    async fn is_new(&self, id: Vec<u8>) -> bool {
        let (answer, answered) = oneshot::channel();
        // A look too many is harmless: without an answer it counts as new.
        self.0.send((id, answer)).await.is_err() || answered.await.unwrap_or(true)
    }
}
