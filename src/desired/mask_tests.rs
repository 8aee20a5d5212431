//! Secrets in every form that people write them in are hidden, and what is none is left to be read.

use std::ops::Range;
use std::sync::LazyLock;

use super::*;
use crate::desired::secrets::{Rules, spans};

fn masked(what: Text<'_>, text: &str) -> String {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(None).unwrap());
    let mut shown = text.to_owned();
    for Range { start, end } in spans(what, text.as_bytes(), &RULES).into_iter().rev() {
        shown.replace_range(start..end, "•");
    }
    shown
}

/// `hunter2`, `hunter3`, … are secrets; nothing else in these texts is.
const HIDDEN: &[(&str, &str, &str)] = &[
    // Files that hold secrets by name and value.
    ("bot/.env", "DB_PASS: hunter2", "DB_PASS: •"),
    ("bot/.env", "KEY: hunter2", "KEY: •"),
    ("bot/.env", "export A=hunter2=x:y", "export A=•"),
    ("bot/.env", "URL=postgres://u:hunter2@h/db", "URL=•"),
    ("bot/.env", "# OLD=hunter2\n\nEMPTY=", "# •\n\nEMPTY="),
    ("bot/.env", "A=\"hunter2\nb=hunter3\"\nC=hunter4", "A=•\n•\nC=•"),
    ("bot/.env", "A=x\nhunter2hunter2HUNTER2==\n", "A=•\n•\n"),
    ("bot/.env.local", "X=hunter2", "X=•"),
    ("bot/.env-production", "X=hunter2", "X=•"),
    ("bot/prod.env", "X hunter2", "•"),
    ("a/.envrc", "export X=hunter2", "export X=•"),
    ("a/credentials", "[default]\nid = hunter2", "•\nid = •"),
    (
        "a/credentials.json",
        "{\n  \"a\": {\n    \"b\": \"hunter2\"\n  }\n}",
        "{\n  \"a\": {\n    \"b\": •\n  }\n}",
    ),
    ("a/gcp-credentials.json", "{\"a\": \"hunter2\", \"b\": \"hunter3\"}", "{\"a\": •"),
    ("a/secrets.yaml", "db:\n  one: hunter2\nlist:\n  - hunter3\n", "db:\n  one: •\nlist:\n  •\n"),
    ("a/secrets.yaml", "key: |\n  hunter2\n", "key: |\n  •\n"),
    ("a/app.secret.toml", "x = 'hunter2'", "x = •"),
    ("a/.npmrc", "//registry.example.org/:_authToken=hunter2", "•"),
    // Files that hold them otherwise.
    (".netrc", "machine example.org login bob password hunter2", "•"),
    ("x/.pgpass", "h:1:db:bob:hunter2", "•"),
    ("x/server.key", "hunter2:hunter3", "•"),
    (
        "x/server.pem",
        "-----BEGIN EC KEY-----\r\nhunter2\r\n-----END EC KEY-----",
        "-----BEGIN EC KEY-----\r\n•\r\n-----END EC KEY-----",
    ),
    (".git-credentials", "https://bob:hunter2@h", "•"),
    // Any other file: a name says it.
    ("a.yaml", "db_pass: hunter2", "db_pass: •"),
    ("a.yaml", "client_secret: hunter2 hunter3", "client_secret: •"),
    ("a.yaml", "passwords:\n  alice: hunter2\n  - hunter3\nnext: x", "passwords:\n  alice: •\n  •\nnext: x"),
    ("a.yaml", "tokens:\n- hunter2\n- hunter3\nnext: x", "tokens:\n•\n•\nnext: x"),
    ("a.yaml", "password: |-\n  a: hunter2\n\n  hunter3\nnext: x", "password: |-\n  •\n\n  •\nnext: x"),
    ("a.yaml", "password: hunter2\n  hunter3\nnext: x", "password: •\n  •\nnext: x"),
    ("a.yaml", "a:\n  - token:\n      hunter2\n    b: x", "a:\n  - token:\n      •\n    b: x"),
    (
        "a.yaml",
        "secrets:\n<<<<<<< host\n  a: hunter2\n=======\n  a: hunter3\n>>>>>>> pack\nb: x",
        "secrets:\n<<<<<<< host\n  a: •\n=======\n  a: •\n>>>>>>> pack\nb: x",
    ),
    (
        "a.toml",
        "[bot.secrets]\none = 'hunter2'\n[bot.other]\none = 'x'",
        "[bot.secrets]\none = •\n[bot.other]\none = 'x'",
    ),
    ("a.toml", "api_key = \"hunter2\" # why\nb = 1", "api_key = \"•\" # why\nb = 1"),
    ("a.toml", "password = \"\"\"\nhunter2\n\"\"\"\nb = 1", "password = \"\"\"\n•\n\"\"\"\nb = 1"),
    (
        "a.json",
        "{\"password\": \"hunter2\", \"n\": 1, \"authToken\": \"hunter3\"}",
        "{\"password\": \"•\", \"n\": 1, \"authToken\": \"•\"}",
    ),
    (
        "a.json",
        "\"secrets\": {\n  \"a\": \"hunter2\"\n}, \"b\": 1",
        "\"secrets\": {\n  \"a\": •\n}, \"b\": 1",
    ),
    ("a.json", "\"x\": \"{\\\"password\\\": \\\"hunter2\\\"}\"", "\"x\": \"{\\\"password\\\": •"),
    ("a.conf", "user=bob password=hunter2 token=hunter3", "user=bob password=•"),
    ("a.conf", "pass=\"hunter2\" token='hunter3' x=y", "pass=\"•\" token='•' x=y"),
    ("a.conf", "password='it''s hunter2'", "password=•"),
    ("a.conf", "PGPASSWORD=hunter2 \\\n  hunter3\nb=x", "PGPASSWORD=•\n  •\nb=x"),
    ("a.http", "Authorization: Bearer hunter2", "Authorization: •"),
    ("a.http", "X-Api-Key: hunter2\nCookie: a=hunter3\nAccept: x", "X-Api-Key: •\nCookie: •\nAccept: x"),
    ("a.md", "send `bearer hunter2` there", "send `bearer •` there"),
    ("a.sh", "curl -u \"$U\" --password hunter2 -x", "curl -u \"$U\" --password •"),
    ("a.sh", "T=${TOKEN:-hunter2}", "T=${TOKEN:•"),
    (
        "a.sh",
        "git clone https://bob:hu/hunter2@h/x and redis://:hunter3@h",
        "git clone https://bob:•@h/x and redis://:•@h",
    ),
    ("a.xml", "<dbPassword>hunter2</dbPassword><a>x</a>", "<dbPassword>•</dbPassword><a>x</a>"),
    ("a.ts", "const apiKey = \"hunter2\" + \"hunter3\";", "const apiKey = •"),
    ("a.ts", "const token =\n  \"hunter2\";\nconst x = 1", "const token =\n  •\nconst x = 1"),
    ("a.ts", "const token = `\nhunter2\n`;\nlet x", "const token = `\n•\n`;\nlet x"),
    (
        "a.ts",
        "f(token: string | null = \"hunter2\", n: number)",
        "f(token: string | null = \"•\", n: number)",
    ),
    ("a.py", "def f(password: str = 'hunter2', n: int = 1):", "def f(password: str = '•', n: int = 1):"),
    ("a.py", "x[\"client_secret\"] = b\"hunter2\"", "x[\"client_secret\"] = •"),
    ("a.rb", ":secret => 'hunter2'", ":secret => '•'"),
    // Beside a name, rather than behind it.
    (
        "a.yaml",
        "env:\n  - name: SECRET_KEY\n    value: hunter2\n  - name: PORT\n    value: 80",
        "env:\n  - name: SECRET_KEY\n    value: •\n  - name: PORT\n    value: 80",
    ),
    ("a.yaml", "- value: hunter2\n  name: API_TOKEN", "- value: •\n  name: API_TOKEN"),
    (
        "a.yaml",
        "- name: API_TOKEN\n  value: |\n    hunter2\n- x",
        "- name: API_TOKEN\n  value: |\n    •\n- x",
    ),
    ("a.yaml", "environment:\n  - SECRET_KEY=hunter2", "environment:\n  - SECRET_KEY=•"),
    (
        "a.yaml",
        "- name: PORT\n  value: 80\n- name: API_TOKEN\n  valueFrom:\n    x: y\n- name: A\n  value: b",
        "- name: PORT\n  value: 80\n- name: API_TOKEN\n  valueFrom:\n    x: y\n- name: A\n  value: b",
    ),
    (
        "a.yaml",
        "data:\n  b: x\n---\nkind: Secret\nstringData:\n  a: hunter2\n---\nkind: ConfigMap\ndata:\n  b: x",
        "data:\n  b: x\n---\nkind: Secret\nstringData:\n  a: •\n---\nkind: ConfigMap\ndata:\n  b: x",
    ),
    (
        "a.json",
        "[{\"name\": \"API_TOKEN\", \"value\": \"hunter2\"}, {\"name\": \"PORT\", \"value\": \"80\"}]",
        "[{\"name\": \"API_TOKEN\", \"value\": \"•\"}, {\"name\": \"PORT\", \"value\": \"80\"}]",
    ),
    (
        "a.json",
        "{\n  \"Value\": \"hunter2\",\n  \"Name\": \"API_TOKEN\"\n}",
        "{\n  \"Value\": \"•\",\n  \"Name\": \"API_TOKEN\"\n}",
    ),
    ("a.config", "<add key=\"Password\" value=\"hunter2\"/>", "<add key=\"Password\" value=\"•\"/>"),
    ("a.config", "<add value=\"hunter2\" key=\"Password\" />", "<add value=\"•\" key=\"Password\" />"),
    (
        "a.xml",
        "<property><name>db.password</name><value>hunter2</value></property>",
        "<property><name>db.password</name><value>•</value></property>",
    ),
    (
        "a.tf",
        "variable \"db_password\" {\n  default = \"hunter2\"\n}",
        "variable \"db_password\" {\n  default = \"•\"\n}",
    ),
    (
        "a.toml",
        "[[env]]\nname = \"API_TOKEN\"\nvalue = \"hunter2\"\n[[env]]\nname = \"PORT\"\nvalue = \"80\"",
        "[[env]]\nname = \"API_TOKEN\"\nvalue = \"•\"\n[[env]]\nname = \"PORT\"\nvalue = \"80\"",
    ),
    // What commands take.
    ("a.sh", "mysql -uroot -phunter2 db", "mysql -uroot -p• db"),
    (
        "a.yaml",
        "test: [\"CMD\", \"mysqladmin\", \"-phunter2\", \"ping\"]",
        "test: [\"CMD\", \"mysqladmin\", \"-p•\", \"ping\"]",
    ),
    ("a.sh", "mysqldump -u root \\\n  -p'hunter2 hunter3' db", "mysqldump -u root \\\n  -p• db"),
    ("a.sh", "sshpass -p hunter2 ssh h; sshpass -phunter3 ssh h", "sshpass -p • ssh h; sshpass -p• ssh h"),
    ("a.yaml", "- sshpass\n- -p\n- hunter2\n- ssh", "- sshpass\n- -p\n- •\n- ssh"),
    ("a.sh", "curl -u bob:hunter2 https://h", "curl -u bob:• https://h"),
    ("a.sh", "$CURL --user 'bob:hunter2 hunter3' https://h", "$CURL --user 'bob:•' https://h"),
    ("a.sh", "docker login -u bob -p hunter2 h", "docker login -u bob -p • h"),
    ("a.sh", "x --token=hunter2", "x --token=•"),
    ("a.sh", "x --password hunter2", "x --password •"),
    ("a.yaml", "args: [\"--password\", \"hunter2\"]", "args: [\"--password\", \"•\"]"),
    ("a.yaml", "args:\n- --password\n- hunter2\n- --port", "args:\n- --password\n- •\n- --port"),
];

const SHOWN: &[(&str, &str)] = &[
    ("a.ts", "if (token === other || !secret) return;\ntype T = { token: string; pass?: boolean }"),
    ("a.py", "if not token:\n    raise ValueError(x)\nmax_tokens: 4096"),
    ("a.rs", "use crate::secret::Secret;\nfn f(token: &str) -> Vec<Token> {}"),
    ("a.sh", "export TOKEN=$TOKEN\ncurl -H \"X-Api-Key: ${KEY}\"\nhttps://example.org:8080/a@b"),
    ("a.yaml", "author: bob\nkeyboard: x\ncompass: north\npasses: 3\nkey: x\npassword: ${{ secrets.DB }}"),
    ("a.md", "# Tokens\n\nSecrets:\n\n- are kept elsewhere"),
    ("bot/.env", "A=\n\n#\n"),
    ("a/secrets.json", "{\n  \"a\": [\n  ]\n}\n"),
    (
        "a.sh",
        "mysql -p db\nmysql -p\"$PASS\"\nssh -p 22 h\ncurl -u \"$U\" x\nx -u https://h/y\nx --token --port 1",
    ),
    ("a.yaml", "- name: port\n  value: 80\n- name: a\n  value: b\nkind: ConfigMap\ndata:\n  a: b"),
];

#[test]
fn secrets_in_every_form_are_hidden_and_what_changed_is_seen() {
    let wrong: Vec<_> = HIDDEN
        .iter()
        .map(|(path, text, expected)| (path, text, masked(Text::File(path), text), *expected))
        .filter(|(_, _, shown, expected)| shown != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (path, text, expected) in HIDDEN {
        assert!(!expected.contains("hunter"), "{expected}");
        // Neither does it matter what stands around it, or how lines end.
        let text = format!("# above\r\n\r\n{}\r\n", text.replace("\r\n", "\n").replace('\n', "\r\n"));
        assert!(!masked(Text::File(path), &text).contains("hunter"), "{path}: {text}");
    }
}

#[test]
fn what_is_no_secret_is_left() {
    for (path, text) in SHOWN {
        assert_eq!(masked(Text::File(path), text), *text, "{path}");
    }
}

#[test]
fn among_words_a_colon_is_none_unless_the_name_is_plainly_one() {
    for text in ["token-bot: held, line 2", "a secret: rule x", "password = [secret 1]", "token: unexpected"]
    {
        assert_eq!(masked(Text::Words, text), text);
    }
    for text in [
        "DB_PASS: hunter2",
        "Authorization: Basic hunter2",
        "sh -c 'x --token hunter2'",
        "{\"token\": \"hunter2\"}",
        "db password: hunter2",
        "client_secret=hunter2",
        "ready\n  token: hunter2\nkeys: 3",
        "private_key: hunter2",
    ] {
        assert!(!masked(Text::Words, text).contains("hunter"), "{text}");
    }
}

proptest::proptest! {
    /// Whatever the value, the name and the way of writing: none of its bytes is shown, and nothing is masked twice.
    #[test]
    fn no_value_is_shown(
        value in "[A-Za-z0-9!%&*+,./:;=?@^_~-]{4,24}",
        name in "(DB_|my|client-)?(Password|SECRET|token|api_key|credentials)",
        form in 0..7_usize,
        before in "[a-z \n]{0,20}",
    ) {
        let value = format!("Qz{value}zQ");
        let (path, text) = match form {
            0 => (".env", format!("{name}={value}")),
            1 => (".env.x", format!("{name}: {value}")),
            2 => ("a.yaml", format!("{name}: {value}")),
            3 => ("a.json", format!("\"{name}\": \"{value}\", \"b\": 1")),
            4 => ("a.toml", format!("{name} = '{value}'")),
            5 => ("a.pem", format!("{value}: x")),
            _ => ("a.conf", format!("x=1 {name}={value} y=2")),
        };
        let shown = masked(Text::File(path), &format!("{before}\n{text}\nlast"));
        proptest::prop_assert!(!shown.contains("Qz") && !shown.contains("zQ"), "{path} {text}: {shown}");
    }
}
