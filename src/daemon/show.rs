//! Who hears the loop's news and shows them: the View, and the server that serves it.
//!
//! ```text
//! News ─► Board ─► View ─► watch ─► server (a thread of its own), messages
//! ```
//! The server listens where the fleet in force says, and moves when that changes. An address that cannot be had is
//! said loudly, shown as a problem, and tried again each time git is asked; the loop goes on without it. Secrets
//! come from [`Setup::environment`]; one that is named and not set is a problem, too.
//!
//! A loop that begins with a fleet.toml that is wrong shows just that: where the page is to be is read from what can be
//! understood of the file, else it is where it was the last time, which [`Setup::memory`] knows.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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
use crate::engine::{LoadError, Workspace, orphans};
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
    /// Where is remembered where the page was.
    pub memory: Utf8PathBuf,
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
    /// Why there is no page where there should be one, and where that is.
    no_page: Option<(Wish, Problem)>,
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
        let no_page = self.no_page.as_ref().map(|(_, problem)| problem);
        let problems = self.trouble.iter().chain(no_page).chain(&self.mute).cloned();
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
        remember(&self.setup.memory, wished.as_ref());
        self.wish(wished);
    }

    /// Where the page is from now on; `None`: nowhere.
    fn wish(&mut self, wished: Option<Wish>) {
        if self.page.as_ref().map(|page| &page.wish) != wished.as_ref() || self.no_page.is_some() {
            // The address may be the same: the old server lets go of it first.
            drop(self.page.take());
            match wished {
                Some(wish) => self.open(wish),
                None => self.no_page = None,
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
                self.no_page = None;
            }
            Err(error) => {
                let why = in_one_line(&error);
                let now = (wish.clone(), problem_of_address(&wish.listen, &why));
                // It is tried each time git is asked, and said once.
                if self.no_page.as_ref() != Some(&now) {
                    tracing::error!(address = wish.listen, why, "there is no page");
                }
                self.no_page = Some(now);
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
            News::Trouble { trouble, in_force } => {
                self.trouble(trouble);
                if !in_force && self.page.is_none() {
                    let said = match trouble {
                        Trouble::Load(LoadError::Invalid { texts, .. }) => texts.first(),
                        _ => None,
                    };
                    let said = said.and_then(|text| outward(&text.text));
                    self.wish(said.or_else(|| remembered(&self.setup.memory)));
                }
            }
            News::TroubleOver => self.trouble.clear(),
            News::Asked { errors, .. } => {
                if let Some((wish, _)) = self.no_page.clone() {
                    self.wish(Some(wish));
                }
                let fleet = self.setup.fleet.borrow().clone();
                let packs = fleet.iter().flat_map(|workspace| workspace.fleet.packs.values());
                let silent = packs.filter(|pack| errors.iter().any(|(source, _)| *source == pack.source));
                self.board.silent(silent.map(|pack| pack.name.to_string()));
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Wish {
    listen: String,
    /// Of the secret of webhooks.
    variable: Option<String>,
}

/// Where a fleet file that is wrong wants the page, as far as its `[run]` can be read.
fn outward(text: &str) -> Option<Wish> {
    #[derive(Deserialize)]
    struct Whole {
        run: Run,
    }
    #[derive(Deserialize)]
    struct Run {
        listen: String,
        webhook_secret: Option<Variable>,
    }
    #[derive(Deserialize)]
    struct Variable {
        env: String,
    }
    let table = || {
        let lines = text.lines().skip_while(|line| line.trim() != "[run]");
        let own = lines.enumerate().take_while(|(at, line)| *at == 0 || !line.trim_start().starts_with('['));
        own.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let Whole { run } = toml::from_str(text).or_else(|_| toml::from_str(&table())).ok()?;
    Some(Wish { listen: run.listen, variable: run.webhook_secret.map(|secret| secret.env) })
}

/// Where the page was the last time; `None` if nowhere, or nobody knows.
fn remembered(memory: &Utf8Path) -> Option<Wish> {
    serde_json::from_slice(&fs::read(memory).ok()?).ok()
}

/// Takes note of where the page is. Writes only if that is news; a note that cannot be written is missed only by a loop
/// that begins with a fleet.toml that is wrong.
fn remember(memory: &Utf8Path, wish: Option<&Wish>) {
    if remembered(memory).as_ref() == wish {
        return;
    }
    let written = match wish {
        None => fs::remove_file(memory),
        Some(wish) => {
            let new = memory.with_extension(format!("{}.new", std::process::id()));
            fs::create_dir_all(memory.parent().unwrap_or(memory))
                .and_then(|()| fs::write(&new, serde_json::to_vec(wish).unwrap_or_default()))
                .and_then(|()| fs::rename(&new, memory))
        }
    };
    if let Err(error) = written {
        tracing::debug!(%error, %memory, "nobody will know where the page was");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_page_is_to_be_is_read_of_a_file_that_is_wrong() {
        let run = "[run]\nlisten = \"127.0.0.1:1\"\nwebhook_secret = { env = \"HOOK\" }\n";
        let wish = Wish { listen: "127.0.0.1:1".into(), variable: Some("HOOK".into()) };
        for text in
            [format!("{run}[fleet]\nbogus = 1"), format!("[fleet]\nname = \n{run}[sources]\n<<<<<<< HEAD\n")]
        {
            assert_eq!(outward(&text).as_ref(), Some(&wish), "{text}");
        }
        for text in ["", "[run]\npoll = \"1s\"", "[run]\nlisten = 1", "listen = \"127.0.0.1:1\""] {
            assert_eq!(outward(text), None, "{text}");
        }
    }

    #[test]
    fn where_the_page_was_is_remembered_and_forgotten() {
        let top = tempfile::tempdir().unwrap();
        let memory = Utf8Path::from_path(top.path()).unwrap().join("page/f.json");
        assert_eq!(remembered(&memory), None);
        let wish = Wish { listen: "localhost:1".into(), variable: None };
        for wish in [Some(&wish), None] {
            remember(&memory, wish);
            assert_eq!(remembered(&memory).as_ref(), wish);
        }
        assert_eq!(std::fs::read_dir(top.path().join("page")).unwrap().count(), 0);
    }
}
