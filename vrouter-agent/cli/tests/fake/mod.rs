//! A daemon that answers from a list.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Answers `(request line without version, whole answer)`; anything else gets 404.
pub struct Daemon {
    pub socket: PathBuf,
    /// `METHOD target body` in the order in which they came.
    pub asked: Arc<Mutex<Vec<String>>>,
}

pub fn socket_path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("vrctl-test-{}-{n}.sock", std::process::id()))
}

impl Daemon {
    pub fn raw(answers: Vec<(String, String)>) -> Daemon {
        let socket = socket_path();
        let listener = UnixListener::bind(&socket).expect("a socket in the temporary directory");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.expect("accepts"));
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("a request");
                    if let Some(n) = line.strip_prefix("Content-Length: ") {
                        length = n.trim().parse().expect("a number");
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    if head.is_empty() {
                        head = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("the body");
                let body = String::from_utf8(body).expect("text");
                log.lock().expect("not poisoned").push(format!("{head} {body}").trim().to_owned());
                let answer = answers.iter().find(|(a, _)| *a == head).map_or_else(
                    || answer(404, r#"{"errors": ["no such path"]}"#),
                    |(_, answer)| answer.clone(),
                );
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Daemon { socket, asked }
    }

    /// Every answer is 200 with this body.
    pub fn new(answers: &[(&str, &str)]) -> Daemon {
        Daemon::raw(answers.iter().map(|(a, body)| ((*a).to_owned(), answer(200, body))).collect())
    }

    pub fn run(&self, args: &str) -> Ran {
        let mut command = vrctl();
        command.arg("--socket").arg(&self.socket).args(args.split_whitespace());
        Ran::from(command.output().expect("vrctl runs"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

pub fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub fn vrctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vrctl"));
    command.env_remove("VROUTER_SOCKET");
    command
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().expect("ended by itself"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}
