//! Every bound on what a stranger can send, grow or claim: a number with its unit and its reason.

/// Smallest chunk the chunker cuts (except a file's last): keeps the list of a tree of large files short.
pub const CHUNK_BYTES_MIN: u32 = 16 * 1024;
/// Chunk size the chunker aims at: a smaller one costs more rows, and a larger one
/// more bytes where a little has changed.
pub const CHUNK_BYTES_AVERAGE: u32 = 64 * 1024;
/// Largest chunk: bounds the memory of one transfer and what one lie can waste.
pub const CHUNK_BYTES_MAX: u32 = 256 * 1024;

/// Largest manifest and largest chunk list: a tree of 300,000 files, or one of 90 GB.
pub const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A document travels in slices of this size, so that control messages stay small.
pub const DOCUMENT_SLICE_BYTES_MAX: u32 = 64 * 1024;

/// Largest root metadata (go-tuf's bound).
pub const ROOT_BYTES_MAX: u64 = 512_000;
/// Largest timestamp metadata (go-tuf's bound).
pub const TIMESTAMP_BYTES_MAX: u64 = 16_384;
/// Largest snapshot metadata (go-tuf's bound).
pub const SNAPSHOT_BYTES_MAX: u64 = 2_000_000;
/// Largest targets metadata, delegated roles included (go-tuf's bound).
pub const TARGETS_BYTES_MAX: u64 = 5_000_000;
/// Delegated roles visited in one search (go-tuf's bound).
pub const DELEGATIONS_MAX: usize = 32;
/// Delegations that are followed beneath each role that the top-level targets delegates to; their files together have as
/// much room as one file may have. So the holder of one vendor's key costs a device two files of the largest size.
pub const DELEGATIONS_BENEATH_MAX: usize = DELEGATIONS_PER_FILE_MAX;
/// Steps of one search for a path, of some nanoseconds each: room for 256 vendors with a pattern each, or for the hash
/// bins of one, and not for patterns that only cost time.
pub const SEARCH_STEPS_MAX: u32 = 1536;
/// Delegations that one targets file may state: as many hash bins as repositories have, of which a search visits one.
pub const DELEGATIONS_PER_FILE_MAX: usize = 256;
/// Roots after the first: one a month for twenty years. Only the root's own keys could make more.
pub const ROOTS_MAX: usize = 256;
/// Nesting of a metadata file; the deepest lawful one needs 8.
pub const JSON_DEPTH_MAX: usize = 32;
/// Signatures on one metadata file; more could only burn a device's CPU.
pub const SIGNATURES_MAX: usize = 64;
/// Keys that may sign for one role, as many as Uptane advises for a root: each may cost a check that takes as long as
/// to hash the file.
pub const KEYS_PER_ROLE_MAX: usize = 8;

/// Largest message that is no metadata: holdings of the largest release.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Largest control frame: the largest metadata file, with room for its envelope.
pub const FRAME_BYTES_MAX: u32 = 6_000_000;

/// Longest path of an entry in bytes (Linux `PATH_MAX` less its NUL).
pub const PATH_BYTES_MAX: usize = 4095;
/// Longest name within a path in bytes (`NAME_MAX` of every common file system).
pub const NAME_BYTES_MAX: usize = 255;
/// Entries in one manifest.
pub const ENTRIES_MAX: usize = 2_000_000;
/// Extended attributes of one entry, names and values together, in bytes (ext4's own bound is one block).
pub const XATTR_BYTES_MAX: usize = 64 * 1024;
/// Longest name of an extended attribute in bytes (Linux `XATTR_NAME_MAX`).
pub const XATTR_NAME_BYTES_MAX: usize = 255;

/// Longest channel name in bytes: it is a TUF role name and a directory name, and people type it.
pub const CHANNEL_BYTES_MAX: usize = 64;
/// Longest group name in bytes: people type it.
pub const GROUP_BYTES_MAX: usize = 64;
/// Longest tree name in bytes: with version and hash it must fit one file name of 255.
pub const TREE_NAME_BYTES_MAX: usize = 64;
/// Longest version in bytes: with tree name and hash it must fit one file name of 255.
pub const VERSION_BYTES_MAX: usize = 64;

/// What a publisher says of one release beside its manifest, in bytes: a page of notes, in a file that all devices fetch.
pub const CUSTOM_BYTES_MAX: usize = 4096;
/// Longest name of a kind of hardware in bytes: that of a device tree's `compatible` is shorter.
pub const HARDWARE_ID_BYTES_MAX: usize = 64;
/// Releases of one channel that a seed carries: the newest for each kind of device and every waypoint, each of which
/// costs it memory and, at a start, a look at all its chunks.
pub const RELEASES_CARRIED_MAX: usize = 16;

/// Chunks that one peer may have queued here by name: two full pipelines.
pub const WANTS_QUEUED_MAX: usize = 64;
/// Chunks of our choice that one peer may accept ahead: two full pipelines.
pub const CREDIT_CHUNKS_MAX: u32 = 64;
/// Chunks on their way to one peer at once, read but not yet sent: bounds memory and keeps turns short.
pub const UPLOADS_PER_PEER_MAX: usize = 4;
/// Chunks on their way to all peers at once.
pub const UPLOADS_MAX: usize = 32;
/// Peers kept connected, the school beside them.
pub const PEERS_MAX: usize = 24;
/// Peers that a seed serves at once: a school of several classrooms.
pub const SEED_PEERS_MAX: usize = 256;
/// What one peer is answered in half a minute, metadata and holdings, in bytes: all the metadata of a large repository,
/// several times.
pub const ANSWERED_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What stating the time to a peer counts as, in bytes answered: a signature, and a device asks for one an hour.
pub const TIME_ANSWER_BYTES: u64 = 64 * 1024;
/// Offences after which a peer is banned; sending wrong bytes is enough alone.
pub const STRIKES_MAX: u32 = 3;
/// Chunks in one announcement; more are sent as several.
pub const ANNOUNCED_CHUNKS_MAX: usize = 4096;
/// Chunks in one release: what a chunk list of the largest size can name.
pub const CHUNKS_MAX: u32 = 1_700_000;

/// Longest name of a delegated role in bytes: with a version and `.json` it must stay a file name.
pub const ROLE_NAME_BYTES_MAX: usize = 128;
