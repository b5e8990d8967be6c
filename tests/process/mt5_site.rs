//! A node beside the reference gateway and a fake MetaTrader 5: three programs, each a process of its own, two of them in Python.
//!
//! Everything that waits is shortened to a hundredth, by a flag that each of them has. What the node repeats in each cycle needs no
//! flag: a replay has as many cycles per second as its speed says.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::config::Site;
use super::gateway::free_port;
use super::node::{Node, program};

/// What the waits of all three are multiplied by.
const TIME_FACTOR: &str = "0.01";
/// The node's deadline for one exchange.
pub const EXECUTE: Duration = Duration::from_secs(1);
/// Symbols of the fake broker, which executes each in another way, and the number of the pipeline that trades it.
pub const SYMBOLS: [(&str, u32); 4] = [("EURUSD", 2017), ("GBPUSD", 2018), ("XAUUSD", 2019), ("USDJPY", 2020)];

/// How the node trades.
#[derive(Debug, Clone, Copy)]
pub struct Trading {
    /// The kind of the account: `hedging` or `netting`.
    pub account: &'static str,
    pub on_opposite: &'static str,
    pub max_open_positions: &'static str,
}

/// The three programs of one directory; those that run end with whoever started them.
pub struct Mt5Site {
    pub site: Site,
    account: &'static str,
    /// Of the terminal's faults.
    seed: u64,
    faults: &'static str,
}

impl Mt5Site {
    pub fn new(trading: Trading, seed: u64, faults: &'static str) -> Self {
        let port = free_port();
        let mut site = Site::new();
        site.text = node_config(trading, port);
        let gateway = format!(
            "[gateway]\nbind = \"tcp://127.0.0.1:{port}\"\nstate = \"gateway\"\n[terminal]\nlogin = 5012345\n\
             server = \"Broker-Demo\"\n[time]\nwinter_s = 7200\ndst = \"none\"\n"
        );
        fs::write(site.path().join("gateway.toml"), gateway).unwrap();
        Self { site, account: trading.account, seed, faults }
    }

    pub fn path(&self) -> &Path {
        self.site.path()
    }

    /// What the terminal has recorded.
    pub fn truth(&self) -> PathBuf {
        self.path().join("truth.db")
    }

    /// Starts the terminal, which goes on where its record ends.
    pub fn terminal(&self) -> Node {
        let [socket, truth] = [self.socket(), self.truth()].map(PathBuf::into_os_string);
        let mut command = self.python("fake_terminal");
        command.arg("--socket").arg(socket).arg("--truth").arg(truth);
        command.args(["--seed", &self.seed.to_string(), "--faults", self.faults, "--margin-mode", self.account]);
        self.listening(&mut command)
    }

    /// Starts the gateway, which kills itself at this place; an empty one is none.
    pub fn gateway(&self, kill_at: &str) -> Node {
        let mut command = self.python("sentinel_gateway");
        command.args(["serve", "--config", "gateway.toml"]).env("SENTINEL_GATEWAY_KILL_AT", kill_at);
        self.listening(&mut command)
    }

    /// Starts the node live, as it was armed, whatever it was killed by before.
    pub fn node(&self, more: &[&str]) -> Node {
        self.site.resume();
        self.site.start_as_armed(&[&["--time-factor", TIME_FACTOR], more].concat())
    }

    fn socket(&self) -> PathBuf {
        self.path().join("s")
    }

    fn python(&self, module: &str) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/mt5-gateway");
        let modules = std::env::join_paths([folder.clone(), folder.join("tests/fake")]).unwrap();
        let interpreter = std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| OsString::from("python3"));
        let mut command = program(&interpreter.to_string_lossy(), self.path());
        command.args(["-m", module]);
        command.env("PYTHONPATH", modules).env("PYTHONDONTWRITEBYTECODE", "1").env("FAKE_MT5_SOCKET", self.socket());
        command
    }

    fn listening(&self, command: &mut Command) -> Node {
        let mut process = Node::spawn(self.path(), command.args(["--time-factor", TIME_FACTOR]));
        process.wait_for("listening process", |process| process.said().0.contains("listening on"));
        process
    }
}

/// A node with a pipeline for each symbol, all behind one gateway.
fn node_config(Trading { account, on_opposite, max_open_positions }: Trading, port: u16) -> String {
    let execute = EXECUTE.as_millis();
    let node = format!(
        "[node]\nname = \"campaign\"\n\n[log]\nlevel = \"debug\"\nformat = \"json\"\n\n[deadlines]\nfetch = \"1s\"\n\
         features = \"1s\"\npredict = \"1s\"\nexecute = \"{execute}ms\"\ncycle = \"5s\"\n"
    );
    let pipeline = |(symbol, magic): (&str, u32)| {
        let name = symbol.to_lowercase();
        format!(
            "\n[[pipeline]]\nname = \"{name}\"\nsymbol = \"{symbol}\"\ninterval = \"1h\"\nschedule = \"on bar close + 2s\"\n\n\
             [pipeline.source]\nkind = \"csv\"\npath = \"eurusd_1h_2017.csv\"\nspeed = 25\n\n\
             [pipeline.features]\nset = \"fx23\"\nwindow = 200\n\n[pipeline.model]\nkind = \"onnx\"\npath = \"model.onnx\"\n\n\
             [pipeline.risk]\nmax_open_positions = {max_open_positions}\nmax_orders_per_hour = 100\nmax_orders_per_day = 1000\n\n\
             [pipeline.decision]\nclasses = [\"sell\", \"hold\", \"buy\"]\nthreshold = 0.36\nvolume_lots = \"0.10\"\n\
             stop_distance = \"none\"\ntarget_distance = \"none\"\non_opposite = \"{on_opposite}\"\nmax_holding = \"3h\"\n\n\
             [pipeline.venue]\nkind = \"gateway\"\ndialect = \"sentinel\"\nport = {port}\naccount = \"test\"\n\
             account_mode = \"{account}\"\nmagic = {magic}\nreplay = true\n"
        )
    };
    SYMBOLS.into_iter().map(pipeline).fold(node, |config, pipeline| config + &pipeline)
}
