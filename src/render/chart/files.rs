//! Which figures a report has, and their files.

use super::error::ChartError;
use super::scatter::{Figure, Scene, lay_out};
use super::{
    bpw_kld, bpw_ppl, bpw_suite, capability, cost_quality, cost_volume, frontier, heat, kv, long_context,
    memory, paint, signs, speculation, speed, speed_surface, theme,
};
use crate::analyze::report::Report;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Draws every figure the report has data for into `folder` (made if missing), as `NAME.png` and `NAME.svg`,
/// and returns the files written. Each file appears whole or not at all. The same report gives the same
/// bytes.
pub fn draw_all(report: &Report, folder: &Path) -> Result<Vec<PathBuf>, ChartError> {
    theme::register_fonts()?;
    fs::create_dir_all(folder).map_err(|source| ChartError::Write { path: folder.to_owned(), source })?;
    let mut written = Vec::new();
    for scene in scenes(report) {
        written.push(appear(folder, &scene.name, "png", |path| paint::png(&scene, path))?);
        let text = paint::svg(&scene)?;
        written.push(appear(folder, &scene.name, "svg", |path| {
            fs::write(path, &text).map_err(|source| ChartError::Write { path: path.to_owned(), source })
        })?);
    }
    Ok(written)
}

/// Every figure laid out, heat maps behind the others.
fn scenes(report: &Report) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = figures(report).iter().map(lay_out).collect();
    scenes.extend(long_context::heats(report).iter().map(heat::lay_out));
    let mut taken = BTreeSet::new();
    for scene in &mut scenes {
        scene.name = free_name(&scene.name, &mut taken);
    }
    scenes
}

/// Every figure there is data for, each with a file name of its own.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut figures = bpw_kld::figures(report);
    figures.extend(bpw_ppl::figures(report));
    figures.extend(bpw_suite::figures(report));
    figures.extend(capability::figure(report));
    figures.extend(signs::figure(report));
    figures.extend(frontier::figures(report));
    figures.extend(speed::figure(report));
    figures.extend(speed_surface::figures(report));
    figures.extend(memory::figure(report));
    figures.extend(kv::figure(report));
    figures.extend(speculation::figure(report));
    figures.extend(cost_volume::figure(report));
    figures.extend(cost_quality::figures(report));
    let mut taken = BTreeSet::new();
    for figure in &mut figures {
        figure.name = free_name(&figure.name, &mut taken);
    }
    figures
}

/// A file name that is not taken yet: a suite may be called `kld`, and two may differ only in letters that a file name
/// cannot have.
fn free_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = file_name(name);
    let mut free = plain.clone();
    let mut number = 1;
    while !taken.insert(free.clone()) {
        number += 1;
        free = format!("{plain}-{number}");
    }
    free
}

/// Writes a file under a temporary name in the same folder, then renames it.
fn appear(
    folder: &Path,
    name: &str,
    kind: &str,
    write: impl FnOnce(&Path) -> Result<(), ChartError>,
) -> Result<PathBuf, ChartError> {
    let path = folder.join(format!("{name}.{kind}"));
    let temporary = folder.join(format!(".{name}.{}.{kind}", std::process::id()));
    let done = write(&temporary).and_then(|()| {
        fs::rename(&temporary, &path).map_err(|source| ChartError::Write { path: path.clone(), source })
    });
    if done.is_err() {
        // The error that matters is the first one; a left-over file is harmless.
        let _ = fs::remove_file(&temporary);
    }
    done.map(|()| path)
}

fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
