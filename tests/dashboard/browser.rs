//! A headless Chromium, driven over a pipe by its own protocol
//! (chromedevtools.github.io/devtools-protocol).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::Folder;

/// How long anything may take that takes seconds on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// A browser with one page; killed when dropped.
pub(crate) struct Browser {
    child: Child,
    questions: File,
    answers: BufReader<File>,
    last: u64,
    session: Option<String>,
    /// What the page asked for, and what went wrong in it.
    pub(crate) requested: Vec<String>,
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// One with no history and no settings of anybody's; `None` where there is no Chromium.
    pub(crate) fn start(folder: &Folder) -> Option<Self> {
        let path = |name: &str| folder.path().join(name);
        let (questions, answers) = (path("questions"), path("answers"));
        for pipe in [&questions, &answers] {
            mkfifo(pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }
        let found = Command::new("chromium").arg("--version").output();
        if !found.is_ok_and(|found| found.status.success()) {
            return None;
        }
        // It reads questions from descriptor 3 and writes answers to 4.
        let script = "exec chromium \"$@\" 3<\"$QUESTIONS\" 4>\"$ANSWERS\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh", "--headless", "--remote-debugging-pipe", "--no-sandbox"])
            .args(["--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", path("profile").display()))
            .arg("about:blank")
            .env("QUESTIONS", &questions)
            .env("ANSWERS", &answers)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In the order in which the shell opens them.
        let questions = OpenOptions::new().write(true).open(questions).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let (requested, complaints) = (Vec::new(), Vec::new());
        let mut browser =
            Self { child, questions, answers, last: 0, session: None, requested, complaints };
        let page = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let page = &page["targetId"];
        let attached =
            browser.ask("Target.attachToTarget", &json!({ "targetId": page, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            browser.ask(domain, &json!({}));
        }
        Some(browser)
    }

    /// Opens a page, and waits until its scripts have run.
    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.ask("Page.navigate", &json!({ "url": url }));
        assert_eq!(opened.get("errorText"), None, "{opened}");
        let is_there = "location.href !== 'about:blank' && document.readyState === 'complete'";
        self.wait("it is loaded", is_there);
    }

    /// As wide and high as this screen, and by night or by day.
    pub(crate) fn emulate(&mut self, width: u32, height: u32, scheme: &str) {
        let is_phone = width < 600;
        let screen = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": is_phone,
        });
        self.ask("Emulation.setDeviceMetricsOverride", &screen);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// What an expression is in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let question = json!({ "expression": expression, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", &question);
        let thrown = answer.get("exceptionDetails");
        assert_eq!(thrown, None, "{expression}");
        answer["result"]["value"].clone()
    }

    /// Presses a key; what it writes is written where the focus is.
    pub(crate) fn press(&mut self, key: &str) {
        let mut down = json!({ "type": "keyDown", "key": key });
        if key.chars().count() == 1 {
            down["text"] = key.into();
        }
        self.ask("Input.dispatchKeyEvent", &down);
        self.ask("Input.dispatchKeyEvent", &json!({ "type": "keyUp", "key": key }));
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn wait(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + SOON;
        while self.evaluate(expression) != true {
            if Instant::now() > deadline {
                let text = self.evaluate("document.body.innerText");
                panic!("never: {what}\n{}", text.as_str().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut question = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            question["sessionId"] = session.as_str().into();
        }
        let mut wire = question.to_string().into_bytes();
        wire.push(0);
        self.questions.write_all(&wire).unwrap();
        loop {
            let mut answer = Vec::new();
            let count = self.answers.read_until(0, &mut answer).unwrap();
            assert!(count > 0, "the browser has ended");
            answer.pop();
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.last {
                assert_eq!(answer.get("error"), None, "{method}");
                return answer["result"].take();
            }
            self.note(&answer);
        }
    }

    /// What the page does by itself.
    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                self.requested.push(url.to_owned());
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters.to_string()),
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                self.complaints.push(parameters["entry"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
