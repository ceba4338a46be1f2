//! `homeroom key`.

use crate::publisher::keys::{self, KeyError};
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Says the password of encrypted keys where nobody can be asked.
const PASSWORD_VARIABLE: &str = "HOMEROOM_KEY_PASSWORD";

/// What `homeroom key` is told.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Draw a new key: FILE is the secret half, and FILE with the ending .pub the public one
    #[command(after_help = "Example:\n  homeroom key new /media/ann/ann.pem --encrypt")]
    New {
        /// Where the secret key will be
        file: PathBuf,
        /// Ask for a password, without which the file is of no use
        #[arg(long)]
        encrypt: bool,
    },
    /// Tell the ids of keys
    List {
        /// Key files, or directories of them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Give a secret key a password, or another one
    Encrypt {
        /// The secret key
        file: PathBuf,
    },
}

/// Makes, names and encrypts keys.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::New { file, encrypt } => {
            let password = if *encrypt { Some(new_password(file)?) } else { None };
            let key = keys::create_key(file, password.as_deref())?;
            println!("key {}", key.public().id());
            println!("made {}: keep it to yourself, and a copy elsewhere", file.display());
            println!(
                "made {}: give it to whoever drafts the root or makes the channel",
                file.with_extension("pub").display()
            );
        }
        Verb::List { paths } => {
            for path in paths {
                let files = if path.is_dir() { keys::key_files(path)? } else { vec![path.clone()] };
                files.iter().try_for_each(|file| list(file))?;
            }
        }
        Verb::Encrypt { file } => {
            keys::encrypt_key(file, ask_password, &new_password(file)?)?;
            println!("encrypted {}", file.display());
        }
    }
    Ok(())
}

fn list(file: &Path) -> Result<(), KeyError> {
    let public = keys::public_key(file, ask_password)?;
    let encrypted = if keys::is_encrypted(file)? { "  encrypted" } else { "" };
    println!("{}  {}{encrypted}", public.id(), file.display());
    Ok(())
}

/// The password of an encrypted key: from the environment, or from whoever sits here.
pub fn ask_password(file: &Path) -> io::Result<String> {
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) => Ok(password),
        Err(_) => prompt(&format!("Password of {}: ", file.display())),
    }
}

fn prompt(words: &str) -> io::Result<String> {
    rpassword::prompt_password(words).map_err(|error| match Errno::from_io_error(&error) {
        // What the system says of a terminal that is not there helps nobody.
        Some(Errno::NXIO | Errno::NOENT) => io::Error::other(format!(
            "there is no terminal to ask for its password; run this in one, or set {PASSWORD_VARIABLE}"
        )),
        _ => error,
    })
}

fn new_password(file: &Path) -> anyhow::Result<String> {
    if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
        return Ok(password);
    }
    let password = prompt(&format!("New password of {}: ", file.display()))?;
    let again = prompt("Once more: ")?;
    anyhow::ensure!(password == again, "the two passwords differ; nothing was changed");
    anyhow::ensure!(!password.is_empty(), "an empty password protects nothing; nothing was changed");
    Ok(password)
}
