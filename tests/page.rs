//! The page and what is served beside it: over real sockets, and in a real browser.
//!
//! `sockets` speaks HTTP byte by byte, so that it can be as rude as it likes; `browser` opens the page in Chromium
//! and is skipped, loudly, where that or Node is missing. Both serve Views that `fleets` makes.
//! `messages` posts to a receiver that fails at first; `follows` is `status --watch`; `whole` is
//! `packfleet run` with all of it.

#[path = "page/browser.rs"]
mod browser;
#[path = "page/fleets.rs"]
mod fleets;
#[path = "page/follows.rs"]
mod follows;
#[path = "page/messages.rs"]
mod messages;
#[path = "page/server.rs"]
mod server;
#[path = "page/sockets.rs"]
mod sockets;
#[path = "page/webhooks.rs"]
mod webhooks;
#[path = "page/whole.rs"]
mod whole;
