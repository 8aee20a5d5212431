//! What the kernel alone costs: the floor under packfleet's measurements, and the trees they are made on.
//!
//! ```text
//! limit generate w1|w2|w3|FILESxDIRECTORIES[xBYTES] TREE   writes a workload
//! limit touch N STEP TREE                          changes N files, spread over the tree
//! limit stat TREE                                  walks, lstat each
//! limit hash TREE                                  walks, lstat, read and BLAKE3 each
//! limit converge N TREE                            walks, lstat each; N files written aside, synced, renamed over, synced
//! limit install FROM TO                            reads each, writes it elsewhere, syncs once
//! ```
//! Two threads take directories from one list. No record, no comparison, no promise: whatever packfleet
//! needs above this is its own. Sizes are drawn from a fixed sequence, so every run measures the same tree.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, openat, statx};

const THREADS: usize = 2;

fn main() -> ExitCode {
    // `cargo bench` passes --bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["generate", what, tree] => generate(what, Path::new(tree)),
        ["touch", number, step, tree] => touch(parse(number), parse(step), Path::new(tree)),
        ["stat", tree] => walk(Path::new(tree), |_, _, _| Ok(0)).map(drop),
        ["hash", tree] => walk(Path::new(tree), hash).map(drop),
        ["converge", number, tree] => converge(parse(number), Path::new(tree)),
        ["install", from, to] => install(Path::new(from), Path::new(to)),
        [] => Ok(()),
        _ => Err(io::Error::other("see the head of benches/limit.rs")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(text: &str) -> usize {
    text.parse().unwrap_or_default()
}

/// A fixed sequence of numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Log-normal with this mean and a spread like that of source trees.
    fn size(&mut self, mean: f64) -> usize {
        const SIGMA: f64 = 1.2;
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        ((mean.ln() - SIGMA * SIGMA / 2.0 + SIGMA * normal).exp() as usize).max(1)
    }

    fn text(&mut self, size: usize) -> Vec<u8> {
        const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz      ABCDEFGHIJKLMNOP\n0123456789.,;:-";
        let mut text = Vec::with_capacity(size + 8);
        while text.len() < size {
            text.extend(self.next().to_le_bytes().map(|byte| LETTERS[usize::from(byte % 64)]));
        }
        text.truncate(size);
        text
    }
}

fn generate(what: &str, tree: &Path) -> io::Result<()> {
    let (files, directories, mean, same) = match what {
        "w1" => (60, 8, 17_000.0, None),
        "w2" => (100_000, 2_000, 4_120.0, None),
        "w3" => (64, 1, 0.0, Some(32 << 20)),
        other => match *other.split('x').collect::<Vec<_>>() {
            [files, directories] => (parse(files), parse(directories).max(1), 4_120.0, None),
            [files, directories, bytes] => (parse(files), parse(directories).max(1), 0.0, Some(parse(bytes))),
            _ => return Err(io::Error::other("w1, w2, w3 or FILESxDIRECTORIES[xBYTES]")),
        },
    };
    let mut numbers = Numbers(what.len() as u64);
    for file in 0..files {
        let directory = file % directories;
        let at = match directories {
            1 => tree.to_owned(),
            _ => tree.join(format!("part-{:02}", directory % 40)).join(format!("topic-{directory:04}")),
        };
        fs::create_dir_all(&at)?;
        let size = same.unwrap_or_else(|| numbers.size(mean));
        fs::write(at.join(format!("file-{file:06}.md")), numbers.text(size))?;
    }
    Ok(())
}

/// Appends a line to every `step`th file, `number` in all.
fn touch(number: usize, step: usize, tree: &Path) -> io::Result<()> {
    let mut files = files(tree)?;
    files.sort();
    for path in files.iter().step_by(step.max(1)).take(number) {
        let mut file = File::options().append(true).open(path)?;
        file.write_all(format!("changed {}\n", file.metadata()?.len()).as_bytes())?;
    }
    Ok(())
}

fn files(tree: &Path) -> io::Result<Vec<PathBuf>> {
    let found = Mutex::new(Vec::new());
    walk(tree, |_, _, path| {
        found.lock().expect("no thread panics").push(path());
        Ok(0)
    })?;
    Ok(found.into_inner().expect("no thread panics"))
}

/// Walks with two threads; `each` is called on every file after its lstat.
fn walk(
    tree: &Path,
    each: impl Fn(&OwnedFd, &std::ffi::CStr, &dyn Fn() -> PathBuf) -> io::Result<u64> + Sync,
) -> io::Result<u64> {
    let waiting = Mutex::new((vec![tree.to_owned()], 0usize));
    let sum = AtomicU64::new(0);
    let work = || -> io::Result<()> {
        loop {
            let next = {
                let mut waiting = waiting.lock().expect("no thread panics");
                let next = waiting.0.pop();
                waiting.1 += usize::from(next.is_some());
                match next {
                    Some(next) => next,
                    None if waiting.1 == 0 => return Ok(()),
                    None => {
                        drop(waiting);
                        std::thread::yield_now();
                        continue;
                    }
                }
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(rustix::fs::CWD, &next, flags, Mode::empty())?;
            let mut below = Vec::new();
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let path = || next.join(std::ffi::OsStr::new(name.to_str().unwrap_or_default()));
                if entry.file_type() == FileType::Directory {
                    below.push(path());
                    continue;
                }
                statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
                sum.fetch_add(each(&directory, name, &path)?, Ordering::Relaxed);
            }
            let mut waiting = waiting.lock().expect("no thread panics");
            waiting.0.extend(below);
            waiting.1 -= 1;
        }
    };
    std::thread::scope(|scope| {
        let other: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
        let mine = work();
        other.into_iter().map(|thread| thread.join().expect("no thread panics")).fold(mine, Result::and)
    })?;
    Ok(sum.into_inner())
}

fn hash(directory: &OwnedFd, name: &std::ffi::CStr, _: &dyn Fn() -> PathBuf) -> io::Result<u64> {
    thread_local!(static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
    let mut file = File::from(openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(1 << 20, 0);
        let mut hasher = blake3::Hasher::new();
        loop {
            match file.read(buffer)? {
                0 => return Ok(u64::from(hasher.finalize().as_bytes()[0])),
                read => drop(hasher.update(&buffer[..read])),
            }
        }
    })
}

fn converge(number: usize, tree: &Path) -> io::Result<()> {
    let files = files(tree)?;
    let aside = tree.with_extension("aside");
    fs::create_dir_all(&aside)?;
    let step = (files.len() / number.max(1)).max(1);
    let changed: Vec<&PathBuf> = files.iter().step_by(step).take(number).collect();
    for (at, path) in changed.iter().enumerate() {
        fs::write(aside.join(at.to_string()), fs::read(path)?)?;
    }
    let top = File::open(tree)?;
    rustix::fs::syncfs(top.as_fd())?;
    for (at, path) in changed.iter().enumerate() {
        fs::rename(aside.join(at.to_string()), path)?;
    }
    rustix::fs::syncfs(top.as_fd())?;
    fs::remove_dir(&aside)
}

fn install(from: &Path, to: &Path) -> io::Result<()> {
    walk(from, |_, _, path| {
        let path = path();
        let target = to.join(path.strip_prefix(from).map_err(io::Error::other)?);
        let bytes = fs::read(&path)?;
        match fs::write(&target, &bytes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(target.parent().unwrap_or(to))?;
                fs::write(&target, &bytes)?;
            }
            written => written?,
        }
        Ok(bytes.len() as u64)
    })?;
    Ok(rustix::fs::syncfs(File::open(to)?.as_fd())?)
}
