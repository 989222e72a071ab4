//! Content keys. A trial's id is the hash of everything that can change its result and of nothing else, so that
//! a finished trial is never run again and a changed input never meets an old result.

use serde_json::Value;

/// Characters of an id: 80 bits, enough for 2^40 trials before two are likely to meet.
const LENGTH: usize = 20;

/// Hash of a JSON value. Equal values have equal ids, whatever the order of their keys.
pub fn of(settings: &Value) -> String {
    short(&blake3::hash(sorted(settings).to_string().as_bytes()))
}

/// The value with its keys in order: `serde_json` keeps them sorted or as they came, depending on what else is linked.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Hash of several texts, in order.
pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    short(&hasher.finalize())
}

fn short(hash: &blake3::Hash) -> String {
    hash.to_hex().chars().take(LENGTH).collect()
}

/// A seeded order of `0..n`: positions sorted by a keyed hash. Taking the first N of it is a random sample, and
/// a larger N contains every smaller one.
pub fn seeded_order(n: u64, seed: u64, name: &str) -> Vec<u64> {
    let key = blake3::derive_key("bitfrontier item order v1", name.as_bytes());
    let rank = |i: &u64| {
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&seed.to_le_bytes());
        hasher.update(&i.to_le_bytes());
        let mut first = [0_u8; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        (u64::from_le_bytes(first), *i)
    };
    let mut order: Vec<u64> = (0..n).collect();
    order.sort_by_cached_key(rank);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn ids_do_not_depend_on_the_order_of_keys() {
        let a: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).expect("json");
        let b: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).expect("json");
        assert_eq!(of(&a), of(&b));
        assert_ne!(of(&a), of(&json!({"a": 1})));
    }

    #[test]
    fn texts_are_kept_apart() {
        assert_ne!(of_texts(["ab", "c"]), of_texts(["a", "bc"]));
    }

    proptest! {
        #[test]
        fn an_order_is_a_permutation(n in 0_u64..500, seed: u64) {
            let mut order = seeded_order(n, seed, "piqa");
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }
}
