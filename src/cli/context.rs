//! What was typed, understood: files, directories, time, colour, selected deployments.
//!
//! The environment is read here and nowhere else.

use std::collections::BTreeSet;
use std::env;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

use anstream::ColorChoice;
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::args::{Color, Global};
use super::error::CliError;
use super::hint::Hints;
use super::printer::can_ask;
use crate::desired::selector::{Selector, select};
use crate::engine::orphans::{self, Orphan};
use crate::engine::status::{self, Statuses};
use crate::engine::{Gone, Offline, Options, Recover, Stop, Unmanaged, Workspace};
use crate::host::Trust;
use crate::host::install::Agents;
use crate::host::reach::Reach;
use crate::host::ssh::{Settings, Shared};
use crate::model::fleet::Deployment;
use crate::model::{DeploymentName, PackName};
use crate::source;
use crate::source::checkout::FleetCommit;

/// Seconds that connections to hosts stay open for the next command.
const LINGER: u32 = 60;

/// What every command needs to know.
#[derive(Debug)]
pub struct Context {
    /// The fleet file, as it was typed.
    pub file: Utf8PathBuf,
    /// Where mirrors and objects are cached.
    pub cache: Utf8PathBuf,
    /// Where the key lies that signs what this machine publishes.
    pub status_key: Utf8PathBuf,
    /// The time at which this run began.
    pub now: Timestamp,
    /// When that was read, if time passes; `None`: it stands still.
    pub begun: Option<Instant>,
    /// Whether a person can be asked.
    pub can_ask: bool,
    /// Whether stderr is a terminal: progress may be shown.
    pub shows_progress: bool,
    /// Columns of the terminal, if output goes to one or `COLUMNS` says.
    pub width: Option<usize>,
    /// Whether long lists are shown whole.
    pub verbose: bool,
    /// What to type next.
    pub hints: Hints,
    /// Where GitHub Actions takes the summary of a step from.
    pub step_summary: Option<Utf8PathBuf>,
    /// How hosts are reached.
    pub reach: Arc<Reach>,
}

impl Context {
    /// Understands the options of every command.
    pub fn new(global: &Global) -> Result<Self, CliError> {
        let cache = cache(global.cache.as_deref())?;
        let (now, begun) = now()?;
        if let Some(config) = &global.ssh_config {
            source::ssh::use_config(config.into());
        }
        Ok(Self {
            file: global.file.clone(),
            reach: Arc::new(Reach::new(reach(global, &cache))),
            status_key: status_key(global.status_key.as_deref(), &cache),
            cache,
            now,
            begun,
            can_ask: can_ask(),
            shows_progress: std::io::stderr().is_terminal(),
            width: width(),
            verbose: global.verbose > 0,
            hints: Hints::new(&global.file),
            step_summary: env::var("GITHUB_STEP_SUMMARY")
                .ok()
                .filter(|file| !file.is_empty())
                .map(Utf8PathBuf::from),
        })
    }

    /// Reads the fleet.
    pub fn load(&self) -> Result<Arc<Workspace>, CliError> {
        // While there is one thread.
        crate::source::begin(env::var_os("SSL_CERT_FILE").as_deref());
        let workspace = Workspace::load(&self.file, &self.cache)?;
        Ok(Arc::new(workspace.reached_by(Arc::clone(&self.reach))))
    }

    /// The fleet as it was where what is checked out and a commit parted.
    pub fn load_merge_base(&self, rev: &str) -> Result<Arc<Workspace>, CliError> {
        Ok(Arc::new(Workspace::load_merge_base(&self.file, &self.cache, rev)?))
    }

    /// The commit where what is checked out and another one parted.
    pub fn merge_base(&self, rev: &str) -> Result<Option<FleetCommit>, CliError> {
        Ok(Workspace::merge_base(&self.file, rev)?)
    }

    /// The same fleet, on the host of one deployment.
    pub fn on_host_of(&self, workspace: Arc<Workspace>, name: &str) -> Result<Arc<Workspace>, CliError> {
        let own = self.one(&workspace, name)?.name.clone();
        // It was just read, and nobody else has it.
        let workspace = match Arc::try_unwrap(workspace) {
            Ok(workspace) => workspace,
            Err(_) => Workspace::load(&self.file, &self.cache)?.reached_by(Arc::clone(&self.reach)),
        };
        Ok(Arc::new(workspace.on_host_of(&own)))
    }

    /// The same fleet, with hosts as their statuses tell of them.
    pub fn told(&self, workspace: Arc<Workspace>) -> Result<Arc<Workspace>, CliError> {
        let names = workspace.fleet.deployments.keys().cloned().collect();
        workspace.hear(Arc::new(status::read(&workspace, &names, self.now)?));
        Ok(workspace)
    }

    /// The same fleet, with hosts as statuses tell of them that were read for another one.
    pub fn told_by(&self, workspace: &Arc<Workspace>, statuses: Arc<Statuses>) -> Arc<Workspace> {
        workspace.hear(statuses);
        Arc::clone(workspace)
    }

    /// The deployments that selectors mean; all for none.
    pub fn select(
        &self,
        workspace: &Workspace,
        selectors: &[String],
    ) -> Result<BTreeSet<DeploymentName>, CliError> {
        let selectors: Vec<Selector> =
            selectors.iter().map(|text| Selector::parse(text)).collect::<Result<_, _>>()?;
        Ok(select(&workspace.fleet, &selectors)?)
    }

    /// Deployments without a stanza; looked for where the whole fleet is asked about.
    pub fn orphans(&self, workspace: &Workspace, selectors: &[String]) -> Vec<Orphan> {
        if selectors.is_empty() { orphans::orphans(workspace) } else { Vec::new() }
    }

    /// The one deployment that a selector means.
    pub fn one<'a>(&self, workspace: &'a Workspace, text: &str) -> Result<&'a Deployment, CliError> {
        let names = self.select(workspace, &[text.to_owned()])?;
        let mut meant = names.iter().filter_map(|name| workspace.fleet.deployments.get(name));
        match (meant.next(), meant.next()) {
            (Some(one), None) => Ok(one),
            _ => {
                let names: Vec<&str> = names.iter().map(DeploymentName::as_str).collect();
                Err(CliError::Usage {
                    what: format!("{text} means {} deployments, and one is needed", names.len()),
                    hint: Some(format!("name one: {}", names.join(", "))),
                })
            }
        }
    }

    /// A pack by its name.
    pub fn pack(&self, text: &str) -> Result<PackName, CliError> {
        PackName::new(text)
            .map_err(|error| CliError::Usage { what: format!("{text:?}: {error}"), hint: None })
    }

    /// Options of those who tell how things stand for a loop.
    pub fn reading(&self) -> Options {
        Options { gone: Gone::Hold, ..self.options(Recover::Report) }
    }

    /// Options of a pass. Readers report an interrupted switch; writers recover it.
    pub fn options(&self, recover: Recover) -> Options {
        Options {
            jobs: None,
            trust: Trust::StatCache,
            list: Unmanaged::Ignore,
            recover,
            offline: Offline::Waits,
            gone: Gone::Say,
            stop: Stop::default(),
            hurry: None,
            now: self.now,
            begun: self.begun,
            voice: None,
        }
    }
}

/// How colour is asked for.
pub fn colour(color: Color) -> ColorChoice {
    match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
}

/// Texts that tell where a file comes from: of a deployment, of this machine, of its user. Common ones tell
/// nothing.
pub fn telling(deployment: &Deployment) -> Vec<(String, String)> {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let mut texts = vec![
        (format!("the root of {}", deployment.name), deployment.root.as_str().to_owned()),
        ("the deployment's name".to_owned(), deployment.name.to_string()),
    ];
    texts.extend(machine.map(|name| ("the name of this machine".to_owned(), name.trim().to_owned())));
    texts.extend(user.map(|name| ("the user's name".to_owned(), name)));
    const COMMON: [&str; 9] =
        ["root", "user", "admin", "localhost", "ubuntu", "debian", "test", "prod", "staging"];
    texts.retain(|(_, text)| text.len() > 2 && !COMMON.contains(&text.as_str()));
    texts
}

/// The directory of the controller's state: what must outlive a cache.
pub fn state() -> Result<Utf8PathBuf, CliError> {
    let directory = |name: &str| env::var(name).ok().filter(|value| value.starts_with('/'));
    let path = match (directory("STATE_DIRECTORY"), directory("XDG_STATE_HOME"), directory("HOME")) {
        // Of systemd, which may name several.
        (Some(given), ..) => Utf8PathBuf::from(given.split(':').next().unwrap_or_default()),
        (None, Some(state), _) => Utf8PathBuf::from(state).join("packfleet"),
        (None, None, Some(home)) => Utf8PathBuf::from(home).join(".local/state/packfleet"),
        (None, None, None) => {
            return Err(CliError::Usage {
                what: "there is no HOME, and so no directory for the controller's state".to_owned(),
                hint: Some("set XDG_STATE_HOME".to_owned()),
            });
        }
    };
    Ok(path)
}

/// The directory that this was started in.
pub fn here() -> Result<Utf8PathBuf, CliError> {
    camino::absolute_utf8(".").map_err(|source| CliError::File {
        operation: "find",
        path: Utf8PathBuf::from("."),
        source,
    })
}

/// The name of this machine.
pub fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this machine".to_owned(),
        name => name.to_owned(),
    }
}

/// A secret by the name of its variable.
pub fn secret(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The directory for temporary files.
pub fn temporary() -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(env::temp_dir()).unwrap_or_else(|_| Utf8PathBuf::from("/tmp"))
}

/// The editor that a person prefers; `None` if the environment names none.
pub fn editor() -> Option<String> {
    ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .find(|editor| !editor.trim().is_empty())
}

/// What goes to the log: `PACKFLEET_LOG`, else by the number of `-v`.
pub fn log_filter(verbose: u8) -> String {
    match env::var("PACKFLEET_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => match verbose {
            0 => "packfleet=warn",
            1 => "packfleet=info",
            2 => "packfleet=debug",
            _ => "packfleet=trace",
        }
        .to_owned(),
    }
}

fn cache(given: Option<&Utf8Path>) -> Result<Utf8PathBuf, CliError> {
    let wrong = |what: String| CliError::Usage { what, hint: Some("name one with --cache DIR".to_owned()) };
    let directory = |name: &str| env::var(name).ok().filter(|value| value.starts_with('/'));
    let path = match given {
        Some(path) => path.to_owned(),
        None => match (directory("XDG_CACHE_HOME"), directory("HOME")) {
            (Some(cache), _) => Utf8PathBuf::from(cache).join("packfleet"),
            (None, Some(home)) => Utf8PathBuf::from(home).join(".cache/packfleet"),
            (None, None) => return Err(wrong("there is no HOME, and so no cache directory".to_owned())),
        },
    };
    camino::absolute_utf8(&path).map_err(|error| wrong(format!("the cache directory {path}: {error}")))
}

/// Where this machine's key lies.
fn status_key(given: Option<&Utf8Path>, cache: &Utf8Path) -> Utf8PathBuf {
    let directory = |name: &str| env::var(name).ok().filter(|value| value.starts_with('/'));
    match (given, directory("XDG_CONFIG_HOME"), directory("HOME")) {
        (Some(path), ..) => path.to_owned(),
        (None, Some(config), _) => Utf8PathBuf::from(config).join("packfleet/status_key"),
        (None, None, Some(home)) => Utf8PathBuf::from(home).join(".config/packfleet/status_key"),
        (None, None, None) => cache.join("status_key"),
    }
}

/// How hosts are reached: with this ssh config, these agents, and sockets where nobody else comes.
fn reach(global: &Global, cache: &Utf8Path) -> Settings {
    let runtime = env::var("XDG_RUNTIME_DIR").ok().filter(|path| path.starts_with('/'));
    let sockets = runtime.map(Utf8PathBuf::from).filter(|path| path.is_dir());
    let sockets = sockets.map_or_else(|| cache.join("ssh"), |path| path.join("packfleet"));
    Settings {
        config: global.ssh_config.clone().map(Into::into),
        shared: Some(Shared { directory: sockets.into(), seconds: LINGER }),
        agents: Agents::new(global.agent_binary.iter().cloned().map(Into::into).collect()),
    }
}

/// The clock, and when it was read; or what tests say it is, which stays so.
fn now() -> Result<(Timestamp, Option<Instant>), CliError> {
    match env::var("PACKFLEET_NOW") {
        Err(_) => Ok((Timestamp::now(), Some(Instant::now()))),
        Ok(text) => text.parse().map(|now| (now, None)).map_err(|error| CliError::Usage {
            what: format!("PACKFLEET_NOW is no time: {error}"),
            hint: Some("write it like 2026-11-24T08:00:00Z".to_owned()),
        }),
    }
}

fn width() -> Option<usize> {
    let columns = env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
    columns.or_else(|| {
        let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
        Some(usize::from(width.0))
    })
}
