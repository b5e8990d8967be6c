//! A real browser: Debian's Chromium without a window, driven over two pipes in its own protocol (JSON, each message ended by a zero
//! byte). No driver and no port is needed.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing that is asked of a browser takes longer.
const LONG: Duration = Duration::from_secs(60);

/// Browsers share the machine, but one that is timed has it alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// What a browser holds of the machine for as long as it runs.
enum Share {
    Part { _guard: RwLockReadGuard<'static, ()> },
    Whole { _guard: RwLockWriteGuard<'static, ()> },
}

/// A program of Debian's package `chromium`.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os("SENTINEL_CHROMIUM").map(PathBuf::from);
    let found = named.into_iter().chain(std::env::split_paths(&path).map(|dir| dir.join("chromium")));
    found.into_iter().find(|file| file.is_file()).expect("chromium is missing; install it or set SENTINEL_CHROMIUM")
}

/// The browser, with one tab. It ends with this value.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    /// What it told without being asked, oldest first.
    events: VecDeque<Value>,
    asked: u64,
    session: Option<String>,
    _profile: TempDir,
    _share: Share,
}

impl Browser {
    pub fn start() -> Self {
        Self::with(Share::Part { _guard: MACHINE.read().unwrap_or_else(PoisonError::into_inner) })
    }

    /// While no other browser of this program runs, because what is timed must not wait for them.
    pub fn start_alone() -> Self {
        Self::with(Share::Whole { _guard: MACHINE.write().unwrap_or_else(PoisonError::into_inner) })
    }

    fn with(share: Share) -> Self {
        let profile = TempDir::new().unwrap();
        // It reads from 3 and writes to 4; a shell moves what is piped to it there.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program())
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-extensions", "--mute-audio", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|count| count > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { break };
                if sender.send(value).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            events: VecDeque::new(),
            asked: 0,
            session: None,
            _profile: profile,
            _share: share,
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.ask("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser.ask("Network.setCacheDisabled", json!({"cacheDisabled": true}));
        browser
    }

    /// Sends a command, and gives its result.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut command = json!({"id": self.asked, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        let deadline = Instant::now() + LONG;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == json!(self.asked) {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    /// The value of an expression in the page; of a promise, what it comes to.
    pub fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.ask("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Loads an address, and waits until its load event is over.
    pub fn open(&mut self, address: &str) {
        self.ask("Page.navigate", json!({"url": address}));
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// Until the expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + LONG;
        loop {
            // A page that is being left has no answer.
            let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
            let answer = self.ask("Runtime.evaluate", asked);
            if answer["result"]["value"] == json!(true) {
                return;
            }
            assert!(Instant::now() < deadline, "it never was so: {expression}: {}", beginning(&answer));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same of what is loaded, and loaded again while a busy machine has kept the page from its journal.
    pub fn wait_for_rows(&mut self, expression: &str) {
        let deadline = Instant::now() + LONG;
        while self.eval(expression) != json!(true) {
            assert!(Instant::now() < deadline, "it never was so: {expression}");
            if self.eval("document.body?.textContent.includes('The journal cannot be read now') ?? false")
                == json!(true)
            {
                self.ask("Page.reload", json!({}));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A key as a person presses it, such as `Escape`, `Tab` or `Enter`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Escape" => 27,
            "Tab" => 9,
            _ => 13,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let pressed = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.ask("Input.dispatchKeyEvent", pressed);
        }
    }

    /// How wide the window is, and which colours are preferred.
    pub fn look(&mut self, width: u32, is_dark: bool) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]});
        self.ask("Emulation.setEmulatedMedia", media);
    }

    pub fn without_script(&mut self, is_without: bool) {
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": is_without}));
    }

    /// A picture of the whole page, or of what is in sight.
    pub fn picture(&mut self, file: &Path, is_whole: bool) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let shot = self.ask("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": is_whole}));
        let bytes = data_encoding::BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Requests, and everything that the browser complained of, since the last call.
    pub fn told(&mut self) -> Told {
        // What happened before the answer to this has been told before it.
        self.ask("Runtime.evaluate", json!({"expression": "1"}));
        let mut told = Told::default();
        for event in self.events.drain(..) {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    told.requests.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned());
                }
                "Log.entryAdded" | "Audits.issueAdded" | "Runtime.exceptionThrown" => {
                    told.complaints.push(event.to_string())
                }
                "Runtime.consoleAPICalled" => told.complaints.push(event.to_string()),
                _ => {}
            }
        }
        told
    }
}

fn beginning(answer: &Value) -> String {
    answer.to_string().chars().take(400).collect()
}

/// What a browser has done, and complained of.
#[derive(Debug, Default)]
pub struct Told {
    pub requests: Vec<String>,
    pub complaints: Vec<String>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end when it does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
