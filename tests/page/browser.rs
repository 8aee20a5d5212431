//! The page in Chromium: what people see and can do, in `page/browse.cjs`.
//!
//! Needs `chromium`, `node`, and `playwright-core` where Node finds it (`NODE_PATH`). Where one of them is missing the
//! test says so and is skipped.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use packfleet::daemon::view::Standing;

use crate::fleets::{hostile, large, small};
use crate::server::Server;

fn answers(program: &str, arguments: &[&str]) -> bool {
    let run = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

#[test]
fn people_can_read_and_use_it() {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let Some(browser) = browsers.into_iter().find(|browser| answers(browser, &["--version"])) else {
        eprintln!("SKIPPED: no browser (apt-get install chromium)");
        return;
    };
    let browser = which(browser);
    if !answers("node", &["-e", "require('playwright-core')"]) {
        eprintln!(
            "SKIPPED: no node with playwright-core (npm install --prefix DIR playwright-core, and NODE_PATH=DIR/node_modules)"
        );
        return;
    }
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&pictures).expect("a directory for pictures");
    let [little, much, bad] = [small(), large(), hostile()].map(|view| Server::start(view, None));
    let url = |server: &Server| format!("http://{}", server.address);
    let mut child = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/browse.cjs"))
        .args([&browser, &url(&little), &url(&much), &url(&bad)])
        .arg(&pictures)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut input = child.stdin.take().expect("its input");
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok) {
        eprintln!("{line}");
        if ["update", "remove", "return"].contains(&line.as_str()) {
            let mut newer = small();
            newer.revision = little.view.borrow().revision + 1;
            match line.as_str() {
                "update" => newer.deployments[0].sync = Standing::Failed,
                "remove" => newer.deployments.retain(|it| it.name != "PAI-DEV-01"),
                _ => {}
            }
            newer.count();
            little.view.send_replace(Arc::new(newer));
            writeln!(input, "done").expect("it listens");
        }
        said.push(line);
    }
    let status = child.wait().expect("node ends");
    let bad: Vec<&String> = said.iter().filter(|line| line.starts_with("not ok")).collect();
    assert!(status.success() && said.iter().any(|line| line == "done"), "{bad:#?}");
    assert!(said.iter().filter(|line| line.starts_with("ok ")).count() > 40, "{said:#?}");
}

fn which(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    found.map_or_else(|| program.to_owned(), |file| file.display().to_string())
}
