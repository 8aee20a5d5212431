//! Every key of a fleet file: the tables as people write them, before anything is followed or merged.
//!
//! The comments here are what the JSON schema says of each key. A key that is not here is an error.

use schemars::JsonSchema;

use super::document::{Node, Value};
use super::noun::{FromEnvironment, RefName, Revision, Within};
use super::problem::quoted;
use super::publishing::PublicKey;
use super::read::{At, Map, Read, expected, table};
use super::report::{Report, fault};
use super::requirement::VersionRange;
use super::scalar;
use super::scalar::{
    Bytes, Clock, Count, Days, Expression, Growth, IgnorePattern, Moment, PathPattern, Percent, Period, Zone,
    from_text, refused,
};
use super::selector::Selector;
use crate::model::fleet::{Changed, Deleted, Mode, State};
use crate::model::outward::Topic;
use crate::model::pack::{Case, Modes, TagPattern};
use crate::model::rollout::Share;
use crate::model::{FleetName, OverlayName, PackName, SourceName, TreePath};

/// A list, with the place of each item.
pub(super) type List<T> = Vec<At<T>>;

table! {
    /// A packfleet fleet: deployments, and the versions of packs that they should hold
    RawFile is "a fleet file" {
        /// The fleet as a whole
        fleet: RawFleet,
        /// How large a change may be before it needs consent
        budget: RawBudget,
        /// Where packs come from, by name
        sources: Map<RawSource>,
        /// Packs, by name: directories of a source that are installed as a unit
        packs: Map<RawPack>,
        /// What several deployments share, by name: tables merge, lists append, a pin is replaced whole
        profiles: Map<RawProfile>,
        /// Deployments, by name or range of names ("edge-{001..200}")
        deployments: Map<RawDeployment>,
        /// Stages, in order: a later one moves only to what the earlier ones ran, healthy, for the soak
        rollout: List<RawStage>,
        /// The continuous loop
        run: RawRun,
        /// Where hosts' manifests are published
        status: RawStatus,
        /// What a pack may ask of a host
        limits: RawLimits,
        /// Messages to people: one per cause, when it begins and when it ends
        notify: List<RawNotify>,
    }
}

table! {
    /// The fleet as a whole
    RawFleet is "[fleet]" {
        /// Shown in reports
        name: FleetName,
        /// Further files with sources, packs, profiles and deployments, as globs relative to this file
        include: List<PathPattern>,
        /// What becomes of undeclared changes on a host
        edits: RawEdits,
        /// A JSON file under each deployment's root that says what it holds; none if omitted
        version_file: TreePath,
        /// A file under each deployment's root that gets one line per sync; none if omitted
        sync_log: TreePath,
        /// How many generations can be rolled back to (default 20)
        keep_generations: Count<1, 10_000>,
    }
}

table! {
    /// What becomes of undeclared changes on a host; the nearest of deployment, pack and fleet wins
    RawEdits is "edits" {
        /// Changed files: merge = keep and merge into upgrades (default), keep = never touch, revert = put ours, the edit is saved first
        changed: Changed,
        /// Deleted files: restore (default) or keep them away
        deleted: Deleted,
    }
}

table! {
    /// How large a change may be before it needs consent
    RawBudget is "[budget]" {
        /// Deletions, in percent of a pack's recorded files on one deployment; up to 3 files never count (default 25%)
        max_delete: Percent,
        /// All changes, in percent of a pack's recorded files on one deployment (default 100%)
        max_change: Percent,
        /// Moves that may exceed the budget, as in "slack@1.1.0..1.2.0"
        consent: List<String>,
    }
}

table! {
    /// A git repository or a directory that holds packs: exactly one of url and path
    RawSource is "a source" {
        /// A git repository: https or file URL, absolute path, or path relative to this file
        url: String,
        /// Where `export --push` goes (default: url)
        push_url: String,
        /// Signers of whom one must have signed what is pinned
        signed_by: TreePath,
        /// Branches that `export` never pushes to
        protected: List<RefName>,
        /// A plain directory, for a pack under development
        path: String,
    }
}

table! {
    /// A pack: a directory of a source that is installed as a unit
    RawPack is "a pack" {
        /// The source that holds it
        source: SourceName,
        /// Its directory in the source; "." is the whole source
        dir: Within,
        /// Where it lay in earlier versions
        aliases: List<TreePath>,
        /// How its versions are written as tags (default "v{version}")
        tag: TagPattern,
        /// What goes where under a deployment's root; the most specific key wins
        install: Map<Within>,
        /// Where all of the pack goes under a deployment's root, instead of install
        target: Within,
        /// gitignore patterns relative to each target, and keys of structured files, that belong to the host
        host_owns: List<RawOwned>,
        /// Whether the exec bit counts (default exec-bit)
        modes: Modes,
        /// Whether two names may differ in letter case only (default refuse)
        case: Case,
        /// Packs that converge before this one, where the deployment has them
        requires: List<PackName>,
        /// Its key in the VERSION file (default "<pack>_version")
        version_key: String,
        /// Whether one held path holds the whole pack (default true)
        atomic: bool,
        /// What becomes of undeclared changes to this pack's files
        edits: RawEdits,
        /// Commands that must succeed in a private copy of the new tree, before the switch
        check: List<Command>,
        /// Commands to run after the switch, when some paths changed
        on_change: List<RawOnChange>,
        /// The service that is restarted when the pack changed
        service: RawService,
        /// The command that restarts it, instead of a service
        restart: Command,
        /// What must hold after a change; else the host goes back to what it had
        health: List<RawHealth>,
    }
}

table! {
    /// Keys of a structured file that belong to the host
    RawHostKeys is "host_owns" {
        /// The file, in the pack
        file: TreePath,
        /// JSON pointers to the keys
        keys: List<String>,
    }
}

table! {
    /// What to run when some paths changed
    RawOnChange is "on_change" {
        /// Globs over the pack's paths
        paths: List<PathPattern>,
        /// The command, run in the pack's first directory on the host
        run: Command,
    }
}

table! {
    /// A systemd unit
    RawService is "service" {
        /// Its name
        unit: String,
        /// Whether it is a unit of the user and not of the system
        user: bool,
        /// Whether it stops before the switch
        stop_first: bool,
    }
}

table! {
    /// One check of health: exactly one of http, command, active_for, journal and log
    RawHealth is "health" {
        /// A URL that must answer
        http: String,
        /// A command that must succeed, run in the pack's first directory on the host
        command: Command,
        /// The HTTP status (default 200) or exit status (default 0)
        expect: Count<0, 599>,
        /// Within what time of the restart it must pass (default 30s)
        within: Period,
        /// How long the unit must stay up, without a restart loop
        active_for: Period,
        /// A unit whose journal is watched for errors
        journal: String,
        /// A file under the root that is watched for errors
        log: TreePath,
        /// What an error looks like
        error: Expression,
        /// By how much errors may increase (default 50%)
        max_increase: Growth,
        /// How many errors never count (default 5)
        at_least: Count<0, 1_000_000>,
        /// How long is watched, before and after (default 10m)
        over: Period,
    }
}

table! {
    /// One named place with a host, a root directory and some packs
    RawDeployment is "a deployment" {
        /// The profile that it refines
        profile: String,
        /// "local", "ssh://user@host:port" or a Host of your ssh config
        host: String,
        /// The directory beneath which everything lies: absolute; of a local deployment also relative to this file
        root: String,
        /// Shown in the VERSION file
        location: String,
        /// What selectors label:X match
        labels: List<Label>,
        /// converge (default), or observe: report only
        mode: Mode,
        /// absent: remove what packfleet installed, edits kept
        state: State,
        /// What becomes of undeclared changes on this deployment
        edits: RawEdits,
        /// Its packs and their versions
        packs: Map<RawPin>,
        /// Deployments that must hold this fleet's packs, healthy, before this one moves
        depends_on: List<Selector>,
        /// Whether packfleet works as root there
        sudo: bool,
        /// Nothing is changed there for a while
        pause: RawPause,
        /// When it may be changed
        window: RawWindow,
        /// Checks of health instead of the pack's, by pack
        health: Map<List<RawHealth>>,
        /// The public key with which the host signs its own status, as `packfleet bootstrap` prints it
        status_key: PublicKey,
    }
}

table! {
    /// A version of a pack: exactly one of version, tag, branch and rev
    RawPin is "a pin" like "{ version = \"1\" }" {
        /// A semver requirement, matched against tags: "1", "^1.1", ">=1.2, <2"
        version: VersionRange,
        /// One tag, by its full name
        tag: RefName,
        /// The tip of a branch
        branch: RefName,
        /// A commit, by its id or the first digits of it
        rev: Revision,
        /// Not held by fleet.lock
        follow: bool,
        /// Directories of overlays/ that customize the pack, applied in this order
        overlays: List<OverlayName>,
        /// Shown in the VERSION file
        features: List<String>,
    }
}

table! {
    /// Nothing is changed there for a while
    RawPause is "pause" {
        /// Shown to whoever asks why
        reason: String,
        /// When it ends
        until: Moment,
    }
}

table! {
    /// When a deployment may be changed
    RawWindow is "window" {
        /// Days: "mon-thu"
        days: Days,
        /// From when: "09:00"
        from: Clock,
        /// Until when: "16:00"
        to: Clock,
        /// Whose time
        zone: Zone,
    }
}

table! {
    /// A stage of a rollout
    RawStage is "a rollout stage" {
        /// Whom it holds; a deployment is in the first stage that selects it
        select: List<Selector>,
        /// How long it must run the new tree, healthy
        soak: Period,
        /// How many deployments move at once: a number or a percentage
        max_parallel: Share,
        /// More failures than this stop the rollout
        max_failures: Count<0, 100_000>,
    }
}

table! {
    /// The continuous loop
    RawRun is "[run]" {
        /// How often git is asked
        poll: Period,
        /// How often every host is looked at, whatever happened
        resync: Period,
        /// How often the stat cache is distrusted
        full_rehash: Period,
        /// How long to wait after a failure
        retry: RawRetry,
        /// Hosts at a time
        jobs: Count<1, 10_000>,
        /// How long a host may take
        host_timeout: Period,
        /// Address and port of the status page
        listen: Listen,
        /// The secret that signs webhooks; none: webhooks are off
        webhook_secret: FromEnvironment,
    }
}

table! {
    /// How long to wait after a failure
    RawRetry is "retry" {
        /// At first
        initial: Period,
        /// At most
        max: Period,
    }
}

table! {
    /// Where hosts' manifests are published
    RawStatus is "[status]" {
        /// A git repository that takes them
        git: String,
        /// A directory that takes them, instead of git
        directory: String,
        /// Below which refs (default "refs/packfleet/status")
        ref_prefix: RefName,
        /// How often, if nothing changes (default 15m); three times as old, a status is stale
        heartbeat: Period,
        /// The public key of whoever applies to many and publishes for them; its word counts for every deployment
        key: PublicKey,
    }
}

table! {
    /// What a pack may ask of a host
    RawLimits is "[limits]" {
        /// Entries of its tree (default 200000)
        entries: Count<1, 100_000_000>,
        /// Bytes of its tree (default 2GiB)
        bytes: Bytes,
        /// Bytes of one file (default 64MiB)
        file: Bytes,
        /// Bytes of all paths together (default 32MiB)
        paths: Bytes,
        /// Components of a path (default 256)
        depth: Count<1, 2000>,
    }
}

table! {
    /// Messages to people
    RawNotify is "[[notify]]" {
        /// Where Slack-compatible JSON is posted
        url: FromEnvironment,
        /// Which events it tells
        on: List<Topic>,
    }
}

/// A profile is a deployment without a profile of its own.
#[derive(Debug, Clone)]
pub(super) struct RawProfile;

impl Read for RawProfile {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let entry = match &node.value {
            Value::Table(table) => table.get("profile"),
            _ => None,
        };
        if let Some(entry) = entry {
            let message = format!("{} names a profile of its own: profiles do not nest", report.path());
            let fault = fault(message, "no key of a profile");
            report.add(&entry.key, fault.hint("repeat here what that profile says"));
        }
        RawDeployment::read(node, report).map(|_| Self)
    }
}

impl JsonSchema for RawProfile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RawProfile".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = RawDeployment::json_schema(generator);
        schema.insert("description".into(), "What several deployments share".into());
        if let Some(keys) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
            keys.shift_remove("profile");
        }
        schema
    }
}

/// A pattern, or keys of a file.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RawOwned {
    /// A gitignore pattern, relative to each target
    Pattern(IgnorePattern),
    /// Keys of a structured file
    Keys(RawHostKeys),
}

impl Read for RawOwned {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::Text(_) => IgnorePattern::read(node, report).map(Self::Pattern),
            Value::Table(_) => RawHostKeys::read(node, report).map(Self::Keys),
            _ => expected(node, "a pattern, or { file = \"…\", keys = [\"…\"] }", report),
        }
    }
}

scalar::schema!(Share, {
    "anyOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": "^(100|[0-9]{1,2})%$" },
    ],
});

impl Read for Share {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::Integer(_) => Count::<1, 100_000>::read(node, report).map(|count| Self::Number(count.0)),
            _ => Percent::read(node, report).map(|percent| Self::Percent(percent.0)),
        }
    }
}

/// Where to listen: an IP address, or `localhost`, and a port.
#[derive(Debug, Clone)]
pub(super) struct Listen(pub String);
scalar::schema!(Listen, { "type": "string", "pattern": "^.+:[0-9]{1,5}$" });

impl Read for Listen {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "an address and a port", report, |text| {
            let known = text.rsplit_once(':').is_some_and(|(address, port)| {
                let address = address.strip_prefix('[').map_or(address, |inner| inner.trim_end_matches(']'));
                let numeric = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
                let host = address == "localhost" || (!address.is_empty() && address.chars().all(numeric));
                host && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
            });
            let why = || refused(format!("{} is no address with a port", quoted(text)));
            known.then(|| Self(text.to_owned())).ok_or_else(|| why().hint("as in \"127.0.0.1:8787\""))
        })
    }
}

/// What selectors `label:X` match.
#[derive(Debug, Clone)]
pub(super) struct Label(pub String);
scalar::schema!(Label, { "type": "string", "pattern": "^[^ +,]+$" });

impl Read for Label {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a label", report, |text| {
            let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '+' | ',');
            if text.is_empty() || text.len() > 128 || text.contains(bad) {
                let why = format!("{} is no label: 1 to 128 bytes without space, `+` and `,`", quoted(text));
                return Err(refused(why));
            }
            Ok(Self(text.into()))
        })
    }
}

/// A program and its arguments; no shell.
#[derive(Debug, Clone)]
pub(super) struct Command(pub Vec<String>);
scalar::schema!(Command, { "type": "array", "items": { "type": "string" }, "minItems": 1 });

impl Read for Command {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let argument = |item: &Node| matches!(&item.value, Value::Text(text) if !text.contains('\0'));
        match &node.value {
            Value::List(items) => match items.first().map(|item| &item.value) {
                Some(Value::Text(program)) if !program.is_empty() && items.iter().all(argument) => {
                    let words = items.iter().filter_map(|item| match &item.value {
                        Value::Text(text) => Some(text.to_string()),
                        _ => None,
                    });
                    Some(Self(words.collect()))
                }
                _ => expected(node, "a program and its arguments, each a string", report),
            },
            _ => expected(node, "a list: a program and its arguments", report),
        }
    }
}
