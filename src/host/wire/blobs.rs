//! File contents on their way to a host: one body with all blobs that it lacks, in the order of their use.
//!
//! ```text
//! given: 1, digest, length (u64), bytes     not to be had: 0, digest, length (u64), why     the end: 2
//! ```
//! The host reads one when it needs it, so it holds no more than one blob, and the controller no more than a piece of
//! one; only a content that is used again later is kept until then. A blob that nobody asked for, or that is not what it is called, ends the
//! session. What the host has itself (in its store, its backups, its tree) never travels.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use super::frame::{Body, BodyWriter, Frames};
use super::{MOST_BLOB, MOST_CHUNK, WireError};
use crate::host::{BlobError, Blobs, Host, Stream};
use crate::model::plan::Plan;
use crate::model::{Content, TreePath};

const REFUSED: u8 = 0;
const GIVEN: u8 = 1;
const END: u8 = 2;
/// Bytes of a reason.
const MOST_WORDS: u64 = 64 << 10;
/// Bytes that are read of a blob before more room is made.
const GULP: u64 = 1 << 20;

/// Sends blobs. Stops early once `enough` says that the host wants no more.
pub fn send(
    lacking: &[Content],
    blobs: &dyn Blobs,
    mut body: BodyWriter<'_>,
    mut enough: impl FnMut() -> bool,
) -> Result<(), WireError> {
    for content in lacking {
        if enough() {
            break;
        }
        let mut head = |tag: u8, length: u64| {
            body.put(&[tag])?;
            body.put(content.as_bytes())?;
            body.put(&length.to_le_bytes())
        };
        match blobs.stream(*content) {
            Ok(Stream { length, bytes }) => {
                head(GIVEN, length)?;
                copy(bytes, length, &mut body)?;
            }
            Err(BlobError { why, .. }) => {
                head(REFUSED, why.len() as u64)?;
                body.put(why.as_bytes())?;
                break;
            }
        }
    }
    body.put(&[END])?;
    body.end()
}

/// Passes exactly so many bytes on, and never holds more of them than a chunk.
fn copy(mut from: impl Read, length: u64, body: &mut BodyWriter<'_>) -> Result<(), WireError> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or(MOST_CHUNK).min(MOST_CHUNK)];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(MOST_CHUNK).min(MOST_CHUNK);
        match from.read(&mut piece[..most])? {
            // More was announced: nothing that could follow would be understood.
            0 => return Err(WireError::Blob("a file of the cache was cut off while it was sent".into())),
            count => {
                body.put(&piece[..count])?;
                left -= count as u64;
            }
        }
    }
    Ok(())
}

/// Where a host finds bytes for a plan: its own, and what arrives.
pub struct Arriving<'a> {
    host: &'a dyn Host,
    /// Paths of the host's tree at which a content lay when the plan was made.
    places: BTreeMap<Content, TreePath>,
    inside: Mutex<Inside<'a>>,
    watched: &'a (dyn Fn() + Sync),
}

type Rest<'a> = (&'a mut Frames, &'a mut (dyn Read + Send));

struct Inside<'a> {
    body: Option<Body<'a>>,
    /// What stands behind all blobs, once they have come.
    rest: Option<Rest<'a>>,
    awaited: VecDeque<Content>,
    /// The same, to be found.
    coming: BTreeSet<Content>,
    /// How often each content will still be asked for.
    uses: BTreeMap<Content, usize>,
    /// What arrived and will be asked for (again).
    held: BTreeMap<Content, Vec<u8>>,
    /// Sizes of all that arrived.
    sizes: BTreeMap<Content, u64>,
    /// Why nothing more arrives.
    broken: Option<WireError>,
    missing: BTreeMap<Content, String>,
}

impl<'a> Arriving<'a> {
    /// For a plan, of which these contents will be asked for, each as often as it is named.
    pub fn of(host: &'a dyn Host, plan: &Plan, needs: &[Content], watched: &'a (dyn Fn() + Sync)) -> Self {
        let mut places = BTreeMap::new();
        for action in &plan.actions {
            if let Some(before) = action.before {
                places.entry(before.content).or_insert_with(|| action.path.clone());
            }
        }
        for (path, recorded) in &plan.next.entries {
            if let Some(written) = recorded.written {
                places.entry(written.content).or_insert_with(|| path.clone());
            }
        }
        let mut uses: BTreeMap<Content, usize> = BTreeMap::new();
        for content in needs {
            *uses.entry(*content).or_default() += 1;
        }
        let inside = Inside {
            body: None,
            rest: None,
            awaited: VecDeque::new(),
            coming: BTreeSet::new(),
            uses,
            held: BTreeMap::new(),
            sizes: BTreeMap::new(),
            broken: None,
            missing: BTreeMap::new(),
        };
        Self { host, places, inside: Mutex::new(inside), watched }
    }

    /// What of this the host does not have, each once, in the order of first use.
    pub fn lacking(&self, needs: &[Content]) -> Vec<Content> {
        let mut seen = BTreeSet::new();
        let needs = needs.iter().copied();
        needs.filter(|content| seen.insert(*content) && self.own(*content).is_none()).collect()
    }

    /// From here on these arrive, in this order, in a body.
    pub fn await_them(&mut self, lacking: Vec<Content>, body: Body<'a>) {
        let inside = self.inside.get_mut().unwrap_or_else(PoisonError::into_inner);
        inside.coming = lacking.iter().copied().collect();
        inside.awaited = lacking.into();
        inside.body = Some(body);
    }

    /// Nothing arrives; this is what stands behind it.
    pub fn await_nothing(&mut self, frames: &'a mut Frames, input: &'a mut (dyn Read + Send)) {
        self.inside.get_mut().unwrap_or_else(PoisonError::into_inner).rest = Some((frames, input));
    }

    /// What stands behind all blobs, as soon as nothing is to come any more; once.
    pub fn rest(&self) -> Option<Rest<'a>> {
        self.inside.try_lock().ok()?.rest.take()
    }

    /// Reads what was not asked for, so that the stream stands behind the body.
    pub fn finish(self) -> Result<(), WireError> {
        let inside = self.inside.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (inside.broken, inside.body) {
            (Some(error), _) => Err(error),
            (None, Some(mut body)) => body.drain(),
            (None, None) => Ok(()),
        }
    }

    fn own(&self, content: Content) -> Option<Vec<u8>> {
        if let Ok(Some(bytes)) = self.host.kept(content) {
            return Some(bytes);
        }
        let path = self.places.get(&content)?;
        self.host.read(path, content).ok()
    }
}

/// All contents that carrying out a plan asks for, in that order, repeated where it asks again.
pub fn needs(plan: &Plan) -> Vec<Content> {
    let puts = plan.actions.iter().filter_map(|action| action.after.map(|after| after.content));
    let Ok(kept) = plan.kept_contents(|_| Ok::<_, Infallible>(false));
    puts.chain(kept).collect()
}

impl Inside<'_> {
    /// Reads on until a content arrives.
    fn until(&mut self, wanted: Option<Content>) -> Result<(), WireError> {
        while let Some(body) = self.body.as_mut() {
            let mut tag = [0];
            body.read_exact(&mut tag).map_err(WireError::of_body)?;
            if tag[0] == END {
                body.drain()?;
                self.rest = self.body.take().map(Body::into_rest);
                break;
            }
            let mut head = [0; 40];
            body.read_exact(&mut head).map_err(WireError::of_body)?;
            let mut digest = [0; 32];
            digest.copy_from_slice(&head[..32]);
            let mut length = [0; 8];
            length.copy_from_slice(&head[32..]);
            let (content, length) = (Content::from_bytes(digest), u64::from_le_bytes(length));
            let most = match tag[0] {
                GIVEN => MOST_BLOB,
                REFUSED => MOST_WORDS,
                _ => return Err(WireError::Blob("something among blobs that is none".into())),
            };
            if self.awaited.pop_front() != Some(content) {
                return Err(WireError::Blob(format!("a blob that nobody asked for: {content}")));
            }
            self.coming.remove(&content);
            if length > most {
                return Err(WireError::TooMuch("a blob"));
            }
            let mut bytes = Vec::new();
            let mut left = length;
            while left > 0 {
                // Room is made as bytes come, not as they are announced.
                let got = body.by_ref().take(left.min(GULP)).read_to_end(&mut bytes);
                match got.map_err(WireError::of_body)? as u64 {
                    0 => return Err(WireError::Closed("in a blob")),
                    got => left -= got,
                }
            }
            if tag[0] == REFUSED {
                self.missing.insert(content, String::from_utf8_lossy(&bytes).into_owned());
                continue;
            }
            if Content::of(&bytes) != content {
                return Err(WireError::Blob(format!("a blob with another digest than {content}")));
            }
            self.sizes.insert(content, length);
            if self.uses.get(&content).is_some_and(|uses| *uses > 0) {
                self.held.insert(content, bytes);
            }
            // Behind the last one comes the end, and with it the body is over.
            if wanted == Some(content) && !self.awaited.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, content: Content) -> Option<Vec<u8>> {
        let uses = self.uses.entry(content).or_default();
        *uses = uses.saturating_sub(1);
        if *uses == 0 { self.held.remove(&content) } else { self.held.get(&content).cloned() }
    }
}

impl Blobs for Arriving<'_> {
    fn watched(&self) {
        (self.watched)();
    }

    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        let no = |why: String| BlobError { content, why };
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &inside.broken {
            return Err(no(error.to_string()));
        }
        if inside.coming.contains(&content)
            && let Err(error) = inside.until(Some(content))
        {
            let why = error.to_string();
            inside.broken = Some(error);
            return Err(no(why));
        }
        if let Some(bytes) = inside.take(content) {
            return Ok(bytes);
        }
        if let Some(why) = inside.missing.get(&content) {
            return Err(no(why.clone()));
        }
        drop(inside);
        self.own(content).ok_or_else(|| no("neither the host nor the controller has them".into()))
    }

    fn size(&self, content: Content) -> Option<u64> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        // Sizes are asked for once nothing will be put any more.
        inside.uses.clear();
        inside.held.clear();
        if inside.broken.is_none()
            && inside.coming.contains(&content)
            && let Err(error) = inside.until(Some(content))
        {
            inside.broken = Some(error);
        }
        let known = inside.sizes.get(&content).copied();
        drop(inside);
        known.or_else(|| self.own(content).map(|bytes| bytes.len() as u64))
    }
}
