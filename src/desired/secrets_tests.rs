//! Planted secrets are found, what only looks like one is not, and nothing shows any of them.

use std::error::Error;

use super::*;

/// Texts are put together here, so that no scanner takes this file for a leak.
fn planted() -> Vec<(&'static str, String, String)> {
    let random = "q7Zr2LxV9bKd4MnW8sTj3HfG6cYpA1eUoXiR5vB0";
    let digits = "4821093756";
    let of = |rule: &'static str, before: &str, secret: String, after: &str| {
        (rule, format!("first line\n{before}{secret}{after}\nlast line\n"), secret)
    };
    let key = format!("{random}\n{random}");
    vec![
        of(
            "private-key",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n",
            key,
            "\n-----END OPENSSH PRIVATE KEY-----",
        ),
        of("aws-access-key-id", "id = ", format!("AKIA{}", &"Q7ZR2LXV9BKD4MNW"[..16]), ""),
        of("aws-secret-access-key", "aws_secret_access_key = ", random.to_owned(), ""),
        of("github-token", "x ", format!("ghp_{}", &random[..36]), ";"),
        of("github-fine-grained-token", "", format!("github_pat_{random}{random}"), ""),
        of("gitlab-token", "", format!("glpat-{}", &random[..20]), ""),
        of("slack-token", "SLACK=", format!("xoxb-{digits}-{digits}-{}", &random[..24]), ""),
        of("slack-token", "t: ", format!("xapp-1-A{digits}-{digits}-{random}"), ""),
        of(
            "slack-webhook",
            "https://hooks.slack.com/services/",
            format!("T0{digits}/B0{digits}/{}", &random[..24]),
            "",
        ),
        of("openai-key", "", format!("sk-proj-{}T3BlbkFJ{}", &random[..20], &random[..20]), ""),
        of("anthropic-key", "", format!("sk-ant-api03-{random}"), ""),
        of("google-api-key", "", format!("AIza{}", &random[..35]), ""),
        of("stripe-key", "", format!("sk_live_{}", &random[..24]), ""),
        of("npm-token", "", format!("npm_{}", &random[..36]), ""),
        of("huggingface-token", "", format!("hf_{}", &random[..34]), ""),
        of("url-password", "git clone https://bob:", "hunter2".to_owned(), "@example.org/x.git"),
        of("url-password", "DSN=postgres://app:", "s3cr!t:with:colons".to_owned(), "@db/app"),
        of("password", "  \"password\": \"", "Tr0ub4dor&3x".to_owned(), "\","),
        of("assigned-secret", "const apiKey = '", random[..24].to_owned(), "';"),
        of("assigned-secret", "config[\"client_secret\"] = \"", random[..24].to_owned(), "\""),
        of("environment-secret", "export BOT_TOKEN=", random[..24].to_owned(), ""),
        of("environment-secret", "SMTP_PASSWORD=", "kT9-pelican-42".to_owned(), "\r"),
    ]
}

#[test]
fn planted_secrets_are_found_and_never_shown() {
    let rules = Rules::new(None).unwrap();
    for (rule, text, secret) in planted() {
        let findings = scan("src/x", text.as_bytes(), &rules);
        let found = findings.iter().find(|finding| finding.rule == rule);
        let Some(found) = found else { panic!("{rule} is not found in\n{text}{findings:?}") };
        assert_eq!(found.line, 2, "{rule}");
        for finding in &findings {
            let shown = format!("{finding:?} {} {} {}", finding.rule, finding.line, finding.fingerprint);
            for part in secret.as_bytes().windows(7).map(|part| String::from_utf8_lossy(part)) {
                assert!(!shown.contains(&*part), "{rule}: {shown}");
            }
        }
        assert!(!format!("{rules:?}").contains(&secret));
        // Bytes that are no text do not hide it.
        let mut bytes = vec![0xff, 0x00, b'\n'];
        bytes.extend(text.as_bytes());
        assert!(scan("src/x", &bytes, &rules).iter().any(|f| f.rule == rule && f.line == 3), "{rule}");
        let marked = text.replace("\nlast", "  # gitleaks:allow\nlast");
        if !secret.contains('\n') && !text.contains('\r') && rule != "environment-secret" {
            assert_eq!(scan("src/x", marked.as_bytes(), &rules), [], "{rule}");
        }
    }
}

#[test]
fn what_only_looks_like_one() {
    let rules = Rules::new(None).unwrap();
    for text in [
        "const token = process.env.SLACK_BOT_TOKEN;",
        "SLACK_BOT_TOKEN=xoxb-your-bot-token",
        "SLACK_BOT_TOKEN=${SLACK_BOT_TOKEN}",
        "token: \"next-page-token-name\"",
        "password: \"your-password-here\"",
        "password = \"$PASSWORD\"",
        "https://example.org:8080/a@b",
        "https://user:password@example.org/",
        "https://user:${TOKEN}@example.org/",
        "ssh://git@example.org/x.git",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-learn-contributions-are-welcome",
        "if (!secret || secret.length < 32) throw new Error(\"no secret\");",
        "the passwords = \"short\"",
        "",
    ] {
        assert_eq!(scan("x", text.as_bytes(), &rules), [], "{text}");
    }
}

#[test]
fn fingerprints_are_stable_and_tell_rule_path_and_secret_apart() {
    let rules = Rules::new(None).unwrap();
    let one = |path: &str, text: &str| scan(path, text.as_bytes(), &rules)[0].fingerprint.clone();
    let first = one("a", "url https://u:hunter2@h/");
    assert_eq!(first.to_string(), "76c43184dbdb");
    assert_eq!(one("a", "\n\nother https://v:hunter2@i/"), first);
    assert_ne!(one("b", "url https://u:hunter2@h/"), first);
    assert_ne!(one("a", "url https://u:hunter3@h/"), first);
    assert_eq!(first.to_string().parse::<Fingerprint>(), Ok(first));
    for text in ["", "hunter2", "76C43184DBDB", "76c43184dbdb0"] {
        let refused = text.parse::<Fingerprint>().unwrap_err();
        assert!(text.is_empty() || !refused.contains(text), "{refused}");
    }
}

#[test]
fn a_fleet_adds_rules_and_allows() {
    let own = r#"
title = "ours"
[extend]
useDefault = true
disabledRules = ["url-password"]
[allowlist]
description = "fixtures"
paths = ['''^fixtures/''']
regexes = ['''^ours-public-''']
stopwords = ["demo"]
[[rules]]
id = "ours"
description = "our tokens"
regex = '''(ours)-([a-z0-9-]{8,})'''
secretGroup = 2
keywords = ["OURS-"]
tags = ["x"]
[[rules.allowlists]]
condition = "AND"
paths = ['''\.md$''']
regexTarget = "line"
regexes = ['''^see ''']
[[rules]]
id = "no-env-files"
path = '''(^|/)\.env$'''
"#;
    let rules = Rules::new(Some(own)).unwrap();
    for (path, text, expected) in [
        ("x", "ours-a1b2c3d4", &["ours"][..]),
        ("x", "https://u:hunter2@h/", &[]),
        ("fixtures/x", "ours-a1b2c3d4", &[]),
        ("x", "ours-demo-a1b2c3d4", &[]),
        ("a.md", "see ours-a1b2c3d4", &[]),
        ("a.md", "use ours-a1b2c3d4", &["ours"]),
        ("a.ts", "see ours-a1b2c3d4", &["ours"]),
        ("src/.env", "", &["no-env-files"]),
        ("src/.envrc", "", &[]),
    ] {
        let found: Vec<String> = scan(path, text.as_bytes(), &rules).into_iter().map(|f| f.rule).collect();
        assert_eq!(found, expected, "{path} {text}");
    }
}

#[test]
fn a_rule_file_that_cannot_be_used() {
    for (text, expected) in [
        ("[[rules]]\nid = 1", "line 2: invalid type: integer `1`, expected a string"),
        (
            "[[rules]]\nid = \"x\"\nregex = '('",
            "rule x: \"(\" is no regular expression that is understood here",
        ),
        ("[[rules]]\nid = \"x\"\nregex = 'a'\nsecretGroup = 1", "rule x: its regex has no group 1"),
        (
            "[allowlist]\npaths = ['[']",
            "the allowlist: \"[\" is no regular expression that is understood here",
        ),
    ] {
        let error = Rules::new(Some(text)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.source().is_none_or(|cause| !error.to_string().contains(&cause.to_string())));
    }
}

#[test]
fn entropy_is_bits_per_byte() {
    assert_eq!(entropy(b"aaaa"), 0.0);
    assert_eq!(entropy(b"abab"), 1.0);
    assert_eq!(entropy(b"abcd"), 2.0);
    assert_eq!(entropy(b""), 0.0);
}

#[test]
fn spans_lie_where_the_secrets_are() {
    let rules = Rules::new(None).unwrap();
    let token = format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
    let text = format!("a = 1\ntoken = \"{token}\"\nb = \"{token}\"\n");
    let found = spans(Text::File("x.toml"), text.as_bytes(), &rules);
    let found: Vec<&str> = found.into_iter().map(|span| &text[span]).collect();
    assert_eq!(found, [token.as_str(), token.as_str()]);

    let text = "# NAME=x\nPASSWORD=hunter2\nEMPTY=\nexport A=b=c\nplain\n";
    let found = |path| {
        spans(Text::File(path), text.as_bytes(), &rules)
            .into_iter()
            .map(|span| &text[span])
            .collect::<Vec<_>>()
    };
    assert_eq!(found("bot/.env"), ["NAME=x", "hunter2", "b=c", "plain"]);
    // Elsewhere only what its name calls a secret.
    assert_eq!(found("bot/environment"), ["hunter2"]);
}
