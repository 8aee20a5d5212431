//! Texts that are no fleet, each with all of its problems. A text follows nine lines that are right.

/// A title, the text, and its problems as `line:column underlined: message → hint`.
pub type Case = (&'static str, &'static str, &'static [&'static str]);

pub const CASES: &[Case] = &[
    (
        "unknown keys, all of them",
        r##"[fleet.edits]
changd = "keep"
[packs.q]
source = "s"
dir = "."
target = "q"
require = []
zzz = 1
[budgets]
"##,
        &[
            r##"11:1 changd: "changd" is no key of edits → did you mean "changed"?"##,
            r##"16:1 require: "require" is no key of a pack → did you mean "requires"?"##,
            r##"17:1 zzz: "zzz" is no key of a pack → known here: source, dir, aliases, tag, install, target, host_owns, modes, case, requires, version_key, atomic, edits, check, on_change, service, restart, health"##,
            r##"18:2 budgets: "budgets" is no key of a fleet file → did you mean "budget"?"##,
        ],
    ),
    (
        "wrong types, all of them",
        r##"[packs.q]
source = 1
dir = ["."]
target = "q"
atomic = "yes"
requires = "p"
host_owns = [1, { file = "x" }]
[limits]
entries = 1.5
depth = 0
bytes = "2GiBB"
[budget]
max_delete = 25
max_change = "101%"
"##,
        &[
            r##"11:10 1: `packs.q.source` must be a name; this is an integer"##,
            r##"12:7 ["."]: `packs.q.dir` must be a relative path, or "."; this is a list"##,
            r##"14:10 "yes": `packs.q.atomic` must be true or false; this is a string"##,
            r##"15:12 "p": `packs.q.requires` must be a list; this is a string"##,
            r##"16:14 1: `packs.q.host_owns` must be a pattern, or { file = "…", keys = ["…"] }; this is an integer"##,
            r##"16:17 { file = "x" }: packs.q.host_owns has no `keys` → JSON pointers, as in "/dependencies""##,
            r##"16:26 "x": "x" is not known to have keys → let the host own the whole file: name it as a pattern"##,
            r##"18:11 1.5: `limits.entries` must be a whole number; this is a floating point number"##,
            r##"19:9 0: `limits.depth` is 0; it must be at least 1"##,
            r##"20:9 "2GiBB": `limits.bytes`: "2GiBB" is no number of bytes → a whole number above 0 with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB: "2GiB""##,
            r##"22:14 25: `budget.max_delete` must be a percentage; this is an integer"##,
            r##"23:14 "101%": `budget.max_change`: 101% is more than all → from "0%" to "100%""##,
        ],
    ),
    (
        "a table where a name is given twice",
        r##"[packs.p]
source = "s"
"##,
        &[
            r##"10:8 p: "p" is given twice, first at fleet.toml:5:8 → keep one of the two, or give one of them another name"##,
        ],
    ),
    (
        "a key given twice",
        r##"[deployments.a]
host = "local"
root = "/a"
root = "/b"
[deployments.a.packs]
p = { tag = "v1", tag = "v2" }
"##,
        &[
            r##"13:1 root: "root" is given twice, first at fleet.toml:12:1 → keep one of the two, or give one of them another name"##,
            r##"15:19 tag: "tag" is given twice → keep one of the two, or give one of them another name"##,
        ],
    ),
    (
        "several syntax errors",
        r##"a = 
b = 1
c = "x
[d
"##,
        &[
            r##"10:5 : this is not TOML: string values must be quoted, expected literal string"##,
            r##"12:7 : this is not TOML: invalid basic string, expected `"`"##,
            r##"13:3 : this is not TOML: unclosed table, expected `]`"##,
        ],
    ),
    (
        "unquoted path as a key",
        r##"[packs.q]
source = "s"
dir = "."
install = { SKILL.md = "x" }
"##,
        &[
            r##"13:13 SKILL: `packs.q.install.SKILL` must be a relative path, or "."; this is a table → if the key has a dot in its name, put the key in quotes"##,
        ],
    ),
    (
        "a pin that is a string",
        r##"[deployments.a]
host = "local"
root = "/a"
packs.p = "1"
"##,
        &[
            r##"13:11 "1": `deployments.a.packs.p` must be a table, as in { version = "1" }; this is a string"##,
        ],
    ),
    (
        "nested profile",
        r##"[profiles.x]
profile = "y"
host = 1
"##,
        &[
            r##"11:1 profile: profiles.x names a profile of its own: profiles do not nest → repeat here what that profile says"##,
            r##"12:8 1: `profiles.x.host` must be a string; this is an integer"##,
        ],
    ),
    (
        "conflict markers",
        r##"a = 1
<<<<<<< HEAD
b = 1
=======
b = 2
>>>>>>> x
"##,
        &[
            r##"11:1 <<<<<<< HEAD: a merge of this file was left unfinished: it holds conflict markers → decide between the two sides, remove the markers, and commit"##,
        ],
    ),
    (
        "empty and unprintable texts",
        r##"[sources.t]
url = ""
[deployments.a]
host = "local"
root = "/a"
location = "a\u001b[31mb"
labels = ["", "a b", "a+b"]
"##,
        &[
            r##"11:7 "": `sources.t.url` is empty"##,
            r##"15:12 "a\u001b[31mb": `deployments.a.location` holds a control character"##,
            r##"16:11 "": `deployments.a.labels`: "" is no label: 1 to 128 bytes without space, `+` and `,`"##,
            r##"16:15 "a b": `deployments.a.labels`: "a b" is no label: 1 to 128 bytes without space, `+` and `,`"##,
            r##"16:22 "a+b": `deployments.a.labels`: "a+b" is no label: 1 to 128 bytes without space, `+` and `,`"##,
        ],
    ),
    (
        "path-like and dash-leading names",
        r##"[packs."../x"]
[packs."-x"]
[packs.".x"]
[packs."a/b"]
[packs.""]
[sources."-s"]
path = "."
[deployments."a b"]
[deployments."/a"]
"##,
        &[
            r##"10:8 "../x": "../x" is no name of a pack: a name may not begin with ".": it would read as a path"##,
            r##"11:8 "-x": "-x" is no name of a pack: a name may not begin with "-": it would read as an option"##,
            r##"12:8 ".x": ".x" is no name of a pack: a name may not begin with ".": it would read as a path"##,
            r##"13:8 "a/b": "a/b" is no name of a pack: a name may not contain '/': letters, digits, ".", "_" and "-" only"##,
            r##"14:8 "": "" is no name of a pack: a name may not be empty"##,
            r##"15:10 "-s": "-s" is no name of a source: a name may not begin with "-": it would read as an option"##,
            r##"17:14 "a b": "a b" is no name of a deployment: a name may not contain ' ': letters, digits, ".", "_" and "-" only"##,
            r##"18:14 "/a": "/a" is no name of a deployment: a name may not contain '/': letters, digits, ".", "_" and "-" only"##,
        ],
    ),
    (
        "references to nothing",
        r##"[packs.q]
source = "S"
dir = "."
target = "q"
requires = ["pp"]
[budget]
consent = ["pq@1..2"]
[deployments.a]
profile = "prdo"
host = "local"
root = "/a"
packs.pq = { tag = "v1" }
packs.p = { tag = "v1", overlays = ["quite", "zzz", "other", "quiet", "quiet"] }
health.pp = []
[profiles.prod]
"##,
        &[
            r##"11:10 "S": there is no source "S" → did you mean "s"?"##,
            r##"14:13 "pp": there is no pack "pp" → did you mean "p"?"##,
            r##"16:12 "pq@1..2": there is no pack "pq" → did you mean "p"?"##,
            r##"18:11 "prdo": there is no profile "prdo" → did you mean "prod"?"##,
            r##"21:7 pq: there is no pack "pq" → did you mean "p"?"##,
            r##"22:37 "quite": there is no overlay "quite" → did you mean "quiet"?"##,
            r##"22:46 "zzz": there is no overlay "zzz" → known here: loud, other, quiet"##,
            r##"22:53 "other": the overlay "other" is for "q", not for "p""##,
            r##"22:71 "quiet": the overlay "quiet" is named twice"##,
            r##"23:8 pp: there is no pack "pp" → did you mean "p"?"##,
        ],
    ),
    (
        "overlay names",
        r##"[deployments.a]
host = "local"
root = "/a"
packs.p = { tag = "v1", overlays = ["../x", "-x"] }
"##,
        &[
            r##"13:37 "../x": `deployments.a.packs.p.overlays`: "../x" is no name: a name may not begin with ".": it would read as a path"##,
            r##"13:45 "-x": `deployments.a.packs.p.overlays`: "-x" is no name: a name may not begin with "-": it would read as an option"##,
        ],
    ),
    (
        "neither, both",
        r##"[packs.q]
source = "s"
dir = "."
[packs.r]
source = "s"
dir = "."
target = "r"
install = { "." = "r" }
[packs.u]
[sources.u]
[sources.w]
url = "/x"
path = "/x"
"##,
        &[
            r##"10:8 q: packs.q has none of `install`, `target` → give exactly one of `install`, `target`"##,
            r##"13:8 r: packs.r has `install` and `target`, which exclude each other → keep exactly one of `install`, `target`"##,
            r##"18:8 u: packs.u has no `source` → name one of [sources]"##,
            r##"18:8 u: packs.u has no `dir` → the pack's directory in the source; "." is all of it"##,
            r##"18:8 u: packs.u has none of `install`, `target` → give exactly one of `install`, `target`"##,
            r##"19:10 u: sources.u has none of `url`, `path` → give exactly one of `url`, `path`"##,
            r##"20:10 w: sources.w has `url` and `path`, which exclude each other → keep exactly one of `url`, `path`"##,
        ],
    ),
    (
        "two keys onto one target",
        r##"[packs.q]
source = "s"
dir = "."
install = { "a" = "x", "b" = "y", "c" = "x" }
"##,
        &[r##"13:35 "c": "a" and "c" both go to "x""##],
    ),
    (
        "paths that escape",
        r##"[packs.q]
source = "s"
dir = "../x"
aliases = ["/y", "a//b", "a/"]
install = { "../a" = "x", "b" = "/y", "c" = ".git/hooks", "d" = ".packfleet/x", "e" = "a/../.." }
"##,
        &[
            r##"12:7 "../x": `packs.q.dir`: "../x" has the component ".." → name the path itself, without `.`, `..` or doubled `/`"##,
            r##"13:12 "/y": `packs.q.aliases`: "/y" is absolute → write it without the leading `/`: it is relative"##,
            r##"13:18 "a//b": `packs.q.aliases`: "a//b" has the component "" → name the path itself, without `.`, `..` or doubled `/`"##,
            r##"13:26 "a/": `packs.q.aliases`: "a/" has the component "" → write it without the trailing `/`"##,
            r##"14:13 "../a": `packs.q.install`: "../a" has the component ".." → name the path itself, without `.`, `..` or doubled `/`"##,
            r##"14:33 "/y": `packs.q.install.b`: "/y" is absolute → write it without the leading `/`: it is relative"##,
            r##"14:45 ".git/hooks": `packs.q.install.c`: ".git/hooks" has a component that means .git"##,
            r##"14:65 ".packfleet/x": `packs.q.install.d`: ".packfleet/x" reaches into .packfleet, packfleet's own state"##,
            r##"14:87 "a/../..": `packs.q.install.e`: "a/../.." has the component ".." → name the path itself, without `.`, `..` or doubled `/`"##,
        ],
    ),
    (
        "an empty install map",
        r##"[packs.q]
source = "s"
dir = "."
install = {}
"##,
        &[r##"13:11 {}: packs.q installs nothing → name what goes where, or use `target`"##],
    ),
    (
        "requires in a circle",
        r##"[packs.q]
source = "s"
dir = "."
target = "q"
requires = ["r"]
[packs.r]
source = "s"
dir = "."
target = "r"
requires = ["u"]
[packs.u]
source = "s"
dir = "."
target = "u"
requires = ["q"]
[packs.x]
source = "s"
dir = "."
target = "x"
requires = ["x"]
"##,
        &[
            r##"14:13 "r": packs require each other: q → r → u → q → remove one `requires` of these"##,
            r##"29:13 "x": packs require each other: x → x → remove one `requires` of these"##,
        ],
    ),
    (
        "tag patterns",
        r##"[packs.q]
source = "s"
dir = "."
target = "q"
tag = "v"
[packs.r]
source = "s"
dir = "."
target = "q"
tag = "{version}{version}"
[packs.u]
source = "s"
dir = "."
target = "q"
tag = "-{version}"
[packs.w]
source = "s"
dir = "."
target = "q"
tag = "a b{version}"
"##,
        &[
            r##"14:7 "v": `packs.q.tag`: "v" does not say where the version stands → write {version} in it, once: "v{version}""##,
            r##"19:7 "{version}{version}": `packs.r.tag`: "{version}{version}" does not say where the version stands → write {version} in it, once: "v{version}""##,
            r##"24:7 "-{version}": `packs.u.tag`: git allows no tag of the name "-0""##,
            r##"29:7 "a b{version}": `packs.w.tag`: git allows no tag of the name "a b0""##,
        ],
    ),
    (
        "patterns of the host's paths",
        r##"[packs.q]
source = "s"
dir = "."
target = "q"
host_owns = ["#x", "", "a{b", "[z-a]"]
"##,
        &[
            r##"14:14 "#x": `packs.q.host_owns`: "#x" is a comment: it matches nothing → to match a name with #, write \\# in front"##,
            r##"14:20 "": `packs.q.host_owns`: "" is no pattern"##,
            r##"14:24 "a{b": `packs.q.host_owns`: "a{b" is no pattern: error parsing glob 'a{b': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)"##,
            r##"14:31 "[z-a]": `packs.q.host_owns`: "[z-a]" is no pattern: error parsing glob '[z-a]': invalid range; 'z' > 'a'"##,
        ],
    ),
    (
        "words and version keys",
        r##"[packs.q]
source = "s"
dir = "."
target = "q"
modes = "exec"
case = "refused"
version_key = "packfleet"
"##,
        &[
            r##"14:9 "exec": `packs.q.modes`: "exec" is none of exec-bit, ignore → did you mean "exec-bit"?"##,
            r##"15:8 "refused": `packs.q.case`: "refused" is none of refuse, distinct → did you mean "refuse"?"##,
            r##"16:15 "packfleet": the VERSION file has a key "packfleet" of packfleet's own → choose another key, or leave it out"##,
        ],
    ),
    (
        "sources that are none",
        r##"[sources.a]
url = "-x"
[sources.b]
url = "git@example.org:x.git"
[sources.c]
url = "ssh://-oProxyCommand=x/y"
[sources.d]
url = "ext::sh -c x"
[sources.e]
url = "ftp://example.org/x"
[sources.f]
path = "~/x"
[sources.g]
url = "https://bob:hunter2@example.org:x/y"
[sources.h]
path = "https://example.org/x"
[sources.i]
url = "x"
push_url = "-x"
protected = ["-x", "a..b"]
"##,
        &[
            r##"11:7 "-x": `sources.a.url`: "-x" begins with `-`: it would read as an option"##,
            r##"15:7 "ssh://-oProxyCommand=x/y": `sources.c.url`: the host or user of "ssh://-oProxyCommand=x/y" begins with `-`"##,
            r##"17:7 "ext::sh -c x": `sources.d.url`: "ext::sh -c x" would start a git remote helper"##,
            r##"19:7 "ftp://example.org/x": `sources.e.url`: git knows no scheme "ftp" → https://, file://, or a path"##,
            r##"21:8 "~/x": `sources.f.path`: "~/x": `~` is not expanded → write the whole path"##,
            r##"23:7 "https://bob:hunter2@example.org:x/y": `sources.g.url`: the URL has no valid host and port"##,
            r##"25:8 "https://example.org/x": `sources.h.path`: "https://example.org/x" is a URL, not a path"##,
            r##"28:12 "-x": `sources.i.push_url`: "-x" begins with `-`: it would read as an option"##,
            r##"29:14 "-x": `sources.i.protected`: git allows no tag or branch of the name "-x""##,
            r##"29:20 "a..b": `sources.i.protected`: git allows no tag or branch of the name "a..b""##,
        ],
    ),
    (
        "what is missing",
        r##"[deployments.a]
"##,
        &[
            r##"10:14 a: deployments.a has no `host` → "local" is this machine"##,
            r##"10:14 a: deployments.a has no `root` → the directory beneath which everything lies"##,
        ],
    ),
    (
        "roots",
        r##"[deployments.a]
host = "local"
root = "/"
[deployments.b]
host = "local"
root = "/opt/../etc"
[deployments.c]
host = "local"
root = "~/x"
[deployments.d]
host = "local"
root = "../.."
[deployments.e]
host = "prod"
root = "x"
[deployments.f]
host = "-oProxyCommand=x"
root = "/f"
[deployments.g]
host = "local"
root = "/opt/{}"
"##,
        &[
            r##"12:8 "/": `deployments.a.root`: "/" cannot be a root: packfleet would own the whole machine"##,
            r##"15:8 "/opt/../etc": `deployments.b.root`: "/opt/../etc" has the component "..""##,
            r##"18:8 "~/x": `deployments.c.root`: "~/x": `~` is not expanded → write the whole path"##,
            r##"21:8 "../..": `deployments.d.root`: "/" cannot be a root: packfleet would own the whole machine"##,
            r##"24:8 "x": `deployments.e.root`: "x" is relative, and the host is another machine → write an absolute path; only roots on "local" may be relative to the fleet file"##,
            r##"26:8 "-oProxyCommand=x": `deployments.f.host`: "-oProxyCommand=x" begins with `-`: it would read as an option"##,
            r##"30:8 "/opt/{}": `deployments.g.root`: "/opt/{}" has a `{}`, but this deployment is of no range → `{}` is the number of a range, as in [deployments."edge-{001..200}"]"##,
        ],
    ),
    (
        "roots in each other",
        r##"[deployments.a]
host = "local"
root = "/opt/a"
[deployments.b]
host = "local"
root = "/opt/a-b"
[deployments.c]
host = "local"
root = "/opt/a/c"
[deployments.d]
host = "local"
root = "x"
[deployments.e]
host = "local"
root = "/srv/fleet/x"
"##,
        &[
            r##"18:8 "/opt/a/c": "/opt/a/c", the root of c, lies in "/opt/a", the root of a → deployments on one host need roots apart; several packs can share one deployment"##,
            r##"24:8 "/srv/fleet/x": "/srv/fleet/x", the root of e, is also the root of d → deployments on one host need roots apart; several packs can share one deployment"##,
        ],
    ),
    (
        "requirements",
        r##"[deployments.a]
host = "local"
root = "/a"
[deployments.a.packs.p]
[deployments.b]
host = "local"
root = "/b"
packs.p = { tag = "a", branch = "b" }
[deployments.c]
host = "local"
root = "/c"
packs.p = { version = ">2, <1" }
[deployments.d]
host = "local"
root = "/d"
packs.p = { version = "v1.2" }
[deployments.e]
host = "local"
root = "/e"
packs.p = { version = "latest" }
[deployments.f]
host = "local"
root = "/f"
packs.p = { rev = "main" }
[deployments.g]
host = "local"
root = "/g"
packs.p = { tag = "-x" }
"##,
        &[
            r##"13:22 p: deployments.a.packs.p has none of `version`, `tag`, `branch`, `rev` → give exactly one of `version`, `tag`, `branch`, `rev`"##,
            r##"17:7 p: deployments.b.packs.p has `tag` and `branch`, which exclude each other → keep exactly one of `version`, `tag`, `branch`, `rev`"##,
            r##"21:23 ">2, <1": `deployments.c.packs.p.version`: ">2, <1" can never be met: no version lies in all of its parts → every part must hold at once; for one version, write "=1.2.3""##,
            r##"25:23 "v1.2": `deployments.d.packs.p.version`: "v1.2" is no version requirement: unexpected character 'v' while parsing major version number → write it without the v: the pack's `tag` says how versions are written as tags"##,
            r##"29:23 "latest": `deployments.e.packs.p.version`: "latest" is no version requirement: unexpected character 'l' while parsing major version number → a semver requirement, as in "1", "^1.1" or ">=1.2, <2"; for anything else use `tag`, `branch` or `rev`"##,
            r##"33:19 "main": `deployments.f.packs.p.rev`: "main" is no commit id: 4 to 64 hexadecimal digits → for anything else, use `tag` or `branch`"##,
            r##"37:19 "-x": `deployments.g.packs.p.tag`: git allows no tag or branch of the name "-x""##,
        ],
    ),
    (
        "packs on one target, and on one key",
        r##"[packs.q]
source = "s"
dir = "."
install = { "a" = "x", "b" = "p" }
version_key = "p_version"
[deployments.a]
host = "local"
root = "/a"
packs.p = { tag = "a" }
packs.q = { tag = "a" }
"##,
        &[
            r##"19:7 q: p and q both go to "p" there → give one of the packs another target, or keep one of them"##,
            r##"19:7 q: p and q both write "p_version" to VERSION → give one of them another `version_key`"##,
        ],
    ),
    (
        "dependencies in a circle",
        r##"[deployments.a]
host = "local"
root = "/a"
depends_on = ["b"]
[deployments.b]
host = "local"
root = "/b"
depends_on = ["label:x"]
[deployments.c]
host = "local"
root = "/c"
labels = ["x"]
depends_on = ["a"]
[deployments.d]
host = "local"
root = "/d"
depends_on = ["d"]
"##,
        &[
            r##"13:15 "b": deployments wait for each other: a → b → c → a → remove one `depends_on` of these"##,
            r##"26:15 "d": deployments wait for each other: d → d → remove one `depends_on` of these"##,
        ],
    ),
    (
        "dependencies on nothing",
        r##"[deployments.a]
host = "local"
root = "/a"
labels = ["canary"]
[deployments.b]
host = "local"
root = "/b"
depends_on = ["A", "label:canry", "c-*", "a+label:canary", "a+label:x", "", "-x", "["]
"##,
        &[
            r##"17:15 "A": "A" matches no deployment → did you mean "a"?"##,
            r##"17:20 "label:canry": "label:canry" matches no deployment → did you mean "label:canary"?"##,
            r##"17:35 "c-*": "c-*" matches no deployment"##,
            r##"17:60 "a+label:x": "a+label:x" matches no deployment"##,
            r##"17:73 "": `deployments.b.depends_on`: the selector "" has an empty part"##,
            r##"17:77 "-x": `deployments.b.depends_on`: "-x" is no selector: a name may not begin with "-": it would read as an option"##,
            r##"17:83 "[": `deployments.b.depends_on`: "[" is no glob: unclosed character class; missing ']'"##,
        ],
    ),
    (
        "words",
        r##"[deployments.a]
host = "local"
root = "/a"
mode = "observed"
state = "gone"
edits = { changed = "restore", deleted = "merge" }
"##,
        &[
            r##"13:8 "observed": `deployments.a.mode`: "observed" is none of converge, observe → did you mean "observe"?"##,
            r##"14:9 "gone": `deployments.a.state`: "gone" is none of present, absent → known here: present, absent"##,
            r##"15:21 "restore": `deployments.a.edits.changed`: "restore" is none of merge, keep, revert → known here: merge, keep, revert"##,
            r##"15:42 "merge": `deployments.a.edits.deleted`: "merge" is none of restore, keep → known here: restore, keep"##,
        ],
    ),
    (
        "what is no range",
        r##"[deployments."a-{1..}"]
[deployments."b-{2..1}"]
[deployments."c-{1..2}-{1..2}"]
[deployments."-{1..2}"]
[deployments."d-{1..20000}"]
"##,
        &[
            r##"10:14 "a-{1..}": "a-{1..}" is no range of deployments: the bounds of a range are numbers of 1 to 9 digits"##,
            r##"11:14 "b-{2..1}": "b-{2..1}" is no range of deployments: the range is empty: its first number is greater than its last"##,
            r##"12:14 "c-{1..2}-{1..2}": "c-{1..2}-{1..2}" is no range of deployments: a range is written as in "edge-{001..200}", once in a name"##,
            r##"13:14 "-{1..2}": "-{1..2}" gives "-1", no name: a name may not begin with "-": it would read as an option"##,
            r##"14:14 "d-{1..20000}": ranges stand for 20002 deployments; 10000 are the most"##,
        ],
    ),
    (
        "two ranges over one name",
        r##"[deployments."a-{1..3}"]
host = "local"
root = "/a/{}"
[deployments."a-{3..4}"]
host = "local"
root = "/b/{}"
"##,
        &[
            r##"13:14 "a-{3..4}": a-3 lies in two ranges, the other at fleet.toml:10:14 → let the ranges not overlap; one entry of its own may refine a deployment of a range"##,
        ],
    ),
    (
        "a problem of a range is said once",
        r##"[deployments."a-{1..3}"]
host = "local"
root = "/a"
location = 1
packs.q = { tag = "v1" }
depends_on = ["x"]
"##,
        &[
            r##"12:8 "/a": "/a", the root of a-2, is also the root of a-1 → deployments on one host need roots apart; several packs can share one deployment"##,
            r##"13:12 1: `deployments.a-{1..3}.location` must be a string; this is an integer"##,
            r##"14:7 q: there is no pack "q" → known here: p"##,
            r##"15:15 "x": "x" matches no deployment"##,
        ],
    ),
    (
        "a retry that starts beyond its end",
        r##"[run]
retry = { initial = "10m", max = "10s" }
"##,
        &[r##"11:21 "10m": `run.retry.initial` is longer than `run.retry.max`"##],
    ),
    (
        "consents",
        r##"[budget]
consent = ["p", "p@1", "p@1..", "p@..2", "-p@1..2", "p@1...2", "p@1..2"]
"##,
        &[
            r##"11:12 "p": `budget.consent`: "p" names no move of a pack → as in "slack@1.1.0..1.2.0""##,
            r##"11:17 "p@1": `budget.consent`: "p@1" names no move of a pack → as in "slack@1.1.0..1.2.0""##,
            r##"11:24 "p@1..": `budget.consent`: "p@1.." names no move of a pack → as in "slack@1.1.0..1.2.0""##,
            r##"11:33 "p@..2": `budget.consent`: "p@..2" names no move of a pack → as in "slack@1.1.0..1.2.0""##,
            r##"11:42 "-p@1..2": `budget.consent`: "-p@1..2" names no move of a pack → as in "slack@1.1.0..1.2.0""##,
            r##"11:53 "p@1...2": `budget.consent`: "p@1...2" names no move of a pack → as in "slack@1.1.0..1.2.0""##,
        ],
    ),
    (
        "times, sizes, zones",
        r##"[run]
poll = "1 fortnight"
resync = "-1m"
jobs = 0
listen = "here"
webhook_secret = "hunter2"
[[rollout]]
select = ["*"]
soak = "0s"
max_parallel = "10"
[status]
heartbeat = 5
[deployments.a]
host = "local"
root = "/a"
pause = { reason = "x", until = 2026-12-01 }
window = { days = "mo-th", from = "9:00", to = "25:00", zone = "Europe/Berln" }
[[deployments.a.health.p]]
http = "x"
command = []
[[deployments.a.health.p]]
journal = "x"
[[deployments.a.health.p]]
log = "x"
error = "("
max_increase = "x"
"##,
        &[
            r##"11:8 "1 fortnight": `run.poll`: "1 fortnight" is no duration → hours, minutes and seconds, more than none: "24h", "10m", "1m 30s""##,
            r##"12:10 "-1m": `run.resync`: "-1m" is no duration → hours, minutes and seconds, more than none: "24h", "10m", "1m 30s""##,
            r##"13:8 0: `run.jobs` is 0; it must be at least 1"##,
            r##"14:10 "here": `run.listen`: "here" is no address with a port → as in "127.0.0.1:8787""##,
            r##"15:18 "hunter2": `run.webhook_secret` must be { env = "NAME" }: a secret does not belong into this file; this is a string"##,
            r##"18:8 "0s": `rollout.soak`: "0s" is no duration → hours, minutes and seconds, more than none: "24h", "10m", "1m 30s""##,
            r##"19:16 "10": `rollout.max_parallel`: "10" is no percentage → a whole number and a percent sign: "25%""##,
            r##"20:1 [status]: status has none of `git`, `directory` → give exactly one of `git`, `directory`"##,
            r##"21:13 5: `status.heartbeat` must be a duration; this is an integer"##,
            r##"25:33 2026-12-01: `deployments.a.pause.until`: "2026-12-01" is no moment → date, time and offset: 2026-12-01T00:00:00Z"##,
            r##"26:19 "mo-th": `deployments.a.window.days`: "mo-th" names no days → as in "mon-thu" or "mon, wed, sat-sun""##,
            r##"26:35 "9:00": `deployments.a.window.from`: "9:00" is no time of day → as in "09:30""##,
            r##"26:48 "25:00": `deployments.a.window.to`: "25:00" is no time of day → as in "09:30""##,
            r##"26:64 "Europe/Berln": `deployments.a.window.zone`: "Europe/Berln" is no time zone → did you mean "Europe/Berlin"?"##,
            r##"27:1 [[deployments.a.health.p]]: deployments.a.health has `http` and `command`, which exclude each other → keep exactly one of `http`, `command`, `active_for`, `journal`, `log`"##,
            r##"29:11 []: `deployments.a.health.p.command` must be a program and its arguments, each a string; this is a list"##,
            r##"30:1 [[deployments.a.health.p]]: deployments.a.health does not say what an error looks like → a regular expression"##,
            r##"34:9 "(": `deployments.a.health.p.error`: "(" is no regular expression: error: unclosed group"##,
            r##"35:16 "x": `deployments.a.health.p.max_increase`: "x" is no percentage → a whole number and a percent sign: "25%""##,
        ],
    ),
    (
        "stages that could never open",
        r##"[deployments.a]
host = "local"
root = "/a"
labels = ["canary"]
packs.p = { version = "^1.1" }
depends_on = ["c"]
[deployments.b]
host = "local"
root = "/b"
packs.p = { version = "^2" }
[deployments.c]
host = "local"
root = "/c"
packs.p = { version = "1" }
[deployments.d]
host = "local"
root = "/d"
window = { days = "mon", from = "09:00", to = "09:00", zone = "UTC" }
pause = { until = 2026-12-01T00:00:00Z }
[[rollout]]
select = ["label:canry"]
[[rollout]]
select = ["label:canary"]
[[rollout]]
select = ["a"]
[[rollout]]
soak = "1h"
[[rollout]]
select = ["b", "c"]
"##,
        &[
            r##"15:15 "c": a of stage 2 depends on c of stage 5, which waits for stage 2 → select both in one stage, or the one that others depend on in an earlier one"##,
            r##"19:7 p: b of stage 5 pins version ^2 of p, which no earlier stage ever runs (a version ^1.1) → pin the same on a deployment of an earlier stage: only what ran there goes further"##,
            r##"24:14 d: d is in no stage of [[rollout]] → add a last stage that holds all others: select = ["*"]"##,
            r##"27:10 { days = "mon", from = "09:00", to = "09:00", zone = "UTC" }: deployments.d.window opens and closes at the same time → leave the window out if the deployment may always be changed"##,
            r##"28:9 { until = 2026-12-01T00:00:00Z }: deployments.d.pause has no `reason` → whoever asks why nothing happens is told: reason = "conference week""##,
            r##"30:11 "label:canry": "label:canry" matches no deployment → did you mean "label:canary"?"##,
            r##"33:1 [[rollout]]: stage 3 holds nobody: all that it selects are in earlier stages → a deployment is in the first stage that selects it; take this stage out, or put it first"##,
            r##"35:1 [[rollout]]: stage 4 has no `select` → names, globs or labels: select = ["label:canary"]"##,
        ],
    ),
    (
        "stages that try nothing, or never end",
        r##"[deployments.a]
host = "local"
root = "/a"
mode = "observe"
[deployments.b]
host = "local"
root = "/b"
state = "absent"
[deployments.c]
host = "local"
root = "/c"
[deployments.d]
host = "local"
root = "/d"
mode = "observe"
[[rollout]]
select = ["a", "b"]
[[rollout]]
select = ["c"]
soak = "9000h"
[[rollout]]
select = ["*"]
"##,
        &[
            r##"25:1 [[rollout]]: stage 1 tries nothing: all of it is mode = "observe" or state = "absent", and stage 2 would go on without it → add a deployment that converges, or take this stage out"##,
            r##"29:8 "9000h": stage 2 soaks for more than 365 days → no later stage would ever move; what is to wait for a person is paused: pause = { reason = "…" }"##,
        ],
    ),
    (
        "services and health",
        r##"[packs.q]
source = "s"
dir = "."
target = "q"
service = { unit = "-x y" }
[[packs.q.health]]
http = "ftp://x"
[[packs.q.health]]
http = "http://x/"
expect = 600
[[packs.q.health]]
command = ["true"]
expect = 300
over = "1m"
[packs.r]
source = "s"
dir = "."
target = "r"
on_change = [{ paths = ["x"] }]
restart = ["true"]
health = [{ active_for = "1m" }]
service = { user = true }
"##,
        &[
            r##"14:20 "-x y": `packs.q.service.unit`: "-x y" is no name of a unit → as in "bot.service""##,
            r##"16:8 "ftp://x": "ftp://x" is no http or https URL → as in "http://127.0.0.1:9000/health""##,
            r##"19:10 600: `packs.q.health.expect` is 600; it must be at most 599"##,
            r##"20:1 [[packs.q.health]]: packs.q.health has `over`, which means nothing for `command` → leave it out"##,
            r##"20:1 [[packs.q.health]]: packs.q.health expects 300, which is no exit status → from 0 to 255"##,
            r##"24:8 r: packs.r has both `service` and `restart` → keep one of the two"##,
            r##"28:14 { paths = ["x"] }: packs.r.on_change has no `run` → a program and its arguments"##,
            r##"30:26 "1m": packs.r.health has `active_for`, but its pack has no unit → name it as the pack's `service`"##,
            r##"31:11 { user = true }: packs.r.service has no `unit` → a systemd unit: "bot.service""##,
        ],
    ),
    (
        "statuses",
        r##"[status]
git = "x.git"
directory = "y"
ref_prefix = "heads"
key = "ssh-rsa AAAA"
[deployments.a]
host = "local"
root = "/a"
status_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfId20n6knGHXOSwXhD0C9sw5/jKt9dOalaz+jkohyc"
[deployments.b]
host = "local"
root = "/b"
status_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfId20n6knGHXOSwXhD0C9sw5/jKt9dOalaz+jkohyc two"
"##,
        &[
            r##"10:1 [status]: status has `git` and `directory`, which exclude each other → keep exactly one of `git`, `directory`"##,
            r##"13:14 "heads": `status.ref_prefix`: "heads" does not begin with `refs/` → as in "refs/packfleet/status""##,
            r##"14:7 "ssh-rsa AAAA": `status.key`: "ssh-rsa AAAA": it is no OpenSSH key: Base64 encoding error: invalid Base64 length → what `packfleet bootstrap` prints"##,
            r##"22:14 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfId20n6knGHXOSwXhD0C9sw5/jKt9dOalaz+jkohyc two": a and b have the same `status_key` → each host has a key of its own: `packfleet bootstrap` makes and prints it"##,
        ],
    ),
];
