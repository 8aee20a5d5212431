//! Runs commands in turn, round by round, and says how long each took: for `benches/compare.sh`.
//!
//! ```text
//! race ROUNDS < commands         a line each: name, exit codes, what to do before, program, arguments; tabs between
//! name, median, least, most in milliseconds, peak memory in KiB (0: not known)                  a line each, on stdout
//! ```
//! What is compared runs interleaved, so that whatever else the machine does hits all alike; each round begins with
//! another command. A round before the first is not counted: it warms the cache. What is to be done before goes to `sh`
//! and is not counted. Output is dropped; an exit code that was not expected ends the race, since a command that
//! failed was not fast. Peak memory is that of one more run under `/usr/bin/time`, where that is.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const TIME: &str = "/usr/bin/time";

struct Contender {
    name: String,
    codes: Vec<i32>,
    before: String,
    program: Vec<String>,
    milliseconds: Vec<f64>,
}

fn main() -> ExitCode {
    // `cargo bench` passes --bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let done = match words.as_slice() {
        [] => Ok(()),
        [rounds] => rounds.parse().map_err(io::Error::other).and_then(race),
        _ => Err(io::Error::other("see the head of benches/race.rs")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("race: {error}");
            ExitCode::FAILURE
        }
    }
}

fn race(rounds: usize) -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut all: Vec<Contender> = text.lines().map(contender).collect::<Result<_, _>>()?;
    for round in 0..=rounds {
        let count = all.len();
        for at in 0..count {
            let contender = &mut all[(at + round) % count];
            let took = contender.run()?;
            if round > 0 {
                contender.milliseconds.push(took);
            }
        }
    }
    for contender in &mut all {
        let memory = contender.memory()?;
        let times = &mut contender.milliseconds;
        times.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (times.first(), times.last()) else { continue };
        let median = f64::midpoint(times[times.len() / 2], times[(times.len() - 1) / 2]);
        println!("{}\t{median:.3}\t{least:.3}\t{most:.3}\t{memory}", contender.name);
    }
    Ok(())
}

fn contender(line: &str) -> io::Result<Contender> {
    let mut fields = line.split('\t').map(str::to_owned);
    let (Some(name), Some(codes), Some(before)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(io::Error::other(format!("not a command: {line:?}")));
    };
    let codes = codes.split(',').map(str::parse).collect::<Result<_, _>>().map_err(io::Error::other)?;
    Ok(Contender { name, codes, before, program: fields.collect(), milliseconds: Vec::new() })
}

impl Contender {
    /// One run; gives its milliseconds.
    fn run(&self) -> io::Result<f64> {
        self.prepare()?;
        self.timed(&self.program)
    }

    fn prepare(&self) -> io::Result<()> {
        if self.before.is_empty() {
            return Ok(());
        }
        let before = Command::new("sh").args(["-ec", &self.before]).stdout(Stdio::null()).output()?;
        if before.status.success() {
            return Ok(());
        }
        Err(self.failed(&format!("{}: {}", self.before, before.status), &before.stderr))
    }

    fn timed(&self, program: &[String]) -> io::Result<f64> {
        let [name, arguments @ ..] = program else { return Err(self.failed("no program", b"")) };
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn()?;
        let mut said = Vec::new();
        if let Some(stderr) = &mut child.stderr {
            stderr.read_to_end(&mut said)?;
        }
        let status = child.wait()?;
        let took = start.elapsed();
        if status.code().is_some_and(|code| self.codes.contains(&code)) {
            return Ok(took.as_secs_f64() * 1e3);
        }
        Err(self.failed(&status.to_string(), &said))
    }

    /// The most memory that a run had, in KiB.
    fn memory(&self) -> io::Result<u64> {
        if !Path::new(TIME).exists() {
            return Ok(0);
        }
        self.prepare()?;
        let file = std::env::temp_dir().join(format!("race-{}", std::process::id()));
        let words = [TIME, "-q", "-f", "%M", "-o", &file.to_string_lossy()].map(str::to_owned);
        self.timed(&[&words[..], &self.program].concat())?;
        let said = std::fs::read_to_string(&file)?;
        std::fs::remove_file(&file)?;
        Ok(said.trim().parse().unwrap_or_default())
    }

    fn failed(&self, what: &str, said: &[u8]) -> io::Error {
        io::Error::other(format!("{}: {what}\n{}", self.name, String::from_utf8_lossy(said)))
    }
}
