//! Every figure of made-up sweeps, measured: names, labels, bars, bounds, bytes.

pub(in crate::render) mod sample;

use super::files::{Drawing, figures};
use super::label::{Lean, Rect};
use super::paint;
use super::scatter::{Figure, LevelKind, Look, Scene, Shape, Text, lay_out};
use super::theme::QUIET;
use super::theme::{
    AXIS, BAR, BASE, FAINT, INK, MARK, MARK_RADIUS, NAME_EM, SECOND, WIDTH, register_fonts, text_width,
};
use crate::analyze::report::Report;
use sample::{CROWD, LADDER, caches, capabilities, costs, crash, drafts, noise_floor, surface};
use std::fs;

fn scenes(report: &Report) -> Vec<(Figure, Scene)> {
    register_fonts().unwrap();
    figures(report).into_iter().map(|f| (f.clone(), lay_out(&f))).collect()
}

fn texts(scene: &Scene) -> impl Iterator<Item = &Text> {
    scene.shapes.iter().filter_map(|s| if let Shape::Text(text) = s { Some(text) } else { None })
}

fn ink_box(text: &Text) -> Rect {
    let width = text_width(&text.words, text.em, text.bold);
    let x0 = match text.lean {
        Lean::Left => text.at.0,
        Lean::Middle => text.at.0 - width / 2.0,
        Lean::Right => text.at.0 - width,
    };
    Rect { x0, y0: text.at.1 - 0.75 * text.em, x1: x0 + width, y1: text.at.1 + 0.23 * text.em }
}

/// The texts of a scene that are names of variants beside their points.
fn names<'a>(scene: &'a Scene, figure: &Figure) -> Vec<&'a Text> {
    let named = |t: &Text| figure.panels.iter().flat_map(|p| &p.marks).any(|m| m.name == t.words);
    texts(scene).filter(|t| t.em == NAME_EM && t.color == INK && named(t)).collect()
}

fn check(figure: &Figure, scene: &Scene) {
    let all: Vec<(Rect, &str)> = texts(scene).map(|t| (ink_box(t), t.words.as_str())).collect();
    let paper = Rect { x0: 0.0, y0: 0.0, x1: WIDTH, y1: scene.height };
    for (i, (rect, text)) in all.iter().enumerate() {
        assert!(paper.contains(rect), "{}: {text} leaves the paper", scene.name);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{}: {text}", scene.name);
        for (other, other_text) in &all[..i] {
            assert!(!rect.overlaps(other), "{}: {text} over {other_text}", scene.name);
        }
    }
    let names = names(scene, figure);
    for panel in &figure.panels {
        for mark in panel.marks.iter().filter(|m| !m.name.is_empty()) {
            let count = names.iter().filter(|t| t.words == mark.name).count();
            assert_eq!(count, figure.panels.len(), "{}: {} named {count} times", scene.name, mark.name);
        }
    }
    for name in &names {
        let rect = ink_box(name);
        for shape in &scene.shapes {
            let hit = match shape {
                Shape::Disc(at, _, color) if [MARK, SECOND].contains(color) => {
                    rect.overlaps(&Rect::around(*at, MARK_RADIUS, MARK_RADIUS))
                }
                // Vertical lines in these colours are bars (or the staircase, which names may have to cross).
                Shape::Line(line, ..) if figure.panels.iter().all(|p| p.path.is_empty()) => {
                    let bar = matches!(shape, Shape::Line(_, _, color) if [BAR, SECOND].contains(color));
                    bar && rect.crossed_by(*line)
                }
                Shape::Line(line, _, FAINT) => rect.crossed_by(*line),
                _ => false,
            };
            assert!(!hit, "{}: {} touches {shape:?}", scene.name, name.words);
        }
    }
}

#[test]
fn all_figures_of_a_ladder() {
    let all = scenes(&sample::report(&LADDER));
    let names: Vec<&str> = all.iter().map(|(_, s)| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "bpw-kld",
            "bpw-ppl",
            "bpw-arc_challenge",
            "bpw-winogrande",
            "frontier",
            "frontier-arc_challenge",
            "frontier-winogrande",
            "speed",
            "speed-bytes",
            "memory"
        ]
    );
    for (figure, scene) in &all {
        check(figure, scene);
    }
}

#[test]
fn long_prompts_are_heat_maps_without_a_word_over_another() {
    register_fonts().unwrap();
    for (rungs, lengths, depths) in [
        (&LADDER[..], &[1024, 4096, 16_384, 65_536][..], &[0, 25, 50, 75, 100][..]),
        (&CROWD[..2], &[1000, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072], &[0, 100]),
    ] {
        let mut report = sample::report(rungs);
        sample::long_prompts(&mut report, lengths, depths);
        let heats = super::long_context::heats(&report);
        let names: Vec<&str> = heats.iter().map(|heat| heat.name.as_str()).collect();
        assert_eq!(names, ["long_context-haystack", "long_context-haystack-multi_key"]);
        for heat in &heats {
            assert_eq!(heat.maps.len(), rungs.len() + 1, "the base too");
            let scene = super::heat::lay_out(heat);
            let paper = Rect { x0: 0.0, y0: 0.0, x1: WIDTH, y1: scene.height };
            let all: Vec<Rect> = texts(&scene).map(ink_box).collect();
            for (i, rect) in all.iter().enumerate() {
                assert!(paper.contains(rect), "{}", texts(&scene).nth(i).unwrap().words);
                assert!(all[..i].iter().all(|other| !rect.overlaps(other)), "{:?}", texts(&scene).nth(i));
            }
            let blocks = scene.shapes.iter().filter(|s| matches!(s, Shape::Block(..))).count();
            assert_eq!(blocks, 6 + heat.maps.len() * heat.down.len() * lengths.len());
            let grey = |s: &&Shape| matches!(s, Shape::Block(_, color) if *color == super::theme::GRID);
            let not_run = heat.maps.len() * heat.down.len();
            assert_eq!(scene.shapes.iter().filter(grey).count(), 1 + not_run, "the longest were not run");
            assert!(texts(&scene).any(|t| t.words.contains("it does not fit")), "and it is said why");
        }
        assert_eq!(heats[1].maps[0].cells[0][..2], [Some(1.0), Some(1.0 / 1.4)]);
    }
}

#[test]
fn costs_are_lines_over_volume_and_points_beside_quality() {
    for rungs in [&LADDER[..], &CROWD[..]] {
        let mut report = sample::report(rungs);
        costs(&mut report);
        let all = scenes(&report);
        let of = |name: &str| all.iter().find(|(f, _)| f.name == name).unwrap_or_else(|| panic!("{name}"));
        let (figure, scene) = of("cost-volume");
        check(figure, scene);
        let panel = &figure.panels[0];
        assert_eq!((panel.curves.len(), panel.legend.len()), (5, 5));
        let drawn: Vec<&str> = panel.marks.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(drawn, ["it", "flat", "here", "there", "card", ""], "the last is the crossing");
        // Thirty times the API is as dear as is shown, of a box for a handful of tokens.
        assert!(panel.curves.iter().flat_map(|c| &c.points).all(|p| p.1 <= 90.0));
        assert!(figure.notes[0].contains("owned.here costs no more than api.it from 12 million"));
        assert!(figure.notes.iter().any(|n| n.contains("2026-05") && n.contains("measured, one stream")));

        for name in ["cost-moby_dick", "cost-winogrande"] {
            let (figure, scene) = of(name);
            check(figure, scene);
            assert!(figure.notes.iter().any(|n| n.contains("owned.here") && n.contains("coding")));
        }
        let (figure, _) = of("cost-winogrande");
        let another =
            figure.panels[0].marks.iter().find(|m| m.name.starts_with("Another")).expect("the model");
        assert_eq!((another.x, another.y, another.look), (3.0, 77.0, Look::Second));
        let frontier: Vec<f64> = figure.panels[0].path.iter().map(|p| p.1).collect();
        assert!(frontier.windows(2).all(|w| w[0] < w[1]), "dearer is better: {frontier:?}");

        let (figure, scene) = of("bits-quality-cost");
        check(figure, scene);
        let radii: Vec<f64> = figure.panels[0].marks.iter().map(|m| m.radius).collect();
        assert!(radii[0] > radii[radii.len() - 1], "what has more bits costs more: {radii:?}");

        let (figure, scene) = of("bpw-winogrande");
        check(figure, scene);
        let level = figure.panels[0].levels.iter().find(|l| l.kind == LevelKind::Reference).expect("a line");
        assert_eq!((level.y, level.label.last().map(String::as_str)), (77.0, Some("77.0%")));
        assert!(figure.notes.iter().any(|n| n.contains("a paper")));
    }
}

#[test]
fn early_stopping_is_a_line_a_variant_that_ends_where_it_was_decided() {
    let mut report = sample::report(&LADDER);
    assert!(figures(&report).iter().all(|figure| figure.name != "early-stopping"), "nothing was stopped");
    sample::looks(&mut report, &[("Q8_0", 2, "equal"), ("Q4_K_M", 5, "precise"), ("Q2_K", 3, "")]);
    let drawn = scenes(&report);
    let (figure, scene) = drawn.iter().find(|(figure, _)| figure.name == "early-stopping").expect("a figure");
    check(figure, scene);
    let panel = &figure.panels[0];
    let named: Vec<(&str, Look)> =
        panel.marks.iter().filter(|m| !m.name.is_empty()).map(|m| (m.name.as_str(), m.look)).collect();
    assert_eq!(named, [("Q8_0", Look::Solid), ("Q4_K_M", Look::Solid), ("Q2_K", Look::Open)]);
    let lengths: Vec<usize> = panel.lines.iter().map(Vec::len).filter(|n| *n > 0).collect();
    assert_eq!(lengths, [2, 5, 3]);
    let falls = panel.lines.iter().all(|line| line.windows(2).all(|pair| pair[0].1 > pair[1].1));
    assert!(falls, "intervals only narrow");
    let levels: Vec<f64> = panel.levels.iter().map(|level| level.y).collect();
    assert_eq!(levels, [2.0, 1.0]);
    assert!(
        figure.notes.iter().any(|note| note.contains("Q8_0 equal (128 of 4000 items)")),
        "{:?}",
        figure.notes
    );
}

#[test]
fn changes_and_flips_are_grids_with_what_is_shown_in_frames() {
    register_fonts().unwrap();
    for (rungs, suites) in [(&LADDER[..], 6), (&CROWD[..], 20), (&LADDER[..1], 1)] {
        let mut report = sample::report(rungs);
        sample::compared(&mut report, suites);
        let grids = super::change::grids(&report);
        let names: Vec<&str> = grids.iter().map(|grid| grid.name.as_str()).collect();
        if rungs.len() == 1 {
            assert!(names.is_empty(), "the only cell was not measured");
            continue;
        }
        assert_eq!(names, ["change", "flips"]);
        for grid in &grids {
            let scene = super::grid::lay_out(grid);
            let paper = Rect { x0: 0.0, y0: 0.0, x1: WIDTH, y1: scene.height };
            let all: Vec<Rect> = texts(&scene).map(ink_box).collect();
            for (i, rect) in all.iter().enumerate() {
                assert!(paper.contains(rect), "{}", texts(&scene).nth(i).unwrap().words);
                assert!(all[..i].iter().all(|other| !rect.overlaps(other)), "{:?}", texts(&scene).nth(i));
            }
            let grey = |s: &&Shape| matches!(s, Shape::Block(_, color) if *color == super::theme::GRID);
            assert_eq!(scene.shapes.iter().filter(grey).count(), 2, "the one that failed, and the legend");
            assert!(texts(&scene).any(|t| t.words == "suite_number_1 (no signal)"));
        }
        let cell =
            |variant: usize, suite: usize| grids[0].columns[variant].1[suite].as_ref().expect("a cell");
        assert_eq!((cell(4, 0).words.as_str(), cell(4, 0).is_framed), ("-1.0", false));
        assert_eq!((cell(6, 2).words.as_str(), cell(6, 2).is_framed), ("-4.5", true));
        assert_eq!(cell(0, 0).words, "0");
        assert_eq!(grids[1].columns[4].1[0].as_ref().expect("a cell").words, "4/3");
        assert!(grids[1].columns[0].1[suites - 1].is_none());
    }
}

/// Words lie on the paper and not over each other.
fn apart(scene: &Scene) {
    let paper = Rect { x0: 0.0, y0: 0.0, x1: WIDTH, y1: scene.height };
    let all: Vec<(Rect, &str)> = texts(scene).map(|t| (ink_box(t), t.words.as_str())).collect();
    for (i, (rect, words)) in all.iter().enumerate() {
        assert!(paper.contains(rect), "{}: {words}", scene.name);
        let over = all[..i].iter().find(|(other, _)| rect.overlaps(other));
        assert!(over.is_none(), "{}: {words} over {over:?}", scene.name);
    }
}

#[test]
fn memory_is_stacked_beside_the_cards_it_fits() {
    const GIB: u64 = 1 << 30;
    register_fonts().unwrap();
    for (rungs, scale, cards) in
        [(&LADDER[..], GIB, 8), (&CROWD[..], 8 * GIB, 11), (&LADDER[..3], 1 << 20, 0)]
    {
        let mut report = sample::report(rungs);
        for row in &mut report.variants {
            let bits = row.bpw.unwrap_or(8.0) as u64;
            row.model_buffer_bytes = Some(bits * scale);
            row.context_buffer_bytes = Some(scale / 2);
            row.compute_buffer_bytes = Some(scale / 4);
        }
        report.variants[1].model_buffer_bytes = None;
        let scene = super::memory_stack::scene(&report).expect("a scene");
        apart(&scene);
        let count = |wanted: &dyn Fn(&Shape) -> bool| scene.shapes.iter().filter(|s| wanted(s)).count();
        assert_eq!(count(&|s| matches!(s, Shape::Line(_, _, FAINT))), cards, "{scale}");
        assert_eq!(
            count(&|s| matches!(s, Shape::Block(..))),
            3 * (report.variants.len() - 1 + 1),
            "parts and the legend"
        );
        let said = |words: &str| texts(&scene).any(|t| t.words.contains(words));
        assert!(said("Not shown: ") && (cards > 0 || said("fits a card of 2 GiB")));
    }
    assert!(
        super::memory_stack::scene(&{
            let mut report = sample::report(&LADDER);
            for row in &mut report.variants {
                row.model_buffer_bytes = None;
            }
            report
        })
        .is_none()
    );
}

#[test]
fn the_limit_of_memory_runs_through_the_variant_that_read_most() {
    let report = sample::report(&LADDER);
    let drawn = scenes(&report);
    let (figure, scene) = drawn.iter().find(|(figure, _)| figure.name == "speed-bytes").expect("a figure");
    check(figure, scene);
    let panel = &figure.panels[0];
    let most = panel.marks.iter().map(|m| m.x * m.y).fold(0.0, f64::max);
    assert!(panel.curves[0].points.iter().all(|(x, y)| (x * y / most - 1.0).abs() < 1e-9));
    assert!(panel.marks.iter().any(|mark| mark.look == Look::Second && mark.name == "base"));
}

#[test]
fn twenty_variants_have_room() {
    for (figure, scene) in &scenes(&sample::report(&CROWD)) {
        check(figure, scene);
        assert!(!texts(scene).any(|t| t.words.contains("No room")), "{}", scene.name);
    }
}

#[test]
fn one_variant_is_enough() {
    let all = scenes(&sample::report(&LADDER[4..5]));
    assert_eq!(all.len(), 10);
    for (figure, scene) in &all {
        check(figure, scene);
    }
}

#[test]
fn a_crash_is_said_and_leaves_no_point() {
    let mut report = sample::report(&LADDER);
    crash(&mut report, "Q3_K_S", "crashed");
    for (figure, scene) in &scenes(&report) {
        check(figure, scene);
        let drawn = figure.panels.iter().flat_map(|p| &p.marks).any(|m| m.name == "Q3_K_S");
        let heading = if scene.name == "memory" { "File only" } else { "Not shown" };
        let said = texts(scene).any(|t| t.words.contains(&format!("{heading}: Q3_K_S (crashed).")));
        assert!(said && drawn == (scene.name == "memory"), "{}", scene.name);
    }
}

#[test]
fn nothing_measured_draws_nothing() {
    let mut report = sample::report(&LADDER);
    report.metrics.clear();
    report.frontier.clear();
    for variant in &mut report.variants {
        (variant.bpw, variant.pp512_tps, variant.tg128_tps, variant.peak_rss_bytes) =
            (None, None, None, None);
    }
    assert!(figures(&report).is_empty());
    assert!(figures(&sample::report(&[])).is_empty());
}

#[test]
fn values_that_cannot_be_drawn_are_left_out() {
    let mut report = sample::report(&LADDER);
    for (metric, odd) in
        report.metrics.iter_mut().skip(5).zip([f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300].iter().cycle())
    {
        metric.value = Some(*odd);
        metric.ci_low = Some(f64::NEG_INFINITY);
    }
    for row in report.frontier.iter_mut().step_by(3) {
        row.y = f64::NAN;
    }
    for (figure, scene) in &scenes(&report) {
        check(figure, scene);
    }
}

#[test]
fn names_of_any_kind() {
    let mut report = sample::report(&LADDER);
    for variant in &mut report.variants[3..5] {
        let odd =
            format!("<{}> & \u{1}\u{7} {} \"ünïcode\" and a long tail", variant.variant, "x".repeat(60));
        for metric in report.metrics.iter_mut().filter(|m| m.variant == variant.variant) {
            metric.variant.clone_from(&odd);
        }
        variant.variant = odd;
    }
    report.suites[1].name = "kld".into();
    report.suites[2].name = "../etc/x y".into();
    let metrics = report.metrics.iter_mut();
    metrics.filter(|m| m.suite == "winogrande").for_each(|m| m.suite = "../etc/x y".into());
    for metric in report.metrics.iter_mut().filter(|m| m.suite == "arc_challenge") {
        metric.suite = "kld".into();
    }
    let all = scenes(&report);
    let files: Vec<&str> = all.iter().map(|(_, s)| s.name.as_str()).collect();
    assert!(files.contains(&"bpw-kld-2") && files.contains(&"bpw-.._etc_x_y"), "{files:?}");
    for (_, scene) in &all {
        let svg = paint::svg(scene, super::theme::Tone::Light).unwrap();
        assert!(!svg.chars().any(|c| c.is_control() && c != '\n'));
        assert!(!svg.contains("<Q"));
    }
}

#[test]
fn capabilities_fall_one_after_the_other_and_signs_move() {
    let mut report = sample::report(&LADDER);
    capabilities(&mut report);
    let all = scenes(&report);
    let find = |name: &str| all.iter().find(|(figure, _)| figure.name == name).expect("drawn");
    for (figure, scene) in [find("capabilities"), find("early-signs")] {
        check(figure, scene);
        let least = figure.panels.iter().map(|panel| panel.marks.len()).min();
        assert_eq!(least, Some(LADDER.len()), "every variant but the base in every panel of {}", figure.name);
    }
    let (figure, scene) = find("capabilities");
    assert_eq!(figure.panels.len(), 4, "tools have no value");
    assert!(figure.notes.contains(&"Left out: tools_one: no signal.".to_owned()), "{:?}", figure.notes);
    let partial = "Partial sets: knowledge_one.".to_owned();
    assert!(figure.notes.contains(&partial), "{:?}", figure.notes);
    // Two columns: plots beside each other begin at the same height and share no ground.
    let label = |words: &str| texts(scene).find(|t| t.words.starts_with(words)).expect("a label").at;
    assert_eq!(label("knowledge, % left").1.to_bits(), label("reasoning, % left").1.to_bits());
    assert!(label("maths, % left").1 > label("knowledge, % left").1 + 170.0);
    // At the same bits maths has less left than knowledge.
    let at = |panel: usize| figure.panels[panel].marks[0].y;
    assert!(at(2) < at(0) && at(0) > 0.0, "{} {}", at(2), at(0));
    let lengths = &find("early-signs").0.panels[2];
    assert!(lengths.y.label.contains("change in %") && lengths.marks[0].y > lengths.marks[1].y);

    crash(&mut report, "Q3_K_S", "crashed");
    report.capabilities.retain(|row| row.variant != "Q3_K_S" || row.capability != "maths");
    let figure = super::capability::figure(&report).expect("drawn");
    assert!(figure.notes.contains(&"Not shown: Q3_K_S (maths).".to_owned()), "{:?}", figure.notes);
}

#[test]
fn svg_texts_are_text_and_names_stand_once() {
    for (figure, scene) in &scenes(&sample::report(&CROWD)) {
        let svg = paint::svg(scene, super::theme::Tone::Light).unwrap();
        assert!(
            svg.starts_with("<svg role=\"img\"") && svg.contains("font-family=\"sans-serif\""),
            "{}",
            scene.name
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf\""));
        assert_eq!(svg.matches("<text ").count(), texts(scene).count());
        for (name, ..) in CROWD {
            let count = svg.lines().filter(|line| *line == name).count();
            assert_eq!(count, figure.panels.len(), "{}: {name}", scene.name);
        }
    }
}

#[test]
fn base_and_chance_are_lines_with_their_numbers() {
    let all = scenes(&sample::report(&LADDER));
    let (figure, scene) = all.iter().find(|(f, _)| f.name == "bpw-arc_challenge").unwrap();
    let kinds: Vec<_> = figure.panels[0].levels.iter().map(|l| l.kind).collect();
    assert_eq!(kinds, [LevelKind::Base, LevelKind::Chance]);
    for wanted in ["base", "42.0%", "chance", "25.0%"] {
        assert!(texts(scene).any(|t| t.words == wanted), "{wanted}");
    }
    assert!(scene.shapes.iter().any(|s| matches!(s, Shape::Line(_, _, BASE))));
}

#[test]
fn the_noise_floor_is_a_labelled_line_and_what_it_hides_is_a_ring() {
    let mut report = sample::report(&LADDER);
    noise_floor(&mut report, 3.2e-5, &["Q8_0", "Q6_K"]);
    let all = scenes(&report);
    for name in ["bpw-kld", "frontier"] {
        let (figure, scene) = all.iter().find(|(f, _)| f.name == name).unwrap();
        check(figure, scene);
        let panel = &figure.panels[0];
        let level = panel.levels.iter().find(|l| l.kind == LevelKind::Floor).expect(name);
        assert!(
            (level.y - 3.2e-5).abs() < 1e-12 && panel.y.holds(level.y),
            "{name}: the line is on the axis"
        );
        let label = texts(scene).find(|t| t.words == "floor").expect("a label");
        let near = |s: &&Shape| matches!(s, Shape::Line((a, b), _, QUIET) if (a.1 - b.1).abs() < 0.1 && b.0 < label.at.0 && (a.1 - label.at.1).abs() < 30.0);
        assert!(scene.shapes.iter().filter(near).count() > 20, "{name}: dotted, beside its label");
        let caption = "Indistinguishable from the base: Q8_0, Q6_K.";
        assert!(figure.notes.iter().any(|n| n.contains("noise floor") && n.contains(caption)), "{name}");
    }
    let (figure, _) = all.iter().find(|(f, _)| f.name == "bpw-kld").unwrap();
    let rings = figure.panels[0].marks.iter().filter(|m| m.look == Look::Open);
    assert_eq!(rings.map(|m| m.name.as_str()).collect::<Vec<_>>(), ["Q8_0", "Q6_K"]);
    assert_eq!(figure.panels[0].legend, [(Look::Open, "indistinguishable from the base")]);
    for (figure, _) in all.iter().filter(|(f, _)| !["bpw-kld", "frontier"].contains(&f.name.as_str())) {
        assert!(figure.panels.iter().all(|p| p.levels.iter().all(|l| l.kind != LevelKind::Floor)));
    }
}

#[test]
fn a_suite_without_signal_is_grey_and_says_so() {
    let mut report = sample::report(&LADDER);
    report.suites[1].no_signal = true;
    report.frontier.retain(|row| !row.axis_y.starts_with("arc_challenge."));
    let all = scenes(&report);
    assert!(all.iter().all(|(f, _)| f.name != "frontier-arc_challenge"));
    let (figure, scene) = all.iter().find(|(f, _)| f.name == "bpw-arc_challenge").unwrap();
    check(figure, scene);
    assert!(figure.panels[0].marks.iter().all(|m| m.look == Look::Grey));
    assert!(!scene.shapes.iter().any(|s| matches!(s, Shape::Disc(_, _, MARK))), "no mark in colour");
    assert!(figure.notes.iter().any(|n| n.contains("No signal: the base's own interval reaches chance")));
}

#[test]
fn a_noise_floor_of_nothing_is_said_and_not_drawn() {
    let mut report = sample::report(&LADDER);
    noise_floor(&mut report, 0.0, &[]);
    let all = scenes(&report);
    let (figure, scene) = all.iter().find(|(f, _)| f.name == "bpw-kld").unwrap();
    check(figure, scene);
    assert!(figure.panels[0].levels.is_empty());
    assert!(figure.notes.iter().any(|n| n.starts_with("The noise floor is 0")), "{:?}", figure.notes);
}

#[test]
fn a_surface_is_a_line_a_variant() {
    for rungs in [&LADDER[4..5], &LADDER[..]] {
        let mut report = sample::report(rungs);
        surface(&mut report, &[0, 1024, 4096], &[1, 2, 8]);
        let all = scenes(&report);
        for (name, panels, last) in [("speed-depth", 3, 4096.0), ("speed-parallel", 2, 8.0)] {
            let (figure, scene) = all.iter().find(|(f, _)| f.name == name).expect(name);
            check(figure, scene);
            assert_eq!(figure.panels.len(), panels);
            for panel in &figure.panels {
                // The base is a line among them.
                assert_eq!((panel.lines.len(), panel.marks.len()), (rungs.len() + 1, 3 * (rungs.len() + 1)));
                assert!(panel.marks.iter().filter(|m| !m.name.is_empty()).all(|m| (m.x - last).abs() < 1e-9));
                assert!(panel.marks.iter().all(|m| panel.x.holds(m.x) && panel.y.holds(m.y)));
            }
            let drawn = scene.shapes.iter().filter(|s| matches!(s, Shape::Line(_, w, AXIS) if *w > 1.0));
            assert_eq!(drawn.count(), panels * 2 * (rungs.len() + 1), "{name}: a piece between two points");
        }
        // Over sequences only the shallowest depth is drawn.
        let together = &all.iter().find(|(f, _)| f.name == "speed-parallel").unwrap().0.panels[0];
        let base = report.variants[0].tg128_tps.unwrap();
        assert!(together.marks.iter().any(|m| (m.y - base).abs() < 1e-9));
    }
}

#[test]
fn a_surface_of_one_point_is_not_drawn_and_a_lost_point_is_said() {
    let mut report = sample::report(&LADDER);
    surface(&mut report, &[0], &[1]);
    assert!(figures(&report).iter().all(|f| !["speed-depth", "speed-parallel"].contains(&f.name.as_str())));
    let mut report = sample::report(&LADDER);
    surface(&mut report, &[0, 8192], &[1, 8]);
    let lost = report.speed.iter_mut().filter(|r| r.variant == "Q8_0" && r.depth == 8192 && r.kind == "tg");
    for row in lost {
        (row.mean, row.sd, row.n, row.status) = (None, None, 0, "out_of_memory".into());
    }
    let all = figures(&report);
    let figure = all.iter().find(|f| f.name == "speed-depth").unwrap();
    assert!(
        figure.notes.contains(&"Not shown: Q8_0 (tg at 8192: out_of_memory).".to_owned()),
        "{:?}",
        figure.notes
    );
    let marks = figure.panels[0].marks.iter().filter(|m| m.name == "Q8_0");
    assert_eq!(marks.map(|m| m.x).collect::<Vec<_>>(), [0.0], "what there is, is drawn");
}

#[test]
fn a_draft_is_a_line_over_its_lengths() {
    let mut report = sample::report(&LADDER[..4]);
    drafts(&mut report, &[("Q4_0", 1.4), ("small", 1.1)]);
    report.speculation[7].ratio = None;
    report.speculation[7].status = "crashed".into();
    let all = scenes(&report);
    let (figure, scene) = all.iter().find(|(f, _)| f.name == "speculation").expect("drawn");
    check(figure, scene);
    let [ratio, taken] = figure.panels.as_slice() else { panic!("{} panels", figure.panels.len()) };
    assert_eq!((ratio.lines.len(), ratio.marks.len(), taken.marks.len()), (2, 7, 8));
    assert_eq!(ratio.levels.iter().map(|l| l.y).collect::<Vec<_>>(), [1.0]);
    assert!(figure.notes.contains(&"Not shown: small for base (crashed).".to_owned()), "{:?}", figure.notes);
}

#[test]
fn a_quantized_cache_is_beside_the_variant_it_is_of() {
    let mut report = sample::report(&LADDER[..6]);
    assert!(figures(&report).iter().all(|f| f.name != "kv"), "nothing to show");
    caches(&mut report, &[("q8_0", 0.53), ("q4_0", 0.28)]);
    let all = scenes(&report);
    let (figure, scene) = all.iter().find(|(f, _)| f.name == "kv").expect("drawn");
    check(figure, scene);
    let panel = &figure.panels[0];
    let second = panel.marks.iter().filter(|m| m.look == Look::Second).count();
    assert_eq!((panel.marks.len(), second, panel.legend.len()), (18, 12, 2));
    let of = |name: &str| panel.marks.iter().find(|m| m.name == name).expect(name);
    let (plain, small) = (of("Q4_K_M"), of("Q4_K_M/kv=q4_0"));
    assert!(small.x < plain.x && small.y > plain.y, "less memory, more divergence");
}

#[test]
fn same_report_same_bytes() {
    let report = sample::report(&LADDER[..6]);
    let read = |folder: &std::path::Path| -> Vec<(String, Vec<u8>)> {
        let files = Drawing::of(&report).unwrap().write(folder).unwrap();
        files
            .iter()
            .map(|f| (f.file_name().unwrap().to_string_lossy().into_owned(), fs::read(f).unwrap()))
            .collect()
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = read(one.path());
    assert_eq!(first.len(), 40);
    assert!(first.iter().all(|(name, bytes)| !name.ends_with("png") || bytes.starts_with(b"\x89PNG")));
    assert!(first == read(two.path()) && first == read(one.path()));
    assert_eq!(fs::read_dir(one.path()).unwrap().count(), 21, "no temporary files are left");
    assert_eq!(fs::read_dir(one.path().join("dark")).unwrap().count(), 20);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("charts");
    fs::write(&file, "").unwrap();
    let error = Drawing::of(&sample::report(&LADDER)).unwrap().write(&file).unwrap_err();
    assert!(error.to_string().contains("charts") && error.hint().is_some());
}
