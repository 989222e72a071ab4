//! `report.html`: one page of a whole sweep that needs neither network nor server. Tables are in it as they are read; what
//! its script draws and looks up (numbers, figures, the questions that flipped) is packed, and unpacked when it is needed.

mod data;
mod pack;
mod tables;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::chart::Picture;
use super::file::{RenderError, replace};
use super::recommend::why;
use crate::analyze::page::Background;
use crate::analyze::recommend::Recommendation;
use crate::analyze::report::About;
use crate::analyze::{Report, TEXT_CAP};

use data::Data;
use pack::pack;
use tables::Table;

const TEMPLATE: &str = include_str!("html/report.html");
const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");
/// Apache `ECharts`; see `build.rs`.
const CHARTS: &str = include_str!(concat!(env!("OUT_DIR"), "/echarts.js"));

/// Writes `report.html` into a results folder. The same report gives the same bytes.
///
/// # Errors
/// If a figure cannot be drawn or the file cannot be written.
pub fn write(
    report: &Report,
    background: &Background,
    figures: &[Picture],
    folder: &Path,
) -> Result<(), RenderError> {
    let path = folder.join("report.html");
    let text = page(report, background, figures)
        .map_err(|source| RenderError::Page { path: path.clone(), source })?;
    replace(&path, text.as_bytes())
}

/// Something packed, by the id under which the script finds it.
#[derive(Serialize)]
struct Packed {
    id: String,
    text: String,
}

/// A figure's place in the page.
#[derive(Serialize)]
struct Figure<'a> {
    id: String,
    name: &'a str,
    title: &'a str,
}

/// The recommendation in words.
#[derive(Serialize)]
struct Advice<'a> {
    variant: Option<&'a str>,
    sure: String,
    reasons: &'a [String],
    runners_up: Vec<[String; 3]>,
    ruled_out: Vec<[String; 2]>,
}

impl<'a> Advice<'a> {
    fn new(answer: &'a Recommendation) -> Self {
        let share = |share: f64| format!("{:.0}%", share * 100.0);
        let runners = answer.runners_up.iter();
        Self {
            variant: answer.variant.as_deref(),
            sure: share(answer.confidence),
            reasons: &answer.reasons,
            runners_up: runners.map(|r| [r.variant.clone(), share(r.share), r.trade.clone()]).collect(),
            ruled_out: answer.ruled_out.iter().map(|out| [out.variant.clone(), why(out)]).collect(),
        }
    }
}

/// What the template is filled with.
#[derive(Serialize)]
struct Filling<'a> {
    style: &'a str,
    script: &'a str,
    about: &'a About,
    advice: Advice<'a>,
    tables: Vec<Table>,
    facts: &'a [(&'static str, String)],
    /// The tolerance in points.
    points: String,
    flip_cap: usize,
    text_cap: usize,
    /// Suites with questions that can flip, in the order of their packed parts.
    flipped: Vec<&'a str>,
    figures: Vec<Figure<'a>>,
    variants: Vec<&'a str>,
    /// Names and titles.
    suites: Vec<[&'a str; 2]>,
    /// Names, and which part they are.
    partial: Vec<[&'a str; 2]>,
    /// Suites without a signal.
    silent: Vec<&'a str>,
    packed: Vec<Packed>,
}

/// The page. Everything in it that somebody else wrote is escaped by the template engine, or packed.
fn page(report: &Report, background: &Background, pictures: &[Picture]) -> Result<String, minijinja::Error> {
    let flips = &background.flips;
    let suites = || report.suites.iter();
    let figures = pictures.iter().enumerate();
    let points = format!("{:.2}", background.tolerance * 100.0);
    let filling = Filling {
        style: STYLE,
        script: SCRIPT,
        about: &report.about,
        advice: Advice::new(&background.recommendation),
        tables: tables::all(report),
        facts: &background.facts,
        points: points.trim_end_matches('0').trim_end_matches('.').to_owned(),
        flip_cap: flips.cap,
        text_cap: TEXT_CAP,
        flipped: flips.suites.iter().map(|s| s.suite.as_str()).collect(),
        figures: figures
            .map(|(place, p)| Figure { id: format!("figure-{place}"), name: &p.name, title: &p.title })
            .collect(),
        variants: report.variants.iter().map(|v| v.variant.as_str()).collect(),
        suites: suites().map(|s| [s.name.as_str(), s.title.as_str()]).collect(),
        partial: suites()
            .filter(|s| !s.partial.is_empty())
            .map(|s| [s.name.as_str(), s.partial.as_str()])
            .collect(),
        silent: suites().filter(|s| s.no_signal).map(|s| s.name.as_str()).collect(),
        packed: parcels(report, background, pictures)?,
    };
    let mut engine = Environment::new();
    // The name's ending is what has values escaped.
    engine.add_template("report.html", TEMPLATE)?;
    engine.get_template("report.html")?.render(Serde(&filling))
}

/// Everything that is packed.
fn parcels(
    report: &Report,
    background: &Background,
    pictures: &[Picture],
) -> Result<Vec<Packed>, minijinja::Error> {
    let mut parcels = vec![
        packed("data".to_owned(), &json(&Data::new(report))?)?,
        packed("manifest".to_owned(), &background.manifest)?,
        packed("library".to_owned(), CHARTS)?,
    ];
    for (place, suite) in background.flips.suites.iter().enumerate() {
        parcels.push(packed(format!("flips-{place}"), &json(suite)?)?);
    }
    for (place, picture) in pictures.iter().enumerate() {
        parcels.push(packed(format!("figure-{place}"), &picture.svg)?);
    }
    Ok(parcels)
}

fn packed(id: String, plain: &str) -> Result<Packed, minijinja::Error> {
    let text = pack(plain.as_bytes()).map_err(|error: io::Error| failed(&error))?;
    Ok(Packed { id, text })
}

fn json(value: &impl Serialize) -> Result<String, minijinja::Error> {
    serde_json::to_string(value).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> minijinja::Error {
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string())
}
