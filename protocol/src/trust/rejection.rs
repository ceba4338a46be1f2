//! Why a metadata file was not believed, and whose fault that is.

use super::envelope::MetadataError;
use super::role::Role;
use super::verify::SignatureError;

/// Why an offered file was refused. The trusted set is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is no metadata file of its kind.
    #[error("the {role} metadata cannot be read")]
    Unreadable {
        /// What it was offered as.
        role: Role,
        /// What is wrong with it.
        #[source]
        source: MetadataError,
    },
    /// The keys that must have signed it have not.
    #[error("the {role} metadata is not signed as it must be")]
    Signatures {
        /// What it was offered as.
        role: Role,
        /// What is wrong with the signatures.
        #[source]
        source: SignatureError,
    },
    /// The snapshot names it, nobody who delegates to its role vouches for it, and for the file in use somebody does.
    #[error("the publisher signed that {role} version {version} is a file that the role's keys did not sign")]
    Disowned {
        /// What it was offered as.
        role: Role,
        /// The version named by the snapshot.
        version: u64,
        /// What is wrong with the signatures.
        #[source]
        source: SignatureError,
    },
    /// A root that is not the next one.
    #[error("root version {found} was offered where version {expected} comes next")]
    RootVersion {
        /// One more than the trusted root's.
        expected: u64,
        /// What it states.
        found: u64,
    },
    /// Whoever has the root's keys makes roots without end.
    #[error("the repository has had as many roots as a device keeps; enroll with a new repository")]
    TooManyRoots,
    /// Older than what was trusted before.
    #[error("{role} version {found} is older than version {trusted}, which is trusted already")]
    Older {
        /// What it was offered as.
        role: Role,
        /// The version trusted before.
        trusted: u64,
        /// What it states.
        found: u64,
    },
    /// Properly signed, and takes back what was signed before.
    #[error("{role} version {version} takes {named} back from version {trusted} to {found:?}")]
    TakesBack {
        /// The file offered.
        role: Role,
        /// Its version.
        version: u64,
        /// The role whose file it names.
        named: Role,
        /// The version of it that was named before.
        trusted: u64,
        /// The version that it names, if any.
        found: Option<u64>,
    },
    /// Two files with one version, both properly signed: the publisher says different things to
    /// different devices, or has lost its key.
    #[error("a second {role} version {version} exists that says something else; keep both files and ask the publisher")]
    Equivocation {
        /// The role.
        role: Role,
        /// The version.
        version: u64,
    },
    /// A lawful version perhaps, but not the one that is missing.
    #[error("{role} version {found} was offered where version {expected} is missing")]
    OtherVersion {
        /// What it was offered as.
        role: Role,
        /// The version named by the file above it.
        expected: u64,
        /// What it states.
        found: u64,
    },
    /// The file above it names these very bytes, as another version than they state.
    #[error("the publisher signed that {role} version {expected} is a file which says version {found}")]
    Misnamed {
        /// What it was offered as.
        role: Role,
        /// The version named by the file above it.
        expected: u64,
        /// What it states.
        found: u64,
    },
    /// Not the bytes that the file above it names.
    #[error("the bytes offered as {role} version {version} are not those of that file")]
    Altered {
        /// What it was offered as.
        role: Role,
        /// The version named by the file above it.
        version: u64,
    },
    /// What would tell whether to believe it has not arrived.
    #[error("{role} metadata was offered before the {missing} metadata that tells whether to believe it")]
    Early {
        /// What it was offered as.
        role: Role,
        /// What must come first.
        missing: Role,
    },
    /// No such role belongs to the newest snapshot.
    #[error("{role} is no role of the newest snapshot")]
    UnknownRole {
        /// What it was offered as.
        role: Role,
    },
}

/// Who brought a refused file about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever sent it: no honest peer relays such bytes.
    Peer,
    /// The publisher's keys signed it; whoever sent it did right.
    Publisher,
    /// An honest peer that is ahead of us or behind sends such files.
    Nobody,
}

impl Rejection {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Rejection::Unreadable { .. } | Rejection::Altered { .. } => Blame::Peer,
            Rejection::Signatures { source, .. } => match source {
                SignatureError::Unsigned | SignatureError::Forged { .. } => Blame::Peer,
                SignatureError::TooFew { .. } => Blame::Nobody,
            },
            Rejection::RootVersion { expected, found } if found < expected => Blame::Peer,
            Rejection::TooManyRoots
            | Rejection::Disowned { .. }
            | Rejection::TakesBack { .. }
            | Rejection::Equivocation { .. }
            | Rejection::Misnamed { .. } => Blame::Publisher,
            Rejection::RootVersion { .. }
            | Rejection::Older { .. }
            | Rejection::OtherVersion { .. }
            | Rejection::Early { .. }
            | Rejection::UnknownRole { .. } => Blame::Nobody,
        }
    }
}
