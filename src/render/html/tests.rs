//! What must hold of the page: nothing that somebody wrote becomes markup, it asks nobody for anything, it says what a sweep
//! holds, also one that broke, and it stays small.

use super::*;
use crate::analyze::report::{ComparisonRow, MetricRow, SuiteSummary, TrialRow};
use crate::analyze::{BUDGET, FlippedItem, Flips, ShownFlip, SuiteFlips, VariantFlips};
use crate::render::Drawing;
use crate::render::chart::tests::sample;

/// What ends a script, opens a comment in one, or breaks a line of JavaScript.
const HOSTILE: &str = "</script><script>alert(1)</script><!-- <b>&amp; \u{2028} ' \" {{ 7 * 7 }}";

fn background(flips: Flips) -> Background {
    Background {
        recommendation: Recommendation {
            variant: Some("Q4_K_M".to_owned()),
            confidence: 0.62,
            reasons: vec!["It is small.".to_owned()],
            runners_up: Vec::new(),
            ruled_out: Vec::new(),
            quality: "composite.mean_score".to_owned(),
            max_drop: 0.02,
            max_drop_unit: "fraction".to_owned(),
        },
        flips,
        facts: vec![("Base model", "models/base.gguf".to_owned())],
        tolerance: 0.02,
        manifest: "{}".to_owned(),
    }
}

/// A suite whose variants all flipped on the same questions.
fn flipped(suite: &str, variants: &[&str], questions: usize, text: impl Fn(usize) -> String) -> SuiteFlips {
    let items = (0..questions).map(|place| FlippedItem {
        id: format!("q{place}"),
        prompt: text(place),
        right: "B".to_owned(),
        base: text(place + 1),
    });
    let variants = variants.iter().enumerate().map(|(variant, name)| VariantFlips {
        variant: (*name).to_owned(),
        trial: format!("t{variant}"),
        lost: questions as u64,
        won: 0,
        shown: (0..questions)
            .map(|item| ShownFlip { item, lost: true, answer: text(variant * questions + item + 2) })
            .collect(),
    });
    SuiteFlips { suite: suite.to_owned(), items: items.collect(), variants: variants.collect() }
}

fn rendered(report: &Report, flips: Flips) -> String {
    page(report, &background(flips), &Drawing::of(report).unwrap().pictures().unwrap()).unwrap()
}

/// The text of the packed part of that name.
fn unpacked(page: &str, id: &str) -> String {
    let begin = format!("id=\"packed-{id}\">");
    let from = page.find(&begin).unwrap_or_else(|| panic!("no {id}")) + begin.len();
    pack::unpack(page[from..].split('<').next().unwrap())
}

#[test]
fn what_somebody_wrote_is_never_markup() {
    let mut report = sample::report(&sample::LADDER);
    report.about.base = HOSTILE.to_owned();
    report.about.machine = HOSTILE.to_owned();
    report.suites[0].title = HOSTILE.to_owned();
    report.variants[1].status = HOSTILE.to_owned();
    report.variants[1].variant = HOSTILE.to_owned();
    report.suites[1].name = HOSTILE.to_owned();
    let flips = Flips { cap: 40, suites: vec![flipped(HOSTILE, &[HOSTILE], 2, |_| HOSTILE.to_owned())] };
    let page = rendered(&report, flips);
    assert!(!page.contains("alert(1)</script>") && !page.contains("<!-- <b>"), "markup came through");
    assert!(page.contains("&lt;&#x2f;script&gt;&lt;script&gt;alert(1)"), "the text is shown");
    assert!(page.contains("{{ 7 * 7 }}"), "a template in a text is a text");
    // What is packed, the list of suites, and the page's own script.
    let scripts = page.matches("id=\"packed-").count() + 2;
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (scripts, scripts));
    let suite: serde_json::Value = serde_json::from_str(&unpacked(&page, "flips-0")).unwrap();
    assert_eq!(suite["items"][0]["prompt"], HOSTILE);
    assert_eq!(suite["variants"][0]["shown"][1]["answer"], HOSTILE);
    assert!(unpacked(&page, "data").contains("alert(1)"));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = rendered(&sample::report(&sample::LADDER), Flips::default());
    assert!(page.contains("default-src 'none'"));
    for outside in ["http://", "https://", "src=\"", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Apart from the library and the figures, whose addresses are names of formats and licences.
    assert!(unpacked(&page, "library").contains("Apache Software Foundation"));
}

#[test]
fn everything_has_its_place() {
    let mut report = sample::report(&sample::CROWD);
    sample::noise_floor(&mut report, 0.001, &["Q8_0"]);
    let page = rendered(&report, Flips::default());
    for place in
        ["recommendation", "frontier", "tables", "summary", "comparisons", "suites", "figures", "method"]
    {
        assert_eq!(page.matches(&format!("id=\"{place}\"")).count(), 1, "{place}");
    }
    assert_eq!(page.matches("name=\"variant\"").count(), sample::CROWD.len() + 1);
    assert!(page.contains("62% sure") && page.contains("<dt>Base model</dt><dd>models&#x2f;base.gguf</dd>"));
    assert_eq!(page, rendered(&report, Flips::default()), "the same bytes");
    // Every place that the script looks for is there.
    for id in SCRIPT.split("$(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    let data: serde_json::Value = serde_json::from_str(&unpacked(&page, "data")).unwrap();
    assert_eq!(data["variants"].as_array().unwrap().len(), sample::CROWD.len() + 1);
    let figures = page.matches("data-packed=").count();
    assert!(figures > 3);
    assert!(unpacked(&page, &format!("figure-{}", figures - 1)).starts_with("<svg"));
}

#[test]
fn a_broken_sweep_is_a_page_too() {
    let mut report = sample::report(&sample::LADDER[..1]);
    sample::crash(&mut report, "Q8_0", "crashed");
    report.trials.push(TrialRow {
        id: "ab12".into(),
        kind: "suite".into(),
        variant: "Q8_0".into(),
        suite: report.suites[0].name.clone(),
        status: "timed_out".into(),
        reason: "no word for <600> s".into(),
        failures: 2,
        items_planned: Some(40),
        items_done: Some(3),
        items_cached: None,
        wall_s: None,
        decode_s: None,
        tokens_decoded: None,
        tokens_naive: None,
        stopped: String::new(),
        looks: None,
        node: String::new(),
        cpu: String::new(),
    });
    report.suites[1].no_signal = true;
    let page = rendered(&report, Flips::default());
    assert!(page.contains("id=\"unfinished\"") && page.contains("no word for &lt;600&gt; s"));
    assert!(page.contains("Without a signal"));
    let nothing = Report {
        variants: Vec::new(),
        metrics: Vec::new(),
        comparisons: Vec::new(),
        frontier: Vec::new(),
        ..report
    };
    assert!(rendered(&nothing, Flips::default()).contains("id=\"recommendation\""));
}

#[test]
fn of_very_many_comparisons_the_first_are_shown() {
    let mut report = sample::report(&sample::CROWD);
    let main = report.suites[1].main_metric.clone();
    let row = ComparisonRow { suite: report.suites[1].name.clone(), ..ComparisonRow::default() };
    let many = (0..6_000).map(|place| ComparisonRow {
        variant: format!("v{place}"),
        metric: if place % 6 == 0 { "acc_bytes".to_owned() } else { main.clone() },
        ..row.clone()
    });
    report.comparisons = many.collect();
    let page = rendered(&report, Flips::default());
    assert!(page.contains("the first 4000 of 6000, by main metrics"));
    assert!(page.contains(">v1<") && !page.contains(">v0<") && !page.contains(">v5999<"));
    report.comparisons.truncate(4_000);
    let page = rendered(&report, Flips::default());
    assert!(page.contains(">v0<") && !page.contains("by main metrics"));
}

/// 20 variants on 20 suites, and texts that hardly compress, as many as analysis lets through.
#[test]
fn a_large_sweep_stays_small() {
    let mut report = sample::report(&sample::CROWD);
    let (suite, main) = (report.suites[1].clone(), report.suites[1].name.clone());
    let of_main = |name: &str| name == main;
    let metrics: Vec<_> = report.metrics.iter().filter(|m| of_main(&m.suite)).cloned().collect();
    for place in 2..20 {
        let name = format!("suite_{place}");
        report.suites.push(SuiteSummary { name: name.clone(), ..suite.clone() });
        for metric in ["acc", "acc_norm", "acc_bytes"] {
            report.metrics.extend(metrics.iter().map(|m| MetricRow {
                suite: name.clone(),
                metric: metric.to_owned(),
                n: 10_000,
                ..m.clone()
            }));
            report.comparisons.extend(metrics.iter().map(|m| ComparisonRow {
                variant: m.variant.clone(),
                suite: name.clone(),
                metric: metric.to_owned(),
                delta: Some(-0.0123),
                ci_low: Some(-0.03),
                ci_high: Some(0.01),
                n: 10_000,
                ..ComparisonRow::default()
            }));
        }
    }
    let names: Vec<&str> = sample::CROWD.iter().map(|rung| rung.0).collect();
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 33) as u8 % 95)
    };
    // 22 texts a question: base, question and 20 answers, so long that all together are what analysis allows.
    let (questions, suites) = (20, 20);
    let length = BUDGET / (suites * questions * (names.len() + 2));
    let texts: Vec<String> = (0..500).map(|_| (0..length).map(|_| noise()).collect()).collect();
    let text = |place: usize| texts[place % texts.len()].clone();
    let flips = Flips {
        cap: questions,
        suites: (0..suites)
            .map(|place| flipped(&format!("suite_{place}"), &names, questions, text))
            .collect(),
    };
    let page = rendered(&report, flips);
    let mib = page.len() as f64 / f64::from(1 << 20);
    assert!((3.0..25.0).contains(&mib), "{mib:.1} MiB");
}
