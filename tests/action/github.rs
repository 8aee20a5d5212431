//! A server that answers like GitHub's REST API, as far as the action asks: comments, issues, pull requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What it has, and what it was asked.
#[derive(Debug, Default)]
pub struct State {
    /// Comments of issues and pull requests: number, and the comment.
    pub comments: Vec<(u64, Value)>,
    /// Issues.
    pub issues: Vec<Value>,
    /// Pull requests, and events that were sent.
    pub sent: Vec<(String, Value)>,
    /// Requests: method and path.
    pub asked: Vec<String>,
    /// Whether nothing may be written.
    pub read_only: bool,
    last: u64,
}

/// The server; it ends with the process.
pub struct GitHub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

pub const TOKEN: &str = "a-token-nobody-may-see";

impl GitHub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own affair.
                let _gone = answer(stream, &shared);
            }
        });
        Self { address, state }
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (mut length, mut allowed) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => allowed = value.trim() == format!("Bearer {TOKEN}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut state = state.lock().expect("no panic holds it");
    state.asked.push(format!("{method} {path}"));
    let (status, told) = if allowed {
        state.answer(&method, &path, body)
    } else {
        (401, json!({ "message": "Bad credentials" }))
    };
    let text = told.to_string();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}

impl State {
    fn answer(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        if self.read_only && method != "GET" {
            return (403, json!({ "message": "Resource not accessible by integration" }));
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let of_page = |all: Vec<Value>| {
            let page = query
                .split('&')
                .find_map(|part| part.strip_prefix("page="))
                .map_or(1, |n| n.parse().expect("a page"));
            Value::Array(all.into_iter().skip((page - 1) * 100).take(100).collect())
        };
        match (method, &parts[..]) {
            ("GET", ["repos", _, _, "issues", number, "comments"]) => {
                let number: u64 = number.parse().expect("a number");
                let of = self.comments.iter().filter(|(on, _)| *on == number);
                (200, of_page(of.map(|(_, comment)| comment.clone()).collect()))
            }
            ("POST", ["repos", _, _, "issues", number, "comments"]) => {
                let number = number.parse().expect("a number");
                self.comment(number, "Bot", body["body"].as_str().expect("a body"));
                (201, json!({}))
            }
            ("PATCH", ["repos", _, _, "issues", "comments", id]) => {
                let id: u64 = id.parse().expect("a number");
                let mine =
                    self.comments.iter_mut().find(|(_, comment)| comment["id"] == id).expect("a comment");
                mine.1["body"] = body["body"].clone();
                (200, json!({}))
            }
            ("GET", ["repos", _, _, "issues"]) => {
                let labelled = |issue: &&Value| {
                    issue["state"] == "open"
                        && issue["labels"].as_array().is_some_and(|all| all.contains(&json!("packfleet")))
                };
                (200, of_page(self.issues.iter().filter(labelled).cloned().collect()))
            }
            ("POST", ["repos", _, _, "issues"]) => {
                let mut issue = body;
                issue["number"] = json!(self.next());
                issue["state"] = json!("open");
                self.issues.push(issue.clone());
                (201, issue)
            }
            ("PATCH", ["repos", _, _, "issues", number]) => {
                let number: u64 = number.parse().expect("a number");
                let issue = self.issues.iter_mut().find(|issue| issue["number"] == number).expect("an issue");
                for (key, value) in body.as_object().expect("an object") {
                    issue[key] = value.clone();
                }
                (200, issue.clone())
            }
            ("POST", ["repos", _, _, what @ ("dispatches" | "pulls")]) => {
                self.sent.push(((*what).to_owned(), body));
                (201, json!({}))
            }
            _ => (404, json!({ "message": "Not Found" })),
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Somebody comments.
    pub fn comment(&mut self, number: u64, user: &str, body: &str) {
        let id = self.next() + 1000;
        self.comments.push((number, json!({ "id": id, "body": body, "user": { "type": user } })));
    }
}
