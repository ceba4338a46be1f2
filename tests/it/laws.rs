//! The laws of the house, read off its sources: each test fails where a law is broken, and says in
//! which file and line, which law, and what to do.
//!
//! A rule is a function from a file to the breaches in it, and stands beside a test that shows it at
//! work on a small bad example. Rules on imports are in [`imports`], on habits of code in [`habits`],
//! on documents in [`documents`], on other people's code in [`supplies`]; [`code`] tells code from comments and strings, [`workspace`] reads
//! the files.

mod code;
mod documents;
mod habits;
mod imports;
mod supplies;
mod workspace;

use std::fmt;
use std::process::Command;
use workspace::{File, root};

/// A place where a law is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Breach {
    /// The file, from the workspace's root.
    path: String,
    /// The line, from 1 on.
    line: usize,
    /// The law.
    law: &'static str,
    /// What is wrong here and what to do.
    remedy: String,
}

impl Breach {
    fn new(path: &str, line: usize, law: &'static str, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, law, remedy: remedy.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, law, remedy } = self;
        write!(f, "{path}:{line}: {law}\n    {remedy}")
    }
}

/// Applies a rule to every Rust file.
#[track_caller]
fn uphold_in_code(rule: impl Fn(&str, &str) -> Vec<Breach>) {
    uphold(workspace::files("rs").iter().flat_map(|File { path, text }| rule(path, text)).collect());
}

#[track_caller]
fn uphold(breaches: Vec<Breach>) {
    let lines: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(lines.is_empty(), "laws broken, {} in all:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_core_depends_on_no_runtime_network_or_database() {
    let breaches = ["protocol", "simulator"].into_iter().flat_map(|package| {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--frozen", "--package", package, "--edges", "normal", "--prefix", "none"])
            .current_dir(root())
            .output()
            .expect("cargo can be run");
        assert!(tree.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&tree.stderr));
        imports::heavy_dependencies(package, &String::from_utf8_lossy(&tree.stdout))
    });
    uphold(breaches.collect());
}

#[test]
fn one_place_names_each_outside_library() {
    uphold_in_code(imports::library_out_of_place);
}

#[test]
fn the_wings_do_not_know_each_other() {
    uphold_in_code(imports::across_the_wings);
}

#[test]
fn the_core_does_not_touch_the_outside_world() {
    uphold_in_code(imports::outside_world);
}

#[test]
fn clippy_forbids_clocks_threads_and_random_order_in_the_core() {
    let lists = ["protocol/clippy.toml", "simulator/clippy.toml"].map(workspace::file);
    uphold(lists.iter().flat_map(|File { path, text }| habits::clippy_list(path, text)).collect());
}

#[test]
fn no_file_is_long_without_a_reason() {
    let architecture = workspace::file("ARCHITECTURE.md").text;
    let files = ["rs", "sh", "py"].into_iter().flat_map(workspace::files);
    uphold(files.flat_map(|File { path, text }| habits::too_long(&path, &text, &architecture)).collect());
}

#[test]
fn every_file_and_module_has_a_noun_of_its_own() {
    uphold_in_code(habits::vague_name);
}

#[test]
fn no_test_is_switched_off_and_none_sleeps() {
    uphold_in_code(habits::ignored_test);
    uphold_in_code(habits::sleeping);
}

#[test]
fn public_items_speak_the_words_of_the_glossary() {
    uphold_in_code(habits::word_not_in_the_glossary);
}

#[test]
fn every_limit_says_why() {
    let File { path, text } = workspace::file("protocol/src/limits.rs");
    uphold(habits::undocumented_limit(&path, &text));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = workspace::files("md");
    let exists = |path: &str| root().join(path).exists();
    uphold(documents.iter().flat_map(|File { path, text }| documents::broken_links(path, text, exists)).collect());
}

#[test]
fn every_decision_is_listed_in_the_architecture() {
    let architecture = workspace::file("ARCHITECTURE.md").text;
    let decisions = workspace::files("md").into_iter().map(|file| file.path);
    uphold(decisions.flat_map(|path| documents::unlisted_decision(&path, &architecture)).collect());
}

#[test]
fn no_file_names_the_host_of_a_package_registry() {
    let files = workspace::all_files();
    uphold(files.iter().flat_map(|File { path, text }| documents::registry_host(path, text)).collect());
}

/// What `cargo tree` lists of the packages that are built into a device's program.
fn built_in(options: &[&str]) -> String {
    let arguments = ["tree", "--frozen", "--package", "node", "--edges", "normal,build", "--prefix", "none"];
    let tree = Command::new(env!("CARGO")).args(arguments).args(options).current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8_lossy(&tree.stdout).into_owned()
}

#[test]
fn what_others_wrote_is_locked_and_licensed_and_there_once() {
    let lock = workspace::file("Cargo.lock").text;
    uphold(supplies::strange_source(&lock, &["protocol", "node", "simulator", "tests"]));
    uphold(supplies::strange_licence(&built_in(&["--format", "{p}|{l}"])));
    uphold(supplies::two_versions(&built_in(&["--duplicates", "--depth", "0"])));
    uphold(supplies::unlocked(&workspace::file("tests/run.sh").text));
}

#[test]
fn a_breach_names_file_line_law_and_remedy() {
    let breach = Breach::new("a/b.rs", 7, "code is short", "split it");
    assert_eq!(breach.to_string(), "a/b.rs:7: code is short\n    split it");
}
