//! Progress on a terminal: how far the look and the apply are. Goes to stderr, leaves no trace, and is not
//! there without a terminal.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Event, Events};

/// What the engine is handed.
pub type Told = Arc<dyn Events + Send + Sync>;

/// A bar that follows the engine's events, if `shows`.
pub struct Progress {
    told: Told,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins. `of`: how many deployments there are to look at.
    pub fn begin(shows: bool, of: usize) -> Self {
        if !shows {
            return Self { told: Arc::new(()), bar: None };
        }
        let bar = ProgressBar::new(of as u64);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { told: Arc::new(Shown(bar.clone())), bar: Some(bar) }
    }

    /// For the engine.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Takes the bar away.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

struct Shown(ProgressBar);

impl Events for Shown {
    fn event(&self, event: Event) {
        match event {
            Event::Resolving { done, of } => self.0.set_message(format!("asking sources {done}/{of}")),
            Event::Looking(name) => self.0.set_message(format!("looking at {name}")),
            Event::Applying(name) => self.0.set_message(format!("applying to {name}")),
            Event::Looked(_) | Event::Applied(_) => self.0.inc(1),
        }
    }
}
