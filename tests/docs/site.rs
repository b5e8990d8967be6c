//! Where a newcomer stands who follows a document: the repository's files, `sentinel` on the path, and no state yet.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::node::{Ended, LONG, Node, SENTINEL, program};
use super::root;

/// Enough bars for what the documents show and for commands beside a running node, and few enough for a test.
const BARS: usize = 2_000;

pub struct Site {
    dir: tempfile::TempDir,
    /// Servers and nodes that a document leaves running.
    running: Vec<(String, Node)>,
    /// Ports of the hub and the gateway that were started last.
    ports: [u16; 2],
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["config", "deploy/completions", "deploy/supervisord", "deploy/systemd"] {
            copy(&root().join(folder), &dir.path().join(folder));
        }
        fs::create_dir_all(dir.path().join("tools/export-model")).unwrap();
        let bars = dir.path().join("config/demo/eurusd_1h_2017.csv");
        let text: Vec<String> = fs::read_to_string(&bars).unwrap().lines().take(BARS + 1).map(str::to_owned).collect();
        fs::write(&bars, text.join("\n") + "\n").unwrap();
        Self { dir, running: Vec::new(), ports: [0; 2] }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// A shell in `folder` that runs `line`.
    fn shell(&self, folder: &Path, line: &str) -> Node {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = program("sh", &self.path().join(folder));
        let own = Path::new(SENTINEL).parent().unwrap().display();
        // The shell becomes the program, so that a signal reaches it.
        let line = if line.starts_with("export ") { line.to_owned() } else { format!("exec {line}") };
        Node::spawn(self.path(), command.env("PATH", format!("{own}:{path}")).args(["-c", &line]))
    }

    /// Runs a command to its end, which must be a success.
    #[track_caller]
    pub fn run(&self, folder: &Path, line: &str) -> Ended {
        let ended = self.shell(folder, line).end();
        assert_eq!(ended.status.code(), Some(0), "{line}\n{}\n{}", ended.out, ended.err);
        ended
    }

    /// Starts a command that goes on, and waits until it has said `sign`.
    pub fn start(&mut self, line: &str, sign: &str) {
        let mut node = self.shell(Path::new(""), line);
        node.wait_for(sign, |node| {
            let (out, err) = node.said();
            out.contains(sign) || err.contains(sign)
        });
        self.running.push((line.to_owned(), node));
    }

    /// Starts the hub or the gateway on a free port.
    pub fn serve(&mut self, line: &str) {
        let port = free_port();
        self.ports[usize::from(line.contains(" gateway "))] = port;
        self.start(&format!("{line} --port {port}"), "listening on");
    }

    /// Flags for a node that is to reach them.
    pub fn endpoints(&self) -> String {
        format!(" --hub-port {} --gtw-port {}", self.ports[0], self.ports[1])
    }

    /// Waits until what was started with this line has said `sign`.
    pub fn wait_for(&mut self, line: &str, sign: &str) {
        let (_, node) = self.running.iter_mut().find(|(own, _)| own == line).unwrap();
        node.wait_for(sign, |node| node.said().1.contains(sign));
    }

    /// Ends what was started with a line that begins so, in order.
    #[track_caller]
    pub fn stop(&mut self, beginning: &str) -> Ended {
        let at = self.running.iter().position(|(line, _)| line.starts_with(beginning)).unwrap();
        let (line, mut node) = self.running.remove(at);
        node.signal(rustix::process::Signal::TERM);
        let ended = node.ended_within(LONG).unwrap_or_else(|| panic!("{line} does not end"));
        assert_eq!(ended.status.code(), Some(0), "{line}\n{}", ended.err);
        ended
    }

    /// Puts a directory back as it is now, later.
    pub fn snapshot(&self, folder: &str) -> impl Fn() + use<> {
        let (own, kept) = (self.path().join(folder), self.path().join("snapshot"));
        copy(&own, &kept);
        move || {
            fs::remove_dir_all(&own).unwrap();
            copy(&kept, &own);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
