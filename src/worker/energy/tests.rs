//! Counters of a made-up machine.

use super::*;
use crate::worker::protocol::Speed;

const RANGE: u64 = 262_143_328_850;
const SECOND: Duration = Duration::from_secs(1);

/// A tree as Linux shows it: zones by name, with what their `name` says and their counter.
fn tree(zones: &[(&str, &str, u64)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (zone, name, counter) in zones {
        let folder = root.path().join(zone);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("max_energy_range_uj"), format!("{RANGE}\n")).unwrap();
        fs::write(folder.join("energy_uj"), format!("{counter}\n")).unwrap();
    }
    root
}

fn two_packages() -> tempfile::TempDir {
    tree(&[
        ("intel-rapl:0", "package-0", 1_000_000),
        ("intel-rapl:0:0", "core", 400_000),
        ("intel-rapl:0:1", "dram", 100_000),
        ("intel-rapl:1", "package-1", 5_000_000),
        ("intel-rapl:2", "psys", 9_000_000),
        ("intel-rapl-mmio:0", "package-0", 1_000_000),
    ])
}

fn set(root: &tempfile::TempDir, zone: &str, counter: u64) {
    fs::write(root.path().join(zone).join("energy_uj"), counter.to_string()).unwrap();
}

fn meter(root: &tempfile::TempDir) -> Meter {
    Meter::open(root.path(), false)
}

#[test]
fn packages_are_summed_and_nothing_is_counted_twice() {
    let root = two_packages();
    let meter = meter(&root);
    assert_eq!((meter.name(), meter.packages.len()), ("rapl", 2));
    let before = meter.reading();
    for (zone, counter) in [("intel-rapl:0", 3_500_000), ("intel-rapl:1", 6_000_000)] {
        set(&root, zone, counter);
    }
    // What is below, beside and around the packages counts on, too.
    for (zone, counter) in
        [("intel-rapl:0:0", 2_000_000), ("intel-rapl:2", 19_000_000), ("intel-rapl-mmio:0", 3_500_000)]
    {
        set(&root, zone, counter);
    }
    assert_eq!(meter.joules_since(before.as_ref()), Some(3.5));
}

/// 328,850 uJ before its end the counter begins again and comes to 1,671,150: 2 J in all.
#[test]
fn a_counter_that_runs_over_goes_on() {
    let root = tree(&[("intel-rapl:0", "package-0", RANGE - 328_850)]);
    let meter = meter(&root);
    let before = meter.reading();
    set(&root, "intel-rapl:0", 1_671_150);
    assert_eq!(meter.joules_since(before.as_ref()), Some(2.0));
}

/// 262,143 J last 524 s at 500 W.
#[test]
fn a_counter_that_may_have_run_over_twice_tells_nothing() {
    let package = Package { counter: PathBuf::new(), range_uj: RANGE };
    assert_eq!(package.microjoules(10, 30, SECOND), Some(20));
    assert_eq!(package.microjoules(10, 30, 524 * SECOND), Some(20));
    assert_eq!(package.microjoules(10, 30, 525 * SECOND), None);
    assert_eq!(package.microjoules(RANGE + 1, 30, SECOND), None, "beyond what it can say");
}

#[test]
fn a_counter_that_stands_still_measures_nothing() {
    let root = two_packages();
    let meter = meter(&root);
    assert_eq!(meter.joules_since(meter.reading().as_ref()), None);
    assert_eq!(meter.joules_since(None), None);
}

#[test]
fn what_is_missing_is_not_offered() {
    let none = tempfile::tempdir().unwrap();
    assert_eq!(Meter::open(&none.path().join("nowhere"), false).name(), "");
    assert_eq!(meter(&none).name(), "");
    for file in ["name", "energy_uj", "max_energy_range_uj"] {
        let root = two_packages();
        fs::remove_file(root.path().join("intel-rapl:1").join(file)).unwrap();
        let meter = meter(&root);
        assert_eq!(meter.name(), "", "without one package's {file} the sum is not the machine's");
        assert!(meter.reading().is_none());
    }
    let root = two_packages();
    fs::write(root.path().join("intel-rapl:0/energy_uj"), "many\n").unwrap();
    assert_eq!(meter(&root).name(), "");
    assert_eq!(Meter::open(&root.path().join("intel-rapl:0/name"), false).name(), "", "not a folder");
}

#[test]
fn what_may_not_be_read_is_not_offered() {
    // Root may read everything, so that the refusal comes from here.
    fn denied(path: &Path) -> io::Result<String> {
        if path.ends_with("energy_uj") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        fs::read_to_string(path)
    }
    let root = two_packages();
    let meter = Meter::of_packages(root.path(), denied);
    assert_eq!(meter.name(), "");
    assert!(meter.reading().is_none() && meter.joules_since(None).is_none());
}

#[test]
fn a_counter_that_vanishes_meanwhile_leaves_no_figure() {
    let root = two_packages();
    let meter = meter(&root);
    let before = meter.reading();
    assert!(before.is_some());
    fs::remove_file(root.path().join("intel-rapl:1/energy_uj")).unwrap();
    set(&root, "intel-rapl:0", 2_000_000);
    assert_eq!(meter.joules_since(before.as_ref()), None);
}

/// Records of older versions have no energy, and a machine that counts none writes what they wrote.
#[test]
fn a_record_is_read_with_and_without_energy() {
    let old = r#"{"pp512_tps":[1.0],"tg128_tps":[2.0],"load_s":0.5,"peak_rss_bytes":1,"model_buffer_bytes":2,
        "context_buffer_bytes":3,"compute_buffer_bytes":4,"device_bytes":null,
        "surface":[{"kind":"tg","tokens":8,"depth":0,"parallel":2,"samples":[3.0],"status":"done"}]}"#;
    let speed: Speed = serde_json::from_str(old).unwrap();
    assert!(speed.tg128_joules_per_token.is_empty() && speed.surface[0].joules_per_token.is_empty());
    let written = serde_json::to_string(&speed).unwrap();
    assert!(!written.contains("joules") && !written.contains("meter"), "{written}");
    let mut with = speed;
    with.pp512_joules_per_token = vec![0.25];
    with.surface[0].joules_per_token = vec![0.5];
    "rapl".clone_into(&mut with.surface[0].energy_meter);
    assert_eq!(serde_json::from_str::<Speed>(&serde_json::to_string(&with).unwrap()).unwrap(), with);
}

/// 1.5 J of cards in millijoules, 2 J of a package; a card that is set back tells nothing.
#[test]
fn cards_and_packages_add_up() {
    let root = tree(&[("intel-rapl:0", "package-0", 0)]);
    let meter = meter(&root);
    let reading =
        |uj, cards: [u64; 2]| Reading { at: Instant::now(), packages_uj: vec![uj], cards_mj: cards.to_vec() };
    let before = reading(0, [100, 1000]);
    let joules = |after: &Reading| meter.joules(&before, after, SECOND);
    assert_eq!(joules(&reading(2_000_000, [600, 2000])), Some(3.5));
    assert_eq!(joules(&reading(2_000_000, [50, 2000])), None);
}

#[test]
fn nvidia_cards_that_are_not_there_are_not_offered() {
    let absent = Nvml::builder().lib_path("libnvidia-ml-that-is-not-there.so".as_ref()).init();
    assert!(absent.ok().and_then(Cards::new).is_none());
    // Then the packages would be only a part of what layers on a GPU take.
    let root = two_packages();
    let meter = Meter::with_cards(root.path(), None, |path| fs::read_to_string(path));
    assert_eq!((meter.name(), meter.reading().is_none()), ("", true));
}
