//! Just enough of Rust's grammar to read laws off it: what is code and what is comment or string, the
//! words of the code, and what a path starts with.

/// A word of the code, with what stands around it.
pub struct Word<'a> {
    /// Its line, from 1 on.
    pub line: usize,
    /// The word.
    pub name: &'a str,
    /// All code before it, without white space at the end.
    pub before: &'a str,
    /// All code after it, without white space at the start.
    pub after: &'a str,
}

/// `text` with every comment, string and character literal blanked out, line for line.
pub fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = comment_or_literal(rest, code.chars().next_back());
        let (blank, after) = rest.split_at(if length == 0 { next.len_utf8() } else { length });
        if length == 0 {
            code.push(next);
        } else {
            code.extend(blank.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// The length of the comment or literal that `rest` starts with, in bytes; 0 if it starts with code.
fn comment_or_literal(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let in_word = before.is_some_and(|before| is_word(before) && before != 'b');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    } else if rest.starts_with("/*") {
        return until("*/", 2);
    } else if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    } else if rest.starts_with('"') {
        return closed_by(rest, '"');
    } else if rest.starts_with('\'') {
        // Without a second quote behind one character it is a lifetime.
        let mut literal = rest.chars().skip(1);
        return match (literal.next(), literal.next()) {
            (Some('\\'), _) | (_, Some('\'')) => closed_by(rest, '\''),
            _ => 0,
        };
    }
    0
}

/// The length up to and with the next `quote` that no backslash escapes.
fn closed_by(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// The words of code that comments and strings were taken from.
pub fn words(code: &str) -> impl Iterator<Item = Word<'_>> {
    let mut line = 1;
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |length| start + length);
        line += code[at..start].matches('\n').count();
        at = end;
        let (before, after) = (code[..start].trim_end(), code[end..].trim_start());
        Some(Word { line, name: &code[start..end], before, after })
    })
}

/// The names that follow directly on every path from `root`: of `use crate::{a::b, c}`, `a` and `c`.
pub fn first_names<'a>(code: &'a str, root: &str) -> Vec<(usize, &'a str)> {
    let mut names = Vec::new();
    for word in words(code).filter(|word| word.name == root) {
        let Some(path) = word.after.strip_prefix("::") else { continue };
        match path.trim_start().strip_prefix('{') {
            Some(group) => names.extend(group_names(group).into_iter().map(|name| (word.line, name))),
            None => names.extend(words(path).next().map(|first| (word.line, first.name))),
        }
    }
    names
}

fn group_names(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut expects_name = true;
    let mut names = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects_name = true,
            _ if is_word(c) && expects_name && depth == 0 => {
                names.extend(words(&group[at..]).next().map(|word| word.name));
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a /* b\n */ c // d\n\"e \\\" f\" g r#\"h \" i\"# j 'k' '\\'' l::<'m> b\"n\" br\"o\"";
        let code = without_comments_and_strings(text);
        let found: Vec<(usize, &str)> = words(&code).map(|word| (word.line, word.name)).collect();
        assert_eq!(found, [(1, "a"), (2, "c"), (3, "g"), (3, "j"), (3, "l"), (3, "m"), (3, "b"), (3, "b")], "{code}");
    }

    #[test]
    fn a_path_is_read_through_groups() {
        let code = "use crate::{one::{x, y}, two as z,\n three};\ncrate::four::five()";
        assert_eq!(first_names(code, "crate"), [(1, "one"), (1, "two"), (1, "three"), (3, "four")]);
    }
}
