//! Which figures a report has, and their files.

use super::error::ChartError;
use super::few::few;
use super::scatter::{Figure, Scene, lay_out};
use super::theme::Tone;
use super::{
    bpw_kld, bpw_ppl, bpw_suite, capability, change, cost_quality, cost_volume, early_stopping, frontier,
    grid, heat, kv, long_context, memory, memory_stack, paint, signs, speculation, speed, speed_bytes,
    speed_surface, theme,
};
use crate::analyze::report::Report;
use crate::files;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where figures for a dark page lie, in the folder of the others.
const DARK: &str = "dark";

/// Every figure a report has data for, laid out.
pub struct Drawing(Vec<Scene>);

impl std::fmt::Debug for Drawing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|scene| &scene.name)).finish()
    }
}

/// A figure as it is shown inside a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Name of its files, without extension.
    pub name: String,
    /// What is seen.
    pub title: String,
    /// The picture.
    pub svg: String,
}

impl Drawing {
    /// Lays out every figure the report has data for, heat maps and grids behind the others.
    pub fn of(report: &Report) -> Result<Self, ChartError> {
        theme::register_fonts()?;
        let report = &*few(report);
        let mut scenes: Vec<Scene> = figures(report).par_iter().map(lay_out).collect();
        scenes.extend(long_context::heats(report).iter().map(heat::lay_out));
        scenes.extend(memory_stack::scene(report));
        scenes.extend(change::grids(report).iter().map(grid::lay_out));
        let mut taken = BTreeSet::new();
        for scene in &mut scenes {
            scene.name = free_name(&scene.name, &mut taken);
        }
        Ok(Self(scenes))
    }

    /// Draws every figure into `folder` (made if missing), as `NAME.png` and `NAME.svg`, and once more for dark pages in
    /// `dark/`, and returns the files written. Each file appears whole or not at all. The same report gives the same bytes.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, ChartError> {
        let tones = [(Tone::Light, folder.to_owned()), (Tone::Dark, folder.join(DARK))];
        for (_, folder) in &tones {
            fs::create_dir_all(folder)
                .map_err(|source| ChartError::Write { path: folder.clone(), source })?;
        }
        // Packing takes most of the time.
        let all: Vec<_> =
            tones.iter().flat_map(|tone| self.0.iter().map(move |scene| (tone, scene))).collect();
        let written = all.par_iter().map(|((tone, folder), scene)| {
            let png = appear(folder, &scene.name, "png", &paint::png(scene, *tone)?)?;
            let svg = appear(folder, &scene.name, "svg", paint::svg(scene, *tone)?.as_bytes())?;
            Ok([png, svg])
        });
        Ok(written.collect::<Result<Vec<_>, ChartError>>()?.into_iter().flatten().collect())
    }

    /// The figures for a page, as [`Drawing::write`] draws them for light ones.
    pub fn pictures(&self) -> Result<Vec<Picture>, ChartError> {
        let drawn = self.0.par_iter().map(|scene| {
            let svg = paint::svg(scene, Tone::Light)?;
            Ok(Picture { name: scene.name.clone(), title: scene.title.clone(), svg })
        });
        drawn.collect()
    }
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
    figures.extend(speed_bytes::figure(report));
    figures.extend(speed_surface::figures(report));
    figures.extend(memory::figure(report));
    figures.extend(kv::figure(report));
    figures.extend(speculation::figure(report));
    figures.extend(early_stopping::figure(report));
    figures.extend(cost_volume::figure(report));
    figures.extend(cost_quality::figures(report));
    let mut taken = BTreeSet::new();
    for figure in &mut figures {
        figure.name = free_name(&figure.name, &mut taken);
        figure.notes.extend(foreign_note(report, figure));
    }
    figures
}

/// What rings of foreign measurements are, if there are any in a figure.
fn foreign_note(report: &Report, figure: &Figure) -> Option<String> {
    let mut marks = figure.panels.iter().flat_map(|panel| &panel.marks);
    let is_foreign = |name: &str| report.variants.iter().any(|row| row.is_foreign() && row.variant == name);
    marks.any(|mark| is_foreign(&mark.name)).then(|| {
        "Rings with a file in brackets: foreign, measured by another program and imported; machine, build and text may differ."
            .to_owned()
    })
}

/// Longest part of a file's name that a suite or a variant gives.
const LONGEST_NAME: usize = 120;

/// A file name that is not taken yet: a suite may be called `kld`, and two may differ only in letters that a file name
/// cannot have.
fn free_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    // Folders of strangers have names of any length, file systems have not.
    let plain: String = files::plain_name(name).chars().take(LONGEST_NAME).collect();
    let mut free = plain.clone();
    let mut number = 1;
    while !taken.insert(free.clone()) {
        number += 1;
        free = format!("{plain}-{number}");
    }
    free
}

fn appear(folder: &Path, name: &str, kind: &str, bytes: &[u8]) -> Result<PathBuf, ChartError> {
    let path = folder.join(format!("{name}.{kind}"));
    let temporary = files::temporary(&path);
    let done = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
    if done.is_err() {
        // The error that matters is the first one; a left-over file is harmless.
        let _ = fs::remove_file(&temporary);
    }
    done.map(|()| path.clone()).map_err(|source| ChartError::Write { path, source })
}
