//! The library from Rust: load a fleet, look at every deployment, and print what differs where. Writes nothing.
//!
//! `cargo run --example plan [FLEET.TOML]`

use std::error::Error;
use std::sync::Arc;

use camino::Utf8PathBuf;
use packfleet::desired::selector::select;
use packfleet::engine::{Events, Gone, Offline, Options, Recover, Stop, Unmanaged, Workspace, fleet};
use packfleet::host::Trust;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "fleet.toml".to_owned());
    // Mirrors of git repositories lie here; losing them costs a fetch.
    let cache = Utf8PathBuf::from("target/example-cache");
    let workspace = Arc::new(Workspace::load(file.as_str().into(), &camino::absolute_utf8(cache)?)?);

    let options = Options {
        voice: None,
        jobs: None,
        trust: Trust::StatCache,
        list: Unmanaged::Ignore,
        recover: Recover::Report,
        offline: Offline::Waits,
        gone: Gone::Say,
        stop: Stop::default(),
        hurry: None,
        now: jiff::Timestamp::now(),
        begun: None,
    };
    // Nobody listens to progress here.
    let nobody: Arc<dyn Events + Send + Sync> = Arc::new(());
    let everyone = select(&workspace.fleet, &[])?;
    for report in fleet::survey(&workspace, &everyone, &options, &nobody)? {
        println!("{}: {:?}", report.deployment, report.outcome);
        if let Some(failure) = &report.failure {
            println!("    {failure}");
        }
        let Some(survey) = &report.survey else { continue };
        for (path, judged) in survey.drift.drifted() {
            println!("    {path}  {:?}", judged.standing);
        }
        // The plan is a plain value: what `fleet::apply` would carry out, and nothing else.
        let plan = &survey.plan;
        println!("    plan {}: {} steps, {} holds", plan.id().short(), plan.actions.len(), plan.holds.len());
    }
    Ok(())
}
