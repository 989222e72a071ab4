//! What it costs to run the variants of a results folder: the numbers that the user gives on top of those there are, the
//! folder's own costs file, and the tables and charts made again with it.

use std::path::{Path, PathBuf};

use crate::analyze::Report;
use crate::analyze::cost::{self, Costs, Setting};
use crate::error::Error;
use crate::files;
use crate::plan::error::{PlanError, nearest};
use crate::run::derive;

/// What the user gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Order {
    /// A costs file.
    pub costs: Option<PathBuf>,
    /// `KEY=VALUE`.
    pub settings: Vec<String>,
    /// The workload.
    pub workload: Option<String>,
    /// Million output tokens a month.
    pub volume: Option<f64>,
}

/// The numbers as ordered, on top of `folder`'s own or of those that come with the program; and their file.
pub fn costs(order: &Order, folder: Option<&Path>) -> Result<(Costs, String), Error> {
    let own = folder.map(|folder| folder.join(derive::COSTS)).filter(|path| path.exists());
    let (text, place) = match order.costs.as_ref().or(own.as_ref()) {
        Some(path) => {
            // What the user names may be anything; what lies in a folder is a record.
            let read =
                if order.costs.is_some() { files::read_text(path) } else { files::read_text_record(path) };
            let text = read.map_err(|source| PlanError::Read { path: path.clone(), source })?;
            (text, path.display().to_string())
        }
        None => (cost::DEFAULT.to_owned(), derive::COSTS.to_owned()),
    };
    let mut settings =
        order.settings.iter().map(|text| Setting::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(workload) = &order.workload {
        settings.push(Setting::new(&["workload"], workload.as_str(), &format!("--workload {workload}")));
    }
    if let Some(volume) = order.volume {
        let (chosen, _) = cost::with_settings(&text, &place, &settings)?;
        let key = ["workloads", chosen.workload.as_str(), "mtok_out_per_month"];
        settings.push(Setting::new(&key, volume, &format!("--volume {volume}")));
    }
    Ok(cost::with_settings(&text, &place, &settings)?)
}

/// Makes the folder's tables and charts again with these numbers. Where the user gave any they become the folder's own, so
/// that `report` finds them.
pub fn cost(order: &Order, folder: &Path) -> Result<Report, Error> {
    // A folder that is none is told before its costs are.
    let (manifest, trials) = derive::read_lean(folder)?;
    let (costs, text) = costs(order, Some(folder))?;
    let mut variants = manifest.variants.iter().map(|variant| variant.name.as_str());
    if !costs.variant.is_empty() && !variants.clone().any(|name| name == costs.variant) {
        return Err(Error::Plan(PlanError::Unknown {
            place: "variant of the costs".to_owned(),
            kind: "variant",
            nearest: nearest(&costs.variant, &mut variants),
            name: costs.variant,
        }));
    }
    if *order != Order::default() {
        let path = folder.join(derive::COSTS);
        files::replace(&path, text.as_bytes()).map_err(|source| Error::Write { path, source })?;
    }
    derive::shown(folder, &manifest, &trials)
}
