//! Reads a costs file, and single values that the user sets on top of it. Every error names the file, the line and the
//! key, or the setting, and the nearest key that there is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::prices::{Api, Costs, Fault, Reference};
use crate::plan::error::{PlanError, nearest, toml_error};

/// The costs file that comes with the program.
pub const DEFAULT: &str = include_str!("costs.toml");
/// Larger files are none.
const LARGEST: usize = 1 << 20;

/// A value on top of a file: `owned.3090.price_usd=700`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: Vec<String>,
    value: Value,
    /// As it was given, for errors.
    text: String,
}

/// Reads a costs file; `place` is its path, for errors.
pub fn parse(text: &str, place: &str) -> Result<Costs, PlanError> {
    if text.len() > LARGEST {
        return Err(PlanError::Missing {
            place: place.to_owned(),
            what: format!("{} bytes are too many for a costs file", text.len()),
            hint: "`bitfrontier cost --print-costs` prints one".to_owned(),
        });
    }
    let costs: Costs = toml::from_str(text).map_err(|error| toml_error(place, text, &error))?;
    match costs.fault() {
        None => Ok(costs),
        Some(fault) => Err(PlanError::Toml {
            path: place.to_owned(),
            line: line(text, &fault.key),
            message: said(&fault),
            hint: Some(fault.hint),
        }),
    }
}

fn said(fault: &Fault) -> String {
    format!("{} {}", fault.key.join("."), fault.what)
}

/// The line of a key, or of the last table on the way to it that is there.
fn line(text: &str, key: &[String]) -> usize {
    let Ok(table) = DeTable::parse(text) else { return 1 };
    let at = span(table.get_ref(), key).min(text.len());
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

fn span(table: &DeTable<'_>, key: &[String]) -> usize {
    let Some((first, rest)) = key.split_first() else { return 0 };
    let found: Option<(&Spanned<_>, &Spanned<DeValue<'_>>)> =
        table.iter().find(|(name, _)| name.get_ref() == first.as_str());
    let Some((name, value)) = found else { return 0 };
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => match span(inner, rest) {
            0 => name.span().start,
            at => at,
        },
        _ => name.span().start,
    }
}

impl Setting {
    /// Reads `KEY=VALUE`; what is no TOML value is a text.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let wrong = |what: &str| PlanError::Missing {
            place: format!("--cost {text}"),
            what: what.to_owned(),
            hint: "write --cost owned.3090.price_usd=700".to_owned(),
        };
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("there is no = in it"))?;
        let key = keys(key.trim());
        if key.iter().any(String::is_empty) {
            return Err(wrong("there is no key before the ="));
        }
        let value = value.trim();
        if value.is_empty() {
            return Err(wrong("there is no value behind the ="));
        }
        let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok();
        let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
        let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
        Ok(Self { key, value, text: format!("--cost {text}") })
    }

    /// A value of a key by itself; `text` is what the user gave, for errors.
    pub fn new(key: &[&str], value: impl Into<Value>, text: &str) -> Self {
        Self {
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            value: value.into(),
            text: text.to_owned(),
        }
    }
}

/// Parts of a dotted key. Names with dots in them, such as `qwen3.6-27b`, are found by trying what the file has.
fn keys(text: &str) -> Vec<String> {
    text.split('.').map(|part| part.trim().trim_matches('"').to_owned()).collect()
}

/// A costs file with these values on top, and its text. Without any the text is as it was, comments and all.
pub fn with_settings(text: &str, place: &str, settings: &[Setting]) -> Result<(Costs, String), PlanError> {
    let mut costs = parse(text, place)?;
    if settings.is_empty() {
        return Ok((costs, text.to_owned()));
    }
    let mut table: Table = toml::from_str(text).map_err(|error| toml_error(place, text, &error))?;
    for setting in settings {
        let wrong =
            |what: String, hint: String| PlanError::Missing { place: setting.text.clone(), what, hint };
        set(&mut table, &setting.key, &setting.value).map_err(|(what, hint)| wrong(what, hint))?;
        // One after the other, so that an error is of this one.
        let now = toml::to_string(&table).map_err(|error| wrong(error.to_string(), "check it".to_owned()))?;
        costs = toml::from_str(&now).map_err(|error| {
            let hint = match toml_error(place, &now, &error) {
                PlanError::Toml { hint: Some(hint), .. } => hint,
                _ => "check the key and the kind of value".to_owned(),
            };
            wrong(error.message().lines().next().unwrap_or_default().to_owned(), hint)
        })?;
        if let Some(fault) = costs.fault() {
            return Err(wrong(said(&fault), fault.hint));
        }
    }
    let text = toml::to_string(&table).map_err(|error| PlanError::Missing {
        place: place.to_owned(),
        what: error.to_string(),
        hint: "check the settings".to_owned(),
    })?;
    Ok((costs, text))
}

/// A costs file's text with a point of reference at its end, in place of one of the same model, suite and metric. All other
/// lines stay as they are, comments and all.
pub fn with_reference(text: &str, place: &str, entry: &Reference) -> Result<String, PlanError> {
    let same = |r: &Reference| (&r.model, &r.suite, &r.metric) == (&entry.model, &entry.suite, &entry.metric);
    let mut wanted = parse(text, place)?;
    wanted.reference.retain(|r| !same(r));
    wanted.reference.push(entry.clone());
    let kept = without(text, |part| part.reference.iter().any(same));
    let added = Part { reference: vec![entry.clone()], ..Part::default() };
    put_in(&kept, &added, place, &wanted)
}

/// A costs file's text with an API at its end, in place of one of the same name. All other lines stay as they are.
pub fn with_api(text: &str, place: &str, name: &str, api: &Api) -> Result<String, PlanError> {
    let mut wanted = parse(text, place)?;
    if wanted.api.get(name) == Some(api) {
        return Ok(text.to_owned());
    }
    wanted.api.insert(name.to_owned(), api.clone());
    let kept = without(text, |part| part.api.contains_key(name));
    let added = Part { api: BTreeMap::from([(name.to_owned(), api.clone())]), ..Part::default() };
    put_in(&kept, &added, place, &wanted)
}

/// What is put into a costs file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    api: BTreeMap<String, Api>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reference: Vec<Reference>,
}

/// A text without the tables that are `old`.
fn without(text: &str, old: impl Fn(&Part) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let mut table = line.to_owned();
        while let Some(line) = lines.next_if(|line| !line.trim_start().starts_with('[')) {
            table.push_str(line);
        }
        let is_old = toml::from_str::<Part>(&table).is_ok_and(|part| old(&part));
        kept.push_str(if is_old { last_words(&table) } else { &table });
    }
    kept
}

/// The comments behind the last key, which are of what follows.
fn last_words(table: &str) -> &str {
    let is_key = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let length: usize =
        table.split_inclusive('\n').rev().take_while(|line| !is_key(line)).map(str::len).sum();
    table.get(table.len() - length..).unwrap_or_default()
}

/// A text with a part at its end. Texts are cut by lines: that nothing else was touched is seen by reading the whole.
fn put_in(text: &str, part: &Part, place: &str, wanted: &Costs) -> Result<String, PlanError> {
    let wrong = |what: String| PlanError::Missing {
        place: place.to_owned(),
        what,
        hint: "add the entry by hand".to_owned(),
    };
    if let Some(fault) = wanted.fault() {
        return Err(PlanError::Missing { place: place.to_owned(), what: said(&fault), hint: fault.hint });
    }
    let part = toml::to_string(part).map_err(|error| wrong(error.to_string()))?;
    let text = format!("{}\n\n{part}", text.trim_end());
    if parse(&text, place).ok().as_ref() == Some(wanted) {
        Ok(text)
    } else {
        Err(wrong("an entry cannot be put in".to_owned()))
    }
}

/// Sets a value in a table that is there. A last key that is not there yet is left to the reader of the whole to judge.
fn set(table: &mut Table, key: &[String], value: &Value) -> Result<(), (String, String)> {
    // The longest name that the table has: names may have dots.
    let whole = (1..=key.len()).rev().find(|n| table.contains_key(&key[..*n].join(".")));
    let taken = whole.unwrap_or(1).min(key.len());
    let (name, rest) = (key[..taken].join("."), &key[taken..]);
    if rest.is_empty() {
        if let (Some(Value::Table(_)), false) = (table.get(&name), value.is_table()) {
            return Err((format!("{name} is a table, not a value"), "name one of its keys".to_owned()));
        }
        table.insert(name, value.clone());
        return Ok(());
    }
    let known: Vec<String> = table.keys().cloned().collect();
    match table.get_mut(&name) {
        Some(Value::Table(inner)) => set(inner, rest, value),
        Some(_) => Err((format!("{name} has no keys of its own"), "leave what follows it out".to_owned())),
        None => {
            let near = nearest(&name, known.iter().map(String::as_str));
            let near = if near.is_empty() { known } else { near };
            Err((
                format!("there is no {name:?} in the costs"),
                format!("the nearest are {}", near.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(from: &str, to: &str) -> String {
        assert!(DEFAULT.contains(from), "{from}");
        DEFAULT.replacen(from, to, 1)
    }

    fn set_one(text: &str) -> Result<Costs, PlanError> {
        with_settings(DEFAULT, "costs.toml", &[Setting::parse(text)?]).map(|(costs, _)| costs)
    }

    fn sourced(name: &str, value: &Value) {
        let Value::Table(table) = value else { return };
        if table.values().any(|v| v.is_float() || v.is_integer()) {
            assert!(table.contains_key("source") && table.contains_key("date"), "{name}");
        }
        table.iter().for_each(|(name, value)| sourced(name, value));
    }

    #[test]
    fn an_entry_is_added_or_replaced_and_all_else_stays() {
        let mut entry = parse(DEFAULT, "costs.toml").expect("reads").reference.pop().expect("one");
        entry.value = 0.5;
        let replaced = with_reference(DEFAULT, "costs.toml", &entry).expect("replaced");
        assert_eq!(parse(&replaced, "").expect("reads").reference, std::slice::from_ref(&entry));
        entry.model = "a \"quoted\" model".to_owned();
        entry.n = Some(4);
        let added = with_reference(&replaced, "costs.toml", &entry).expect("added");
        assert!(added.starts_with(replaced.trim_end()), "{added}");
        assert_eq!(parse(&added, "").expect("reads").reference.last(), Some(&entry));
        entry.api = "nobody".to_owned();
        let error = with_reference(&added, "costs.toml", &entry).expect_err("no such API").to_string();
        assert!(error.contains("names \"nobody\""), "{error}");
    }

    #[test]
    fn an_api_is_added_or_replaced_and_comments_stay() {
        let (name, old) = parse(DEFAULT, "").expect("reads").api.pop_first().expect("one");
        let dearer = Api { usd_per_mtok_out: 77.0, ..old.clone() };
        assert_eq!(with_api(DEFAULT, "", &name, &old).expect("as it was"), DEFAULT);
        let text = with_api(DEFAULT, "", &name, &dearer).expect("replaced");
        let comments = |text: &str| text.matches('#').count();
        assert_eq!(comments(&text), comments(DEFAULT));
        let mut wanted = parse(DEFAULT, "").expect("reads");
        wanted.api.insert(name, dearer);
        assert_eq!(parse(&text, "").expect("reads"), wanted);
        for name in ["org/model-1.5", "a \"b\""] {
            let mut text = DEFAULT.to_owned();
            for usd in [1.0, 2.0] {
                text = with_api(&text, "", name, &Api { usd_per_mtok_in: usd, ..old.clone() }).expect(name);
            }
            assert_eq!(parse(&text, "").expect("reads").api[name].usd_per_mtok_in.to_bits(), 2_f64.to_bits());
        }
        let wrong = Api { usd_per_mtok_in: -1.0, ..old };
        let error = with_api(DEFAULT, "mine.toml", "x", &wrong).expect_err("negative").to_string();
        assert!(error.contains("api.x.usd_per_mtok_in must be 0 or more, not -1"), "{error}");
    }

    #[test]
    fn what_stands_in_an_unusual_way_is_left_alone() {
        let one = "{ model = \"m\", usd_per_mtok_in = 1, usd_per_mtok_cached = 1, usd_per_mtok_out = 1, \
            source = \"\", date = \"\" }";
        let two = format!("[api]\nx = {one}\ny = {one}\n\n[electricity]");
        let inline = DEFAULT.replacen("[electricity]", &two, 1);
        let api = parse(&inline, "").expect("reads").api["x"].clone();
        let api = Api { usd_per_mtok_in: 2.0, ..api };
        let error = with_api(&inline, "mine.toml", "x", &api).expect_err("not by lines");
        assert_eq!(error.hint().as_deref(), Some("add the entry by hand"));
    }

    #[test]
    fn the_default_is_right_and_says_where_every_number_is_from() {
        let costs = parse(DEFAULT, "costs.toml").expect("the default");
        assert!(costs.owned.len() > 2 && costs.api.len() > 2 && costs.claims.is_some());
        let table: Table = toml::from_str(DEFAULT).expect("TOML");
        table.iter().for_each(|(name, value)| sourced(name, value));
    }

    #[test]
    fn hostile_files_are_told_with_line_and_key() {
        let line_of = |what: &str| DEFAULT.lines().position(|l| l.starts_with(what)).expect(what) + 1;
        let price = line_of("price_usd = 1000");
        let cases = [
            (
                changed("price_usd = 1000", "price_usd = -5"),
                format!("line {price}: owned.this-machine.price_usd must be 0 or more, not -5"),
            ),
            (
                changed("price_usd = 1000", "price_usd = nan"),
                format!("line {price}: owned.this-machine.price_usd must be 0 or more, not NaN"),
            ),
            (
                changed("price_usd = 1000", "price_usd = inf"),
                "owned.this-machine.price_usd is too large: inf".to_owned(),
            ),
            (
                changed("price_usd = 1000", "price_usd = \"much\""),
                format!("line {price}: invalid type: string"),
            ),
            (
                changed("price_usd = 1000", "prise_usd = 1000"),
                format!("line {price}: unknown field `prise_usd`"),
            ),
            (changed("price_usd = 1000\n", ""), "missing field `price_usd`".to_owned()),
            (
                changed("life_months = 36", "life_months = 0"),
                "owned.this-machine.life_months must be more than 0, not 0".to_owned(),
            ),
            (
                changed("utilisation = 0.25", "utilisation = 1.5"),
                "owned.this-machine.utilisation must be more than 0 and at most 1, not 1.5".to_owned(),
            ),
            (
                changed("cached_share = 0.5", "cached_share = 2"),
                "workloads.chat.cached_share must lie between 0 and 1, not 2".to_owned(),
            ),
            (
                changed("resale_usd = 300", "resale_usd = 3000"),
                "owned.this-machine.resale_usd is more than its price".to_owned(),
            ),
            (
                changed("watts_idle = 40", "watts_idle = 400"),
                "owned.this-machine.watts_idle is more than watts_busy".to_owned(),
            ),
            (
                changed("workload = \"coding\"", "workload = \"codng\""),
                "line 6: workload names \"codng\"".to_owned(),
            ),
            (
                changed("device = \"RTX 3090\"", "device = \"RTX 3091\""),
                "owned.3090.device names \"RTX 3091\"".to_owned(),
            ),
            (changed("[owned.3090-idle]", "[owned.3090]"), "duplicate key".to_owned()),
            (changed("[electricity]", "[electricity"), "line 10: unclosed table".to_owned()),
            (
                format!(
                    "{DEFAULT}\n[[reference]]\nmodel = \"m\"\nsuite = \"s\"\nmetric = \"acc\"\nvalue = nan\nsource = \"\"\ndate = \"\"\n"
                ),
                "reference.value of m on s is not a number".to_owned(),
            ),
            (String::new(), "missing field `workload`".to_owned()),
            ("x".repeat(LARGEST + 1), "too many for a costs file".to_owned()),
        ];
        for (text, expected) in cases {
            let error = parse(&text, "mine.toml").expect_err(&expected);
            let told = error.to_string();
            assert!(told.starts_with("mine.toml") && told.contains(&expected), "{told} lacks {expected}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn single_values_are_set_and_wrong_ones_are_told() {
        let costs = set_one("owned.3090.price_usd=700").expect("set");
        assert_eq!(costs.owned["3090"].price_usd.to_bits(), 700_f64.to_bits());
        let costs = set_one("api.qwen3.6-27b.usd_per_mtok_out = 2").expect("a name with dots");
        assert_eq!(costs.api["qwen3.6-27b"].usd_per_mtok_out.to_bits(), 2_f64.to_bits());
        assert_eq!(set_one("workload=chat").expect("a text").workload, "chat");
        assert_eq!(
            set_one("machine.bandwidth_gb_per_s=51.2").expect("optional").machine.bandwidth_gb_per_s,
            Some(51.2)
        );
        for (text, expected, hint) in [
            ("owned.3090.prise_usd=700", "unknown field `prise_usd`", "price_usd"),
            ("ownd.3090.price_usd=700", "there is no \"ownd\"", "owned"),
            ("owned.3091.price_usd=700", "there is no \"3091\"", "3090"),
            ("owned.3090.price_usd=cheap", "invalid type: string", ""),
            ("owned.3090.price_usd=-1", "owned.3090.price_usd must be 0 or more, not -1", ""),
            ("owned.3090=5", "3090 is a table", ""),
            ("workload.x=5", "workload has no keys", ""),
            ("owned.3090.price_usd", "no =", ""),
            ("=5", "no key", ""),
            ("workload=", "no value", ""),
        ] {
            let error = set_one(text).expect_err(text);
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
            assert!(error.hint().expect("a hint").contains(hint), "{:?} lacks {hint}", error.hint());
        }
    }

    #[test]
    fn what_was_set_is_kept_and_without_settings_comments_stay() {
        let (_, text) = with_settings(DEFAULT, "x", &[]).expect("read");
        assert_eq!(text, DEFAULT);
        let one = [Setting::parse("electricity.usd_per_kwh=0.4").expect("a setting")];
        let (costs, text) = with_settings(DEFAULT, "x", &one).expect("read");
        assert_eq!(parse(&text, "x").expect("its own text"), costs);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", setting in "[a-z.=\"0-9\\[\\]{}-]{0,30}") {
            let _ = parse(&text, "x");
            let _ = Setting::parse(&setting).and_then(|s| with_settings(DEFAULT, "x", &[s]));
        }
    }
}
