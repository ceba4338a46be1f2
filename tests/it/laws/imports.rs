//! Who may name whom.

use super::Breach;
use super::code::{first_names, without_comments_and_strings, words};

/// What makes a crate slow to build, or run otherwise in a simulation than on a device. A name stands
/// for all packages that begin with it.
const HEAVY: [&str; 4] = ["tokio", "libp2p", "rusqlite", "mdns-sd"];

/// Each outside library with the only places that may name it.
const LIBRARIES: [(&str, &[&str]); 13] = [
    ("ciborium", &["protocol/src/cbor.rs"]),
    ("clap", &["node/src/commands/", "node/examples/", "simulator/src/main.rs", "tests/bench/swarm/"]),
    ("ed25519_dalek", &["protocol/src/trust/"]),
    ("fastcdc", &["protocol/src/content/chunker.rs"]),
    ("indicatif", &["node/src/commands/"]),
    ("jiff", &["node/src/quiet.rs", "tests/it/verdicts/"]),
    ("libfuzzer_sys", &["tests/fuzz/"]),
    ("libp2p", &["node/src/net/"]),
    ("mdns_sd", &["node/src/discovery.rs"]),
    ("pep440_rs", &["protocol/src/content/version.rs"]),
    ("rusqlite", &["node/src/store/state.rs"]),
    ("sigstore_tuf", &["tests/it/verdicts"]),
    ("zstd", &["protocol/src/content/encoding.rs"]),
];

const CORE: &str = "protocol/src/";
const GROUND_FLOOR: [&str; 6] = ["bitmap", "cbor", "id", "limits", "rng", "time"];
const WINGS: [&str; 3] = ["content", "trust", "mesh"];

/// The parts of the standard library that reach out of a pure function.
const OUTSIDE_WORLD: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];
/// The simulator's command line and its files are no part of its engine.
const SIMULATOR_EDGE: [&str; 2] = ["simulator/src/main.rs", "simulator/src/report.rs"];

/// Of what `cargo tree` lists for a package of the core, what it must not depend on.
pub fn heavy_dependencies(package: &str, tree: &str) -> Vec<Breach> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let is_heavy = |name: &str| {
        HEAVY.iter().any(|heavy| name.strip_prefix(heavy).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    };
    let mut heavy: Vec<&str> = names.filter(|name| is_heavy(name)).collect();
    heavy.sort_unstable();
    heavy.dedup();
    let breach = |name: &&str| {
        let remedy =
            format!("{package} depends on {name}; move what needs it to node, and pass data through Input and Output");
        Breach::new(&format!("{package}/Cargo.toml"), 1, "the core depends on no runtime, network or database", remedy)
    };
    heavy.iter().map(breach).collect()
}

/// An outside library named elsewhere than in its place.
pub fn library_out_of_place(path: &str, text: &str) -> Vec<Breach> {
    let code = without_comments_and_strings(text);
    let mut breaches = Vec::new();
    for word in words(&code).filter(|word| word.after.starts_with("::") || word.before.ends_with("use")) {
        let Some((library, places)) = LIBRARIES.iter().find(|(library, _)| *library == word.name) else { continue };
        if !places.iter().any(|place| path.starts_with(place)) {
            let remedy = format!("only {} may name {library}; ask that place for what is needed", places.join(" and "));
            breaches.push(Breach::new(path, word.line, "one place names each outside library", remedy));
        }
    }
    breaches
}

/// An import that leads from a wing to another or upwards, or from the ground floor into a wing.
pub fn across_the_wings(path: &str, text: &str) -> Vec<Breach> {
    let Some(own) = path.strip_prefix(CORE).and_then(|path| path.split(['/', '.']).next()) else {
        return Vec::new();
    };
    if !WINGS.contains(&own) && !GROUND_FLOOR.contains(&own) {
        return Vec::new();
    }
    let code = without_comments_and_strings(text);
    let from_the_root = first_names(&code, "crate").into_iter();
    let reached = from_the_root.filter(|(_, name)| *name != own && !GROUND_FLOOR.contains(name));
    let climbed = first_names(&code, "super").into_iter().filter(|(_, name)| *name != own && WINGS.contains(name));
    let breach = |(line, name): (usize, &str)| {
        let remedy = format!(
            "{own} names {name}; wings know themselves and the ground floor ({}), so let the node carry the value",
            GROUND_FLOOR.join(", ")
        );
        Breach::new(path, line, "content, trust and mesh do not know each other", remedy)
    };
    reached.chain(climbed).map(breach).collect()
}

/// Files, sockets, threads or the environment in the core.
pub fn outside_world(path: &str, text: &str) -> Vec<Breach> {
    let in_core = path.starts_with(CORE) || path.starts_with("simulator/src/");
    if !in_core || SIMULATOR_EDGE.contains(&path) {
        return Vec::new();
    }
    let code = without_comments_and_strings(text);
    let reached = first_names(&code, "std").into_iter().filter(|(_, name)| OUTSIDE_WORLD.contains(name));
    let breach = |(line, name): (usize, &str)| {
        let remedy = format!("std::{name} is named; let the driver do it, and report it as an Input");
        Breach::new(path, line, "the core touches no clock, file, network or thread", remedy)
    };
    reached.map(breach).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(breaches: &[Breach]) -> Vec<usize> {
        breaches.iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn a_runtime_in_the_dependencies_is_found() {
        let tree = "protocol v0.1.0 (/x)\nblake3 v1.8.0\ntokio-util v0.7.0\ntokio v1.54.0\ntokio v1.54.0 (*)\n";
        assert_eq!(heavy_dependencies("protocol", tree).len(), 2);
        assert_eq!(heavy_dependencies("protocol", "protocol v0.1.0 (/x)\ntokiota v1.0.0\n"), []);
    }

    #[test]
    fn a_library_outside_its_place_is_found() {
        let text = "//! libp2p::PeerId is not named here\nuse libp2p::PeerId;\nlet libp2p = \"libp2p::x\";\n";
        assert_eq!(lines(&library_out_of_place("node/src/daemon.rs", text)), [2]);
        assert_eq!(library_out_of_place("node/src/net/lanes.rs", text), []);
        assert_eq!(lines(&library_out_of_place("node/src/daemon.rs", "#[derive(clap::Args)]")), [1]);
    }

    #[test]
    fn a_wing_that_names_another_is_found() {
        let text =
            "use crate::id::ChunkId;\nuse crate::{limits::X, trust::Role};\nfn f(x: super::super::mesh::Swarm) {}";
        assert_eq!(lines(&across_the_wings("protocol/src/content/plan.rs", text)), [2, 3]);
        assert_eq!(lines(&across_the_wings("protocol/src/trust/key.rs", "use crate::node::Node;")), [1]);
        assert_eq!(lines(&across_the_wings("protocol/src/id.rs", "use crate::mesh::Role;")), [1]);
        assert_eq!(across_the_wings("protocol/src/node.rs", "use crate::mesh::Role;"), []);
        assert_eq!(across_the_wings("protocol/src/mesh/swarm.rs", "use crate::mesh::Role;"), []);
    }

    #[test]
    fn a_file_read_in_the_core_is_found() {
        let text = "use std::{collections::BTreeMap, fs};\nlet x = std::thread::current();";
        assert_eq!(lines(&outside_world("protocol/src/node.rs", text)), [1, 2]);
        assert_eq!(lines(&outside_world("simulator/src/sim.rs", text)), [1, 2]);
        assert_eq!(outside_world("simulator/src/report.rs", text), []);
        assert_eq!(outside_world("node/src/daemon.rs", text), []);
    }
}
