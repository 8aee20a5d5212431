//! From Rust text to tokens: comments and literals blanked, lines kept.
//!
//! Invariants: blanking keeps every line break, so a token's line is the file's line; what stood in a
//! comment, a string or a character literal is never a token. Deliberately absent: numbers with
//! suffixes, raw identifiers and macro grammar, which no rule needs.

/// One word or sign; `::` is one sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

impl Token {
    /// Whether it is a word (or a number).
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Splits a text into tokens.
pub fn tokens(text: &str) -> Vec<Token> {
    let blanked = blank(text);
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = blanked.as_str();
    while let Some(c) = rest.chars().next() {
        let length = if is_word_char(c) {
            rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            found.push(Token { text: rest[..length].to_string(), line });
        }
        line += usize::from(c == '\n');
        rest = &rest[length..];
    }
    found
}

/// Replaces comments and the inside of literals by spaces.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).unwrap_or(at);
        if end > at {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `None` if none begins there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = |n: usize| chars.get(at + n).copied();
    match (chars[at], next(1)) {
        ('/', Some('/')) => Some(find(chars, at, |c| c == '\n')),
        ('/', Some('*')) => Some(block_comment_end(chars, at)),
        ('"', _) => Some(quoted_end(chars, at + 1, '"')),
        ('\'', Some('\\')) => Some(quoted_end(chars, at + 1, '\'')),
        // 'x' is a character, 'x without the second quote a lifetime.
        ('\'', Some(c)) if c != '\'' && next(2) == Some('\'') => Some(at + 3),
        ('r', Some('#' | '"')) if at == 0 || !is_word_char(chars[at - 1]) => raw_string_end(chars, at + 1),
        ('b' | 'c', Some('r')) if at == 0 || !is_word_char(chars[at - 1]) => raw_string_end(chars, at + 2),
        _ => None,
    }
}

fn find(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|&c| stop(c)).map_or(chars.len(), |n| from + n)
}

/// Block comments nest.
fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `from` is just behind the `r`; `None` if what follows is no raw string (a raw identifier).
fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let open = find(chars, from, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - from;
    let closes = |at: usize| {
        chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((open + 1..chars.len()).find(|&at| closes(at)).map_or(chars.len(), |at| at + 1 + hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_tokens() {
        for (text, left) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            ("a \"b \\\" c\" d", "a d"),
            ("a r#\"b \" c\"# d", "a d"),
            ("a br\"b\\\" c", "a c"),
            ("b'x' 'y' '\\'' c", "b c"),
            ("fn a<'b>(c: &'b str)", "fn a < ' b > ( c : & ' b str )"),
            ("r#type d", "r # type d"),
            ("var\"b\"", "var"),
            ("a::b", "a :: b"),
            ("a \"never closed", "a"),
            ("a /* never closed", "a"),
        ] {
            let words: Vec<String> = tokens(text).into_iter().map(|token| token.text).collect();
            assert_eq!(words.join(" "), left, "{text}");
        }
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let lines: Vec<usize> = tokens("a\n/* \n\n */ b \"\n\" c").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 4, 5]);
    }
}
