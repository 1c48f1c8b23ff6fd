//! The ACL token: from a text or a file, and never shown.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use reqwest::header::HeaderValue;
use tokio::sync::watch;

use crate::control::shared::lock;

/// Tokens are UUIDs, or secrets of an identity provider; a file longer than this is another.
const TOKEN_BYTES_MAX: u64 = 16_384;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the wire.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The token to show with each request.
#[derive(Debug)]
pub(super) struct Token {
    /// Wins while there is a token in it.
    file: Option<PathBuf>,
    fixed: Option<Secret>,
    /// What the file said last. It stays in force when the file cannot be read any more: files
    /// are replaced, and a request without a token is answered as if there were nothing.
    read: Mutex<LastRead>,
    /// Counts the tokens that the file had.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct LastRead {
    token: Option<Secret>,
    /// The one before: answers to what it was shown with may still come.
    former: Option<Secret>,
    /// The failure that was logged last.
    failure: Option<String>,
}

impl Token {
    /// The token of a file, where it has one, else a fixed one, else none.
    ///
    /// # Errors
    /// The file cannot be read, or holds what no header can carry.
    pub(super) fn new(file: Option<PathBuf>, fixed: Option<Secret>) -> Result<Self, String> {
        let token = file.as_deref().map(read).transpose()?.flatten();
        // What cannot be read twice (a pipe) is read once.
        let file = file.filter(|path| path.is_file());
        let read = Mutex::new(LastRead { token, ..LastRead::default() });
        Ok(Self { file, fixed, read, changes: watch::Sender::new(0) })
    }

    /// The token as it is now. Reads the file each time: it is a few bytes, requests are few, and
    /// no timestamp can mislead.
    pub(super) fn now(&self) -> Option<Secret> {
        let mut last = lock(&self.read);
        if let Some(path) = &self.file {
            match read(path) {
                Ok(token) => {
                    last.failure = None;
                    if last.token != token {
                        last.former = std::mem::replace(&mut last.token, token);
                        tracing::info!(
                            path = %path.display(),
                            "the token file has another token, which is used from now on"
                        );
                        self.changes.send_modify(|count| *count = count.wrapping_add(1));
                    }
                }
                Err(reason) if last.failure.as_ref() == Some(&reason) => {}
                Err(reason) => {
                    tracing::warn!(
                        path = %path.display(),
                        reason,
                        "the token file cannot be used; its last token stays in use"
                    );
                    last.failure = Some(reason);
                }
            }
        }
        last.token.clone().or_else(|| self.fixed.clone())
    }

    /// Counts the tokens that there were, as they are noticed by [`Token::now`].
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes the token out of a text of the agent's, which may repeat what it was sent.
    pub(super) fn hide(&self, text: &str) -> String {
        let read = lock(&self.read);
        let secrets = [&read.token, &read.former, &self.fixed].into_iter().flatten();
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.reveal(), "(hidden)"))
    }
}

fn read(path: &Path) -> Result<Option<Secret>, String> {
    let text = read_text(path).map_err(|error| format!("cannot be read: {error}"))?;
    let token = text.trim();
    if token.is_empty() {
        return Ok(None);
    }
    if !fits_header(token) {
        return Err("holds characters that no token has".to_owned());
    }
    Ok(Some(Secret::new(token)))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > TOKEN_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long for a token"));
    }
    Ok(text)
}

/// Whether a text can be a token: visible ASCII, which is all that its header may carry.
pub(super) fn fits_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The value of a header that carries a secret.
pub(super) fn header(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.reveal()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
