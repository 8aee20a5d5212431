//! Who may ask, and what every answer carries.
//!
//! A page of the web can make a browser ask a server on loopback, under a name that it made to lead there (DNS
//! rebinding): so a server on loopback answers only to names of this machine. Webhooks are let through under any
//! name: they are signed, and a proxy hands them on under its own.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// Nothing of another origin, no inline script or style, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src \
                      'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Which names are answered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Those of this machine.
    OnlyLoopback,
    /// Any.
    Anyone,
}

impl Rules {
    /// Those for where a listener listens.
    pub(super) fn of(listener: &TcpListener) -> Self {
        match listener.local_addr().map(|address| address.ip().to_canonical().is_loopback()) {
            Ok(false) => Self::Anyone,
            _ => Self::OnlyLoopback,
        }
    }
}

/// Routes that only who may asks, with the headers on every answer.
pub(super) fn guarded(routes: Router, rules: Rules) -> Router {
    routes.layer(from_fn_with_state(rules, guard))
}

async fn guard(State(rules): State<Rules>, request: Request, next: Next) -> Response {
    let signed = request.uri().path() == "/webhook";
    let mut response = if rules == Rules::Anyone || signed || is_of_this_machine(request.headers()) {
        next.run(request).await
    } else {
        let text = "this server listens on loopback and answers to localhost and 127.0.0.1 only; a proxy in front \
                    of it sets the Host header to one of them\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request names this machine, once.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(is_local)
}

fn is_local(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return address.is_loopback();
    }
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "0"));
    name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in
            ["localhost", "LOCALHOST:8787", "127.0.0.1", "127.0.0.1:1", "127.9.9.9:80", "[::1]", "[::1]:80"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example.org",
            "localhost.evil.example.org",
            "127.0.0.1.evil.example.org",
            "localhost:x",
            "10.0.0.1",
            "[::2]:80",
            "evil.example.org:8787",
            "localhost@evil",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn a_name_given_twice_is_none() {
        let mut headers = HeaderMap::new();
        assert!(!is_of_this_machine(&headers));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(is_of_this_machine(&headers));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(!is_of_this_machine(&headers));
    }
}
