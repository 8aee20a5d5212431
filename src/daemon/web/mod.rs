//! The page, the same as JSON, metrics, and where webhooks come in.
//!
//! ```text
//! connection ─► limits ─► guard (host, headers) ─► route ─┬─ /, /deployments/NAME        page
//!                                                         ├─ /api/v1/…                   JSON
//!                                                         ├─ /events                     what changed, live
//!                                                         ├─ /metrics /healthz /readyz   for monitors
//!                                                         └─ POST /webhook               "look", signed
//! ```
//! Read-only: nothing that comes in changes a host or names what is done; a good webhook says "look" and no more.
//! All that is shown is the [`View`] and, of one deployment at a time, its [`Detail`](super::detail::Detail). No
//! resource of another origin is used, and no script but ours runs.
//!
//! Deliberately absent: users, sessions and TLS. It listens on loopback unless it is told otherwise; a proxy in front
//! of it may ask for passwords.

mod api;
mod assets;
mod connections;
mod events;
mod groups;
mod guard;
mod metrics;
mod page;
mod picture;
mod signature;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::detail::{Asker, Details};
use super::secret::Secret;
use super::view::View;

/// How a webhook says that there is something new. Called often; it must return at once.
pub type Look = Arc<dyn Fn() + Send + Sync>;

/// What the server shows, and whom it tells.
pub struct Site {
    /// The newest View, and that there is a newer one.
    pub view: watch::Receiver<Arc<View>>,
    /// What is asked for only when somebody looks at one deployment.
    pub details: Arc<dyn Details>,
    /// What a good webhook calls.
    pub look: Look,
    /// Who may send webhooks; `None`: they are off.
    pub secret: Option<Secret>,
}

/// What every request sees.
#[derive(Clone)]
struct Shared {
    view: watch::Receiver<Arc<View>>,
    asker: Asker,
    look: Look,
    secret: Option<Secret>,
    deliveries: webhook::Deliveries,
    counted: metrics::Counted,
    streams: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    ending: watch::Receiver<bool>,
}

impl Shared {
    fn newest(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }
}

/// Serves until `ending` says so or its sender is gone; open connections are given a moment then.
pub async fn serve(listener: TcpListener, site: Site, ending: watch::Receiver<bool>) {
    let guards = guard::Rules::of(&listener);
    let shared = Shared {
        view: site.view,
        asker: Asker::start(site.details),
        look: site.look,
        secret: site.secret,
        deliveries: webhook::Deliveries::start(),
        counted: metrics::Counted::new(),
        streams: Arc::new(Semaphore::new(events::MOST)),
        bodies: Arc::new(Semaphore::new(webhook::MOST_BODIES)),
        ending: ending.clone(),
    };
    connections::serve(listener, guard::guarded(routes(shared), guards), ending).await;
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/", get(page::fleet))
        .route("/deployments/{name}", get(page::deployment))
        .route("/events", get(events::stream))
        .route("/api/v1/fleet", get(api::fleet))
        .route("/api/v1/deployments/{name}", get(api::deployment))
        .route("/api/v1/deployments/{name}/detail", get(api::detail))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(api::alive))
        .route("/readyz", get(api::ready))
        .route("/webhook", post(webhook::receive))
        .route("/style.css", get(assets::style))
        .route("/page.js", get(assets::script))
        .route("/favicon.svg", get(assets::icon))
        .route("/favicon.ico", get(assets::icon))
        .fallback(page::nothing)
        .with_state(shared)
}
