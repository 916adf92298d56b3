//! The unix socket of the API: taken over from a daemon that died, never from one that lives.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why the socket cannot be had. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("{0}: another vrouterd listens there; stop it, or set another [api] socket")]
    Live(PathBuf),
    /// A file that is no socket.
    #[error("{0}: is not a socket; remove it, or set another [api] socket")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error(
        "{path}: {error}; check the directory and its permissions, or set another [api] socket"
    )]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// A listening socket. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`, making its directory. Owner and group may connect.
    ///
    /// # Errors
    /// A live daemon, a file in the way, a refusal of the system; nothing is changed then.
    pub fn bind(path: &Path) -> Result<Socket, SocketError> {
        let io = |error| SocketError::Io { path: path.to_owned(), error };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(io)?;
        }
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => return Err(SocketError::Live(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(io)?;
                }
                Err(error) => return Err(io(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let listener = UnixListener::bind(path).map_err(io)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        Ok(Socket { listener, path: path.to_owned() })
    }

    /// Another handle of the same socket, for one run of the agent: those who connect between two runs wait.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_a_live_one_and_other_files_are_not() {
        let directory = std::env::temp_dir().join(format!("vrouter-socket-{}", std::process::id()));
        let path = directory.join("run/api.sock");
        let first = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::Live(_))));
        drop(first);
        assert!(!path.exists());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind by a daemon that died");
        drop(Socket::bind(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_dir_all(&directory).unwrap();
    }
}
