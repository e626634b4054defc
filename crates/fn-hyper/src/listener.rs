//! The socket on which the platform calls: where it is, and how it must come into being.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::config::Lookup;

/// The one format that today's platforms speak.
const FORMAT: &str = "http-stream";
/// `sun_path` holds 108 bytes, the last of which is a zero.
const PATH_MAX_BYTES: usize = 107;
/// The agent runs as another user than the function.
const SOCKET_MODE: u32 = 0o666;

/// What is wrong with the environment that the platform gave; nothing can be served then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("FN_FORMAT: expected `http-stream`, got {given:?}")]
    Format { given: String },
    #[error("FN_LISTENER: missing, expected `unix:<path>`")]
    NoListener,
    #[error("FN_LISTENER: expected `unix:<path>`, got {given:?}")]
    NotUnix { given: String },
    #[error("FN_LISTENER: the path has {length} bytes, a unix socket's may have {PATH_MAX_BYTES}")]
    TooLong { length: usize },
    #[error("cannot make the socket at {}", path.display())]
    Socket { path: PathBuf, source: io::Error },
}

/// Where the platform waits for the socket to appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    folder: PathBuf,
    path: PathBuf,
    /// Name in `folder` under which the socket is really bound; `path` becomes a link to it.
    phony: String,
}

impl Address {
    /// Reads `FN_FORMAT` and `FN_LISTENER`.
    pub(crate) fn from_environment(lookup: &Lookup) -> Result<Self, Error> {
        match lookup("FN_FORMAT") {
            Some(format) if !format.is_empty() && format != FORMAT => return Err(Error::Format { given: format }),
            _ => {}
        }
        let given = lookup("FN_LISTENER").filter(|given| !given.is_empty()).ok_or(Error::NoListener)?;
        Self::parse(&given)
    }

    fn parse(given: &str) -> Result<Self, Error> {
        let not_unix = || Error::NotUnix { given: given.to_owned() };
        let path = PathBuf::from(given.strip_prefix("unix:").ok_or_else(not_unix)?);
        let length = path.as_os_str().len();
        if length > PATH_MAX_BYTES {
            return Err(Error::TooLong { length });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(not_unix());
        };
        Ok(Self { folder: folder.to_owned(), phony: format!("phony{name}"), path })
    }
}

/// Makes the socket. Its appearance is the function's word that it is ready, so this comes last in a start.
///
/// The socket is bound under a phony name and opened to other users first; the name that the platform watches is a
/// link, made last, with a relative target: an absolute one is refused and costs the container.
pub(crate) fn open(address: &Address) -> Result<UnixListener, Error> {
    make(address).map_err(|source| Error::Socket { path: address.path.clone(), source })
}

fn make(address: &Address) -> io::Result<UnixListener> {
    let phony = address.folder.join(&address.phony);
    remove_left_over(&address.path);
    remove_left_over(&phony);
    let listener = bind(&address.folder, &phony, &address.phony)?;
    fs::set_permissions(&phony, Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    symlink(&address.phony, &address.path)?;
    Ok(listener)
}

/// A container that was started before in the same folder leaves both names behind. What cannot be removed shows up
/// as an error of the bind or the link, which says more.
fn remove_left_over(path: &Path) {
    fs::remove_file(path).ok();
}

/// Binds at `phony`, even where the five letters more than the platform's own path make it too long for an address.
fn bind(folder: &Path, phony: &Path, name: &str) -> io::Result<StdUnixListener> {
    if phony.as_os_str().as_bytes().len() <= PATH_MAX_BYTES {
        return StdUnixListener::bind(phony);
    }
    let folder = File::open(folder)?;
    StdUnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn check(format: Option<&'static str>, listener: Option<&'static str>) -> Result<String, String> {
        let lookup = move |key: &str| match key {
            "FN_FORMAT" => format.map(str::to_owned),
            "FN_LISTENER" => listener.map(str::to_owned),
            _ => None,
        };
        Address::from_environment(&lookup)
            .map(|address| address.path.display().to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_prefix_is_stripped_exactly_and_the_format_may_be_left_out() {
        for format in [None, Some(""), Some("http-stream")] {
            assert_eq!(check(format, Some("unix:/tmp/iofs/lsnr.sock")).unwrap(), "/tmp/iofs/lsnr.sock");
        }
        // Stripping characters instead of the prefix would eat the beginning of this name.
        assert_eq!(check(None, Some("unix:xinu.sock")).unwrap(), "xinu.sock");
        assert_eq!(check(None, Some("unix:/tmp/unix:/lsnr.sock")).unwrap(), "/tmp/unix:/lsnr.sock");
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        for (format, listener, says) in [
            (Some("json"), Some("unix:/tmp/a"), "FN_FORMAT"),
            (Some("HTTP-STREAM"), Some("unix:/tmp/a"), "FN_FORMAT"),
            (None, None, "FN_LISTENER: missing"),
            (None, Some(""), "FN_LISTENER: missing"),
            (None, Some("/tmp/a"), "expected `unix:<path>`"),
            (None, Some("tcp:1.2.3.4:80"), "expected `unix:<path>`"),
            (None, Some("unix:"), "expected `unix:<path>`"),
            (None, Some("unix:/"), "expected `unix:<path>`"),
        ] {
            let error = check(format, listener).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let error = Address::parse(&format!("unix:/{}", "a".repeat(107))).unwrap_err().to_string();
        assert!(error.contains("108 bytes"), "{error}");
    }

    #[tokio::test]
    async fn the_longest_path_that_is_allowed_can_be_called() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(107 - folder.path().as_os_str().len() - "//lsnr.sock".len()));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("lsnr.sock");
        assert_eq!(path.as_os_str().len(), 107);

        let _listener = open(&Address::parse(&format!("unix:{}", path.display())).unwrap()).unwrap();

        // Through the link the target's name counts, not its whole path.
        UnixStream::connect(&path).unwrap();
        let bound = fs::metadata(deep.join("phonylsnr.sock")).unwrap();
        assert!(bound.file_type().is_socket());
        assert_eq!(bound.permissions().mode() & 0o777, 0o666);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = open(&Address::parse("unix:/no/such/folder/lsnr.sock").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "cannot make the socket at /no/such/folder/lsnr.sock");
    }
}
