//! A real browser: Chromium without a window, driven over its DevTools protocol through a pipe.
//!
//! The pipe needs no port and no further library, and its end is the browser's end. Everything here waits for events or
//! polls a bounded number of times; what the page logs as an error, and every address that it asked for, is kept.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Where the program is, if it is not in `PATH`.
pub const PROGRAM: &str = "L5D_CHROMIUM";
/// Set: a missing browser fails a test instead of leaving it out.
const REQUIRED: &str = "L5D_REQUIRE_BROWSER";
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Longest wait for an answer or for something to come true; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Messages that wait to be read.
const INBOX: usize = 10_000;

/// The shell moves the pipe to where the browser wants it: commands on 3, answers on 4.
const PLUMBER: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A browser with one page. Dropping it ends it.
pub struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<Value>,
    next: u64,
    session: Option<String>,
    /// What the page logged as an error, or threw.
    pub errors: Vec<String>,
    /// Addresses that the page asked for.
    pub asked: Vec<String>,
    _profile: tempfile::TempDir,
}

/// The browser's program; `None` where there is none and none is required.
pub fn find() -> Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os(PROGRAM).filter(|given| !given.is_empty()) {
        return Ok(Some(given.into()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        let message = format!("no browser: install chromium, or name one in {PROGRAM}");
        if std::env::var_os(REQUIRED).is_some() {
            bail!(message);
        }
        eprintln!("left out: {message}");
    }
    Ok(found)
}

impl Browser {
    /// Starts it with an empty page of this size.
    pub fn start(program: &Path, width: u32, height: u32) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let log = std::fs::File::create(profile.path().join("browser.log"))?;
        let mut child = Command::new("sh")
            .args(["-c", PLUMBER, "browser"])
            .arg(program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                // Root in a container has no other sandbox; the only pages are ours.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--lang=en-GB",
                "about:blank",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("cannot start the browser")?;
        let commands = child.stdin.take();
        let mut out = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let (tell, answers) = sync_channel(INBOX);
        // Ends with the pipe, which ends with the browser.
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while out.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap_or(Value::Null);
                if tell.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            answers,
            next: 0,
            session: None,
            errors: Vec::new(),
            asked: Vec::new(),
            _profile: profile,
        };
        browser.attach()?;
        browser.resize(width, height)?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<()> {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let params = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", &params)?;
        let session = attached["sessionId"].as_str().context("a session")?;
        self.session = Some(session.to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(())
    }

    /// Sends one command and waits for its result; events on the way are noted.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let pipe = self.commands.as_mut().context("the pipe is open")?;
        write!(pipe, "{command}\0").with_context(|| format!("cannot send {method}"))?;
        pipe.flush()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.answers.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => bail!("no answer to {method} in {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the browser ended during {method}"),
            };
            if message["id"] != id {
                self.note(&message);
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(message["result"].clone());
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => {
                self.errors.push(params["exceptionDetails"].to_string());
            }
            "Runtime.consoleAPICalled"
                if matches!(
                    params["type"].as_str(),
                    Some("error" | "warning" | "assert")
                ) =>
            {
                self.errors.push(params["args"].to_string());
            }
            "Log.entryAdded"
                if matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) =>
            {
                let entry = &params["entry"];
                self.errors
                    .push(format!("{} {}", entry["text"], entry["url"]));
            }
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                self.asked.push(url.to_owned());
            }
            _ => {}
        }
    }

    /// Loads a page.
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", &json!({"url": url}))?;
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
    }

    /// The value of an expression.
    pub fn eval(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &params)?;
        if let Some(thrown) = result.get("exceptionDetails") {
            bail!("{expression}: {thrown}");
        }
        Ok(result["result"]["value"].clone())
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // While a page is being replaced an expression cannot be told; it is asked again.
        while !self.eval(expression).is_ok_and(|value| value == true) {
            if Instant::now() > deadline {
                let text = self.eval("document.body.innerText").unwrap_or_default();
                bail!(
                    "not true after {PATIENCE:?}: {expression}\n{}\n{:?}",
                    text.as_str().unwrap_or_default(),
                    self.errors
                );
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Waits until the page shows a text.
    pub fn until_text(&mut self, text: &str) -> Result<()> {
        self.until(&format!(
            "document.body.innerText.includes({})",
            json!(text)
        ))
    }

    /// Presses a key, such as `Tab`, `Enter`, `a`; `modifiers`: 2 is Ctrl, 8 is Shift.
    pub fn key(&mut self, key: &str, modifiers: u32) -> Result<()> {
        let (code, number) = match key {
            "Enter" => ("Enter", 13),
            "Tab" => ("Tab", 9),
            "Escape" => ("Escape", 27),
            "End" => ("End", 35),
            "Home" => ("Home", 36),
            "ArrowLeft" => ("ArrowLeft", 37),
            "ArrowUp" => ("ArrowUp", 38),
            "ArrowRight" => ("ArrowRight", 39),
            "ArrowDown" => ("ArrowDown", 40),
            key => (
                key,
                key.bytes().next().unwrap_or_default().to_ascii_uppercase() as u32,
            ),
        };
        let mut press = json!({"type": "keyDown", "key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers});
        match key {
            "Enter" => press["text"] = "\r".into(),
            key if key.len() == 1 && modifiers & 2 == 0 => press["text"] = key.into(),
            _ => {}
        }
        self.call("Input.dispatchKeyEvent", &press)?;
        let release = json!({"type": "keyUp", "key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers});
        self.call("Input.dispatchKeyEvent", &release).map(drop)
    }

    /// Types a text into what has the focus.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.call("Input.insertText", &json!({"text": text}))
            .map(drop)
    }

    /// Presses Tab until what has the focus matches a selector: at most so often as a page may have stops.
    pub fn tab_to(&mut self, selector: &str) -> Result<()> {
        for _ in 0..150 {
            self.key("Tab", 0)?;
            let is = format!("document.activeElement?.matches({})", json!(selector));
            if self.eval(&is)? == true {
                return Ok(());
            }
        }
        bail!("Tab does not reach {selector}")
    }

    /// The size of the window.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size)
            .map(drop)
    }

    /// As if the user preferred dark colours, or light ones.
    pub fn prefer(&mut self, scheme: &str) -> Result<()> {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({"features": [feature]}),
        )
        .map(drop)
    }

    /// A picture of the page as a PNG file.
    pub fn picture(&mut self, file: &Path) -> Result<()> {
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}))?;
        let data = shot["data"].as_str().context("a picture")?;
        let png = base64::engine::general_purpose::STANDARD.decode(data)?;
        std::fs::write(file, png).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of the pipe ends the browser in order; what does not end is killed.
        self.commands = None;
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        let _ = self.child.kill();
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "cannot wait for the end of the browser");
        }
    }
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser")
            .field("pid", &self.child.id())
            .finish_non_exhaustive()
    }
}
