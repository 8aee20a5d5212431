//! One attempt at one quick check of health: a URL that answers, a command that succeeds.

use std::io::Read;
use std::time::Duration;

use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::beneath::Dir;
use super::command::{Offspring, Run, run};
use crate::model::care::{self, Check};

/// Of an answer so much is read, to be shown.
const ANSWER: u64 = 2 << 10;

/// What an attempt did not like, and the lines that tell more.
pub type Complaint = (String, Vec<String>);

/// Makes the attempt; it takes no longer than `limit`. Gives what passed, in words.
pub fn attempt(check: &Check, at: &Dir, limit: Duration) -> Result<String, Complaint> {
    match check {
        Check::Http { url, expect, .. } => http(url.expose(), *expect, limit),
        Check::Command { run: words, expect, .. } => command(words, *expect, at, limit),
        Check::ActiveFor { .. } | Check::Errors { .. } => {
            Err(("it is watched, not tried".to_owned(), Vec::new()))
        }
    }
}

fn http(url: &str, expect: u16, limit: Duration) -> Result<String, Complaint> {
    let certificates =
        TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .tls_config(certificates)
        .user_agent(concat!("packfleet/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    match agent.get(url).call() {
        Ok(answer) if answer.status() == expect => Ok(format!("http {expect}")),
        Ok(answer) => {
            let why = format!("it answered {}, not {expect}", answer.status().as_u16());
            let mut text = Vec::new();
            let body = answer.into_body().into_reader().take(ANSWER).read_to_end(&mut text);
            let text = String::from_utf8_lossy(&text);
            Err((why, if body.is_ok() { lines(&text) } else { Vec::new() }))
        }
        Err(ureq::Error::Timeout(_)) => {
            Err((format!("it had not answered after {}", care::seconds(limit)), Vec::new()))
        }
        Err(error) => Err((format!("it does not answer: {error}"), Vec::new())),
    }
}

fn command(words: &[String], expect: i32, at: &Dir, limit: Duration) -> Result<String, Complaint> {
    let command = Run { words, at, environment: &[], limit, offspring: Offspring::Ends };
    match run(&command) {
        Ok(ran) => match ran.failure(expect, limit) {
            None => Ok(format!("{} ok", words.join(" "))),
            Some(why) => Err((why, lines(&ran.output))),
        },
        Err(error) => Err((format!("it cannot be run: {error}"), Vec::new())),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
