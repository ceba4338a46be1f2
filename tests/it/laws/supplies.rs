//! What is built into Homeroom that others wrote: from where it comes, under which licence, and once.

use super::Breach;

const LOCK: &str = "Cargo.lock";
const RUN: &str = "tests/run.sh";

/// Licences under which code may be built into the node. An expression with `OR` needs one of these, with `AND` all.
const LICENCES: [&str; 9] =
    ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib", "MIT-0"];

/// Crates of which two versions are built into the node, each with its reason.
const TWICE: [(&str, &str); 9] = [
    ("block-buffer", "libp2p's Noise has hashes of the generation before ours"),
    ("cpufeatures", "the same"),
    ("crypto-common", "the same"),
    ("digest", "the same"),
    ("sha2", "the same"),
    ("getrandom", "ring, tempfile and we have one each; all ask the kernel"),
    ("thiserror", "parts of libp2p have the first version"),
    ("thiserror-impl", "the same"),
    ("syn", "only at compile time"),
];

/// Subcommands that could take other versions than the lock file's.
const RESOLVING: [&str; 6] = ["build", "check", "clippy", "doc", "run", "test"];

/// Packages of the lock file that come from elsewhere than the one registry, or have no checksum. What has no source is
/// of the workspace, and is called so.
pub fn strange_source(lock: &str, members: &[&str]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut line = 1;
    for block in lock.split("\n\n") {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        if let Some(name) = field("name").map(|name| name.trim_matches('"')) {
            let known = match field("source") {
                Some(source) => source.starts_with("\"registry+") && field("checksum").is_some(),
                None => members.contains(&name),
            };
            if !known {
                let remedy = format!("{name} must come from the registry, with its checksum, as all others do");
                breaches.push(Breach::new(LOCK, line, "all sources are known and locked", remedy));
            }
        }
        line += block.matches('\n').count() + 2;
    }
    breaches
}

/// Of lines `NAME VERSION|LICENCE` as cargo lists them, those with a licence that is not among ours.
pub fn strange_licence(listed: &str) -> Vec<Breach> {
    let strange = listed.lines().filter_map(|line| line.split_once('|')).filter(|(_, licence)| !is_allowed(licence));
    let breach = |(name, licence): (&str, &str)| {
        let remedy = format!("{name} has the licence {licence:?}; use another crate, or allow it after reading it");
        Breach::new(LOCK, 1, "code that is built in has a licence of the list", remedy)
    };
    strange.map(breach).collect()
}

/// Whether an SPDX expression can be met, `/` in old ones being `OR`. All of them bind `OR` no closer than `AND`, but
/// for the brackets of one form, `(A OR B) AND C`.
fn is_allowed(expression: &str) -> bool {
    let one = |name: &str| LICENCES.contains(&name.trim().trim_matches(['(', ')']));
    let any = |part: &str| part.replace('/', " OR ").split(" OR ").any(one);
    let expression = expression.trim_end_matches("(*)").trim();
    match expression.contains('(') {
        true => expression.split(" AND ").all(any),
        false => expression.replace('/', " OR ").split(" OR ").any(|part| part.split(" AND ").all(one)),
    }
}

/// Of lines `NAME VERSION` as cargo lists duplicates, those that nobody gave a reason for.
pub fn two_versions(listed: &str) -> Vec<Breach> {
    let mut found: Vec<(&str, &str)> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    let twice = found.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0);
    let unexplained = twice.filter(|name| !TWICE.iter().any(|(known, _)| known == name));
    let breach = |name| {
        let remedy = format!("{name} is built in twice; bring its users to one version, or say why that cannot be");
        Breach::new(LOCK, 1, "of each crate one version is built in", remedy)
    };
    unexplained.map(breach).collect()
}

/// Calls of cargo that might resolve versions anew.
pub fn unlocked(script: &str) -> Vec<Breach> {
    let is_unlocked = |line: &str| {
        let called = line.split("cargo ").skip(1).filter_map(|after| after.split_whitespace().next());
        called.into_iter().any(|verb| RESOLVING.contains(&verb)) && !line.contains("--locked")
    };
    let found = (1..).zip(script.lines()).filter(|(_, line)| !line.trim_start().starts_with('#') && is_unlocked(line));
    let remedy = "add --locked: what is tested is what the lock file names";
    found.map(|(line, _)| Breach::new(RUN, line, "everything is built as it is locked", remedy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_the_registry_is_found() {
        let from = |source: &str| format!("version = 4\n\n[[package]]\nname = \"x\"\nversion = \"1\"\n{source}\n");
        let right = "source = \"registry+https://example.org\"\nchecksum = \"00\"";
        assert_eq!(strange_source(&from(right), &[]), []);
        assert_eq!(strange_source(&from(""), &["x"]), []);
        for wrong in ["", "source = \"git+https://example.org/x\"", "source = \"registry+https://example.org\""] {
            let breaches = strange_source(&from(wrong), &["y"]);
            assert_eq!(breaches.iter().map(|breach| breach.line).collect::<Vec<_>>(), [3], "{wrong}");
        }
    }

    #[test]
    fn a_licence_that_is_not_on_the_list_is_found() {
        for right in
            ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT (*)", "(MIT OR GPL-3.0) AND ISC", "GPL-3.0 OR MIT AND ISC"]
        {
            assert_eq!(strange_licence(&format!("x v1|{right}")), [], "{right}");
        }
        for wrong in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0"] {
            assert_eq!(strange_licence(&format!("x v1|{wrong}")).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_second_version_without_a_reason_is_found() {
        assert_eq!(two_versions("x v1\nx v1\ny v1\nsha2 v1\nsha2 v2\n"), []);
        assert_eq!(two_versions("x v1\n\nx v2\n").len(), 1);
    }

    #[test]
    fn a_build_that_is_not_locked_is_found() {
        assert_eq!(unlocked("cargo fmt\n# cargo test\ncargo test --locked\n"), []);
        assert_eq!(unlocked("X=1 cargo doc\ntrace() { cargo run \"$@\"; }\n").len(), 2);
    }
}
