//! Rows of `costs.csv` of a small invented sweep, against numbers worked by hand.

use super::*;
use crate::analyze::analysis;
use crate::analyze::cost::{Costs, parse};
use crate::analyze::report::{CostRow, CostSheet};
use crate::journal::record::{GeneratedAnswer, GeneratedScore, Grade, Stop};

/// 4 input tokens to an output token, three quarters cached, 5 Mtok a month; a box as in the tests of the formulas.
const COSTS: &str = r#"
workload = "w"
[electricity]
usd_per_kwh = 0.2
source = "s"
date = "2026-01"
[machine]
bandwidth_gb_per_s = 46.8
device_efficiency = 0.6
source = "s"
date = "2026-01"
[workloads.w]
input_per_output = 4
cached_share = 0.75
mtok_out_per_month = 5
source = "s"
date = "2026-01"
[owned.here]
price_usd = 1300
resale_usd = 500
life_months = 40
watts_idle = 50
watts_busy = 400
setup_hours = 8
wage_usd_per_hour = 30
utilisation = 0.25
otherwise_off = true
source = "s"
date = "2026-02"
[rented.card]
device = "RTX 3090"
usd_per_hour = 0.3
utilisation = 0.5
source = "s"
date = "2026-03"
[api.it]
model = "M"
usd_per_mtok_in = 0.3
usd_per_mtok_cached = 0.03
usd_per_mtok_out = 3.2
source = "list"
date = "2026-05"
[plan.flat]
usd_per_month = 20
mtok_per_month = 50
source = "s"
date = "2026-05"
[[reference]]
model = "M"
api = "it"
suite = "sums"
metric = "exact_match"
value = 0.8
source = "paper"
date = "2026-05"
"#;

fn costs(changes: &[(&str, &str)]) -> Costs {
    let text = changes.iter().fold(COSTS.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    parse(&text, "mine.toml").unwrap()
}

/// A prompt of 1,000 tokens, an answer of 100, right or wrong.
fn written(index: u64, right: bool) -> ItemRecord {
    let answer =
        GeneratedAnswer { output: String::new(), graded: None, tokens: 100, seconds: 1.0, stop: Stop::End };
    let score = GeneratedScore {
        prompt: String::new(),
        prompt_tokens: 1000,
        reference: String::new(),
        answers: vec![answer],
        extracted: Vec::new(),
        outcomes: Vec::new(),
        grades: vec![Grade { metric: "exact_match".to_owned(), right: f64::from(u8::from(right)), of: 1.0 }],
    };
    ItemRecord { index, id: index.to_string(), score: ItemScore::Generated(Box::new(score)) }
}

/// One variant that writes 40 tokens a second, reads 1,000, and has half the sums right.
fn sheet(costs: &Costs) -> CostSheet {
    let speed = Speed { pp512_tps: vec![1000.0], tg128_tps: vec![40.0], ..Speed::default() };
    sheet_of(costs, speed)
}

fn sheet_of(costs: &Costs, speed: Speed) -> CostSheet {
    let mut manifest = manifest(&["Q4_0"]);
    manifest.suites.push(suite("sums", "exact_match", None));
    manifest.trials.push(spec(TrialKind::Suite, "Q4_0", "sums"));
    let timed =
        TrialData { outcome: Some(Outcome::Speed(speed)), ..done(TrialKind::Speed, "Q4_0", "", Vec::new()) };
    let sums = done(TrialKind::Suite, "Q4_0", "sums", vec![written(0, true), written(1, false)]);
    let trials = [quantized("Q4_0", 2_000_000_000), timed, sums];
    analysis(&manifest, &trials, costs).report.costs
}

fn find<'a>(
    sheet: &'a CostSheet,
    scenario: &str,
    kind: &str,
    more: impl Fn(&CostRow) -> bool,
) -> &'a CostRow {
    let mut fits = sheet.rows.iter().filter(|r| r.scenario == scenario && r.kind == kind && more(r));
    let found = fits.next().unwrap_or_else(|| panic!("{scenario} {kind}"));
    assert!(fits.next().is_none(), "one row only");
    found
}

fn about(ours: Option<f64>, expected: f64) {
    assert!(ours.is_some_and(|x| (x - expected).abs() <= 5e-5 * expected.abs()), "{ours:?}, not {expected}");
}

/// 26,000 s = 7.22222 h a Mtok; $33.30 a month and $0.505556 a Mtok; 25.2692 Mtok at most. At 5: 35.82778, 7.16556 each,
/// 1.43311 blended over five tokens; in full 33.3/25.2692 + 0.505556 = 1.823364. From 33.3/(3.59 - 0.505556) = 10.7961
/// on cheaper than the API. $20 for 10 Mtok out: dearer at the start, 33.3 > 20; above 10, 38.36 < 40.
#[test]
fn a_box_by_hand() {
    let sheet = sheet(&costs(&[]));
    let price = find(&sheet, "owned.here", "price", |_| true);
    about(price.monthly_fixed_usd, 33.3);
    about(price.capacity_mtok, 25.2692);
    about(price.usd_per_month, 35.82778);
    about(price.usd_per_mtok_out, 7.165_556);
    about(price.usd_per_mtok_blended, 1.433_111);
    about(price.usd_per_mtok_out_full, 1.823_364);
    about(price.break_even_mtok, 10.7961);
    assert_eq!((price.against.as_str(), price.verdict.as_str()), ("api.it", "breaks_even"));
    assert_eq!(price.source, "measured, one stream; several together were not timed");
    assert_eq!((price.streams, price.energy_source.as_str()), (Some(1), "computed"));
    about(find(&sheet, "owned.here", "break_even", |r| r.against == "plan.flat").break_even_mtok, 10.0);
    let month = |volume: f64| {
        find(&sheet, "owned.here", "month", |r| r.volume_mtok.is_some_and(|v| (v - volume).abs() < 1e-9))
    };
    about(month(10.0).usd_per_month, 38.355_56);
    assert_eq!((month(100.0).usd_per_month, month(100.0).verdict.as_str()), (None, "beyond_capacity"));
    assert_eq!((sheet.scenario.as_str(), sheet.variant.as_str()), ("owned.here", "Q4_0"));
    assert_eq!(sheet.dated, "2026-01 to 2026-05");
}

/// Medians of 2 J a token written and 0.1 J a token read: 2.1 MJ a Mtok = 0.583333 kWh, $0.116667. At 5 Mtok: 33.3 +
/// 0.583333. Electricity at $0.40: 40.6 + 5 x 0.233333. A card of one's own is another machine: 7.22222/20 h at 350 W.
#[test]
fn measured_energy_counts_on_this_machine_only() {
    let card = "[owned.card]\ndevice = \"RTX 3090\"\nprice_usd = 0\nresale_usd = 0\nlife_months = 40\n\
                watts_idle = 50\nwatts_busy = 400\nsetup_hours = 0\nwage_usd_per_hour = 0\nutilisation = 0.25\n\
                otherwise_off = false\nsource = \"s\"\ndate = \"2026-03\"\n[rented.card]";
    let costs = costs(&[("[rented.card]", card)]);
    let speed = Speed {
        pp512_tps: vec![1000.0],
        tg128_tps: vec![40.0],
        pp512_joules_per_token: vec![0.1, 0.1, 0.7],
        tg128_joules_per_token: vec![2.0, 1.5, 9.0],
        energy_meter: "rapl".to_owned(),
        ..Speed::default()
    };
    let with = sheet_of(&costs, speed.clone());
    let price = find(&with, "owned.here", "price", |_| true);
    assert_eq!(price.energy_source, "measured");
    about(price.monthly_fixed_usd, 33.3);
    about(price.capacity_mtok, 25.2692);
    about(price.usd_per_month, 33.883_333);
    let dear = |r: &CostRow| r.input == "usd_per_kwh" && r.input_value > Some(0.3);
    about(find(&with, "owned.here", "sensitivity", dear).usd_per_month, 41.766_667);
    let other = find(&with, "owned.card", "price", |_| true);
    assert_eq!(other.energy_source, "computed");
    about(other.usd_per_mtok_out, 0.35 * 0.2 * 7.222_222 / 20.0);
    assert_eq!(find(&with, "rented.card", "price", |_| true).energy_source, "");
    assert!(with.rows.iter().all(|row| row.scenario.starts_with("owned.") != row.energy_source.is_empty()));

    // Of a prompt alone nothing follows.
    let half = sheet_of(&costs, Speed { tg128_joules_per_token: Vec::new(), ..speed });
    let price = find(&half, "owned.here", "price", |_| true);
    assert_eq!(price.energy_source, "computed");
    about(price.usd_per_month, 35.827_78);
}

/// 936/46.8 = 20 times as fast: 7.22222/20 h a Mtok, at $0.30 over 50%: $0.216667.
#[test]
fn a_rented_card_by_hand() {
    let sheet = sheet(&costs(&[]));
    let price = find(&sheet, "rented.card", "price", |_| true);
    about(price.usd_per_mtok_out, 0.216_667);
    assert_eq!((price.monthly_fixed_usd, price.break_even_mtok), (Some(0.0), Some(0.0)));
    assert!(price.source.starts_with("scaled by bandwidth 936/46.8 GB/s; measured"), "{}", price.source);
    assert_eq!(price.energy_source, "");
}

/// The API: 4 x (0.25 x 0.3 + 0.75 x 0.03) + 3.2 = 3.59. The subscription at 5: one, $4 a Mtok; at 100: ten, $200.
#[test]
fn rivals_by_hand() {
    let sheet = sheet(&costs(&[]));
    let api = find(&sheet, "api.it", "price", |_| true);
    about(api.usd_per_mtok_out, 3.59);
    about(api.usd_per_mtok_blended, 0.718);
    assert_eq!((api.variant.as_str(), api.capacity_mtok, api.source.as_str()), ("", None, "list, 2026-05"));
    about(find(&sheet, "plan.flat", "price", |_| true).usd_per_mtok_out, 4.0);
    about(
        find(&sheet, "plan.flat", "month", |r| r.volume_mtok > Some(99.0) && r.volume_mtok < Some(101.0))
            .usd_per_month,
        200.0,
    );
}

/// 100/40 + 1000/1000 = 3.5 s a question. An hour of work at 5 Mtok a month: 35.82778/(5 x 7.22222) = $0.992154. Half
/// are solved: 3.5/3600 x 0.992154/0.5 = $0.00192919. From the API: (1000 x 0.3 + 100 x 3.2)/1e6/0.8 = $0.000775.
#[test]
fn a_solved_question_by_hand() {
    let sheet = sheet(&costs(&[]));
    let task = find(&sheet, "owned.here", "task", |r| r.suite == "sums");
    about(task.usd_per_solved_task, 0.001_929_19);
    let api = find(&sheet, "api.it", "task", |r| r.suite == "sums");
    about(api.usd_per_solved_task, 0.000_775);
    assert_eq!(api.source, "M: paper, 2026-05; tokens as of Q4_0");
}

/// (600 x 0.3 + 400 x 0.03 + 200 x 3.2)/1e6/0.8 = $0.00104, whatever the sweep's own variants take.
#[test]
fn a_measured_reference_costs_what_its_own_tokens_do() {
    let tokens = "value = 0.8\ninput_tokens = 600\ncached_tokens = 400\noutput_tokens = 200";
    let sheet = sheet(&costs(&[("value = 0.8", tokens)]));
    let api = find(&sheet, "api.it", "task", |r| r.suite == "sums");
    about(api.usd_per_solved_task, 0.001_04);
    assert_eq!(api.source, "M: paper, 2026-05; tokens its own");
    let wrong = COSTS.replacen("value = 0.8", &tokens.replace("200", "-200"), 1);
    assert!(parse(&wrong, "").unwrap_err().to_string().contains("of M on sums are no numbers of tokens"));
}

/// At an eighth of a month it makes 12.6346 Mtok; electricity at $0.10: 33.3 - 3.65 = 29.65 and 0.252778.
#[test]
fn sensitivities_by_hand() {
    let sheet = sheet(&costs(&[]));
    let row = |input: &str, value: f64| {
        find(&sheet, "owned.here", "sensitivity", |r| {
            r.input == input && r.input_value.is_some_and(|v| (v - value).abs() < 1e-9)
        })
    };
    about(row("utilisation", 0.125).capacity_mtok, 12.6346);
    about(row("utilisation", 0.125).usd_per_mtok_out, 7.165_556);
    about(row("usd_per_kwh", 0.1).usd_per_month, 29.65 + 5.0 * 0.252_778);
    about(row("usd_per_kwh", 0.4).break_even_mtok, (33.3 + 7.3) / (3.59 - 1.011_111));
}

/// What a box cannot produce is neither promised nor a break-even: at 1% of a month it makes 1.01077 Mtok.
#[test]
fn capacity_caps() {
    let sheet = sheet(&costs(&[("utilisation = 0.25", "utilisation = 0.01")]));
    let price = find(&sheet, "owned.here", "price", |_| true);
    about(price.volume_mtok, 1.010_769);
    about(price.break_even_mtok, 1.010_769);
    about(price.break_even_uncapped_mtok, 10.7961);
    assert!(price.verdict.starts_with("beyond_capacity; produces less than the 5"), "{}", price.verdict);
    assert!(sheet.crossings.iter().all(|c| c.scenario != "owned.here"));
}

#[test]
fn what_was_not_timed_or_does_not_fit_has_no_cost() {
    let manifest = manifest(&["Q4_0"]);
    let none = analysis(&manifest, &[], &costs(&[])).report.costs;
    assert!(none.rows.iter().all(|row| row.variant.is_empty()) && !none.rows.is_empty());
    let speed = Speed { pp512_tps: vec![9.0], tg128_tps: vec![9.0], ..Speed::default() };
    let timed =
        TrialData { outcome: Some(Outcome::Speed(speed)), ..done(TrialKind::Speed, "Q4_0", "", Vec::new()) };
    let large = analysis(&manifest, &[quantized("Q4_0", 30 << 30), timed], &costs(&[])).report.costs;
    let row = find(&large, "rented.card", "price", |_| true);
    assert_eq!(
        (row.usd_per_mtok_out, row.verdict.as_str()),
        (None, "does not fit: 30.0 GiB in 24.0 GiB of RTX 3090")
    );
}
