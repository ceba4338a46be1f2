//! Sizes, names and habits of code.

use super::Breach;
use super::code::{Word, without_comments_and_strings, words};

/// Longer files need a reason in ARCHITECTURE.md, in lines.
const QUESTIONED_LINES: usize = 500;
/// No reason is good enough beyond, in lines.
const LINES_MAX: usize = 800;
/// Under this heading ARCHITECTURE.md gives the reasons.
const REASONS: &str = "## Files over 500 lines";

/// Names that say nothing of what is inside.
const VAGUE: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "miscellaneous"];

/// Files that may sleep, each with its reason.
const MAY_SLEEP: [(&str, &str); 2] = [
    ("node/src/commands/demo/class.rs", "std waits for a child with no deadline, so it is looked at again and again"),
    ("node/src/commands/demo/trees.rs", "the same, for a child that Ctrl-C may stop"),
];

/// Words that the glossary forbids, and what to say. Those that have another, lawful meaning in code
/// (`stream`, `update`, `index`, `request`, a graph's `neighbour`) are left to the reader.
const FORBIDDEN_WORDS: [(&str, &str); 18] = [
    ("agent", "node"),
    ("bitfield", "have, held"),
    ("blob", "chunk"),
    ("branch", "channel"),
    ("director", "school"),
    ("install", "apply"),
    ("metainfo", "manifest"),
    ("mirror", "origin"),
    ("outstanding", "in flight"),
    ("pending", "in flight"),
    ("piece", "chunk"),
    ("prune", "evict, gc"),
    ("purge", "evict, gc"),
    ("sticky", "pin"),
    ("topic", "channel"),
    ("torrent", "release"),
    ("upstream", "origin"),
    ("vendor", "publisher"),
];

/// What the core's clippy.toml must disallow.
const DISALLOWED: [&str; 10] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::env::var",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::fs::File",
    "std::net::TcpStream",
    "std::net::UdpSocket",
];

/// A file that is too long, or long without a reason in ARCHITECTURE.md.
pub fn too_long(path: &str, text: &str, architecture: &str) -> Option<Breach> {
    let lines = text.lines().count();
    let (_, reasons) = architecture.split_once(REASONS).unwrap_or_default();
    let reasons = reasons.split("\n## ").next().unwrap_or_default();
    let named = reasons.lines().any(|line| line.contains(&format!("`{path}`")));
    let remedy = if lines > LINES_MAX {
        format!("{lines} lines, and {LINES_MAX} are the most; give each noun a file of its own")
    } else if lines > QUESTIONED_LINES && !named {
        format!("{lines} lines; split it, or give the reason in ARCHITECTURE.md under \"{REASONS}\"")
    } else {
        return None;
    };
    Some(Breach::new(path, lines, "a file is about one noun", remedy))
}

/// A file, folder or module whose name says nothing.
pub fn vague_name(path: &str, text: &str) -> Vec<Breach> {
    let breach = |line, name: &str| {
        let remedy = format!("{name:?} says nothing of what is inside; name the noun that it is about");
        Breach::new(path, line, "a newcomer finds the room by its name", remedy)
    };
    let in_path = path.split(['/', '.']).filter(|part| VAGUE.contains(part)).map(|name| breach(1, name));
    let code = without_comments_and_strings(text);
    let modules = words(&code).filter(|word| word.before.ends_with("mod") && VAGUE.contains(&word.name));
    in_path.chain(modules.map(|word| breach(word.line, word.name))).collect()
}

/// A test that is switched off.
pub fn ignored_test(path: &str, text: &str) -> Vec<Breach> {
    let code = without_comments_and_strings(text);
    let ignored = words(&code).filter(|word| word.name == "ignore" && word.before.ends_with("#["));
    let remedy = "mend the test or remove it; one that needs root or a tool says so loudly and is counted";
    ignored.map(|word| Breach::new(path, word.line, "every test runs", remedy)).collect()
}

/// Sleeping, in tests and elsewhere.
pub fn sleeping(path: &str, text: &str) -> Vec<Breach> {
    if MAY_SLEEP.iter().any(|(allowed, _)| *allowed == path) {
        return Vec::new();
    }
    let code = without_comments_and_strings(text);
    let remedy = "wait for what should happen, with a deadline; where there is truly nothing to wait for, \
                  add the file to MAY_SLEEP in tests/it/laws/habits.rs with the reason";
    let sleeps = words(&code).filter(|word| word.name == "sleep" && !word.before.ends_with("fn"));
    sleeps.map(|word| Breach::new(path, word.line, "nobody sleeps to wait for somebody else", remedy)).collect()
}

/// A public item named by a word that the glossary forbids, or a number that seeds randomness and is
/// not called `rng_seed`.
pub fn word_not_in_the_glossary(path: &str, text: &str) -> Vec<Breach> {
    const LAW: &str = "one word per concept (ARCHITECTURE.md, Glossary)";
    let code = without_comments_and_strings(text);
    let mut breaches = Vec::new();
    for word in words(&code) {
        let number = ["u32", "u64", "u128", "usize", "[u8"].iter().any(|kind| {
            word.after
                .strip_prefix(':')
                .is_some_and(|after| after.trim_start().trim_start_matches('&').starts_with(kind))
        });
        if word.name == "seed" && number {
            breaches.push(Breach::new(path, word.line, LAW, "a seed is a node; the number is an rng_seed"));
        }
        let Some(item) = public_item(&word) else { continue };
        for part in parts(item) {
            let singular = part.strip_suffix('s').unwrap_or(&part);
            if let Some((_, say)) = FORBIDDEN_WORDS.iter().find(|(forbidden, _)| [&part, singular].contains(forbidden))
            {
                let remedy = format!("{item}: do not say {part:?}, say {say}");
                breaches.push(Breach::new(path, word.line, LAW, remedy));
            }
        }
    }
    breaches
}

/// The name of the item that this word makes public.
fn public_item<'a>(word: &Word<'a>) -> Option<&'a str> {
    const KEYWORDS: [&str; 10] = ["async", "const", "enum", "extern", "fn", "mod", "static", "struct", "trait", "type"];
    if word.name != "pub" {
        return None;
    }
    let after = match word.after.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => word.after,
    };
    let name = words(after).map(|word| word.name).find(|name| !KEYWORDS.contains(name))?;
    (name != "use").then_some(name)
}

/// The words that a name is made of, in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && before.is_lowercase()) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("there is always one").extend(c.to_lowercase());
        }
        before = c;
    }
    parts
}

/// A bound without a word on its unit and reason.
pub fn undocumented_limit(path: &str, text: &str) -> Vec<Breach> {
    let mut before = "";
    let mut breaches = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.contains("const ") && line.starts_with("pub") && !before.starts_with("///") {
            let remedy = "write the unit and the reason in a comment of three slashes directly above";
            breaches.push(Breach::new(path, number, "every bound says why", remedy));
        }
        before = line;
    }
    breaches
}

/// What a clippy.toml of the core fails to disallow, with a reason.
pub fn clippy_list(path: &str, text: &str) -> Vec<Breach> {
    let disallowed = |name: &&str| {
        let wanted = format!("path = \"{name}\"");
        text.lines()
            .any(|line| !line.trim_start().starts_with('#') && line.contains(&wanted) && line.contains("reason"))
    };
    let missing = DISALLOWED.iter().filter(|name| !disallowed(name));
    let breach = |name: &&str| {
        let remedy = format!("disallow {name} again, with its reason");
        Breach::new(path, 1, "the core touches no clock, file, network or thread", remedy)
    };
    missing.map(breach).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(breaches: &[Breach]) -> Vec<usize> {
        breaches.iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn a_long_file_needs_a_reason_and_a_very_long_one_has_none() {
        let long = "x\n".repeat(QUESTIONED_LINES + 1);
        let architecture = format!("# A\n\n{REASONS}\n\n- `a.rs`: one table\n\n## Next\n\n- `b.rs`\n");
        assert_eq!(too_long("a.rs", &long, &architecture), None);
        assert!(too_long("b.rs", &long, &architecture).is_some());
        assert!(too_long("b.rs", &long, "").is_some());
        assert!(too_long("a.rs", &"x\n".repeat(LINES_MAX + 1), &architecture).is_some());
        assert_eq!(too_long("b.rs", &"x\n".repeat(QUESTIONED_LINES), ""), None);
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        assert_eq!(lines(&vague_name("node/src/utils.rs", "")), [1]);
        assert_eq!(lines(&vague_name("node/src/helpers/mod.rs", "")), [1]);
        assert_eq!(lines(&vague_name("node/src/lib.rs", "//! mod util\npub mod net;\npub mod common;")), [3]);
        assert_eq!(vague_name("node/src/commands/mod.rs", "let common = 1;"), []);
    }

    #[test]
    fn a_test_that_is_switched_off_is_found() {
        assert_eq!(lines(&ignored_test("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}")), [2]);
        assert_eq!(ignored_test("a.rs", "let ignore = 1; // #[ignore]"), []);
    }

    #[test]
    fn a_sleep_is_found() {
        assert_eq!(lines(&sleeping("a.rs", "x();\nstd::thread::sleep(second);\nuse tokio::time::sleep;")), [2, 3]);
        assert_eq!(sleeping("a.rs", "sleep_until(x); // sleep(y)"), []);
    }

    #[test]
    fn a_forbidden_word_is_found_in_what_is_public() {
        let text =
            "pub struct PieceStore {\n  pub pending_wants: u8,\n}\npub(crate) const fn prune() {}\nlet blobs = 1;";
        assert_eq!(lines(&word_not_in_the_glossary("a.rs", text)), [1, 2, 4]);
        assert_eq!(lines(&word_not_in_the_glossary("a.rs", "fn f(seed: u64, seed: [u8; 32])")), [1, 1]);
        assert_eq!(word_not_in_the_glossary("a.rs", "pub use blob::X; fn f(rng_seed: u64, seed: PeerId)"), []);
    }

    #[test]
    fn a_limit_without_a_reason_is_found() {
        let text = "/// Bytes, because.\npub const A: u8 = 1;\npub const B: u8 = 2;\n\n// Why.\npub const C: u8 = 3;";
        assert_eq!(lines(&undocumented_limit("limits.rs", text)), [3, 6]);
    }

    #[test]
    fn a_law_taken_off_the_clippy_list_is_found() {
        let whole: Vec<String> =
            DISALLOWED.iter().map(|name| format!("{{ path = \"{name}\", reason = \"r\" }},")).collect();
        assert_eq!(clippy_list("clippy.toml", &whole.join("\n")), []);
        assert_eq!(clippy_list("clippy.toml", &whole[1..].join("\n")).len(), 1);
        assert_eq!(clippy_list("clippy.toml", &whole.join("\n").replacen('{', "# {", 1)).len(), 1);
    }
}
