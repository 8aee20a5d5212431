//! `/events`: that the View changed, as server-sent events.
//!
//! An event says that there is something newer and where the fleet stands in a sentence; what it is, the listener
//! fetches. So nothing piles up for a slow one: it learns of the newest only.
//!
//! ```text
//! event: view   data: {"revision": 7, "sum": "1 held, 2 in sync", "passed": "2026-11-24T08:00:00Z"}
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::connections::ended;
use crate::daemon::view::View;

/// Listeners at a time.
pub(super) const MOST: usize = 64;
/// A listener is sent away after this; it comes back by itself.
const LONGEST: Duration = Duration::from_secs(3600);
/// Between two events.
const PACE: Duration = Duration::from_millis(250);

/// Listens.
pub(super) async fn stream(State(shared): State<Shared>) -> Response {
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let text = "too many pages listen already: reload to see what is new\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "60")], text).into_response();
    };
    let (sender, receiver) = mpsc::channel::<Result<Event, Infallible>>(1);
    tokio::spawn(async move {
        tell(shared.view, shared.ending, sender).await;
        drop(permit);
    });
    Sse::new(ReceiverStream::new(receiver))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

async fn tell(
    mut views: watch::Receiver<Arc<View>>,
    mut ending: watch::Receiver<bool>,
    listener: mpsc::Sender<Result<Event, Infallible>>,
) {
    let last = Instant::now() + LONGEST;
    loop {
        let event = of(&views.borrow_and_update());
        if listener.send(Ok(event)).await.is_err() {
            return;
        }
        let newer = async {
            sleep(PACE).await;
            views.changed().await
        };
        tokio::select! {
            changed = newer => if changed.is_err() { return },
            () = listener.closed() => return,
            () = ended(&mut ending) => return,
            () = sleep_until(last) => return,
        }
    }
}

fn of(view: &View) -> Event {
    let data = serde_json::json!({
        "revision": view.revision,
        "sum": view.sum(),
        "passed": view.pass.as_ref().map(|pass| pass.ended),
    });
    Event::default().event("view").data(data.to_string())
}
