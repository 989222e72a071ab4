//! What variants cost, from the command line: the numbers that come with the program, those of a file, single ones, and
//! that a results folder keeps what was used.

use std::fs;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::table::Table;

const COSTS: &str = "variant,scenario,usd_per_mtok_out,usd_per_mtok_blended,usd_per_solved_task,monthly_fixed_usd,\
                     break_even_mtok,capacity_mtok,source,kind,workload,volume_mtok,usd_per_month,\
                     usd_per_mtok_out_full,streams,suite,against,verdict,break_even_uncapped_mtok,input,input_value,\
                     energy_source";
const PRICE: [(&str, &str); 3] = [("variant", "Q8_0"), ("scenario", "owned.this-machine"), ("kind", "price")];

fn swept() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "quiz.toml"]).ends(0);
    sandbox
}

fn table(sandbox: &Sandbox) -> Table {
    Table::read(&sandbox.path("out/costs.csv"))
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

#[test]
fn a_folder_keeps_the_numbers_it_was_costed_with() {
    let sandbox = swept();
    let shipped = sandbox.read("out/costs.csv");
    let first = table(&sandbox);
    assert_eq!(first.header, COSTS);
    // (1000 - 300)/36 + 0.04 x 730 x 0.17 + 4 x 30/36 = 19.4444 + 4.964 + 3.3333.
    assert!((number(first.cell(&PRICE, "monthly_fixed_usd")) - 27.741_78).abs() < 1e-4);
    assert_eq!(first.cell(&PRICE, "workload"), "coding");
    assert!(sandbox.path("out/charts/cost-volume.png").is_file());
    assert!(!sandbox.path("out/costs.toml").exists(), "nothing was given");
    let told = sandbox.run(&["cost", "out"]).ends(0).stdout;
    assert!(
        told.contains("Every variant on owned.this-machine") && told.contains("plan.20-a-month"),
        "{told}"
    );
    assert_eq!(sandbox.read("out/costs.csv"), shipped);

    let given = ["--cost", "owned.this-machine.price_usd=1720", "--workload", "chat", "--volume", "2.5"];
    sandbox.run(&[&["cost", "out"], &given[..]].concat()).ends(0);
    let now = table(&sandbox);
    // 720/36 = 20 more.
    assert!((number(now.cell(&PRICE, "monthly_fixed_usd")) - 47.741_78).abs() < 1e-4);
    assert_eq!((now.cell(&PRICE, "workload"), now.cell(&PRICE, "volume_mtok")), ("chat", "2.5"));
    assert!(sandbox.read("out/charts/cost-volume.svg").contains("2 input tokens to an output token"));
    let kept = (sandbox.read("out/costs.csv"), sandbox.read("out/charts/cost-volume.svg"));
    sandbox.run(&["report", "out"]).ends(0);
    assert_eq!((sandbox.read("out/costs.csv"), sandbox.read("out/charts/cost-volume.svg")), kept);
    fs::remove_file(sandbox.path("out/costs.toml")).expect("removed");
    sandbox.run(&["report", "out"]).ends(0);
    assert_eq!(sandbox.read("out/costs.csv"), shipped);
}

#[test]
fn a_file_of_prices_is_printed_taken_and_kept_with_its_comments() {
    let sandbox = swept();
    let printed = sandbox.run(&["cost", "--print-costs"]).ends(0).stdout;
    assert!(printed.starts_with("# What running a model costs."), "{printed}");
    sandbox.write("mine.toml", printed.replace("usd_per_kwh = 0.17", "usd_per_kwh = 0.42"));
    sandbox.run(&["cost", "out", "--costs", "mine.toml"]).ends(0);
    assert_eq!(sandbox.read("out/costs.toml"), sandbox.read("mine.toml"));
    let again = sandbox.run(&["cost", "out", "--print-costs"]).ends(0).stdout;
    assert!(again.contains("usd_per_kwh = 0.42"));
    let told = sandbox.run(&["cost", "out", "--json", "--claims"]).ends(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["claims"].as_array().map(Vec::len), Some(4));
    assert!(told["costs"]["rows"].as_array().is_some_and(|rows| rows.len() > 50));
    let claims = sandbox.run(&["cost", "--claims"]).ends(0).stdout;
    assert!(claims.contains("Rented hours do not win: holds.") && claims.contains("not with"), "{claims}");
}

#[test]
fn wrong_numbers_change_nothing() {
    let sandbox = swept();
    let before = (sandbox.files("out"), sandbox.read("out/costs.csv"));
    let wrong = |args: &[&str], sentence: &str, hint: &str| {
        sandbox.run(&[&["cost", "out"], args].concat()).ends(3).tells(&[sentence, hint]);
        assert_eq!((sandbox.files("out"), sandbox.read("out/costs.csv")), before, "{args:?}");
    };
    wrong(
        &["--cost", "owned.3090.prise_usd=7"],
        "--cost owned.3090.prise_usd=7: unknown field `prise_usd`",
        "price_usd",
    );
    wrong(&["--cost", "ownd.3090.price_usd=7"], "there is no \"ownd\" in the costs", "owned");
    wrong(&["--cost", "owned.3090.utilisation=1.5"], "must be more than 0 and at most 1, not 1.5", "correct");
    wrong(&["--workload", "cooking"], "--workload cooking: workload names \"cooking\"", "coding");
    wrong(
        &["--volume", "-3"],
        "--volume -3: workloads.coding.mtok_out_per_month must be more than 0",
        "correct",
    );
    wrong(&["--volume", "NaN"], "must be more than 0, not NaN", "correct");
    wrong(&["--cost", "variant=Q8_1"], "no variant is called \"Q8_1\"", "Q8_0");
    wrong(&["--costs", "none.toml"], "cannot read none.toml", "check the path");
    let printed = sandbox.run(&["cost", "--print-costs"]).ends(0).stdout;
    sandbox.write("bad.toml", printed.replace("life_months = 36", "life_months = 0"));
    let table = printed.lines().position(|l| l == "[owned.3090]").expect("a table");
    let line = table + printed.lines().skip(table).position(|l| l == "life_months = 36").expect("a line") + 1;
    let told = format!("bad.toml, line {line}: owned.3090.life_months must be more than 0, not 0");
    wrong(&["--costs", "bad.toml"], &told, "correct");
    sandbox.run(&["cost", "nowhere"]).ends(3).tells(&["cannot read nowhere/manifest.json", "name a folder"]);
    sandbox.run(&["cost"]).ends(2);

    // Changed by hand in the folder: told before a sweep begins, and by what would use it.
    sandbox.write("out/costs.toml", "workload = 5\n");
    for args in [&["report", "out"][..], &["cost", "out"]] {
        sandbox.run(args).ends(3).tells(&["out/costs.toml, line 1"]);
    }
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "quiz.toml"]).ends(3).tells(&["out/costs.toml, line 1"]);
}
