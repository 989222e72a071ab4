//! Progress for people: bars on a terminal with what was learnt above and below them, plain lines elsewhere, or one JSON
//! object a line. Listens to the
//! executor's events and knows nothing else.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::run::event::{Event, Learnt, TrialKind};
use crate::shown;
use crate::units::Seconds;
use crate::worker::protocol::Status;

/// How progress is told.
#[derive(Debug)]
pub enum Progress {
    /// Not at all.
    Quiet,
    /// One JSON object a line on stdout.
    Json,
    /// Bars on stderr.
    Bars(Bars),
    /// A line a trial on stderr.
    Lines(Clock),
}

/// An overall bar, one for the running trial, and a line of who is on the frontier.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    trial: ProgressBar,
    standing: ProgressBar,
    clock: Clock,
    pace: Pace,
}

/// How fast the running trial's worker decodes.
#[derive(Debug, Default)]
struct Pace {
    /// When it was first heard of in this trial, and how many tokens it had decoded by then.
    since: Option<(Instant, u64)>,
    tokens: u64,
}

impl Pace {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::TrialStarted { .. } => *self = Self::default(),
            // A worker that was started anew counts from zero.
            Event::Step { decoded, .. } if *decoded < self.tokens => *self = Self::default(),
            Event::Step { decoded, .. } if *decoded > 0 => {
                self.since.get_or_insert_with(|| (Instant::now(), *decoded));
                self.tokens = *decoded;
            }
            _ => {}
        }
    }

    /// In words; empty before there is one.
    fn text(&self) -> String {
        let Some((begun, before)) = self.since else { return String::new() };
        let (seconds, tokens) = (begun.elapsed().as_secs_f64(), (self.tokens - before) as f64);
        if seconds < 0.5 || tokens < 1.0 {
            return String::new();
        }
        format!("{:.*} tokens/s", usize::from(tokens / seconds < 10.0), tokens / seconds)
    }
}

/// The trial at work.
#[derive(Debug, Default)]
struct Running {
    work: f64,
    /// Shares of its steps: done now, and done before this invocation.
    done: f64,
    before: f64,
}

/// What is done, and since when.
#[derive(Debug)]
pub struct Clock {
    begun: Instant,
    trials: u64,
    done: u64,
    work: f64,
    work_done: f64,
    /// Work that others than this invocation did: what was done when it began.
    work_before: f64,
    running: Running,
    /// It may come to less.
    stops_early: bool,
}

impl Progress {
    /// Bars if stderr is a terminal, lines otherwise.
    pub fn new(quiet: bool, json: bool) -> Self {
        let clock = Clock {
            begun: Instant::now(),
            trials: 0,
            done: 0,
            work: 0.0,
            work_done: 0.0,
            work_before: 0.0,
            running: Running::default(),
            stops_early: false,
        };
        if quiet {
            Self::Quiet
        } else if json {
            Self::Json
        } else if std::io::stderr().is_terminal() {
            Self::Bars(Bars::new(clock))
        } else {
            Self::Lines(clock)
        }
    }

    /// Hears an event.
    pub fn hear(&mut self, event: &Event) {
        match self {
            Self::Quiet => {}
            Self::Json => {
                // A closed pipe is the listener's wish, not a reason to end a night's work.
                if let Ok(line) = serde_json::to_string(event) {
                    let _ = writeln!(std::io::stdout().lock(), "{}", shown::json(&line));
                }
            }
            Self::Bars(bars) => bars.hear(event),
            Self::Lines(clock) => {
                clock.hear(event);
                if let Some(line) = line(event, clock) {
                    let _ = writeln!(std::io::stderr().lock(), "{line}");
                }
            }
        }
    }

    /// Takes the bars away, so that what follows stands on a clean line.
    pub fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.trial.finish_and_clear();
            bars.standing.finish_and_clear();
            bars.overall.finish_and_clear();
        }
    }
}

impl Clock {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::SweepStarted { trials, done, work, work_done, stops_early, .. } => {
                self.begun = Instant::now();
                (self.trials, self.done, self.work) = (*trials, *done, *work);
                (self.work_done, self.work_before) = (*work_done, *work_done);
                self.stops_early = *stops_early;
            }
            Event::TrialStarted { total, done, work, .. } => {
                let share = *done as f64 / (*total).max(1) as f64;
                self.running = Running { work: *work, done: share, before: share };
            }
            Event::Step { done, total, .. } => {
                self.running.done = *done as f64 / (*total).max(1) as f64;
            }
            Event::TrialEnded { work, .. } => {
                self.done += 1;
                self.work_done += work;
                self.work_before += self.running.work * self.running.before;
                self.running = Running::default();
            }
            _ => {}
        }
    }

    /// Work that is done by now, with that of the running trial.
    fn worked(&self) -> f64 {
        self.work_done + self.running.work * self.running.done
    }

    /// Time left, from the pace so far; nothing before there is a pace.
    fn left(&self) -> Option<Seconds> {
        let before = self.work_before + self.running.work * self.running.before;
        let pace = (self.worked() - before) / self.begun.elapsed().as_secs_f64();
        (pace > 0.0).then(|| Seconds((self.work - self.worked()).max(0.0) / pace))
    }

    /// Time left in words.
    fn left_text(&self) -> Option<String> {
        let how = if self.stops_early { "up to about" } else { "about" };
        self.left().map(|left| format!("{how} {left} left"))
    }
}

/// A line on a terminal that counts chunks of a text, or something else of which there are many.
#[derive(Debug)]
pub struct Chunks(ProgressBar);

impl Default for Chunks {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunks {
    /// Nothing is drawn where stderr is not a terminal.
    pub fn new() -> Self {
        Self::counting("chunk")
    }

    /// As [`Self::new`], of things of another name.
    pub fn counting(what: &str) -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template(&format!("{{spinner}} {what} {{pos}} {{msg}}"));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self(bar)
    }

    /// So many are done, of so many if that is known.
    pub fn tell(&self, done: u64, all: Option<u64>) {
        self.0.set_position(done);
        self.0.set_message(all.map_or(String::new(), |all| format!("of {all}")));
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A bar that counts tensors.
#[derive(Debug)]
pub struct Tensors(ProgressBar);

impl Default for Tensors {
    fn default() -> Self {
        Self::new()
    }
}

impl Tensors {
    /// Nothing is drawn where stderr is not a terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("[{bar:30}] tensor {pos} of {len}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Self(bar)
    }

    /// So many are begun, of so many.
    pub fn tell(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A line on a terminal that tells what a search does.
#[derive(Debug)]
pub struct Stages(ProgressBar);

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}

impl Stages {
    /// Nothing is drawn where stderr is not a terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{spinner} [{elapsed}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self(bar)
    }

    /// What is done, the steps that are done, and of how many, if that is known.
    pub fn tell(&self, what: &str, done: u64, all: Option<u64>) {
        let all = all.map_or(String::new(), |all| format!(" of {all}"));
        self.0.set_message(format!("{what} {}{all}", done + 1));
        self.0.tick();
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// What a trial works on.
fn what(kind: TrialKind, suite: &str) -> String {
    match kind {
        TrialKind::Suite => suite.to_owned(),
        TrialKind::Noise => format!("noise of {suite}"),
        TrialKind::Speculate => format!("drafted by {suite}"),
        TrialKind::Quantize | TrialKind::Speed => format!("{kind:?}").to_lowercase(),
    }
}

/// A plain line for an event; nothing for steps. Names and reasons may be a stranger's words.
fn line(event: &Event, clock: &Clock) -> Option<String> {
    worded(event, clock).map(|line| shown::line(&line))
}

fn worded(event: &Event, clock: &Clock) -> Option<String> {
    match event {
        Event::SweepStarted { folder, trials, done, .. } => {
            Some(format!("{folder}: {trials} trials, {done} of them done already"))
        }
        Event::TrialEnded { variant, suite, kind, status, reason, learnt, .. } => {
            let what = what(*kind, suite);
            let left = clock.left_text().map_or(String::new(), |left| format!(", {left}"));
            let how = if *status == Status::Done && reason.is_empty() {
                "done".to_owned()
            } else if *status == Status::Done {
                reason.clone()
            } else {
                format!("{}: {reason}", status.word())
            };
            let learnt = learnt.as_ref().map_or(String::new(), |learnt| format!(", {}", number(learnt)));
            Some(format!("[{}/{}] {variant} {what}: {how}{learnt}{left}", clock.done, clock.trials))
        }
        Event::Retry { reason, .. } => Some(format!("tried once more: {reason}")),
        Event::Note { message } => Some(message.clone()),
        Event::TrialStarted { .. } | Event::Step { .. } | Event::Standing { .. } => None,
    }
}

/// What a trial came to, beside the base's.
fn number(learnt: &Learnt) -> String {
    // Four digits that count.
    let digits = |value: f64| match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 1e-4 => format!("{value:.3e}"),
        size => format!("{value:.*}", (3.0 - size.max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize),
    };
    let base = learnt.base.map_or(String::new(), |base| format!(" (base {})", digits(base)));
    format!("{} {}{base}", learnt.metric, digits(learnt.value))
}

impl Bars {
    fn new(clock: Clock) -> Self {
        let all = MultiProgress::new();
        let style = |text: &str| {
            ProgressStyle::with_template(text)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ")
        };
        let overall = all.add(ProgressBar::new(1000));
        overall.set_style(style("{prefix:<28!} [{bar:30}] {msg}"));
        let trial = all.add(ProgressBar::new(1));
        trial.set_style(style("{prefix:<28!} [{bar:30}] {pos}/{len} {msg}"));
        let standing = all.add(ProgressBar::new(1));
        standing.set_style(style("{msg}"));
        Self { all, overall, trial, standing, clock, pace: Pace::default() }
    }

    fn hear(&mut self, event: &Event) {
        self.clock.hear(event);
        self.pace.hear(event);
        match event {
            Event::TrialStarted { kind, variant, suite, total, done, .. } => {
                let what = what(*kind, suite);
                self.trial.set_prefix(shown::line(&format!("{variant} {what}")));
                self.trial.set_length(*total);
                self.trial.set_position(*done);
            }
            Event::Step { done, total, .. } => {
                self.trial.set_length(*total);
                self.trial.set_position(*done);
            }
            Event::Standing { axis, frontier } => {
                let standing = format!("on the frontier of {axis} so far: {}", frontier.join(", "));
                self.standing.set_message(shown::line(&standing));
            }
            Event::TrialEnded { .. } | Event::Retry { .. } | Event::Note { .. } => self.print(event),
            Event::SweepStarted { .. } => {}
        }
        self.trial.set_message(self.pace.text());
        let clock = &self.clock;
        self.overall.set_prefix(format!("{} of {} trials", clock.done, clock.trials));
        self.overall.set_position((1000.0 * clock.worked() / clock.work.max(1e-9)) as u64);
        self.overall.set_message(clock.left_text().unwrap_or_default());
    }

    fn print(&self, event: &Event) {
        if let Some(line) = line(event, &self.clock) {
            // Nothing is lost but a line on a screen.
            let _ = self.all.println(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn step(decoded: u64) -> Event {
        Event::Step { done: 1, total: 2, decoded }
    }

    #[test]
    fn a_pace_counts_from_the_first_sign_of_a_trials_worker() {
        let mut pace = Pace::default();
        assert_eq!(pace.text(), "");
        pace.hear(&step(1000));
        pace.since = Instant::now().checked_sub(Duration::from_secs(10)).map(|begun| (begun, 1000));
        pace.hear(&step(1500));
        assert_eq!(pace.text(), "50 tokens/s");
        // Started anew, it counts from zero again.
        pace.hear(&step(20));
        assert_eq!(pace.text(), "");
        pace.hear(&step(0));
        assert_eq!(pace.text(), "");
    }

    #[test]
    fn the_time_left_counts_what_the_running_trial_has_done_by_now() {
        let mut clock = Clock {
            begun: Instant::now(),
            trials: 2,
            done: 0,
            work: 100.0,
            work_done: 0.0,
            work_before: 0.0,
            running: Running::default(),
            stops_early: false,
        };
        let started = Event::TrialStarted {
            id: "1".to_owned(),
            kind: TrialKind::Suite,
            variant: "Q4_0".to_owned(),
            suite: "piqa".to_owned(),
            total: 10,
            done: 4,
            work: 50.0,
        };
        clock.hear(&started);
        assert_eq!(clock.left_text(), None, "there is no pace yet");
        clock.hear(&Event::Step { done: 6, total: 10, decoded: 0 });
        clock.begun = Instant::now().checked_sub(Duration::from_secs(100)).unwrap_or(clock.begun);
        // 10 in 100 s, and 70 to go.
        let left = clock.left().map_or(0.0, |left| left.0);
        assert!((left - 700.0).abs() < 1.0, "{left}");
    }

    #[test]
    fn a_line_tells_what_was_learnt() {
        let clock = Clock {
            begun: Instant::now(),
            trials: 9,
            done: 3,
            work: 9.0,
            work_done: 3.0,
            work_before: 3.0,
            running: Running::default(),
            stops_early: false,
        };
        let told = |metric: &str, value, base| {
            let learnt = Learnt { metric: metric.to_owned(), value, base };
            let event = Event::TrialEnded {
                id: "1".to_owned(),
                variant: "Q4_0".to_owned(),
                suite: "piqa".to_owned(),
                kind: TrialKind::Suite,
                status: Status::Done,
                reason: String::new(),
                work: 1.0,
                learnt: Some(learnt),
            };
            line(&event, &clock).unwrap_or_default()
        };
        let shown = [
            told("acc", 0.61234, Some(0.65)),
            told("ppl", 23.456, Some(22.0)),
            told("tg128_tps", 5717.04, None),
            told("kld_mean", 4.1234e-7, Some(0.0)),
        ];
        let expected = [
            "acc 0.6123 (base 0.6500)",
            "ppl 23.46 (base 22.00)",
            "tg128_tps 5717",
            "kld_mean 4.123e-7 (base 0)",
        ];
        for (shown, expected) in shown.iter().zip(expected) {
            assert_eq!(*shown, format!("[3/9] Q4_0 piqa: done, {expected}"));
        }
    }
}
