//! Changes to inputs: of single bytes, of words of the target's language, of lines, and between inputs.
//!
//! A fixed sequence of numbers decides, so that a run is the same everywhere.

/// A fixed sequence of numbers (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another; 0 below 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        // Mostly short.
        let most = if self.below(4) == 0 { length } else { 8 };
        start..(start + self.below(most + 1)).min(length)
    }
}

/// One of `seeds`, changed in a few places.
pub fn mutated(seeds: &[Vec<u8>], words: &[&str], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = numbers.pick(seeds).clone();
    for _ in 0..=numbers.below(6) {
        change(&mut data, seeds, words, numbers);
        data.truncate(8 << 10);
    }
    data
}

fn change(data: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], numbers: &mut Numbers) {
    let at = numbers.below(data.len() + 1);
    match numbers.below(11) {
        0 | 1 if at < data.len() => data[at] ^= 1 << numbers.below(8),
        2 if at < data.len() => data[at] = *numbers.pick(&[0, 1, 0x7f, 0x80, 0xfe, 0xff, b'\n', b'"', b'0']),
        // A word is put in, or takes the place of something.
        3 | 4 => {
            let range = at..(at + numbers.below(2) * numbers.below(8)).min(data.len());
            data.splice(range, numbers.pick(words).bytes());
        }
        5 => drop(data.drain(numbers.range(data.len()))),
        6 => {
            let copy = data[numbers.range(data.len())].to_vec();
            data.splice(at..at, copy);
        }
        7 => {
            let other = numbers.pick(seeds);
            let copy = other[numbers.range(other.len())].to_vec();
            data.splice(at..at, copy);
        }
        // Lines: one twice, one gone, two exchanged, all from one place on those of another input.
        kind => {
            let lines = |data: &[u8]| {
                data.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
            };
            let mut all = lines(data);
            if all.is_empty() {
                return;
            }
            let (one, other) = (numbers.below(all.len()), numbers.below(all.len()));
            match kind {
                8 => all.insert(other, all[one].clone()),
                9 if numbers.below(2) == 0 => drop(all.remove(one)),
                9 => all.swap(one, other),
                _ => {
                    let tail = lines(numbers.pick(seeds).as_slice());
                    let from = numbers.below(tail.len() + 1);
                    all.splice(one.., tail[from..].iter().cloned());
                }
            }
            *data = all.concat();
        }
    }
}
