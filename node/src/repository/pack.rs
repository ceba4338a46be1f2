//! The bytes of packs and of their indexes; `docs/repository.md` says the same for other programs.
//!
//! A pack is a file of records that never changes: each says which chunk it holds, in which form,
//! and then holds it. Its index says where each chunk is, ascending by chunk, and can always be made
//! again from the pack. The pack's name is the BLAKE3 of its index, so a torn index, and a pack that
//! is not whole, show by their name alone.

use protocol::content::encoding::Encoding;
use protocol::id::{ChunkId, ChunkRef};
use protocol::limits::CHUNK_BYTES_MAX;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A pack is closed before it would grow beyond this: small enough to copy, to drop and for 32-bit offsets.
pub const PACK_BYTES_MAX: u32 = 256 * 1024 * 1024;
/// What a pack starts with.
pub const PACK_MAGIC: [u8; 8] = *b"HRPACK1\n";
/// What an index starts with.
const INDEX_MAGIC: [u8; 8] = *b"HRINDX1\n";
/// What a record starts with.
const RECORD_MAGIC: [u8; 4] = *b"HRCK";
/// Bytes of a record before the chunk's own.
pub const RECORD_HEADER_BYTES: u32 = 48;
/// Bytes of one row of an index.
const ROW_BYTES: usize = 48;

/// Where a pack holds a chunk, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The chunk.
    pub chunk: ChunkRef,
    /// Its form there.
    pub encoding: Encoding,
    /// Where its record starts in the pack, in bytes.
    pub offset: u32,
    /// Length of the chunk in that form, in bytes.
    pub wire_bytes: u32,
}

impl Row {
    /// Where its record ends in the pack, in bytes.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(RECORD_HEADER_BYTES) + u64::from(self.wire_bytes)
    }

    /// What stands before the chunk's bytes in the pack.
    pub fn header(&self) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut header = [0; RECORD_HEADER_BYTES as usize];
        header[..4].copy_from_slice(&RECORD_MAGIC);
        header[4] = self.encoding.into();
        header[8..40].copy_from_slice(&self.chunk.id.0);
        header[40..44].copy_from_slice(&self.chunk.bytes.to_le_bytes());
        header[44..48].copy_from_slice(&self.wire_bytes.to_le_bytes());
        header
    }

    fn from_header(offset: u32, header: &[u8; RECORD_HEADER_BYTES as usize]) -> Option<Self> {
        let row = Row {
            chunk: ChunkRef { id: ChunkId(header[8..40].try_into().ok()?), bytes: number(&header[40..44])? },
            encoding: header[4].try_into().ok()?,
            offset,
            wire_bytes: number(&header[44..48])?,
        };
        // Comparing with what would be written checks the magic and the spare bytes as well.
        (row.is_lawful() && row.header() == *header).then_some(row)
    }

    fn encode(&self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..32].copy_from_slice(&self.chunk.id.0);
        bytes[32..36].copy_from_slice(&self.offset.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.wire_bytes.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.chunk.bytes.to_le_bytes());
        bytes[44] = self.encoding.into();
        bytes
    }

    fn decode(bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let row = Row {
            chunk: ChunkRef { id: ChunkId(bytes[..32].try_into().ok()?), bytes: number(&bytes[40..44])? },
            encoding: bytes[44].try_into().ok()?,
            offset: number(&bytes[32..36])?,
            wire_bytes: number(&bytes[36..40])?,
        };
        row.is_lawful().then_some(row)
    }

    fn is_lawful(&self) -> bool {
        (1..=CHUNK_BYTES_MAX).contains(&self.chunk.bytes)
            && (1..=self.chunk.bytes).contains(&self.wire_bytes)
            && self.end() <= u64::from(PACK_BYTES_MAX)
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_le_bytes)
}

/// The index of a pack with these rows, which it sorts.
pub fn encode_index(rows: &mut [Row]) -> Vec<u8> {
    rows.sort_unstable_by_key(|row| row.chunk.id);
    let mut bytes = INDEX_MAGIC.to_vec();
    rows.iter().for_each(|row| bytes.extend(row.encode()));
    bytes
}

/// The rows of an index, if `bytes` are one. Whether it is the right one, its hash says.
pub fn decode_index(bytes: &[u8]) -> Option<Vec<Row>> {
    let (rows, rest) = bytes.strip_prefix(&INDEX_MAGIC)?.as_chunks::<ROW_BYTES>();
    if rest.is_empty() { rows.iter().map(Row::decode).collect() } else { None }
}

/// The length of a pack with these rows, in bytes.
pub fn pack_bytes(rows: &[Row]) -> u64 {
    rows.iter().map(Row::end).max().unwrap_or(PACK_MAGIC.len() as u64)
}

/// The rows of a pack in the order of its records, read from the pack itself; nothing if it is torn.
pub fn scan(pack: &File) -> io::Result<Option<Vec<Row>>> {
    let bytes = pack.metadata()?.len();
    let mut magic = [0; PACK_MAGIC.len()];
    if bytes < magic.len() as u64 || bytes > u64::from(PACK_BYTES_MAX) {
        return Ok(None);
    }
    pack.read_exact_at(&mut magic, 0)?;
    let mut rows = Vec::new();
    let mut next = magic.len() as u64;
    while magic == PACK_MAGIC && next + u64::from(RECORD_HEADER_BYTES) <= bytes {
        let mut header = [0; RECORD_HEADER_BYTES as usize];
        pack.read_exact_at(&mut header, next)?;
        let offset = u32::try_from(next).expect("below PACK_BYTES_MAX, as compared above");
        let Some(row) = Row::from_header(offset, &header) else { return Ok(None) };
        next = row.end();
        rows.push(row);
    }
    Ok((magic == PACK_MAGIC && next == bytes).then_some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: u8, offset: u32) -> Row {
        Row {
            chunk: ChunkRef { id: ChunkId([name; 32]), bytes: 0x0102 },
            encoding: Encoding::Zstd,
            offset,
            wire_bytes: 3,
        }
    }

    #[test]
    fn bytes_are_those_of_the_documented_format() {
        let header = [&b"HRCK\x01\0\0\0"[..], &[9; 32], &[2, 1, 0, 0], &[3, 0, 0, 0]].concat();
        assert_eq!(row(9, 8).header()[..], header[..]);
        let first = [&[4; 32][..], &[8, 0, 0, 0], &[3, 0, 0, 0], &[2, 1, 0, 0], &[1, 0, 0, 0]].concat();
        let index = encode_index(&mut [row(9, 59), row(4, 8)]);
        assert_eq!(index[..56], [&b"HRINDX1\n"[..], &first].concat());
        assert_eq!(decode_index(&index), Some(vec![row(4, 8), row(9, 59)]));
    }

    #[test]
    fn an_index_that_points_nowhere_is_refused() {
        for wrong in [
            row(1, PACK_BYTES_MAX - 50),
            Row { wire_bytes: 0, ..row(1, 8) },
            Row { wire_bytes: 0x0103, ..row(1, 8) },
            Row { chunk: ChunkRef { bytes: CHUNK_BYTES_MAX + 1, ..row(1, 8).chunk }, ..row(1, 8) },
        ] {
            assert_eq!(decode_index(&encode_index(&mut [wrong])), None, "{wrong:?}");
        }
        let index = encode_index(&mut [row(1, 8)]);
        assert_eq!(decode_index(&index[..index.len() - 1]), None);
        assert_eq!(decode_index(b""), None);
    }

    #[test]
    fn a_pack_is_scanned_and_a_torn_one_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let rows = [row(9, 8), row(4, 59)];
        let whole = [&PACK_MAGIC[..], &rows[0].header(), b"abc", &rows[1].header(), b"def"].concat();
        assert_eq!(pack_bytes(&rows), whole.len() as u64);
        let scanned = |bytes: &[u8]| {
            let path = home.path().join("pack");
            std::fs::write(&path, bytes).unwrap();
            scan(&File::open(path).unwrap()).unwrap()
        };
        assert_eq!(scanned(&whole), Some(rows.to_vec()));
        assert_eq!(scanned(&PACK_MAGIC), Some(Vec::new()));
        for end in (0..whole.len()).filter(|end| ![8, 59].contains(end)) {
            assert_eq!(scanned(&whole[..end]), None, "cut at {end}");
        }
        let mut spare = whole.clone();
        spare[8 + 5] = 1;
        assert_eq!(scanned(&spare), None);
    }
}
