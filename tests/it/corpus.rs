//! Inputs that fuzzers found or began with, run through what they fuzz.

use std::fs;
use std::path::Path;
use tests::fuzzed::TARGETS;

/// All of the corpus, in bytes: it is cloned by everybody.
const CORPUS_BYTES_MAX: u64 = 400_000;

#[test]
fn what_fuzzers_found_does_no_harm_any_more() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut corpus_bytes = 0;
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 10, "only {} inputs for {name}", inputs.len());
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            corpus_bytes += bytes.len() as u64;
            // The name of the one that does harm.
            println!("{}", input.display());
            target(&bytes);
        }
    }
    assert!(
        corpus_bytes <= CORPUS_BYTES_MAX,
        "the corpus has {corpus_bytes} bytes; make it small with cargo fuzz cmin"
    );
}
