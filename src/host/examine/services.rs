//! User, systemd, units and programs: what an examination finds about a place beyond its disk.
//!
//! Programs of the host answer; none of them is asked to change anything.

use std::fmt;
use std::time::Duration;

use super::{About, Exam, Finding, text};
use crate::host::beneath::Dir;
use crate::host::command::{Offspring, Run, run};
use crate::model::HostPath;
use crate::model::care::{Manager, Unit};

/// Where systemd keeps the names of users whose services run without a login.
const LINGER: &str = "/var/lib/systemd/linger";

/// How long a program may take to answer.
const QUESTION: Duration = Duration::from_secs(10);

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name, or number where there is none.
    pub name: String,
    /// Number.
    pub id: u32,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.id.to_string() == self.name { Ok(()) } else { write!(f, " ({})", self.id) }
    }
}

impl User {
    /// Whether this user may do everything.
    pub fn is_root(&self) -> bool {
        self.id == 0
    }

    /// Whether this user's services run without a login.
    pub fn lingers(&self) -> bool {
        std::path::Path::new(LINGER).join(&self.name).exists()
    }
}

/// The user that this runs as.
pub fn user() -> User {
    let id = rustix::process::geteuid().as_raw();
    User { name: answer("id", &["-un"]).unwrap_or_else(|_| id.to_string()), id }
}

/// What a program prints; else why it failed, in the first line of what it said.
pub fn answer(program: &str, words: &[&str]) -> Result<String, String> {
    let id = rustix::process::geteuid().as_raw();
    let words: Vec<String> = [program].iter().chain(words).map(|word| (*word).to_owned()).collect();
    let environment = [("XDG_RUNTIME_DIR", format!("/run/user/{id}")), ("LC_ALL", "C".to_owned())];
    let cannot = |error: std::io::Error| format!("{program} cannot be run: {error}");
    let at = Dir::root("/").map_err(cannot)?;
    let command = Run {
        words: &words,
        at: &at,
        environment: &environment,
        limit: QUESTION,
        offspring: Offspring::Ends,
    };
    let ran = run(&command).map_err(cannot)?;
    let said = ran.output.trim();
    match ran.failure(0, QUESTION) {
        None => Ok(said.to_owned()),
        Some(why) => Err(said.lines().next().map_or_else(|| format!("{program}: {why}"), str::to_owned)),
    }
}

/// What makes a root that this user may not make; to be typed by somebody who may.
pub fn make_root(at: &HostPath, user: &User) -> String {
    format!("as root on the host: install -d -o {0} -g \"$(id -g {0})\" {at}", user.name)
}

/// All about services and programs.
pub fn findings(exam: &Exam, user: &User) -> Vec<Finding> {
    let mut found = Vec::new();
    let of = |manager| exam.units.iter().filter(move |unit: &&Unit| unit.manager == manager);
    for manager in [Manager::System, Manager::User] {
        if of(manager).next().is_none() {
            continue;
        }
        let systemd = systemd(manager, user);
        let answers = systemd.fix.is_none();
        found.push(systemd);
        if answers {
            found.extend(of(manager).map(|unit| self::unit(unit, user)));
        }
    }
    found.extend(exam.programs.iter().map(|program| self::program(program, user)));
    found
}

fn words<'a>(manager: Manager, words: &[&'a str]) -> Vec<&'a str> {
    let user = (manager == Manager::User).then_some("--user");
    user.into_iter().chain(words.iter().copied()).collect()
}

fn systemd(manager: Manager, user: &User) -> Finding {
    let asked = answer("systemctl", &words(manager, &["show", "--property=Version", "--value"]));
    match (manager, asked) {
        (Manager::System, Ok(version)) => Finding::ok(About::Systemd, format!("systemd {version} answers")),
        (Manager::System, Err(error)) => Finding::fail(
            About::Systemd,
            error,
            text(
                "units need systemd: `restart = [\"cmd\"]` instead of `service` restarts by another command",
            ),
        ),
        (Manager::User, _) if !user.lingers() => Finding::fail(
            About::Systemd,
            format!("services of {user} end with their last login, and none start with the machine"),
            text(enable_linger(user)),
        ),
        (Manager::User, Ok(version)) => Finding::ok(
            About::Systemd,
            format!("systemd {version} of {user} answers, and runs without a login"),
        ),
        (Manager::User, Err(error)) => Finding::fail(
            About::Systemd,
            error,
            text(format!("as root on the host: systemctl start user@{}", user.id)),
        ),
    }
}

/// What lets services of a user run without a login.
pub fn enable_linger(user: &User) -> String {
    format!("as root on the host: loginctl enable-linger {}", user.name)
}

fn unit(unit: &Unit, user: &User) -> Finding {
    let name = &unit.name;
    let asked = words(unit.manager, &["show", "--property=LoadState,ActiveState,UnitFileState", "--", name]);
    let shown = match answer("systemctl", &asked) {
        Ok(shown) => shown,
        Err(error) => return Finding::fail(About::Unit, format!("{name}: {error}"), text("correct that")),
    };
    state(unit, user, &shown)
}

/// What properties of a unit, as systemctl shows them, come to for this user.
fn state(unit: &Unit, user: &User, shown: &str) -> Finding {
    let name = &unit.name;
    let systemctl = if unit.manager == Manager::User { "systemctl --user" } else { "systemctl" };
    let foreign = unit.manager == Manager::System && !user.is_root();
    let value = |property: &str| {
        let of = |line: &'_ str| Some(line.strip_prefix(property)?.strip_prefix('=')?.to_owned());
        shown.lines().find_map(of).unwrap_or_default()
    };
    let (load, active, file) = (value("LoadState"), value("ActiveState"), value("UnitFileState"));
    match (load.as_str(), file.as_str()) {
        ("loaded", _) if foreign => Finding::warn(
            About::Unit,
            format!("{name} is {active}; restarting it needs root"),
            text("`sudo = true` for the deployment, or a rule of polkit that lets this user manage the unit"),
        ),
        ("loaded", "disabled") => Finding::warn(
            About::Unit,
            format!("{name} is {active}, and does not start with the machine"),
            text(format!("{systemctl} enable {name}")),
        ),
        ("loaded", _) if active == "failed" => Finding::warn(
            About::Unit,
            format!("{name} has failed"),
            text(format!("{systemctl} status {name} says why")),
        ),
        ("loaded", _) => Finding::ok(About::Unit, format!("{name} is {active}")),
        ("not-found", _) => Finding::fail(
            About::Unit,
            format!("there is no unit {name}"),
            text(format!("install its unit file, then {systemctl} daemon-reload; or correct `service`")),
        ),
        ("masked", _) => Finding::fail(
            About::Unit,
            format!("{name} is masked"),
            text(format!("{systemctl} unmask {name}")),
        ),
        _ => Finding::fail(
            About::Unit,
            format!("{name} cannot be loaded ({load})"),
            text(format!("{systemctl} status {name} says why")),
        ),
    }
}

fn program(name: &str, user: &User) -> Finding {
    match answer("sh", &["-c", "command -v -- \"$1\"", "sh", name]) {
        Ok(place) if place.starts_with('/') => Finding::ok(About::Program, format!("{name} is {place}")),
        Ok(_) => Finding::ok(About::Program, format!("{name} is there")),
        Err(_) => Finding::fail(
            About::Program,
            format!("{name} is not on the path of {user}"),
            text(format!("install {name}, or write its whole path in the fleet file")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::examine::Grade;

    #[test]
    fn what_systemctl_says_of_a_unit() {
        let shown = |load: &str, active: &str, file: &str| {
            format!("LoadState={load}\nActiveState={active}\nUnitFileState={file}\n")
        };
        for (shown, foreign, grade, word) in [
            (shown("loaded", "active", "enabled"), false, Grade::Ok, "is active"),
            (shown("loaded", "inactive", "static"), false, Grade::Ok, "is inactive"),
            (shown("loaded", "active", "disabled"), false, Grade::Warn, "does not start"),
            (shown("loaded", "failed", "enabled"), false, Grade::Warn, "has failed"),
            (shown("loaded", "active", "enabled"), true, Grade::Warn, "needs root"),
            (shown("not-found", "inactive", ""), false, Grade::Fail, "there is no unit"),
            (shown("not-found", "inactive", ""), true, Grade::Fail, "there is no unit"),
            (shown("masked", "inactive", "masked"), false, Grade::Fail, "masked"),
            (shown("bad-setting", "inactive", "static"), false, Grade::Fail, "bad-setting"),
            (String::new(), false, Grade::Fail, "cannot be loaded"),
        ] {
            let unit = Unit { name: "x.service".into(), manager: Manager::System };
            let user = User { name: "bob".into(), id: u32::from(foreign) };
            let found = state(&unit, &user, &shown);
            assert_eq!((found.grade, found.fix.is_some()), (grade, grade != Grade::Ok), "{found:?}");
            assert!(found.what.contains(word), "{found:?}");
        }
    }

    #[test]
    fn programs_are_looked_for_by_name_and_never_run() {
        let user = User { name: "bob".into(), id: 7 };
        assert_eq!(program("sh", &user).grade, Grade::Ok);
        for name in ["no-such-program", "$(touch x)", "a b"] {
            assert_eq!(program(name, &user).grade, Grade::Fail, "{name}");
        }
    }
}
