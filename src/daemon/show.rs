//! Who hears the loop's news and shows them: the View, and the server that serves it.
//!
//! ```text
//! News ─► Board ─► View ─► watch ─► server (a thread of its own), messages
//! ```
//! The server listens where the fleet in force says, and moves when that changes. An address that cannot be had is
//! said loudly, shown as a problem, and tried again each time git is asked; the loop goes on without it. Secrets
//! come from [`Setup::environment`]; one that is named and not set is a problem, too.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::watch;

use super::board::{Board, Depth, Passed};
use super::detail::Details;
use super::event::Trigger;
use super::messenger::{Messenger, Target};
use super::news::{Audience, News};
use super::origin::Trouble;
use super::queue::Kind;
use super::secret::Secret;
use super::view::{About, Problem, View, Wording};
use super::web::{Site, serve};
use crate::engine::{Workspace, orphans};
use crate::model::cause::in_one_line;

/// Looks a variable of the environment up.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What showing needs from the floor above.
pub struct Setup {
    /// How this controller is called.
    pub controller: String,
    /// The words.
    pub wording: Box<dyn Wording + Send>,
    /// Who looks closely at one deployment.
    pub details: Arc<dyn Details>,
    /// Where secrets come from.
    pub environment: Environment,
    /// Whom to tell which fleet is in force, so that details are of it.
    pub fleet: watch::Sender<Option<Arc<Workspace>>>,
}

/// Shows.
pub struct Show {
    setup: Setup,
    board: Board,
    views: watch::Sender<Arc<View>>,
    trigger: Option<Trigger>,
    /// What is wrong with fleet.toml or with getting it.
    trouble: Vec<Problem>,
    page: Option<Page>,
    /// Why there is no page where there should be one.
    no_page: Option<Problem>,
    messenger: Option<Messenger>,
    /// Receivers whose address is not known.
    mute: Vec<Problem>,
}

impl Show {
    /// Nothing was heard yet.
    pub fn new(setup: Setup, now: Timestamp) -> Self {
        let board = Board::new(&setup.controller, now);
        let (views, _) = watch::channel(board.view());
        Self {
            setup,
            board,
            views,
            trigger: None,
            trouble: Vec::new(),
            page: None,
            no_page: None,
            messenger: None,
            mute: Vec::new(),
        }
    }

    /// The newest View, and that there is a newer one.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.views.subscribe()
    }

    fn publish(&mut self) {
        let problems = self.trouble.iter().chain(&self.no_page).chain(&self.mute).cloned();
        let problems = problems.chain(self.page.iter().flat_map(|page| page.problem.clone())).collect();
        self.board.complain(problems);
        self.views.send_replace(self.board.view());
        if let Some(messenger) = &self.messenger {
            messenger.see(self.board.view());
        }
    }

    fn fleet(&mut self, workspace: &Arc<Workspace>) {
        self.board.fleet(workspace, Timestamp::now());
        self.setup.fleet.send_replace(Some(Arc::clone(workspace)));
        self.messages(workspace);
        let outward = &workspace.fleet.outward;
        let wished = outward
            .listen
            .as_ref()
            .map(|listen| Wish { listen: listen.clone(), variable: outward.webhook_secret.clone() });
        if self.page.as_ref().map(|page| &page.wish) != wished.as_ref() || self.no_page.is_some() {
            // The address may be the same: the old server lets go of it first.
            drop(self.page.take());
            self.no_page = None;
            if let Some(wish) = wished {
                self.open(wish);
            }
        }
    }

    /// Who is told from now on.
    fn messages(&mut self, workspace: &Workspace) {
        self.mute.clear();
        let notify = &workspace.fleet.outward.notify;
        if notify.is_empty() && self.messenger.is_none() {
            return;
        }
        let mut targets = Vec::new();
        for one in notify {
            match (self.setup.environment)(&one.url).and_then(Secret::new) {
                Some(url) => targets.push(Target::new(one, url)),
                None => self.mute.push(problem(
                    format!("notify: the variable {} is not set, so nobody is told there", one.url),
                    "set it where the controller is started, and start it again",
                )),
            }
        }
        if self.messenger.is_none() {
            let place = blake3::hash(workspace.place().as_bytes()).to_hex();
            let name = format!("{}-{}.json", workspace.fleet.name, &place[..12]);
            match Messenger::start(workspace.cache.join("messages").join(name)) {
                Ok(messenger) => self.messenger = Some(messenger),
                Err(error) => tracing::error!(%error, "nobody is told anything"),
            }
        }
        if let Some(messenger) = &self.messenger {
            messenger.targets(targets);
        }
    }

    fn open(&mut self, wish: Wish) {
        let Some(trigger) = self.trigger.clone() else { return };
        let secret = wish.variable.as_ref().map(|name| (name, (self.setup.environment)(name)));
        let problem = match &secret {
            Some((name, None)) => Some(problem(
                format!("run.webhook_secret: the variable {name} is not set, so webhooks are off"),
                "set it where the controller is started, and start it again",
            )),
            _ => None,
        };
        let site = Site {
            view: self.views.subscribe(),
            details: Arc::clone(&self.setup.details),
            look: Arc::new(move || trigger.pushed()),
            secret: secret.and_then(|(_, secret)| secret).and_then(Secret::new),
        };
        match Page::open(wish.clone(), site, problem) {
            Ok(page) => {
                tracing::info!(address = %page.address, "the page is open");
                if !page.address.ip().is_loopback() {
                    tracing::warn!(address = %page.address, "whoever reaches this address can read the page");
                }
                self.page = Some(page);
            }
            Err(error) => {
                let why = in_one_line(&error);
                tracing::error!(address = wish.listen, why, "there is no page");
                self.no_page = Some(problem_of_address(&wish.listen, &why));
            }
        }
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.trouble = match trouble {
            Trouble::Load(error) => self.setup.wording.problems(error),
            _ => vec![Problem {
                file: "fleet.toml".to_owned(),
                line: None,
                message: in_one_line(trouble),
                hint: None,
                about: match trouble {
                    Trouble::Repository(_) => About::Controller,
                    _ => About::FleetRepository,
                },
            }],
        };
    }
}

fn problem(message: String, hint: &str) -> Problem {
    let (file, hint) = ("fleet.toml".to_owned(), Some(hint.to_owned()));
    Problem { file, line: None, message, hint, about: About::Controller }
}

fn problem_of_address(listen: &str, why: &str) -> Problem {
    problem(
        format!("run.listen: {listen} cannot be listened on: {why}"),
        "see who has that port (`ss -ltnp`), or name another one",
    )
}

impl Audience for Show {
    fn hear(&mut self, news: &News<'_>) {
        match news {
            News::Begun { trigger } => self.trigger = Some((*trigger).clone()),
            News::Fleet { workspace, .. } => self.fleet(workspace),
            News::Trouble { trouble, .. } => self.trouble(trouble),
            News::TroubleOver => self.trouble.clear(),
            News::Asked { errors, .. } => {
                let fleet = self.setup.fleet.borrow().clone();
                let packs = fleet.iter().flat_map(|workspace| workspace.fleet.packs.values());
                let silent = packs.filter(|pack| errors.iter().any(|(source, _)| *source == pack.source));
                self.board.silent(silent.map(|pack| pack.name.to_string()));
                if let (Some(workspace), Some(_)) = (&fleet, &self.no_page) {
                    self.fleet(workspace);
                }
            }
            News::Looked { workspace, reports, pass } => {
                let took = jiff::SignedDuration::try_from(pass.took).unwrap_or_default();
                let ended = pass.began.checked_add(took).unwrap_or(pass.began);
                let orphans = orphans::orphans(workspace);
                let depth = if pass.kind == Kind::Look { Depth::Look } else { Depth::Pass };
                let passed =
                    Passed { depth, workspace, reports, orphans: Some(&orphans), began: pass.began, ended };
                for change in self.board.passed(&passed, self.setup.wording.as_ref()) {
                    tracing::debug!(?change, "a deployment changed");
                }
            }
            News::Stopping => {}
        }
        self.publish();
    }
}

/// What a page was opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    listen: String,
    variable: Option<String>,
}

/// A server on a thread of its own. It ends with this value.
struct Page {
    wish: Wish,
    address: SocketAddr,
    problem: Option<Problem>,
    ending: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    fn open(wish: Wish, site: Site, problem: Option<Problem>) -> Result<Self, std::io::Error> {
        let listen = match wish.listen.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => wish.listen.clone(),
        };
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (ending, ends) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("page".to_owned()).spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, site, ends).await,
                    Err(error) => tracing::error!(%error, "there is no page"),
                }
            });
            // A host that is still being asked keeps nobody waiting.
            runtime.shutdown_background();
        })?;
        Ok(Self { wish, address, problem, ending, thread: Some(thread) })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ended = self.ending.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the page's thread died; this is a defect");
        }
    }
}
