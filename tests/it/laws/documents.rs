//! What documents promise, and what no file may say.

use super::Breach;

const DECISIONS: &str = "docs/decisions/";

/// Cargo writes its lock files itself, with the names that it needs.
const WRITTEN_BY_CARGO: &str = "Cargo.lock";

/// Links to other files of the workspace that lead nowhere. `exists` is asked with paths from its root.
pub fn broken_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for link in links(line) {
            let Some(target) = resolve(path, link) else { continue };
            if !exists(&target) {
                let remedy = format!("{link} leads to {target}, which does not exist; mend or remove the link");
                breaches.push(Breach::new(path, number, "links lead somewhere", remedy));
            }
        }
    }
    breaches
}

/// The targets of a line's links and pictures.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let between = |start: &'static str, end: char| {
        line.split(start).skip(1).filter_map(move |after| after.split_once(end).map(|(target, _)| target))
    };
    between("](", ')').chain(between("src=\"", '"')).chain(between("href=\"", '"'))
}

/// A link from a document as a path from the workspace's root; nothing if it leads out of it or stays
/// in the document.
fn resolve(document: &str, link: &str) -> Option<String> {
    let link = link.split(['#', ' ']).next().unwrap_or_default();
    if link.is_empty() || link.contains(':') {
        return None;
    }
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(path.pop()),
            "." | "" => {}
            name => path.push(name),
        }
    }
    Some(path.join("/"))
}

/// A decision that ARCHITECTURE.md does not link.
pub fn unlisted_decision(path: &str, architecture: &str) -> Option<Breach> {
    let unlisted = path.starts_with(DECISIONS) && !architecture.contains(&format!("({path})"));
    let remedy = "add a line with a link to it to ARCHITECTURE.md, under \"Decisions\"";
    unlisted.then(|| Breach::new(path, 1, "every decision is listed", remedy))
}

/// The hosts of package registries, put together here so that this file does not name them.
fn registry_hosts() -> Vec<String> {
    let names: [&[&str]; 6] = [
        &["crates", "io"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["npmjs", "org"],
        &["npmjs", "com"],
        &["rubygems", "org"],
    ];
    names.iter().map(|parts| parts.join(".")).collect()
}

/// A package registry that is named by its host: people reach it by other names, through their own tools.
pub fn registry_host(path: &str, text: &str) -> Vec<Breach> {
    if path.ends_with(WRITTEN_BY_CARGO) {
        return Vec::new();
    }
    let hosts = registry_hosts();
    let named = (1..).zip(text.lines()).filter(|(_, line)| hosts.iter().any(|host| line.contains(host)));
    let remedy = "leave the host to the tool's own configuration, and name the package alone";
    named.map(|(line, _)| Breach::new(path, line, "no file names the host of a package registry", remedy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text =
            "[a](wire.md) [b](../README.md#x) [c](https://example.org/x.md) [d](#here)\n<img src=\"flow.svg\">\n";
        let present = ["docs/wire.md", "README.md", "docs/flow.svg"];
        assert_eq!(broken_links("docs/home.md", text, |path| present.contains(&path)), []);
        let broken = broken_links("docs/home.md", text, |path| path == "README.md");
        assert_eq!(broken.iter().map(|breach| breach.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_decision_that_nobody_lists_is_found() {
        let architecture = "[0001](docs/decisions/0001-lanes.md)";
        assert_eq!(unlisted_decision("docs/decisions/0001-lanes.md", architecture), None);
        assert!(unlisted_decision("docs/decisions/0002-packs.md", architecture).is_some());
        assert_eq!(unlisted_decision("docs/wire.md", architecture), None);
    }

    #[test]
    fn a_registry_that_is_named_is_found() {
        for host in registry_hosts() {
            assert_eq!(registry_host("a.sh", &format!("first\ncurl https://{host}/x")).len(), 1, "{host}");
            assert_eq!(registry_host(WRITTEN_BY_CARGO, &host), []);
        }
        assert_eq!(registry_host("a.sh", "cargo fetch"), []);
    }
}
