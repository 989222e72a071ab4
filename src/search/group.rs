//! Groups of weights that are given one type: what they do (the name without its block) by how deep they lie. Weights
//! outside the blocks are groups of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gguf::{Described, Model, TensorInfo, TensorType};
use crate::plan::layers::Layers;
use crate::plan::recipe::Override;

/// Depth bands of each role: few enough to be measured one by one, enough to tell the edges from the middle.
pub const BANDS: u64 = 5;

/// The file is padded so after every tensor.
const ALIGNMENT: u64 = 32;

/// Types of blocks of 256 that a weight may become, from many bits to few.
const LARGE: [&str; 13] = [
    "Q8_0", "Q6_K", "Q5_K", "Q4_K", "IQ4_XS", "Q3_K", "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_S", "IQ2_XS",
    "IQ2_XXS", "IQ1_M",
];
/// The same where the columns don't divide by 256.
const SMALL: [&str; 7] = ["Q8_0", "Q5_1", "Q5_0", "Q4_1", "IQ4_NL", "Q4_0", "Q2_0"];
/// Columns that the large types' blocks take.
const LARGE_BLOCK: u64 = 256;

/// Weights that have one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `ffn_down/0-5`, or a tensor's own name.
    pub name: String,
    /// Its tensors, in the file's order.
    pub tensors: Vec<String>,
    /// The rule that is for these tensors and no others.
    pub pattern: String,
    /// Blocks that the rule is for; absent for tensors outside the blocks.
    pub layers: Option<String>,
    /// Types it may have, with the bytes of all its tensors in the file, padding included; from many bytes to few.
    pub sizes: Vec<(String, u64)>,
    /// The types that a stock type gives its tensors, one each, if they are not one and the same.
    #[serde(default)]
    pub stock: Vec<String>,
}

/// The name under which a group's tensors have the types of the stock type.
pub const STOCK: &str = "stock";

/// Whether a tensor (its name first) can be coded as a type.
pub type Allows<'a> = &'a dyn Fn(&str, &str) -> bool;

impl Group {
    /// The rules of a recipe that give it a type.
    pub fn rules(&self, kind: &str) -> Vec<Override> {
        let rule = |layers: Option<String>, kind: &str| {
            let layers = layers.and_then(|text| Layers::try_from(text).ok());
            Override { tensors: self.pattern.clone(), layers, type_name: kind.to_owned() }
        };
        if kind != STOCK {
            return vec![rule(self.layers.clone(), kind)];
        }
        let mut layers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (tensor, kind) in self.tensors.iter().zip(&self.stock) {
            layers.entry(kind).or_default().extend(in_block(tensor).map(|(block, _)| block));
        }
        layers.into_iter().map(|(kind, blocks)| rule(Some(spans(&blocks)), kind)).collect()
    }

    /// Each tensor's type.
    pub fn types<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of = move |at: usize| self.stock.get(at).filter(|_| kind == STOCK).map_or(kind, String::as_str);
        self.tensors.iter().enumerate().map(move |(at, tensor)| (tensor.as_str(), of(at)))
    }

    /// Lets it have the types of a stock type, too. Returns the name of that choice, or nothing if it is not to be had.
    pub fn add_stock(&mut self, model: &Model, types: &BTreeMap<String, String>) -> Option<String> {
        let kinds: Option<Vec<String>> = self.tensors.iter().map(|t| types.get(t).cloned()).collect();
        let kinds = kinds?;
        let tensors: BTreeMap<&str, &TensorInfo> = model.tensors().map(|t| (t.name.as_str(), t)).collect();
        let sizes = self.tensors.iter().zip(&kinds);
        let sizes = sizes.map(|(name, kind)| bytes_as(&[*tensors.get(name.as_str())?], kind));
        let bytes = sizes.sum::<Option<u64>>()?;
        let first = kinds.first()?.clone();
        let name = if kinds.iter().all(|k| *k == first) { first } else { STOCK.to_owned() };
        if self.bytes(&name).is_none() {
            self.sizes.push((name.clone(), bytes));
        }
        if name == STOCK {
            self.stock = kinds;
        }
        Some(name)
    }

    /// Bytes of its tensors as a type.
    pub fn bytes(&self, kind: &str) -> Option<u64> {
        self.sizes.iter().find(|(name, _)| name == kind).map(|(_, bytes)| *bytes)
    }
}

/// Groups of the weights that `names` lists, in a fixed order. A weight that no type but its own fits is in none.
pub fn groups(model: &Model, names: &[String], allows: Allows<'_>) -> Vec<Group> {
    let blocks = model.block_count().unwrap_or(0);
    let bands = BANDS.min(blocks.max(1));
    let mut found: BTreeMap<(String, u64), Vec<&TensorInfo>> = BTreeMap::new();
    for tensor in model.tensors().filter(|t| names.contains(&t.name)) {
        let key = match in_block(&tensor.name) {
            Some((block, role)) if block < blocks => (role.to_owned(), block * bands / blocks),
            _ => (tensor.name.clone(), u64::MAX),
        };
        found.entry(key).or_default().push(tensor);
    }
    let groups = found.into_iter().map(|((role, band), tensors)| group(&role, band, &tensors, allows));
    groups.filter(|g| !g.sizes.is_empty()).collect()
}

/// `blk.12.ffn_down.weight` is (12, `ffn_down.weight`).
fn in_block(name: &str) -> Option<(u64, &str)> {
    let (block, role) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((block.parse().ok()?, role))
}

fn group(role: &str, band: u64, tensors: &[&TensorInfo], allows: Allows<'_>) -> Group {
    let blocks: Vec<u64> = tensors.iter().filter_map(|t| Some(in_block(&t.name)?.0)).collect();
    let layers = (band != u64::MAX).then(|| spans(&blocks));
    let plain = role.strip_suffix(".weight").unwrap_or(role);
    let name = layers.as_ref().map_or(plain.to_owned(), |layers| format!("{plain}/{layers}"));
    let escaped = role.replace('.', r"\.");
    let pattern = if layers.is_some() { format!(r"\b{escaped}$") } else { format!("^{escaped}$") };
    let large = tensors.iter().all(|t| t.columns().is_multiple_of(LARGE_BLOCK));
    let kinds: &[&str] = if large { &LARGE } else { &SMALL };
    let size = |kind: &&str| {
        let allowed = tensors.iter().all(|t| allows(&t.name, kind));
        let bytes = allowed.then(|| bytes_as(tensors, kind))??;
        Some(((*kind).to_owned(), bytes))
    };
    let mut sizes: Vec<(String, u64)> = kinds.iter().filter_map(size).collect();
    sizes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let tensors = tensors.iter().map(|t| t.name.clone()).collect();
    Group { name, tensors, pattern, layers, sizes, stock: Vec::new() }
}

/// Bytes of tensors as a type, with the padding after each; none if a row is no whole number of blocks.
pub fn bytes_as(tensors: &[&TensorInfo], kind: &str) -> Option<u64> {
    let kind = TensorType::from_name(kind)?;
    tensors.iter().try_fold(0_u64, |sum, tensor| {
        let whole = tensor.columns().is_multiple_of(kind.block_size);
        let bytes = whole.then(|| tensor.bytes_as(kind))??;
        sum.checked_add(bytes.checked_next_multiple_of(ALIGNMENT)?)
    })
}

/// `[0, 1, 2, 5]` is `0-2,5`.
fn spans(numbers: &[u64]) -> String {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => spans.push((number, number)),
        }
    }
    let text = |(a, b): &(u64, u64)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    spans.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn every_weight_is_in_one_group_that_its_rule_alone_matches() {
        let model =
            crate::gguf::open_model(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f16.gguf"))
                .expect("a model");
        let names: Vec<String> =
            model.tensors().filter(|t| t.dims.len() > 1).map(|t| t.name.clone()).collect();
        let groups = groups(&model, &names, &|_: &str, kind: &str| kind != "IQ1_M");
        let mut grouped: Vec<&String> = groups.iter().flat_map(|g| &g.tensors).collect();
        grouped.sort();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        assert_eq!(grouped, sorted);
        for group in &groups {
            let pattern = group.rules("Q8_0")[0].pattern(2).expect("a pattern");
            let regex = Regex::new(&pattern).expect("valid");
            let matched: Vec<&String> = names.iter().filter(|n| regex.is_match(n)).collect();
            assert_eq!(matched, group.tensors.iter().collect::<Vec<_>>(), "{pattern}");
            assert!(group.sizes.is_sorted_by(|a, b| a.1 >= b.1) && group.bytes("IQ1_M").is_none());
        }
        assert!(groups.iter().any(|g| g.name == "ffn_down/1"), "{groups:?}");
    }

    #[test]
    fn a_stock_types_own_mix_is_a_choice_with_rules_of_its_own() {
        let model =
            crate::gguf::open_model(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f16.gguf"))
                .expect("a model");
        let names = ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"].map(str::to_owned).to_vec();
        let tensors: Vec<&TensorInfo> = model.tensors().filter(|t| names.contains(&t.name)).collect();
        let mut group = group("ffn_down.weight", 0, &tensors, &|_: &str, _: &str| true);
        let types = |kinds: [&str; 2]| names.iter().cloned().zip(kinds.map(str::to_owned)).collect();
        assert_eq!(group.add_stock(&model, &types(["Q4_K", "Q4_K"])).as_deref(), Some("Q4_K"));
        assert_eq!(group.add_stock(&model, &types(["Q6_K", "Q4_K"])).as_deref(), Some(STOCK));
        let (six, four) = (group.bytes("Q6_K").expect("a size"), group.bytes("Q4_K").expect("a size"));
        assert_eq!(group.bytes(STOCK), Some(u64::midpoint(six, four)));
        let rules: Vec<String> = group.rules(STOCK).iter().filter_map(|r| r.pattern(2).ok()).collect();
        assert_eq!(
            rules,
            [r"blk\.(?:1)\..*(?:\bffn_down\.weight$)", r"blk\.(?:0)\..*(?:\bffn_down\.weight$)"]
        );
        assert_eq!(group.types(STOCK).map(|(_, kind)| kind).collect::<Vec<_>>(), ["Q6_K", "Q4_K"]);
    }

    #[test]
    fn spans_are_told_as_layers() {
        assert_eq!(spans(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(spans(&[4]), "4");
    }
}
