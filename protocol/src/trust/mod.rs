//! WHO may say so: TUF metadata, keys, the trusted set. Knows no peer and no chunk.
