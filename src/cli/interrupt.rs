//! Ctrl-C, and SIGTERM, while something is written: the first one ends what is under way and begins nothing more, the
//! second one leaves it to recovery.
//!
//! A switch that is cut short is finished or taken back by the next run, and on another machine by itself, so the
//! second one loses nothing. Commands that only look are ended by the first, as always.

use std::sync::mpsc;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use crate::engine::Stop;
use crate::host::end_commands;

/// From now on signals are heard, until the process ends.
#[derive(Debug)]
pub struct Interrupt {
    stop: Stop,
    heard: mpsc::Receiver<Exit>,
}

impl Interrupt {
    /// Listens. Where that is not possible, signals do what they always do.
    pub fn listen() -> Self {
        let stop = Stop::default();
        let (tell, heard) = mpsc::channel();
        let wish = stop.clone();
        // It sleeps for good; the end of the process is its end.
        let _listens = thread::Builder::new().name("signals".into()).spawn(move || wait(&wish, &tell));
        Self { stop, heard }
    }

    /// What a run looks at before it begins something.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// How the command ends if it was interrupted.
    pub fn exit(&self) -> Option<Exit> {
        self.heard.try_recv().ok()
    }
}

fn wait(stop: &Stop, tell: &mpsc::Sender<Exit>) {
    let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
    runtime.block_on(async {
        let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        let first = next(&mut int, &mut term).await;
        stop.wish();
        // A command that has ended meanwhile hears nothing.
        let _unheard = tell.send(first);
        eprintln!(
            "\ninterrupted: what is under way is finished, nothing more is begun; once more ends it at once"
        );
        let second = next(&mut int, &mut term).await;
        end_commands();
        std::process::exit(i32::from(second.code()));
    });
}

async fn next(int: &mut Signal, term: &mut Signal) -> Exit {
    tokio::select! {
        _ = int.recv() => Exit::Interrupted,
        _ = term.recv() => Exit::Terminated,
    }
}
