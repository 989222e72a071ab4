//! Requests to an endpoint. What may pass by itself (too many requests, a server's fault, silence) is tried again, later
//! each time; what is refused is told at once. The key stands in one header, and is cut out of whatever the server says.

use std::fmt;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use super::error::EndpointError;

/// Longest answer that is read, in bytes.
const LARGEST: u64 = 4 << 20;
/// Characters of a server's words that are told.
const TOLD: usize = 300;
/// Before the second try; doubled with each.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Between two looks for an interruption.
const LOOK: Duration = Duration::from_millis(50);

/// A key. It is not shown, not even in debug output.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// The key of a variable of the environment.
    pub fn from_env(variable: &str) -> Option<Self> {
        let value = std::env::var(variable).ok()?;
        let value = value.trim();
        (!value.is_empty()).then(|| Self(value.to_owned()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: String,
    key: Option<Key>,
    tries: u32,
    agent: Agent,
}

impl Endpoint {
    /// The endpoint at `url`, the part before `/chat/completions`. A request that fails is made `retries` times more; none
    /// takes longer than `timeout`.
    ///
    /// # Errors
    /// If the address is none, or could hold a secret.
    pub fn new(url: &str, key: Option<Key>, retries: u32, timeout: Duration) -> Result<Self, EndpointError> {
        let url = url.trim().trim_end_matches('/');
        let wrong = |reason| EndpointError::Address {
            url: url.split_once(['?', '@']).map_or(url, |(before, _)| before).to_owned(),
            reason,
        };
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        match host {
            None => return Err(wrong("it begins with neither http:// nor https://")),
            Some("") => return Err(wrong("it names no host")),
            // It is written into files.
            Some(host) if host.contains(['?', '@', '#']) => {
                return Err(EndpointError::Address {
                    url: "...".to_owned(),
                    reason: "an address with `@`, `?` or `#` may hold a secret, and is written into files",
                });
            }
            Some(_) => {}
        }
        let agent = Agent::config_builder()
            .user_agent(concat!("bitfrontier/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // The key goes nowhere but to the address that was given.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .build()
            .into();
        Ok(Self { url: url.to_owned(), key, tries: retries.saturating_add(1), agent })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether a key would travel unencrypted to another machine.
    pub fn tells_its_key(&self) -> bool {
        let Some(rest) = self.url.strip_prefix("http://") else { return false };
        let place = rest.split('/').next().unwrap_or_default();
        // Colons stand in an address of IPv6 too, and there in brackets.
        let host = match place.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            Some((inside, _)) => inside,
            None => place.split(':').next().unwrap_or_default(),
        };
        let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        self.key.is_some() && !is_loopback && !host.eq_ignore_ascii_case("localhost")
    }

    /// Posts JSON to a path below the address, and returns the JSON that comes back.
    ///
    /// # Errors
    /// If it is refused, or fails each time.
    pub fn post(&self, path: &str, body: &Value, interrupted: &AtomicBool) -> Result<Value, EndpointError> {
        let mut tries = 1;
        loop {
            let (error, wait) = match self.once(path, body, tries) {
                Ok(value) => return Ok(value),
                Err(Trouble { error, again: None }) => return Err(error),
                Err(Trouble { error, again: Some(wait) }) => (error, wait),
            };
            if tries >= self.tries {
                return Err(error);
            }
            pause(wait.max(PAUSE * 2_u32.saturating_pow(tries - 1)).min(LONGEST_PAUSE), interrupted)?;
            tries += 1;
        }
    }

    fn once(&self, path: &str, body: &Value, tries: u32) -> Result<Value, Trouble> {
        let url = format!("{}{path}", self.url);
        let mut request = self.agent.post(&url).header("content-type", "application/json");
        if let Some(Key(key)) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let again = |error: String| Trouble {
            error: EndpointError::Unreachable { reason: self.bare(&error), tries },
            again: Some(Duration::ZERO),
        };
        let response = request.send(body.to_string()).map_err(|error| again(error.to_string()))?;
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait =
            header.and_then(|text| text.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
        let mut bytes = Vec::new();
        let read = response.into_body().into_reader().take(LARGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| again(error.to_string()))?;
        if bytes.len() as u64 > LARGEST && (200..300).contains(&status) {
            let error = EndpointError::Malformed(format!("it is larger than {} MiB", LARGEST >> 20));
            return Err(Trouble { error, again: None });
        }
        let text = self.bare(&String::from_utf8_lossy(&bytes));
        match status {
            200..=299 => serde_json::from_str(&text).map_err(|error| Trouble {
                error: EndpointError::Malformed(format!("no JSON ({error}){}", said(&text))),
                again: None,
            }),
            401 | 403 | 404 | 405 | 300..=399 => {
                Err(Trouble { error: EndpointError::Refused { url, status, said: said(&text) }, again: None })
            }
            408 | 425 | 429 | 500.. => Err(Trouble {
                error: EndpointError::Failed { status, said: said(&text), tries },
                again: Some(wait),
            }),
            _ => Err(Trouble {
                error: EndpointError::Failed { status, said: said(&text), tries },
                again: None,
            }),
        }
    }

    /// A text without the key.
    fn bare(&self, text: &str) -> String {
        match &self.key {
            Some(Key(key)) => text.replace(key.as_str(), "[key]"),
            None => text.to_owned(),
        }
    }
}

/// A request that failed, and how long to wait at least before another, if one may help.
struct Trouble {
    error: EndpointError,
    again: Option<Duration>,
}

/// A server's words behind a colon: its `error.message`, or how the answer begins.
fn said(text: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let message = json.pointer("/error/message").or_else(|| json.get("message")).and_then(Value::as_str);
    let words: Vec<&str> = message.unwrap_or(text).split_whitespace().collect();
    let words: String = words.join(" ").chars().filter(|c| !c.is_control()).take(TOLD).collect();
    if words.is_empty() { words } else { format!(": {words}") }
}

fn pause(time: Duration, interrupted: &AtomicBool) -> Result<(), EndpointError> {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(EndpointError::Interrupted);
        }
        thread::sleep(left.min(LOOK));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_secrets_and_keys_are_not_shown() {
        let new = |url: &str, key: Option<&str>| {
            Endpoint::new(url, key.map(|key| Key(key.to_owned())), 0, Duration::from_secs(1))
        };
        for wrong in
            ["", "localhost:80/v1", "https://", "https://me:sk-77@host/v1", "https://host/v1?key=sk-77"]
        {
            let error = new(wrong, None).expect_err(wrong).to_string();
            assert!(!error.contains("sk-77"), "{error}");
        }
        let endpoint = new("http://host/v1/", Some("sk-1234")).expect("an endpoint");
        assert_eq!(endpoint.url(), "http://host/v1");
        assert!(endpoint.tells_its_key() && !format!("{endpoint:?}").contains("1234"));
        assert!(!new("http://127.0.0.1:80", Some("k")).expect("an endpoint").tells_its_key());
        for (host, tells) in [
            ("localhost:80", false),
            ("LOCALHOST", false),
            ("[::1]:80", false),
            ("[2001:db8::1]", true),
            ("127.evil.invalid", true),
            ("localhost.evil.invalid:80", true),
        ] {
            let endpoint = new(&format!("http://{host}/v1"), Some("k")).expect("an endpoint");
            assert_eq!(endpoint.tells_its_key(), tells, "{host}");
        }
        assert_eq!(endpoint.bare("wrong key sk-1234."), "wrong key [key].");
    }

    #[test]
    fn what_a_server_says_is_told_in_one_short_line() {
        assert_eq!(said(r#"{"error": {"message": "no such\n model"}}"#), ": no such model");
        assert_eq!(said("<html>\n x"), ": <html> x");
        assert_eq!(said(" "), "");
        assert_eq!(said("a\u{1b}[2Jb\u{7f}"), ": a[2Jb");
        assert_eq!(said(&"é".repeat(1000)).chars().count(), TOLD + 2);
    }
}
