//! The processor's features against those that the program was built with and those that llama.cpp uses.

use super::check::Check;

const NAME: &str = "cpu";

/// A feature by its three names.
struct Feature {
    /// As the kernel calls it in `/proc/cpuinfo`.
    flag: &'static str,
    /// Whether this program's own code was compiled to need it.
    is_needed: bool,
    /// As llama.cpp's line of features calls it.
    llama: &'static str,
}

macro_rules! feature {
    ($flag:literal, $rust:literal, $llama:literal) => {
        Feature { flag: $flag, is_needed: cfg!(target_feature = $rust), llama: $llama }
    };
}

const FEATURES: [Feature; 14] = [
    feature!("ssse3", "ssse3", "SSSE3"),
    feature!("avx", "avx", "AVX"),
    feature!("avx2", "avx2", "AVX2"),
    feature!("f16c", "f16c", "F16C"),
    feature!("fma", "fma", "FMA"),
    feature!("bmi2", "bmi2", "BMI2"),
    feature!("avx512f", "avx512f", "AVX512"),
    feature!("avx512vbmi", "avx512vbmi", "AVX512_VBMI"),
    feature!("avx512_vnni", "avx512vnni", "AVX512_VNNI"),
    feature!("avx512_bf16", "avx512bf16", "AVX512_BF16"),
    feature!("asimd", "neon", "NEON"),
    feature!("asimddp", "dotprod", "DOTPROD"),
    feature!("i8mm", "i8mm", "MATMUL_INT8"),
    feature!("sve", "sve", "SVE"),
];

/// Judges a processor called so, with these flags, for a build of which llama.cpp says this; empty if it said nothing.
pub(super) fn check(cpu: &str, flags: &[String], system_info: &str) -> Check {
    judge(cpu, flags, system_info, &FEATURES)
}

fn judge(cpu: &str, flags: &[String], system_info: &str, features: &[Feature]) -> Check {
    let has = |feature: &&Feature| flags.iter().any(|flag| flag == feature.flag);
    let names = |features: Vec<&Feature>| features.iter().map(|f| f.flag).collect::<Vec<_>>().join(", ");
    let missing = names(features.iter().filter(|f| f.is_needed && !has(f)).collect());
    // Where the system tells no flags, nothing is known to be missing.
    if !missing.is_empty() && !flags.is_empty() {
        return Check::fail(
            NAME,
            format!("{cpu} lacks {missing}, which this build needs"),
            "build on this machine (cargo build --release), or take the portable build (scripts/build-portable)",
        );
    }
    let used = |feature: &&Feature| is_used(system_info, feature.llama);
    let idle = names(features.iter().filter(|f| has(f) && !used(f)).collect());
    if !idle.is_empty() && !system_info.is_empty() {
        return Check::warn(
            NAME,
            format!("{cpu} has {idle}, which llama.cpp was built without"),
            "build on this machine (cargo build --release) for the speed it can have",
        );
    }
    Check::ok(NAME, format!("{cpu}, with all that the build needs"))
}

/// `... | AVX2 = 1 | ...`
fn is_used(system_info: &str, name: &str) -> bool {
    system_info.split(['|', ':']).any(|part| part.trim() == format!("{name} = 1"))
}

#[cfg(test)]
mod tests {
    use super::super::check::Mark;
    use super::*;

    const INFO: &str = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 0 | AVX512 = 1 | LLAMAFILE = 1 |";

    fn judged(flags: &[&str], system_info: &str) -> Check {
        let features = [
            Feature { flag: "avx", is_needed: true, llama: "AVX" },
            Feature { flag: "avx2", is_needed: false, llama: "AVX2" },
            Feature { flag: "avx512f", is_needed: false, llama: "AVX512" },
        ];
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        judge("Fast 9000", &flags, system_info, &features)
    }

    #[test]
    fn a_build_is_judged_by_what_it_needs_and_what_it_leaves() {
        assert_eq!(judged(&["avx", "avx512f", "other"], INFO).mark, Mark::Ok);
        let slow = judged(&["avx", "avx2"], INFO);
        assert_eq!(slow.mark, Mark::Warn);
        assert!(slow.found.contains("has avx2, which llama.cpp was built without"), "{slow:?}");
        let old = judged(&["sse3"], INFO);
        assert_eq!(
            (old.mark, old.found.as_str()),
            (Mark::Fail, "Fast 9000 lacks avx, which this build needs")
        );
        assert_eq!(judged(&[], INFO).mark, Mark::Ok, "nothing is known of the flags");
        assert_eq!(judged(&["avx", "avx2"], "").mark, Mark::Ok, "nothing is known of llama.cpp");
    }

    #[test]
    fn a_name_is_found_whole() {
        assert!(is_used(INFO, "SSE3") && is_used(INFO, "AVX") && !is_used(INFO, "AVX2"));
        assert!(!is_used("CPU : AVX512_VNNI = 1 |", "AVX512") && !is_used("CPU : SSSE3 = 1 |", "SSE3"));
    }
}
