//! The house seen from outside; the tests are in `it/`.
