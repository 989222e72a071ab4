//! Collecting an importance matrix while text is decoded: for every weight of the blocks, the sum of squares of each
//! column of what goes into it, and the number of rows.
//!
//! Sums are taken as `llama-imatrix` takes them, in f32, row after row, so that they equal its own to the last bit;
//! without its detours: what several weights share as input (Q, K and V do) is waited for once, and the decode
//! ends before the output matrix, which nobody asked for.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::gguf::imatrix::TensorSums;
use crate::llama::ffi::{Inputs, Moment, Observer, Product};
use crate::llama::strided::Strided;

/// Products with fewer rows are left out, as llama-imatrix does.
const LEAST_ROWS: usize = 16;
const HEAD: &str = "output.weight";

/// Sums by weight, filled by the observer of a context.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    state: Rc<RefCell<State>>,
    with_head: bool,
}

#[derive(Debug, Default)]
struct State {
    sums: BTreeMap<String, TensorSums>,
    /// The input that was last seen computed in the graph that is running.
    computed: Option<Inputs>,
    wrong: Option<String>,
}

impl Collector {
    /// Goes on from `sums`. With `with_head` the output matrix is looked at too, if it is a tensor of its own.
    pub fn new(sums: BTreeMap<String, TensorSums>, with_head: bool) -> Self {
        Self { state: Rc::new(RefCell::new(State { sums, ..State::default() })), with_head }
    }

    /// The observer that fills this collector.
    pub fn observer(&self) -> Observer {
        let Self { state, with_head } = self.clone();
        Box::new(move |tensor, moment| {
            let mut state = state.borrow_mut();
            if tensor.is_named(c"result_norm") {
                // What follows is the output matrix, and then another graph.
                state.computed = None;
                return with_head == (moment == Moment::Computed);
            }
            let nothing = moment == Moment::Computed;
            let Some(product) = tensor.product() else { return nothing };
            let weight = product.weight();
            let name = plain_name(&weight);
            if !is_wanted(&product, name, with_head) {
                return nothing;
            }
            if moment == Moment::Ask && state.computed != Some(product.inputs()) {
                return true;
            }
            state.add(&product, name);
            state.computed = Some(product.inputs());
            // Asked: the input was at hand already. Computed: go on.
            nothing
        })
    }

    /// The sums so far.
    pub fn sums(&self) -> Ref<'_, BTreeMap<String, TensorSums>> {
        Ref::map(self.state.borrow(), |state| &state.sums)
    }

    /// What went wrong, in one sentence; the sums are then worth nothing.
    pub fn wrong(&self) -> Option<String> {
        let state = self.state.borrow();
        let broken = |(name, sums): (&String, &TensorSums)| {
            let finite = sums.squares.iter().all(|s| s.is_finite());
            (!finite).then(|| format!("the activations that go into {name} are not finite"))
        };
        state.wrong.clone().or_else(|| state.sums.iter().find_map(broken))
    }
}

impl State {
    fn add(&mut self, product: &Product<'_>, name: &str) {
        let Some(input) = product.input() else {
            self.fail(name, "its input cannot be read");
            return;
        };
        let sums = self.sums.entry(name.to_owned()).or_default();
        let matrices = product.matrices();
        let added = if product.is_routed() {
            product.routes().and_then(|routes| add_routed(sums, matrices[0], &input, &routes))
        } else {
            add_dense(sums, matrices, &input)
        };
        if added.is_none() {
            self.fail(name, "its input has another shape than before, or one that is not known");
        }
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.wrong.get_or_insert_with(|| format!("no importance can be collected for {name}: {why}"));
    }
}

/// `CUDA0#blk.0.attn_k.weight#0` is `blk.0.attn_k.weight`, copied to a device.
fn plain_name(name: &str) -> &str {
    name.split('#').nth(1).unwrap_or(name)
}

fn is_wanted(product: &Product<'_>, name: &str, with_head: bool) -> bool {
    let of_blocks = name.starts_with("blk.") || (with_head && name == HEAD);
    product.is_routed() || (of_blocks && product.f32_rows().is_some_and(|rows| rows >= LEAST_ROWS))
}

/// Adds the rows of a plain product. `matrices` are those of the weight along its third and fourth dimension; an
/// input with more is laid over them again and again. `None` if shapes do not go together.
fn add_dense(sums: &mut TensorSums, matrices: [usize; 2], input: &Strided<'_, f32>) -> Option<()> {
    let [columns, rows, planes, cubes] = input.shape();
    let count = matrices[0] * matrices[1];
    // A weight that was used by experts before has a count for each.
    if sums.counts.windows(2).all(|pair| pair[0] == pair[1]) {
        sums.counts.truncate(1);
    }
    reserve(sums, columns * count, 1)?;
    for (cube, plane) in (0..cubes).flat_map(|c| (0..planes).map(move |p| (c, p))) {
        let matrix = (cube % matrices[1]) * matrices[0] + plane % matrices[0];
        let sum = sums.squares.get_mut(matrix * columns..(matrix + 1) * columns)?;
        for row in 0..rows {
            add_squares(sum, input.row([row, plane, cube])?);
        }
    }
    for seen in &mut sums.counts {
        *seen += (input.rows() / count) as u64;
    }
    Some(())
}

/// Adds the rows of a product whose rows choose among `experts` matrices. `routes` are (choices, tokens); a token's
/// rows are shared by its choices if there are fewer of them. `None` if shapes do not go together.
fn add_routed(
    sums: &mut TensorSums,
    experts: usize,
    input: &Strided<'_, f32>,
    routes: &Strided<'_, i32>,
) -> Option<()> {
    let [columns, rows, tokens, cubes] = input.shape();
    let [choices, of_tokens, ..] = routes.shape();
    if cubes != 1 || tokens != of_tokens {
        return None;
    }
    if let [all] = sums.counts.as_slice() {
        sums.counts = vec![*all; experts];
    }
    reserve(sums, columns * experts, experts)?;
    // The order in which llama-imatrix goes: sums in f32 depend on it.
    for choice in 0..choices {
        for token in 0..tokens {
            let expert = usize::try_from(routes.at(choice, token)?).ok()?;
            let sum = sums.squares.get_mut(expert * columns..(expert + 1) * columns)?;
            *sums.counts.get_mut(expert)? += 1;
            add_squares(sum, input.row([choice % rows, token, 0])?);
        }
    }
    Some(())
}

/// Makes room the first time; afterwards sizes must stay.
fn reserve(sums: &mut TensorSums, squares: usize, counts: usize) -> Option<()> {
    if sums.squares.is_empty() {
        *sums = TensorSums { squares: vec![0.0; squares], counts: vec![0; counts] };
    }
    (sums.squares.len() == squares && sums.counts.len() >= counts && squares > 0).then_some(())
}

fn add_squares(sum: &mut [f32], row: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(row) {
        // Two roundings, like llama-imatrix: no fused multiply-add.
        *sum += value * value;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn strided<T: Copy>(values: &[T], shape: [usize; 4]) -> Strided<'_, T> {
        let [a, b, c, _] = shape;
        Strided::new(Cow::Borrowed(values), shape, [1, a, a * b, a * b * c])
    }

    #[test]
    fn rows_of_a_plain_product_add_up_in_their_order() {
        let mut sums = TensorSums::default();
        let input = [1.0_f32, 2.0, 3e4, 1e-4, 5.0, 6.0];
        for _ in 0..2 {
            add_dense(&mut sums, [1, 1], &strided(&input, [2, 3, 1, 1])).expect("added");
        }
        let column = |a: f32, b: f32, c: f32| [a, b, c, a, b, c].iter().fold(0.0_f32, |s, x| s + x * x);
        assert_eq!(sums.squares, [column(1.0, 3e4, 5.0), column(2.0, 1e-4, 6.0)]);
        assert_eq!(sums.counts, [6]);
    }

    #[test]
    fn an_input_with_more_matrices_than_the_weight_is_laid_over_them() {
        let mut sums = TensorSums::default();
        let input = [1.0_f32, 2.0, 3.0, 4.0];
        add_dense(&mut sums, [2, 1], &strided(&input, [1, 1, 4, 1])).expect("added");
        assert_eq!((sums.squares, sums.counts), (vec![1.0 + 9.0, 4.0 + 16.0], vec![2]));
        let mut flat = TensorSums::default();
        add_dense(&mut flat, [1, 1], &strided(&input, [1, 1, 2, 2])).expect("added");
        assert_eq!((flat.squares, flat.counts), (vec![30.0], vec![4]));
    }

    #[test]
    fn experts_count_the_rows_that_were_sent_to_them() {
        // Two tokens of one row each; three experts, of which the last is never chosen. The choices lie in rows of
        // three, as ids do that are cut out of a sorted list.
        let input = [1.0_f32, 2.0, 3.0, 4.0];
        let ids = [0_i32, 1, 9, 1, 0, 9];
        let routes = Strided::new(Cow::Borrowed(&ids), [2, 2, 1, 1], [1, 3, 6, 6]);
        let mut sums = TensorSums::default();
        add_routed(&mut sums, 3, &strided(&input, [2, 1, 2, 1]), &routes).expect("added");
        assert_eq!(sums.counts, [2, 2, 0]);
        assert_eq!(sums.squares, [10.0, 20.0, 10.0, 20.0, 0.0, 0.0]);
    }

    #[test]
    fn each_choice_has_its_own_row_where_there_is_one() {
        let input = [1.0_f32, 2.0, 3.0, 4.0];
        let mut sums = TensorSums::default();
        let routes = strided(&[1_i32, 0, 1, 0], [2, 2, 1, 1]);
        add_routed(&mut sums, 2, &strided(&input, [1, 2, 2, 1]), &routes).expect("added");
        assert_eq!((sums.squares, sums.counts), (vec![4.0 + 16.0, 1.0 + 9.0], vec![2, 2]));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let input = [1.0_f32; 4];
        let mut sums = TensorSums::default();
        let routed = |sums: &mut TensorSums, ids: &[i32]| {
            add_routed(sums, 2, &strided(&input, [2, 1, 2, 1]), &strided(ids, [1, 2, 1, 1]))
        };
        assert_eq!(routed(&mut sums, &[0, 2]), None);
        assert_eq!(routed(&mut sums, &[0, -1]), None);
        assert_eq!(routed(&mut sums, &[0, 1]), Some(()));
        assert_eq!(add_dense(&mut sums, [1, 1], &strided(&input, [4, 1, 1, 1])), Some(()));
        assert_eq!(add_dense(&mut sums, [1, 1], &strided(&input, [2, 2, 1, 1])), None);
    }

    #[test]
    fn names_lose_what_devices_add() {
        for name in ["blk.0.attn_k.weight", "CUDA0#blk.0.attn_k.weight#0", "CUDA0#blk.0.attn_k.weight"] {
            assert_eq!(plain_name(name), "blk.0.attn_k.weight");
        }
    }
}
